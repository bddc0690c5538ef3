/** What a repository holds of streams, from its listing alone: it works without the agent that wrote it. */
import { basename } from "node:path";
import { archiveIdOf, type ArchiveInfo, currentHistory } from "../../format/repository/archiveInfo";
import { streamPath, streamRoot } from "../../format/repository/repoPath";
import { bySession, coverOf, parseChunkName, type StreamChunk } from "../../format/wal/streamChunk";
import { formatLsn } from "../../format/wal/walSegment";
import type { Context } from "../../base/context";
import { type ErrorKind, isError, toBackupError } from "../../base/errors";
import { findFinalName } from "../../base/temporaryName";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { readChunk, readChunkEnd } from "../../repository/streamStore";

export interface StreamFile {
  readonly path: string;
  readonly chunk: StreamChunk;
  /** True for the file of an interrupted write. */
  readonly isTemporary: boolean;
  readonly modifiedAtMs: number;
}

/** The newest position that a recovery could reach through the stream. */
export interface HeldStream {
  readonly segment: string;
  readonly lsn: string;
  /** When its last chunk was stored. */
  readonly storedAtS: number;
}

const LISTINGS_MAX = 3;
/** Errors that verify reports. */
const DAMAGES = ["fileInvalid", "crypto", "format"] as const;

/** Files of chunks, complete or interrupted, by archive id; foreign files are skipped. */
export async function listStream(repo: Repository): Promise<Map<string, StreamFile[]>> {
  const byArchive = new Map<string, StreamFile[]>();
  for await (const { modifiedAtMs, path } of repo.storage.list(streamRoot(repo.stanza), { recursive: true })) {
    const name = basename(path);
    const finalName = findFinalName(name);
    const chunk = parseChunkName(finalName ?? name);
    const archiveId = path.split("/").at(-2) ?? "";
    if (chunk === null || path !== `${streamPath(repo.stanza, archiveId)}/${name}`) continue;
    const files = byArchive.get(archiveId) ?? [];
    files.push({ path, chunk, isTemporary: finalName !== null, modifiedAtMs });
    byArchive.set(archiveId, files);
  }
  return byArchive;
}

/** Surveys the current stanza; null without a readable stream. Reads the chunk, so no server is needed. */
export async function surveyStream(
  repo: Repository,
  loadInfo: () => Promise<ArchiveInfo> = () => loadArchiveInfo(repo),
): Promise<HeldStream | null> {
  // A running agent merges chunks: the bytes of a listed one may be in another one by now.
  for (let listings = 1; listings < LISTINGS_MAX; listings++) {
    try {
      return await findNewest(repo, loadInfo, DAMAGES);
    } catch (error) {
      if (!isError(error, "fileMissing")) throw error;
    }
  }
  return findNewest(repo, loadInfo, [...DAMAGES, "fileMissing"]);
}

/** The newest readable chunk of one listing; chunks with `skipped` errors count as absent. */
async function findNewest(
  repo: Repository,
  loadInfo: () => Promise<ArchiveInfo>,
  skipped: readonly ErrorKind[],
): Promise<HeldStream | null> {
  const byArchive = await listStream(repo);
  if (byArchive.size === 0) return null;
  const info = await loadInfo();
  const current = currentHistory(info);
  const files = (byArchive.get(archiveIdOf(current)) ?? []).filter(({ isTemporary }) => !isTemporary);
  const segments = [...new Set(files.map(({ chunk }) => chunk.segment))].sort().reverse();
  for (const segment of segments) {
    const own = files.filter(({ chunk }) => chunk.segment === segment);
    const covers = bySession(own.map(({ chunk }) => chunk)).map(coverOf);
    const last = covers.flatMap((cover) => cover.at(-1) ?? []).sort((left, right) => right.end - left.end)[0];
    if (last === undefined) continue;
    const storedAtMs = own.find(({ chunk }) => chunk === last)?.modifiedAtMs ?? 0;
    try {
      const lsn = await readChunkEnd(repo, { archiveId: archiveIdOf(current), pass: info.cipherPass ?? null }, last);
      return { segment, lsn: formatLsn(lsn), storedAtS: Math.floor(storedAtMs / 1000) };
    } catch (error) {
      if (!isError(error, ...skipped)) throw error;
    }
  }
  return null;
}

export interface StreamCounts {
  readonly total: number;
  readonly valid: number;
}

/**
 * Reads every chunk; none if `info` is null. A chunk that vanishes in the meantime was replaced, or its segment is
 * archived. Adds errors to `problems`.
 * @param sizeOf the size of WAL segments by history id
 * @throws storage errors
 */
export async function verifyStream(
  repo: Repository,
  info: ArchiveInfo | null,
  sizeOf: (historyId: number) => number,
  problems: string[],
  ctx: Context,
): Promise<StreamCounts> {
  let [total, valid] = [0, 0];
  if (info === null) return { total, valid };
  for (const [archiveId, files] of await listStream(repo)) {
    const entry = info.history.find((each) => archiveIdOf(each) === archiveId);
    // Of a removed archive: expire removes it.
    if (entry === undefined) continue;
    for (const { chunk, path } of files.filter(({ isTemporary }) => !isTemporary)) {
      if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
      total++;
      try {
        await readChunk(repo, { archiveId, pass: info.cipherPass ?? null }, chunk, {
          systemId: entry.systemId,
          segmentSizeBytes: sizeOf(entry.id),
        });
        valid++;
      } catch (error) {
        if (isError(error, "fileMissing")) total--;
        else if (isError(error, "fileInvalid", "checksum", "crypto", "format"))
          problems.push(`damaged streamed WAL '${path}': ${error.message}`);
        else throw error;
      }
    }
  }
  return { total, valid };
}
