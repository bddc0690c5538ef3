/**
 * A small coverage-guided fuzzer. It mutates inputs and keeps those that reach new code, or reach known code a new
 * number of times.
 *
 * V8 counts coverage (`Profiler.takePreciseCoverage` of node:inspector), so sources run unmodified. Reading the counts
 * costs milliseconds, so inputs run in batches. If a batch reaches something new, the search halves it to find the
 * inputs. A seed determines the random numbers, and the number of runs is fixed.
 *
 * Short runs, as by day, end with their first batch, for which nothing is learned: they count no coverage.
 */
import { Session } from "node:inspector";
import { Worker } from "node:worker_threads";
import { isError, type ErrorKind } from "../../runtime/base/errors";
import { NIGHTLY } from "../../tools/parts/nightly";

export interface Target {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  /** Byte sequences that mean something to the parser. */
  readonly tokens?: readonly (string | Uint8Array)[];
  /** Errors that it may throw. Any other error is a finding. */
  readonly kinds: readonly ErrorKind[];
  /** Longer inputs are cut. */
  readonly sizeBytesMax?: number;
  /** Share of the usual number of runs, for slow targets. */
  readonly share?: number;
  /** Corrects checksums, so that mutations reach the code behind the checks. */
  readonly repair?: (bytes: Uint8Array) => Uint8Array;
  /** Throws when the parser or a round trip is wrong. */
  run(bytes: Uint8Array): void | Promise<void>;
}

export interface Finding {
  readonly target: string;
  readonly message: string;
  /** The input, reduced by a limited number of cuts. */
  readonly input: Uint8Array;
}

export interface FuzzResult {
  readonly findings: readonly Finding[];
  readonly runs: number;
  /** Number of inputs that reached something new, including seeds. */
  readonly kept: number;
  /** Number of code ranges and counts reached. */
  readonly features: number;
  readonly accepted: number;
}

/** Inputs of each target. */
export const RUNS = Number(process.env["PGBACKSTOP_FUZZ_RUNS"] ?? (NIGHTLY ? 600 : 5));
const BATCH_SIZE = 64;
const IS_GUIDED = RUNS > BATCH_SIZE;
const FINDINGS_MAX = 5;
/** One input takes microseconds. What takes this long twice is slow: once, the machine may have paused. */
const RUN_MS_MAX = 2000;
const ALLOCATION_SIZE_BYTES_MAX = 96 * 1024 * 1024;
const HANG_MS = 20_000;

/** `takesMax` limits how often coverage is read. After that, mutations are unguided. */
export async function fuzz(
  target: Target,
  seed: number,
  { runs, takesMax }: { readonly runs: number; readonly takesMax: number },
): Promise<FuzzResult> {
  const random = randomOf(seed);
  const coverage = new Coverage();
  const watchdog = new Watchdog(target.name);
  const corpus: Uint8Array[] = [];
  const findings = new Map<string, Finding>();
  let accepted = 0;
  const execute = async (input: Uint8Array): Promise<void> => {
    const outcome = await runOnce(target, input, watchdog);
    if (outcome === null) accepted++;
    if (typeof outcome !== "string" || findings.has(kindOf(outcome)) || findings.size >= FINDINGS_MAX) return;
    findings.set(kindOf(outcome), {
      target: target.name,
      message: outcome,
      input: await smaller(target, input, outcome, watchdog),
    });
  };
  const keepNew = async (inputs: readonly Uint8Array[]): Promise<void> => {
    for (const input of inputs) {
      await execute(input);
      if (coverage.take(true)) corpus.push(input);
    }
  };
  /** Keeps the inputs that reach something new. A half that reaches nothing new is dropped. */
  const search = async (inputs: readonly Uint8Array[]): Promise<void> => {
    if (coverage.takes >= takesMax) return;
    if (inputs.length <= 2) return keepNew(inputs);
    const middle = inputs.length >> 1;
    for (const half of [inputs.slice(0, middle), inputs.slice(middle)]) {
      for (const input of half) await runOnce(target, input, watchdog);
      if (coverage.take(false)) await search(half);
    }
  };
  try {
    await keepNew(target.seeds);
    if (accepted === 0) throw new Error(`${target.name} takes none of its seeds`);
    for (let done = 0; done < runs && findings.size < FINDINGS_MAX; done += BATCH_SIZE) {
      const batch = Array.from({ length: BATCH_SIZE }, () => mutated(corpus, target, random));
      for (const input of batch) await execute(input);
      if (IS_GUIDED && coverage.takes < takesMax && coverage.take(false)) await search(batch);
    }
  } finally {
    watchdog.end();
  }
  return { findings: [...findings.values()], runs, kept: corpus.length, features: coverage.size, accepted };
}

/** Two findings are the same fault if their first lines agree without numbers and quoted text. */
function kindOf(message: string): string {
  return (message.split("\n")[0] ?? "").replaceAll(/[0-9]+/g, "0").replaceAll(/'[^']*'/g, "''");
}

/** Null: the parser accepted the input. Undefined: it threw an expected error. Text: a finding. */
async function runOnce(
  target: Target,
  input: Uint8Array,
  watchdog: Watchdog,
  isRepeated = false,
): Promise<string | null | undefined> {
  watchdog.begin(input);
  const allocation = new LargestAllocation();
  const beganMs = performance.now();
  let outcome: string | null | undefined = null;
  try {
    // A copy, so that a parser that reads beyond its input does not find other bytes there.
    await target.run(Uint8Array.from(input));
  } catch (error) {
    outcome = isError(error, ...target.kinds)
      ? undefined
      : error instanceof Error
        ? `${error.name}: ${error.message}\n${error.stack}`
        : String(error);
  } finally {
    allocation.end();
  }
  if (performance.now() - beganMs > RUN_MS_MAX)
    return isRepeated ? `took more than ${RUN_MS_MAX} ms` : runOnce(target, input, watchdog, true);
  if (allocation.sizeBytes > ALLOCATION_SIZE_BYTES_MAX) return `allocated ${allocation.sizeBytes} bytes at once`;
  return outcome;
}

const CUTS_MAX = 300;

async function smaller(target: Target, input: Uint8Array, message: string, watchdog: Watchdog): Promise<Uint8Array> {
  let best = input;
  let left = CUTS_MAX;
  for (let size = Math.ceil(best.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at + size <= best.length && left > 0; left--) {
      const candidate = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      const repaired = target.repair?.(candidate) ?? candidate;
      const outcome = await runOnce(target, repaired, watchdog);
      if (typeof outcome === "string" && kindOf(outcome) === kindOf(message)) best = repaired;
      else at += size;
    }
  }
  return best;
}

type Random = (below: number) => number;

/** Mulberry32. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return Math.floor((((value ^ (value >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
}

const INTERESTING = [
  0, 1, 2, 3, 4, 7, 8, 16, 24, 32, 64, 100, 127, 128, 255, 256, 512, 1000, 4096, 8191, 8192, 32767, 32768, 65535, 65536,
  0x7fffffff,
];
const INTERESTING_ALL = [...INTERESTING, 0x80000000, 0xffffffff, 0xfffffffe, 0x10000000];

function mutated(corpus: readonly Uint8Array[], target: Target, random: Random): Uint8Array {
  // Half of the picks come from the newest inputs, which have been mutated the least often.
  const index = random(2) === 0 ? random(corpus.length) : corpus.length - 1 - random(Math.min(corpus.length, 8));
  let bytes: Uint8Array = Buffer.from(corpus[index] ?? new Uint8Array(0));
  for (let steps = 1 + random(4); steps > 0; steps--) bytes = changed(bytes, corpus, target.tokens ?? [], random);
  bytes = bytes.subarray(0, target.sizeBytesMax ?? 65_536);
  return target.repair?.(bytes) ?? bytes;
}

function changed(
  bytes: Uint8Array,
  corpus: readonly Uint8Array[],
  tokens: readonly (string | Uint8Array)[],
  random: Random,
): Uint8Array {
  const at = random(bytes.length + 1);
  const length = 1 + random(random(4) === 0 ? bytes.length + 1 : 8);
  const insert = (piece: Uint8Array, replaced: number): Uint8Array =>
    Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + replaced)]);
  switch (random(9)) {
    case 0:
      if (at < bytes.length) bytes[at] = (bytes[at] as number) ^ (1 << random(8));
      return bytes;
    case 1:
      if (at < bytes.length) bytes[at] = random(256);
      return bytes;
    case 2:
      return insert(new Uint8Array(0), length);
    case 3:
      return insert(bytes.subarray(at, at + length), 0);
    case 4:
      return insert(
        Uint8Array.from({ length: Math.min(length, 64) }, () => random(256)),
        random(2) * length,
      );
    case 5:
      return insert(
        numberOf(INTERESTING_ALL[random(INTERESTING_ALL.length)] as number, random),
        random(3) === 0 ? 0 : 1 << random(4),
      );
    case 6: {
      const other = corpus[random(corpus.length)] ?? bytes;
      const begin = random(other.length + 1);
      return insert(other.subarray(begin, begin + 1 + random(Math.min(other.length + 1, 512))), random(2) * length);
    }
    case 7: {
      const token = tokens[random(tokens.length)];
      return token === undefined ? bytes : insert(Buffer.from(token), random(2) * length);
    }
    default:
      // Repeated bytes, which create depth and length.
      return insert(
        Buffer.concat(Array.from({ length: 1 + random(200) }, () => bytes.subarray(at, at + Math.min(length, 8)))),
        0,
      );
  }
}

/** A number as text, or in 1, 2, 4 or 8 bytes of either order. */
function numberOf(value: number, random: Random): Uint8Array {
  if (random(4) === 0) return Buffer.from(String(random(2) === 0 ? value : -value));
  const bytes = Buffer.alloc(8);
  const sizeBytes = 1 << random(4);
  if (random(2) === 0) {
    bytes.writeBigUInt64LE(BigInt(value));
    return bytes.subarray(0, sizeBytes);
  }
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes.subarray(8 - sizeBytes);
}

interface ScriptCoverage {
  readonly scriptId: string;
  readonly url: string;
  readonly functions: readonly {
    readonly ranges: readonly { readonly startOffset: number; readonly endOffset: number; readonly count: number }[];
  }[];
}

/**
 * Starts with this module and never stops: V8 then runs no optimized code, so this process must have no other tests. It
 * counts a function's blocks only if it compiled the function while counting, and it compiles a function at its first
 * call. So import this file before calling the parsers.
 */
const session = new Session();
if (IS_GUIDED) {
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
}

/** The parts of the product's sources that ran for one target, with counts in powers of two. */
class Coverage {
  takes = 0;
  readonly #seen = new Set<string>();

  constructor() {
    this.take(false);
  }

  get size(): number {
    return this.#seen.size;
  }

  /**
   * Returns true if something new ran since the last call. Remembers it only with `keep`. Without coverage every input
   * counts as new.
   */
  take(keep: boolean): boolean {
    if (!IS_GUIDED) return true;
    let isNew = false;
    this.takes++;
    session.post("Profiler.takePreciseCoverage", (error, { result }) => {
      if (error !== null) throw error;
      for (const script of result as readonly ScriptCoverage[]) {
        if (!/\/(runtime|components)\//.test(script.url)) continue;
        for (const { ranges } of script.functions) {
          for (const { startOffset, endOffset, count } of ranges) {
            if (count === 0) continue;
            const feature = `${script.scriptId}:${startOffset}:${endOffset}:${keep ? 32 - Math.clz32(count) : 0}`;
            if (this.#seen.has(feature)) continue;
            isNew = true;
            if (keep) this.#seen.add(feature).add(`${script.scriptId}:${startOffset}:${endOffset}:0`);
          }
        }
      }
    });
    return isNew;
  }
}

class LargestAllocation {
  sizeBytes = 0;
  readonly #alloc = Buffer.alloc;
  readonly #unsafe = Buffer.allocUnsafe;
  readonly #slow = Buffer.allocUnsafeSlow;

  constructor() {
    const noted = <T extends (sizeBytes: number) => unknown>(make: T): T =>
      ((sizeBytes: number, ...more: []) => {
        this.sizeBytes = Math.max(this.sizeBytes, sizeBytes);
        return make.call(Buffer, sizeBytes, ...more);
      }) as T;
    Buffer.alloc = noted(this.#alloc);
    Buffer.allocUnsafe = noted(this.#unsafe);
    Buffer.allocUnsafeSlow = noted(this.#slow);
  }

  end(): void {
    Buffer.alloc = this.#alloc;
    Buffer.allocUnsafe = this.#unsafe;
    Buffer.allocUnsafeSlow = this.#slow;
  }
}

const WATCHED_SIZE_BYTES = 256 * 1024;

/** Ends the process and names the input when one input never finishes. Nothing in the same thread could do that. */
class Watchdog {
  readonly #memory = new SharedArrayBuffer(16 + WATCHED_SIZE_BYTES);
  readonly #counters = new Int32Array(this.#memory, 0, 4);
  readonly #input = new Uint8Array(this.#memory, 16);
  readonly #worker: Worker;

  constructor(name: string) {
    this.#worker = new Worker(WATCH, { eval: true, workerData: { memory: this.#memory, name, hangMs: HANG_MS } });
    this.#worker.unref();
  }

  begin(input: Uint8Array): void {
    const sizeBytes = Math.min(input.length, WATCHED_SIZE_BYTES);
    this.#input.set(input.subarray(0, sizeBytes));
    this.#counters[1] = sizeBytes;
    this.#counters[0] = (this.#counters[0] as number) + 1;
  }

  end(): void {
    this.#counters[2] = 1;
    Atomics.notify(this.#counters, 2);
  }
}

const WATCH = `
const { workerData: { memory, name, hangMs } } = require("node:worker_threads");
const counters = new Int32Array(memory, 0, 4);
for (let last = -1; Atomics.wait(counters, 2, 0, hangMs) === "timed-out"; ) {
  if (counters[0] !== last) { last = counters[0]; continue; }
  const input = Buffer.from(new Uint8Array(memory, 16, counters[1])).toString("base64");
  require("node:fs").writeSync(2, "fuzzing " + name + ": no end after " + hangMs + " ms with the input (base64) " + input + "\\n");
  process.kill(process.pid, "SIGKILL");
}
`;
