/**
 * Restores several small files in one job. Neighbours in a bundle are read as one piece, and the syncs of several files
 * wait for the disk together.
 *
 * Each file has one source and its own outcome. After a few failures that no single file explains, the rest fails
 * untried: a silent source is not asked for each of them.
 */
import type { Context } from "../../base/context";
import { type BackupError, toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { mapParallel } from "../../base/parallel";
import { readRange } from "../../repository/blockReader";
import type { Repository } from "../../repository/repository";
import type { ByteRange, Storage } from "../../storage/storage";
import {
  isFaultOfSource,
  keepsContent,
  type RestoreFileJob,
  type RestoreFileResult,
  type RestoreSource,
  writeFile,
} from "./restoreFile";

export interface RestoreFilesJob {
  readonly kind: "restoreFiles";
  readonly files: readonly RestoreFileJob[];
}

export type RestoreFileOutcome =
  | { readonly ok: true; readonly value: RestoreFileResult }
  | { readonly ok: false; readonly error: BackupError };

export interface RestoreFilesResult {
  /** In the order of the job's files. */
  readonly outcomes: readonly RestoreFileOutcome[];
}

/** Files to write whose stored bytes are adjacent. */
interface Piece {
  readonly source: RestoreSource | null;
  readonly range: { readonly offsetBytes: number; sizeBytes: number };
  readonly indexes: number[];
}

/** Gap between two files that is read and discarded; a larger gap needs a second request. */
const GAP_SIZE_BYTES_MAX = 16 * 1024;
const PIECE_SIZE_BYTES_MAX = 4 * 1024 * 1024;
/** Failures of a source after which it is skipped for the rest. */
const FAILURES_MAX = 3;

export async function restoreFiles(
  { files }: RestoreFilesJob,
  repo: (key: number) => Repository,
  ctx: Context,
): Promise<RestoreFilesResult> {
  const outcomes: RestoreFileOutcome[] = [];
  const missing: number[] = [];
  for (const [index, job] of files.entries()) {
    const kept = job.delta
      ? await outcomeOf(async () => ({ repoIndex: null, kept: await keepsContent(job), warnings: [] }))
      : null;
    if (kept !== null && (!kept.ok || kept.value.kept)) outcomes[index] = kept;
    else missing.push(index);
  }
  const failures: BackupError[] = [];
  const restoreOne = async (index: number, stored: Uint8Array | null): Promise<void> => {
    const job = files[index] as RestoreFileJob;
    const given = failures[FAILURES_MAX - 1];
    const outcome: RestoreFileOutcome =
      given === undefined ? await outcomeOf(() => writeFile(job, repo, ctx, stored)) : { ok: false, error: given };
    if (!outcome.ok && isFaultOfSource(outcome.error, job)) failures.push(outcome.error);
    outcomes[index] = outcome;
  };
  await mapParallel(piecesOf(files, missing), LIMITS.filesPerWorker, async ({ source, range, indexes }) => {
    const stored = source === null ? null : await readPiece(repo(source.repoIndex).storage, source.path, range);
    await mapParallel(indexes, LIMITS.filesPerWorker, (index) =>
      restoreOne(index, stored === null ? null : partOf(stored, range, files[index])),
    );
  });
  return { outcomes };
}

async function outcomeOf(work: () => Promise<RestoreFileResult>): Promise<RestoreFileOutcome> {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    return { ok: false, error: toBackupError(error) };
  }
}

/**
 * Files without stored bytes, in blocks, or larger than expected get a piece without a source and are read one by one.
 */
function piecesOf(files: readonly RestoreFileJob[], indexes: readonly number[]): readonly Piece[] {
  const pieces: Piece[] = [];
  let last: Piece | undefined;
  for (const index of indexes) {
    const job = files[index] as RestoreFileJob;
    const [source] = job.sources;
    if (
      source === undefined ||
      job.sizeBytes === 0 ||
      source.block !== undefined ||
      source.sizeRepoBytes > PIECE_SIZE_BYTES_MAX
    ) {
      pieces.push({ source: null, range: { offsetBytes: 0, sizeBytes: 0 }, indexes: [index] });
      continue;
    }
    const { offsetBytes, sizeBytes } = extentOf(source);
    const gapBytes = last === undefined ? -1 : offsetBytes - (last.range.offsetBytes + last.range.sizeBytes);
    const joined = last === undefined ? 0 : offsetBytes + sizeBytes - last.range.offsetBytes;
    const isNext =
      last?.source?.path === source.path &&
      last.source.repoIndex === source.repoIndex &&
      gapBytes >= 0 &&
      gapBytes <= GAP_SIZE_BYTES_MAX;
    if (last !== undefined && isNext && joined <= PIECE_SIZE_BYTES_MAX) {
      last.range.sizeBytes = joined;
      last.indexes.push(index);
    } else {
      last = { source, range: { offsetBytes, sizeBytes }, indexes: [index] };
      pieces.push(last);
    }
  }
  return pieces;
}

function extentOf(source: RestoreSource): { readonly offsetBytes: number; readonly sizeBytes: number } {
  return { offsetBytes: source.range?.offsetBytes ?? 0, sizeBytes: source.sizeRepoBytes };
}

/** Null when it cannot be read: reading its files one by one shows the error. */
async function readPiece(storage: Storage, path: string, range: Required<ByteRange>): Promise<Uint8Array | null> {
  try {
    return await readRange(storage, path, range);
  } catch {
    return null;
  }
}

/** A file's stored bytes; fewer if the piece ends early. */
function partOf(piece: Uint8Array, range: ByteRange, job: RestoreFileJob | undefined): Uint8Array {
  const extent = extentOf(job?.sources[0] as RestoreSource);
  const begin = extent.offsetBytes - range.offsetBytes;
  return piece.subarray(begin, begin + extent.sizeBytes);
}
