/** Hands every scanned file to the workers and gathers the rows of each repository's manifest. */
import type { Context } from "../../base/context";
import { assert } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { mapParallel } from "../../base/parallel";
import { formatSize } from "../../base/units";
import type { ManifestFile } from "../../format/manifest";
import { backupPath, dataFilePath } from "../../format/repoPath";
import type { Scan, ScannedFile } from "../../postgres/dataDirectory";
import type { JobPool } from "../jobs";
import type { CopyFileResult, CopyTarget } from "./copyFile";
import { copyOrder, pageSegmentOf } from "./plan";
import type { BackupRun } from "./run";

export interface CopyOptions {
  readonly dataDirectory: string;
  readonly pageSizeBytes: number;
  readonly checkPages: boolean;
  readonly pageHeaderCheck: boolean;
}

export interface Copied {
  readonly rows: ReadonlyMap<number, ManifestFile[]>;
  readonly sizeBytes: number;
  readonly fileCount: number;
}

interface CopyDeps {
  readonly pool: JobPool;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

const PROGRESS_STEP_MS = 2000;

/** @throws when a file of the cluster cannot be read; a repository that fails leaves the run instead */
export async function copyFiles(run: BackupRun, scan: Scan, deps: CopyDeps, options: CopyOptions, ctx: Context): Promise<Copied> {
  await makeDirectories(run, scan);
  const rows = new Map<number, ManifestFile[]>(run.alive.map(({ repo }) => [repo.key, []]));
  const totalBytes = scan.files.reduce((sum, file) => sum + file.sizeBytes, 0);
  const progress = new Progress(totalBytes, deps.onProgress, ctx);
  let sizeBytes = 0;
  let fileCount = 0;

  const copyOne = async (file: ScannedFile): Promise<void> => {
    run.requireOne();
    const targets = targetsOf(run, file);
    const result = await deps.pool.run({
      kind: "copyFile",
      name: file.name,
      sourcePath: file.sourcePath,
      sizeBytes: file.sizeBytes,
      pages: pagesOf(file, options),
      controlOf: file.name === "pg_data/global/pg_control" ? options.dataDirectory : null,
      targets,
    });
    progress.add(file.sizeBytes);
    if (result.missing) {
      ctx.log.detail(`skip file removed by database ${file.sourcePath}`);
      return;
    }
    sizeBytes += result.sizeBytes;
    fileCount++;
    warnPages(file, result, ctx);
    for (const repo of result.repos) {
      if (repo.ok) rows.get(repo.repoKey)?.push(copiedRow(file, result, repo.value));
      else run.leave(repo.repoKey, repo.error);
    }
    ctx.log.detail(`backup file ${file.sourcePath} (${formatSize(result.sizeBytes)}, ${progress.percent()}%) checksum ${result.sha1}`);
  };

  const ordered = copyOrder(scan.files);
  // Large files one per slot, so that memory stays bounded; then small ones, several per slot, to hide a store's latency.
  const large = ordered.filter((file) => file.sizeBytes > LIMITS.chunkSizeBytes);
  const small = ordered.slice(large.length);
  await mapParallel(large, deps.pool.slots, copyOne);
  await mapParallel(small, deps.pool.slots * LIMITS.filesPerWorker, copyOne);
  run.requireOne();
  assert(sizeBytes > 0, "a backup without a single byte");
  return { rows, sizeBytes, fileCount };
}

function targetsOf(run: BackupRun, file: ScannedFile): CopyTarget[] {
  return run.alive.map(({ repo }): CopyTarget => {
    const manifest = run.manifest(repo.key);
    return {
      repoKey: repo.key,
      path: dataFilePath(repo.stanza, manifest.label, { name: file.name }, repo.compress.type),
      compress: repo.compress,
      cipherPass: manifest.cipherPass ?? null,
    };
  });
}

function pagesOf(file: ScannedFile, options: CopyOptions): { segmentNo: number; pageSizeBytes: number; headerCheck: boolean } | null {
  const segment = options.checkPages ? pageSegmentOf(file.name) : null;
  return segment === null ? null : { segmentNo: segment.segmentNo, pageSizeBytes: options.pageSizeBytes, headerCheck: options.pageHeaderCheck };
}

function copiedRow(file: ScannedFile, result: CopyFileResult, stored: { sizeRepoBytes: number; sha1Repo?: string }): ManifestFile {
  const { name, modifiedAtS, mode, user, group } = file;
  return {
    name,
    sizeBytes: result.sizeBytes,
    ...(result.sizeBytes === file.sizeBytes ? {} : { sizeOriginalBytes: file.sizeBytes }),
    sizeRepoBytes: stored.sizeRepoBytes,
    sha1: result.sha1,
    ...(stored.sha1Repo === undefined ? {} : { sha1Repo: stored.sha1Repo }),
    modifiedAtS,
    mode,
    user,
    group,
    ...(result.pagesValid === undefined ? {} : { checksumPage: result.pagesValid }),
    ...(result.pageErrors === undefined ? {} : { pageErrors: result.pageErrors }),
  };
}

function warnPages(file: ScannedFile, result: CopyFileResult, ctx: Context): void {
  if (result.pagesValid !== false) return;
  const pages = (result.pageErrors ?? []).map((range) => (typeof range === "number" ? String(range) : `${range[0]}-${range[1]}`));
  const where = pages.length === 0 ? `page misalignment in file ${file.sourcePath}: file size ${result.sizeBytes} is not divisible by page size` : "";
  ctx.log.warn(where !== "" ? where : `invalid page checksum(s) found in file ${file.sourcePath} at page(s) ${pages.join(", ")}`);
}

/** Full backups without bundles keep every directory, so that empty ones exist and the tree can be looked at ("pgbackrest-format" 2). */
async function makeDirectories(run: BackupRun, scan: Scan): Promise<void> {
  await run.forEach(async ({ repo }) => {
    if (!repo.storage.features.directories) return;
    const root = backupPath(repo.stanza, run.manifest(repo.key).label);
    for (const path of scan.paths) await repo.storage.makePath(`${root}/${path.name}`);
    if (!repo.latestLink || !repo.storage.features.symlinks) return;
    for (const target of scan.targets) {
      if (target.tablespaceId !== undefined) {
        await repo.storage.link(`${root}/pg_data/pg_tblspc/${target.tablespaceId}`, `../../pg_tblspc/${target.tablespaceId}`);
      }
    }
  });
}

class Progress {
  readonly #totalBytes: number;
  readonly #report: (doneBytes: number, totalBytes: number) => void;
  readonly #ctx: Context;
  #doneBytes = 0;
  #beganAtMs: number;
  #loggedAtMs: number;

  constructor(totalBytes: number, report: (doneBytes: number, totalBytes: number) => void, ctx: Context) {
    this.#totalBytes = totalBytes;
    this.#report = report;
    this.#ctx = ctx;
    this.#beganAtMs = ctx.clock.monotonicMs();
    this.#loggedAtMs = this.#beganAtMs;
    report(0, totalBytes);
  }

  add(sizeBytes: number): void {
    this.#doneBytes += sizeBytes;
    const nowMs = this.#ctx.clock.monotonicMs();
    if (nowMs - this.#loggedAtMs < PROGRESS_STEP_MS) return;
    this.#loggedAtMs = nowMs;
    this.#report(this.#doneBytes, this.#totalBytes);
    const rate = (this.#doneBytes / (nowMs - this.#beganAtMs)) * 1000;
    this.#ctx.log.info(
      `copied ${formatSize(this.#doneBytes)} of ${formatSize(this.#totalBytes)} (${this.percent()}%), ${formatSize(Math.round(rate))}/s`,
    );
  }

  percent(): string {
    return this.#totalBytes === 0 ? "100" : ((this.#doneBytes / this.#totalBytes) * 100).toFixed(2);
  }
}
