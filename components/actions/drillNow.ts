/** A fire drill, as part of an update. */
import * as pulumi from "@pulumi/pulumi";
import type { HostAccess } from "../databases/hostArgs";
import { DrillLevel, DrillPick } from "../drills/drillArgs";
import { childName, typeToken } from "../internal/children";
import { findRepoIndex } from "../plan/model/defaults";
import { isDrillName } from "../plan/schedule/declaredDrills";
import { runOnHost } from "./runOnHost";

const LIMIT_MINUTES = 1440;
const MINUTES_MAX = 10_080;
/** The drill ends itself in time, with a record of it; after that it removes its files. */
const GRACE_SECONDS = 600;

export interface DrillNowArgs {
  /** `access` of a PostgresHost or a StandbyHost with engine "runtime". */
  host: HostAccess;
  /** Name of a drill that the host declares: its repositories, path and limits count. @example "monthly" */
  drill?: string;
  /** Repository to restore from. Left out, that of `drill`, or the next in turn. @example "repo2" */
  from?: string;
  /** Which backup is restored. @default "newest" */
  pick?: DrillPick;
  /** How much is checked. Left out, that of `drill`, else "thorough". */
  level?: DrillLevel;
  /** Directory of PostgreSQL's programs on the host, if it is not where its version installs them. */
  binDirectory?: string;
  /** Limit of the drill, after which it ends and fails. @default 1440 */
  maxMinutes?: number;
  /**
   * A changed value makes another drill: a version, a digest, the label of a backup. Left out, there is one drill.
   * @example [schemaVersion]
   */
  triggers?: pulumi.Input<string>[];
}

/**
 * Makes a fire drill on the host when it is created, and another one whenever a trigger changes: restores a backup
 * beside the database, recovers, checks and times it, and removes it. The update shows its progress, waits for it, and
 * fails with it. It never changes production.
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
    const { drill, from, host, level, maxMinutes = LIMIT_MINUTES, pick = DrillPick.Newest, triggers = [] } = args;
    checkArguments(name, args);
    super(typeToken("DrillNow"), name, {}, opts);
    const options = [
      "--log-level-console=info",
      ...(args.binDirectory === undefined ? [] : [`--bin-path=${args.binDirectory}`]),
      "drill",
      ...(drill === undefined ? [] : [`--name=${drill}`]),
      ...(from === undefined ? [] : [`--repo=${findRepoIndex(from) ?? 0}`]),
      `--pick=${pick}`,
      ...(level === undefined ? [] : [`--level=${level}`]),
      ...(args.maxMinutes === undefined ? [] : [`--max-minutes=${args.maxMinutes}`]),
    ];
    const { report } = runOnHost(
      childName(name, "command"),
      {
        host,
        account: host.user,
        runs: pulumi.output(host.runtimeArgv).apply((argv) => [[...argv, ...options]]),
        what: "make the drill",
        limitSeconds: maxMinutes * 60 + GRACE_SECONDS,
        triggers,
      },
      { parent: this },
    );
    this.report = report;
    this.registerOutputs({ report: this.report });
  }
}

function checkArguments(name: string, { drill, from, host, level, maxMinutes, pick }: DrillNowArgs): void {
  const wrong = (propertyPath: string, reason: string): never => {
    throw new pulumi.InputPropertyError({ propertyPath, reason: `DrillNow ${name}: ${reason}` });
  };
  if (host.databaseUser === undefined)
    wrong("host", "its engine is stock pgBackRest, which makes no drills: declare a FireDrill with `of`");
  if (drill !== undefined && !isDrillName(drill)) wrong("drill", `"${drill}" is not the name of a drill`);
  if (from !== undefined && findRepoIndex(from) === null)
    wrong("from", `"${from}" is not a repository key: use repo1 to repo256`);
  if (pick !== undefined && !Object.values(DrillPick).includes(pick))
    wrong("pick", `"${pick}" is not one of ${Object.values(DrillPick).join(", ")}`);
  if (level !== undefined && !Object.values(DrillLevel).includes(level))
    wrong("level", `"${level}" is not one of ${Object.values(DrillLevel).join(", ")}`);
  if (maxMinutes !== undefined && !(Number.isInteger(maxMinutes) && maxMinutes >= 1 && maxMinutes <= MINUTES_MAX))
    wrong("maxMinutes", `${maxMinutes} is not a number of minutes from 1 to ${MINUTES_MAX}`);
}
