/**
 * From the bytes of a request to the bytes of its answer. Each request that the kernel waits for gets exactly one
 * answer: a lost one would hang its caller forever, and nothing but `umount -f` would free it.
 */
import { commonFlags, ERRNO, OUT_HEADER_BYTES, PROTOCOL_MAJOR, Refusal, TRANSFER_BYTES_MAX } from "./kernelProtocol";
import { encodeInit, encodeReply, putReplyHeader } from "./reply";
import { decodeHeader, decodeRequest, isAnswered, readOf, type Request, type RequestHeader } from "./request";

/** Requests that a file system gets. */
export type FileRequest = Exclude<
  Request,
  { readonly kind: "init" } | { readonly kind: "flush" | "interrupt" | "destroy" }
>;

export interface FileSystem {
  /**
   * The kernel may keep what was written until a sync or a close, as it does for a plain directory. But a disk without
   * space then fails the sync, and not the write.
   */
  readonly isWriteBack: boolean;
  /** The body of the answer. A request that may wait returns a promise. @throws Refusal, or a system error */
  handle(request: FileRequest, node: number): Uint8Array | Promise<Uint8Array>;
  /** Reads into `target` from `at` on. Null if something must be fetched first. @throws as {@link handle} */
  readNow(request: FileRead, node: number, target: Uint8Array, at: number): number | null;
  /** A request failed for a reason that is not its caller's. */
  failed(error: unknown, request: FileRequest, node: number): void;
}

export type FileRead = Extract<FileRequest, { readonly kind: "read" }>;

export type Send = (reply: readonly Uint8Array[]) => void;

/** The largest answer to a READ, with its header. */
export const READ_REPLY_BYTES_MAX = OUT_HEADER_BYTES + TRANSFER_BYTES_MAX;

/**
 * Answers a READ of bytes that are there without a copy, and without memory of its own: most requests are such ones.
 * Returns the size of the answer in `reply`; null leaves the request to {@link answer}, errors included. Never throws.
 */
export function answerRead(bytes: Buffer, files: FileSystem, reply: Buffer): number | null {
  const read = readOf(bytes);
  if (read === null) return null;
  try {
    const sizeBytes = files.readNow(read, read.node, reply, OUT_HEADER_BYTES);
    if (sizeBytes === null) return null;
    putReplyHeader(reply, bytes, OUT_HEADER_BYTES + sizeBytes);
    return OUT_HEADER_BYTES + sizeBytes;
  } catch {
    return null;
  }
}

/**
 * Sends the answer, at once or later. Never throws. The bytes may change once it returns: what a request that waits
 * still needs of them, its handler copies.
 */
export function answer(bytes: Uint8Array, files: FileSystem, send: Send): void {
  const header = decodeHeader(bytes);
  if (header === null) return;
  const refuse = (error: unknown, request?: FileRequest): void => {
    if (request !== undefined && !(error instanceof Refusal)) files.failed(error, request, header.node);
    if (isAnswered(header)) send(encodeReply(header.unique, errnoOf(error)));
  };
  let request: Request;
  try {
    request = decodeRequest(bytes, header);
  } catch (error) {
    return refuse(error);
  }
  if (!isForFiles(request)) return answerItself(request, header, files, send);
  const asked = request;
  const finish = (body: Uint8Array): void => {
    if (isAnswered(header)) send(encodeReply(header.unique, 0, body));
  };
  try {
    const body = files.handle(asked, header.node);
    if (body instanceof Uint8Array) finish(body);
    else body.then(finish, (error: unknown) => refuse(error, asked));
  } catch (error) {
    refuse(error, asked);
  }
}

function isForFiles(request: Request): request is FileRequest {
  const { kind } = request;
  return kind !== "init" && kind !== "interrupt" && kind !== "destroy" && kind !== "flush";
}

function answerItself(request: Request, header: RequestHeader, files: FileSystem, send: Send): void {
  if (request.kind === "init") {
    const isKnown = request.major === PROTOCOL_MAJOR;
    return send(
      isKnown
        ? encodeReply(header.unique, 0, encodeInit(commonFlags(request.flags, files.isWriteBack)))
        : encodeReply(header.unique, ERRNO.EPROTO),
    );
  }
  // The kernel then sends no FLUSH any more: nothing waits for a close.
  if (request.kind === "flush") return send(encodeReply(header.unique, ERRNO.ENOSYS));
  if (request.kind === "destroy") send(encodeReply(header.unique, 0));
}

/** Node's system errors have a negative `errno`. Everything else is EIO: never a wrong byte. */
function errnoOf(error: unknown): number {
  if (error instanceof Refusal) return ERRNO[error.code];
  const { errno } = (error ?? {}) as { errno?: unknown };
  return typeof errno === "number" && errno < 0 && errno > -4096 ? -errno : ERRNO.EIO;
}
