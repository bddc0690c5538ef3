/**
 * Writes a file in pieces, several in flight.
 *
 * The file is new (O_EXCL), so that late writes of an old connection cannot reach it. Pieces are kept until the server
 * has accepted them. After a broken connection the file is opened again, its content is read back and compared (the
 * server may have restarted in the meantime), and the upload resumes at the first piece that was not accepted. At the
 * end fsync@openssh.com makes the content durable; without it a server only offers closing. SFTP cannot sync
 * directories.
 *
 * Atomic: the file is written under a temporary name unique to this writer, and renamed with posix-rename@openssh.com
 * once its size is right. Without that extension the plain rename is tried. If it does not replace, the old file is
 * removed first, as stock does: for a moment the name is missing.
 */
import { crc32 } from "node:zlib";
import type { Stats } from "ssh2";
import { type ByteStream, concatBytes } from "../../base/bytes";
import { type BackupError, fail, isError } from "../../base/errors";
import type { Retries } from "../../base/retry";
import type { Random } from "../../base/random";
import { temporaryName } from "../../base/temporaryName";
import type { DownloadSource } from "./download";
import { isLost, isStatus, requestError, STATUS } from "./failure";
import {
  closeHandle,
  makePath,
  parentOf,
  PIECE_SIZE_BYTES,
  PIECES_IN_FLIGHT,
  readWholePiece,
  spaceHint,
  statOf,
} from "./requests";
import type { SftpSession } from "./session";

const FILE_MODE = 0o640;
/**
 * The library sends pieces up to this size as one request each, on every server: later requests are carried out after
 * them.
 */
const SINGLE_REQUEST_SIZE_BYTES = 32 * 1024;
/** A server is silent while it syncs, and a slow disk may need longer for a large file than `io-timeout`. */
const SYNC_EVERY_BYTES = 32 * 1024 * 1024;

export interface UploadTarget extends DownloadSource {
  readonly atomic: boolean;
  readonly random: Random;
}

interface Piece {
  readonly offset: number;
  readonly bytes: Buffer;
  /** Null once the server has accepted it. Errors are values, so that no caller has to wait for them at once. */
  result: Promise<unknown>;
}

/** Writes the whole source. On an error it removes the file if it can reach the server. */
export async function upload(target: UploadTarget, source: ByteStream): Promise<void> {
  const run = new Upload(target);
  try {
    await run.begin();
    for await (const bytes of pieces(source)) {
      if (target.signal.aborted) throw fail("term", `terminated while writing '${target.full}'`, { path: target.path });
      await run.write(bytes);
    }
    await run.finish();
  } catch (error) {
    await run.abandon();
    throw error;
  }
}

class Upload {
  readonly #target: UploadTarget;
  readonly #written: string;
  readonly #retries: Retries;
  #session: SftpSession | undefined;
  #handle: Buffer | undefined;
  /** The handle being closed: the server may reuse its number for another file at once. */
  #closed: Buffer | undefined;
  #inFlight: Piece[] = [];
  #sentBytes = 0;
  #syncedBytes = 0;
  /** The server has accepted all bytes before this one; the checksum covers them. */
  #takenBytes = 0;
  #takenCrc = 0;

  constructor(target: UploadTarget) {
    this.#target = target;
    this.#written = target.atomic ? temporaryName(target.full, target.random) : target.full;
    this.#retries = target.retries();
  }

  async begin(): Promise<void> {
    await this.#retrying(async (session) => {
      this.#handle = await createFile(session, this.#written);
      this.#session = session;
    });
  }

  async write(bytes: Buffer): Promise<void> {
    const piece: Piece = { offset: this.#sentBytes, bytes, result: Promise.resolve(null) };
    this.#sentBytes += bytes.length;
    this.#inFlight.push(piece);
    this.#send(piece);
    while (this.#inFlight.length >= PIECES_IN_FLIGHT) await this.#settleFirst();
    if (this.#sentBytes - this.#syncedBytes >= SYNC_EVERY_BYTES) await this.#syncSent();
  }

  async #syncSent(): Promise<void> {
    for (let error: unknown; error !== null; ) {
      await this.#settleAll();
      error = await this.#sync();
      if (isLost(error)) await this.#resume(error);
      else if (error !== null) throw await this.#failure("write", error);
    }
    this.#syncedBytes = this.#sentBytes;
    this.#retries.reset();
  }

  async finish(): Promise<void> {
    for (;;) {
      if (this.#inFlight.some((piece) => piece.bytes.length > SINGLE_REQUEST_SIZE_BYTES)) await this.#settleAll();
      const { session } = this.#open();
      const ended = this.#syncAndClose();
      const size = this.#sizeOnServer(session);
      await this.#settleAll();
      const error = await ended;
      // A new connection means a new handle, and pieces sent after the sync.
      if (session !== this.#session) continue;
      if (error === null) {
        await this.#requireSize(session, await size);
        break;
      }
      if (!isLost(error)) throw await this.#failure("write", error);
      await this.#resume(error);
    }
    if (this.#target.atomic) await this.#rename();
  }

  /** Removes the written file; after an abort or a lost connection it stays on the server. */
  async abandon(): Promise<void> {
    const session = this.#session;
    const handle = this.#handle;
    if (session === undefined || !session.isAlive) return;
    if (handle !== undefined && handle !== this.#closed) closeHandle(session, handle);
    const unlink = session.request<void>((sftp, answer) => sftp.unlink(this.#written, (error) => answer(error)));
    await unlink.catch((error: unknown) => {
      if (isError(error, "term"))
        session.post((sftp, answer) => sftp.unlink(this.#written, (failure) => answer(failure, undefined)));
    });
  }

  #send(piece: Piece): void {
    const { session, handle } = this.#open();
    const { bytes, offset } = piece;
    piece.result = session
      .request<void>((sftp, answer) => sftp.write(handle, bytes, 0, bytes.length, offset, (error) => answer(error)))
      .then(
        () => null,
        (error: unknown) => error,
      );
  }

  async #settleAll(): Promise<void> {
    while (this.#inFlight.length > 0) await this.#settleFirst();
  }

  async #settleFirst(): Promise<void> {
    const [first] = this.#inFlight;
    if (first === undefined) return;
    const error = await first.result;
    if (error === null) {
      this.#inFlight.shift();
      this.#takenCrc = crc32(first.bytes, this.#takenCrc);
      this.#takenBytes += first.bytes.length;
      this.#retries.reset();
    } else if (isLost(error)) await this.#resume(error);
    else throw await this.#failure("write", error);
  }

  /** Resumes the upload on a new connection: compares the server's content, sends the rest again. */
  async #resume(cause: BackupError): Promise<void> {
    await this.#retries.pause(cause);
    await this.#retrying(async (session) => {
      const handle = await session.request<Buffer>((sftp, answer) => sftp.open(this.#written, "r+", answer));
      const crc = await this.#crcOf(session, handle);
      if (crc !== this.#takenCrc) {
        const text = `the server has lost a part of '${this.#target.full}' while the connection was broken`;
        throw fail("fileWrite", text, {
          path: this.#target.path,
          repoIndex: this.#target.endpoint.repoIndex,
          retryable: true,
        });
      }
      this.#session = session;
      this.#handle = handle;
    });
    for (const piece of this.#inFlight) this.#send(piece);
  }

  /** Checksum of the accepted bytes in the server's file; null if it is shorter. */
  async #crcOf(session: SftpSession, handle: Buffer): Promise<number | null> {
    let sum = 0;
    const ahead: Promise<Buffer>[] = [];
    for (let next = 0, done = 0; done < this.#takenBytes; ) {
      for (; next < this.#takenBytes && ahead.length < PIECES_IN_FLIGHT; next += PIECE_SIZE_BYTES) {
        const piece = readWholePiece(session, handle, next, Math.min(PIECE_SIZE_BYTES, this.#takenBytes - next));
        piece.catch(() => undefined);
        ahead.push(piece);
      }
      const bytes = (await ahead.shift()) ?? Buffer.alloc(0);
      if (bytes.length !== Math.min(PIECE_SIZE_BYTES, this.#takenBytes - done)) return null;
      sum = crc32(bytes, sum);
      done += bytes.length;
    }
    return sum;
  }

  /**
   * Null, or the reason of the failure. Both requests leave immediately: a server handles requests for one file in
   * order.
   */
  #syncAndClose(): Promise<unknown> {
    const { session, handle } = this.#open();
    const synced = this.#sync();
    this.#closed = handle;
    const closed = session
      .request<void>((sftp, answer) => sftp.close(handle, (error) => answer(error)))
      .then(
        () => null,
        (error: unknown) => error,
      );
    return Promise.all([synced, closed]).then(([sync, close]) => sync ?? close);
  }

  /** Null, or the reason of the failure. */
  #sync(): Promise<unknown> {
    const { session, handle } = this.#open();
    return session
      .sync<unknown>((sftp, answer) => sftp.ext_openssh_fsync(handle, answer))
      .then(
        () => null,
        (error: unknown) => (isStatus(error, STATUS.unsupported) ? null : error),
      );
  }

  /** Null if the server sends no size. A missing file fails the rename, or the listing before publishing. */
  #sizeOnServer(session: SftpSession): Promise<number | null> {
    const stats = session.request<Partial<Stats>>((sftp, answer) => sftp.lstat(this.#written, answer));
    return stats.then(
      ({ size }) => size ?? null,
      () => null,
    );
  }

  /** @throws fileWrite (64), retryable */
  async #requireSize(session: SftpSession, reportedBytes: number | null): Promise<void> {
    const isWrong = (sizeBytes: number | null): sizeBytes is number =>
      sizeBytes !== null && sizeBytes !== this.#sentBytes;
    if (!isWrong(reportedBytes)) return;
    // A server that handles requests concurrently may have answered before it wrote the last piece.
    const sizeBytes = await this.#sizeOnServer(session);
    if (!isWrong(sizeBytes)) return;
    const { full, path, endpoint } = this.#target;
    const text = `'${full}' has ${sizeBytes} bytes on the server where ${this.#sentBytes} were written`;
    throw fail("fileWrite", text, { path, repoIndex: endpoint.repoIndex, retryable: true });
  }

  async #rename(): Promise<void> {
    const { full } = this.#target;
    let attempt = 0;
    await this.#retrying(async (session) => {
      attempt++;
      // The first attempt may have succeeded and lost its answer.
      if (attempt > 1 && (await statOf(session, this.#written)) === null && (await this.#isWhole(session, full)))
        return;
      await renameOver(session, this.#written, full);
    }, "move");
  }

  /** True if the file of that name has exactly the written content. */
  async #isWhole(session: SftpSession, full: string): Promise<boolean> {
    if ((await statOf(session, full))?.size !== this.#sentBytes) return false;
    const handle = await session.request<Buffer>((sftp, answer) => sftp.open(full, "r", answer));
    const crc = await this.#crcOf(session, handle);
    closeHandle(session, handle);
    return crc === this.#takenCrc;
  }

  /** Does `work` on an open connection, and repeats it on the next one if that breaks. */
  async #retrying(work: (session: SftpSession) => Promise<void>, doing = "open"): Promise<void> {
    for (;;) {
      try {
        await work(await this.#target.connect());
        return;
      } catch (error) {
        if (!isLost(error)) throw await this.#failure(doing, error);
        await this.#retries.pause(error);
      }
    }
  }

  async #failure(doing: string, error: unknown): Promise<BackupError> {
    const { path, endpoint, full } = this.#target;
    const at = { ...endpoint, path };
    if (doing === "open") return requestError("fileOpen", `open file '${full}' for write`, at, error);
    if (doing === "move") return requestError("fileMove", `move '${this.#written}' to '${full}'`, at, error);
    const failure = requestError("fileWrite", `write '${full}'`, at, error);
    const hint =
      isStatus(error, STATUS.failure) && this.#session !== undefined
        ? await spaceHint(this.#session, parentOf(full))
        : null;
    return hint === null
      ? failure
      : fail(failure.kind, failure.message, { path, repoIndex: endpoint.repoIndex, cause: error, hint });
  }

  #open(): { readonly session: SftpSession; readonly handle: Buffer } {
    if (this.#session === undefined || this.#handle === undefined)
      throw fail("assert", `'${this.#written}' is written while it is not open`);
    return { session: this.#session, handle: this.#handle };
  }
}

/**
 * Creates a new empty file and missing directories. Removes an existing file of that name: an earlier request, whose
 * answer was lost, created it.
 * @throws StatusError
 */
async function createFile(session: SftpSession, full: string): Promise<Buffer> {
  const create = (): Promise<Buffer> =>
    session.request<Buffer>((sftp, answer) => sftp.open(full, "wx", FILE_MODE, answer));
  try {
    return await create();
  } catch (error) {
    if (isStatus(error, STATUS.noSuchFile)) await makePath(session, parentOf(full));
    // Old servers have no separate status for an existing name.
    else if (isStatus(error, STATUS.failure, STATUS.fileAlreadyExists)) await unlinkIfPresent(session, full, error);
    else throw error;
  }
  return create();
}

async function unlinkIfPresent(session: SftpSession, full: string, reason: unknown): Promise<void> {
  const stats = await statOf(session, full);
  // The cause was another: report the first answer.
  if (stats === null || stats.isDirectory()) throw reason;
  await session.request<void>((sftp, answer) => sftp.unlink(full, (error) => answer(error)));
}

/** @throws StatusError */
async function renameOver(session: SftpSession, from: string, to: string): Promise<void> {
  try {
    return await session.request<void>((sftp, answer) => sftp.ext_openssh_rename(from, to, (error) => answer(error)));
  } catch (error) {
    if (!isStatus(error, STATUS.unsupported)) throw error;
  }
  const rename = (): Promise<void> =>
    session.request<void>((sftp, answer) => sftp.rename(from, to, (error) => answer(error)));
  try {
    return await rename();
  } catch (error) {
    if (!isStatus(error, STATUS.failure, STATUS.fileAlreadyExists)) throw error;
    await unlinkIfPresent(session, to, error);
  }
  return rename();
}

/**
 * Gives the complete file `temporary` the name `full` if it is free; false otherwise. A server without hard links
 * creates the file under its own name, where others can see it before it is complete.
 * @throws StatusError
 */
export async function createFrom(
  session: SftpSession,
  temporary: string,
  full: string,
  bytes: Uint8Array,
): Promise<boolean> {
  try {
    await session.request<void>((sftp, answer) => sftp.ext_openssh_hardlink(temporary, full, (error) => answer(error)));
    return true;
  } catch (error) {
    if (!isStatus(error, STATUS.unsupported, STATUS.failure, STATUS.fileAlreadyExists)) throw error;
  }
  // "Failure" distinguishes neither an existing name nor a file system without hard links.
  if ((await statOf(session, full)) !== null) return holds(session, full, bytes);
  let handle: Buffer;
  try {
    handle = await session.request<Buffer>((sftp, answer) => sftp.open(full, "wx", FILE_MODE, answer));
  } catch (error) {
    if (isStatus(error, STATUS.failure, STATUS.fileAlreadyExists) && (await statOf(session, full)) !== null)
      return holds(session, full, bytes);
    throw error;
  }
  const whole = asBuffer(bytes);
  try {
    await session.request<void>((sftp, answer) =>
      sftp.write(handle, whole, 0, whole.length, 0, (error) => answer(error)),
    );
    await session
      .request<unknown>((sftp, answer) => sftp.ext_openssh_fsync(handle, answer))
      .catch((error: unknown) => {
        if (!isStatus(error, STATUS.unsupported)) throw error;
      });
  } catch (error) {
    // A part under the final name would pass for a file of another writer.
    session.post((sftp, answer) => sftp.unlink(full, (refused) => answer(refused, undefined)));
    throw error;
  } finally {
    closeHandle(session, handle);
  }
  const sizeBytes = (await statOf(session, full))?.size;
  if (sizeBytes !== undefined && sizeBytes !== whole.length)
    throw fail("fileWrite", `'${full}' has ${sizeBytes} bytes on the server where ${whole.length} were written`, {
      retryable: true,
    });
  return true;
}

/** True if an earlier request of ours, whose answer was lost, created the file. */
async function holds(session: SftpSession, full: string, bytes: Uint8Array): Promise<boolean> {
  const handle = await session.request<Buffer>((sftp, answer) => sftp.open(full, "r", answer));
  try {
    return (await readWholePiece(session, handle, 0, bytes.length + 1)).equals(bytes);
  } finally {
    closeHandle(session, handle);
  }
}

/** The source in pieces of one request each; only the last one may be shorter. */
async function* pieces(source: ByteStream): AsyncIterable<Buffer> {
  let parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of source) {
    for (let offset = 0; offset < chunk.length; ) {
      const part = chunk.subarray(offset, offset + PIECE_SIZE_BYTES - sizeBytes);
      parts.push(part);
      sizeBytes += part.length;
      offset += part.length;
      if (sizeBytes < PIECE_SIZE_BYTES) continue;
      yield asBuffer(concatBytes(parts));
      parts = [];
      sizeBytes = 0;
    }
  }
  if (sizeBytes > 0) yield asBuffer(concatBytes(parts));
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
