/** Copies one stored WAL file into a file of this machine. */
import { createHash } from "node:crypto";
import type { ByteStream } from "../../base/bytes";
import { orAborted, withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { isSpecialFile } from "../../local/atomicWrite";
import { open, rm, writeFully } from "../../local/nodeFiles";
import { openWal } from "../../repository/walStore";
import type { WalCopy } from "../shared/carriedWal";
import type { NamedContent } from "../shared/namedWal";
import { DAMAGED_COPY_HINT, unpackStored } from "../shared/readStored";

/** Stored copy of a WAL file. */
export interface Candidate extends WalCopy {
  readonly segmentSizeBytes: number;
  /** SHA-1 of a history or backup label, whose name has none, and what is wrong with it. */
  readonly content?: Pick<NamedContent, "sha1" | "problem">;
}

/** Ends a copy while others are left. */
export interface CopyLimit {
  readonly limitMs: number;
  /** Another copy was faster. */
  readonly signal: AbortSignal;
}

/** Writes a candidate to a file that nothing else uses. Removes it after a failure, and if it was overtaken. */
export type CopyWal = (candidate: Candidate, path: string, limit: CopyLimit | null) => Promise<void>;

/** A copy as a job for a thread that has opened the repositories. */
export interface FetchWalJob extends Omit<Candidate, "repo"> {
  readonly kind: "fetchWal";
  readonly repoIndex: number;
  readonly destination: string;
  readonly durable: boolean;
  /** Time of the copy; null: until it ends. */
  readonly limitMs: number | null;
}

/** Copies in this thread. `durable` syncs the file. */
export function copyHere({ clock }: Pick<Context, "clock">, durable = false): CopyWal {
  return (candidate, path, limit) => {
    if (limit === null) return fetchTo(candidate, path, durable);
    return withTimeTo(limit.limitMs, clock, (enough) =>
      fetchTo(candidate, path, durable, AbortSignal.any([enough, limit.signal])),
    );
  };
}

/** Writes the unpacked file; removes it if that fails, or once `stop` aborts. */
async function fetchTo(
  candidate: Candidate,
  path: string,
  durable = false,
  stop: AbortSignal | null = null,
): Promise<void> {
  const isSpecial = await isSpecialFile(path);
  const hash = createHash("sha1");
  try {
    const handle = await open(path, "w", 0o600);
    try {
      const { repo, archiveId, stored, pass, segmentSizeBytes } = candidate;
      const opened = openWal(repo, archiveId, stored, pass, segmentSizeBytes, unpackStored);
      const pieces = stop === null ? await opened : abandonable(await orAborted(opened, stop), stop);
      // Each piece is used at once, while the processor's cache still has it.
      for await (const chunk of pieces) {
        hash.update(chunk);
        // A pipe may make its writer wait.
        if (isSpecial) await handle.writeFile(chunk);
        else writeFully(handle.fd, chunk, null, path);
      }
      if (durable && !isSpecial) await handle.sync();
    } finally {
      await handle.close();
    }
    const actual = hash.digest("hex");
    if (candidate.stored.sha1 !== null && actual !== candidate.stored.sha1) {
      throw fail(
        "checksum",
        `WAL file '${candidate.stored.fileName}' has checksum ${actual} but ${candidate.stored.sha1} is expected`,
        {
          hint: DAMAGED_COPY_HINT,
          repoIndex: candidate.repo.key,
        },
      );
    }
  } catch (error) {
    if (!isSpecial) await rm(path, { force: true });
    throw toBackupError(error, "fileWrite");
  }
}

/** Ends as soon as `stop` aborts, and leaves a source that may never answer to its own limits. */
async function* abandonable(source: ByteStream, stop: AbortSignal): ByteStream {
  const pieces = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await orAborted(pieces.next(), stop);
      if (done === true) return;
      yield value;
    }
  } finally {
    void pieces.return?.().catch(() => undefined);
  }
}
