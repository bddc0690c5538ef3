/**
 * Searches for a schedule that breaks a promise: at random by a seed, or systematically with one or two disturbances at
 * every step. Then shrinks the schedule as far as possible.
 */
import type { Call, Candidate, Choice, Chooser, Fault, FaultKind } from "./engine";
import { faultText, type TraceLine } from "./engine";
import type { Guard } from "./weak";
import type { Scenario } from "./host";
import { type Outcome, World } from "./world";

export interface Violation {
  readonly scenario: Scenario;
  readonly violation: string;
  readonly choices: readonly Choice[];
  /** As readable lines. */
  readonly schedule: string;
}

/** Totals of all runs. */
export class Figures {
  steps = 0;
  runs = 0;
  staleLists = 0;
  readonly faults = new Map<FaultKind, number>();
  readonly states = new Set<string>();
  readonly ends = new Map<string, number>();

  add(scenario: Scenario, outcome: Outcome, choices: readonly Choice[]): void {
    this.steps += outcome.steps;
    this.runs++;
    this.staleLists += outcome.staleLists;
    for (const { fault } of choices) this.faults.set(fault.kind, (this.faults.get(fault.kind) ?? 0) + 1);
    for (const state of outcome.states) this.states.add(`${scenario.name}${state}`);
    for (const end of outcome.ends) {
      const [, verb = "", kind = ""] = /^\S+ (\S+).*?: (ok|\[\w+\])/.exec(end) ?? [];
      this.ends.set(`${verb} ${kind}`, (this.ends.get(`${verb} ${kind}`) ?? 0) + 1);
    }
  }

  text(): string {
    const list = (counts: ReadonlyMap<string, number>): string =>
      [...counts]
        .sort(([left], [right]) => (left < right ? -1 : 1))
        .map(([name, count]) => `${name} ${count}`)
        .join(", ");
    return `${this.steps} steps in ${this.runs} runs, ${this.states.size} distinct states of the repositories, ${this.staleLists} lists landed late\n  faults: ${list(this.faults)}\n  ends: ${list(this.ends)}`;
  }
}

/** Replays recorded choices. */
export class Replay implements Chooser {
  readonly #left = new Map<string, Choice[]>();
  /** Steps of each process, for searches that disturb each of them. */
  readonly counts = new Map<string, number>();
  readonly #onSeen: ((candidate: Candidate) => void) | null;

  constructor(choices: readonly Choice[], onSeen: ((candidate: Candidate) => void) | null = null) {
    for (const choice of choices) {
      const key = `${choice.who}:${choice.at}`;
      this.#left.set(key, [...(this.#left.get(key) ?? []), choice]);
    }
    this.#onSeen = onSeen;
  }

  choose(candidate: Candidate): Fault | null {
    this.#onSeen?.(candidate);
    const { name, count } = candidate.process;
    return this.#left.get(`${name}:${count}`)?.shift()?.fault ?? null;
  }
}

const HOUR_MS = 3_600_000;
const PAUSES_MS = [null, null, HOUR_MS, HOUR_MS, 5000, 150_000];
/**
 * A request does not outlive its driver's time limits, which are shorter than the time after which a lease holder
 * counts as dead.
 */
const DELAYS_MS = [20, 500, 5000, 60_000];
/** A server completes a request that it has received in full. The host's next program starts later. */
const LANDING_MS = [20, 500, 1500];
const MIXES = [0, 0.02, 0.1, 0.4];
const RATES = [0.002, 0.006, 0.02];

/** Chooses by a seed, and records its choices. */
export class RandomChooser implements Chooser {
  readonly choices: Choice[] = [];
  readonly #next: () => number;
  readonly #mix: number;
  readonly #rate: number;
  readonly #faultsMax: number;
  readonly #kinds: readonly FaultKind[];
  #faults = 0;

  constructor(seed: number, kinds: readonly FaultKind[]) {
    this.#next = randomOf(seed);
    this.#kinds = kinds;
    this.#mix = this.#pick(MIXES);
    this.#rate = this.#pick(RATES);
    this.#faultsMax = 1 + Math.floor(this.#next() * 4);
  }

  choose(candidate: Candidate): Fault | null {
    const fault = this.#draw(candidate);
    if (fault !== null) this.choices.push({ who: candidate.process.name, at: candidate.process.count, fault });
    return fault;
  }

  #draw({ others, call }: Candidate): Fault | null {
    if (others.length > 0 && this.#next() < this.#mix) return { kind: "yield", to: this.#pick(others).name };
    if (this.#faults >= this.#faultsMax || this.#next() >= this.#rate) return null;
    const fault = this.#fault(this.#pick(this.#kinds), call.kind);
    if (fault !== null) this.#faults++;
    return fault;
  }

  #fault(kind: FaultKind, call: "read" | "list" | "write"): Fault | null {
    switch (kind) {
      case "pause":
        return { kind, ms: this.#pick(PAUSES_MS) };
      case "kill":
        return { kind, landMs: this.#pick([null, ...LANDING_MS]) };
      case "lose":
        return call === "write" ? { kind } : null;
      case "fail":
        return { kind };
      case "hide":
        return call === "list" ? { kind, pick: Math.floor(this.#next() * 20) } : null;
      case "twice":
        return call === "list" ? { kind, pick: Math.floor(this.#next() * 20) } : null;
      case "mixed":
        return call === "list" ? { kind, ms: this.#pick(DELAYS_MS) } : null;
      case "forget":
        return call === "write" ? { kind } : null;
      case "stale":
        return call === "write" ? null : { kind, ms: this.#pick(DELAYS_MS) };
      case "short":
      case "hang":
      case "slow":
        return { kind };
      case "repeat":
        return call === "write" ? { kind, ms: this.#pick(DELAYS_MS) } : null;
      case "defer":
        return { kind, ms: this.#pick(DELAYS_MS) };
      case "jump":
        return { kind, ms: Math.floor((this.#next() - 0.5) * 4 * HOUR_MS) };
      case "yield":
        return null;
    }
  }

  #pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.#next() * items.length)] as T;
  }
}

/** Generates numbers from 0 to 1 (mulberry32). */
function randomOf(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export async function play(
  scenario: Scenario,
  chooser: Chooser,
  off: readonly Guard[],
  isTraced = false,
): Promise<Outcome> {
  const { stackTraceLimit } = Error;
  // A run throws hundreds of errors, and a violation is played again with a trace.
  if (!isTraced) Error.stackTraceLimit = 0;
  try {
    return await new World(scenario, off).play(chooser, isTraced);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

export const ALL_KINDS: readonly FaultKind[] = [
  ...(["pause", "kill", "lose", "fail", "hide", "repeat", "defer", "jump", "hang", "slow", "twice", "mixed"] as const),
];

/** One run by a seed. Returns null if every promise holds. */
export async function tryRandom(
  scenario: Scenario,
  seed: number,
  off: readonly Guard[],
  figures: Figures,
  kinds = ALL_KINDS,
): Promise<Violation | null> {
  const chooser = new RandomChooser(seed, kinds);
  const outcome = await play(scenario, chooser, off);
  figures.add(scenario, outcome, chooser.choices);
  return outcome.violation === null ? null : shrink(scenario, chooser.choices, off);
}

/**
 * Tries one disturbance at every step of every writer and, with `depth` 2, another at every later step; the last one
 * only at each `stride`-th. Ends at the first violation.
 */
export async function trySystematic(
  scenario: Scenario,
  off: readonly Guard[],
  figures: Figures,
  {
    depth,
    stride = 1,
    kinds = ALL_KINDS,
  }: { readonly depth: 1 | 2; readonly stride?: number; readonly kinds?: readonly FaultKind[] },
): Promise<Violation | null> {
  const choicesOf = (choices: readonly Choice[]): ReturnType<typeof findChoices> =>
    findChoices(scenario, choices, choices.length < depth ? kinds : [], off, figures);
  const first = await choicesOf([]);
  if (first.violation !== null) return shrink(scenario, [], off);
  for (const [point, one] of first.candidates.entries()) {
    if (depth === 1 && point % stride !== 0) continue;
    const second = await choicesOf([one]);
    if (second.violation !== null) return shrink(scenario, [one], off);
    if (depth === 1) continue;
    for (const [index, two] of second.candidates.entries()) {
      if (index % stride !== 0) continue;
      const outcome = await choicesOf([one, two]);
      if (outcome.violation !== null) return shrink(scenario, [one, two], off);
    }
  }
  return null;
}

/**
 * Disturbs at `depth` points, each anywhere after the previous one. Reaches schedules that neither a single point nor
 * plain chance reaches.
 */
export async function tryChoices(
  scenario: Scenario,
  seed: number,
  off: readonly Guard[],
  figures: Figures,
  depth: number,
  kinds = ALL_KINDS,
): Promise<Violation | null> {
  const next = randomOf(seed);
  let choices: readonly Choice[] = [];
  for (let level = 0; level <= depth; level++) {
    const { candidates, violation } = await findChoices(scenario, choices, kinds, off, figures);
    if (violation !== null) return shrink(scenario, choices, off);
    const choice = candidates[Math.floor(next() * candidates.length)];
    if (choice === undefined) return null;
    choices = [...choices, choice];
  }
  return null;
}

/** Plays the choices. Returns the possible disturbances after the last one, and the violation. */
async function findChoices(
  scenario: Scenario,
  choices: readonly Choice[],
  kinds: readonly FaultKind[],
  off: readonly Guard[],
  figures: Figures,
): Promise<{ readonly candidates: readonly Choice[]; readonly violation: string | null }> {
  const candidates: Choice[] = [];
  const faultsOf = (call: Call["kind"]): readonly Fault[] =>
    kinds.length === 0 ? [] : faultsFor(call).filter(({ kind }) => kinds.includes(kind));
  const faults = { read: faultsOf("read"), list: faultsOf("list"), write: faultsOf("write") };
  const last = choices.at(-1);
  let isAfter = last === undefined;
  const replay = new Replay(choices, ({ process, call }) => {
    if (isAfter)
      for (const fault of faults[call.kind]) candidates.push({ who: process.name, at: process.count, fault });
    if (last !== undefined && process.name === last.who && process.count === last.at) isAfter = true;
  });
  const outcome = await play(scenario, replay, off);
  figures.add(scenario, outcome, choices);
  return { candidates, violation: outcome.violation };
}

function faultsFor(call: Call["kind"]): Fault[] {
  const faults: Fault[] = [
    { kind: "pause", ms: null },
    { kind: "pause", ms: HOUR_MS },
  ];
  if (call === "write") {
    faults.push({ kind: "kill", landMs: null }, { kind: "kill", landMs: 1500 });
    faults.push({ kind: "repeat", ms: 60_000 }, { kind: "lose" }, { kind: "fail" });
  }
  faults.push({ kind: "defer", ms: 60_000 }, { kind: "hang" }, { kind: "slow" }, { kind: "short" });
  faults.push(call === "write" ? { kind: "forget" } : { kind: "stale", ms: 60_000 });
  if (call !== "list") return faults;
  const picks = [0, 1, 2, 3];
  faults.push(...picks.map((pick): Fault => ({ kind: "hide", pick })));
  faults.push(...picks.map((pick): Fault => ({ kind: "twice", pick })), { kind: "mixed", ms: 60_000 });
  return faults;
}

/** Replays a printed schedule and shows every step. @throws SyntaxError */
export async function replayText(
  schedule: string,
): Promise<{ readonly text: string; readonly violation: string | null }> {
  const { scenario, choices } = JSON.parse(schedule) as { scenario: Scenario; choices: Choice[] };
  const { trace, violation } = await play(scenario, new Replay(choices), [], true);
  return { text: [...trace.map((line) => lineText(line)), `VIOLATION: ${violation ?? "none"}`].join("\n"), violation };
}

const SHRINKS_MAX = 2000;

/** Removes everything unneeded, then makes faults milder, as long as some promise is still broken. */
export async function shrink(scenario: Scenario, all: readonly Choice[], off: readonly Guard[]): Promise<Violation> {
  let runs = 0;
  const breaks = async (choices: readonly Choice[], smaller: Scenario): Promise<boolean> =>
    runs++ < SHRINKS_MAX && (await play(smaller, new Replay(choices), off)).violation !== null;
  let best = all;
  let least = scenario;
  for (const name of Object.keys(scenario.writers)) {
    const { [name]: _left, ...writers } = least.writers;
    const smaller = { ...least, writers };
    const rest = best.filter(({ who, fault }) => who !== name && !(fault.kind === "yield" && fault.to === name));
    if (Object.keys(writers).length === 0 || !(await breaks(rest, smaller))) continue;
    least = smaller;
    best = rest;
  }
  for (const [name, verbs] of Object.entries(least.writers)) {
    for (let index = verbs.length - 1; index >= 0; index--) {
      const fewer = (least.writers[name] ?? []).filter((_, at) => at !== index);
      const smaller = { ...least, writers: { ...least.writers, [name]: fewer } };
      if (fewer.length > 0 && (await breaks(best, smaller))) least = smaller;
    }
  }
  for (let size = Math.ceil(best.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.length; ) {
      const without = [...best.slice(0, from), ...best.slice(from + size)];
      if (await breaks(without, least)) best = without;
      else from += size;
    }
  }
  for (const [index, choice] of best.entries()) {
    for (const fault of milder(choice.fault)) {
      const softer = best.map((other, at) => (at === index ? { ...other, fault } : other));
      if (!(await breaks(softer, least))) continue;
      best = softer;
      break;
    }
  }
  const outcome = await play(least, new Replay(best), off, true);
  return {
    scenario: least,
    violation: outcome.violation ?? "(not again)",
    choices: best,
    schedule: scheduleText(least, best, outcome),
  };
}

function milder(fault: Fault): Fault[] {
  if (fault.kind === "pause" && fault.ms !== null)
    return [
      { kind: "pause", ms: null },
      ...[5000, 150_000].filter((ms) => ms < (fault.ms ?? 0)).map((ms): Fault => ({ kind: "pause", ms })),
    ];
  if (fault.kind === "kill" && fault.landMs !== null) return [{ kind: "kill", landMs: null }];
  return [];
}

/** One line for the undisturbed steps of a process, and one for each disturbance. */
function scheduleText(scenario: Scenario, choices: readonly Choice[], outcome: Outcome): string {
  const lines: string[] = [];
  let run: { who: string; steps: string[] } | null = null;
  const flush = (): void => {
    if (run !== null && run.steps.length > 0)
      lines.push(`${run.who}: ${run.steps.length} step(s), the last: ${run.steps.at(-1)}`);
    run = null;
  };
  for (const line of outcome.trace) {
    if (line.what === "step") {
      if (run === null || run.who !== line.who) flush();
      run ??= { who: line.who, steps: [] };
      run.steps.push(line.text);
      continue;
    }
    flush();
    lines.push(lineText(line));
  }
  flush();
  const writers = Object.entries(scenario.writers).map(([name, verbs]) => `${name} = ${verbs.join(", ")}`);
  return [
    `scenario '${scenario.name}': ${writers.join("; ")}${scenario.past.length === 0 ? "" : `; before: ${scenario.past.join(", ")}`}`,
    ...lines.map((line) => `  ${line}`),
    `VIOLATION: ${outcome.violation ?? "none"}`,
    `disturbances: ${choices.map(({ who, at, fault }) => `${who} after ${at} steps: ${faultText(fault)}`).join("; ") || "none"}`,
    `again: PGBACKSTOP_SCHEDULE='${JSON.stringify({ scenario, choices })}' npm test -- test/simulation/simulation.test.ts`,
  ].join("\n");
}

function lineText({ who, what, text }: TraceLine): string {
  if (what === "begin") return `${who}: begins ${text}`;
  if (what === "end") return `${who}: ends ${text}`;
  return `${who}: ${text}`;
}
