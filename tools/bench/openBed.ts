/**
 * The bed of `npm run bench -- open`: a database with its backups and WAL in one S3 repository, which stock and ours
 * read through delaying proxies. The store's log and the proxies tell what each of them has fetched.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { findOnPath, runOk, waitFor } from "../parts/process";
import { S3Server } from "../parts/servers/s3Server";
import { TestCluster } from "../parts/postgres/testCluster";
import { makeUserFolder, reachable } from "../parts/users";
import { configureProgram, copyRuntime, type Parts } from "./bed";
import { type DelayProxy, startDelayProxy } from "./delayProxy";
import type { Program } from "./figures";
import { mixedData } from "./fill";

export interface OpenBedOptions {
  /** Mixed data; pgbench's tables are as large again. */
  readonly sizeMb: number;
  /** Round trips that are measured. */
  readonly latenciesMs: readonly number[];
}

/** What the store has given. */
export interface Fetched {
  readonly reads: number;
  /** Those of the cluster's files, with their block maps. */
  readonly fileReads: number;
  readonly bytes: number;
}

/** A server that was started from the repository. */
export interface Running {
  /** Directory of its socket. */
  readonly host: string;
  readonly port: number;
}

const STANZA = "open";
/** pgbench's tables and indexes of one unit of scale. */
const SCALE_MB = 16;
const PORT = 5499;

export class OpenBed {
  readonly cluster: TestCluster;
  readonly parts: Parts;
  readonly scale: number;
  readonly #folder: string;
  readonly #server: S3Server;
  readonly #proxies: ReadonlyMap<number, DelayProxy>;
  readonly #pgbench: string;
  dataSizeBytes = 0;
  /** How long the last restore took. */
  restoreS = 0;

  private constructor(
    cluster: TestCluster,
    parts: Parts,
    folder: string,
    server: S3Server,
    proxies: ReadonlyMap<number, DelayProxy>,
    details: { readonly scale: number; readonly pgbench: string },
  ) {
    this.cluster = cluster;
    this.parts = parts;
    this.#folder = folder;
    this.#server = server;
    this.#proxies = proxies;
    this.scale = details.scale;
    this.#pgbench = details.pgbench;
  }

  static async create(parts: Parts, options: OpenBedOptions, note: (text: string) => void): Promise<OpenBed> {
    const folder = makeUserFolder("pgb-open-");
    const server = await S3Server.create({ kind: "versitygw", logsRequests: true });
    const proxies = new Map<number, DelayProxy>();
    for (const latencyMs of options.latenciesMs) proxies.set(latencyMs, await startDelayProxy(server.port, latencyMs));
    const cluster = await TestCluster.create({
      binaries: parts.binaries,
      folder: join(folder, "pg"),
      settings: {
        archive_mode: "on",
        archive_command: "true # pgbackrest",
        max_wal_size: "4GB",
        checkpoint_timeout: "1h",
        wal_compression: "on",
      },
    });
    const pgbench = (await findOnPath("pgbench")) ?? join(parts.binaries.folder, "pgbench");
    const scale = Math.max(1, Math.round(options.sizeMb / SCALE_MB));
    const bed = new OpenBed(cluster, parts, folder, server, proxies, { scale, pgbench });
    try {
      copyRuntime(folder);
      copyFileSync(server.caFile, join(folder, "ca.crt"));
      for (const program of ["stock", "ours"] as const) bed.#configure(program);
      await cluster.start();
      await bed.#fill(options.sizeMb, note);
      return bed;
    } catch (error) {
      await bed.remove();
      throw error;
    }
  }

  /** A full and an incremental backup, and changes that only the archive has. */
  async #fill(sizeMb: number, note: (text: string) => void): Promise<void> {
    const { cluster } = this;
    const own = { host: cluster.socketPath, port: cluster.port };
    await mixedData(sizeMb)(cluster, note);
    await this.pgbench(own, ["-i", "-q", "-s", String(this.scale)]);
    await cluster.sql("VACUUM (FREEZE, ANALYZE)");
    note("backups");
    await this.run("ours", ["stanza-create"]);
    await cluster.alterSystem({
      archive_command: `${this.#argv("ours").join(" ")} archive-push %p # pgbackrest`,
    });
    await this.run("ours", ["backup", "--type=full"]);
    await this.pgbench(own, ["-n", "-N", "-t", "2000"]);
    await this.run("ours", ["backup", "--type=incr"]);
    await this.pgbench(own, ["-n", "-N", "-t", "2000"]);
    const last = await cluster.switchWal();
    await waitFor("the archive", 120_000, async () =>
      (await cluster.value("SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver")) >= last ? true : null,
    );
    this.dataSizeBytes = Number(await cluster.value("SELECT sum(pg_database_size(datname))::text FROM pg_database"));
    await cluster.stop("immediate");
    note("");
  }

  #configure(program: Program): void {
    const all: Record<string, string> = {
      ...this.#server.repositoryOptions(),
      path: "/repo",
      "storage-ca-file": join(this.#folder, "ca.crt"),
      "retention-full": "9",
      bundle: "y",
      block: "y",
    };
    const lines = [
      ...Object.entries(all).map(([name, value]) => `repo1-${name}=${value}`),
      "compress-type=zst",
      "compress-level=3",
      "process-max=2",
    ];
    const own = { folders: [], dataPath: this.cluster.dataPath, lines };
    configureProgram(this.cluster, join(this.#folder, program), STANZA, own);
    mkdirSync(this.#configFolder, { recursive: true });
    copyFileSync(join(this.#folder, `${program}.conf`), this.#configFile(program));
  }

  /** Outside of the account's folder: root obeys only what root alone can change. */
  get #configFolder(): string {
    return `${this.#folder}-config`;
  }

  #configFile(program: Program): string {
    return join(this.#configFolder, `${program}.conf`);
  }

  #argv(program: Program): string[] {
    const own =
      program === "ours" ? [reachable(process.execPath), join(this.#folder, "runtime.cjs")] : [this.parts.stock.path];
    return [...own, `--config=${this.#configFile(program)}`, `--stanza=${STANZA}`];
  }

  /** Options that lead through the proxy of this round trip. */
  #through(latencyMs: number): string[] {
    const proxy = this.#proxies.get(latencyMs);
    return proxy === undefined ? [] : [`--repo1-storage-port=${proxy.port}`];
  }

  async run(program: Program, args: readonly string[]): Promise<void> {
    const [command = "", ...options] = this.#argv(program);
    await runOk(command, [...options, ...args], { user: this.cluster.user, cwd: this.#folder, timeoutMs: 3_600_000 });
  }

  /** Restores and recovers by stock. The caller discards it. */
  async restore(latencyMs: number): Promise<TestCluster> {
    const dataPath = join(this.#folder, "restored");
    rmSync(dataPath, { recursive: true, force: true });
    const through = this.#through(latencyMs);
    const beganMs = performance.now();
    await this.run("stock", [...through, "restore", `--pg1-path=${dataPath}`, "--archive-mode=off"]);
    this.restoreS = (performance.now() - beganMs) / 1000;
    const command = [...this.#argv("stock"), ...through, `--pg1-path=${dataPath}`, "archive-get", "%f", "%p"].join(" ");
    // As an opened server has them.
    const settings = { fsync: "on", shared_buffers: "128MB", max_wal_size: "1GB", jit: "off" };
    const restored = TestCluster.adopt({ binaries: this.parts.binaries, dataPath, settings });
    await restored.start({ restore_command: command, hot_standby: "off" }, { timeoutMs: 600_000 });
    return restored;
  }

  /** With its files: `open` needs the space. */
  async discard(restored: TestCluster): Promise<void> {
    await restored.remove();
    rmSync(restored.dataPath, { recursive: true, force: true });
  }

  /** As root. */
  async open(latencyMs: number, args: readonly string[]): Promise<Running> {
    await this.#asRoot([...this.#through(latencyMs), "open", `--bin-path=${this.parts.binaries.folder}`, ...args]);
    return { host: `${this.#at}.pgbackstop`, port: PORT };
  }

  async close(): Promise<void> {
    if (existsSync(`${this.#at}.pgbackstop`)) await this.#asRoot(["close"]);
  }

  get #at(): string {
    return join(this.#folder, "past");
  }

  /** Until nothing is missing. */
  async untilWhole(): Promise<void> {
    const log = `${this.#at}.pgbackstop/serve.log`;
    await waitFor("everything", 3_600_000, async () =>
      readFileSync(log, "utf8").includes("everything is here") ? true : null,
    );
  }

  /** Peak of the process that serves the files. */
  get servingPeakMib(): number {
    const state = JSON.parse(readFileSync(`${this.#at}.pgbackstop/open.json`, "utf8")) as { server: { pid: number } };
    const [, kib] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${state.server.pid}/status`, "utf8")) ?? [];
    return Number(kib) / 1024;
  }

  async #asRoot(args: readonly string[]): Promise<void> {
    const [command = "", ...options] = this.#argv("ours");
    await runOk(command, [...options, ...args, `--at=${this.#at}`], { cwd: this.#folder, timeoutMs: 600_000 });
  }

  pgbench({ host, port }: Running, args: readonly string[]): Promise<string> {
    const login = ["-h", host, "-p", String(port), "-U", this.cluster.superuser];
    return runOk(this.#pgbench, [...login, ...args, "postgres"], { timeoutMs: 3_600_000 });
  }

  async connect({ host, port }: Running): Promise<Client> {
    const client = new Client({ host, port, user: this.cluster.superuser, database: "postgres" });
    await client.connect();
    return client;
  }

  async tps(running: Running, seconds: number, mode: "-S" | "-N"): Promise<number> {
    const text = await this.pgbench(running, ["-n", mode, "-c", "2", "-j", "1", "-T", String(seconds)]);
    return Number(/tps = ([\d.]+)/.exec(text)?.[1] ?? Number.NaN);
  }

  /** Since the beginning, as the store's log and the proxies say. */
  async fetched(): Promise<Fetched> {
    const log = readFileSync(this.#server.accessLogFile, "utf8");
    let bytes = 0;
    for (const proxy of this.#proxies.values()) bytes += await proxy.sentBytes();
    const paths = [...log.matchAll(/ s3_GetObject (\S+) /g)].map(([, path = ""]) => path);
    const isOfFiles = (path: string): boolean => !/\/archive\/|\/backup\.(info|manifest)[^/]*$/.test(path);
    return { reads: paths.length, fileReads: paths.filter(isOfFiles).length, bytes };
  }

  get stockName(): string {
    return `stock ${this.parts.stock.version}`;
  }

  async remove(): Promise<void> {
    await this.close();
    await this.cluster.remove();
    for (const proxy of this.#proxies.values()) await proxy.close();
    await this.#server.remove();
    for (const folder of [this.#folder, this.#configFolder]) rmSync(folder, { recursive: true, force: true });
  }
}
