/**
 * One event loop for several processes. Each of their storage calls and sleeps is a step, and the {@link Chooser}
 * decides which comes next.
 *
 * Without a choice, a process runs until it sleeps or ends, then the next one runs. Time advances when no process has a
 * call in flight. The chooser can let another process go first, or make a call, a process or a clock fail. There is no
 * real time and no real randomness, so the same choices give the same steps.
 */
import type { Clock } from "../../runtime/base/clock";
import { fail } from "../../runtime/base/errors";

/** A fault in a step of a process. */
export type Fault =
  /** Another process goes first. */
  | { readonly kind: "yield"; readonly to: string }
  /** The process stops, with all its calls in flight. Null: until no other process has anything left to do. */
  | { readonly kind: "pause"; readonly ms: number | null }
  /** The process is killed. Its writes in flight land after `landMs` (null: never). */
  | { readonly kind: "kill"; readonly landMs: number | null }
  /** The call is executed, and its answer is lost. */
  | { readonly kind: "lose" }
  /** The call is not executed. */
  | { readonly kind: "fail" }
  /** The listing omits one name and everything below it. */
  | { readonly kind: "hide"; readonly pick: number }
  /** The listing goes on a few entries before the place that it has reached, as at a border of two pages. */
  | { readonly kind: "twice"; readonly pick: number }
  /** The second half of a listing shows the repository as it was `ms` ago. */
  | { readonly kind: "mixed"; readonly ms: number }
  /** A write is answered with success and not executed. */
  | { readonly kind: "forget" }
  /** Half of the bytes are written or read, or half of the names are listed, as if that were all. */
  | { readonly kind: "short" }
  /** A listing, a look or a read answers as the repository was `ms` ago. */
  | { readonly kind: "stale"; readonly ms: number }
  /** Neither this call nor the program's later ones to this repository are answered. Its driver gives each one up. */
  | { readonly kind: "hang" }
  /** From this call on, each call of the program to this repository takes {@link SLOW_MS}, and is executed. */
  | { readonly kind: "slow" }
  /** The call is executed, and again after `ms`: a repeated request that lands late. */
  | { readonly kind: "repeat"; readonly ms: number }
  /** The call is executed after `ms`. Other calls of the same process may overtake it. */
  | { readonly kind: "defer"; readonly ms: number }
  /** The clock of the process's host jumps. */
  | { readonly kind: "jump"; readonly ms: number };

export type FaultKind = Fault["kind"];

/** Kinds of faults in which a repository says something untrue, nothing, or late. */
export const LIES: readonly FaultKind[] = ["forget", "short", "stale", "hang", "slow", "twice", "mixed"];
/** Kinds after which nobody can know what a repository has. */
const UNTRUE: ReadonlySet<FaultKind> = new Set(["forget", "short", "stale", "hide", "mixed"]);

/** A fault before the next step of process `who`, once it has made `at` steps. */
export interface Choice {
  readonly who: string;
  readonly at: number;
  readonly fault: Fault;
}

export interface Chooser {
  /** Null: the call succeeds. */
  choose(candidate: Candidate): Fault | null;
}

export interface Candidate {
  readonly process: SimProcess;
  readonly call: Call;
  /** Other processes with calls in flight. */
  readonly others: readonly SimProcess[];
}

export interface Call {
  readonly text: string;
  readonly kind: "read" | "list" | "write";
  /** Its repository. */
  readonly repoIndex: number | null;
  /** Executes the call at once; with a fault, as that fault changes it. */
  apply(fault: Fault | null): unknown;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  /** Earliest time of execution. `defer` moves it. */
  dueMs: number;
  readonly issuedAtMs: number;
}

interface Sleep {
  readonly dueMs: number;
  wake(): void;
}

/** An event of the printed trace. */
export interface TraceLine {
  readonly who: string;
  readonly what: "step" | "fault" | "begin" | "end" | "note";
  readonly text: string;
}

const LATENCY_MS = 15;
const RESTART_MS = 2000;
/** A driver waits this long for an answer. */
const SILENCE_MS = 60_000;
/** Less than a driver waits. */
const SLOW_MS = 20_000;
/** Shorter than the time after which a silent lease holder counts as dead. */
const OVERDUE_MS = 100_000;
export const STARTED_AT_MS = Date.UTC(2026, 10, 20, 6, 40, 59);

/** One writer on its own host. It runs its verbs one after the other, each as a program that starts and ends. */
export class SimProcess {
  readonly name: string;
  readonly verbs: readonly string[];
  /** Offset of the host's wall clock. */
  skewMs = 0;
  skewMsMax = 0;
  /** Steps so far. */
  count = 0;
  calls: Call[] = [];
  sleeps: Sleep[] = [];
  /** Number of the running program. */
  incarnation = 0;
  isRunning = false;
  nextVerb = 0;
  startsAtMs: number;
  pausedUntilMs: number | null = null;
  isPausedForOthers = false;
  /** Repositories that no longer answer the running program. */
  readonly silent = new Set<number>();
  /** Repositories that answer the running program late. */
  readonly slow = new Set<number>();
  /** Repositories whose calls had a fault in the running program. */
  readonly troubled = new Set<number>();
  /** Repositories that ever told the process something untrue. */
  readonly misled = new Set<number>();
  /** The running program was stopped, or its clock changed. */
  isDisturbed = false;

  constructor(name: string, verbs: readonly string[], startsAtMs: number) {
    this.name = name;
    this.verbs = verbs;
    this.startsAtMs = startsAtMs;
  }

  get isOver(): boolean {
    return !this.isRunning && this.nextVerb >= this.verbs.length;
  }

  get isPaused(): boolean {
    return this.isPausedForOthers || this.pausedUntilMs !== null;
  }

  get isReady(): boolean {
    return this.isRunning && !this.isPaused && this.calls.length > 0;
  }
}

/** A running program's access to the engine. Calls after its death are never answered. */
export class Life {
  readonly #engine: Engine;
  readonly #process: SimProcess;
  readonly #incarnation: number;

  constructor(engine: Engine, process: SimProcess) {
    this.#engine = engine;
    this.#process = process;
    this.#incarnation = process.incarnation;
  }

  get process(): SimProcess {
    return this.#process;
  }

  get isAlive(): boolean {
    return this.#process.isRunning && this.#process.incarnation === this.#incarnation;
  }

  get verb(): string {
    return this.#process.verbs[this.#process.nextVerb - 1] ?? "";
  }

  get nowMs(): number {
    return this.#engine.nowMs;
  }

  /** @param issuedAtMs earlier, if the call began with other calls */
  call<T>(
    text: string,
    kind: Call["kind"],
    apply: (fault: Fault | null) => T,
    repoIndex: number | null = null,
    issuedAtMs = this.nowMs,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (!this.isAlive) return;
      this.#process.calls.push({
        text,
        kind,
        repoIndex,
        apply,
        resolve: (value) => resolve(value as T),
        reject,
        dueMs: 0,
        issuedAtMs,
      });
    });
  }

  readonly clock: Clock = {
    nowMs: () => this.#engine.nowMs + this.#process.skewMs,
    monotonicMs: () => this.#engine.nowMs - STARTED_AT_MS,
    sleep: (durationMs, signal) =>
      new Promise<void>((resolve, reject) => {
        if (!this.isAlive) return;
        const forget = (): void => {
          this.#process.sleeps = this.#process.sleeps.filter((other) => other !== sleep);
          signal.removeEventListener("abort", abort);
        };
        const abort = (): void => {
          forget();
          reject(fail("term", "terminated while waiting"));
        };
        const wake = (): void => {
          forget();
          resolve();
        };
        const sleep = { dueMs: this.#engine.nowMs + durationMs, wake };
        this.#process.sleeps.push(sleep);
        if (signal.aborted) abort();
        else signal.addEventListener("abort", abort, { once: true });
      }),
  };
}

export interface EngineHooks {
  /** Starts a verb of the process. The promise resolves to its result. */
  start(life: Life, verb: string): Promise<string>;
  /** Runs after each step and each end of a verb. Returns a violation or null. */
  check(): string | null;
  isTraced: boolean;
}

export interface Ending {
  readonly violation: string | null;
  readonly steps: number;
  readonly trace: readonly TraceLine[];
}

export class Engine {
  nowMs = STARTED_AT_MS;
  steps = 0;
  /**
   * The last step was a call so old that another process may have taken over since, or a call that nobody waits for.
   */
  isOverdue = false;
  readonly processes: readonly SimProcess[];
  readonly #hooks: EngineHooks;
  readonly #chooser: Chooser;
  readonly #trace: TraceLine[] = [];
  /** Requests that nobody waits for. */
  #orphans: { readonly dueMs: number; readonly who: string; readonly call: Call }[] = [];
  #ended: { readonly process: SimProcess; readonly incarnation: number; readonly text: string }[] = [];
  #current = 0;

  constructor(processes: readonly SimProcess[], chooser: Chooser, hooks: EngineHooks) {
    this.processes = processes;
    this.#chooser = chooser;
    this.#hooks = hooks;
  }

  /**
   * Runs until every verb has ended, a violation occurs, or `stepsMax` steps are made.
   * @throws Error if no process can continue
   */
  async run(stepsMax: number): Promise<Ending> {
    for (;;) {
      await idle();
      this.#harvest();
      const violation = this.#hooks.check();
      if (violation !== null) return this.#ending(violation);
      if (this.processes.every((process) => process.isOver) && this.#orphans.length === 0) return this.#ending(null);
      if (this.steps >= stepsMax) return this.#ending(`not ended after ${stepsMax} steps`);
      if (this.#wakeOne() || this.#landOne()) continue;
      const process = this.#next();
      if (process === null) this.#passTime();
      else this.#step(process);
    }
  }

  #ending(violation: string | null): Ending {
    return { violation, steps: this.steps, trace: this.#trace };
  }

  note(who: string, what: TraceLine["what"], text: () => string): void {
    if (this.#hooks.isTraced) this.#trace.push({ who, what, text: text() });
  }

  #harvest(): void {
    for (const { process, incarnation, text } of this.#ended.splice(0)) {
      if (process.incarnation !== incarnation || !process.isRunning) continue;
      this.note(process.name, "end", () => `${process.verbs[process.nextVerb - 1]}: ${text}`);
      this.#leave(process, 0);
    }
  }

  /** Ends the program. */
  #leave(process: SimProcess, restartMs: number): void {
    process.isRunning = false;
    process.incarnation++;
    process.calls = [];
    process.sleeps = [];
    process.startsAtMs = this.nowMs + restartMs;
  }

  #begin(process: SimProcess): void {
    const verb = process.verbs[process.nextVerb++] ?? "";
    process.isRunning = true;
    const { incarnation } = process;
    process.silent.clear();
    process.slow.clear();
    process.troubled.clear();
    process.isDisturbed = false;
    this.note(process.name, "begin", () => verb);
    this.#hooks.start(new Life(this, process), verb).then(
      (text) => void this.#ended.push({ process, incarnation, text }),
      (error: unknown) =>
        void this.#ended.push({
          process,
          incarnation,
          text: `the model failed: ${String((error as Error).stack ?? error)}`,
        }),
    );
  }

  /** The process whose turn it is without a choice. */
  #next(): SimProcess | null {
    const size = this.processes.length;
    for (let ahead = 0; ahead < size; ahead++) {
      const process = this.processes[(this.#current + ahead) % size];
      if (process === undefined || !process.isReady || !process.calls.some((call) => call.dueMs <= this.nowMs))
        continue;
      this.#current = (this.#current + ahead) % size;
      return process;
    }
    return null;
  }

  #wakeOne(): boolean {
    for (const process of this.processes) {
      if (process.pausedUntilMs !== null && process.pausedUntilMs <= this.nowMs) {
        process.pausedUntilMs = null;
        this.note(process.name, "note", () => "goes on");
      }
      if (process.isPaused) continue;
      if (!process.isRunning && !process.isOver && process.startsAtMs <= this.nowMs) {
        this.#begin(process);
        return true;
      }
      const due = process.sleeps
        .filter((sleep) => sleep.dueMs <= this.nowMs)
        .sort((left, right) => left.dueMs - right.dueMs)[0];
      if (due === undefined) continue;
      due.wake();
      return true;
    }
    return false;
  }

  #landOne(): boolean {
    const orphan = this.#orphans.find(({ dueMs }) => dueMs <= this.nowMs);
    if (orphan === undefined) return false;
    this.#orphans = this.#orphans.filter((other) => other !== orphan);
    this.steps++;
    this.isOverdue = true;
    this.note(orphan.who, "note", () => `lands late: ${orphan.call.text}`);
    quietly(() => orphan.call.apply(null));
    return true;
  }

  #passTime(): void {
    const open = this.processes.filter((process) => !process.isOver);
    const moments = open.filter((process) => !process.isPaused).flatMap((process) => momentsOf(process));
    const waiting = open.filter((process) => process.isPausedForOthers);
    if (moments.length === 0 && waiting[0] !== undefined) {
      waiting[0].isPausedForOthers = false;
      this.note(waiting[0].name, "note", () => "goes on");
      return;
    }
    for (const process of open) if (process.pausedUntilMs !== null) moments.push(process.pausedUntilMs);
    for (const { dueMs } of this.#orphans) moments.push(dueMs);
    if (moments.length === 0) throw new Error(`nothing can go on: ${open.map(({ name }) => name).join(", ")}`);
    this.nowMs = Math.max(this.nowMs, Math.min(...moments));
  }

  #step(process: SimProcess): void {
    const call = process.calls.find(({ dueMs }) => dueMs <= this.nowMs);
    if (call === undefined) return;
    if (call.repoIndex !== null && process.silent.has(call.repoIndex)) return this.#giveUp(process, call);
    if (this.#isLate(process, call)) return;
    const others = this.processes.filter((other) => other !== process && other.isReady);
    const fault = this.#chooser.choose({ process, call, others });
    if (fault !== null && !this.#isCall(fault)) return this.#disturb(process, fault, call);
    if (fault !== null) {
      this.note(process.name, "fault", () => `${faultText(fault)}, in: ${call.text}`);
      this.#blame(process, call.repoIndex, fault.kind);
    }
    if (fault?.kind === "slow") {
      this.#isLate(process, call);
      return;
    }
    if (fault?.kind === "defer") {
      call.dueMs = this.nowMs + fault.ms;
      return;
    }
    if (fault?.kind === "hang") {
      if (call.repoIndex !== null) process.silent.add(call.repoIndex);
      return this.#giveUp(process, call);
    }
    process.calls = process.calls.filter((other) => other !== call);
    process.count++;
    this.steps++;
    this.nowMs += LATENCY_MS;
    this.isOverdue = this.nowMs - call.issuedAtMs > OVERDUE_MS;
    this.note(process.name, "step", () => call.text);
    this.#answer(process, call, fault);
  }

  #blame(process: SimProcess, repoIndex: number | null, kind: FaultKind): void {
    if (repoIndex === null) return;
    if (kind === "slow") process.slow.add(repoIndex);
    // A listing that repeats names, and a late answer, excuse nothing.
    else if (kind !== "twice") process.troubled.add(repoIndex);
    if (UNTRUE.has(kind)) process.misled.add(repoIndex);
  }

  /** True for a call to a slow repository whose time has not come. */
  #isLate({ slow }: SimProcess, call: Call): boolean {
    if (call.repoIndex === null || !slow.has(call.repoIndex)) return false;
    call.dueMs = Math.max(call.dueMs, call.issuedAtMs + SLOW_MS);
    return call.dueMs > this.nowMs;
  }

  /** The driver waits, then fails the call. */
  #giveUp(process: SimProcess, call: Call): void {
    if (call.dueMs < call.issuedAtMs + SILENCE_MS) {
      call.dueMs = call.issuedAtMs + SILENCE_MS;
      return;
    }
    process.calls = process.calls.filter((other) => other !== call);
    process.count++;
    this.steps++;
    this.note(process.name, "step", () => `given up: ${call.text}`);
    call.reject(fail("hostConnect", `the storage did not answer: ${call.text}`, { retryable: true }));
  }

  #answer(process: SimProcess, call: Call, fault: Fault | null): void {
    const lost = (): Error => fail("service", `the storage did not answer: ${call.text}`, { retryable: true });
    if (fault?.kind === "fail") return call.reject(lost());
    let value: unknown;
    try {
      value = call.apply(fault);
    } catch (error) {
      return call.reject(error);
    }
    if (fault?.kind === "repeat") this.#orphans.push({ dueMs: this.nowMs + fault.ms, who: process.name, call });
    if (fault?.kind === "lose") return call.reject(lost());
    call.resolve(value);
  }

  #isCall(fault: Fault): boolean {
    return fault.kind !== "yield" && fault.kind !== "pause" && fault.kind !== "kill" && fault.kind !== "jump";
  }

  #disturb(process: SimProcess, fault: Fault, call: Call): void {
    if (fault.kind !== "yield") this.note(process.name, "fault", () => `${faultText(fault)}, before: ${call.text}`);
    if (fault.kind !== "yield") process.isDisturbed = true;
    if (fault.kind === "yield") {
      const index = this.processes.findIndex(({ name, isReady }) => name === fault.to && isReady);
      if (index !== -1) this.#current = index;
    } else if (fault.kind === "pause") {
      if (fault.ms === null) process.isPausedForOthers = true;
      else process.pausedUntilMs = this.nowMs + fault.ms;
    } else if (fault.kind === "kill") {
      const writes = fault.landMs === null ? [] : process.calls.filter(({ kind }) => kind === "write");
      for (const write of writes)
        this.#orphans.push({ dueMs: this.nowMs + (fault.landMs ?? 0), who: process.name, call: write });
      this.#leave(process, RESTART_MS);
    } else if (fault.kind === "jump") {
      process.skewMs += fault.ms;
      process.skewMsMax = Math.max(process.skewMsMax, process.skewMs);
    }
  }
}

function momentsOf(process: SimProcess): number[] {
  if (!process.isRunning) return [process.startsAtMs];
  return [...process.sleeps.map(({ dueMs }) => dueMs), ...process.calls.map(({ dueMs }) => dueMs)];
}

export function faultText(fault: Fault): string {
  const seconds = (ms: number): string => (Math.abs(ms) >= 3_600_000 ? `${ms / 3_600_000} h` : `${ms / 1000} s`);
  switch (fault.kind) {
    case "yield":
      return `lets ${fault.to} go first`;
    case "pause":
      return fault.ms === null ? "PAUSED until the others have ended" : `PAUSED for ${seconds(fault.ms)}`;
    case "kill":
      return `KILLED${fault.landMs === null ? "" : `, its requests under way land ${seconds(fault.landMs)} later`}`;
    case "lose":
      return "ANSWER LOST";
    case "fail":
      return "FAILS";
    case "hide":
      return `LISTING lacks a name (${fault.pick})`;
    case "twice":
      return `LISTING repeats names (${fault.pick})`;
    case "mixed":
      return `SECOND HALF as ${seconds(fault.ms)} ago`;
    case "forget":
      return "ANSWERED AND NOT DONE";
    case "short":
      return "HALF";
    case "stale":
      return `ANSWERED AS ${seconds(fault.ms)} AGO`;
    case "hang":
      return "NO ANSWER ANY MORE";
    case "slow":
      return "SLOW FROM NOW ON";
    case "repeat":
      return `REPEATED ${seconds(fault.ms)} later`;
    case "defer":
      return `DELAYED by ${seconds(fault.ms)}`;
    case "jump":
      return `CLOCK set by ${seconds(fault.ms)}`;
  }
}

/** Lets all work finish that needs no step. Nothing here waits for a disk, so one turn of the event loop is enough. */
function idle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function quietly(work: () => unknown): void {
  try {
    work();
  } catch {
    // Nobody waits for the result.
  }
}
