/**
 * Verifies the backups of a repository: do their references exist, and do their bytes match their manifests?
 *
 * Bytes that several backups refer to are read once and judged for all of them, also those of a block incremental file
 * in earlier backups. Files of a bundle are read by one request. Memory holds one manifest, or two with a set by its
 * label, and some thirty bytes for each stored file of its set.
 *
 * With a sample, one listing of each backup's directory compares names and sizes of all its files. Files that differ
 * are read too, so that reading judges them.
 */
import { hash } from "node:crypto";
import type { Context } from "../../base/context";
import { fail, nullOn, toBackupError } from "../../base/errors";
import { Measured } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import { mapParallel } from "../../base/parallel";
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import { fullLabelOf, isLabel } from "../../format/repository/label";
import { viewAt, viewsOf } from "../../format/repository/fileRows";
import type { FileView, Manifest } from "../../format/repository/manifest";
import { loadManifest } from "../../repository/backupStore";
import { listDoubtful } from "../../repository/stored";
import type { Repository } from "../../repository/repository";
import type { JobPool } from "../shared/jobs";
import { basesOf, isInBlocks, namesByBase } from "./blockBases";
import { SeenLocations } from "./seenLocations";
import { storedAt } from "../restore/restorePlan";
import type { RestoreSource } from "../restore/restoreFile";
import type { VerifyBundleJob } from "./verifyBundle";
import { isUnread, type VerifyFileJob, type VerifyFileResult } from "./verifyFile";
import { statusOf, Tally, type VerifyCounts } from "./tally";

export interface BackupVerdict {
  readonly label: string;
  readonly status: "valid" | "invalid" | "manifest missing" | "not read";
  readonly counts: VerifyCounts;
}

export interface BackupsInput {
  readonly repo: Repository;
  readonly pool: JobPool;
  /** The backups to check. */
  readonly entries: readonly BackupInfoEntry[];
  /** All backups in backup.info. */
  readonly listed: readonly BackupInfoEntry[];
  readonly pass: string | null;
  /** Percentage of the files to read, 100 for all. */
  readonly samplePercent: number;
  /** Receives each readable manifest after its files were checked. */
  readonly visit?: (manifest: Manifest) => Promise<void>;
}

export interface BackupsVerdict {
  readonly verdicts: readonly BackupVerdict[];
  /** Backups with a readable manifest, in order: SHA-1 of what was read of the main file, by label. */
  readonly readable: ReadonlyMap<string, string>;
}

/** Some ten thousand files: less is not worth a collection. */
const LARGE_MANIFEST_BYTES = 2 * 1024 * 1024;

export async function verifyBackups(input: BackupsInput, problems: string[], ctx: Context): Promise<BackupsVerdict> {
  const reader = new FileReader(input, ctx);
  const verdicts: BackupVerdict[] = [];
  const readable = new Map<string, string>();
  for (const entry of input.entries) {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    const measured = new Measured();
    const readableOne = (): void => void readable.set(entry.label, measured.result().sha1);
    verdicts.push(await verifyOne(input, entry, { reader, measured, readable: readableOne }, problems));
    if (measured.result().sizeBytes >= LARGE_MANIFEST_BYTES) input.pool.collect?.();
  }
  return { verdicts, readable };
}

async function verifyOne(
  input: BackupsInput,
  entry: BackupInfoEntry,
  { measured, readable, reader }: { readonly measured: Measured; readonly reader: FileReader; readable(): void },
  problems: string[],
): Promise<BackupVerdict> {
  const { label } = entry;
  const tally = new Tally(problems);
  let manifest: Manifest;
  try {
    manifest = await loadManifest(input.repo, label, input.pass, measured);
  } catch (error) {
    problems.push(`${label}: [${toBackupError(error).name}] ${toBackupError(error).message}`);
    return { label, status: manifestStatus(error), counts: tally.counts() };
  }
  readable();
  const broken = brokenReferences(entry, manifest, reader.listed);
  problems.push(...broken.map((line) => `${label}: ${line}`));
  await reader.compareListings(manifest);
  await reader.readBases(manifest);
  await reader.check(manifest, tally);
  await reader.countBases(manifest, tally);
  await input.visit?.(manifest);
  const counts = tally.counts();
  return { label, status: broken.length === 0 ? statusOf(counts) : "invalid", counts };
}

/** The status of a backup or dump without its manifest. */
export function manifestStatus(thrown: unknown): "manifest missing" | "not read" {
  return isUnread(toBackupError(thrown)) ? "not read" : "manifest missing";
}

/** A backup's references must be listed, and its manifest must agree with backup.info. Pure. */
export function brokenReferences(entry: BackupInfoEntry, manifest: Manifest, listed: ReadonlySet<string>): string[] {
  const needed = new Set([...manifest.references, ...(manifest.prior === undefined ? [] : [manifest.prior])]);
  for (const { reference } of viewsOf(manifest.files)) if (reference !== undefined) needed.add(reference);
  needed.delete(manifest.label);
  const lines = [...needed]
    .sort()
    .flatMap((label) => (listed.has(label) ? [] : [`refers to backup ${label}, which is not in backup.info`]));
  if (entry.prior !== manifest.prior) {
    lines.push(
      `prior backup is ${manifest.prior ?? "none"} in its manifest and ${entry.prior ?? "none"} in backup.info`,
    );
  }
  return lines;
}

/** Files read by one request, by their positions in the manifest: a separate file, or files of one bundle. */
type Piece = number | readonly number[];

/** Reads each stored range once, however many backups refer to it. */
class FileReader {
  readonly #input: BackupsInput;
  readonly #ctx: Context;
  /**
   * Results by location, null for files outside the sample. Only of the current set: no backup refers to another set.
   */
  readonly #seen = new SeenLocations(OK);
  /** Errors of block incremental files of the current set, by {@link baseKey}. */
  readonly #damagedBlocks = new Map<string, VerifyFileResult>();
  /** Paths of the current set that a listing lacks or shows with another size: read in any sample. */
  readonly #doubtful = new Set<string>();
  #fullLabel = "";
  readonly #inRun: ReadonlySet<string>;
  /** Labels of backup.info. */
  readonly listed: ReadonlySet<string>;

  constructor(input: BackupsInput, ctx: Context) {
    this.#input = input;
    this.#ctx = ctx;
    this.#inRun = new Set(input.entries.map(({ label }) => label));
    this.listed = new Set(input.listed.map(({ label }) => label));
  }

  /**
   * Counts the sampled files. An error in a file that an earlier backup already read is reported for this backup too.
   */
  async check(manifest: Manifest, tally: Tally): Promise<void> {
    this.#enterSet(manifest.label);
    const { pieces, known } = this.#sort(manifest);
    const problems = await mapParallel(pieces, this.#input.pool.slots * LIMITS.filesPerWorker, (piece) =>
      this.#read(manifest, piece, tally),
    );
    for (const result of problems.flat()) tally.add(result);
    for (const index of known) {
      const file = viewAt(manifest.files, index);
      const { status, text } = this.#seen.get(fingerprintOf(this.#sourceOf(manifest, file), file)) ?? OK;
      tally.add(status === "ok" ? OK : { status, text: `${manifest.label}: ${text}` });
    }
  }

  /** Looks at every file of the backup, and of the backups outside this run that it refers to, by listings. */
  async compareListings(manifest: Manifest): Promise<void> {
    this.#enterSet(manifest.label);
    const { pass, repo, samplePercent } = this.#input;
    if (samplePercent >= 100) return;
    const add = async (listed: Manifest): Promise<void> => {
      for (const path of await listDoubtful(repo, listed)) this.#doubtful.add(path);
    };
    await add(manifest);
    for (const label of this.#outsideOf(manifest)) {
      const base = await nullOn(loadManifest(repo, label, pass), "fileMissing", "format", "checksum", "crypto");
      if (base !== null) await add(base);
    }
  }

  /** References to backups that this run does not check by themselves. */
  #outsideOf({ references }: Manifest): readonly string[] {
    return references.filter((label) => !this.#inRun.has(label));
  }

  /** Reads what backups outside this run hold of block incremental files; {@link countBases} counts the errors. */
  async readBases(manifest: Manifest): Promise<void> {
    this.#enterSet(manifest.label);
    const { pass, repo } = this.#input;
    const outside = this.#outsideOf(manifest);
    if (outside.length === 0) return;
    for (const [label, names] of await namesByBase(repo, manifest, outside)) {
      if (names.size === 0) continue;
      try {
        const base = await loadManifest(repo, label, pass);
        const files = base.files.filter((file) => file.reference === undefined && names.has(file.name));
        if (files.length < names.size)
          throw fail("format", `its manifest lacks ${names.size - files.length} file(s) with blocks`);
        await this.check({ ...base, files }, new Tally([]));
      } catch (error) {
        const { name: kind, message } = toBackupError(error);
        const status = isUnread(toBackupError(error)) ? "unread" : "other";
        for (const name of names)
          this.#damagedBlocks.set(baseKey(label, name), { status, text: `${label}: [${kind}] ${message}` });
      }
    }
  }

  /** An error in an earlier backup's part of a block incremental file is an error of this backup too. */
  async countBases(manifest: Manifest, tally: Tally): Promise<void> {
    if (this.#damagedBlocks.size === 0) return;
    for (const file of manifest.files.filter(isInBlocks)) {
      if (!manifest.references.some((label) => this.#damagedBlocks.has(baseKey(label, file.name)))) continue;
      for (const label of await basesOf(this.#input.repo, manifest, file)) {
        const damage = this.#damagedBlocks.get(baseKey(label, file.name));
        if (damage !== undefined) tally.add({ ...damage, text: `${manifest.label}: ${damage.text}` });
      }
    }
  }

  #enterSet(label: string): void {
    const fullLabel = isLabel(label) ? fullLabelOf(label) : label;
    if (fullLabel === this.#fullLabel) return;
    this.#fullLabel = fullLabel;
    this.#seen.clear();
    this.#doubtful.clear();
    this.#damagedBlocks.clear();
  }

  /** Pieces to read, separate files first, and files whose location was already read. */
  #sort(manifest: Manifest): { readonly pieces: readonly Piece[]; readonly known: readonly number[] } {
    const pieces: Piece[] = [];
    const bundles = new Map<string, number[]>();
    const known: number[] = [];
    for (let index = 0; index < manifest.files.length; index++) {
      const file = viewAt(manifest.files, index);
      if (file.sizeBytes === 0 && file.sizeRepoBytes === 0) continue;
      const source = this.#sourceOf(manifest, file);
      const fingerprint = fingerprintOf(source, file);
      const seen = this.#seen.get(fingerprint);
      if (seen === null) continue;
      if (seen !== undefined) {
        known.push(index);
        continue;
      }
      const isWanted = isInSample(this.#input.samplePercent, this.#ctx) || this.#doubtful.has(source.path);
      this.#seen.set(fingerprint, isWanted ? OK : null);
      if (!isWanted) continue;
      if (source.range === null || (file.sha1Repo === undefined && !isPlain(source))) pieces.push(index);
      else {
        const bundle = bundles.get(source.path);
        if (bundle === undefined) bundles.set(source.path, [index]);
        else bundle.push(index);
      }
    }
    return { pieces: [...pieces, ...bundles.values()], known };
  }

  /** Returns the errors; counts and remembers the rest. */
  async #read(manifest: Manifest, piece: Piece, tally: Tally): Promise<readonly VerifyFileResult[]> {
    const isBundle = typeof piece !== "number";
    const files = (isBundle ? piece : [piece]).map((index) => viewAt(manifest.files, index));
    const [first] = files as [FileView];
    const results = isBundle
      ? await this.#bundle(manifest, files)
      : [await this.#file(this.#sourceOf(manifest, first), first)];
    const problems: VerifyFileResult[] = [];
    for (const [index, file] of files.entries()) {
      const result = results[index] ?? NO_RESULT;
      if (result.status === "ok") {
        tally.add(OK);
        continue;
      }
      this.#seen.set(fingerprintOf(this.#sourceOf(manifest, file), file), result);
      if (isInBlocks(file)) this.#damagedBlocks.set(baseKey(file.reference ?? manifest.label, file.name), result);
      problems.push(result);
    }
    return problems.length === 0 ? NOTHING : problems;
  }

  #sourceOf(manifest: Manifest, file: FileView): RestoreSource {
    const { repo } = this.#input;
    return storedAt(repo.key, repo.stanza, manifest, file);
  }

  #bundle(manifest: Manifest, files: readonly FileView[]): Promise<readonly VerifyFileResult[]> {
    const extents = files.map((file) => {
      const { offsetBytes = 0 } = this.#sourceOf(manifest, file).range ?? {};
      return { offsetBytes, sizeBytes: file.sizeRepoBytes, sha1: file.sha1Repo ?? file.sha1 };
    });
    const { path } = this.#sourceOf(manifest, files[0] as FileView);
    return this.#input.pool.run<VerifyBundleJob>({
      kind: "verifyBundle",
      repoIndex: this.#input.repo.key,
      path,
      extents,
    });
  }

  #file({ path, range, cipherPass, compressType, raw }: RestoreSource, file: FileView): Promise<VerifyFileResult> {
    const base = { kind: "verifyFile", repoIndex: this.#input.repo.key, path, range } as const;
    if (file.sha1Repo !== undefined)
      return this.#input.pool.run<VerifyFileJob>({
        ...base,
        unpack: null,
        sizeBytes: file.sizeRepoBytes,
        sha1: file.sha1Repo,
      });
    return this.#input.pool.run<VerifyFileJob>({
      ...base,
      unpack: { cipherPass, compressType, raw },
      sizeBytes: file.sizeBytes,
      sha1: file.sha1,
    });
  }
}

export function isInSample(samplePercent: number, { random }: Pick<Context, "random">): boolean {
  if (samplePercent >= 100) return true;
  const [high = 0, low = 0] = random.bytes(2);
  return ((high * 256 + low) / 65_536) * 100 < samplePercent;
}

const OK: VerifyFileResult = { status: "ok", text: "" };
const NOTHING: readonly VerifyFileResult[] = [];
const NO_RESULT: VerifyFileResult = { status: "other", text: "no result" };

function baseKey(label: string, name: string): string {
  return `${label}/${name}`;
}

/** Twenty characters for the location and checksum of stored bytes: the plain text is ten times as long. */
function fingerprintOf({ path, range }: RestoreSource, { sizeRepoBytes, sha1, sha1Repo }: FileView): string {
  return hash("sha1", `${path}:${range?.offsetBytes ?? 0}:${sizeRepoBytes}:${sha1Repo ?? sha1}`, "binary");
}

/** Neither compressed nor encrypted: the original checksum is that of the stored bytes. */
function isPlain({ compressType, cipherPass }: RestoreSource): boolean {
  return compressType === "none" && cipherPass === null;
}
