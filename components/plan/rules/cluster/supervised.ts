/** Updates of a primary that a person promotes. Pure. */
import type { ClusterPlan } from "../../cluster/clusterPlan";
import { specOf } from "../../cluster/synchronousStandbys";
import { type Finding, finding } from "../../findings/findings";

/** The operator waits for a standby that somebody promotes. */
export function checkSupervised(plan: ClusterPlan): Finding[] {
  if (specOf(plan).primaryUpdateStrategy !== "supervised") return [];
  const fact = "a new runtime or image reaches the primary only when somebody promotes a standby";
  return [finding("PB211", "spec.primaryUpdateStrategy", fact, "after such an update: kubectl cnpg promote")];
}
