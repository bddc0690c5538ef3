/**
 * `verify`: are the bytes of a repository what its infos promise, and is the WAL between any backup and the newest segment complete?
 *
 * Every WAL file and every file of every backup is read and hashed (files of earlier backups that a later one refers to once). Unlike stock,
 * a missing segment between the oldest backup's start and the newest segment, stored or needed by a backup, is an error and is named
 * ("pgbackrest-format" 19; stock reports ok with segments missing).
 */
import type { Context } from "../base/context";
import { LIMITS } from "../base/limits";
import { mapParallel } from "../base/parallel";
import { toBackupError } from "../base/errors";
import { archiveIdOf } from "../format/archiveInfo";
import type { BackupInfo } from "../format/backupInfo";
import { typeOfName } from "../format/compress";
import type { Manifest, ManifestFile } from "../format/manifest";
import { walPath } from "../format/repoPath";
import { nextSegment, parseWalName } from "../format/walSegment";
import { loadManifest } from "../repository/backupStore";
import { loadArchiveInfo, loadBackupInfo } from "../repository/infoStore";
import type { Repository } from "../repository/repository";
import { isSegment, listWal, type StoredWal } from "../repository/walStore";
import type { JobPool } from "./jobs";
import { storedAt } from "./restore/plan";
import type { RestoreSource } from "./restore/restoreFile";
import type { VerifyFileJob, VerifyFileResult, VerifyStatus } from "./verifyFile";

export interface VerifyCounts {
  readonly total: number;
  readonly valid: number;
  readonly missing: number;
  readonly checksumInvalid: number;
  readonly sizeInvalid: number;
  readonly other: number;
}

export interface ArchiveVerdict {
  readonly archiveId: string;
  readonly counts: VerifyCounts;
  /** Segments that are not there although a backup needs them to reach the newest one: `[first, last]` of each gap. */
  readonly gaps: readonly WalRange[];
}

export interface BackupVerdict {
  readonly label: string;
  readonly status: "valid" | "invalid" | "manifest missing";
  readonly counts: VerifyCounts;
}

export interface Verdict {
  readonly repoKey: number;
  readonly ok: boolean;
  readonly archives: readonly ArchiveVerdict[];
  readonly backups: readonly BackupVerdict[];
  readonly problems: readonly string[];
}

const GAP_SEGMENTS_MAX = 1_000_000;

/** Reads one whole repository. @throws when neither info file can be read */
export async function verify(repo: Repository, pool: JobPool, walSegmentSizeBytes: number, ctx: Context): Promise<Verdict> {
  const archiveInfo = await loadArchiveInfo(repo);
  const backupInfo = await loadBackupInfo(repo);
  const problems: string[] = [];
  const archives: ArchiveVerdict[] = [];
  for (const entry of archiveInfo.history) {
    const wal: StoredWal[] = [];
    for await (const stored of listWal(repo, archiveIdOf(entry))) if (isSegment(stored.name)) wal.push(stored);
    wal.sort((left, right) => (left.fileName < right.fileName ? -1 : 1));
    const needed = neededRanges(backupInfo, entry.id);
    archives.push(
      await verifyArchive(
        { repo, pool, wal, archiveId: archiveIdOf(entry), pass: archiveInfo.cipherPass ?? null, needed, walSegmentSizeBytes },
        problems,
      ),
    );
  }
  const backups: BackupVerdict[] = [];
  const seen = new Map<string, Promise<VerifyFileResult>>();
  for (const entry of backupInfo.backups) {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    backups.push(await verifyBackup(repo, pool, entry.label, backupInfo.cipherPass ?? null, seen, problems));
  }
  const ok =
    archives.every((archive) => archive.counts.valid === archive.counts.total && archive.gaps.length === 0) &&
    backups.every((backup) => backup.status === "valid");
  return { repoKey: repo.key, ok, archives, backups, problems };
}

interface ArchiveInput {
  readonly repo: Repository;
  readonly pool: JobPool;
  readonly wal: readonly StoredWal[];
  readonly archiveId: string;
  readonly pass: string | null;
  readonly needed: readonly WalRange[];
  readonly walSegmentSizeBytes: number;
}

async function verifyArchive(input: ArchiveInput, problems: string[]): Promise<ArchiveVerdict> {
  const { repo, pool, wal, archiveId, pass, needed, walSegmentSizeBytes } = input;
  const tally = new Tally(problems);
  const duplicates = new Set(wal.filter((stored, index) => wal[index - 1]?.name === stored.name).map((stored) => stored.name));
  await mapParallel(wal, pool.slots * LIMITS.filesPerWorker, async (stored) => {
    if (duplicates.has(stored.name)) {
      tally.add({ status: "other", text: `duplicate segments found for ${archiveId}/${stored.name}` });
      return;
    }
    tally.add(
      await pool.run<VerifyFileJob>({
        kind: "verifyFile",
        repoKey: repo.key,
        path: walPath(repo.stanza, archiveId, stored.fileName),
        range: null,
        unpack: { cipherPass: pass, compressType: typeOfName(stored.fileName), raw: false },
        sizeBytes: walSegmentSizeBytes,
        sha1: stored.sha1 ?? "",
      }),
    );
  });
  const names = wal.map((stored) => stored.name).filter((name) => !name.endsWith(".partial"));
  const gaps = findGaps(names, needed, walSegmentSizeBytes);
  for (const [from, to] of gaps) problems.push(`${archiveId}: WAL missing from ${from} to ${to}: a restore cannot pass it`);
  return { archiveId, counts: tally.counts(), gaps };
}

/** First and last segment that a backup needs to become consistent. */
export type WalRange = readonly [string, string];

/**
 * Missing runs of segments, ascending, per timeline: from the first segment that a backup there needs (or the first one stored) to the newest
 * one that is stored or that a backup needs. A later timeline begins wherever its fork was. Pure.
 */
export function findGaps(names: readonly string[], needed: readonly WalRange[], walSegmentSizeBytes: number): WalRange[] {
  const stored = new Set(names);
  const timelines = new Set([...stored, ...needed.map(([start]) => start)].map(timelineOf));
  return [...timelines]
    .sort((left, right) => left - right)
    .flatMap((timeline) => {
      const own = [...stored].filter((name) => timelineOf(name) === timeline).sort();
      const ranges = needed.filter(([start]) => timelineOf(start) === timeline);
      const starts = ranges.map(([start]) => start).sort();
      const ends = [...own.slice(-1), ...ranges.map(([, stop]) => stop)].sort();
      const first = starts[0] ?? own[0];
      const last = ends.at(-1);
      return first === undefined || last === undefined ? [] : gapsBetween(first, last, own, walSegmentSizeBytes);
    });
}

function gapsBetween(first: string, last: string, stored: readonly string[], walSegmentSizeBytes: number): WalRange[] {
  const gaps: WalRange[] = [];
  let expected = first;
  // Behind the last one stands a guard, so that what is missing up to it counts as a gap too.
  for (const name of [...stored.filter((own) => own >= first && own <= last), nextSegment(last, walSegmentSizeBytes)]) {
    if (expected < name) gaps.push([expected, lastBefore(name, expected, walSegmentSizeBytes)]);
    expected = nextSegment(name, walSegmentSizeBytes);
  }
  return gaps;
}

/** The segment before `name`, counted up from `from`. */
function lastBefore(name: string, from: string, walSegmentSizeBytes: number): string {
  let current = from;
  for (let count = 0; count < GAP_SEGMENTS_MAX; count++) {
    const next = nextSegment(current, walSegmentSizeBytes);
    if (next >= name) return current;
    current = next;
  }
  return current;
}

function timelineOf(name: string): number {
  return parseWalName(name)?.timeline ?? 0;
}

/** Of every backup of one history id that was taken online. */
function neededRanges(info: BackupInfo, historyId: number): WalRange[] {
  return info.backups.flatMap((entry) =>
    entry.dbId === historyId && entry.archiveStart !== null && entry.archiveStop !== null ? [[entry.archiveStart, entry.archiveStop] as const] : [],
  );
}

async function verifyBackup(
  repo: Repository,
  pool: JobPool,
  label: string,
  pass: string | null,
  seen: Map<string, Promise<VerifyFileResult>>,
  problems: string[],
): Promise<BackupVerdict> {
  const tally = new Tally(problems);
  let manifest: Manifest;
  try {
    manifest = await loadManifest(repo, label, pass);
  } catch (error) {
    problems.push(`${label}: [${toBackupError(error).name}] ${toBackupError(error).message}`);
    return { label, status: "manifest missing", counts: tally.counts() };
  }
  const files = manifest.files.filter((file) => file.sizeBytes > 0 || file.sizeRepoBytes > 0);
  await mapParallel(files, pool.slots * LIMITS.filesPerWorker, async (file) => {
    const source = storedAt(repo.key, repo.stanza, manifest, file);
    const key = `${source.path}:${source.range?.offsetBytes ?? 0}`;
    const known = seen.get(key);
    if (known !== undefined) {
      // Read once for all backups that refer to it; damaged for all of them.
      const { status, text } = await known;
      tally.add({ status, text: `${label}: ${text}` });
      return;
    }
    const result = checkStored(pool, source, file);
    seen.set(key, result);
    tally.add(await result);
  });
  const counts = tally.counts();
  return { label, status: counts.valid === counts.total ? "valid" : "invalid", counts };
}

function checkStored(pool: JobPool, source: RestoreSource, file: ManifestFile): Promise<VerifyFileResult> {
  const { repoKey, path, range } = source;
  if (file.sha1Repo !== undefined)
    return pool.run<VerifyFileJob>({ kind: "verifyFile", repoKey, path, range, unpack: null, sizeBytes: file.sizeRepoBytes, sha1: file.sha1Repo });
  const { cipherPass, compressType, raw } = source;
  const unpack = { cipherPass, compressType, raw };
  return pool.run<VerifyFileJob>({ kind: "verifyFile", repoKey, path, range, unpack, sizeBytes: file.sizeBytes, sha1: file.sha1 });
}

class Tally {
  readonly #problems: string[];
  readonly #by: Record<VerifyStatus, number> = { ok: 0, missing: 0, checksum: 0, size: 0, other: 0 };

  constructor(problems: string[]) {
    this.#problems = problems;
  }

  add(result: VerifyFileResult): void {
    this.#by[result.status]++;
    if (result.status !== "ok") this.#problems.push(result.text);
  }

  counts(): VerifyCounts {
    const { ok, missing, checksum, size, other } = this.#by;
    return { total: ok + missing + checksum + size + other, valid: ok, missing, checksumInvalid: checksum, sizeInvalid: size, other };
  }
}
