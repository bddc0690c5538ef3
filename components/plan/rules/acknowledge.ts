/** When PostgreSQL may forget a WAL segment. Pure. */
import { type Finding, finding } from "../findings";
import type { DatabasePlan } from "../plan";

const ACKNOWLEDGE_MODES = ["all", "any", "named"];

/** Modes that are none, names that are missing, and what "any" means. */
export function checkAcknowledge({ acknowledge, repositories }: DatabasePlan): Finding[] {
  if (!ACKNOWLEDGE_MODES.includes(acknowledge.mode)) {
    return [finding("PB017", "acknowledge.mode", `"${acknowledge.mode}" is none of ${ACKNOWLEDGE_MODES.join(", ")}`, "")];
  }
  if ((acknowledge.mode === "named") !== acknowledge.repositories.length > 0) {
    return [
      finding(
        "PB017",
        "acknowledge.repositories",
        'names of repositories belong to mode "named" and only to it',
        'set mode "named" with at least one repository',
      ),
    ];
  }
  const missing = acknowledge.repositories.filter((name) => !repositories.some((repository) => repository.name === name));
  if (missing.length > 0) {
    return [
      finding(
        "PB017",
        "acknowledge.repositories",
        `${missing.join(", ")} is no repository of this host`,
        `name some of ${repositories.map(({ name }) => name).join(", ")}`,
      ),
    ];
  }
  if (acknowledge.mode === "any" && repositories.length > 1) {
    return [
      finding(
        "PB021",
        "acknowledge.mode",
        'with "any" PostgreSQL may remove a segment that only one repository holds',
        'watch the debt that info reports and run heal, or use "all"',
      ),
    ];
  }
  return [];
}
