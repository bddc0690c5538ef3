/**
 * Measures a program: wall time, processor time and memory of it and all processes that it starts.
 *
 * Processor time is the shell's `times` of its children (waited-for descendants included). Memory is the largest sum of
 * proportional set sizes over the process tree (shared pages count once), sampled from /proc; 0 without /proc.
 */
import { readdirSync, readFileSync } from "node:fs";
import { spawn } from "node:child_process";
import type { OsUser } from "../parts/users";

export interface Cost {
  readonly wallS: number;
  /** User and system time. */
  readonly cpuS: number;
  readonly peakMemoryBytes: number;
}

export interface MeasureOptions {
  readonly user: OsUser;
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Interval of memory samples; 0 takes none. */
  readonly sampleMs: number;
}

const KIB = 1024;
/** Interval of {@link peakWhile}'s looks. */
const SAMPLE_MS = 50;
/** The unit of processor time in `/proc`. */
export const TICKS_PER_S = 100;

/** @throws Error with the program's output if it fails */
export function measure(command: string, args: readonly string[], options: MeasureOptions): Promise<Cost> {
  const { user, cwd, sampleMs } = options;
  return new Promise((resolve, reject) => {
    const beganMs = performance.now();
    const child = spawn("/bin/sh", ["-c", '"$@" >&2; code=$?; times; exit $code', "sh", command, ...args], {
      cwd,
      env: { ...process.env, ...options.env, HOME: cwd, USER: user.name },
      stdio: ["ignore", "pipe", "pipe"],
      ...(process.getuid?.() === 0 ? { uid: user.uid, gid: user.gid } : {}),
    });
    let times = "";
    let output = "";
    let peakMemoryBytes = 0;
    child.stdout.setEncoding("utf8").on("data", (text: string) => void (times += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => void (output = `${output}${text}`.slice(-4000)));
    const look = (): void => void (peakMemoryBytes = Math.max(peakMemoryBytes, memoryOf(child.pid ?? 0)));
    const timer = sampleMs > 0 ? setInterval(look, sampleMs) : undefined;
    const kill = (): void => void child.kill("SIGKILL");
    process.once("exit", kill);
    child.on("error", reject);
    child.on("close", (code) => {
      clearInterval(timer);
      process.off("exit", kill);
      const wallS = (performance.now() - beganMs) / 1000;
      if (code === 0) resolve({ wallS, cpuS: childSeconds(times), peakMemoryBytes });
      else reject(new Error(`${[command, ...args].join(" ")} ended with exit code ${code}\n${output.trim()}`));
    });
  });
}

/** User and system time of a running process; 0 if it has ended. */
export function processSeconds(pid: number): number {
  const stat = readProc(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_S;
}

/** The sum of sequential runs; for memory the largest. */
export function sumCosts(costs: readonly Cost[]): Cost {
  const sum = (of: (cost: Cost) => number): number => costs.reduce((total, cost) => total + of(cost), 0);
  return {
    wallS: sum((cost) => cost.wallS),
    cpuS: sum((cost) => cost.cpuS),
    peakMemoryBytes: Math.max(...costs.map((cost) => cost.peakMemoryBytes)),
  };
}

/** The middle value, or the mean of the two middle values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length / 2;
  return Number.isInteger(middle)
    ? ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
    : (sorted[Math.floor(middle)] ?? 0);
}

/** The second line of `times`: user and system time of the children, `0m1.230000s 0m0.450000s`. */
function childSeconds(times: string): number {
  const line = times.trim().split("\n").at(-1) ?? "";
  const seconds = [...line.matchAll(/(\d+)m([\d.]+)s/g)].map((match) => Number(match[1]) * 60 + Number(match[2]));
  if (seconds.length !== 2) throw new Error(`unable to read the processor time from '${times}'`);
  return seconds.reduce((sum, each) => sum + each, 0);
}

/** Proportional memory of a process in bytes; 0 if it has ended. */
export function processMemory(pid: number): number {
  const match = /^Pss:\s+(\d+) kB/m.exec(readProc(`/proc/${pid}/smaps_rollup`));
  return Number(match?.[1] ?? 0) * KIB;
}

/** The most memory that is taken while something happens. */
export async function peakWhile<T>(memoryBytes: () => number, work: () => Promise<T>): Promise<readonly [T, number]> {
  let peakBytes = memoryBytes();
  const timer = setInterval(() => void (peakBytes = Math.max(peakBytes, memoryBytes())), SAMPLE_MS);
  try {
    return [await work(), peakBytes];
  } finally {
    clearInterval(timer);
  }
}

/** Proportional memory of all descendants of a process. */
function memoryOf(root: number): number {
  const childrenOf = new Map<number, number[]>();
  for (const name of listProc()) {
    const stat = readProc(`/proc/${name}/stat`);
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), Number(name)]);
  }
  let sizeBytes = 0;
  const visit = (pid: number): void => {
    sizeBytes += processMemory(pid);
    for (const child of childrenOf.get(pid) ?? []) visit(child);
  };
  for (const child of childrenOf.get(root) ?? []) visit(child);
  return sizeBytes;
}

function listProc(): string[] {
  try {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

/** Empty for a process that has ended. */
function readProc(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
