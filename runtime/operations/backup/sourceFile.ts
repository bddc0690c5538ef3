/** Reading a file of the cluster while the server writes to it: up to the size that the scan saw, with pages that look wrong read again. */
import { type FileHandle, open } from "node:fs/promises";
import type { ByteStream } from "../../base/bytes";
import { fail } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import type { PageChecker, PageRange } from "../../format/pageChecksum";

export interface SourceFile {
  readonly sourcePath: string;
  /** Size at the scan: no more than this is read. */
  readonly sizeBytes: number;
}

export interface PageVerdict {
  /** Absent when pages were not checked. */
  readonly pagesValid?: boolean;
  readonly pageErrors?: readonly PageRange[];
}

/** Null when the file is gone. @throws fileOpen */
export function openSource(sourcePath: string): Promise<FileHandle | null> {
  return open(sourcePath, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw fail("fileOpen", `unable to open file '${sourcePath}' for read: [${error.code}] ${error.message}`, { path: sourcePath, cause: error });
  });
}

/** Every chunk goes through `visit` first. @throws fileRead */
export async function* readSource(handle: FileHandle, file: SourceFile, visit: (chunk: Uint8Array) => void): ByteStream {
  let offsetBytes = 0;
  while (offsetBytes < file.sizeBytes) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(LIMITS.chunkSizeBytes, file.sizeBytes - offsetBytes));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offsetBytes).catch((error: NodeJS.ErrnoException) => {
      throw fail("fileRead", `unable to read '${file.sourcePath}' at offset ${offsetBytes}: [${error.code}] ${error.message}`, {
        path: file.sourcePath,
      });
    });
    if (bytesRead === 0) return;
    offsetBytes += bytesRead;
    const chunk = bytesRead === buffer.length ? buffer : buffer.subarray(0, bytesRead);
    visit(chunk);
    yield chunk;
  }
}

/**
 * A page that looked wrong may have been written while it was read: it is read again, and counts as an error only if its bytes did not
 * change ("pgbackrest-format" 7.4).
 */
export async function settlePages(checker: PageChecker | null, handle: FileHandle | null, pageSizeBytes: number): Promise<PageVerdict> {
  if (checker === null || handle === null) return {};
  const reread = Buffer.alloc(pageSizeBytes);
  for (const suspect of checker.suspects()) {
    const { bytesRead } = await handle.read(reread, 0, pageSizeBytes, suspect.offsetBytes);
    if (bytesRead < pageSizeBytes || Buffer.compare(reread, suspect.page) !== 0) checker.acquit(suspect.blockNo);
  }
  const { valid, errors } = checker.finish();
  return errors.length > 0 ? { pagesValid: valid, pageErrors: errors } : { pagesValid: valid };
}
