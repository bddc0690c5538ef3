/**
 * The ground that both programs are measured on: one PostgreSQL cluster with mixed data, two repositories in directories (the second one
 * encrypted) for each program, the same options for both, and full WAL segments to push.
 */
import { copyFileSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { projectFolder } from "../parts/cache";
import type { StockPgbackrest } from "../parts/pgbackrest";
import type { PostgresBinaries } from "../parts/postgres";
import { runOk } from "../parts/process";
import { TestCluster } from "../parts/testCluster";
import { giveTo, makeUserFolder, reachable } from "../parts/users";
import { type Cost, measure } from "./measure";

export type Program = "stock" | "ours";

export interface BedOptions {
  readonly binaries: PostgresBinaries;
  readonly stock: StockPgbackrest;
  readonly sizeMb: number;
  readonly compressType: "zst" | "gz";
  readonly segmentCount: number;
}

const STANZA = "bench";
const LEVELS = { zst: 3, gz: 6 } as const;
const MIB = 1024 * 1024;
const SAMPLE_MS = 150;

export class Bed {
  readonly folder: string;
  readonly cluster: TestCluster;
  readonly options: BedOptions;
  /** Directory of the segments to push, and their names. */
  readonly walPath: string;
  #segments: string[] = [];
  /** Bytes of the data directory without WAL. */
  dataSizeBytes = 0;

  private constructor(folder: string, cluster: TestCluster, options: BedOptions) {
    this.folder = folder;
    this.cluster = cluster;
    this.options = options;
    this.walPath = join(folder, "segments", "pg_wal");
  }

  get segments(): readonly string[] {
    return this.#segments;
  }

  static async create(options: BedOptions, note: (text: string) => void): Promise<Bed> {
    const folder = makeUserFolder("pgb-bench-");
    const cluster = await TestCluster.create({
      binaries: options.binaries,
      // Nothing writes on its own between two measurements.
      settings: {
        archive_mode: "on",
        archive_command: "true # pgbackrest",
        autovacuum: "off",
        fsync: "off",
        max_wal_size: "4GB",
        min_wal_size: "1GB",
        shared_buffers: "256MB",
        checkpoint_timeout: "1h",
      },
    });
    const bed = new Bed(folder, cluster, options);
    await cluster.start();
    await bed.#fill(note);
    await bed.#keepSegments();
    await cluster.sql("CHECKPOINT");
    bed.dataSizeBytes = Number(await cluster.value("SELECT sum(pg_database_size(datname))::text FROM pg_database"));
    copyFileSync(join(projectFolder(), "dist", "runtime.cjs"), join(folder, "runtime.cjs"));
    for (const program of ["stock", "ours"] as const) bed.#configure(program);
    return bed;
  }

  /** Half JSON text, a quarter rows of numbers with an index, a quarter that hardly compresses. */
  async #fill(note: (text: string) => void): Promise<void> {
    const { cluster, options } = this;
    const batchMb = Math.min(options.sizeMb, 64);
    await cluster.sql("CREATE TABLE documents (id bigint, body text); ALTER TABLE documents ALTER body SET STORAGE EXTERNAL");
    await cluster.sql("CREATE TABLE readings (id bigint PRIMARY KEY, sensor int, at timestamptz, value double precision)");
    await cluster.sql("CREATE TABLE blobs (id bigint, content text); ALTER TABLE blobs ALTER content SET STORAGE EXTERNAL");
    await cluster.sql("SELECT setseed(0.5)");
    for (let doneMb = 0; doneMb < options.sizeMb; doneMb += batchMb) {
      note(`${doneMb} of ${options.sizeMb} MB`);
      const share = Math.min(batchMb, options.sizeMb - doneMb) * MIB;
      const documents = Math.round((share * 0.5) / 1500);
      const readings = Math.round((share * 0.25) / 85);
      const blobs = Math.round((share * 0.25) / 3200);
      await cluster.sql(
        `INSERT INTO documents SELECT i, (SELECT string_agg('{"order":' || (i * 31 + j) || ',"state":"' || (ARRAY['new','paid','packed','sent','delivered'])[1 + (random() * 4)::int]
         || '","price":' || (random() * 10000)::int / 100.0 || ',"customer":"' || (random() * 50000)::int || '"}', ',') FROM generate_series(1, 20) j) FROM generate_series(1, ${documents}) i`,
      );
      await cluster.sql(
        `INSERT INTO readings SELECT i + ${doneMb} * 1000000::bigint, i % 500, '2026-01-01'::timestamptz + i * interval '1 s', sin(i) FROM generate_series(1, ${readings}) i`,
      );
      await cluster.sql(
        `INSERT INTO blobs SELECT i, (SELECT string_agg(md5(i::text || j || ${doneMb}), '') FROM generate_series(1, 95) j) FROM generate_series(1, ${blobs}) i`,
      );
    }
  }

  /** Copies finished segments that are full of what was written, to be pushed again and again. */
  async #keepSegments(): Promise<void> {
    const { cluster, options } = this;
    const source = join(cluster.dataPath, "pg_wal");
    for (let turn = 0; turn <= options.segmentCount; turn++) {
      const current = await cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())");
      const finished = readdirSync(source)
        .filter((name) => /^[0-9A-F]{24}$/.test(name) && name < current)
        .sort();
      this.#segments = finished.slice(-options.segmentCount);
      if (this.#segments.length === options.segmentCount) break;
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
    const { compressType } = this.options;
    const base = join(this.folder, program);
    for (const name of ["", "lock", "log", "spool", "restored"]) {
      mkdirSync(join(base, name), { recursive: true });
      giveTo(join(base, name), this.cluster.user);
    }
    const lines = [
      "[global]",
      `repo1-path=${base}/repo1`,
      `repo2-path=${base}/repo2`,
      "repo2-cipher-type=aes-256-cbc",
      "repo2-cipher-pass=benchmark",
      "repo1-retention-full=9",
      "repo2-retention-full=9",
      `compress-type=${compressType}`,
      `compress-level=${LEVELS[compressType]}`,
      "process-max=2",
      "start-fast=y",
      "archive-check=n",
      "log-level-console=warn",
      "log-level-file=off",
      ...["lock", "log", "spool"].map((name) => `${name}-path=${base}/${name}`),
      `[${STANZA}]`,
      `pg1-path=${this.cluster.dataPath}`,
      `pg1-socket-path=${this.cluster.socketPath}`,
      `pg1-port=${this.cluster.port}`,
      `pg1-user=${this.cluster.superuser}`,
      "",
    ];
    writeFileSync(this.#config(program), lines.join("\n"), { mode: 0o644 });
  }

  #config(program: Program): string {
    return join(this.folder, `${program}.conf`);
  }

  /** Runs one command of one program; what was written before is on disk when it begins. */
  async run(program: Program, args: readonly string[], options: { readonly sync?: boolean; readonly sampleMs?: number } = {}): Promise<Cost> {
    if (options.sync ?? true) await runOk("sync", []);
    const words = program === "ours" ? [reachable(process.execPath), join(this.folder, "runtime.cjs")] : [this.options.stock.path];
    const [command = "", ...first] = words;
    const all = [...first, `--config=${this.#config(program)}`, `--stanza=${STANZA}`, ...args];
    return measure(command, all, { user: this.cluster.user, cwd: join(this.folder, program), sampleMs: options.sampleMs ?? SAMPLE_MS });
  }

  /** Empty repositories with their stanza. */
  async renewRepositories(program: Program): Promise<void> {
    for (const name of ["repo1", "repo2"]) rmSync(join(this.folder, program, name), { recursive: true, force: true });
    await this.run(program, ["stanza-create"], { sync: false, sampleMs: 0 });
  }

  /** Stored bytes of repo1's backup. */
  async repositoryBytes(program: Program): Promise<number> {
    const text = await runOk("du", ["-sb", join(this.folder, program, "repo1", "backup")]);
    return Number(text.split("\t")[0]);
  }

  /** Restores into an empty directory, or with `delta` onto what the restore before left there, and gives the hash of the relations there. */
  async restore(program: Program, repo: number, { delta = false } = {}): Promise<{ readonly cost: Cost; readonly hash: string }> {
    const target = join(this.folder, program, "restored", "data");
    if (!delta) rmSync(target, { recursive: true, force: true });
    const cost = await this.run(program, [`--pg1-path=${target}`, `--repo=${repo}`, ...(delta ? ["--delta"] : []), "restore"]);
    return { cost, hash: await hashOf(join(target, "base")) };
  }

  async remove(): Promise<void> {
    await this.cluster.remove();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Names and contents of all files below a directory. */
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
