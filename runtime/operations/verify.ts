/**
 * `verify`: are the bytes of a repository what its infos promise, and is the WAL between any backup and the newest segment complete?
 *
 * Every WAL file and every file of every backup is read and hashed (files of earlier backups that a later one refers to once). Unlike stock,
 * a missing segment between the oldest backup's start and the newest segment is an error and is named ("pgbackrest-format" 19; stock
 * reports ok with segments missing).
 */
import type { Context } from "../base/context";
import { LIMITS } from "../base/limits";
import { mapParallel } from "../base/parallel";
import { toBackupError } from "../base/errors";
import { archiveIdOf } from "../format/archiveInfo";
import type { BackupInfo } from "../format/backupInfo";
import { typeOfName } from "../format/compress";
import type { Manifest } from "../format/manifest";
import { walPath } from "../format/repoPath";
import { nextSegment, parseWalName } from "../format/walSegment";
import { loadManifest } from "../repository/backupStore";
import { loadArchiveInfo, loadBackupInfo } from "../repository/infoStore";
import type { Repository } from "../repository/repository";
import { isSegment, listWal, type StoredWal } from "../repository/walStore";
import type { JobPool } from "./jobs";
import { sourceOf } from "./restore/plan";
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
  readonly gaps: readonly (readonly [string, string])[];
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
    const first = oldestStart(backupInfo, entry.id);
    archives.push(
      await verifyArchive(
        { repo, pool, wal, archiveId: archiveIdOf(entry), pass: archiveInfo.cipherPass ?? null, first, walSegmentSizeBytes },
        problems,
      ),
    );
  }
  const backups: BackupVerdict[] = [];
  const seen = new Set<string>();
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
  readonly first: string | null;
  readonly walSegmentSizeBytes: number;
}

async function verifyArchive(input: ArchiveInput, problems: string[]): Promise<ArchiveVerdict> {
  const { repo, pool, wal, archiveId, pass, first, walSegmentSizeBytes } = input;
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
  const gaps = findGaps(names, first, walSegmentSizeBytes);
  for (const [from, to] of gaps) problems.push(`${archiveId}: WAL missing from ${from} to ${to}: a restore cannot pass it`);
  return { archiveId, counts: tally.counts(), gaps };
}

/**
 * Missing runs of segments, per timeline: between the first segment that a backup needs (or the first one stored) and the newest one.
 * Pure; names ascending.
 */
export function findGaps(names: readonly string[], first: string | null, walSegmentSizeBytes: number): (readonly [string, string])[] {
  const gaps: (readonly [string, string])[] = [];
  const byTimeline = new Map<number, string[]>();
  for (const name of new Set(names)) {
    const timeline = parseWalName(name)?.timeline ?? 0;
    byTimeline.set(timeline, [...(byTimeline.get(timeline) ?? []), name]);
  }
  if (first !== null && names.length === 0) return [[first, first]];
  for (const [timeline, own] of byTimeline) {
    // Only the backup's own timeline is known to begin with the backup; a later one begins wherever its fork was.
    const needed = first !== null && parseWalName(first)?.timeline === timeline ? first : null;
    const relevant = needed === null ? own : own.filter((name) => name >= needed);
    let expected = needed ?? relevant[0] ?? "";
    for (const name of relevant) {
      const from = expected;
      let last = expected;
      for (let count = 0; expected < name && count < GAP_SEGMENTS_MAX; count++) {
        last = expected;
        expected = nextSegment(expected, walSegmentSizeBytes);
      }
      if (from < name) gaps.push([from, last]);
      expected = nextSegment(name, walSegmentSizeBytes);
    }
  }
  return gaps;
}

function oldestStart(info: BackupInfo, historyId: number): string | null {
  const starts = info.backups.filter((entry) => entry.dbId === historyId && entry.archiveStart !== null).map((entry) => entry.archiveStart as string);
  return starts.length === 0 ? null : starts.reduce((min, start) => (start < min ? start : min));
}

async function verifyBackup(
  repo: Repository,
  pool: JobPool,
  label: string,
  pass: string | null,
  seen: Set<string>,
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
    const source = sourceOf(repo.key, repo.stanza, manifest, file);
    const key = `${source.path}:${source.range?.offsetBytes ?? 0}`;
    if (seen.has(key)) {
      tally.add({ status: "ok", text: "" });
      return;
    }
    seen.add(key);
    const stored = file.sha1Repo !== undefined;
    const sha1 = file.sha1Repo ?? file.sha1;
    tally.add(
      await pool.run<VerifyFileJob>({
        kind: "verifyFile",
        repoKey: repo.key,
        path: source.path,
        range: source.range,
        unpack: stored ? null : { cipherPass: source.cipherPass, compressType: source.compressType, raw: source.raw },
        sizeBytes: stored ? file.sizeRepoBytes : file.sizeBytes,
        sha1,
      }),
    );
  });
  const counts = tally.counts();
  return { label, status: counts.valid === counts.total ? "valid" : "invalid", counts };
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
