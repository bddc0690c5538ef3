/**
 * `npm run bench -- open`: the time to the first query of a backup in a bucket, by `open` and by stock's restore and
 * start, near and far; what was fetched until then; and how fast the opened server is, before and after everything is
 * there.
 *
 * Expected bound: a restore reads every byte, `open` the catalogs and a few pages. Once everything is there, only the
 * way through the kernel to the serving process remains.
 */
import { existsSync } from "node:fs";
import { findVersitygw } from "../parts/kubernetes/goTools";
import { findWholePostgres } from "../parts/postgres/postgres";
import { formatBytes, type Progress } from "../parts/progress";
import { isRoot } from "../parts/users";
import { readArguments } from "./arguments";
import { besideStock, machineFacts, type Parts } from "./bed";
import { publish, type Report } from "./document";
import { Figures, type Program, type Row } from "./figures";
import { type Fetched, OpenBed, type Running } from "./openBed";
import { playRounds } from "./rounds";

export interface OpenBenchOptions {
  readonly sizeMb: number;
  readonly latencyMs: number;
  readonly seconds: number;
  readonly rounds: number;
}

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const MAJOR = 18;
/** Until the opened server's first answer. */
const FIRST_QUERY_S_MAX = 3;
/** Without block maps; those are counted too, because no name tells them from the blocks. */
const FILE_READS_MAX = 25;
const LOOKUP = "SELECT abalance FROM pgbench_accounts WHERE aid = 77777";

export async function openMain(argv: readonly string[], progress: Progress): Promise<void> {
  const given = readArguments(argv, { size: 512, latency: 20, seconds: 10, rounds: 3, write: false, profile: false });
  const { latency, rounds, seconds, size } = given;
  const report = await openBench({ sizeMb: size, latencyMs: latency, seconds, rounds }, progress);
  if (report === null) return;
  publish(
    {
      file: "benchmarks-open.md",
      title: "Benchmarks: opened backups",
      command: "npm run bench -- open",
      before:
        "It is `open` beside stock's restore and start of the same backup, in one run. A ratio below 1 means less than\nstock; it is the median of the ratios of pairs that ran one directly after the other, beside it the lowest and the highest.",
      after:
        "Both read one repository, whose backups ours made; a proxy adds the delay to each round trip. The first query looks up a row by its primary key,\nafter recovery to the end of the archive. `pgbench` has two clients. Stock's server has everything from its first query on, so its figures stand\nbeside those of both forms of ours; those with everything on this machine follow a select-only run of the same length.",
    },
    report,
    given.write,
  );
}

/** Null, after a loud line, if there is nothing to compare with, or without FUSE. @throws Error if a program fails */
export async function openBench(options: OpenBenchOptions, progress: Progress): Promise<Report | null> {
  const postgres = await findWholePostgres(MAJOR);
  const missing = [
    isRoot() ? "" : "opening a backup needs root",
    existsSync("/dev/fuse") ? "" : "/dev/fuse is missing",
    (await findVersitygw()) === null ? "versitygw is not built" : "",
    "missing" in postgres ? postgres.missing : "",
  ].find((text) => text !== "");
  if (missing !== undefined || "missing" in postgres) {
    progress.loud(`no benchmark: ${missing}`);
    return null;
  }
  const latenciesMs = [0, options.latencyMs];
  const create = (parts: Parts, note: (text: string) => void): Promise<OpenBed> =>
    OpenBed.create({ ...parts, binaries: postgres.binaries }, { sizeMb: options.sizeMb, latenciesMs }, note);
  return besideStock(`${2 * options.sizeMb} MB of data in a bucket`, progress, create, async (bed) => {
    const bench = new OpenBench(bed, options.seconds);
    const steps = latenciesMs.map((latencyMs) => ({
      title: `${latencyMs} ms`,
      play: (program: Program) => (program === "stock" ? bench.restore(latencyMs) : bench.open(latencyMs)),
    }));
    await playRounds(options.rounds, steps, progress);
    const { text, missed } = bench.figures.table(latenciesMs.flatMap(rowsOf), bed.stockName);
    const facts = [
      ...machineFacts(bed.parts),
      `${formatBytes(bed.dataSizeBytes)} of databases (pgbench at scale ${bed.scale}, and mixed data), a full and an incremental backup and WAL behind them; repo-block, repo-bundle, zst, process-max 2, versitygw over TLS; medians of ${options.rounds} pairs, ${options.seconds} s for each pgbench`,
      `peak memory of the process that serves the files: ${bench.peakMib.toFixed(0)} MiB`,
    ];
    return { table: text, facts, missed, profiles: [] };
  });
}

function rowsOf(latencyMs: number): Row[] {
  const at = `${latencyMs} ms`;
  return [
    { title: `first query, ${at}: wall, s`, key: `first ${at}`, digits: 2, oursMax: FIRST_QUERY_S_MAX },
    { title: `fetched until then, ${at}: MiB`, key: `bytes ${at}`, digits: 1 },
    { title: `fetched until then, ${at}: reads`, key: `reads ${at}`, digits: 0 },
    {
      title: `of them beside manifest and WAL, ${at}: reads`,
      key: `file reads ${at}`,
      digits: 0,
      oursMax: FILE_READS_MAX,
    },
    { title: `everything on this machine, ${at}: wall, s`, key: `whole ${at}`, digits: 1 },
    {
      title: `a GiB of a cold table's scan, beside a GiB of the restore, ${at}: s`,
      key: `scan ${at}`,
      digits: 2,
      ratioMax: 2,
    },
    { title: `select-only, ours right after the first query, ${at}: tps`, key: `cold ${at}`, digits: 0 },
    { title: `select-only, everything on this machine, ${at}: tps`, key: `select ${at}`, digits: 0 },
    { title: `read-write, everything on this machine, ${at}: tps`, key: `write ${at}`, digits: 0 },
  ];
}

class OpenBench {
  readonly figures = new Figures();
  readonly #bed: OpenBed;
  readonly #seconds: number;
  peakMib = 0;

  constructor(bed: OpenBed, seconds: number) {
    this.#bed = bed;
    this.#seconds = seconds;
  }

  async restore(latencyMs: number): Promise<void> {
    const bed = this.#bed;
    const fetched = await bed.fetched();
    const begin = { atMs: performance.now(), fetched };
    const restored = await bed.restore(latencyMs);
    try {
      await restored.value(LOOKUP);
      const firstS = await this.#first("stock", latencyMs, begin);
      this.figures.add(`scan ${latencyMs} ms`, "stock", bed.restoreS / (bed.dataSizeBytes / GIB));
      this.figures.add(`whole ${latencyMs} ms`, "stock", firstS);
      const running = { host: restored.socketPath, port: restored.port };
      await this.#speeds("stock", latencyMs, running, ["cold", "select", "write"]);
    } finally {
      await bed.discard(restored);
    }
  }

  async open(latencyMs: number): Promise<void> {
    const bed = this.#bed;
    try {
      const fetched = await bed.fetched();
      const begin = { atMs: performance.now(), fetched };
      const lazy = await bed.open(latencyMs, []);
      await this.#lookUp(lazy);
      await this.#first("ours", latencyMs, begin);
      await this.#speeds("ours", latencyMs, lazy, ["cold"]);
      this.figures.add(`scan ${latencyMs} ms`, "ours", await this.#scan(lazy));
      await bed.close();
      const beganMs = performance.now();
      const whole = await bed.open(latencyMs, ["--fetch-all"]);
      await bed.untilWhole();
      this.figures.add(`whole ${latencyMs} ms`, "ours", (performance.now() - beganMs) / 1000);
      // Stock's server has had a run by then.
      await bed.tps(whole, this.#seconds, "-S");
      await this.#speeds("ours", latencyMs, whole, ["select", "write"]);
      this.peakMib = Math.max(this.peakMib, bed.servingPeakMib);
    } finally {
      await bed.close();
    }
  }

  /** Through the same program for both servers. */
  async #lookUp(running: Running): Promise<void> {
    const client = await this.#bed.connect(running);
    try {
      await client.query(LOOKUP);
    } finally {
      await client.end();
    }
  }

  /** Seconds for a GiB of a table that nobody has read. */
  async #scan(running: Running): Promise<number> {
    const client = await this.#bed.connect(running);
    try {
      const size = await client.query<{ bytes: string }>("SELECT pg_relation_size('documents')::text AS bytes");
      const beganMs = performance.now();
      await client.query("SELECT count(*) FROM documents");
      return (performance.now() - beganMs) / 1000 / (Number(size.rows[0]?.bytes) / GIB);
    } finally {
      await client.end();
    }
  }

  async #first(
    program: Program,
    latencyMs: number,
    begin: { readonly atMs: number; readonly fetched: Fetched },
  ): Promise<number> {
    const seconds = (performance.now() - begin.atMs) / 1000;
    const { bytes, fileReads, reads } = await this.#bed.fetched();
    this.figures.add(`first ${latencyMs} ms`, program, seconds);
    this.figures.add(`bytes ${latencyMs} ms`, program, (bytes - begin.fetched.bytes) / MIB);
    this.figures.add(`reads ${latencyMs} ms`, program, reads - begin.fetched.reads);
    this.figures.add(`file reads ${latencyMs} ms`, program, fileReads - begin.fetched.fileReads);
    return seconds;
  }

  async #speeds(
    program: Program,
    latencyMs: number,
    running: Running,
    keys: readonly ("cold" | "select" | "write")[],
  ): Promise<void> {
    for (const key of keys) {
      const tps = await this.#bed.tps(running, this.#seconds, key === "write" ? "-N" : "-S");
      this.figures.add(`${key} ${latencyMs} ms`, program, tps);
    }
  }
}
