/**
 * `npm run bench -- wal [--segments=N --rounds=N --latency=MS --only=push --profile --write]`: WAL into and out of two
 * distant S3 repositories, ours through the agent beside stock's `archive-async`, with the same `process-max`, through
 * the same delaying proxy, in one run.
 *
 * Three measures of both: all segments wait and are requested in sequence like PostgreSQL's archiver does, until the
 * last one is acknowledged; one call for a segment that is already pushed; a recovery that replays all of them. The
 * order of the programs alternates by round. Ours acknowledges by policy `all`, like stock. Then the memory of an agent
 * that streams. `--only` skips the other measures, `--profile` profiles the agent's threads in a run of ours that is
 * not counted.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { SMALL_ALLOCATOR } from "../../runtime/base/limits";
import { projectFolder } from "../parts/cache";
import { findVersitygw } from "../parts/kubernetes/goTools";
import { run, runOk, sleep, type Started, start, waitFor } from "../parts/process";
import type { Progress } from "../parts/progress";
import { S3Server } from "../parts/servers/s3Server";
import { TestCluster } from "../parts/postgres/testCluster";
import { giveTo, makeUserFolder, reachable } from "../parts/users";
import { readArguments } from "./arguments";
import { besideStock, configureProgram, copyRuntime, machineFacts, type Parts } from "./bed";
import { type DelayProxy, startDelayProxy } from "./delayProxy";
import { publish, type Report } from "./document";
import { type Program, PROGRAMS } from "./figures";
import { median, peakWhile, processMemory, processSeconds, TICKS_PER_S } from "./measure";
import { streamMemory } from "./stream";
import { profileArguments, readableRuntime, readProfile, type TitledProfile } from "./profile";

interface WalBenchOptions {
  readonly segmentCount: number;
  readonly rounds: number;
  readonly latencyMs: number;
  readonly processMax: number;
  readonly only: Measure;
  readonly profile: boolean;
}

const MEASURES = ["all", "push", "call", "recovery"] as const;
type Measure = (typeof MEASURES)[number];

interface Figures {
  readonly pushS: number[];
  /** CPU time of the whole machine: the program, its callers, the server and the proxy. */
  readonly pushCpuS: number[];
  /** CPU time of the agent alone; absent for stock. */
  readonly agentCpuS: number[];
  readonly callMs: number[];
  readonly recoveryS: number[];
  /** Memory of the agent in MiB: before, at most, and a minute after. */
  readonly idleMib: number[];
  readonly pushMib: number[];
  readonly afterMib: number[];
  readonly recoveryMib: number[];
  readonly streamingMib: number[];
  readonly backupMib: number[];
}

const STANZA = "wal";
const CALLS = 20;
const MIB = 1024 * 1024;
/** Time after which the agent should take as much memory as before. */
const REST_MS = 60_000;
const START_MS = 2000;
/** Rows that fill about a quarter of a segment before the switch. */
const ROWS_PER_SEGMENT = 12_000;

/** Prints the table; `--write` puts it into docs/internals/benchmarks-wal.md and keeps the notes there. */
export async function walMain(argv: readonly string[], progress: Progress): Promise<void> {
  const given = readArguments(argv, {
    segments: 300,
    rounds: 5,
    latency: 20,
    "process-max": 4,
    only: MEASURES,
    profile: false,
    write: false,
  });
  const { segments, rounds, latency, only, profile } = given;
  const report = await walBench(
    { segmentCount: segments, rounds, latencyMs: latency, processMax: given["process-max"], only, profile },
    progress,
  );
  if (report === null) return;
  publish(
    {
      file: "benchmarks-wal.md",
      title: "WAL benchmarks",
      command: "npm run bench -- wal",
      before:
        "It is ours through the agent beside stock's `archive-async`. A ratio below 1 is faster; it is the median of the ratios of pairs.\nThe agent has the environment of its unit, which limits glibc's allocator.",
      after: "",
    },
    report,
    given.write,
  );
}

/** Null, after a loud line, if there is nothing to compare with. @throws Error if either program fails */
async function walBench(options: WalBenchOptions, progress: Progress): Promise<Report | null> {
  const kind = (await findVersitygw()) === null ? "s3rver" : "versitygw";
  const create = (parts: Parts, note: (text: string) => void): Promise<WalBed> =>
    WalBed.create(parts, options, kind, note);
  return besideStock(`${options.segmentCount} WAL segments`, progress, create, async (bed) => {
    const figures: Record<Program, Figures> = { stock: noFigures(), ours: noFigures() };
    for (let round = 1; round <= options.rounds; round++) {
      for (const program of round % 2 === 1 ? PROGRAMS : [...PROGRAMS].reverse()) {
        await progress.step(`round ${round} of ${options.rounds}: ${program}`, (note) =>
          bed.play(program, figures[program], note),
        );
      }
    }
    for (let round = 1; round <= options.rounds && options.only === "all"; round++) {
      const memory = await progress.step(`round ${round} of ${options.rounds}: streaming`, (note) =>
        streamMemory(options.latencyMs, note),
      );
      if (memory === null) break;
      figures.ours.streamingMib.push(memory.streamingMib);
      figures.ours.backupMib.push(memory.backupMib);
    }
    const profiles = options.profile ? await progress.step("profile", (note) => bed.profile(note)) : [];
    return { ...reportOf(bed, options, figures, kind), profiles };
  });
}

function noFigures(): Figures {
  return {
    pushS: [],
    pushCpuS: [],
    agentCpuS: [],
    callMs: [],
    recoveryS: [],
    idleMib: [],
    pushMib: [],
    afterMib: [],
    recoveryMib: [],
    streamingMib: [],
    backupMib: [],
  };
}

class WalBed {
  readonly cluster: TestCluster;
  readonly parts: Parts;
  readonly #folder: string;
  readonly #options: WalBenchOptions;
  readonly #server: S3Server;
  readonly #proxy: DelayProxy;
  #segments: string[] = [];
  #profiling = false;

  private constructor(
    cluster: TestCluster,
    parts: Parts,
    folder: string,
    options: WalBenchOptions,
    server: S3Server,
    proxy: DelayProxy,
  ) {
    this.cluster = cluster;
    this.parts = parts;
    this.#folder = folder;
    this.#options = options;
    this.#server = server;
    this.#proxy = proxy;
  }

  static async create(
    parts: Parts,
    options: WalBenchOptions,
    kind: "s3rver" | "versitygw",
    note: (text: string) => void,
  ): Promise<WalBed> {
    const folder = makeUserFolder("pgb-wal-");
    const server = await S3Server.create({ kind });
    const proxy = await startDelayProxy(server.port, options.latencyMs);
    const cluster = await TestCluster.create({
      binaries: parts.binaries,
      folder: join(folder, "pg"),
      settings: {
        archive_mode: "on",
        archive_command: "false # pgbackrest",
        max_wal_size: "64GB",
        checkpoint_timeout: "1h",
      },
    });
    const bed = new WalBed(cluster, parts, folder, options, server, proxy);
    copyRuntime(folder);
    copyFileSync(server.caFile, join(folder, "ca.crt"));
    for (const program of ["stock", "ours"] as const) bed.#configure(program, cluster.dataPath, program);
    await cluster.start();
    await bed.#fill(note);
    return bed;
  }

  /** A backup of the empty cluster into each program's repositories, then the waiting segments. */
  async #fill(note: (text: string) => void): Promise<void> {
    const { cluster } = this;
    await cluster.sql("CREATE TABLE t (id bigint, filler text)");
    for (const program of ["stock", "ours"] as const) {
      note(`stanza and backup for ${program}`);
      await this.run(program, ["stanza-create"]);
    }
    // One backup, restored once: each recovery starts from a copy of it. WAL comes from the measured program's
    // repositories.
    await this.run("ours", ["backup", "--type=full", "--no-archive-check", "--repo=1"]);
    await this.run("ours", ["restore", "--repo=1", `--pg1-path=${this.#restored}`, "--archive-mode=off"]);
    const client = await cluster.connect();
    try {
      for (let no = 0; no < this.#options.segmentCount; no++) {
        if (no % 25 === 0) note(`segment ${no}`);
        await client.query(
          "INSERT INTO t SELECT g, md5(g::text) || md5((g * $1)::text) FROM generate_series(1, $2::int) g",
          [no + 1, ROWS_PER_SEGMENT],
        );
        await client.query("SELECT pg_switch_wal()");
      }
    } finally {
      await client.end();
    }
    this.#segments = readdirSync(this.#status)
      .filter((name) => name.endsWith(".ready"))
      .map((name) => name.slice(0, -".ready".length))
      .sort();
    // So that the server's archiver leaves them alone.
    await cluster.stop("immediate");
  }

  get #restored(): string {
    return join(this.#folder, "restored");
  }

  get #status(): string {
    return join(this.cluster.dataPath, "pg_wal", "archive_status");
  }

  get segments(): readonly string[] {
    return this.#segments;
  }

  #configure(name: string, dataPath: string, program: Program): void {
    const base = join(this.#folder, name);
    const repo = (key: number): string[] => {
      const all: Record<string, string> = {
        ...this.#server.repositoryOptions(),
        path: `/${program}${key}`,
        "storage-port": String(this.#proxy.port),
        "storage-ca-file": join(this.#folder, "ca.crt"),
        "retention-full": "9",
      };
      return Object.entries(all).map(([option, value]) => `repo${key}-${option}=${value}`);
    };
    const lines = [
      ...repo(1),
      ...repo(2),
      "compress-type=zst",
      "compress-level=3",
      `process-max=${this.#options.processMax}`,
      "archive-async=y",
      "archive-timeout=600",
    ];
    configureProgram(this.cluster, base, STANZA, { folders: [], dataPath, lines });
  }

  #argv(name: string, program: Program): string[] {
    const own =
      program === "ours" ? [reachable(process.execPath), join(this.#folder, "runtime.cjs")] : [this.parts.stock.path];
    return [...own, `--config=${join(this.#folder, `${name}.conf`)}`, `--stanza=${STANZA}`];
  }

  async run(program: Program, args: readonly string[]): Promise<void> {
    const [command = "", ...options] = this.#argv(program, program);
    await runOk(command, [...options, ...args], { user: this.cluster.user, cwd: this.#folder });
  }

  async play(program: Program, figures: Figures, note: (text: string) => void): Promise<void> {
    const { only } = this.#options;
    if (only !== "recovery" || figures.pushS.length === 0) await this.#playPush(program, figures, note);
    if (only !== "all" && only !== "recovery") return;
    note("recovery");
    figures.recoveryS.push(await this.#recover(program, figures));
  }

  /** The agent's profiles of one run of ours. */
  async profile(note: (text: string) => void): Promise<readonly TitledProfile[]> {
    this.#profiling = true;
    await readableRuntime(this.#readable);
    await this.play("ours", noFigures(), note);
    note("");
    const titles = [
      ["ours", `The agent while ${this.#segments.length} segments are pushed`],
      ["ours-recovery", `The agent while ${this.#segments.length} segments are recovered`],
    ] as const;
    return titles
      .filter(([name]) => existsSync(this.#profileFolder(name)))
      .map(([name, title]) => ({ title, profile: readProfile(this.#profileFolder(name), this.#readable) }));
  }

  get #readable(): string {
    return join(this.#folder, "runtime-readable.cjs");
  }

  #profileFolder(name: string): string {
    return join(this.#folder, `${name}-profile`);
  }

  async #playPush(program: Program, figures: Figures, note: (text: string) => void): Promise<void> {
    note("push");
    await this.#emptyArchive(program);
    const agent = program === "ours" ? await this.#startAgent("ours") : null;
    try {
      const command =
        program === "ours"
          ? `${this.#client} ${this.#socket("ours")} archive-push`
          : `${this.#argv(program, program).join(" ")} archive-push`;
      const machineCpuS = machineSeconds();
      const agentCpuS = agent === null ? 0 : processSeconds(agent.pid);
      if (agent !== null) figures.idleMib.push(processMemory(agent.pid) / MIB);
      const [pushS, peakBytes] = await peakWhile(
        () => processMemory(agent?.pid ?? 0),
        () => this.#pushAll(command),
      );
      figures.pushS.push(pushS);
      figures.pushCpuS.push(machineSeconds() - machineCpuS);
      if (agent !== null) {
        figures.agentCpuS.push(processSeconds(agent.pid) - agentCpuS);
        figures.pushMib.push(peakBytes / MIB);
        note("a minute of rest");
        await sleep(REST_MS);
        figures.afterMib.push(processMemory(agent.pid) / MIB);
      }
      if (this.#options.only === "push") return;
      note("one call");
      figures.callMs.push(...(await this.#pushAgain(program, command)));
    } finally {
      await agent?.stop();
    }
  }

  /** Removes an earlier round's segments from the store; none is ready. */
  async #emptyArchive(program: Program): Promise<void> {
    for (const key of [1, 2]) {
      const archive = join(this.#server.bucketPath, `${program}${key}`, "archive", STANZA);
      for (const name of readdirSync(archive))
        if (!name.startsWith("archive.info")) rmSync(join(archive, name), { recursive: true });
    }
    rmSync(join(this.#folder, program, "spool"), { recursive: true });
    mkdirSync(join(this.#folder, program, "spool"));
    giveTo(join(this.#folder, program, "spool"), this.cluster.user);
    for (const name of readdirSync(this.#status)) rmSync(join(this.#status, name));
  }

  /**
   * Like PostgreSQL's archiver: in sequence through a shell, repeated until acknowledged; in seconds. They become ready
   * at the start, because a waiting agent would push them earlier.
   */
  async #pushAll(command: string): Promise<number> {
    for (const name of this.#segments) writeFileSync(join(this.#status, `${name}.ready`), "");
    const beganMs = performance.now();
    for (const name of this.#segments) {
      while (!(await this.#call(`${command} pg_wal/${name}`))) await sleep(1000);
      renameSync(join(this.#status, `${name}.ready`), join(this.#status, `${name}.done`));
    }
    return (performance.now() - beganMs) / 1000;
  }

  /** Milliseconds of each call for a segment that is already pushed. */
  async #pushAgain(program: Program, command: string): Promise<number[]> {
    const names = this.#segments.slice(-CALLS);
    for (const name of names) renameSync(join(this.#status, `${name}.done`), join(this.#status, `${name}.ready`));
    for (const name of names) {
      // Left over by its background process.
      if (program === "stock")
        writeFileSync(join(this.#folder, "stock", "spool", "archive", STANZA, "out", `${name}.ok`), "");
    }
    // The agent has forgotten earlier acknowledgements: it looks, and finds them stored.
    if (program === "ours") await sleep(3000);
    const durationsMs: number[] = [];
    for (const name of names) {
      const beganMs = performance.now();
      if (!(await this.#call(`${command} pg_wal/${name}`))) throw new Error(`${program} did not acknowledge ${name}`);
      durationsMs.push(performance.now() - beganMs);
    }
    return durationsMs;
  }

  async #call(command: string): Promise<boolean> {
    const result = await run("/bin/sh", ["-c", command], { user: this.cluster.user, cwd: this.cluster.dataPath });
    return result.exitCode === 0;
  }

  get #client(): string {
    return reachable(join(projectFolder(), "runtime", "agent", "pgbackrest-client"));
  }

  #socket(name: string): string {
    return join(this.#folder, `${name}.sock`);
  }

  async #startAgent(name: string): Promise<Started> {
    const [command = "", program = "", ...rest] = this.#argv(name, "ours");
    const profileFolder = this.#profileFolder(name);
    const argv = this.#profiling ? [...profileArguments(profileFolder), this.#readable, ...rest] : [program, ...rest];
    if (this.#profiling) {
      mkdirSync(profileFolder, { recursive: true });
      giveTo(profileFolder, this.cluster.user);
    }
    // As in its unit.
    const identity = { user: this.cluster.user, cwd: this.#folder, env: SMALL_ALLOCATOR };
    const options = { ...identity, logFile: join(this.#folder, `${name}.log`) };
    writeFileSync(options.logFile, "", { flag: "a" });
    giveTo(options.logFile, this.cluster.user);
    const agent = await start(command, [...argv, `--agent-socket=${this.#socket(name)}`, "agent"], options);
    await waitFor("the agent", 30_000, async () => {
      if (!agent.isRunning()) throw new Error(`the agent ended\n${readFileSync(options.logFile, "utf8").slice(-2000)}`);
      const asked = await run(this.#client, [this.#socket(name), "status"], {
        user: this.cluster.user,
        cwd: this.#folder,
      });
      return asked.exitCode === 0 ? true : null;
    });
    // It runs permanently on a host, so its start is not measured.
    await sleep(START_MS);
    return agent;
  }

  /** Seconds from the start of PostgreSQL to the end of its recovery. */
  async #recover(program: Program, figures: Figures): Promise<number> {
    const name = `${program}-recovery`;
    const dataPath = join(this.#folder, name, "data");
    this.#configure(name, dataPath, program);
    rmSync(dataPath, { recursive: true, force: true });
    await runOk("cp", ["-a", this.#restored, dataPath]);
    const agent = program === "ours" ? await this.#startAgent(name) : null;
    const own = program === "ours" ? `${this.#client} ${this.#socket(name)}` : this.#argv(name, program).join(" ");
    const cluster = TestCluster.adopt({ binaries: this.parts.binaries, dataPath, settings: { archive_mode: "off" } });
    try {
      const beganMs = performance.now();
      const [, peakBytes] = await peakWhile(
        () => processMemory(agent?.pid ?? 0),
        async () => {
          await cluster.start({ restore_command: `${own} archive-get %f %p` }, { timeoutMs: 600_000 });
          await cluster.waitForValue("SELECT pg_is_in_recovery()", "false", 600_000);
        },
      );
      if (agent !== null) figures.recoveryMib.push(peakBytes / MIB);
      const seconds = (performance.now() - beganMs) / 1000;
      const rows = await cluster.value("SELECT count(*)::text FROM t");
      const expected = String(ROWS_PER_SEGMENT * this.#options.segmentCount);
      if (rows !== expected) throw new Error(`${program} recovered ${rows} rows of ${expected}`);
      return seconds;
    } finally {
      await cluster.remove();
      await agent?.stop();
      rmSync(join(this.#folder, name), { recursive: true, force: true });
    }
  }

  async remove(): Promise<void> {
    await this.cluster.remove();
    await this.#proxy.close();
    await this.#server.remove();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function reportOf(
  bed: WalBed,
  options: WalBenchOptions,
  figures: Record<Program, Figures>,
  kind: string,
): Omit<Report, "profiles"> {
  const rows: [string, (figures: Figures) => readonly number[], number, number][] = [
    [`${bed.segments.length} segments waiting, until the last one is acknowledged: wall, s`, (of) => of.pushS, 1, 0.5],
    ["one archive_command call, segment pushed already: wall, ms", (of) => of.callMs, 0, 1],
    [`recovery of ${bed.segments.length} segments: wall, s`, (of) => of.recoveryS, 1, 0.5],
  ];
  const memory: [string, (figures: Figures) => readonly number[], number][] = [
    ["the agent's memory, idle: MiB", (of) => of.idleMib, 56],
    [`at most while ${bed.segments.length} segments are pushed: MiB`, (of) => of.pushMib, 104],
    ["a minute later: MiB", (of) => of.afterMib, 56],
    [`at most while ${bed.segments.length} segments are recovered: MiB`, (of) => of.recoveryMib, 104],
    ["an agent that streams into two buckets, at most: MiB", (of) => of.streamingMib, 72],
    ["with a full backup of 512 MiB at once, both processes: MiB", (of) => of.backupMib, 224],
  ];
  const memoryRows = memory.filter(([, of]) => of(figures.ours).length > 0);
  // Of the runs that followed each other, as in the other benches (figures.ts).
  const ratios = (of: (figures: Figures) => readonly number[]): number[] =>
    of(figures.ours).map((value, turn) => value / (of(figures.stock)[turn] ?? Number.NaN));
  const measured = rows.filter(([, of]) => of(figures.ours).length > 0);
  const table = [
    `| measure | stock ${bed.parts.stock.version}, archive-async | pgbackstop agent | ratio | lowest – highest | target |`,
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    ...measured.map(([name, of, digits, target]) => {
      const spread = `${Math.min(...ratios(of)).toFixed(2)} – ${Math.max(...ratios(of)).toFixed(2)}`;
      const [stock, ours] = [median(of(figures.stock)).toFixed(digits), median(of(figures.ours)).toFixed(digits)];
      return `| ${name} | ${stock} | ${ours} | ${median(ratios(of)).toFixed(2)} | ${spread} | ≤ ${target} |`;
    }),
    ...memoryRows.map(
      ([name, of, target]) => `| ${name} | – | ${median(of(figures.ours)).toFixed(0)} |  |  | ours ≤ ${target} |`,
    ),
  ].join("\n");
  const facts = [
    ...machineFacts(bed.parts),
    `two S3 repositories on one ${kind} over TLS behind a proxy that adds ${options.latencyMs} ms to each round trip; zst, process-max ${options.processMax}; medians of ${options.rounds} rounds; segments of 16 MiB, about a quarter full`,
    `all rounds, push: stock ${list(figures.stock.pushS)} s, ours ${list(figures.ours.pushS)} s; recovery: stock ${list(figures.stock.recoveryS)} s, ours ${list(figures.ours.recoveryS)} s`,
    `processor time while pushing, of the whole machine (server, proxy and callers in it): stock ${list(figures.stock.pushCpuS)} s, ours ${list(figures.ours.pushCpuS)} s, of which the agent ${list(figures.ours.agentCpuS)} s`,
  ];
  const missed = [
    ...measured
      .filter(([, of, , target]) => median(ratios(of)) > target)
      .map(([name, of, , target]) => `${name} ${median(ratios(of)).toFixed(3)} (≤ ${target})`),
    ...memoryRows
      .filter(([, of, target]) => median(of(figures.ours)) > target)
      .map(([name, of, target]) => `${name} ${median(of(figures.ours)).toFixed(0)} (ours ≤ ${target})`),
  ];
  return { table, facts, missed };
}

/** Processor time of the whole machine, user and system. */
function machineSeconds(): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = readFileSync("/proc/stat", "utf8")
    .split("\n", 1)
    .join("")
    .split(/\s+/)
    .map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_S;
}

function list(values: readonly number[]): string {
  return values.map((value) => value.toFixed(1)).join(", ");
}
