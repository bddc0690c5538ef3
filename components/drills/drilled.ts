/** Drills on another machine: the facts that it gets about the database, and a warning if nobody makes them. */
import type * as pulumi from "@pulumi/pulumi";
import type { ObjectivesArgs } from "../databases/objectivesArgs";
import { afterProgram } from "../internal/afterProgram";
import { fillText, type KnownPart } from "../internal/inputs";
import { logWarnings } from "../internal/validate";
import { expectBackupWithin } from "../plan/schedule/expectFull";
import type { DatabasePlan } from "../plan/model/plan";
import { checkUndrilled } from "../plan/rules/drills";
import { withoutSilenced } from "../plan/rules/silence";
import type { DrillArgs, DrillChecksArgs, DrilledDatabase } from "./drillArgs";
import { given } from "../plan/model/given";
import { isUnknown } from "../plan/model/unknown";

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
 * @param plan of the database; every preview knows the deciding parts
 * @param deferred the outputs behind the plan's markers
 * @param resolved the plan once all values are known
 * @param awaits whether schedules may depend on values that come later
 */
export function drilledDatabase(
  plan: Pick<DatabasePlan, "name" | "stanza" | "repositories" | "schedules">,
  args: DrilledArgs,
  deferred: KnownPart<object>["deferred"] = new Map(),
  resolved: () => pulumi.Output<Pick<DatabasePlan, "repositories" | "schedules">> = notDeferred,
  awaits = false,
): DrilledDatabase {
  const { drillChecks = {}, drills = {}, objectives = {} } = args;
  const elsewhere = Object.entries(drills).filter(([, drill]) => drill.elsewhere === true);
  const isDeferred = plan.schedules.some(({ cron }) => isUnknown(cron)) || (awaits && plan.schedules.length > 0);
  const backupAgeHours =
    drillChecks.backupAgeHours ??
    (isDeferred ? resolved().apply((known) => agesHours(known) ?? LONGEST_HOURS) : agesHours(plan));
  return {
    database: plan.name,
    stanza: fillText(plan.stanza, deferred),
    drills: Object.fromEntries(elsewhere),
    drillChecks: { ...drillChecks, ...given({ backupAgeHours }) },
    objectives,
  };
}

function notDeferred(): never {
  throw new Error("every value is known");
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
