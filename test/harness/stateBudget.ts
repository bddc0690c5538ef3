/**
 * What the parts of a stack may add to its state, in bytes of JSON as the engine stores it: every step of every update
 * writes all of it. Two tests measure the parts: hosts and clusters need different machines.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const STATE_BUDGET = {
  /** With two repositories. Fifty of these and of hosts, and the plugin, are 4 MB as measured. The aim is 3 MB. */
  cluster: 65_000,
  /** With two repositories and a passphrase. */
  host: 21_000,
  /** A plugin whose image contains the runtime. */
  plugin: 65_000,
} as const;

/** Bytes of a stack's state. The backend of a folder indents it, others do not. */
export function stateBytes(folder: string, stack: string): number {
  const path = join(folder, "state", ".pulumi", "stacks", "pgbackstop-local", `${stack}.json`);
  return JSON.stringify(JSON.parse(readFileSync(path, "utf8"))).length;
}

export function kilobytes(bytes: number): string {
  return `${Math.round(bytes / 1000)} kB`;
}
