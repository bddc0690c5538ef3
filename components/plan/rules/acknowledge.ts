/** When PostgreSQL may remove a WAL segment, and acknowledged changes to something weaker. Pure. */
import { type Finding, finding } from "../findings/findings";
import type { ClusterDatabasePlan, DatabasePlan, HostPlan } from "../model/plan";

const ACKNOWLEDGE_MODES = ["all", "any", "named"];

/** Invalid modes, undeclared names, and the risk of "any". */
export function checkAcknowledge({ acknowledge, repositories }: DatabasePlan): Finding[] {
  if (!ACKNOWLEDGE_MODES.includes(acknowledge.mode)) {
    const fact = `"${acknowledge.mode}" is not a mode: use ${ACKNOWLEDGE_MODES.join(", ")}`;
    return [finding("PB017", "acknowledge.mode", fact, "")];
  }
  if ((acknowledge.mode === "named") !== acknowledge.repositories.length > 0) {
    const fact = 'names of repositories and mode "named" go together';
    return [finding("PB017", "acknowledge.repositories", fact, 'set mode "named" with at least one repository')];
  }
  const missing = acknowledge.repositories.filter(
    (name) => !repositories.some((repository) => repository.name === name),
  );
  if (missing.length > 0) {
    const hint = `use names from ${repositories.map(({ name }) => name).join(", ")}`;
    const fact = `${missing.join(", ")} is not a repository of this host`;
    return [finding("PB017", "acknowledge.repositories", fact, hint)];
  }
  if (acknowledge.mode === "any" && repositories.length > 1) {
    const fact = 'with "any" PostgreSQL may remove a segment that only one repository holds';
    const hint = 'watch the missing WAL that info reports and run heal, or use "all"';
    return [finding("PB021", "acknowledge.mode", fact, hint)];
  }
  return [];
}

/**
 * Entries without a reason. Only `pgbackstop topology diff`, which knows the state before, can tell whether an entry
 * matches a change.
 */
export function checkAcknowledgeWeaker({ acknowledgeWeaker }: HostPlan | ClusterDatabasePlan): Finding[] {
  return Object.entries(acknowledgeWeaker)
    .filter(([, reason]) => reason.trim() === "")
    .map(([key]) => {
      const fact = "without a reason the entry acknowledges nothing";
      return finding("PB098", `acknowledgeWeaker.${key}`, fact, "write why the change is intended");
    });
}
