/** A masked copy of a database that answers in seconds, and ends by itself. */
import * as pulumi from "@pulumi/pulumi";
import { given } from "../../runtime/base/given";
import { CloneResource } from "../dynamic/cloneResource";
import type { CloneSpec } from "../dynamic/cloneOnHost";
import { childName, typeToken } from "../internal/children";
import { splitKnown } from "../internal/inputs";
import { checkedArguments } from "../internal/validate";
import { findRepoIndex } from "../plan/model/defaults";
import { isUnknown } from "../plan/model/unknown";
import type { ClusterAccess } from "./cnpgArgs";
import type { HostAccess } from "./hostAccess";
import { addressOf, connectionInputs } from "./hostConnection";

const NEWEST = "newest";
const DEFAULT = {
  directory: "/var/lib/pgbackstop/clones",
  lifetimeHours: 24,
  listen: "127.0.0.1",
  role: "clone",
} as const;

export interface DatabaseCloneArgs {
  /**
   * Host that runs the clone: `access` of a PostgresHost with engine "runtime", of the database itself, or with
   * `restoreOnly` on another machine. It needs `/dev/fuse`, root, and PostgreSQL's programs of the database's version.
   */
  host?: HostAccess;
  /** Refused: a cluster's clone is a CnpgRestore, which has its own volume. */
  cluster?: ClusterAccess;
  /**
   * State of the data: "newest", or a time with its zone. Another one moves the clone: a new one is opened, then the
   * previous one is closed.
   * @default "newest"
   * @example "2026-11-20 06:40:00+00"
   */
  at?: pulumi.Input<string>;
  /** Repository to open. If omitted, the first that has the backup. @example "repo2" */
  from?: pulumi.Input<string>;
  /**
   * Databases of the clone; all others are dropped in it. If omitted, all but the templates and `postgres`.
   * @example ["shop"]
   */
  databases?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * SQL that runs in each database as superuser before anybody may connect, in one transaction. If it fails, nothing of
   * the clone is left. Not secret.
   * @example ["UPDATE customers SET email = 'user' || id || '@example.com'"]
   */
  mask?: pulumi.Input<pulumi.Input<string>[]>;
  /** The only role that may sign in. @default "clone" */
  role?: pulumi.Input<string>;
  /** Hours after which the clone closes itself, without Pulumi. @default 24 @minimum 1 @maximum 8760 */
  lifetimeHours?: pulumi.Input<number>;
  /**
   * Addresses on which it listens, separated by commas, without encryption of the connection: use a private network, or
   * a tunnel to the default.
   * @default "127.0.0.1"
   */
  listen?: pulumi.Input<string>;
  /** Networks of its clients. Required if it listens on more than the host itself. @example ["10.0.0.0/8"] */
  allow?: pulumi.Input<pulumi.Input<string>[]>;
  /** Address of the host for clients. If omitted, that of its connection, or 127.0.0.1 if it listens there alone. */
  address?: pulumi.Input<string>;
  /**
   * Parent directory on the host, with space for what is read and written.
   * @default "/var/lib/pgbackstop/clones"
   */
  directory?: pulumi.Input<string>;
  /**
   * Space for fetched pages in GiB: the least recently used are dropped, and fetched again when something reads them.
   * Written pages need space beside it. If omitted, all pages stay.
   * @minimum 1 @maximum 1000000
   */
  cacheGiB?: pulumi.Input<number>;
  /** Directory of PostgreSQL's programs on the host, if it is not where its version installs them. */
  binDirectory?: pulumi.Input<string>;
}

/**
 * A writable copy of a database on a host, from its newest backup and WAL, in seconds: pages are fetched when they are
 * read. It is masked before anybody may connect, reaches neither production nor its machine, and closes itself at the
 * end of its life.
 *
 * An update with other arguments opens a new clone, then closes the previous one. Destroying it discards it. After a
 * refresh, one that has closed itself is made again by the next update.
 *
 * `new DatabaseClone("pr-123", { host: ledger.access, mask: ["UPDATE customers SET email = ''"] });`
 */
export class DatabaseClone extends pulumi.ComponentResource {
  /** URL for clients, with the password, of the first database. Secret. */
  public readonly connectionString: pulumi.Output<string>;
  /** Its databases. */
  public readonly databases: pulumi.Output<string[]>;
  /** Its TCP port. Each clone has its own. */
  public readonly port: pulumi.Output<number>;
  /** Time of the last transaction in it, as it was in production. */
  public readonly dataTime: pulumi.Output<string>;
  /** Age of the data when it was opened, in seconds. */
  public readonly dataAgeSeconds: pulumi.Output<number>;
  /** Bytes of the backup that were fetched until it was ready, or replaced by the mask. */
  public readonly fetchedBytes: pulumi.Output<number>;
  /** Space of its files when it was ready. */
  public readonly diskBytes: pulumi.Output<number>;
  /** Size of the backup. */
  public readonly totalBytes: pulumi.Output<number>;
  /** End of its life. */
  public readonly endsAt: pulumi.Output<string>;

  constructor(name: string, args: DatabaseCloneArgs, opts?: pulumi.ComponentResourceOptions) {
    const own = checkedArguments("DatabaseClone", name, args, { kept: (each) => [each.cluster] });
    const { address, cluster: _refused, host: _host, ...choice } = own;
    const { deferred, value } = splitKnown(given(choice));
    const host = checkedHost(name, own);
    checkChoice(name, value);
    const { at = NEWEST, databases = [], lifetimeHours = DEFAULT.lifetimeHours } = own;
    super(typeToken("DatabaseClone"), name, { at, databases, lifetimeHours, masked: own.mask !== undefined }, opts);
    const settled = pulumi.output<object>(given(choice)).apply((known): Choice => {
      if (deferred.size > 0) checkChoice(name, known);
      return known;
    });
    const { connection, signIn } = connectionInputs(host.connection);
    const clone = new CloneResource(
      childName(name, "clone"),
      { connection, argv: host.runtimeArgv, spec: settled.apply((known) => specOf(name, known)), ...given({ signIn }) },
      { parent: this },
    );
    const { password, status } = clone;
    const reached = pulumi
      .all([address ?? "", addressOf(host.connection).host, settled])
      .apply(([named, remote, { listen = DEFAULT.listen }]) => named || addressFor(listen, remote));
    this.connectionString = pulumi.secret(
      pulumi.all([password, status.databases, status.port, reached, settled]).apply((parts) => {
        const [secret, made, port, server, known] = parts;
        // Mocks of a user's tests give no status.
        const [database = ""] = (made as string[] | undefined) ?? [];
        const role = encodeURIComponent(known.role ?? DEFAULT.role);
        const shown = server.includes(":") ? `[${server}]` : server;
        return `postgresql://${role}:${encodeURIComponent(secret)}@${shown}:${port}/${encodeURIComponent(database)}`;
      }),
    );
    this.databases = status.databases;
    this.port = status.port;
    this.dataTime = status.dataTime;
    this.dataAgeSeconds = status.dataAgeS;
    this.fetchedBytes = status.fetchedBytes;
    this.diskBytes = status.diskBytes;
    this.totalBytes = status.totalBytes;
    this.endsAt = status.endsAt.apply((time) => time ?? "");
    this.registerOutputs({
      connectionString: this.connectionString,
      databases: this.databases,
      port: this.port,
      dataTime: this.dataTime,
      dataAgeSeconds: this.dataAgeSeconds,
      fetchedBytes: this.fetchedBytes,
      diskBytes: this.diskBytes,
      totalBytes: this.totalBytes,
      endsAt: this.endsAt,
    });
  }
}

/** Arguments as plain values. */
interface Choice {
  readonly at?: string;
  readonly from?: string;
  readonly databases?: readonly string[];
  readonly mask?: readonly string[];
  readonly role?: string;
  readonly lifetimeHours?: number;
  readonly listen?: string;
  readonly allow?: readonly string[];
  readonly directory?: string;
  readonly binDirectory?: string;
  readonly cacheGiB?: number;
}

function specOf(name: string, known: Choice): CloneSpec {
  const { at = NEWEST, from } = known;
  return {
    name: name.replaceAll(/[^A-Za-z0-9_.-]/g, "-").slice(0, NAME_MAX),
    directory: (known.directory ?? DEFAULT.directory).replace(/\/+$/, ""),
    target: at === NEWEST ? "" : at.replace("T", " ").replace("Z", "+00"),
    repoIndex: from === undefined ? 0 : (findRepoIndex(from) ?? 0),
    databases: known.databases ?? [],
    mask: known.mask ?? [],
    role: known.role ?? DEFAULT.role,
    listen: known.listen ?? DEFAULT.listen,
    allow: known.allow ?? [],
    lifetimeHours: known.lifetimeHours ?? DEFAULT.lifetimeHours,
    binDirectory: known.binDirectory ?? "",
    cacheGiB: known.cacheGiB ?? 0,
  };
}

const NAME_MAX = 40;

function isLocal(listen: string): boolean {
  return listen.split(",").every((address) => /^(127(\.\d+){3}|::1|localhost)$/.test(address));
}

function addressFor(listen: string, remote: string): string {
  if (isLocal(listen)) return listen.split(",")[0] ?? DEFAULT.listen;
  return remote === "" ? (listen.split(",").find((address) => address !== "*") ?? DEFAULT.listen) : remote;
}

function refuse(name: string, propertyPath: string, reason: string): never {
  throw new pulumi.InputPropertyError({ propertyPath, reason: `DatabaseClone ${name}: ${reason}` });
}

/** @throws InputPropertyError for a cluster, with the way out */
function checkedHost(name: string, { cluster, host }: DatabaseCloneArgs): HostAccess {
  if (cluster !== undefined)
    refuse(
      name,
      "cluster",
      "a clone is mounted by FUSE as root, which pods of a cluster may not do. Restore one with " +
        'new CnpgRestore("copy", { source: cluster.source, … }), or give the host of a PostgresHost with restoreOnly and the same repositories',
    );
  if (host === undefined) return refuse(name, "host", "give the access of the PostgresHost that runs it");
  if (host.databaseUser === undefined)
    refuse(
      name,
      "host",
      'its engine is stock pgBackRest, which opens no backups: use a PostgresHost with engine "runtime"',
    );
  return host;
}

const TIME = /^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)$/;
const NETWORK = /^[0-9A-Fa-f.:]+\/\d{1,3}$/;
const DATABASE_NAME = /^[^"\p{Cc}]{1,63}$/u;
/** As a systemd unit and a shell can name it. */
const DIRECTORY = /^(\/[A-Za-z0-9_.-]+)+\/?$/;

/** Deferred values are markers, which it skips. */
function checkChoice(name: string, choice: Choice): void {
  const wrong = (path: string, reason: string): never => refuse(name, path, reason);
  const check = (path: string, value: string | undefined, pattern: RegExp, fault: string): void => {
    if (value !== undefined && !isUnknown(value) && !pattern.test(value)) wrong(path, `"${value}" ${fault}`);
  };
  const each = (path: string, list: readonly string[] | undefined, pattern: RegExp, fault: string): void => {
    if (list === undefined || isUnknown(list)) return;
    for (const [index, value] of list.entries()) check(`${path}[${index}]`, value, pattern, fault);
  };
  if (choice.at !== NEWEST)
    check("at", choice.at, TIME, 'is neither "newest" nor a time with its zone, such as "2026-11-20 06:40:00+00"');
  if (choice.from !== undefined && !isUnknown(choice.from) && findRepoIndex(choice.from) === null)
    wrong("from", `"${choice.from}" is not a repository key: use repo1 to repo256`);
  check(
    "role",
    choice.role,
    /^(?!pg_)[^"\p{Cc}]{1,63}$/u,
    "is no name for a role: PostgreSQL reserves pg_, and quotes are not possible",
  );
  check("listen", choice.listen, /^[0-9A-Za-z.:*,-]+$/, "is no list of addresses, separated by commas");
  check("directory", choice.directory, DIRECTORY, "is not usable: give an absolute path of letters, digits and _ . -");
  each("databases", choice.databases, DATABASE_NAME, "is no usable name of a database");
  each("allow", choice.allow, NETWORK, "is no network, such as 10.0.0.0/8");
  each("mask", choice.mask, /\S/, "is no statement");
  const { allow = [], listen = DEFAULT.listen } = choice;
  if (!isUnknown(listen) && !isUnknown(allow) && !isLocal(listen) && allow.length === 0)
    wrong("allow", `it listens on ${listen}: name the networks of its clients, such as ["10.0.0.0/8"]`);
}
