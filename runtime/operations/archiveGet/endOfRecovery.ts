/**
 * Decides whether a recovery may end when `archive-get` cannot decide whether the archive has a file.
 */
import { type BackupError, fail } from "../../base/errors";
import { RECOVERY_ABORTED } from "../../base/recoveryExit";
import { isSatisfied } from "../archivePush/acknowledge";
import type { Config, Settings } from "../../config/types";
import type { Repository } from "../../repository/repository";
import { provenKeys, unreadableKeys } from "./archiveGet";

/** What decides which repositories hold every acknowledged file. */
export interface Guarantee {
  readonly repoIndexes: readonly number[];
  readonly settings: Pick<Settings, "acknowledge" | "archive" | "stream">;
  /** `archive-push-queue-max` is set. */
  readonly dropsWal: boolean;
}

export function guaranteeOf(
  repos: readonly Pick<Repository, "key">[],
  { archive, settings }: Pick<Config, "archive" | "settings">,
): Guarantee {
  const dropsWal = archive.pushQueueSizeBytesMax !== undefined;
  return { repoIndexes: repos.map(({ key }) => key), settings, dropsWal };
}

export interface Recovery extends Guarantee {
  /** True when a file of this name is in the data directory. */
  exists(name: string): Promise<boolean>;
}

/** How `archive-get` ends after `error`. Null if a standby will ask again, if no recovery runs, or after a signal. */
export async function endOfRecovery(
  error: BackupError,
  recovery: Recovery,
): Promise<{ readonly exitCode: 1 | typeof RECOVERY_ABORTED; readonly error: BackupError } | null> {
  if (error.kind === "term") return null;
  // What cannot be seen may be a recovery, which any other code would end.
  if (!(await exists(recovery, "recovery.signal", true)) || (await exists(recovery, "standby.signal", false)))
    return null;
  if (await mayEnd(error, recovery)) return { exitCode: 1, error };
  const why = "PostgreSQL would take this for the end of the archive, so recovery is aborted.";
  return {
    exitCode: RECOVERY_ABORTED,
    error: fail(error.kind, error.message, {
      hint: [...error.hints, why, ...remedyOf(error, recovery, "recover")],
      cause: error,
    }),
  };
}

async function exists(recovery: Recovery, name: string, unseen: boolean): Promise<boolean> {
  try {
    return await recovery.exists(name);
  } catch {
    return unseen;
  }
}

/**
 * True when a file cannot have been acknowledged without the repositories that show that they never had it: the policy
 * needs one of those. The user must have said so: a new machine has defaults. And where WAL may be dropped, or a slot
 * be lost, a repository may have what the others lack, whatever the policy.
 */
export async function mayEnd(error: BackupError, guarantee: Guarantee): Promise<boolean> {
  return isAllHeldBy(await provenKeys(error), guarantee);
}

/** True if every acknowledged file is in one of these repositories. */
export function isAllHeldBy(
  keys: readonly number[],
  { dropsWal, repoIndexes, settings: { acknowledge, archive, stream } }: Guarantee,
): boolean {
  if (keys.length === 0 || acknowledge.isDefault === true || dropsWal || archive !== undefined) return false;
  const policies = [acknowledge, ...(stream?.synchronous === undefined ? [] : [stream.synchronous])];
  return policies.every((policy) => {
    // With --repo a policy may name a repository that was not asked.
    const others = [...repoIndexes, ...policy.repoIndexes].filter((key) => !keys.includes(key));
    return !isSatisfied(policy, repoIndexes, new Set(others));
  });
}

/** What to do if the repositories that could not be read do not return. */
export function remedyOf(error: BackupError, { repoIndexes }: Guarantee, verb: string): string[] {
  const unreadable = unreadableKeys(error) ?? [];
  const options = repoIndexes.filter((key) => !unreadable.includes(key)).map((key) => `--repo=${key}`);
  if (unreadable.length === 0 || options.length === 0) return [];
  const names = unreadable.map((key) => `repo${key}`).join(" and ");
  return [`If ${names} is gone for good, ${verb} with ${options.join(" or ")}.`];
}
