/**
 * Reads a file of the cluster while the server writes to it: up to the scanned size, with suspicious pages read again.
 *
 * All reads run in the calling thread, a worker's: trips through Node's thread pool cost more than most of the work.
 */
import { openSync, readSync } from "../../local/nodeFiles";
import { fail, isError, toBackupError } from "../../base/errors";
import type { PageChecker, PageRange } from "../../format/page/pageChecksum";
import { systemCodeOf } from "../../local/systemError";

export interface SourceFile {
  readonly sourcePath: string;
  /** Size at the scan: the most that is read. */
  readonly sizeBytes: number;
}

export interface CopySource extends SourceFile {
  readonly name: string;
  /** Null for files that have no pages. */
  readonly pages: { readonly segmentNo: number; readonly pageSizeBytes: number; readonly headerCheck: boolean } | null;
  /** The data directory if the file is pg_control, which is validated and stored as a clean image. */
  readonly controlOf: string | null;
}

export interface PageVerdict {
  /** Absent when pages were not checked. */
  readonly pagesValid?: boolean;
  readonly pageErrors?: readonly PageRange[];
}

const READ_SIZE_BYTES = 256 * 1024;

/** Null when the file is gone. @throws fileOpen */
export function openSource({ sourcePath }: SourceFile): number | null {
  try {
    return openSync(sourcePath, "r");
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return null;
    if (isError(error, "fileOpen")) throw error;
    throw fail(
      "fileOpen",
      `unable to open file '${sourcePath}' for read: [${systemCodeOf(error)}] ${toBackupError(error).message}`,
      {
        path: sourcePath,
        cause: error,
      },
    );
  }
}

/** Reads the file up to its scanned size, into the start of `buffer` if it fits. @throws fileRead */
export function readWhole(fd: number, file: SourceFile, buffer?: Buffer): Uint8Array {
  const fits = buffer !== undefined && buffer.length >= file.sizeBytes;
  const bytes = fits ? buffer.subarray(0, file.sizeBytes) : Buffer.allocUnsafeSlow(file.sizeBytes);
  let filled = 0;
  while (filled < bytes.length) {
    const readBytes = readAt(fd, bytes.subarray(filled), filled, file);
    if (readBytes === 0) break;
    filled += readBytes;
  }
  return bytes.subarray(0, filled);
}

/**
 * Reads the file up to its scanned size; every chunk is at the start of `buffer`. With `blockSizeBytes`, chunks end at
 * block boundaries where possible.
 * @throws fileRead
 */
export function* chunksOf(fd: number, file: SourceFile, buffer: Buffer, blockSizeBytes = 1): Iterable<Uint8Array> {
  const blocks = Math.max(Math.floor(READ_SIZE_BYTES / blockSizeBytes), 1) * blockSizeBytes;
  const chunkSizeBytes = blocks <= buffer.length ? blocks : READ_SIZE_BYTES;
  for (let offsetBytes = 0; offsetBytes < file.sizeBytes; ) {
    const readBytes = readAt(
      fd,
      buffer.subarray(0, Math.min(chunkSizeBytes, file.sizeBytes - offsetBytes)),
      offsetBytes,
      file,
    );
    if (readBytes === 0) return;
    offsetBytes += readBytes;
    yield buffer.subarray(0, readBytes);
  }
}

/**
 * A bad page may have been written during the read. It is read again, and is an error only if its bytes did not change
 * ("pgbackrest-format" 7.4).
 */
export function settlePages(checker: PageChecker, fd: number, pageSizeBytes: number, file: SourceFile): PageVerdict {
  const reread = Buffer.alloc(pageSizeBytes);
  for (const suspect of checker.suspects()) {
    const readBytes = readAt(fd, reread, suspect.offsetBytes, file);
    if (readBytes < pageSizeBytes || Buffer.compare(reread, suspect.page) !== 0) checker.acquit(suspect.blockNo);
  }
  const { valid, errors } = checker.finish();
  return errors.length > 0 ? { pagesValid: valid, pageErrors: errors } : { pagesValid: valid };
}

function readAt(fd: number, target: Uint8Array, offsetBytes: number, { sourcePath }: SourceFile): number {
  try {
    return readSync(fd, target, 0, target.length, offsetBytes);
  } catch (error) {
    const reason = `[${systemCodeOf(error)}] ${toBackupError(error).message}`;
    throw fail("fileRead", `unable to read '${sourcePath}' at offset ${offsetBytes}: ${reason}`, { path: sourcePath });
  }
}
