/**
 * Reads a file in pieces, in order, several requested ahead. After a broken connection it reopens the file and resumes
 * at the byte reached, as long as size and time show the same file.
 */
import type { Stats } from "ssh2";
import { type ByteStream, streamOf } from "../../base/bytes";
import { type BackupError, fail } from "../../base/errors";
import type { Retries } from "../../base/retry";
import type { ByteRange } from "../storage";
import { isLost, isStatus, requestError, type SftpEndpoint, STATUS } from "./failure";
import { closeHandle, PIECE_SIZE_BYTES, PIECES_IN_FLIGHT, readPiece, readWholePiece, statHandle } from "./requests";
import type { SftpSession } from "./session";

export interface DownloadSource {
  /** Absolute path on the server. */
  readonly full: string;
  /** Path relative to the storage, for errors. */
  readonly path: string;
  readonly endpoint: SftpEndpoint;
  readonly signal: AbortSignal;
  /** Returns an open connection. */
  connect(): Promise<SftpSession>;
  retries(): Retries;
}

interface OpenFile {
  readonly session: SftpSession;
  readonly handle: Buffer;
  readonly stats: Stats;
  /** Read together with the size: the whole content of most files. */
  readonly first: Buffer;
}

/** Pieces requested at first. Each arrival adds one, so that a reader of a few bytes costs little. */
const FIRST_PIECES = 2;

/** Opens the file, then yields its bytes. @throws fileMissing before it reads */
export async function download(source: DownloadSource, range: ByteRange | undefined): Promise<ByteStream> {
  const start = range?.offsetBytes ?? 0;
  const retries = source.retries();
  const file = await open(source, start, range?.sizeBytes ?? Number.POSITIVE_INFINITY, retries);
  const end = Math.min(file.stats.size, start + (range?.sizeBytes ?? Number.POSITIVE_INFINITY));
  if (start < end) return stream(source, file, start, end, retries);
  closeHandle(file.session, file.handle);
  return streamOf();
}

async function open(source: DownloadSource, position: number, sizeBytes: number, retries: Retries): Promise<OpenFile> {
  for (;;) {
    try {
      const session = await source.connect();
      const handle = await session.request<Buffer>((sftp, answer) => sftp.open(source.full, "r", answer));
      const [stats, first] = await Promise.all([
        statHandle(session, handle),
        sizeBytes === 0 ? Buffer.alloc(0) : readPiece(session, handle, position, Math.min(PIECE_SIZE_BYTES, sizeBytes)),
      ]);
      return { session, handle, stats, first };
    } catch (error) {
      if (!isLost(error)) throw openError(source, error);
      await retries.pause(error);
    }
  }
}

function openError(source: DownloadSource, error: unknown): BackupError {
  const { full, path, endpoint } = source;
  if (!isStatus(error, STATUS.noSuchFile))
    return requestError("fileOpen", `open file '${full}' for read`, { ...endpoint, path }, error);
  return fail("fileMissing", `unable to open missing file '${full}' for read on '${endpoint.server}'`, {
    path,
    repoIndex: endpoint.repoIndex,
    cause: error,
  });
}

async function* stream(
  source: DownloadSource,
  opened: OpenFile,
  start: number,
  end: number,
  retries: Retries,
): ByteStream {
  let file = opened;
  let ahead: Promise<Buffer | Error>[] = [Promise.resolve(file.first)];
  let position = start;
  let next = start + file.first.length;
  let aheadMax = FIRST_PIECES;
  try {
    while (position < end) {
      for (; next < end && ahead.length < aheadMax; next += PIECE_SIZE_BYTES)
        ahead.push(settled(readWholePiece(file.session, file.handle, next, Math.min(PIECE_SIZE_BYTES, end - next))));
      const chunk = await (ahead.shift() ?? Promise.reject(fail("assert", "nothing was asked for")));
      if (source.signal.aborted) throw fail("term", `terminated while reading '${source.full}'`, { path: source.path });
      if (chunk instanceof Error) {
        if (!isLost(chunk))
          throw requestError("fileRead", `read '${source.full}'`, { ...source.endpoint, path: source.path }, chunk);
        await retries.pause(chunk);
        file = await reopen(source, file, position, end, retries);
        ahead = [Promise.resolve(file.first)];
        next = position + file.first.length;
        continue;
      }
      if (chunk.length === 0) throw changed(source, `it ended at byte ${position} of ${end}`);
      position += chunk.length;
      retries.reset();
      aheadMax = Math.min(aheadMax + 1, PIECES_IN_FLIGHT);
      yield chunk;
    }
  } finally {
    closeHandle(file.session, file.handle);
  }
}

async function reopen(
  source: DownloadSource,
  before: OpenFile,
  position: number,
  end: number,
  retries: Retries,
): Promise<OpenFile> {
  const file = await open(source, position, end - position, retries);
  if (file.stats.size === before.stats.size && file.stats.mtime === before.stats.mtime) return file;
  closeHandle(file.session, file.handle);
  throw changed(source, "another file replaced it");
}

function changed({ full, path, endpoint }: DownloadSource, what: string): BackupError {
  const text = `unable to read '${full}' on '${endpoint.server}': the file changed while it was read, ${what}`;
  return fail("fileRead", text, { path, repoIndex: endpoint.repoIndex, retryable: true });
}

/** Errors are values, because a rejected promise without a listener ends the process. */
function settled(piece: Promise<Buffer>): Promise<Buffer | Error> {
  return piece.catch((error: unknown) => (error instanceof Error ? error : fail("fileRead", String(error))));
}
