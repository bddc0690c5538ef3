/** Nodes of the instances, and updates of the primary. Pure. */
import type { PodAntiAffinity, PrimaryUpdateMethod, PrimaryUpdateStrategy } from "../../databases/cnpgFields";
import type { ClusterPlan } from "../cluster/clusterPlan";
import { specOverrides } from "../cluster/synchronousStandbys";
import { type Finding, finding } from "../findings/findings";
import { abstaining } from "../findings/abstain";

/** The values of the operator's choices. */
const CHOICES = {
  "affinity.podAntiAffinityType": ["preferred", "required"] satisfies PodAntiAffinity[],
  primaryUpdateStrategy: ["unsupervised", "supervised"] satisfies PrimaryUpdateStrategy[],
  primaryUpdateMethod: ["restart", "switchover"] satisfies PrimaryUpdateMethod[],
};

export function checkPlacement(plan: ClusterPlan): Finding[] {
  const { definition } = plan;
  return abstaining(
    () => checkChoice("affinity.podAntiAffinityType", definition.affinity?.podAntiAffinityType),
    () => checkChoice("primaryUpdateStrategy", definition.primaryUpdateStrategy),
    () => checkChoice("primaryUpdateMethod", definition.primaryUpdateMethod),
    () => checkSupervised(plan),
  );
}

function checkChoice(path: keyof typeof CHOICES, value: string | undefined): Finding[] {
  const values: readonly string[] = CHOICES[path];
  if (value === undefined || values.includes(value)) return [];
  return [finding("PB210", path, `"${value}" is not one of its values`, `use ${values.join(" or ")}`)];
}

/** The operator waits for a standby that somebody promotes. */
function checkSupervised(plan: ClusterPlan): Finding[] {
  const { primaryUpdateStrategy: own } = specOverrides(plan);
  const path = "primaryUpdateStrategy";
  if ((own ?? plan.definition.primaryUpdateStrategy) !== "supervised") return [];
  const { instances } = plan.database;
  if (instances < 2) {
    const fact = `there is no standby to promote, with ${instances} instance`;
    return [finding("PB210", path, fact, "set unsupervised, or more instances")];
  }
  const fact = "a new runtime or image reaches the primary only when somebody promotes a standby";
  return [finding("PB211", path, fact, "after such an update: kubectl cnpg promote")];
}
