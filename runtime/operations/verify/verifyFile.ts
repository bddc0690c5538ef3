/** Checks the stored bytes of one file: a job, so that workers read and hash. */
import { limited } from "../../base/bytes";
import { type BackupError, isError, toBackupError } from "../../base/errors";
import { measure } from "../../base/hash";
import type { Packing, Repository } from "../../repository/repository";
import type { ByteRange } from "../../storage/storage";
import { readStored, unpackStored } from "../shared/readStored";

export interface VerifyFileJob {
  readonly kind: "verifyFile";
  readonly repoIndex: number;
  readonly path: string;
  readonly range: ByteRange | null;
  /** Null compares the stored bytes (`rck` of the manifest); otherwise they are decrypted and decompressed first. */
  readonly unpack: Packing | null;
  readonly sizeBytes: number;
  readonly sha1: string;
}

/** `unread`: the repository gave no answer, which says nothing about the file. */
export type VerifyStatus = "ok" | "missing" | "checksum" | "size" | "other" | "unread";

export interface VerifyFileResult {
  readonly status: VerifyStatus;
  /** The error; empty if absent. */
  readonly text: string;
}

export async function verifyFile(job: VerifyFileJob, repo: (key: number) => Repository): Promise<VerifyFileResult> {
  try {
    const stored = readStored(repo(job.repoIndex).storage, job.path, job.range ?? undefined);
    const { sizeBytes, sha1 } = await measure(
      job.unpack === null ? stored : limited(unpackStored(stored, job.unpack), job.sizeBytes),
    );
    if (sha1 !== job.sha1)
      return { status: "checksum", text: `invalid checksum '${job.path}': actual ${sha1}, expected ${job.sha1}` };
    if (sizeBytes !== job.sizeBytes)
      return { status: "size", text: `invalid size '${job.path}': actual ${sizeBytes}, expected ${job.sizeBytes}` };
    return { status: "ok", text: "" };
  } catch (error) {
    return failedRead(job.path, error);
  }
}

export function failedRead(path: string, thrown: unknown): VerifyFileResult {
  if (isError(thrown, "fileMissing")) return { status: "missing", text: `file missing '${path}'` };
  const error = toBackupError(thrown);
  const reason = `[${error.name}] ${error.message}`;
  if (isUnread(error)) return { status: "unread", text: `not read '${path}': ${reason}` };
  // Bytes that do not decrypt or decompress are damaged content, whatever the codec's error.
  const status = isError(thrown, "crypto", "format", "checksum", "fileInvalid") ? "checksum" : "other";
  return { status, text: `invalid result ${path}: ${reason}` };
}

/** True if another attempt may read the file: the repository did not answer, or refused. */
export function isUnread(error: BackupError): boolean {
  return error.retryable || isError(error, "access", "hostConnect", "service");
}
