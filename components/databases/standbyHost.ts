/** A standby from a repository: a member of a Patroni cluster, or a plain streaming standby. */
import { checkedArguments } from "../internal/validate";
import * as pulumi from "@pulumi/pulumi";
import { typeToken } from "../internal/children";
import { DEFAULTS } from "../plan/model/defaults";
import { keptTargets } from "../repositories/common";
import { patroniBootstrap, patroniReplica, standbyCommand } from "../render/host/standby";
import type { HostAccess } from "./hostAccess";
import type { HostBaseArgs, HostRepositoryArgs } from "./hostArgs";
import { PostgresHost, prepareHost } from "./postgresHost";
import type { SslMode } from "./sslMode";

/** The server that a plain standby streams from. A password is no argument: libpq reads it from a file. */
export interface PrimaryArgs {
  /** Name or address. */
  host: pulumi.Input<string>;
  /** Port of PostgreSQL there. @default 5432 @minimum 1 @maximum 65535 */
  port?: pulumi.Input<number>;
  /** Role with REPLICATION. @example "replicator" */
  user: pulumi.Input<string>;
  /**
   * File with the password on the standby, in the form of libpq's `passfile`; if omitted, `~/.pgpass` of PostgreSQL's
   * account.
   */
  passfile?: pulumi.Input<string>;
  /** libpq's `sslmode`. @example "verify-full" */
  sslmode?: pulumi.Input<SslMode>;
  /** The standby's replication slot on the primary. */
  slot?: pulumi.Input<string>;
}

export interface StandbyHostArgs extends HostBaseArgs {
  /**
   * The standby's data directory: with Patroni, its `data_dir`. Neither it nor a server needs to exist.
   * @example "/var/lib/postgresql/18/main"
   */
  dataDirectory: pulumi.Input<string>;
  /**
   * Repositories of the cluster, by their keys there, with read-only keys: `readerTarget` of a bucket, `readerTargets`
   * of a RepositoryHost.
   */
  repositories: { [key: string]: HostRepositoryArgs };
  /**
   * Server to stream from, for a standby without Patroni. If omitted, `restoreCommand` makes one that reads only the
   * archive.
   */
  primary?: PrimaryArgs;
}

/**
 * A host whose PostgreSQL comes from a repository instead of its primary: it gets configuration and runtime, and never
 * writes into a repository. You run the program that makes the standby: Patroni by `patroni`, or `restoreCommand`.
 *
 * It puts no load on the primary, works without one, and renews a dead member from its remaining data (`--delta`).
 * Destroying it removes its files and the `restore_command` that names it, never the data directory; the standby keeps
 * running.
 *
 * ```ts
 * new StandbyHost("db3", {
 *   connection: { ssh },
 *   dataDirectory: "/var/lib/postgresql/18/main",
 *   repositories: { repo1: { at: b2.readerTarget! } },
 * });
 * ```
 */
export class StandbyHost extends pulumi.ComponentResource {
  /**
   * A shell line that creates or renews the standby; run it as `user` with PostgreSQL stopped, then start PostgreSQL.
   */
  public readonly restoreCommand: pulumi.Output<string>;
  /** A part of patroni.yml: this member comes from the repository (`create_replica_methods`), and reads its archive. */
  public readonly patroni: pulumi.Output<string>;
  /** A part of patroni.yml for the loss of every member: a new cluster from the repository (`bootstrap.method`). */
  public readonly patroniBootstrap: pulumi.Output<string>;
  /** Content of the repositories, as JSON text; see PostgresHost. */
  public readonly destinations: pulumi.Output<string>;
  /** For one-shot actions. */
  public readonly access: HostAccess;

  constructor(name: string, args: StandbyHostArgs, opts?: pulumi.ComponentResourceOptions) {
    const { primary, ...host } = checkedArguments("StandbyHost", name, args, { kept: keptTargets });
    const restoring = { ...host, restoreOnly: true };
    prepareHost(name, restoring);
    super(typeToken("StandbyHost"), name, { dataDirectory: host.dataDirectory, streams: primary !== undefined }, opts);
    const made = new PostgresHost(name, restoring, { parent: this });
    this.access = made.access;
    this.destinations = made.destinations;
    const argv = pulumi.output(made.access.runtimeArgv);
    this.restoreCommand =
      primary === undefined
        ? argv.apply((parts) => standbyCommand(parts, null))
        : pulumi.all([argv, pulumi.output(primary)]).apply(([parts, server]) => standbyCommand(parts, planOf(server)));
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

function planOf({
  host,
  passfile,
  port = DEFAULTS.port,
  slot,
  sslmode,
  user,
}: pulumi.Unwrap<PrimaryArgs>): Parameters<typeof standbyCommand>[1] {
  return { host, port, user, passfile, sslmode, slot };
}
