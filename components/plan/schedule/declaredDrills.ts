/** Declared fire drills: their settings, and the repositories that they restore from. Pure. */
import { createHash } from "node:crypto";
import { DEFAULTS } from "../model/defaults";
import type { DrillChecksPlan, DrillPlan, DrillStatement, HostPlan } from "../model/plan";
import type { DrillChecksSettings, DrillSettings, DrillStatementSettings } from "../model/databaseSettings";
import { fields, givenFields, merged, readers } from "../model/deferred";

/** Settings of the runtime's `drill` (`--pick`, `--level`). */
export const DRILL_PICKS: readonly string[] = ["newest", "oldest", "random", "moment", "attack"];
/** Restores no backup. */
export const ATTACK = "attack";
export function isAttack({ pick }: Pick<DrillPlan, "pick">): boolean {
  return pick === ATTACK;
}

/** What is done with the backup (`--how`). */
export const DRILL_HOWS: readonly string[] = ["restore", "open"];
export function isOpening({ how }: Pick<DrillPlan, "how">): boolean {
  return how === "open";
}

/** From cheap to thorough. */
export const DRILL_LEVELS: readonly string[] = ["quick", "standard", "thorough"];

/** Part of the names of systemd units and Kubernetes objects. */
export function isDrillName(name: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/.test(name);
}

export function resolveDrill(name: string, drill: DrillSettings): DrillPlan {
  return merged(
    fields({
      name: () => name,
      cron: () => drill.cron,
      timeZone: () => drill.timeZone ?? DEFAULTS.timeZone,
      ...readers(drill, "from", "maxMinutes"),
    }),
    givenFields({
      ...readers(drill, "repositories", "pick", "how", "level", "maxGiB", "path", "dump"),
      elsewhere: () => (drill.elsewhere === true ? true : undefined),
    }),
  );
}

export function resolveDrillChecks(asked: DrillChecksSettings): DrillChecksPlan {
  const { assertions = [], heartbeat } = asked;
  return fields({
    heartbeat: () => (heartbeat === undefined ? undefined : statement(heartbeat)),
    assertions: () => assertions.map((each) => merged(fields({ name: () => each.name }), statement(each))),
    backupAgeHours: () => asked.backupAgeHours,
  });
}

function statement(asked: DrillStatementSettings): DrillStatement {
  return merged(givenFields({ database: () => asked.database }), fields({ sql: () => asked.sql }));
}

/** The declared repositories that a drill restores from: one, or several in turn. */
export function drilledRepositories(
  drill: Pick<DrillPlan, "from" | "repositories">,
  repositories: readonly { readonly name: string }[],
): string[] {
  const wanted = drill.from === undefined ? drill.repositories : [drill.from];
  return repositories.map(({ name }) => name).filter((name) => wanted === undefined || wanted.includes(name));
}

/** `repo2`, `repo1 and repo2 in turn`, `every repository in its turn`. */
export function drillSourceText({ from, repositories }: Pick<DrillPlan, "from" | "repositories">): string {
  if (from !== undefined) return from;
  return repositories === undefined ? "every repository in turn" : `${repositories.join(" and ")} in turn`;
}

/** Drills that run on this host. */
export function ownDrills({ drills }: Pick<HostPlan, "drills">): readonly DrillPlan[] {
  return drills.filter(({ elsewhere }) => elsewhere !== true);
}

/**
 * Directory that a host's drill restores below. Next to the data directory: that file system is large enough for the
 * database and as fast as a real restore's target, so the measured time is realistic. Where a container's data are,
 * only the host knows.
 */
export function drillPath(
  { path }: Pick<DrillPlan, "path">,
  { container, dataDirectory }: Pick<HostPlan, "container" | "dataDirectory">,
): string {
  return path ?? (container === undefined ? `${dataDirectory}-drill` : DEFAULTS.drillPath);
}

/** CloudNativePG's limit for names of Clusters. */
const NAME_LENGTH_MAX = 50;
const HASH_DIGITS = 8;

/** Names of the CronJob and of the throw-away Cluster. */
export function drillName(cluster: string, drill: string): string {
  return objectName(`${cluster}-drill-${drill}`);
}

/** The name of a Cluster or CronJob: the end of a longer one becomes a hash. */
export function objectName(name: string): string {
  if (name.length <= NAME_LENGTH_MAX) return name;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, HASH_DIGITS);
  return `${name.slice(0, NAME_LENGTH_MAX - HASH_DIGITS - 1).replace(/-+$/, "")}-${hash}`;
}
