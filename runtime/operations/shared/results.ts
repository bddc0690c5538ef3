/** Combines per-repository results into the outcome of a verb. */
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import type { RepoResult } from "../../base/parallel";
import type { Repository } from "../../repository/repository";
import { decide } from "../archivePush/acknowledge";
import type { AcknowledgePolicy } from "../../config/types";

/** `repo2: [HostConnectError] unable to connect …`: stock's line per failed repository. */
export function repoErrorLine(repoIndex: number, error: BackupError): string {
  return `repo${repoIndex}: [${error.name}] ${error.message}`;
}

/** Logs why a repository failed while others go on. */
export function loggedFailure({ key, name }: Repository, thrown: unknown, ctx: Context): BackupError {
  const error = toBackupError(thrown);
  ctx.log.error(fail(error.kind, `${name}: ${error.message}`, { hint: error.hints, repoIndex: key, cause: thrown }));
  return error;
}

/**
 * Null when every repository is fine; otherwise one error: `repoInvalid` (103) when none is, `command` (104) when some
 * are.
 */
export function combinedError(verb: string, results: readonly RepoResult<unknown>[]): BackupError | null {
  const failed = results.filter((result) => !result.ok);
  if (failed.length === 0) return null;
  const [first] = failed;
  if (results.length === 1 && first !== undefined && !first.ok) return first.error;
  const lines = failed.map((result) => (result.ok ? "" : repoErrorLine(result.repoIndex, result.error)));
  const hints = [...new Set(failed.flatMap((result) => (result.ok ? [] : result.error.hints)))];
  return failed.length === results.length
    ? fail("repoInvalid", ["unable to find a valid repository", ...lines].join("\n"), { hint: hints })
    : fail("command", [`${verb} command encountered error(s):`, ...lines].join("\n"), { hint: hints });
}

/** {@link combinedError} for PostgreSQL, which is told a conflict (45) as such. */
export function pushError(results: readonly RepoResult<unknown>[]): BackupError | null {
  const conflict = results.find((result) => !result.ok && isError(result.error, "archiveDuplicate"));
  return conflict === undefined || conflict.ok ? combinedError("archive-push", results) : conflict.error;
}

/**
 * Like {@link combinedError} for verbs that judge the repositories' state: null while the healthy ones satisfy the
 * policy.
 */
export function policyError(
  verb: string,
  results: readonly RepoResult<unknown>[],
  policy: AcknowledgePolicy,
): BackupError | null {
  return decide(policy, results).accepted ? null : combinedError(verb, results);
}
