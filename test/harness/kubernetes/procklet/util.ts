/** Small functions of procklet. */
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

/** As Kubernetes writes times. */
export function now(): string {
  return new Date().toISOString().replace(/\.\d+Z/, "Z");
}

/** One word for a shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Runs a program that ends at once. @throws Error with its exit code */
export function runNow(command: string, ...args: readonly string[]): void {
  execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"] });
}
