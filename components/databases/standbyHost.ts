/** A standby that comes from a repository: a member of a cluster of Patroni, or a plain standby that streams. */
import * as pulumi from "@pulumi/pulumi";
import { typeToken } from "../internal/children";
import { DEFAULTS } from "../plan/model/defaults";
import { patroniBootstrap, patroniReplica, standbyCommand } from "../render/host/standby";
import type { HostAccess, HostBaseArgs, HostRepositoryArgs } from "./hostArgs";
import { PostgresHost } from "./postgresHost";

/** The server that a plain standby streams from. A password is no argument: libpq reads it from a file. */
export interface PrimaryArgs {
  /** Name or address. */
  host: pulumi.Input<string>;
  /** Port of PostgreSQL there. @default 5432 */
  port?: pulumi.Input<number>;
  /** Role with REPLICATION. @example "replicator" */
  user: pulumi.Input<string>;
  /** File with the password, as libpq's `passfile` is written, on the standby; left out, `~/.pgpass` of PostgreSQL's account. */
  passfile?: pulumi.Input<string>;
  /** How TLS is demanded. @example "verify-full" */
  sslmode?: pulumi.Input<string>;
  /** A replication slot that the primary has for it. */
  slot?: pulumi.Input<string>;
}

export interface StandbyHostArgs extends HostBaseArgs {
  /**
   * Where the standby keeps its data: with Patroni, its `data_dir`. Neither it nor a server has to be there.
   * @example "/var/lib/postgresql/18/main"
   */
  dataDirectory: pulumi.Input<string>;
  /** Repositories of the cluster, by their keys there, with keys that only read: `readerTarget` of a bucket, `readerTargets` of a RepositoryHost. */
  repositories: { [key: string]: HostRepositoryArgs };
  /** For a standby without Patroni. Left out, `restoreCommand` makes one that reads the archive alone. */
  primary?: PrimaryArgs;
}

/**
 * A host whose PostgreSQL comes from a repository instead of its primary: it gets configuration and runtime, and nothing of it writes into a
 * repository. What makes the standby is yours to run: Patroni by `patroni`, or `restoreCommand`.
 *
 * It loads no primary, works while there is none, and renews a dead member from what it still has (`--delta`). Destroying it removes what it laid
 * down and the `restore_command` that names it, never the data directory; the standby runs on.
 *
 * `new StandbyHost("db3", { connection: { ssh }, dataDirectory: "/var/lib/postgresql/18/main", repositories: { repo1: { at: b2.readerTarget } } });`
 */
export class StandbyHost extends pulumi.ComponentResource {
  /** A shell line that makes, or renews, the standby; run it as `user` with PostgreSQL stopped, then start PostgreSQL. */
  public readonly restoreCommand: pulumi.Output<string>;
  /** A part of patroni.yml: this member comes from the repository (`create_replica_methods`), and reads its archive. */
  public readonly patroni: pulumi.Output<string>;
  /** A part of patroni.yml for the day on which every member is lost: a new cluster out of the repository (`bootstrap.method`). */
  public readonly patroniBootstrap: pulumi.Output<string>;
  /** What the repositories hold, as JSON text; see PostgresHost. */
  public readonly destinations: pulumi.Output<string>;
  /** For one-shot actions. */
  public readonly access: HostAccess;

  constructor(name: string, args: StandbyHostArgs, opts?: pulumi.ComponentResourceOptions) {
    const { primary, ...host } = args;
    super(typeToken("StandbyHost"), name, { dataDirectory: args.dataDirectory, streams: primary !== undefined }, opts);
    const made = new PostgresHost(name, { ...host, restoreOnly: true }, { parent: this });
    this.access = made.access;
    this.destinations = made.destinations;
    const argv = pulumi.output(made.access.runtimeArgv);
    this.restoreCommand =
      primary === undefined
        ? argv.apply((words) => standbyCommand(words, null))
        : pulumi.all([argv, pulumi.output(primary)]).apply(([words, server]) => standbyCommand(words, planOf(server)));
    this.patroni = argv.apply(patroniReplica);
    this.patroniBootstrap = argv.apply(patroniBootstrap);
    this.registerOutputs({
      restoreCommand: this.restoreCommand,
      patroni: this.patroni,
      patroniBootstrap: this.patroniBootstrap,
      destinations: this.destinations,
    });
  }
}

function planOf({ host, passfile, port = DEFAULTS.port, slot, sslmode, user }: pulumi.Unwrap<PrimaryArgs>): Parameters<typeof standbyCommand>[1] {
  return { host, port, user, passfile, sslmode, slot };
}
