/**
 * Hands the cluster's files to the workers and collects the rows of each repository's manifest.
 *
 * A file that no repository needs is not read. Files go through a batch if a repository bundles them or if they may be
 * unchanged; the others are copied one by one, the largest first. Unfinished manifests are saved during the copy, so
 * that an interrupted backup keeps what it copied.
 */
import type { Context } from "../../base/context";
import { assert, fail } from "../../base/errors";
import { SHA1_EMPTY } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import { runWeighted, type Weighted } from "../../base/parallel";
import { formatSize } from "../../base/units";
import type { CompressSpec } from "../../format/codec/compress";
import { filesWhere, sortedBy, viewsOf } from "../../format/repository/fileRows";
import type { FileList, ManifestFile } from "../../format/repository/manifest";
import { backupPath, bundlePath, dataFilePath } from "../../format/repository/repoPath";
import type { Scan, ScannedFile, SourcePaths } from "../../postgres/dataDirectory";
import type { Repository } from "../../repository/repository";
import { requireAttempt } from "../../repository/attempt";
import { saveManifestCopy } from "../../repository/backupStore";
import type { JobPool } from "../shared/jobs";
import { Progress } from "../shared/progress";
import { CONTROL_FILE } from "../restore/restorePlan";
import { type Batch, planBatches } from "./batches";
import { emptyRow, referenceTo } from "./fileChoices";
import type { BatchFile, BatchFileResult, BatchStored, BatchTarget } from "./copyBatch";
import type { Choice } from "./plannedFiles";
import { blockPlanOf, compressOf, copyOrder } from "./backupPlan";
import { pageSegmentOf } from "../../format/page/pageChecksum";
import type { RecentFiles } from "./recentFiles";
import type { BackupRun, OpenBackup } from "./run";

export interface CopyOptions {
  /** Data directory of the server that the manifest describes. */
  readonly dataDirectory: string;
  /** The source of relations when a standby shares the work; null reads everything from the one data directory. */
  readonly standbyDirectory: string | null;
  /** A standby's pg_control bounds how far its pages may have been written, so it must be read after them. */
  readonly controlLast: boolean;
  readonly recent: RecentFiles;
  readonly pageSizeBytes: number;
  readonly pageHeaderCheck: boolean;
  readonly resume: boolean;
  readonly manifestSaveThresholdBytes: number;
  /** A file with invalid pages ends the backup. */
  readonly checksumPageError: boolean;
}

export interface Copied {
  /** Names of files that vanished before they were read. */
  readonly gone: ReadonlySet<string>;
  /** Bytes read. */
  readonly sizeBytes: number;
}

export interface CopyDeps {
  readonly pool: JobPool;
  /** For a copy that ends before a thread of the pool has started; default `pool`. */
  readonly threadless?: JobPool;
  /** Receives the progress for the lock file that `info` reads. */
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

/** Files that are identical on a standby; the rest is read from the primary ("pgbackrest-format" 15, step 7). */
const ON_STANDBY = /^(pg_data\/(base|global|pg_xact|pg_multixact)|pg_tblspc)\//;
/**
 * Unfinished manifests are saved after this share of the work, or after the configured number of bytes if that is more.
 */
const SAVE_SHARE = 100;
const NO_BUNDLES: ReadonlyMap<number, number> = new Map();

/** Starts the pool's threads early if the copy will need them: each takes time to start. */
export function warmPool(run: BackupRun, scan: Scan, pool: JobPool): void {
  const needed = filesWhere(scan.files, (file) => needsReading(run, file));
  if (!isLittle(needed)) pool.warm?.();
}

/** @throws when a file of the cluster cannot be read; a repository that fails only leaves the run */
export async function copyFiles(
  run: BackupRun,
  scan: Scan,
  deps: CopyDeps,
  options: CopyOptions,
  ctx: Context,
): Promise<Copied> {
  await makeDirectories(run, scan);
  const needed = filesWhere(scan.files, (file) => needsReading(run, file));
  const pool = (isLittle(needed) ? deps.threadless : undefined) ?? deps.pool;
  const copy = new Copy(run, { needed, sources: scan.sources }, { ...deps, pool }, options, ctx);
  const { single, bundled } = split(
    run,
    options.controlLast ? filesWhere(needed, ({ name }) => name !== CONTROL_FILE) : needed,
  );
  const { recent } = options;
  const batchInTurn = async (batch: Batch): Promise<void> => {
    await recent.wait(batch.map(({ file }) => file));
    await copy.batch(batch);
  };
  // Large files take one slot each, so that memory stays bounded. Small ones then share a slot, to hide a store's
  // latency.
  const tasks = function* (): Iterable<Weighted> {
    for (const file of recent.inTurn(single))
      yield {
        weight: file.sizeBytes > LIMITS.chunkSizeBytes ? LIMITS.filesPerWorker : 1,
        run: () => recent.wait([file]).then(() => copy.one(file)),
      };
    for (const batch of copy.batches(bundled))
      yield { weight: LIMITS.filesPerWorker / BATCHES_PER_SLOT, run: () => batchInTurn(batch) };
  };
  await runWeighted(tasks(), pool.slots * LIMITS.filesPerWorker);
  const control = options.controlLast ? scan.files.find((file) => file.name === CONTROL_FILE) : undefined;
  if (control !== undefined) for (const batch of copy.batches([control])) await copy.batch(batch);
  run.requireOne();
  return copy.result();
}

const BATCHES_PER_SLOT = 2;
const LITTLE_FILES_MAX = 64;
const LITTLE_SIZE_BYTES_MAX = 1024 * 1024;

/** True when the copy ends before a worker thread could start: an increment of an idle cluster. */
function isLittle(files: FileList): boolean {
  return files.length <= LITTLE_FILES_MAX && sizeOf(files) <= LITTLE_SIZE_BYTES_MAX;
}

function sizeOf(files: FileList): number {
  let sum = 0;
  for (const { sizeBytes } of viewsOf(files)) sum += sizeBytes;
  return sum;
}

function needsReading(run: BackupRun, { name }: ScannedFile): boolean {
  return run.alive.some(({ repo }) => run.plan(repo.key).files.kindOf(name) !== "keep");
}

/**
 * Separate files, the largest first; and files that some repository bundles, the least recently changed first, as in
 * stock.
 */
function split(run: BackupRun, files: FileList): { readonly single: FileList; readonly bundled: FileList } {
  const limitBytes = Math.max(-1, ...run.alive.map(({ repo }) => run.plan(repo.key).bundle?.limitBytes ?? -1));
  const bundled = filesWhere(files, (file) => file.sizeBytes <= limitBytes);
  return {
    single: copyOrder(filesWhere(files, (file) => file.sizeBytes > limitBytes)),
    bundled: sortedBy(bundled, ({ modifiedAtS }) => modifiedAtS),
  };
}

interface Reading {
  readonly needed: FileList;
  readonly sources: SourcePaths;
}

interface Taken {
  readonly file: ScannedFile;
  readonly source: BatchFile;
}

class Copy {
  readonly #run: BackupRun;
  readonly #sources: SourcePaths;
  readonly #deps: CopyDeps;
  readonly #options: CopyOptions;
  readonly #ctx: Context;
  /** Names of files that vanished before they were read. */
  readonly #gone = new Set<string>();
  readonly #nextBundleIds = new Map<number, number>();
  /** What all targets of a repository or of a bundle share: ten thousand of them may wait. */
  readonly #compress = new Map<number, CompressSpec>();
  readonly #bundles = new Map<number, { readonly id: number; readonly path: string }>();
  readonly #progress: Progress;
  readonly #saveStepBytes: number;
  #unsavedBytes = 0;
  #saving = false;
  #sizeBytes = 0;

  constructor(run: BackupRun, { needed, sources }: Reading, deps: CopyDeps, options: CopyOptions, ctx: Context) {
    this.#run = run;
    this.#sources = sources;
    this.#deps = deps;
    this.#options = options;
    this.#ctx = ctx;
    const totalBytes = sizeOf(needed);
    this.#progress = new Progress("copied", totalBytes, ctx, deps.onProgress);
    this.#saveStepBytes = Math.max(totalBytes / SAVE_SHARE, options.manifestSaveThresholdBytes);
  }

  batches(files: Iterable<ScannedFile>): Iterable<Batch> {
    const repos = this.#run.alive.map(({ repo }) => ({ repoIndex: repo.key, plan: this.#run.plan(repo.key) }));
    return planBatches(files, repos, this.#nextBundleIds);
  }

  /** Copies one file that no repository bundles. */
  one(file: ScannedFile): Promise<void> {
    return this.batch([{ file, bundleIds: NO_BUNDLES }]);
  }

  async batch(batch: Batch): Promise<void> {
    await this.#run.keepLeases();
    const sources = batch.map(({ file, bundleIds }): Taken => ({ file, source: this.#sourceOf(file, bundleIds) }));
    const wanted = sources.filter(({ source }) => source.targets.length > 0);
    if (wanted.length === 0) return;
    const result = await this.#deps.pool.run({ kind: "copyBatch", files: wanted.map(({ source }) => source) });
    for (const [index, taken] of wanted.entries()) await this.#take(taken, result.files[index] as BatchFileResult);
  }

  result(): Copied {
    return { gone: this.#gone, sizeBytes: this.#sizeBytes };
  }

  #sourceOf(file: ScannedFile, bundleIds: ReadonlyMap<number, number>): BatchFile {
    const { dataDirectory, standbyDirectory, pageSizeBytes, pageHeaderCheck } = this.#options;
    const isControl = file.name === CONTROL_FILE;
    const onStandby = standbyDirectory !== null && !isControl && ON_STANDBY.test(file.name);
    // A container's tablespaces have paths of their own here.
    const sourcePath = this.#sources.pathOf(file.name);
    if (onStandby && !sourcePath.startsWith(`${dataDirectory}/`))
      throw fail("optionInvalid", `'${sourcePath}' cannot be read from the standby: the primary is in a container`, {
        hint: "Turn backup-standby off.",
      });
    const takers = this.#run.alive.filter(({ repo }) => this.#run.plan(repo.key).files.kindOf(file.name) !== "keep");
    const checksPages = takers.some(({ repo }) => this.#run.plan(repo.key).manifest.options.checksumPage === true);
    const segment = checksPages ? pageSegmentOf(file.name) : null;
    return {
      name: file.name,
      sourcePath: onStandby ? `${standbyDirectory}${sourcePath.slice(dataDirectory.length)}` : sourcePath,
      sizeBytes: file.sizeBytes,
      pages: segment === null ? null : { segmentNo: segment.segmentNo, pageSizeBytes, headerCheck: pageHeaderCheck },
      controlOf: isControl ? dataDirectory : null,
      targets: takers.map((open) => this.#targetOf(file, open, bundleIds.get(open.repo.key))),
    };
  }

  #targetOf(file: ScannedFile, { repo }: OpenBackup, bundleId: number | undefined): BatchTarget {
    const plan = this.#run.plan(repo.key);
    const { manifest } = plan;
    const compress = this.#compress.get(repo.key) ?? compressOf(manifest);
    this.#compress.set(repo.key, compress);
    const choice = plan.files.get(file.name);
    const block = blockPlanOf(repo.stanza, plan, file);
    // The name depends on how a file is stored; the size of the map is not known yet.
    const own = { name: file.name, ...(block === null ? {} : { block: { mapSizeBytes: 1 } }) };
    return {
      repoIndex: repo.key,
      path:
        bundleId === undefined
          ? dataFilePath(repo.stanza, manifest.label, own, compress.type)
          : this.#bundlePath(repo, manifest.label, bundleId),
      bundleId: bundleId ?? null,
      raw: bundleId !== undefined && manifest.bundleRaw,
      block,
      compress,
      cipherPass: manifest.cipherPass ?? null,
      keepIf: choice?.kind === "compare" ? { sizeBytes: choice.row.sizeBytes, sha1: choice.row.sha1 } : null,
    };
  }

  #bundlePath({ key, stanza }: Repository, label: string, id: number): string {
    let bundle = this.#bundles.get(key);
    if (bundle?.id !== id) this.#bundles.set(key, (bundle = { id, path: bundlePath(stanza, label, id) }));
    return bundle.path;
  }

  async #take({ file, source }: Taken, result: BatchFileResult): Promise<void> {
    this.#progress.add(file.sizeBytes);
    if (result.missing) {
      this.#ctx.log.detail(`skip file removed by database ${this.#sources.pathOf(file.name)}`);
      this.#gone.add(file.name);
      return;
    }
    this.#sizeBytes += result.sizeBytes;
    const stored = result.repos.some((repo) => repo.ok && !repo.value.kept);
    if (stored) this.#reportPages(file.name, result);
    for (const repo of result.repos) {
      if (repo.ok && repo.value.priorProblem !== undefined) {
        this.#ctx.log.warn(
          `repo${repo.repoIndex}: stored all blocks of '${file.name}', because its prior copy cannot be read: ${repo.value.priorProblem}`,
        );
      }
      const target = source.targets.find((candidate) => candidate.repoIndex === repo.repoIndex) as BatchTarget;
      if (!repo.ok) this.#run.leave(repo.repoIndex, repo.error);
      else if (repo.value.collided === true) await this.#again({ file, source }, target);
      else this.#run.plan(repo.repoIndex).files.store(file.name, this.#rowOf(file, result, target, repo.value));
    }
    const verb = stored ? "backup file" : "match file from prior backup";
    this.#ctx.log.detail(
      () =>
        `${verb} ${this.#sources.pathOf(file.name)} (${formatSize(result.sizeBytes)}, ${this.#progress.percent()}%) checksum ${result.sha1}`,
    );
    await this.#saveSometimes(result.sizeBytes);
  }

  /** @throws checksum (26) when such a file ends the backup */
  #reportPages(name: string, result: BatchFileResult): void {
    if (result.pagesValid !== false) return;
    const path = this.#sources.pathOf(name);
    if (this.#options.checksumPageError)
      throw fail("checksum", `invalid page checksum(s) found in file ${path}`, { path });
    const pages = (result.pageErrors ?? []).map((range) =>
      typeof range === "number" ? String(range) : `${range[0]}-${range[1]}`,
    );
    this.#ctx.log.warn(
      pages.length === 0
        ? `page misalignment in file ${path}: file size ${result.sizeBytes} is not divisible by page size`
        : `invalid page checksum(s) found in file ${path} at page(s) ${pages.join(", ")}`,
    );
  }

  /** Stores every block of a file. */
  async #again({ file, source }: Taken, target: BatchTarget): Promise<void> {
    const { repoIndex, block } = target;
    assert(block !== null && block.prior !== null, `'${file.name}' is to be stored again for nothing`);
    await this.#run.keepLeases();
    if (!this.#run.isAlive(repoIndex)) return;
    const { label } = this.#run.plan(repoIndex).manifest;
    const { stanza } = (this.#run.alive.find(({ repo }) => repo.key === repoIndex) as OpenBackup).repo;
    // Its bundle is closed by now.
    const own = {
      path: dataFilePath(stanza, label, { name: file.name, block: { mapSizeBytes: 1 } }, target.compress.type),
      bundleId: null,
    };
    const alone = { ...source, targets: [{ ...target, ...own, keepIf: null, block: { ...block, prior: null } }] };
    const result = await this.#deps.pool.run({ kind: "copyBatch", files: [alone] });
    await this.#take({ file, source: alone }, result.files[0] as BatchFileResult);
  }

  #rowOf(file: ScannedFile, result: BatchFileResult, target: BatchTarget, stored: BatchStored): ManifestFile {
    const { manifest, files, block } = this.#run.plan(target.repoIndex);
    if (stored.kept)
      return this.#keptRow(file, files.get(file.name), block?.prior?.rows.get(file.name), block?.prior?.manifest.label);
    const checksPages = manifest.options.checksumPage === true;
    const original = result.sizeBytes === file.sizeBytes ? {} : { sizeOriginalBytes: file.sizeBytes };
    if (manifest.bundle && result.sizeBytes === 0) return { ...emptyRow(file, checksPages), ...original };
    const { name, modifiedAtS, mode, user, group } = file;
    // Field by field: a spread object takes twice the memory, and there may be a million rows.
    const row: { -readonly [K in keyof ManifestFile]: ManifestFile[K] } = {
      name,
      sizeBytes: result.sizeBytes,
      sizeRepoBytes: stored.sizeRepoBytes,
      sha1: result.sizeBytes === 0 ? SHA1_EMPTY : result.sha1,
      modifiedAtS,
      mode,
      user,
      group,
    };
    if (result.sizeBytes !== file.sizeBytes) row.sizeOriginalBytes = file.sizeBytes;
    if (stored.sha1Repo !== undefined) row.sha1Repo = stored.sha1Repo;
    if (target.bundleId !== null) row.bundle = { id: target.bundleId, offsetBytes: stored.bundleOffsetBytes ?? 0 };
    if (target.block !== null && stored.mapSizeBytes !== undefined) {
      const { blockSizeBytes: sizeBytes, checksumSizeBytes } = target.block;
      row.block = { sizeBytes, checksumSizeBytes, mapSizeBytes: stored.mapSizeBytes };
    }
    if (checksPages && result.pagesValid !== undefined) row.checksumPage = result.pagesValid;
    if (checksPages && result.pageErrors !== undefined) row.pageErrors = result.pageErrors;
    return row;
  }

  /** The row that the plan compared with, or the prior copy whose blocks are all unchanged. */
  #keptRow(
    file: ScannedFile,
    choice: Choice | undefined,
    prior: ManifestFile | undefined,
    priorLabel: string | undefined,
  ): ManifestFile {
    if (choice?.kind === "compare") return choice.row;
    assert(prior !== undefined && priorLabel !== undefined, `'${file.name}' was kept without a prior copy`);
    return referenceTo(file, prior, priorLabel);
  }

  /** One save at a time; other callers do not wait for it. */
  async #saveSometimes(sizeBytes: number): Promise<void> {
    this.#unsavedBytes += sizeBytes;
    if (!this.#options.resume || this.#saving || this.#unsavedBytes < this.#saveStepBytes) return;
    this.#saving = true;
    this.#unsavedBytes = 0;
    await this.#run.forEach(async ({ repo, infoPass, lease }) => {
      const { manifest, files } = this.#run.plan(repo.key);
      await requireAttempt(repo, manifest.label, lease, infoPass);
      await saveManifestCopy(repo, { ...manifest, files: files.list(this.#gone) }, infoPass, this.#ctx);
    });
    this.#saving = false;
  }
}

/**
 * Full backups without bundles, and backups with hard links, keep every directory so that users can browse the tree
 * ("pgbackrest-format" 2).
 */
async function makeDirectories(run: BackupRun, scan: Scan): Promise<void> {
  await run.forEach(async ({ repo, lease }) => {
    const { manifest, bundle } = run.plan(repo.key);
    if (
      !repo.storage.features.directories ||
      bundle !== null ||
      (manifest.type !== "full" && !manifest.options.hardlink)
    )
      return;
    const root = backupPath(repo.stanza, manifest.label);
    await lease.keep();
    for (const path of scan.paths) await repo.storage.makePath(`${root}/${path.name}`);
    if (!repo.latestLink || !repo.storage.features.symlinks) return;
    for (const target of scan.targets) {
      if (target.tablespaceId !== undefined) {
        await repo.storage.link(
          `${root}/pg_data/pg_tblspc/${target.tablespaceId}`,
          `../../pg_tblspc/${target.tablespaceId}`,
        );
      }
    }
  });
}
