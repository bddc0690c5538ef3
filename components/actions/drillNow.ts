/** A fire drill, as part of an update. */
import { checkedArguments } from "../internal/validate";
import * as pulumi from "@pulumi/pulumi";
import type { HostAccess } from "../databases/hostAccess";
import { type DrillLevel, DrillPick } from "../drills/drillArgs";
import { childName, typeToken } from "../internal/children";
import { splitKnown } from "../internal/inputs";
import { checkRange } from "../plan/arguments/ranges";
import { findRepoIndex } from "../plan/model/defaults";
import { given } from "../../runtime/base/given";
import { isUnknown } from "../plan/model/unknown";
import { DRILL_LEVELS, DRILL_PICKS, isDrillName } from "../plan/schedule/declaredDrills";
import { runOnHost } from "./runOnHost";

const LIMIT_MINUTES = 1440;
/** The drill ends itself in time, with a record of it; after that it removes its files. */
const GRACE_SECONDS = 600;

export interface DrillNowArgs {
  /** `access` of a PostgresHost or a StandbyHost with engine "runtime". */
  host: HostAccess;
  /** Name of a drill that the host declares: its repositories, path and limits count. @example "monthly" */
  drill?: pulumi.Input<string>;
  /** Repository to restore from. If omitted, that of `drill`, or the next in turn. @example "repo2" */
  from?: pulumi.Input<string>;
  /** Which backup is restored. @default "newest" */
  pick?: pulumi.Input<DrillPick>;
  /** Checks of the drill. If omitted, those of `drill`, else "thorough". */
  level?: pulumi.Input<DrillLevel>;
  /** Directory of PostgreSQL's programs on the host, if it is not where its version installs them. */
  binDirectory?: pulumi.Input<string>;
  /** Time limit: a longer drill ends and fails. @default 1440 @minimum 1 @maximum 10080 */
  maxMinutes?: pulumi.Input<number>;
  /**
   * Values that run another drill when they change: a version, a digest, the label of a backup. If omitted, there is
   * one drill.
   * @example [schemaVersion]
   */
  triggers?: pulumi.Input<string>[];
}

/**
 * Makes a fire drill on the host when it is created, and another one whenever a trigger changes: restores a backup
 * alongside the database, recovers, checks and times it, and removes it. The update shows its progress, waits for it,
 * and fails with it. It never changes production.
 *
 * It is a `remote.Command` or `local.Command` of `@pulumi/command` over the host's declared connection. Destroying it
 * does nothing.
 *
 * `new DrillNow("proof", { host: db.access, from: "repo2", triggers: [schemaVersion] });`
 */
export class DrillNow extends pulumi.ComponentResource {
  /** The last drill's report, as text: times, measured loss, checks. */
  public readonly report: pulumi.Output<string>;

  constructor(name: string, args: DrillNowArgs, opts?: pulumi.ComponentResourceOptions) {
    const own = checkedArguments("DrillNow", name, args);
    const { binDirectory, drill, from, host, level, maxMinutes, pick, triggers = [] } = own;
    const choice = given({ binDirectory, drill, from, level, maxMinutes, pick });
    const { deferred, value } = splitKnown(choice);
    checkArguments(name, host, value);
    super(typeToken("DrillNow"), name, {}, opts);
    const settled = pulumi.output<object>(choice).apply((known: DrillChoice) => {
      if (deferred.size > 0) checkArguments(name, host, known);
      return known;
    });
    const { report } = runOnHost(
      childName(name, "command"),
      {
        host,
        account: host.user,
        runs: pulumi.all([host.runtimeArgv, settled]).apply(([argv, known]) => [[...argv, ...optionsOf(known)]]),
        what: "make the drill",
        limitSeconds: settled.apply((known) => (known.maxMinutes ?? LIMIT_MINUTES) * 60 + GRACE_SECONDS),
        triggers,
      },
      { parent: this },
    );
    this.report = report;
    this.registerOutputs({ report: this.report });
  }
}

/** Arguments as plain values. */
interface DrillChoice {
  readonly binDirectory?: string;
  readonly drill?: string;
  readonly from?: string;
  readonly level?: string;
  readonly maxMinutes?: number;
  readonly pick?: string;
}

function optionsOf({ binDirectory, drill, from, level, maxMinutes, pick = DrillPick.Newest }: DrillChoice): string[] {
  return [
    "--log-level-console=info",
    ...(binDirectory === undefined ? [] : [`--bin-path=${binDirectory}`]),
    "drill",
    ...(drill === undefined ? [] : [`--name=${drill}`]),
    ...(from === undefined ? [] : [`--repo=${findRepoIndex(from) ?? 0}`]),
    `--pick=${pick}`,
    ...(level === undefined ? [] : [`--level=${level}`]),
    ...(maxMinutes === undefined ? [] : [`--max-minutes=${maxMinutes}`]),
  ];
}

/** Deferred values are markers, which it skips. */
function checkArguments(name: string, host: HostAccess, { drill, from, level, maxMinutes, pick }: DrillChoice): void {
  const wrong = (propertyPath: string, reason: string): never => {
    throw new pulumi.InputPropertyError({ propertyPath, reason: `DrillNow ${name}: ${reason}` });
  };
  const isGiven = <T>(value: T | undefined): value is T => value !== undefined && !isUnknown(value);
  if (host.databaseUser === undefined)
    wrong("host", "its engine is stock pgBackRest, which makes no drills: declare a FireDrill with `of`");
  if (isGiven(drill) && !isDrillName(drill)) wrong("drill", `"${drill}" is not the name of a drill`);
  if (isGiven(from) && findRepoIndex(from) === null)
    wrong("from", `"${from}" is not a repository key: use repo1 to repo256`);
  if (isGiven(pick) && !DRILL_PICKS.includes(pick)) wrong("pick", `"${pick}" is not one of ${DRILL_PICKS.join(", ")}`);
  if (isGiven(level) && !DRILL_LEVELS.includes(level))
    wrong("level", `"${level}" is not one of ${DRILL_LEVELS.join(", ")}`);
  for (const { message } of checkRange("DrillNowArgs.maxMinutes", "maxMinutes", maxMinutes))
    wrong("maxMinutes", message);
}
