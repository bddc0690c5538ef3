/**
 * The backups of a repository: does each find what it refers to, and are the bytes what its manifest says?
 *
 * Bytes that several backups refer to are read once and judged for all of them. Files of a bundle are read by one request.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { mapParallel } from "../../base/parallel";
import type { BackupInfoEntry } from "../../format/backupInfo";
import type { Manifest, ManifestFile } from "../../format/manifest";
import { loadManifest } from "../../repository/backupStore";
import type { Repository } from "../../repository/repository";
import type { JobPool } from "../jobs";
import { storedAt } from "../restore/plan";
import type { RestoreSource } from "../restore/restoreFile";
import type { VerifyBundleJob } from "../verifyBundle";
import type { VerifyFileJob, VerifyFileResult } from "../verifyFile";
import { Tally, type VerifyCounts } from "./tally";

export interface BackupVerdict {
  readonly label: string;
  readonly status: "valid" | "invalid" | "manifest missing";
  readonly counts: VerifyCounts;
}

export interface BackupsInput {
  readonly repo: Repository;
  readonly pool: JobPool;
  /** What is looked at. */
  readonly entries: readonly BackupInfoEntry[];
  /** Everything that backup.info names. */
  readonly listed: readonly BackupInfoEntry[];
  readonly pass: string | null;
  /** Share of the files that is read, 100 for all. */
  readonly samplePercent: number;
}

export interface BackupsVerdict {
  readonly verdicts: readonly BackupVerdict[];
  /** By label, those that could be read. */
  readonly manifests: ReadonlyMap<string, Manifest>;
}

export async function verifyBackups(input: BackupsInput, problems: string[], ctx: Context): Promise<BackupsVerdict> {
  const reader = new FileReader(input, ctx);
  const manifests = new Map<string, Manifest>();
  const verdicts: BackupVerdict[] = [];
  for (const entry of input.entries) {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    verdicts.push(await verifyOne(input, entry, reader, manifests, problems));
  }
  return { verdicts, manifests };
}

async function verifyOne(
  input: BackupsInput,
  entry: BackupInfoEntry,
  reader: FileReader,
  manifests: Map<string, Manifest>,
  problems: string[],
): Promise<BackupVerdict> {
  const { label } = entry;
  const tally = new Tally(problems);
  let manifest: Manifest;
  try {
    manifest = await loadManifest(input.repo, label, input.pass);
  } catch (error) {
    problems.push(`${label}: [${toBackupError(error).name}] ${toBackupError(error).message}`);
    return { label, status: "manifest missing", counts: tally.counts() };
  }
  manifests.set(label, manifest);
  const broken = brokenReferences(entry, manifest, input.listed);
  problems.push(...broken.map((line) => `${label}: ${line}`));
  const files = manifest.files.filter((file) => file.sizeBytes > 0 || file.sizeRepoBytes > 0);
  for (const result of await reader.check(manifest, files)) tally.add(result);
  const counts = tally.counts();
  return { label, status: counts.valid === counts.total && broken.length === 0 ? "valid" : "invalid", counts };
}

/** What a backup builds on must be listed, and the manifest must say the same as backup.info. Pure. */
export function brokenReferences(entry: BackupInfoEntry, manifest: Manifest, listed: readonly BackupInfoEntry[]): string[] {
  const labels = new Set(listed.map((other) => other.label));
  const needed = new Set([...manifest.references, ...(manifest.prior === undefined ? [] : [manifest.prior])]);
  for (const file of manifest.files) if (file.reference !== undefined) needed.add(file.reference);
  needed.delete(manifest.label);
  const lines = [...needed].sort().flatMap((label) => (labels.has(label) ? [] : [`refers to backup ${label}, which is not in backup.info`]));
  if (entry.prior !== manifest.prior) {
    lines.push(`prior backup is ${manifest.prior ?? "none"} in its manifest and ${entry.prior ?? "none"} in backup.info`);
  }
  return lines;
}

/** Reads each stored place once, whoever asks for it. */
class FileReader {
  readonly #input: BackupsInput;
  readonly #ctx: Context;
  readonly #seen = new Map<string, Promise<VerifyFileResult> | null>();

  constructor(input: BackupsInput, ctx: Context) {
    this.#input = input;
    this.#ctx = ctx;
  }

  /** Results of the files that are in the sample, those that another backup has asked for before named for this one. */
  async check(manifest: Manifest, files: readonly ManifestFile[]): Promise<VerifyFileResult[]> {
    const { repo, pool } = this.#input;
    const known: Promise<VerifyFileResult>[] = [];
    const single: [string, RestoreSource, ManifestFile][] = [];
    const bundles = new Map<string, Place[]>();
    for (const file of files) {
      const source = storedAt(repo.key, repo.stanza, manifest, file);
      const key = `${source.path}:${source.range?.offsetBytes ?? 0}`;
      const seen = this.#seen.get(key);
      if (seen === null || (seen === undefined && !this.#isInSample())) {
        this.#seen.set(key, null);
      } else if (seen !== undefined) {
        known.push(seen.then(({ status, text }) => ({ status, text: `${manifest.label}: ${text}` })));
      } else if (source.range !== null && (file.sha1Repo !== undefined || isPlain(source))) {
        const place = { key, offsetBytes: source.range.offsetBytes, sizeBytes: file.sizeRepoBytes, sha1: file.sha1Repo ?? file.sha1 };
        bundles.set(source.path, [...(bundles.get(source.path) ?? []), place]);
      } else {
        single.push([key, source, file]);
      }
    }
    const jobs = [
      ...single.map(
        ([key, source, file]) =>
          () =>
            this.#remember(
              [key],
              this.#file(source, file).then((result) => [result]),
            ),
      ),
      ...[...bundles].map(
        ([path, places]) =>
          () =>
            this.#remember(
              places.map(({ key }) => key),
              this.#bundle(path, places),
            ),
      ),
    ];
    const results = await mapParallel(jobs, pool.slots * LIMITS.filesPerWorker, (job) => job());
    return [...results.flat(), ...(await Promise.all(known))];
  }

  async #remember(keys: readonly string[], work: Promise<readonly VerifyFileResult[]>): Promise<readonly VerifyFileResult[]> {
    const missing: VerifyFileResult = { status: "other", text: "no result" };
    for (const [index, key] of keys.entries())
      this.#seen.set(
        key,
        work.then((results) => results[index] ?? missing),
      );
    return work;
  }

  #isInSample(): boolean {
    const { samplePercent } = this.#input;
    if (samplePercent >= 100) return true;
    const [high = 0, low = 0] = this.#ctx.random.bytes(2);
    return ((high * 256 + low) / 65_536) * 100 < samplePercent;
  }

  #bundle(path: string, extents: readonly Place[]): Promise<readonly VerifyFileResult[]> {
    return this.#input.pool.run<VerifyBundleJob>({ kind: "verifyBundle", repoKey: this.#input.repo.key, path, extents });
  }

  #file({ path, range, cipherPass, compressType, raw }: RestoreSource, file: ManifestFile): Promise<VerifyFileResult> {
    const base = { kind: "verifyFile", repoKey: this.#input.repo.key, path, range } as const;
    if (file.sha1Repo !== undefined)
      return this.#input.pool.run<VerifyFileJob>({ ...base, unpack: null, sizeBytes: file.sizeRepoBytes, sha1: file.sha1Repo });
    return this.#input.pool.run<VerifyFileJob>({ ...base, unpack: { cipherPass, compressType, raw }, sizeBytes: file.sizeBytes, sha1: file.sha1 });
  }
}

interface Place {
  readonly key: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** Of the stored bytes. */
  readonly sha1: string;
}

/** Stored as it is, so that the checksum of the original content is that of the stored bytes. */
function isPlain({ compressType, cipherPass }: RestoreSource): boolean {
  return compressType === "none" && cipherPass === null;
}
