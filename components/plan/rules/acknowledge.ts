/** When PostgreSQL may forget a WAL segment, and changes to something weaker that are said to be meant. Pure. */
import { type Finding, finding } from "../findings/findings";
import type { ClusterPlan, DatabasePlan, HostPlan } from "../model/plan";

const ACKNOWLEDGE_MODES = ["all", "any", "named"];

/** Modes that are none, names that are missing, and what "any" means. */
export function checkAcknowledge({ acknowledge, repositories }: DatabasePlan): Finding[] {
  if (!ACKNOWLEDGE_MODES.includes(acknowledge.mode)) {
    const fact = `"${acknowledge.mode}" is none of ${ACKNOWLEDGE_MODES.join(", ")}`;
    return [finding("PB017", "acknowledge.mode", fact, "")];
  }
  if ((acknowledge.mode === "named") !== acknowledge.repositories.length > 0) {
    const fact = 'names of repositories belong to mode "named" and only to it';
    return [finding("PB017", "acknowledge.repositories", fact, 'set mode "named" with at least one repository')];
  }
  const missing = acknowledge.repositories.filter((name) => !repositories.some((repository) => repository.name === name));
  if (missing.length > 0) {
    const hint = `name some of ${repositories.map(({ name }) => name).join(", ")}`;
    return [finding("PB017", "acknowledge.repositories", `${missing.join(", ")} is no repository of this host`, hint)];
  }
  if (acknowledge.mode === "any" && repositories.length > 1) {
    const fact = 'with "any" PostgreSQL may remove a segment that only one repository holds';
    return [finding("PB021", "acknowledge.mode", fact, 'watch the debt that info reports and run heal, or use "all"')];
  }
  return [];
}

/** Entries without a reason. Whether an entry fits a change is told by `pgbackstop topology diff`, which knows the state before. */
export function checkAcknowledgeWeaker({ acknowledgeWeaker }: HostPlan | ClusterPlan): Finding[] {
  return Object.entries(acknowledgeWeaker)
    .filter(([, reason]) => reason.trim() === "")
    .map(([key]) => {
      const fact = "it has no reason, and counts for nothing without one";
      return finding("PB098", `acknowledgeWeaker.${key}`, fact, "write why it is meant");
    });
}
