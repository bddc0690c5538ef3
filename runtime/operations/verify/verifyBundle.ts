/** Checks many files in one bundle with one read: a job, so that workers read and hash. */
import { isError } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import { type Extent, readExtents } from "../../repository/bundleReader";
import type { Repository } from "../../repository/repository";
import { failedRead, type VerifyFileResult } from "./verifyFile";

export interface VerifyBundleJob {
  readonly kind: "verifyBundle";
  readonly repoIndex: number;
  readonly path: string;
  /** With the SHA-1 of the stored bytes. */
  readonly extents: readonly (Extent & { readonly sha1: string })[];
}

/** One per extent, in their order. */
export type VerifyBundleResult = readonly VerifyFileResult[];

const OK: VerifyFileResult = { status: "ok", text: "" };

export async function verifyBundle(
  job: VerifyBundleJob,
  repo: (key: number) => Repository,
): Promise<VerifyBundleResult> {
  const results = new Map<Extent, VerifyFileResult>();
  let failure: VerifyFileResult = { status: "other", text: `invalid result ${job.path}: it was not read` };
  try {
    for await (const { extent, bytes } of readExtents(repo(job.repoIndex).storage, job.path, job.extents)) {
      const sha1 = sha1Hex(bytes);
      const result: VerifyFileResult =
        sha1 === extent.sha1
          ? OK
          : {
              status: "checksum",
              text: `invalid checksum '${job.path}' at ${extent.offsetBytes}: actual ${sha1}, expected ${extent.sha1}`,
            };
      results.set(extent, result);
    }
  } catch (error) {
    const failed = failedRead(job.path, error);
    failure = failed.status === "other" && isError(error, "fileRead") ? { ...failed, status: "size" } : failed;
  }
  return job.extents.map((extent) => results.get(extent) ?? failure);
}
