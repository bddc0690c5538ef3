/**
 * The position that a synchronous receiver confirms: as many repositories as the policy demands hold everything up to
 * it, and a recovery can reach it in each of them. Pure.
 */
import type { AcknowledgePolicy } from "../../config/types";
import type { StreamStatus } from "./streamStatus";

/** True for a repository that commits wait for. */
export function isAwaited(policy: AcknowledgePolicy, repoIndex: number): boolean {
  return policy.mode !== "named" || policy.repoIndexes.includes(repoIndex);
}

/** 0 while unknown. */
export function confirmedLsn(
  policy: AcknowledgePolicy,
  statuses: readonly Pick<StreamStatus, "repoIndex" | "lsn">[],
): bigint {
  const lsns = statuses.filter(({ repoIndex }) => isAwaited(policy, repoIndex)).map(({ lsn }) => lsn ?? 0n);
  // A named repository that is not configured can never hold anything.
  if (lsns.length === 0 || (policy.mode === "named" && lsns.length < policy.repoIndexes.length)) return 0n;
  return lsns.reduce((one, other) => ((policy.mode === "any") === one > other ? one : other));
}
