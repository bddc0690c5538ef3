/** Finds the parts of Kubernetes that a group of tests needs, or skips the group and says what is missing. */
import { type BarmanParts, findBarmanParts } from "../../../tools/parts/debian/barmanCloud";
import {
  type ApiServerParts,
  findApiServerParts,
  findFormerPostgres,
  findLabParts,
  type FormerPostgres,
  type LabParts,
} from "../../../tools/parts/kubernetes/kubernetesPrograms";
import { skipped } from "../real/interopParts";

/** The parts for `startApiServer`. If this machine cannot have them: null, and a skipped test that names `title`. */
export async function apiServerParts(title: string): Promise<ApiServerParts | null> {
  const result = await findApiServerParts();
  return "missing" in result ? skipped(title, result.missing) : result;
}

/** The parts for `startLab`. If this machine cannot have them: null, and a skipped test that names `title`. */
export async function labParts(title: string): Promise<LabParts | null> {
  const result = await findLabParts();
  return "missing" in result ? skipped(title, result.missing) : result;
}

/**
 * The parts for `startLab` with Barman's plugin. If this machine cannot have them: null, and a skipped test that
 * names `title`.
 */
export async function barmanLabParts(
  title: string,
): Promise<{ readonly lab: LabParts; readonly barman: BarmanParts } | null> {
  const lab = await labParts(title);
  if (lab === null) return null;
  const barman = await findBarmanParts();
  return "missing" in barman ? skipped(title, barman.missing) : { lab, barman };
}

/** The parts for `startLab` with an older PostgreSQL. If this machine cannot have them: null, and a skipped test. */
export async function upgradeLabParts(
  title: string,
): Promise<{ readonly lab: LabParts; readonly former: FormerPostgres } | null> {
  const lab = await labParts(title);
  if (lab === null) return null;
  const former = await findFormerPostgres();
  return "missing" in former ? skipped(title, former.missing) : { lab, former };
}
