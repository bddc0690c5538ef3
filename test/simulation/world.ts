/**
 * Several hosts over shared buckets, each with a server of the same cluster. The runtime's own operations perform a
 * scenario's verbs.
 *
 * The servers' files have the same names, sizes and times but different bytes, like those of a primary and its standby.
 * Each host has its own lock folder, so only the repositories coordinate two hosts.
 * Processes of one host share files and the records of missing WAL; the simulation takes none of the host's locks, so
 * that it tries more.
 */
import type { Context } from "../../runtime/base/context";
import { toBackupError } from "../../runtime/base/errors";
import type { Log } from "../../runtime/base/log";
import { loadBackupInfo } from "../../runtime/repository/infoStore";
import type { Repository } from "../../runtime/repository/repository";
import { listedOnce } from "../../runtime/storage/listedOnce";
import { seededRandom } from "../harness/context";
import { repository } from "../runtime/repository/support";
import { type Chooser, type Ending, Engine, type Life, SimProcess, STARTED_AT_MS, type TraceLine } from "./engine";
import { clearFiles } from "./files";
import { Host, type HostEvent, hostNameOf, type Scenario, type Shared } from "./host";
import { Bucket, SimStorage, type StoredFile } from "./bucket";
import { Streams } from "./streamTruth";
import { type State, Truth } from "./truth";
import { verbs } from "./verbs";
import { type Guard, isOff, switchOff } from "./weak";

export interface Outcome extends Ending {
  /** Checksums of the repositories' content, one for each distinct content. */
  readonly states: ReadonlySet<number>;
  /** Results of the verbs, in the order in which they ended. */
  readonly ends: readonly string[];
  /** Number of backup lists that landed late, and may have been outdated until the next writer. */
  readonly staleLists: number;
}

const STEPS_MAX = 6000;
const KEEPS_ALL = 99;
/** Some files for each bundle. */
const BUNDLE = { sizeBytes: 200, limitBytes: 200 };
/** Wait after the last writer: longer than a dead writer can block others. */
const QUIET_MS = 600_000;

/** State that a scenario's past leaves. Made once. */
interface Past {
  readonly nowMs: number;
  readonly walNo: number;
  readonly files: readonly ReadonlyMap<string, StoredFile>[];
  readonly acknowledged: ReadonlyMap<string, string>;
  /** Events of the first host. */
  readonly events: readonly HostEvent[];
}

const pasts = new Map<string, Past>();

export class World implements Shared {
  readonly scenario: Scenario;
  readonly moments: State[] = [];
  readonly buckets: readonly Bucket[];
  readonly truth: Truth;
  readonly streams: Streams;
  readonly states = new Set<number>();
  readonly ends: string[] = [];
  /** Number of the segment that is being written. */
  walNo = 3;
  readonly snapshots = new Map<number, ReadonlyMap<string, StoredFile>>();
  readonly #hosts = new Map<string, Host>();
  #lives = 0;
  #processes: readonly SimProcess[] = [];
  #violation: string | null = null;

  /** The runtime runs without the guards in `off`. */
  constructor(scenario: Scenario, off: readonly Guard[]) {
    clearFiles();
    switchOff(off);
    this.scenario = scenario;
    this.buckets = Array.from({ length: scenario.repoCount }, (_, index) => new Bucket(index + 1));
    const hasVersions = (scenario.conditions ?? "versions") === "versions" && !off.includes("publish");
    this.truth = new Truth(this.buckets, this.moments, hasVersions, scenario.keepDumps);
    this.streams = new Streams(this.buckets, (key) => this.#processes.some(({ misled }) => misled.has(key)));
    const names = [...Object.keys(scenario.writers), "z"].map(hostNameOf);
    for (const [index, name] of [...new Set(names)].entries())
      this.#hosts.set(name, new Host(name, index > 0 || scenario.standbysOnly, this, index));
    this.truth.isMissing = (repoIndex, walFile) =>
      [...this.#hosts.values()].some(({ missingWal }) =>
        [...missingWal.list(repoIndex), ...missingWal.listConflicts(repoIndex)].includes(walFile),
      );
  }

  /** Plays the past, then the writers with the disturbances of `chooser`, then one undisturbed writer. */
  async play(chooser: Chooser, isTraced: boolean): Promise<Outcome> {
    const quiet: Chooser = { choose: () => null };
    const before = await this.#recall(quiet);
    const keeps = keptCount(this.scenario);
    for (const { key } of this.buckets) if (keeps !== null) this.truth.retention.set(key, keeps);
    const writers = Object.entries(this.scenario.writers).map(
      ([name, all], index) => new SimProcess(name, all, before.nowMs + 5000 + index),
    );
    const main = await this.#run(writers, chooser, before.nowMs + 5000, isTraced);
    const ends = [...this.ends];
    const { staleLists } = this.truth;
    if (main.violation !== null) return { ...main, states: this.states, ends, staleLists };
    const expire = `expire ${keeps ?? KEEPS_ALL}`;
    const trace: TraceLine[] = [...main.trace];
    // Labels follow the hosts' clocks: the last writer's clock must not be behind any of them.
    let nowMs = main.nowMs + QUIET_MS + Math.max(0, ...writers.map(({ skewMsMax }) => skewMsMax));
    let { steps } = main;
    let wrong: string | null = null;
    // After an upgrade no server has the old version.
    const isUpgraded = Object.values(this.scenario.writers).some((all) => all.includes("upgrade"));
    const hasDumps = Object.values(this.scenario.writers).some((all) => all.some((verb) => verb.startsWith("dump")));
    const last = [...(isUpgraded ? [] : ["full"]), ...(hasDumps ? ["dump"] : []), expire];
    for (const all of [[expire, expire], last]) {
      const after = await this.#run([new SimProcess("z", all, nowMs)], quiet, nowMs, isTraced);
      trace.push(...after.trace.filter(({ what }) => what !== "step"));
      steps += after.steps;
      nowMs = after.nowMs;
      wrong ??= after.violation;
      this.truth.excuseNothing();
    }
    const stuck = this.ends.slice(ends.length).find((end) => !end.includes(": ok"));
    const violation =
      wrong ?? (stuck === undefined ? this.truth.checkEnd(hasDumps) : `when everything was quiet: ${stuck}`);
    return { violation, trace, steps, states: this.states, ends, staleLists: this.truth.staleLists };
  }

  /** Plays the past, or restores it from an earlier run. */
  async #recall(quiet: Chooser): Promise<Past> {
    const { name, past, writers, repoCount, standbysOnly, conditions, keepDumps, bundle } = this.scenario;
    const [first = "a"] = Object.keys(writers);
    const host = this.#hosts.get(hostNameOf(first));
    if (host === undefined) throw new Error(`'${name}' has no writers`);
    const key = JSON.stringify([past, first, repoCount, standbysOnly, conditions, keepDumps, bundle]);
    const known = pasts.get(key);
    if (known !== undefined) {
      for (const event of known.events) host.take(event);
      for (const [index, bucket] of this.buckets.entries()) bucket.replace(known.files[index] ?? new Map());
      for (const [wal, sha1] of known.acknowledged) this.truth.acknowledged.set(wal, sha1);
      this.walNo = known.walNo;
      return known;
    }
    const { violation, nowMs } = await this.#run(
      [new SimProcess(first, ["create", ...past], STARTED_AT_MS)],
      quiet,
      STARTED_AT_MS,
      false,
    );
    const failed = violation ?? this.ends.find((end) => !end.includes(": ok"));
    if (failed !== undefined) throw new Error(`the past of '${name}': ${failed}`);
    this.ends.length = 0;
    const files = this.buckets.map((bucket) => new Map(bucket.files));
    const made = {
      nowMs,
      walNo: this.walNo,
      files,
      acknowledged: new Map(this.truth.acknowledged),
      events: [...host.events],
    };
    pasts.set(key, made);
    return made;
  }

  async #run(
    processes: readonly SimProcess[],
    chooser: Chooser,
    nowMs: number,
    isTraced: boolean,
  ): Promise<Ending & { nowMs: number }> {
    const engine: Engine = new Engine(processes, chooser, {
      start: (life, verb) => this.#start(life, verb, engine),
      check: () => this.#check(engine.isOverdue),
      isTraced,
    });
    engine.nowMs = nowMs;
    this.#processes = processes;
    this.truth.nowMs = () => engine.nowMs;
    for (const bucket of this.buckets) bucket.clockMs = () => engine.nowMs;
    const ending = await engine.run(STEPS_MAX);
    return { ...ending, nowMs: engine.nowMs };
  }

  #check(isOverdue: boolean): string | null {
    let state = 0;
    for (const bucket of this.buckets) state = (Math.imul(state, 31) + bucket.state) | 0;
    this.states.add(state);
    return this.#violation ?? this.truth.check(isOverdue) ?? this.streams.check();
  }

  async #start(life: Life, verb: string, engine: Engine): Promise<string> {
    const { name } = life.process;
    const host = this.#hosts.get(hostNameOf(name));
    if (host === undefined) throw new Error(`no host ${name}`);
    const log: Log = {
      error: (error) => engine.note(name, "note", () => `error: ${error.message}`),
      warn: (text) => engine.note(name, "note", () => `warns: ${text}`),
      info: () => {},
      detail: () => {},
      debug: () => {},
      trace: () => {},
    };
    const ctx: Context = {
      clock: life.clock,
      random: seededRandom(1 + 7919 * ++this.#lives),
      log,
      signal: new AbortController().signal,
    };
    const repositories = (keys: readonly number[], away?: number): Repository[] =>
      this.buckets
        .filter(({ key }) => keys.includes(key))
        .map((bucket) => {
          const storage = new SimStorage(bucket, life, this.scenario.conditions ?? "versions", bucket.key === away);
          return repository(bucket.key, {
            storage: isOff("set") ? storage : listedOnce(storage),
            bundle: this.scenario.bundle === true ? BUNDLE : null,
          });
        });
    let text: string;
    try {
      text = `ok ${await verbs(verb, { life, ctx, host, world: this, repositories })}`.trimEnd();
    } catch (thrown) {
      const error = toBackupError(thrown);
      text = `[${error.kind}] ${error.message.split("\n")[0]}`;
    }
    this.ends.push(`${name} ${verb}: ${text}`);
    return text;
  }

  /** A backup reported success. */
  done(repoIndex: number, label: string): void {
    this.#violation ??= this.truth.checkDone(repoIndex, label);
  }

  judge(problem: string | null): void {
    this.#violation ??= problem;
  }

  isRunning(process: string, incarnation: number): boolean {
    return this.#processes.some((each) => each.name === process && each.isRunning && each.incarnation === incarnation);
  }

  async newestLabel(repo: Repository): Promise<string> {
    return (await loadBackupInfo(repo)).backups.at(-1)?.label ?? "";
  }
}

/** The smallest number of full backups that a writer keeps. Null if nobody expires any. */
function keptCount({ writers }: Scenario): number | null {
  const counts = Object.values(writers).flatMap((all) =>
    all.flatMap((verb) => /expire(?:@\d)? (\d+)$/.exec(verb)?.[1] ?? []),
  );
  return counts.length === 0 ? null : Math.min(...counts.map(Number));
}
