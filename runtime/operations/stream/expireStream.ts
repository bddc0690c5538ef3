/**
 * Expires streamed WAL: chunks whose bytes the archived segment has, chunks before the first segment that a kept backup
 * needs, chunks of removed archives, and interrupted writes. A living agent removes the first kind. A chunk with other
 * bytes stays: a server that was taken back to a snapshot, or a clone, may have streamed it.
 */
import { Measured, sha1Hex } from "../../base/hash";
import type { StreamChunk } from "../../format/wal/streamChunk";
import { TIMELINE_LENGTH } from "../../format/wal/walSegment";
import { type BackupError, isError } from "../../base/errors";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { PIECE_FAULTS, readForeignChunk } from "../../repository/streamStore";
import { findWal, openWal } from "../../repository/walStore";
import { KnownWal, type OpenArchive } from "../shared/knownWal";
import { listStream, type StreamFile } from "./survey";

export interface StreamExpired {
  /** With `dryRun`, paths to remove. Ascending. */
  readonly removed: readonly string[];
  /** Why the others could not be removed: a backup host may keep them for some time. */
  readonly refused: readonly BackupError[];
}

/** `kept` are the remaining backups. @throws the storage's errors, except that it may not remove */
export async function expireStream(
  repo: Repository,
  kept: readonly BackupInfoEntry[],
  dryRun: boolean,
): Promise<StreamExpired> {
  const stream = await listStream(repo);
  if (stream.size === 0) return { removed: [], refused: [] };
  const { cipherPass: pass = null, history } = await loadArchiveInfo(repo);
  const known = new KnownWal(repo);
  const expired: string[] = [];
  for (const [archiveId, files] of stream) {
    const entry = history.find((each) => archiveIdOf(each) === archiveId);
    const starts = kept.flatMap(({ archiveStart, dbId }) =>
      dbId === entry?.id && archiveStart !== null ? [archiveStart.slice(TIMELINE_LENGTH)] : [],
    );
    const first = starts.sort()[0] ?? "";
    const isOver = ({ chunk }: StreamFile): boolean =>
      entry === undefined || chunk.segment.slice(TIMELINE_LENGTH) < first;
    expired.push(...files.filter(isOver).map(({ path }) => path));
    if (entry === undefined) continue;
    const others = files.filter((file) => !isOver(file));
    for (const segment of new Set(others.map(({ chunk }) => chunk.segment))) {
      if (!(await known.holds(segment, { archiveId, pass }))) continue;
      const streamed = others.filter(({ chunk }) => chunk.segment === segment);
      expired.push(...(await repeated(repo, { archiveId, pass }, streamed, entry.systemId)));
    }
  }
  const removed: string[] = [];
  const refused: BackupError[] = [];
  for (const path of expired.sort()) {
    try {
      if (!dryRun) await repo.storage.remove(path);
      removed.push(path);
    } catch (error) {
      if (!isError(error, "access")) throw error;
      refused.push(error);
    }
  }
  return { removed, refused };
}

/** Paths of an archived segment's interrupted writes, and of its chunks whose bytes it has. */
async function repeated(
  repo: Repository,
  archive: OpenArchive,
  files: readonly StreamFile[],
  systemId: bigint,
): Promise<readonly string[]> {
  const paths = files.filter(({ isTemporary }) => isTemporary).map(({ path }) => path);
  const chunks = files.filter(({ isTemporary }) => !isTemporary);
  const archived = await hashesOf(
    repo,
    archive,
    chunks.map(({ chunk }) => chunk),
  );
  for (const { chunk, path } of chunks) {
    try {
      const { wal } = await readForeignChunk(repo, archive, chunk, systemId);
      if (sha1Hex(wal) === archived.get(chunk)) paths.push(path);
    } catch (error) {
      if (!isError(error, ...PIECE_FAULTS)) throw error;
    }
  }
  return paths;
}

/** SHA-1 of what the archived segment has in place of each of its chunks. Reads the segment once. */
async function hashesOf(
  repo: Repository,
  { archiveId, pass }: OpenArchive,
  chunks: readonly StreamChunk[],
): Promise<ReadonlyMap<StreamChunk, string>> {
  const [first] = chunks;
  const [stored] = first === undefined ? [] : await findWal(repo, archiveId, first.segment);
  if (stored === undefined) return new Map();
  const ranges = chunks.map((chunk) => ({ chunk, measured: new Measured() }));
  let at = 0;
  for await (const part of await openWal(repo, archiveId, stored, pass)) {
    for (const { chunk, measured } of ranges) {
      const [from, to] = [Math.max(chunk.begin - at, 0), Math.min(chunk.end - at, part.length)];
      if (from < to) measured.add(part.subarray(from, to));
    }
    at += part.length;
  }
  return new Map(ranges.map(({ chunk, measured }) => [chunk, measured.result().sha1]));
}
