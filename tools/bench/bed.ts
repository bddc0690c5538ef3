/**
 * The bed that both programs are measured on: one PostgreSQL cluster with data, two repositories in directories (the
 * second encrypted) for each program, the same options for both, and full WAL segments to push if a bench wants them.
 */
import { copyFileSync, createReadStream, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { cpus, totalmem } from "node:os";
import { basename, dirname, join } from "node:path";
import { SMALL_ALLOCATOR } from "../../runtime/base/limits";
import { build } from "../parts/build/build";
import { projectFolder } from "../parts/cache";
import { findStockPgbackrest, type StockPgbackrest } from "../parts/debian/pgbackrest";
import { ensurePostgres, type PostgresBinaries } from "../parts/postgres/postgres";
import { pidsWith, removedAfter, runOk } from "../parts/process";
import { formatBytes, type Progress } from "../parts/progress";
import { TestCluster } from "../parts/postgres/testCluster";
import { giveTo, makeUserFolder, reachable } from "../parts/users";
import type { Program } from "./figures";
import type { Fill } from "./fill";
import { type Cost, measure, processSeconds, sumCosts } from "./measure";
import { type Profile, profileArguments, readableRuntime, readProfile } from "./profile";

export interface BedOptions {
  /** Describes the cluster's content. */
  readonly title: string;
  readonly fill: Fill;
  readonly compressType: "zst" | "gz";
  /** Full WAL segments to push. */
  readonly segmentCount?: number;
  /** Options of every repository. */
  readonly repoOptions?: Readonly<Record<string, string>>;
  /** Interval of memory samples. */
  readonly sampleMs?: number;
  /** Ours has the environment of its units. */
  readonly inUnit?: boolean;
}

export interface Parts {
  readonly binaries: PostgresBinaries;
  readonly stock: StockPgbackrest;
}

type BackupType = "full" | "incr";

/** The stanza of a {@link Bed}. */
export const STANZA = "bench";
const LEVELS = { zst: 3, gz: 6 } as const;
const MIB = 1024 * 1024;
const SAMPLE_MS = 150;
/** For commands that take less than a tenth of a second. */
const SHORT_RUNS = 20;
const SHORT_SAMPLE_MS = 4;
const REPO_INDEXES = [1, 2] as const;

/** Makes a bed, runs `work` with it and removes it. Null, after a loud line, without stock pgBackRest. */
export function withBed<T>(options: BedOptions, progress: Progress, work: (bed: Bed) => Promise<T>): Promise<T | null> {
  return besideStock(options.title, progress, (parts, note) => Bed.create(parts, options, note), work);
}

/** The same with a bed of another kind. @param title what is in its cluster, in words */
export async function besideStock<B extends { remove(): Promise<void> }, T>(
  title: string,
  progress: Progress,
  create: (parts: Parts, note: (text: string) => void) => Promise<B>,
  work: (bed: B) => Promise<T>,
): Promise<T | null> {
  const stock = await findStockPgbackrest("2.60");
  if ("missing" in stock) {
    progress.loud(`no benchmark: ${stock.missing}`);
    return null;
  }
  if (process.env["PGBACKSTOP_RUNTIME"] === undefined) await build(progress);
  const parts = { binaries: await ensurePostgres(), stock: stock.pgbackrest };
  const bed = await progress.step(`PostgreSQL ${parts.binaries.version} with ${title}`, (note) => create(parts, note));
  return removedAfter(bed, work);
}

/** The runtime that is measured, in a folder; another bundle than the build's, as in the tests. */
export function copyRuntime(folder: string): void {
  copyFileSync(runtimeFile(), join(folder, "runtime.cjs"));
}

export function runtimeFile(): string {
  return process.env["PGBACKSTOP_RUNTIME"] ?? join(projectFolder(), "dist", "runtime.cjs");
}

/** Lines about the machine and the parts for the document. */
export function machineFacts({ binaries, stock }: Parts): string[] {
  return [
    `machine: ${cpus().length} cores (${cpus()[0]?.model.trim() ?? "unknown"}), ${formatBytes(totalmem())} of memory`,
    `Node ${process.versions.node}, PostgreSQL ${binaries.version}, stock pgBackRest ${stock.version}, ${new Date().toISOString().slice(0, 10)}`,
  ];
}

/** Makes the folders of a program and its configuration file, with `lines` of its own in the global section. */
export function configureProgram(
  cluster: TestCluster,
  base: string,
  stanza: string,
  own: { readonly folders: readonly string[]; readonly dataPath: string; readonly lines: readonly string[] },
): void {
  for (const name of ["", "lock", "log", "spool", ...own.folders]) {
    mkdirSync(join(base, name), { recursive: true });
    giveTo(join(base, name), cluster.user);
  }
  const lines = [
    "[global]",
    ...own.lines,
    "start-fast=y",
    "log-level-console=warn",
    "log-level-file=off",
    ...["lock", "log", "spool"].map((name) => `${name}-path=${join(base, name)}`),
    `[${stanza}]`,
    `pg1-path=${own.dataPath}`,
    `pg1-socket-path=${cluster.socketPath}`,
    `pg1-port=${cluster.port}`,
    `pg1-user=${cluster.superuser}`,
    "",
  ];
  writeFileSync(`${base}.conf`, lines.join("\n"), { mode: 0o644 });
}

export class Bed {
  readonly folder: string;
  readonly cluster: TestCluster;
  readonly parts: Parts;
  readonly options: BedOptions;
  /** Directory of the segments to push, and their names. */
  readonly walPath: string;
  #segments: string[] = [];
  /** Bytes of the data directory without WAL. */
  dataSizeBytes = 0;

  private constructor(folder: string, cluster: TestCluster, parts: Parts, options: BedOptions) {
    this.folder = folder;
    this.cluster = cluster;
    this.parts = parts;
    this.options = options;
    this.walPath = join(folder, "segments", "pg_wal");
  }

  get segments(): readonly string[] {
    return this.#segments;
  }

  static async create(parts: Parts, options: BedOptions, note: (text: string) => void): Promise<Bed> {
    const folder = makeUserFolder("pgb-bench-");
    const cluster = await TestCluster.create({
      binaries: parts.binaries,
      // So that nothing writes between two measurements.
      settings: {
        archive_mode: "on",
        archive_command: "true # pgbackrest",
        fsync: "off",
        max_wal_size: "4GB",
        min_wal_size: "1GB",
        shared_buffers: "256MB",
        checkpoint_timeout: "1h",
      },
    });
    const bed = new Bed(folder, cluster, parts, options);
    try {
      await cluster.start();
      await options.fill(cluster, note);
      note("");
      await bed.#keepSegments(options.segmentCount ?? 0);
      await cluster.sql("CHECKPOINT");
      bed.dataSizeBytes = Number(await cluster.value("SELECT sum(pg_database_size(datname))::text FROM pg_database"));
      copyRuntime(folder);
      for (const program of ["stock", "ours"] as const) bed.#configure(program);
      writeFileSync(bed.stayingSettings, JSON.stringify({ archiveProcessSeconds: 10 }));
      return bed;
    } catch (error) {
      await bed.remove();
      throw error;
    }
  }

  /** Copies finished, full segments, to push them repeatedly. */
  async #keepSegments(count: number): Promise<void> {
    if (count === 0) return;
    const { cluster } = this;
    const source = join(cluster.dataPath, "pg_wal");
    for (let turn = 0; turn <= count; turn++) {
      const current = await cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())");
      const finished = readdirSync(source)
        .filter((name) => /^[0-9A-F]{24}$/.test(name) && name < current)
        .sort();
      this.#segments = finished.slice(-count);
      if (this.#segments.length === count) break;
      await cluster.sql("INSERT INTO blobs SELECT 0, 'filler'");
      await cluster.switchWal();
    }
    for (const path of [join(this.folder, "segments"), this.walPath, join(this.walPath, "archive_status")]) {
      mkdirSync(path, { recursive: true });
      giveTo(path, cluster.user);
    }
    for (const name of this.#segments) {
      copyFileSync(join(source, name), join(this.walPath, name));
      giveTo(join(this.walPath, name), cluster.user);
    }
  }

  #configure(program: Program): void {
    const { compressType, repoOptions = {} } = this.options;
    const base = join(this.folder, program);
    const lines = [
      `repo1-path=${base}/repo1`,
      `repo2-path=${base}/repo2`,
      "repo2-cipher-type=aes-256-cbc",
      "repo2-cipher-pass=benchmark",
      "repo1-retention-full=9",
      "repo2-retention-full=9",
      ...REPO_INDEXES.flatMap((key) =>
        Object.entries(repoOptions).map(([name, value]) => `repo${key}-${name}=${value}`),
      ),
      `compress-type=${compressType}`,
      `compress-level=${LEVELS[compressType]}`,
      "process-max=2",
      "archive-check=n",
    ];
    configureProgram(this.cluster, base, STANZA, { folders: ["restored"], dataPath: this.cluster.dataPath, lines });
  }

  #config(program: Program): string {
    return join(this.folder, `${program}.conf`);
  }

  /** Runs one command of one program, after a sync of earlier writes. */
  async run(
    program: Program,
    args: readonly string[],
    options: { readonly sync?: boolean; readonly sampleMs?: number } = {},
  ): Promise<Cost> {
    if (options.sync ?? true) await runOk("sync", []);
    const sampleMs = options.sampleMs ?? this.options.sampleMs ?? SAMPLE_MS;
    return this.#measure(program, [...this.#program(program), ...this.#common(program), ...args], sampleMs);
  }

  /** The mean of many runs of a short command. */
  runOften(program: Program, args: readonly string[]): Promise<Cost> {
    return this.#measureOften(program, [...this.#program(program), ...this.#common(program), ...args]);
  }

  /** The same for Node with an empty program. */
  runNodeOften(): Promise<Cost> {
    return this.#measureOften("ours", [reachable(process.execPath), "--eval", ""]);
  }

  /** In one shell, because it counts hundredths of a second. */
  async #measureOften(program: Program, argv: readonly string[]): Promise<Cost> {
    const loop = `turn=0; while [ $turn -lt ${SHORT_RUNS} ]; do "$@" || exit; turn=$((turn + 1)); done`;
    const { cpuS, peakMemoryBytes, wallS } = await this.#measure(
      program,
      ["/bin/sh", "-c", loop, "sh", ...argv],
      SHORT_SAMPLE_MS,
    );
    return { cpuS: cpuS / SHORT_RUNS, wallS: wallS / SHORT_RUNS, peakMemoryBytes };
  }

  #program(program: Program): string[] {
    return program === "ours"
      ? [reachable(process.execPath), join(this.folder, "runtime.cjs")]
      : [this.parts.stock.path];
  }

  /** Settings with which a process stays after calls of ours. */
  get stayingSettings(): string {
    return join(this.folder, "staying.json");
  }

  /** Processor time of the process that stays after calls of ours. */
  stayingProcessorS(): number {
    return pidsWith(join(this.folder, "runtime.cjs"), "staying-process").reduce(
      (sum, pid) => sum + processSeconds(pid),
      0,
    );
  }

  /** Profiles one run of ours that is not counted. */
  async profile(args: readonly string[]): Promise<Profile> {
    const runtime = join(this.folder, "runtime-readable.cjs");
    const folder = join(this.folder, "profile");
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    giveTo(folder, this.cluster.user);
    await readableRuntime(runtime);
    const argv = [reachable(process.execPath), ...profileArguments(folder), runtime, ...this.#common("ours"), ...args];
    await this.#measure("ours", argv, 0);
    return readProfile(folder, runtime);
  }

  #common(program: Program): string[] {
    return [`--config=${this.#config(program)}`, `--stanza=${STANZA}`];
  }

  #measure(program: Program, argv: readonly string[], sampleMs: number): Promise<Cost> {
    const [command = "", ...args] = argv;
    const env = program === "ours" && this.options.inUnit === true ? SMALL_ALLOCATOR : {};
    return measure(command, args, { user: this.cluster.user, cwd: join(this.folder, program), env, sampleMs });
  }

  /** Into one repository or both; for both, stock takes two backups in sequence. */
  async backup(program: Program, type: BackupType, repo: 1 | "both"): Promise<Cost> {
    if (repo === 1) return this.run(program, ["--repo=1", `--type=${type}`, "backup"]);
    if (program === "ours") return this.run("ours", [`--type=${type}`, "backup"]);
    const costs: Cost[] = [];
    for (const key of REPO_INDEXES) costs.push(await this.run("stock", [`--repo=${key}`, `--type=${type}`, "backup"]));
    return sumCosts(costs);
  }

  /** Empty repositories with their stanza. */
  async renewRepositories(program: Program): Promise<void> {
    // The spool remembers what the old archive held.
    for (const name of ["repo1", "repo2", "spool/pgbackstop"])
      rmSync(join(this.folder, program, name), { recursive: true, force: true });
    await this.run(program, ["stanza-create"], { sync: false, sampleMs: 0 });
  }

  /** Stored bytes of a table of the newest backup in repo1, which is a full one without bundles. */
  async storedTableBytes(program: Program, table: string): Promise<number> {
    const path = join(
      this.#newestBackup(program, "full"),
      "pg_data",
      await this.cluster.value(`SELECT pg_relation_filepath('${table}')`),
    );
    const isOfTable = (name: string): boolean => name.split(".")[0] === basename(path);
    return readdirSync(dirname(path))
      .filter(isOfTable)
      .reduce((sum, name) => sum + statSync(join(dirname(path), name)).size, 0);
  }

  /** Stored bytes of the newest backup in repo1. @throws Error if it is not of this type */
  async storedBytes(program: Program, type: BackupType): Promise<number> {
    const text = await runOk("du", ["-sb", this.#newestBackup(program, type)]);
    return Number(text.split("\t")[0]);
  }

  #newestBackup(program: Program, type: BackupType): string {
    const folder = join(this.folder, program, "repo1", "backup", STANZA);
    const label = readdirSync(folder)
      .filter((name) => /^\d{8}-/.test(name))
      .sort((left, right) => (left.slice(-16) < right.slice(-16) ? -1 : 1))
      .at(-1);
    if (label === undefined || !label.endsWith(type === "full" ? "F" : "I"))
      throw new Error(`the newest backup of ${program} is ${label ?? "none"}, not ${type}`);
    return join(folder, label);
  }

  /**
   * Restores into an empty directory, or with `delta` onto the previous restore, and returns the hash of the relations.
   */
  async restore(
    program: Program,
    repo: number,
    { delta = false } = {},
  ): Promise<{ readonly cost: Cost; readonly hash: string }> {
    const cost = await this.run(program, this.#restoreArgs(program, repo, delta));
    return { cost, hash: await hashOf(join(this.#restored(program), "base")) };
  }

  /** Like `profile`, for a restore. */
  profileRestore(repo: number, { delta = false } = {}): Promise<Profile> {
    return this.profile(this.#restoreArgs("ours", repo, delta));
  }

  #restoreArgs(program: Program, repo: number, delta: boolean): string[] {
    const target = this.#restored(program);
    if (!delta) rmSync(target, { recursive: true, force: true });
    return [`--pg1-path=${target}`, `--repo=${repo}`, ...(delta ? ["--delta"] : []), "restore"];
  }

  #restored(program: Program): string {
    return join(this.folder, program, "restored", "data");
  }

  facts(): string[] {
    return machineFacts(this.parts);
  }

  get stockName(): string {
    return `stock ${this.parts.stock.version}`;
  }

  async remove(): Promise<void> {
    await this.cluster.remove();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function hashOf(folder: string): Promise<string> {
  const hash = createHash("sha1");
  for (const name of (readdirSync(folder, { recursive: true }) as string[]).sort()) {
    const path = join(folder, name);
    if (!statSync(path).isFile()) continue;
    hash.update(`${name}\n`);
    for await (const chunk of createReadStream(path, { highWaterMark: MIB })) hash.update(chunk as Buffer);
  }
  return hash.digest("hex");
}
