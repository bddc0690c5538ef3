/** Drills on another machine: the facts that it gets about the database, and a warning if nobody makes them. */
import * as pulumi from "@pulumi/pulumi";
import type { ObjectivesArgs } from "../databases/objectivesArgs";
import { afterProgram } from "../internal/afterProgram";
import { logWarnings } from "../internal/validate";
import { expectBackupWithin } from "../plan/schedule/expectFull";
import type { DatabasePlan } from "../plan/model/plan";
import { checkUndrilled } from "../plan/rules/drills";
import { withoutSilenced } from "../plan/rules/silence";
import type { DrillArgs, DrillChecksArgs, DrilledDatabase } from "./drillArgs";
import { given } from "../../runtime/base/given";

interface DrilledArgs {
  readonly drills?: { readonly [name: string]: DrillArgs };
  readonly drillChecks?: DrillChecksArgs;
  readonly objectives?: ObjectivesArgs;
}

const HOUR_S = 3600;
/** Where schedules that come later make no backups. */
const LONGEST_HOURS = 87_600;
/**
 * Drills that a FireDrill of this program makes. By identity, which survives when a program divides them among hosts.
 */
const MADE = new WeakSet<DrillArgs>();

/**
 * @param name of the database
 * @param derive something from its plan; deferred values make it deferred
 */
export function drilledDatabase(
  name: string,
  args: DrilledArgs,
  derive: <T>(make: (plan: Pick<DatabasePlan, "stanza" | "repositories" | "schedules">) => T) => pulumi.Input<T>,
): DrilledDatabase {
  const { drillChecks = {}, drills = {}, objectives = {} } = args;
  const elsewhere = Object.entries(drills).filter(([, drill]) => drill.elsewhere === true);
  const ages = derive(agesHours);
  const backupAgeHours =
    drillChecks.backupAgeHours ??
    (pulumi.Output.isInstance(ages) ? ages.apply((hours) => hours ?? LONGEST_HOURS) : ages);
  return {
    database: name,
    stanza: derive(({ stanza }) => stanza),
    drills: Object.fromEntries(elsewhere),
    drillChecks: { ...drillChecks, ...given({ backupAgeHours: backupAgeHours as pulumi.Input<number> | undefined }) },
    objectives,
  };
}

/** One limit for all repositories there: none exceeds it under normal conditions. */
function agesHours(plan: Pick<DatabasePlan, "repositories" | "schedules">): number | undefined {
  const ages = plan.repositories.flatMap((repository) => expectBackupWithin(plan, repository) ?? []);
  return ages.length === 0 ? undefined : Math.max(...ages) / HOUR_S;
}

/** Called by the component that makes the drills of `database`. */
export function claimDrills({ drills }: DrilledDatabase): void {
  for (const drill of Object.values(drills)) MADE.add(drill);
}

/** Warns at the program's end if nothing in it makes these drills. */
export function warnUndrilled(
  resource: pulumi.Resource,
  { drills }: DrilledDatabase,
  silence: DatabasePlan["silence"],
): void {
  const declared = Object.entries(drills);
  if (declared.length === 0) return;
  afterProgram(() => {
    const names = declared.flatMap(([name, drill]) => (MADE.has(drill) ? [] : [name]));
    logWarnings(withoutSilenced({ silence }, checkUndrilled(names)), resource);
  });
}
