/**
 * Copies one backup into another repository. Every file is unpacked, checked against its SHA-1, packed with the
 * target's compression and keys, and stored; bundles stay bundles. Files stored in blocks stay so if the target stores
 * blocks (`repo-block`), else they become whole files.
 *
 * Jobs do the work. Nothing is visible before the copy is complete: manifest and backup.info come last. An interrupted
 * copy resumes at its last saved manifest copy, after the stored files were read and checked.
 */
import type { Context } from "../../base/context";
import { assert, fail, nullOn, toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { mapParallel, runWeighted } from "../../base/parallel";
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import { superBlockSizeOf } from "../../format/repository/blockSize";
import { findBlockSource } from "../../format/repository/blockSource";
import type { Manifest, ManifestFile } from "../../format/repository/manifest";
import {
  backupPath,
  backupsPath,
  bundlePath,
  copyOf,
  dataFilePath,
  manifestPath,
} from "../../format/repository/repoPath";
import { findAttempt, requireAttempt, saveAttempt } from "../../repository/attempt";
import { hasManifest, loadManifest, loadManifestFile, saveManifestCopy } from "../../repository/backupStore";
import { findTombstoneEndMs, isRemovedElsewhere, markExpired, removeManifests } from "../../repository/expireStore";
import type { Lease } from "../../repository/lease";
import { finishBackup, overwritesInOneStep, removeInSteps } from "../../repository/publish";
import { newSubPass, type Repository } from "../../repository/repository";
import type { BlockPlan } from "../backup/fileTargets";
import type { JobPool } from "../shared/jobs";
import { storedAt } from "../restore/restorePlan";
import type { CopiedFile, CopyFile, CopySource } from "./copyFiles";
import { type CopyForm, copyForm, copyManifest, divideRows, withStored } from "./syncPlan";

export interface SyncSide {
  readonly repo: Repository;
  /** Passphrase of its manifests; null without encryption. */
  readonly infoPass: string | null;
}

export interface SyncTarget extends SyncSide {
  readonly lease: Lease;
}

export interface CopiedBackup {
  readonly label: string;
  readonly sizeBytes: number;
  readonly fileCount: number;
  /** Files that an interrupted run had already copied. */
  readonly resumedCount: number;
}

/** Copied bytes between two saves of the progress. */
const SAVE_EVERY_BYTES = 256 * 1024 * 1024;

/**
 * The caller has checked that prior and references are in the target.
 * @throws when a file's bytes do not match the manifest; lockAcquire (50)
 */
export async function copyBackup(
  source: SyncSide,
  target: SyncTarget,
  entry: BackupInfoEntry,
  pool: JobPool,
  ctx: Context,
): Promise<CopiedBackup> {
  const manifest = await loadManifest(source.repo, entry.label, source.infoPass);
  const { repo, infoPass, lease } = target;
  const earlier = await loadEarlier(target, manifest);
  const prior = manifest.prior === undefined ? null : (earlier.get(manifest.prior) ?? null);
  const { partial, cipherPass } = await claim(target, manifest, ctx);
  const form = copyForm(manifest, repo, prior, () => (infoPass === null ? null : (cipherPass ?? newSubPass(ctx))));
  const byLabel = new Map(
    [...earlier].map(([label, own]) => [label, { references: own.references, rows: rowsOf(own) }]),
  );
  const { held, missing } = divideRows(manifest, byLabel, form.references);
  const known = prior === null ? null : { manifest: prior, rows: rowsOf(prior) };
  const copy = new Copy(
    { from: source.repo, to: repo, infoPass, lease },
    { source: manifest, entry, form, held, prior: known },
    pool,
    ctx,
  );
  const resumed = await copy.resume(partial, missing);
  await copy.save();
  await makeDirectories(repo, manifest);
  await copy.run(missing);
  const finished = copy.manifest();
  assert(
    finished.files.length === manifest.files.length,
    `copy of ${entry.label} has ${finished.files.length} of ${manifest.files.length} files`,
  );
  await syncDirectories(repo, finished);
  await finishBackup(repo, finished, { lease, pass: infoPass }, ctx);
  return { label: entry.label, sizeBytes: copy.copiedBytes, fileCount: finished.files.length, resumedCount: resumed };
}

interface Pair {
  readonly from: Repository;
  readonly to: Repository;
  /** Encrypts the target's manifests. */
  readonly infoPass: string | null;
  /** The target's lease. */
  readonly lease: Lease;
}

interface CopyPlan {
  readonly source: Manifest;
  readonly entry: BackupInfoEntry;
  readonly form: CopyForm;
  /** Rows whose bytes the target has. */
  readonly held: readonly ManifestFile[];
  /** The target's own copy of this backup's prior. */
  readonly prior: { readonly manifest: Manifest; readonly rows: ReadonlyMap<string, ManifestFile> } | null;
}

function rowsOf(manifest: Manifest): ReadonlyMap<string, ManifestFile> {
  return new Map(manifest.files.map((file) => [file.name, file]));
}

/** The target's manifests of all backups that this one refers to. */
async function loadEarlier(target: SyncSide, manifest: Manifest): Promise<Map<string, Manifest>> {
  const labels = new Set([...manifest.references, ...(manifest.prior === undefined ? [] : [manifest.prior])]);
  labels.delete(manifest.label);
  const manifests = new Map<string, Manifest>();
  for (const label of labels) {
    const loaded = await nullOn(loadManifest(target.repo, label, target.infoPass), "fileMissing");
    if (loaded !== null) manifests.set(label, loaded);
  }
  if (manifest.prior !== undefined && !manifests.has(manifest.prior)) {
    throw fail(
      "backupSetInvalid",
      `${target.repo.name} lacks ${manifest.prior}, the prior backup of ${manifest.label}`,
      {
        repoIndex: target.repo.key,
      },
    );
  }
  return manifests;
}

interface Claim {
  /** The manifest of an earlier attempt to resume. */
  readonly partial: Manifest | null;
  /**
   * Passphrase of another host's copy too: that host may wake and write a file once more, which must stay readable.
   * Undefined without an earlier attempt, or without encryption.
   */
  readonly cipherPass: string | undefined;
}

/**
 * Marks the directory as this attempt's.
 * @throws lockAcquire (50) when another host has begun a backup of its own under this label, or to remove one. It may
 * be asleep, and go on when this copy is complete
 */
async function claim(target: SyncTarget, manifest: Manifest, ctx: Context): Promise<Claim> {
  const { repo, infoPass, lease } = target;
  const { label } = manifest;
  await lease.check();
  const attempt = await findAttempt(repo, label, infoPass);
  const isForeign = attempt !== null && !lease.isOver(attempt.domain);
  if (isForeign && attempt.source !== null) {
    throw fail("lockAcquire", `another host has begun a backup of its own with this label in ${repo.name}`, {
      hint: `The next backup into ${repo.name} removes what is left of it, then sync can copy this one.`,
      repoIndex: repo.key,
    });
  }
  if (await isRemovedElsewhere(repo, label, lease)) {
    throw fail("lockAcquire", `another host has begun to remove the backup with this label from ${repo.name}`, {
      hint: `The next expire of ${repo.name} removes what is left of it, then sync can copy this one.`,
      repoIndex: repo.key,
    });
  }
  const endMs = await findTombstoneEndMs(repo, label);
  if (endMs !== null && endMs > ctx.clock.nowMs()) {
    throw fail("lockAcquire", `what another host began with this label was removed from ${repo.name}`, {
      hint: `That host may be asleep and write there again: sync can copy the backup after ${new Date(endMs).toISOString()}.`,
      repoIndex: repo.key,
    });
  }
  const left = await findPartial(target, manifest);
  const partial = isForeign ? null : left;
  // Another host may have left an unlisted manifest.
  if (isForeign && overwritesInOneStep(repo)) await markExpired(repo, label, null);
  else if (isForeign) await removeManifests(repo, label, lease);
  // Leftovers of another attempt under this label are useless, and may be linked to files of other backups.
  if (partial === null && !overwritesInOneStep(repo) && !(await hasManifest(repo, label)))
    await removeLeft(repo, label, lease);
  await lease.keep();
  await saveAttempt(repo, label, { lease, source: null, pass: infoPass }, ctx);
  return { partial, cipherPass: left?.cipherPass };
}

/** @throws lockAcquire (50) */
async function removeLeft({ storage, stanza }: Repository, label: string, lease: Lease): Promise<void> {
  const paths: string[] = [];
  for await (const { path, type } of storage.list(backupPath(stanza, label), { recursive: true }))
    if (type !== "directory") paths.push(path);
  await removeInSteps(storage, paths, lease);
}

/** The manifest that an interrupted run saved of the same backup; null without a readable one. */
async function findPartial(target: SyncSide, manifest: Manifest): Promise<Manifest | null> {
  const path = copyOf(manifestPath(target.repo.stanza, manifest.label));
  const partial = await nullOn(
    loadManifestFile(target.repo, path, target.infoPass),
    "fileMissing",
    "format",
    "checksum",
    "crypto",
  );
  const isSame =
    partial?.label === manifest.label &&
    partial.startedAtS === manifest.startedAtS &&
    partial.stoppedAtS === manifest.stoppedAtS;
  return isSame ? partial : null;
}

function bundlesOf(files: readonly ManifestFile[]): Map<number, ManifestFile[]> {
  const bundles = new Map<number, ManifestFile[]>();
  for (const file of files) {
    if (file.bundle === undefined) continue;
    bundles.set(file.bundle.id, [...(bundles.get(file.bundle.id) ?? []), file]);
  }
  return bundles;
}

class Copy {
  readonly placed = new Map<string, ManifestFile>();
  copiedBytes = 0;
  readonly #pair: Pair;
  readonly #plan: CopyPlan;
  readonly #pool: JobPool;
  readonly #ctx: Context;
  #savedAtBytes = 0;
  #saving: Promise<void> = Promise.resolve();

  constructor(pair: Pair, plan: CopyPlan, pool: JobPool, ctx: Context) {
    this.#pair = pair;
    this.#plan = plan;
    this.#pool = pool;
    this.#ctx = ctx;
  }

  /** The manifest of what is copied so far. */
  manifest(): Manifest {
    const { source, entry, form, held } = this.#plan;
    return copyManifest(source, entry, form, [...held, ...this.placed.values()]);
  }

  /** Keeps files of an interrupted run if their bytes are right; a bundle as a whole or not at all. */
  async resume(partial: Manifest | null, missing: readonly ManifestFile[]): Promise<number> {
    const { form } = this.#plan;
    if (partial === null || !isSameForm(partial, form)) return 0;
    const wanted = new Map(missing.map((file) => [file.name, file]));
    const isWanted = (file: ManifestFile): boolean => {
      const row = wanted.get(file.name);
      return (
        file.reference === undefined && row?.sha1 === file.sha1 && (file.block !== undefined) === this.#keepsBlocks(row)
      );
    };
    const whole = new Map<string, ManifestFile>();
    await mapParallel(partial.files.filter(isWanted), this.#pool.slots * LIMITS.filesPerWorker, async (file) => {
      if (await this.#isStored(partial, file)) whole.set(file.name, file);
    });
    const broken = new Set(
      missing.flatMap((file) => (file.bundle === undefined || whole.has(file.name) ? [] : [file.bundle.id])),
    );
    for (const file of whole.values())
      if (file.bundle === undefined || !broken.has(file.bundle.id)) this.placed.set(file.name, file);
    return this.placed.size;
  }

  async #isStored(partial: Manifest, file: ManifestFile): Promise<boolean> {
    const { to } = this.#pair;
    const { path, range, ...packing } = storedAt(to.key, to.stanza, partial, file);
    const job =
      file.sha1Repo === undefined
        ? { unpack: packing, sizeBytes: file.sizeBytes, sha1: file.sha1 }
        : { unpack: null, sizeBytes: file.sizeRepoBytes, sha1: file.sha1Repo };
    const { status } = await this.#pool.run({ kind: "verifyFile", repoIndex: to.key, path, range, ...job });
    return status === "ok";
  }

  /** Marks the directory as ours and makes the progress usable for a later run. */
  async save(): Promise<void> {
    this.#savedAtBytes = this.copiedBytes;
    const { to, lease, infoPass } = this.#pair;
    const partial = this.manifest();
    // In order: the newest manifest must be written last.
    this.#saving = this.#saving.then(async () => {
      await requireAttempt(to, partial.label, lease, infoPass);
      await saveManifestCopy(to, partial, infoPass, this.#ctx);
    });
    await this.#saving;
  }

  /** Copies all missing files, the largest first, several at a time. */
  async run(missing: readonly ManifestFile[]): Promise<void> {
    const { slots } = this.#pool;
    const rest = missing.filter((file) => !this.placed.has(file.name));
    const single = rest
      .filter((file) => file.bundle === undefined)
      .sort((left, right) => right.sizeBytes - left.sizeBytes);
    const files = single.map((file) => ({
      weight: file.sizeBytes > LIMITS.chunkSizeBytes ? LIMITS.filesPerWorker : 1,
      run: () => this.#copy([file], null),
    }));
    const bundles = [...bundlesOf(rest)].map(([id, members]) => ({
      weight: LIMITS.filesPerWorker,
      run: () => this.#copy(members, id),
    }));
    await runWeighted([...files, ...bundles], slots * LIMITS.filesPerWorker);
  }

  async #copy(files: readonly ManifestFile[], bundleId: number | null, withPrior = true): Promise<void> {
    if (this.#ctx.signal.aborted) throw toBackupError(this.#ctx.signal.reason, "term");
    // The label is the source's, so another host may copy under it too. A process that has slept must not overwrite
    // that copy.
    const { from, to, lease } = this.#pair;
    await lease.keep();
    const wanted = files.map((file) => ({ ...this.#job(file, bundleId, withPrior) }));
    const done = await this.#pool.run({ kind: "syncFiles", fromKey: from.key, toKey: to.key, files: wanted });
    for (const [index, file] of files.entries()) {
      const copied = done[index];
      assert(copied !== undefined, `'${file.name}' was not copied`);
      if (copied.kind === "collided") await this.#copy([file], null, false);
      else this.placed.set(file.name, this.#rowOf(file, copied, bundleId));
    }
    this.copiedBytes += files.reduce((sum, file) => sum + file.sizeBytes, 0);
    if (this.copiedBytes - this.#savedAtBytes >= SAVE_EVERY_BYTES) await this.save();
  }

  #job(file: ManifestFile, bundleId: number | null, withPrior: boolean): CopyFile {
    const { source, form } = this.#plan;
    const { from, to } = this.#pair;
    const { label } = source;
    const block = this.#keepsBlocks(file) ? this.#blockPlan(file, withPrior) : null;
    // The map's size is not known yet; the name only needs to know that there is a map.
    const own = { name: file.name, ...(block === null ? {} : { block: { mapSizeBytes: 1 } }) };
    const path =
      bundleId === null
        ? dataFilePath(to.stanza, label, own, form.compress.type)
        : bundlePath(to.stanza, label, bundleId);
    const raw = bundleId !== null && form.bundleRaw;
    return {
      name: file.name,
      sizeBytes: file.sizeBytes,
      sha1: file.sha1,
      source: copySource(from, source, file),
      target: { repoIndex: to.key, path, bundleId, raw, block, compress: form.compress, cipherPass: form.cipherPass },
    };
  }

  #keepsBlocks(file: ManifestFile | undefined): boolean {
    return this.#plan.form.block !== null && (file?.block?.mapSizeBytes ?? 0) > 0;
  }

  /** The source's blocks without those in the target's prior copy of the file. */
  #blockPlan(file: ManifestFile, withPrior: boolean): BlockPlan | null {
    const { form, source, prior } = this.#plan;
    const { block } = file;
    if (form.block === null || block === undefined) return null;
    const row = withPrior ? prior?.rows.get(file.name) : undefined;
    const isSameCut =
      row?.block?.sizeBytes === block.sizeBytes && row.block.checksumSizeBytes === block.checksumSizeBytes;
    const priorSource =
      row === undefined || prior === null || !isSameCut
        ? null
        : findBlockSource(this.#pair.to.stanza, prior.manifest, row);
    return {
      blockSizeBytes: block.sizeBytes,
      checksumSizeBytes: block.checksumSizeBytes,
      superBlockSizeBytes: superBlockSizeOf(form.block, source.type, block.sizeBytes),
      reference: form.references.length - 1,
      prior:
        priorSource === null || row === undefined
          ? null
          : { source: priorSource, sizeBytes: row.sizeBytes, sha1: row.sha1 },
    };
  }

  #rowOf(file: ManifestFile, copied: Exclude<CopiedFile, { kind: "collided" }>, bundleId: number | null): ManifestFile {
    if (copied.kind === "kept") {
      const { prior } = this.#plan;
      const row = prior?.rows.get(file.name);
      assert(prior !== null && row !== undefined, `'${file.name}' was kept without a prior copy`);
      return withStored(file, { ...row, reference: row.reference ?? prior.manifest.label });
    }
    const { sizeRepoBytes, sha1Repo, bundleOffsetBytes, mapSizeBytes } = copied;
    return withStored(file, {
      sizeRepoBytes,
      ...(sha1Repo === undefined ? {} : { sha1Repo }),
      ...(bundleId === null ? {} : { bundle: { id: bundleId, offsetBytes: bundleOffsetBytes ?? 0 } }),
      ...(mapSizeBytes === undefined || file.block === undefined ? {} : { block: { ...file.block, mapSizeBytes } }),
    });
  }
}

/** True when earlier stored files fit next to new ones. */
function isSameForm(partial: Manifest, form: CopyForm): boolean {
  return (
    partial.options.compressType === form.compress.type &&
    (partial.cipherPass ?? null) === form.cipherPass &&
    partial.bundleRaw === form.bundleRaw &&
    partial.references.join() === form.references.join()
  );
}

function copySource(from: Repository, manifest: Manifest, file: ManifestFile): CopySource {
  const blocks = findBlockSource(from.stanza, manifest, file);
  if (blocks !== null) return { kind: "blocks", blocks };
  const { path, range, cipherPass, compressType, raw } = storedAt(from.key, from.stanza, manifest, file);
  return { kind: "stored", path, range, cipherPass, compressType, raw };
}

/** All directories, even empty ones, as a backup without bundles has them. */
async function makeDirectories(repo: Repository, manifest: Manifest): Promise<void> {
  if (!repo.storage.features.directories || manifest.bundle) return;
  const root = backupPath(repo.stanza, manifest.label);
  for (const path of manifest.paths) await repo.storage.makePath(`${root}/${path.name}`);
}

/** Data files were written in place. Their names become durable here, before anything refers to them. */
async function syncDirectories(repo: Repository, manifest: Manifest): Promise<void> {
  if (!repo.storage.features.directories) return;
  const root = backupPath(repo.stanza, manifest.label);
  const names = new Set<string>();
  for (const file of manifest.files) {
    if (file.reference !== undefined) continue;
    if (file.bundle !== undefined) names.add("bundle");
    else if (!manifest.bundle || file.sizeBytes > 0) names.add(file.name.slice(0, file.name.lastIndexOf("/")));
  }
  for (const name of names) await repo.storage.syncPath(`${root}/${name}`);
  await repo.storage.syncPath(root);
  await repo.storage.syncPath(backupsPath(repo.stanza));
}
