/**
 * Copies streamed WAL: the chunks of segments that the target's archive lacks. A chunk is written once under its own
 * name, and joined only where its bytes agree with others', so agents and sidecars may stream there at the same time.
 */
import { TIMELINE_LENGTH } from "../../format/wal/walSegment";
import type { Context } from "../../base/context";
import { nullOn, toBackupError } from "../../base/errors";
import { mapParallel } from "../../base/parallel";
import { chunkFileName, type StreamChunk } from "../../format/wal/streamChunk";
import { listChunks, putChunk, readForeignChunk } from "../../repository/streamStore";
import { listWal, canBeWhole } from "../../repository/walStore";
import { requireOwn } from "../shared/carriedWal";
import type { WalCopy, WalSide } from "./copyWal";

export interface WalRange extends WalCopy {
  readonly systemId: bigint;
}

export interface StreamCopied {
  readonly count: number;
  /** What could not be copied, one line each. */
  readonly problems: readonly string[];
}

/** Each may be as large as a segment. */
const CHUNKS_AT_ONCE = 2;

/** Called after the archives' WAL was copied. */
export async function copyStream(
  source: WalSide,
  target: WalSide,
  { archiveId, cluster, from, systemId }: WalRange,
  dryRun: boolean,
  ctx: Context,
): Promise<StreamCopied> {
  const missing = await missingChunks(source, target, archiveId, from.slice(TIMELINE_LENGTH));
  if (dryRun) return { count: missing.length, problems: [] };
  const problems: string[] = [];
  let count = 0;
  await mapParallel(missing, CHUNKS_AT_ONCE, async (chunk) => {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    try {
      const read = readForeignChunk(source.repo, { archiveId, pass: source.pass }, chunk, systemId);
      // Removed in the meantime: its segment is in the archive, or a longer chunk replaces it. The next sync copies
      // these.
      const present = await nullOn(read, "fileMissing");
      if (present === null) return;
      if (cluster !== null && chunk.begin === 0) requireOwn(chunk.segment, present.wal, cluster);
      await putChunk(target.repo, { archiveId, pass: target.pass }, chunk, [present.wal], present.origin, ctx);
      count++;
    } catch (error) {
      problems.push(`streamed WAL ${archiveId}/${chunkFileName(chunk)}: ${toBackupError(error).message}`);
    }
  });
  return { count, problems: problems.sort() };
}

async function missingChunks(
  source: WalSide,
  target: WalSide,
  archiveId: string,
  first: string,
): Promise<readonly StreamChunk[]> {
  const chunks = (await listChunks(source.repo, archiveId)).filter(
    ({ segment }) => segment.slice(TIMELINE_LENGTH) >= first,
  );
  if (chunks.length === 0) return [];
  const held = new Set((await listChunks(target.repo, archiveId)).map(chunkFileName));
  const archived = new Set<string>();
  for (const { repo } of [source, target])
    for await (const stored of listWal(repo, archiveId)) if (canBeWhole(stored)) archived.add(stored.name);
  return chunks.filter((chunk) => !held.has(chunkFileName(chunk)) && !archived.has(chunk.segment));
}
