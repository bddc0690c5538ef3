/** What an update lays down on a host, by its engine. Pure. */
import type { HostPlan } from "../../plan/model/plan";
import type { HostEngine, HostFile, HostParts } from "../hostEngines/engine";
import { stockParts } from "../hostEngines/pgbackrest";
import { runtimeParts } from "../hostEngines/runtime";
import { type Unit, unitFile } from "../units/unit";

/** Rows of plan/engines/engines.ts that work on hosts; rules refuse the others. */
const ENGINES: Readonly<Record<string, HostEngine>> = { runtime: runtimeParts, pgbackrest: stockParts };

/** @throws Error for a plan that rules refuse */
export function hostParts(plan: HostPlan): HostParts {
  return (ENGINES[plan.engine] ?? runtimeParts)(plan);
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
