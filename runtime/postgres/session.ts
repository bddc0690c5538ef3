/**
 * One session with the server: its facts, the non-exclusive backup functions, WAL switches, settings.
 *
 * A backup needs the same session from start to stop (PostgreSQL "Continuous Archiving", non-exclusive backup); the
 * advisory lock of stock 2.45–2.57 is also a session lock. The session uses stock's settings ("pgbackrest-format" 15).
 */
import type { ManifestDatabase } from "../format/repository/manifest";
import type { Client, ClientConfig, QueryArrayResult, QueryResult } from "pg";
import { textOf } from "../base/bytes";
import { type BackupError, fail, toBackupError } from "../base/errors";
import type { Secret } from "../base/secret";
import { parseLsn, segmentOfLsn } from "../format/wal/walSegment";
import { OWN_PATHS, type ServerPaths } from "./container/serverPaths";
import { atLeast, majorVersion } from "./versions";

/** Stock's lock during a backup ("pgbackrest-format" 15, step 4). */
const BACKUP_ADVISORY_LOCK = "12340078987004321";
/** How soon the server notices a killed client during a long statement, such as the wait for a checkpoint. */
const CONNECTION_CHECK_MS = 2000;
const SECOND_MS = 1000;

export interface SessionTarget {
  /** Directory of the unix socket, or a host name. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly queryTimeoutMs: number;
  readonly applicationName: string;
  readonly password?: Secret;
  /** Default: none, as on a unix socket. */
  readonly tls?: SessionTls;
  /** Hints for when it cannot be reached. Default: about pg1. */
  readonly hints?: readonly string[];
  /** Default: a query's, a minute at most. */
  readonly connectTimeoutMs?: number;
  /** Paths of a server in a container; default: this machine's. */
  readonly paths?: ServerPaths;
}

/** Modes of libpq's sslmode; certificates and key are PEM texts. */
export interface SessionTls {
  readonly mode: "disable" | "prefer" | "require" | "verify-ca" | "verify-full";
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export interface ServerFacts {
  readonly version: string;
  readonly versionNum: number;
  /** On this machine. */
  readonly dataDirectory: string;
  readonly archiveMode: string;
  readonly archiveCommand: string;
  readonly inRecovery: boolean;
}

export interface BackupStart {
  readonly lsn: string;
  readonly walName: string;
}

export interface BackupStop extends BackupStart {
  readonly backupLabel: string;
  /** Empty without tablespaces. */
  readonly tablespaceMap: string;
}

/** File that ALTER SYSTEM writes. */
const AUTOMATIC = /\/postgresql\.auto\.conf$/;

export interface TablespaceRow {
  readonly id: number;
  readonly name: string;
}

export class Session {
  /** How programs of PostgreSQL reach the same server. */
  readonly address: Pick<SessionTarget, "database" | "host" | "port" | "user">;
  readonly #client: Client;
  readonly #paths: ServerPaths;
  #facts: ServerFacts | undefined;

  private constructor(client: Client, { database, host, paths = OWN_PATHS, port, user }: SessionTarget) {
    this.address = { database, host, port, user };
    this.#client = client;
    this.#paths = paths;
  }

  /** How they reach it where the server runs, for instance in its container. */
  async ownAddress(): Promise<Session["address"]> {
    const { rows } = await this.query(
      "select split_part(current_setting('unix_socket_directories'), ',', 1) as host, current_setting('port')::int as port, current_user as user",
    );
    const { host, port, user } = rows[0] as { host: string; port: number; user: string };
    return { database: this.address.database, host: host.trim(), port, user };
  }

  /** @throws dbConnect (56) with the address and the server's message */
  static async open(target: SessionTarget): Promise<Session> {
    const session = new Session(await connect(target), target);
    await session.query("set search_path = 'pg_catalog'");
    await session.query("set client_encoding = 'UTF8'");
    await session.query("set max_parallel_workers_per_gather = 0");
    // Not available on every platform of the server; without it a killed backup keeps its lock until its statement
    // ends.
    await session.query(`set client_connection_check_interval = ${CONNECTION_CHECK_MS}`).catch(() => {});
    return session;
  }

  /** @throws dbQuery (57) with the statement and the server's message */
  async query(sql: string, params: readonly unknown[] = []): Promise<QueryResult> {
    try {
      return await this.#client.query(sql, [...params]);
    } catch (error) {
      throw queryError(sql, error);
    }
  }

  /**
   * Rows as lists: in an object, columns of one name would hide each other.
   * @throws dbQuery (57) as {@link query}
   */
  async values(sql: string): Promise<unknown[][]> {
    try {
      const result: QueryArrayResult<unknown[]> | QueryArrayResult<unknown[]>[] = await this.#client.query({
        text: sql,
        rowMode: "array",
      });
      if (!Array.isArray(result)) return result.rows;
    } catch (error) {
      throw queryError(sql, error);
    }
    throw fail("dbQuery", `only one statement is allowed in '${sql}'`);
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => {});
  }

  /** Facts of the server, queried once. */
  async facts(): Promise<ServerFacts> {
    if (this.#facts !== undefined) return this.#facts;
    const { rows } = await this.query(
      "select current_setting('server_version_num')::int4 as version_num, pg_catalog.textsend(current_setting('data_directory')) as data_directory, " +
        "current_setting('archive_mode') as archive_mode, current_setting('archive_command') as archive_command, " +
        "pg_catalog.pg_is_in_recovery() as in_recovery",
    );
    const row = rows[0];
    this.#facts = {
      versionNum: row.version_num,
      version: majorVersion(row.version_num),
      dataDirectory: this.#paths.here(textOf(row.data_directory)),
      archiveMode: row.archive_mode,
      archiveCommand: row.archive_command,
      inRecovery: row.in_recovery,
    };
    return this.#facts;
  }

  async systemId(): Promise<string> {
    const { rows } = await this.query("select system_identifier::text as id from pg_catalog.pg_control_system()");
    return rows[0].id;
  }

  /** Milliseconds since 1970 by the database's clock. */
  async nowMs(): Promise<number> {
    const { rows } = await this.query(
      "select floor(extract(epoch from clock_timestamp()) * 1000)::bigint::text as now",
    );
    return Number(rows[0].now);
  }

  /** The current second of the database's clock. */
  async nowS(): Promise<number> {
    return Math.floor((await this.nowMs()) / SECOND_MS);
  }

  /** @throws lockAcquire (50) when a backup of this cluster is already running */
  async takeBackupLock(): Promise<void> {
    const { rows } = await this.query(
      `select pg_catalog.pg_try_advisory_lock(${BACKUP_ADVISORY_LOCK})::bool as locked`,
    );
    if (rows[0].locked !== true) {
      throw fail("lockAcquire", "unable to acquire the advisory backup lock of this cluster", {
        hint: "is another backup already running on this cluster?",
      });
    }
  }

  /** Begins a non-exclusive backup. `walSegmentSizeBytes` is used to name the segment when the server cannot. */
  async startBackup(fast: boolean, walSegmentSizeBytes: number): Promise<BackupStart> {
    const { version, inRecovery } = await this.facts();
    const call = atLeast(version, 15) ? "pg_catalog.pg_backup_start" : "pg_catalog.pg_start_backup";
    const exclusive = atLeast(version, 15) ? "" : ", false";
    const label = "'pgBackRest backup started at ' || current_timestamp";
    const name = inRecovery ? "null" : "pg_catalog.pg_walfile_name(lsn)::text";
    const { rows } = await this.query(
      `select lsn::text as lsn, ${name} as wal from ${call}(${label}, ${fast}${exclusive}) as lsn`,
    );
    const { lsn, wal } = rows[0];
    if (!inRecovery) return { lsn, walName: wal };
    // The server does not name segments in recovery. The backup began at the last restart point, and pg_control knows
    // its timeline.
    const { timeline } = await this.controlCheckpoint();
    return { lsn, walName: segmentOfLsn(timeline, parseLsn(lsn), walSegmentSizeBytes) };
  }

  /** Ends this session's backup. */
  async stopBackup(walSegmentSizeBytes: number): Promise<BackupStop> {
    const { version, inRecovery } = await this.facts();
    const call = atLeast(version, 15) ? "pg_catalog.pg_backup_stop(false)" : "pg_catalog.pg_stop_backup(false, false)";
    const name = inRecovery ? "null" : "pg_catalog.pg_walfile_name(lsn)::text";
    // Paths of tablespaces may hold any bytes. A server that converts them to UTF-8 changes or refuses them.
    await this.query("set client_encoding = 'SQL_ASCII'");
    const { rows } = await this.query(
      `select lsn::text as lsn, ${name} as wal, labelfile as label, pg_catalog.textsend(spcmapfile) as map from ${call}`,
    );
    await this.query("set client_encoding = 'UTF8'");
    const row = rows[0];
    const map = row.map === null ? "" : textOf(row.map);
    const walName = inRecovery ? segmentBefore(row.lsn, timelineOfLabel(row.label), walSegmentSizeBytes) : row.wal;
    return {
      lsn: row.lsn,
      walName,
      backupLabel: row.label,
      tablespaceMap: map.trim() === "" ? "" : map,
    };
  }

  async inRecovery(): Promise<boolean> {
    const { rows } = await this.query("select pg_catalog.pg_is_in_recovery() as in_recovery");
    return rows[0].in_recovery;
  }

  /** Position up to which a standby has replayed; 0 before its first replay. */
  async replayLsn(): Promise<bigint> {
    const { rows } = await this.query("select coalesce(pg_catalog.pg_last_wal_replay_lsn(), '0/0')::text as lsn");
    return parseLsn(rows[0].lsn);
  }

  /** On a standby, a restart point at the last replayed checkpoint. */
  async checkpoint(): Promise<void> {
    await this.query("checkpoint");
  }

  /** The redo position and timeline of the last checkpoint in pg_control. */
  async controlCheckpoint(): Promise<{ readonly lsn: bigint; readonly timeline: number }> {
    const { rows } = await this.query(
      "select redo_lsn::text as lsn, timeline_id as timeline from pg_catalog.pg_control_checkpoint()",
    );
    return { lsn: parseLsn(rows[0].lsn), timeline: Number(rows[0].timeline) };
  }

  /** The segment of the next record. */
  async currentWalName(): Promise<string> {
    const { rows } = await this.query(
      "select pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn())::text as wal",
    );
    return rows[0].wal;
  }

  /** Writes a restore point, so that there is WAL to archive, and switches; returns the completed segment. */
  async switchWal(restorePoint: string): Promise<string> {
    await this.query("select pg_catalog.pg_create_restore_point($1)", [restorePoint]);
    const { rows } = await this.query("select pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal())::text as wal");
    return rows[0].wal;
  }

  /** Names may hold any bytes: each database has its own encoding. */
  async listDatabases(): Promise<ManifestDatabase[]> {
    const { rows } = await this.query(
      "select oid::int8::text as id, pg_catalog.textsend(datname::text) as name, (select oid::int8::text from pg_catalog.pg_database where datname = 'template0') as last from pg_catalog.pg_database order by datname",
    );
    return rows.map((row) => ({ name: textOf(row.name), id: Number(row.id), lastSystemId: Number(row.last) }));
  }

  async listTablespaces(): Promise<TablespaceRow[]> {
    const { rows } = await this.query(
      "select oid::int8::text as id, pg_catalog.textsend(spcname::text) as name from pg_catalog.pg_tablespace order by oid",
    );
    return rows.map((row) => ({ id: Number(row.id), name: textOf(row.name) }));
  }

  /** Settings by name with their source; unknown names are omitted. */
  async settings(names: readonly string[]): Promise<SettingRow[]> {
    const { rows } = await this.query(
      "select name, current_setting(name) as value, source, pending_restart from pg_catalog.pg_settings where name = any($1) order by name",
      [[...names]],
    );
    // A value set by ALTER SYSTEM that waits for a restart is visible only in the file view.
    const file = await this.query(
      "select name, setting, sourcefile from pg_catalog.pg_file_settings where error is null or error = 'setting could not be applied' order by seqno",
    );
    const configured = new Map<string, string>(file.rows.map((row) => [row.name, row.setting]));
    const automatic = new Map<string, string>(
      file.rows.filter((row) => AUTOMATIC.test(row.sourcefile)).map((row) => [row.name, row.setting]),
    );
    return rows.map((row) => ({
      name: row.name,
      value: row.value,
      configured: configured.get(row.name) ?? null,
      automatic: automatic.get(row.name) ?? null,
      source: row.source,
      pendingRestart: row.pending_restart,
    }));
  }

  /** `ALTER SYSTEM SET`, or RESET for null; {@link reload} or a restart activates it. */
  async alterSystem(name: string, value: string | null): Promise<void> {
    if (!/^[a-z][a-z0-9_.]*$/.test(name))
      throw fail("paramInvalid", `'${name}' is not the name of a PostgreSQL setting`);
    const quoted = value === null ? "" : ` = ${this.#client.escapeLiteral(value)}`;
    await this.query(`alter system ${value === null ? "reset" : "set"} ${name}${quoted}`);
  }

  /** Resolves before the server has read its files: {@link configurationReadMs} shows when this session has. */
  async reload(): Promise<void> {
    await this.query("select pg_catalog.pg_reload_conf()");
  }

  /** When this session last read the settings files, by the server's clock, with microseconds. */
  async configurationReadMs(): Promise<number> {
    const { rows } = await this.query(
      "select (extract(epoch from pg_catalog.pg_conf_load_time()) * 1000)::float8 as ms",
    );
    return Number((rows as { ms: number }[])[0]?.ms);
  }
}

function queryError(sql: string, cause: unknown): BackupError {
  return fail("dbQuery", `unable to execute query '${sql}': ${toBackupError(cause).message}`, { cause });
}

async function connect(target: SessionTarget): Promise<Client> {
  // Loaded on demand: archive-push and archive-get never query the server.
  const pg = await import("pg");
  const { applicationName, database, host, password, port, queryTimeoutMs, tls, user } = target;
  const attempt = async (ssl: ClientConfig["ssl"]): Promise<Client> => {
    const client = new pg.Client({
      host,
      port,
      user,
      database,
      application_name: applicationName,
      connectionTimeoutMillis: target.connectTimeoutMs ?? Math.min(queryTimeoutMs, 60_000),
      query_timeout: queryTimeoutMs,
      ...(ssl === undefined ? {} : { ssl }),
      ...(password === undefined ? {} : { password: password.reveal() }),
    });
    // A lost server is reported here between two queries; the next query fails with its own error.
    client.on("error", () => {});
    await client.connect();
    return client;
  };
  try {
    return await attempt(tls === undefined ? undefined : sslOptions(tls)).catch((error: unknown) => {
      // Only "prefer" falls back to no TLS, and only when the server does not support it.
      if (tls?.mode !== "prefer" || !toBackupError(error).message.includes("does not support SSL")) throw error;
      return attempt(false);
    });
  } catch (error) {
    const where = `host '${host}' port ${port} database '${database}' user '${user}'`;
    throw fail("dbConnect", `unable to connect to ${where}: ${toBackupError(error).message}`, {
      hint: target.hints ?? [
        "is PostgreSQL running on this host, and do pg1-socket-path and pg1-port point at it?",
        "may this user connect (pg_hba.conf, pg1-user)?",
      ],
      cause: error,
      retryable: true,
    });
  }
}

function sslOptions({ ca, cert, key, mode }: SessionTls): ClientConfig["ssl"] {
  if (mode === "disable") return false;
  return {
    rejectUnauthorized: mode.startsWith("verify"),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    // Only verify-full checks the name.
    ...(mode === "verify-ca" ? { checkServerIdentity: () => undefined } : {}),
  };
}

export interface SettingRow {
  readonly name: string;
  /** The active value. */
  readonly value: string;
  /** The configuration files' value; null if absent. */
  readonly configured: string | null;
  /** The value of `postgresql.auto.conf`; null if ALTER SYSTEM has set none. */
  readonly automatic: string | null;
  readonly source: string;
  readonly pendingRestart: boolean;
}

/** The segment of the byte before `lsn`, which completes the WAL up to it. */
function segmentBefore(lsn: string, timeline: number, walSegmentSizeBytes: number): string {
  return segmentOfLsn(timeline, parseLsn(lsn) - 1n, walSegmentSizeBytes);
}

/** @throws dbQuery when the label file has no timeline */
function timelineOfLabel(label: string): number {
  const timeline = /^START TIMELINE: (\d+)$/m.exec(label)?.[1];
  if (timeline === undefined) throw fail("dbQuery", "the server's backup label has no line 'START TIMELINE'");
  return Number(timeline);
}
