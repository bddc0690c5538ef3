/** Files, settings and units of a host, by its engine. Pure. */
import type { HostPlan } from "../../plan/model/plan";
import { hostEngine } from "../engines/engineTable";
import type { RenderedFile } from "./renderedFile";
import type { HostParts } from "../hostEngines/engine";
import { type Unit, unitFile } from "../units/unit";

/** Every file and property of a host asks, so each plan is rendered once. */
const rendered = new WeakMap<HostPlan, HostParts>();

/** @throws Error for a plan that rules refuse */
export function hostParts(plan: HostPlan): HostParts {
  const parts = rendered.get(plan) ?? hostEngine(plan).render(plan);
  rendered.set(plan, parts);
  return parts;
}

/** The units of a plan, grouped by purpose. */
export function unitsOf(plan: HostPlan): readonly Unit[] {
  return hostParts(plan).units;
}

/** Every file without secrets, including units. */
export function hostFilesOf(plan: HostPlan): readonly RenderedFile[] {
  const { files, units } = hostParts(plan);
  return [...files, ...units.map((unit) => unitFile(plan.directories.units, unit))];
}
