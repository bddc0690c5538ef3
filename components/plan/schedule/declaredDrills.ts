/** Fire drills as they are declared: what their settings mean, and which repositories they restore from. Pure. */
import { createHash } from "node:crypto";
import { DEFAULTS } from "../model/defaults";
import type { DrillChecksPlan, DrillPlan, DrillStatement, HostPlan } from "../model/plan";
import type { DrillChecksSettings, DrillSettings, DrillStatementSettings } from "../model/databaseSettings";
import { given } from "../model/given";

/** Settings of drills as `drill` of the runtime knows them (`--pick`, `--level`). */
export const DRILL_PICKS: readonly string[] = ["newest", "oldest", "random", "moment"];
/** From cheap to thorough. */
export const DRILL_LEVELS: readonly string[] = ["quick", "standard", "thorough"];

/** Part of the name of a unit of systemd, and of an object of Kubernetes. */
export function isDrillName(name: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/.test(name);
}

export function resolveDrill(name: string, drill: DrillSettings): DrillPlan {
  const { cron, elsewhere, from, level, maxGiB, maxMinutes, path, pick, repositories, timeZone } = drill;
  return {
    name,
    cron,
    timeZone: timeZone ?? DEFAULTS.timeZone,
    from,
    maxMinutes,
    ...given({ repositories, pick, level, maxGiB, path }),
    ...(elsewhere === true ? { elsewhere } : {}),
  };
}

export function resolveDrillChecks({ assertions = [], backupAgeHours, heartbeat }: DrillChecksSettings): DrillChecksPlan {
  return {
    heartbeat: heartbeat === undefined ? undefined : statement(heartbeat),
    assertions: assertions.map(({ name, ...asked }) => ({ name, ...statement(asked) })),
    backupAgeHours,
  };
}

function statement({ database, sql }: DrillStatementSettings): DrillStatement {
  return { ...given({ database }), sql };
}

/** Names of the repositories that a drill restores from, those that are there: the one, or each in its turn. */
export function drilledRepositories(drill: Pick<DrillPlan, "from" | "repositories">, repositories: readonly { readonly name: string }[]): string[] {
  const wanted = drill.from === undefined ? drill.repositories : [drill.from];
  return repositories.map(({ name }) => name).filter((name) => wanted === undefined || wanted.includes(name));
}

/** `repo2`, `repo1 and repo2 in turn`, `every repository in its turn`. */
export function drillSourceText({ from, repositories }: Pick<DrillPlan, "from" | "repositories">): string {
  if (from !== undefined) return from;
  return repositories === undefined ? "every repository in its turn" : `${repositories.join(" and ")} in turn`;
}

/** Drills that this host makes itself. */
export function ownDrills({ drills }: Pick<HostPlan, "drills">): readonly DrillPlan[] {
  return drills.filter(({ elsewhere }) => elsewhere !== true);
}

/**
 * Directory that a drill of a host restores below. Beside the data directory: the file system there is large enough for a database of this size, and
 * as fast as the one that a real restore would write to, so that the measured time is true.
 */
export function drillPath({ path }: Pick<DrillPlan, "path">, { dataDirectory }: Pick<HostPlan, "dataDirectory">): string {
  return path ?? `${dataDirectory}-drill`;
}

/** CloudNativePG takes names of Clusters up to this length. */
const NAME_LENGTH_MAX = 50;
const HASH_DIGITS = 8;

/** In Kubernetes: of the CronJob, and of the throw-away Cluster. */
export function drillName(cluster: string, drill: string): string {
  const name = `${cluster}-drill-${drill}`;
  if (name.length <= NAME_LENGTH_MAX) return name;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, HASH_DIGITS);
  return `${name.slice(0, NAME_LENGTH_MAX - HASH_DIGITS - 1).replace(/-+$/, "")}-${hash}`;
}
