/** Decides when PostgreSQL may drop a WAL file. Pure: results and policy in, decision out. */
import type { RepoResult } from "../../base/parallel";
import type { AcknowledgePolicy } from "../../config/types";

export interface Acknowledgement {
  /** True lets PostgreSQL recycle the segment. */
  readonly accepted: boolean;
  /** Repositories that lack the acknowledged file and are now behind. Empty when it is not accepted. */
  readonly reposBehind: readonly number[];
}

/** True when the repositories in `holding` satisfy the policy. */
export function isSatisfied(
  policy: AcknowledgePolicy,
  allKeys: readonly number[],
  holding: ReadonlySet<number>,
): boolean {
  switch (policy.mode) {
    case "all":
      return allKeys.every((key) => holding.has(key));
    case "any":
      return allKeys.some((key) => holding.has(key));
    case "named":
      // A named repository that is not configured can never hold anything, so it must not acknowledge by accident.
      return policy.repoIndexes.length > 0 && policy.repoIndexes.every((key) => holding.has(key));
  }
}

export function decide(policy: AcknowledgePolicy, results: readonly RepoResult<unknown>[]): Acknowledgement {
  const keys = results.map((result) => result.repoIndex);
  const holding = new Set(results.filter((result) => result.ok).map((result) => result.repoIndex));
  const accepted = isSatisfied(policy, keys, holding);
  return { accepted, reposBehind: accepted ? keys.filter((key) => !holding.has(key)) : [] };
}
