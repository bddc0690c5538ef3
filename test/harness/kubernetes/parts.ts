/** The parts of Kubernetes that a group of tests needs, or one loud line that says what is missing. */
import { type BarmanParts, findBarmanParts } from "../../../tools/parts/debian/barmanCloud";
import {
  type ApiServerParts,
  findApiServerParts,
  findLabParts,
  type LabParts,
} from "../../../tools/parts/kubernetes/kubernetesPrograms";
import { loud } from "../real/interopParts";

/** For `startApiServer`; null, with a loud line that names `title`, when this machine cannot have them. */
export async function apiServerParts(title: string): Promise<ApiServerParts | null> {
  const result = await findApiServerParts();
  return "missing" in result ? loud(title, result.missing) : result;
}

/** For `startLab`, likewise. */
export async function labParts(title: string): Promise<LabParts | null> {
  const result = await findLabParts();
  return "missing" in result ? loud(title, result.missing) : result;
}

/** For `startLab` and Barman's plugin in it, likewise. */
export async function barmanLabParts(
  title: string,
): Promise<{ readonly lab: LabParts; readonly barman: BarmanParts } | null> {
  const lab = await labParts(title);
  if (lab === null) return null;
  const barman = await findBarmanParts();
  return "missing" in barman ? loud(title, barman.missing) : { lab, barman };
}
