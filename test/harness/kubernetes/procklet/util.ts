/** Helpers of procklet. */
import { execFileSync } from "node:child_process";

export function log(...values: readonly unknown[]): void {
  process.stdout.write(`${new Date().toISOString().slice(11, 23)} ${values.map(String).join(" ")}\n`);
}

export function logError(error: unknown): void {
  log(error instanceof Error ? error.message : error);
}

export function sleep(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}

/** The time in Kubernetes' format. */
export function now(): string {
  return new Date().toISOString().replace(/\.\d+Z/, "Z");
}

/** Quotes a text as one argument for a shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Runs a short program and waits for it. @throws Error with its exit code */
export function runNow(command: string, ...args: readonly string[]): void {
  execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"] });
}
