/** Files on this machine that an option of a repository names. */
import { textOf } from "../base/bytes";
import { fail, toBackupError } from "../base/errors";

/**
 * The error is the repository's own, and never `fileMissing`, which is reserved for files in the repository.
 * @param what names the file: `private key`
 * @throws fileOpen (41)
 */
export function readNamedFile(
  path: string,
  what: string,
  option: string,
  { readFile, repoIndex }: { readonly readFile: (path: string) => Uint8Array; readonly repoIndex: number },
): Uint8Array {
  try {
    return readFile(path);
  } catch (error) {
    throw fail("fileOpen", `unable to read ${what} '${path}': ${toBackupError(error).message}`, {
      repoIndex,
      hint: `Create the file, let the user of this process read it, or change repo${repoIndex}-${option}.`,
      cause: error,
    });
  }
}

/** The authority that an object store's option names, for the request's options. @throws fileOpen (41) */
export function authorityOf(
  { caFile }: { readonly caFile?: string | undefined },
  repoIndex: number,
  { readFile }: { readonly readFile: (path: string) => Uint8Array },
): { readonly ca?: string } {
  if (caFile === undefined) return {};
  return { ca: textOf(readNamedFile(caFile, "certificate authority", "storage-ca-file", { readFile, repoIndex })) };
}
