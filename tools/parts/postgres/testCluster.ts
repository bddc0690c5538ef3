/**
 * A PostgreSQL test cluster: create, start, query, compare and stop.
 *
 * It listens on a unix socket in a private folder only, so clusters never share a port. The superuser is `postgres`
 * without a password. The server is a direct child of this process and ends with it.
 */
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { makeDataDirectory } from "./clusterTemplate";
import { run, type Started, sleep, start } from "../process";
import type { PostgresBinaries } from "./postgres";
import { giveTo, makeUserFolder, type OsUser, serverUser } from "../users";

export type StopMode = "smart" | "fast" | "immediate";
type Settings = Readonly<Record<string, string | number | boolean>>;
export type Row = Readonly<Record<string, unknown>>;

export interface ClusterOptions {
  readonly binaries: PostgresBinaries;
  /** Folder for data, socket and log; default: a new temporary one, which `remove` deletes. */
  readonly folder?: string;
  readonly settings?: Settings;
  /** Added to `initdb`, for example `--encoding=LATIN1`. */
  readonly initdbArgs?: readonly string[];
}

export interface AdoptOptions {
  readonly binaries: PostgresBinaries;
  /** An existing data directory, for example a restored one. */
  readonly dataPath: string;
  readonly settings?: Settings;
}

/** Content of one table: number of rows, and an order-independent sum of row hashes. */
export interface TableChecksum {
  readonly rows: bigint;
  readonly checksum: string;
}

const SIGNALS: Readonly<Record<StopMode, NodeJS.Signals>> = { smart: "SIGTERM", fast: "SIGINT", immediate: "SIGQUIT" };
/** Failures of one question in a row. */
const FAILED_LOOKS_MAX = 20;

/** For short-lived data: it survives a crash of the server, not of the machine. */
const BASE_SETTINGS: Settings = {
  fsync: false,
  // It would write WAL at a moment of its own.
  autovacuum: false,
  listen_addresses: "",
  unix_socket_permissions: "0777",
  shared_buffers: "64MB",
  max_wal_size: "256MB",
  log_line_prefix: "%m [%p] ",
  log_checkpoints: false,
  logging_collector: false,
};

export class TestCluster {
  readonly binaries: PostgresBinaries;
  readonly dataPath: string;
  /** Folder of the unix socket; `host` of a connection, `pg1-socket-path` of pgBackRest. */
  readonly socketPath: string;
  readonly port = 5432;
  readonly superuser = "postgres";
  /** The account that the server runs as and that owns the data directory. */
  readonly user: OsUser;
  readonly logFile: string;
  readonly #folder: string;
  readonly #ownsFolder: boolean;
  #server: Started | null = null;

  private constructor(binaries: PostgresBinaries, folder: string, ownsFolder: boolean, dataPath: string) {
    this.binaries = binaries;
    this.user = serverUser();
    this.#folder = folder;
    this.#ownsFolder = ownsFolder;
    this.dataPath = dataPath;
    this.socketPath = join(folder, "socket");
    this.logFile = join(folder, "postgres.log");
    mkdirSync(this.socketPath, { recursive: true });
    giveTo(this.socketPath, this.user);
  }

  /** Creates a cluster like `initdb` (UTF8, locale C, data checksums) without starting it. */
  static async create(options: ClusterOptions): Promise<TestCluster> {
    const folder = options.folder ?? makeUserFolder("pgb-");
    if (options.folder !== undefined) prepareFolder(folder);
    const cluster = new TestCluster(options.binaries, folder, options.folder === undefined, join(folder, "data"));
    const args = [
      "-U",
      cluster.superuser,
      "--auth=trust",
      "--encoding=UTF8",
      "--locale=C",
      "--data-checksums",
      "--no-sync",
    ];
    await makeDataDirectory(options.binaries, cluster.user, cluster.dataPath, [...args, ...(options.initdbArgs ?? [])]);
    appendFileSync(join(cluster.dataPath, "postgresql.conf"), settingsText({ ...BASE_SETTINGS, ...options.settings }));
    return cluster;
  }

  /**
   * A cluster on an existing data directory. Socket and log get a separate folder; the configuration stays, and `start`
   * overrides it.
   */
  static adopt(options: AdoptOptions): TestCluster {
    const cluster = new TestCluster(options.binaries, makeUserFolder("pgb-"), true, options.dataPath);
    cluster.#overrides = { ...BASE_SETTINGS, ...options.settings };
    return cluster;
  }

  #overrides: Settings = {};

  isRunning(): boolean {
    return this.#server?.isRunning() ?? false;
  }

  /** Process id of the postmaster; 0 if it is not running. */
  get pid(): number {
    return this.isRunning() ? (this.#server?.pid ?? 0) : 0;
  }

  /**
   * Starts the server, with `settings` for this start only, and waits until recovery has ended or a standby accepts
   * reads.
   * @throws Error with the end of the log if it stops instead
   */
  async start(
    settings: Settings = {},
    options: { readonly timeoutMs?: number; readonly env?: Readonly<Record<string, string>> } = {},
  ): Promise<void> {
    if (this.isRunning()) throw new Error(`the server of ${this.dataPath} is running`);
    const all = { ...this.#overrides, ...settings, unix_socket_directories: this.socketPath, port: this.port };
    const args = Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    writeFileSync(this.logFile, "", { flag: "a" });
    this.#server = await start(join(this.binaries.folder, "postgres"), ["-D", this.dataPath, ...args], {
      user: this.user,
      cwd: this.#folder,
      logFile: this.logFile,
      stopSignal: "SIGINT",
      killSignal: "SIGQUIT",
      ...(options.env === undefined ? {} : { env: options.env }),
    });
    const endMs = performance.now() + (options.timeoutMs ?? 120_000);
    for (;;) {
      if (!this.isRunning())
        throw new Error(`the server of ${this.dataPath} stopped while starting\n${this.logTail()}`);
      if (await this.#accepts()) return;
      if (performance.now() > endMs) {
        await this.stop("immediate");
        throw new Error(`the server of ${this.dataPath} did not start in time\n${this.logTail()}`);
      }
      await sleep(50);
    }
  }

  async #accepts(): Promise<boolean> {
    try {
      await this.sql("SELECT 1");
      return true;
    } catch (error) {
      const code = (error as { code?: string }).code ?? "";
      // Not up yet, or "the database system is starting up" (57P03).
      if (["ENOENT", "ECONNREFUSED", "ECONNRESET", "57P03"].includes(code) || String(error).includes("terminated"))
        return false;
      throw error;
    }
  }

  /** Stops the server; `fast` waits for the archiver, `immediate` is a crash. Does nothing if it is not running. */
  async stop(mode: StopMode = "fast", timeoutMs = 60_000): Promise<void> {
    await this.#server?.stop(SIGNALS[mode], timeoutMs);
    this.#server = null;
  }

  async restart(settings: Settings = {}, mode: StopMode = "fast"): Promise<void> {
    await this.stop(mode);
    await this.start(settings);
  }

  /** Writes settings with ALTER SYSTEM and reloads; some take effect only at the next restart. */
  async alterSystem(settings: Settings): Promise<void> {
    for (const [name, value] of Object.entries(settings))
      await this.sql(`ALTER SYSTEM SET ${name} = '${String(value).replaceAll("'", "''")}'`);
    await this.sql("SELECT pg_reload_conf()");
  }

  /** A connection that the caller ends. */
  async connect(database = "postgres"): Promise<Client> {
    const client = new Client({
      host: this.socketPath,
      port: this.port,
      user: this.superuser,
      database,
      connectionTimeoutMillis: 60_000,
    });
    client.on("error", () => {});
    await client.connect();
    return client;
  }

  /** Rows of the last statement, over a separate connection. */
  async sql(query: string, values: readonly unknown[] = [], database = "postgres"): Promise<Row[]> {
    const client = await this.connect(database);
    try {
      const result: unknown = await client.query(query, values.length === 0 ? undefined : [...values]);
      const last = (Array.isArray(result) ? result[result.length - 1] : result) as { rows?: Row[] } | undefined;
      return last?.rows ?? [];
    } finally {
      await client.end();
    }
  }

  /** The first column of the first row as text. @throws Error without a row */
  async value(query: string, values: readonly unknown[] = [], database = "postgres"): Promise<string> {
    const [row] = await this.sql(query, values, database);
    if (row === undefined) throw new Error(`no row: ${query}`);
    return String(Object.values(row)[0]);
  }

  /**
   * Waits until `query` returns `expected` in the first column of its first row. It asks over one connection, because
   * PostgreSQL starts a process for each, and over another one if that ends.
   * @throws Error with the last value after `timeoutMs`
   */
  async waitForValue(query: string, expected: string, timeoutMs = 60_000): Promise<void> {
    const endMs = performance.now() + timeoutMs;
    await this.#poll(query, (actual) => {
      if (actual === expected) return true;
      if (performance.now() > endMs)
        throw new Error(`${query}: expected ${expected} but found ${actual} after ${timeoutMs} ms`);
      return false;
    });
  }

  /** Waits for the end of a recovery, however long it takes. @throws Error once it has replayed nothing for a while */
  async waitForRecovery(idleMs = 120_000): Promise<void> {
    let replayed = "";
    let endMs = performance.now() + idleMs;
    await this.#poll("SELECT concat_ws(' ', pg_is_in_recovery(), pg_last_wal_replay_lsn())", (actual) => {
      if (actual.startsWith("f")) return true;
      if (actual !== replayed) endMs = performance.now() + idleMs;
      replayed = actual;
      if (performance.now() > endMs) throw new Error(`the recovery has replayed nothing for ${idleMs} ms: ${actual}`);
      return false;
    });
  }

  /**
   * Asks until the answer is enough. Connects again if the server has ended a session or a statement, as a recovery
   * does, also several times.
   */
  async #poll(query: string, isEnough: (actual: string) => boolean): Promise<void> {
    let client = await this.connect();
    const look = async (): Promise<string> => {
      const [row] = (await client.query<Row>(query)).rows;
      if (row === undefined) throw new Error(`no row: ${query}`);
      return String(Object.values(row)[0]);
    };
    try {
      for (let failures = 0; ; ) {
        const actual = await look().catch(async (error: unknown) => {
          if (++failures > FAILED_LOOKS_MAX) throw error;
          await client.end().catch(() => {});
          client = await this.connect();
          return null;
        });
        if (actual !== null) {
          if (isEnough(actual)) return;
          failures = 0;
        }
        await sleep(50);
      }
    } finally {
      await client.end().catch(() => {});
    }
  }

  /** Ends the current WAL segment and returns its name. */
  async switchWal(): Promise<string> {
    return this.value("SELECT pg_walfile_name(pg_switch_wal())");
  }

  /** Every table of every database (large objects too), as `database.schema.table`. */
  async tableChecksums(): Promise<Map<string, TableChecksum>> {
    const checksums = new Map<string, TableChecksum>();
    for (const { datname } of await this.sql("SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname")) {
      const client = await this.connect(String(datname));
      try {
        await client.query(
          "SET extra_float_digits = 3; SET datestyle = 'ISO'; SET timezone = 'UTC'; SET bytea_output = 'hex'; SET client_encoding = 'SQL_ASCII'",
        );
        const tables = await client.query<{ schema: string; name: string; quoted: string }>(
          `SELECT n.nspname AS schema, c.relname AS name, format('%I.%I', n.nspname, c.relname) AS quoted
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p'
              AND (n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') OR c.relname IN ('pg_largeobject'))
            ORDER BY 1, 2`,
        );
        for (const table of tables.rows) {
          const sums = await client.query<{ rows: string; checksum: string }>(
            `SELECT count(*)::text AS rows, coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text AS checksum FROM ${table.quoted} t`,
          );
          const [sum] = sums.rows;
          if (sum !== undefined)
            checksums.set(`${String(datname)}.${table.schema}.${table.name}`, {
              rows: BigInt(sum.rows),
              checksum: sum.checksum,
            });
        }
      } finally {
        await client.end();
      }
    }
    return checksums;
  }

  /**
   * A streaming standby of this running cluster, copied by an online base backup; it is started and open for reading.
   */
  async createStandby(settings: Settings = {}): Promise<TestCluster> {
    if (readdirSync(join(this.dataPath, "pg_tblspc")).length > 0)
      throw new Error("a standby would share the tablespaces of its primary");
    const folder = makeUserFolder("pgb-");
    const dataPath = join(folder, "data");
    const cluster = new TestCluster(this.binaries, folder, true, dataPath);
    const client = await this.connect();
    try {
      const [startName, stopName] =
        this.binaries.major >= 15 ? ["pg_backup_start", "pg_backup_stop"] : ["pg_start_backup", "pg_stop_backup"];
      await client.query(
        this.binaries.major >= 15
          ? `SELECT ${startName}('standby', true)`
          : `SELECT ${startName}('standby', true, false)`,
      );
      await copyDataDirectory(this.dataPath, dataPath, this.user);
      const stop =
        this.binaries.major >= 15
          ? `SELECT labelfile FROM ${stopName}(false)`
          : `SELECT labelfile FROM ${stopName}(false, false)`;
      const labels = await client.query<{ labelfile: string }>(stop);
      writeFileSync(join(dataPath, "backup_label"), labels.rows[0]?.labelfile ?? "", { mode: 0o600 });
    } finally {
      await client.end();
    }
    const conninfo = `host=${this.socketPath} port=${this.port} user=${this.superuser} application_name=standby`;
    appendFileSync(join(dataPath, "postgresql.auto.conf"), settingsText({ primary_conninfo: conninfo, ...settings }));
    writeFileSync(join(dataPath, "standby.signal"), "");
    for (const name of ["backup_label", "standby.signal", "postgresql.auto.conf"])
      giveTo(join(dataPath, name), this.user);
    await cluster.start();
    return cluster;
  }

  /** Waits until `standby` has replayed everything written so far. */
  async waitForStandby(standby: TestCluster, timeoutMs = 60_000): Promise<void> {
    const lsn = await this.value("SELECT pg_current_wal_lsn()");
    await standby.waitForValue(`SELECT pg_last_wal_replay_lsn() >= '${lsn}'::pg_lsn`, "true", timeoutMs);
  }

  logTail(lineCount = 25): string {
    return existsSync(this.logFile)
      ? readFileSync(this.logFile, "utf8").trim().split("\n").slice(-lineCount).join("\n")
      : "";
  }

  /** Stops the server immediately and removes a folder that this object created. */
  async remove(): Promise<void> {
    await this.stop("immediate");
    if (this.#ownsFolder) rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Differences between two results of `tableChecksums`, one line each. */
export function compareChecksums(
  expected: ReadonlyMap<string, TableChecksum>,
  actual: ReadonlyMap<string, TableChecksum>,
): string[] {
  const names = [...new Set([...expected.keys(), ...actual.keys()])].sort();
  const text = (sum: TableChecksum | undefined): string =>
    sum === undefined ? "no such table" : `${sum.rows} rows, checksum ${sum.checksum}`;
  return names
    .filter((name) => text(expected.get(name)) !== text(actual.get(name)))
    .map((name) => `${name}: expected ${text(expected.get(name))} but found ${text(actual.get(name))}`);
}

function prepareFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  giveTo(folder, serverUser());
}

function settingsText(settings: Settings): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'\n`)
    .join("");
}

async function copyDataDirectory(source: string, target: string, user: OsUser): Promise<void> {
  mkdirSync(target, { mode: 0o700 });
  chmodSync(target, 0o700);
  giveTo(target, user);
  // Files may vanish during the copy (a base backup allows it), so tar's exit code 1 is fine.
  const script =
    'tar -C "$1" --exclude=./postmaster.pid --exclude=./postmaster.opts --exclude="./pg_wal/*" -cf - . | tar -C "$2" -xf -';
  await run("/bin/sh", ["-c", script, "sh", source, target], { user });
  if (!existsSync(join(target, "PG_VERSION"))) throw new Error(`unable to copy ${source} to ${target}`);
  mkdirSync(join(target, "pg_wal"), { recursive: true, mode: 0o700 });
}
