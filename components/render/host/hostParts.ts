/** What an update lays down on a host, by its engine. Pure. */
import type { HostEngineId } from "../../plan/engines/engines";
import type { HostPlan } from "../../plan/model/plan";
import type { HostEngine, HostFile, HostParts } from "../hostEngines/engine";
import { pgbackrest } from "../hostEngines/pgbackrest";
import { runtime } from "../hostEngines/runtime";
import { type Unit, unitFile } from "../units/unit";

const ENGINES: Readonly<Record<HostEngineId, HostEngine>> = { runtime, pgbackrest };

/** The engine of a plan; the runtime where rules refuse the plan's own. */
export function hostEngine(plan: HostPlan): HostEngine {
  return Object.entries(ENGINES).find(([id]) => id === plan.engine)?.[1] ?? runtime;
}

/** @throws Error for a plan that rules refuse */
export function hostParts(plan: HostPlan): HostParts {
  return hostEngine(plan).render(plan);
}

/** The units of a plan, those of one purpose beside each other. */
export function unitsOf(plan: HostPlan): readonly Unit[] {
  return hostParts(plan).units;
}

/** Every file that holds no secret, units too. */
export function hostFilesOf(plan: HostPlan): readonly HostFile[] {
  const { files, units } = hostParts(plan);
  return [...files, ...units.map((unit) => unitFile(plan.directories.units, unit))];
}
