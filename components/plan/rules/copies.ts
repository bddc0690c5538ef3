/** How many copies there are, and what they are lost together with. Pure. */
import { type Finding, finding } from "../findings";
import type { DatabasePlan } from "../plan";
import { isUnknown } from "../unknown";

/** Several copies that fail together are one copy. */
export function checkCopies({ repositories }: DatabasePlan): Finding[] {
  const [first] = repositories;
  if (first === undefined || repositories.length < 2) return [];
  const domains = new Set(repositories.map((repository) => repository.place.failureDomain));
  if (domains.size > 1 || isUnknown(first.place.failureDomain)) return [];
  return [
    finding(
      "PB009",
      "repositories",
      `all ${repositories.length} repositories depend on ${first.place.failureDomain}: they can be lost together`,
      "put one of them elsewhere",
    ),
  ];
}
