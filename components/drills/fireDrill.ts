/** Fire drills on a separate host, away from production. */
import { checkedArguments } from "../internal/validate";
import * as pulumi from "@pulumi/pulumi";
import type { HostAccess } from "../databases/hostAccess";
import type { HostBaseArgs, HostPostgresArgs, HostRepositoryArgs, PostgresHostArgs } from "../databases/hostArgs";
import type { HostNotifyArgs } from "../databases/notifyArgs";
import type { ObjectivesArgs } from "../databases/objectivesArgs";
import { PostgresHost, prepareHost } from "../databases/postgresHost";
import { typeToken } from "../internal/children";
import { suffixed } from "../internal/inputs";
import { keptTargets } from "../repositories/common";
import { DEFAULTS } from "../plan/model/defaults";
import { shellArgument } from "../plan/host/hostCommand";
import type { HostSettings } from "../plan/model/databaseSettings";
import type { DrillChecksArgs, DrilledDatabase, HostDrillArgs } from "./drillArgs";
import { claimDrills } from "./drilled";

/** Either `of`, or `drills` with their related arguments. */
export interface FireDrillArgs extends HostBaseArgs {
  /**
   * The database: `drilled` of a PostgresHost, CnpgCluster or CnpgBackup. Runs the drills that it declares with
   * `elsewhere`, with its stanza, objectives and checks; do not set those here.
   */
  of?: DrilledDatabase;
  /**
   * Repositories of the database, by their keys there, with read-only keys: `readerTarget` of a bucket, `readerTargets`
   * of a RepositoryHost.
   */
  repositories: { [key: string]: HostRepositoryArgs };
  /**
   * Drills of a database that another program declares, by their names there.
   * @example { monthly: { cron: "0 5 1 * *" } }
   */
  drills?: { [name: string]: HostDrillArgs };
  /** Checks of every drill, with `drills`; `backupAgeHours` has no default here, because there are no schedules. */
  drillChecks?: DrillChecksArgs;
  /** Objectives of the drills, with `drills`. */
  objectives?: ObjectivesArgs;
  /**
   * Parent directory of the restore; it needs the size of the database, a tenth more, and 512 MiB.
   * @default "/var/lib/pgbackstop-drill"
   */
  path?: pulumi.Input<string>;
  /**
   * PostgreSQL's programs, of the database's major version; `install` installs them, without a cluster. If omitted,
   * those on the host.
   */
  postgres?: HostPostgresArgs;
  /** Notification targets for each drill's result, and for failures. */
  notify?: HostNotifyArgs;
}

/**
 * Fire drills of a database on a host other than production's: they show that backups restore without anything from
 * the lost machine. It gets configuration, runtime, a timer for each drill, metrics after each, and nothing that writes
 * into a repository: the keys only read, and the history of drills stays on that host. If systemd starts the drills, it
 * passes them the keys, which only root can read.
 *
 * It does not query production: checks that compare with production are skipped, and the heartbeat or the last commit
 * measures RPO. Destroying it removes its files.
 *
 * ```ts
 * const db = new PostgresHost("orders", { ...args, drills: { monthly: { cron: "0 5 1 * *", elsewhere: true } } });
 * new FireDrill("orders-drills", {
 *   of: db.drilled, repositories: { repo2: { at: b2.readerTarget! } },
 *   connection: { ssh: { host: "drills.example.net" } }, postgres: { version: 18, install: true },
 * });
 * ```
 */
export class FireDrill extends pulumi.ComponentResource {
  /** A command line that runs the first declared drill now: as root if systemd starts the drills, else as `user`. */
  public readonly drillCommand: pulumi.Output<string>;
  /** Content of the repositories, as JSON text; see PostgresHost. */
  public readonly destinations: pulumi.Output<string>;
  /** False if the timers are only written, because systemd is not running. */
  public readonly timersEnabled: pulumi.Output<boolean>;
  /** For one-shot actions. */
  public readonly access: HostAccess;

  constructor(name: string, args: FireDrillArgs, opts?: pulumi.ComponentResourceOptions) {
    const own = checkedArguments("FireDrill", name, args, { kept: (each) => [...keptTargets(each), each.of] });
    const { of, path = DEFAULTS.drillPath, ...host } = own;
    const { drillChecks, drills, objectives, stanza } = askedOf(name, own);
    const settings: PostgresHostArgs & Pick<HostSettings, "drillsOnly"> = {
      ...host,
      stanza,
      drillChecks,
      objectives,
      restoreOnly: true,
      drillsOnly: true,
      // Never has a cluster: restores go next to it, where there is space.
      dataDirectory: suffixed(path, "/none"),
      drills: Object.fromEntries(
        Object.entries(drills).map(([drill, each]) => [drill, { ...each, path: each.path ?? path, elsewhere: false }]),
      ),
    };
    prepareHost(name, settings);
    super(typeToken("FireDrill"), name, { stanza, drills }, opts);
    if (of !== undefined) claimDrills(of);
    const made = new PostgresHost(name, settings, { parent: this });
    this.access = made.access;
    this.destinations = made.destinations;
    this.timersEnabled = made.timersEnabled;
    const [first = ""] = Object.keys(drills);
    this.drillCommand = pulumi
      .output(made.access.runtimeArgv)
      .apply((argv) => [...argv, "drill", `--name=${first}`].map(shellArgument).join(" "));
    this.registerOutputs({
      drillCommand: this.drillCommand,
      destinations: this.destinations,
      timersEnabled: this.timersEnabled,
    });
  }
}

interface Asked {
  readonly stanza: pulumi.Input<string>;
  readonly drills: { readonly [name: string]: HostDrillArgs };
  readonly drillChecks: DrillChecksArgs;
  readonly objectives: ObjectivesArgs;
}

/** The one declaration, from either argument. @throws InputPropertyError for two, or none */
function askedOf(name: string, { drillChecks, drills, objectives, of, stanza }: FireDrillArgs): Asked {
  const wrong = (propertyPath: string, reason: string): never => {
    throw new pulumi.InputPropertyError({ propertyPath, reason: `FireDrill ${name}: ${reason}` });
  };
  if (of === undefined) {
    if (drills === undefined || Object.keys(drills).length === 0)
      return wrong(
        "of",
        "it drills nothing: give a database's drilled in of, or drills of a database that another program declares",
      );
    return { stanza: stanza ?? DEFAULTS.stanza, drills, drillChecks: drillChecks ?? {}, objectives: objectives ?? {} };
  }
  for (const [given, value] of Object.entries({ drills, drillChecks, objectives, stanza }))
    if (value !== undefined) wrong(given, `${given} comes from ${of.database}, which of names: change it there`);
  if (Object.keys(of.drills).length === 0)
    return wrong(
      "of",
      `${of.database} declares no drill as made elsewhere: drills: { monthly: { cron: "0 5 1 * *", elsewhere: true } }`,
    );
  return of;
}
