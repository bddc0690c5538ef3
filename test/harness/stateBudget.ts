/**
 * What the parts of a stack may add to its state, in bytes of JSON as the engine stores it: every step of every update
 * writes all of it. Two tests measure the parts: hosts and clusters need different machines.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const STATE_BUDGET = {
  /** With two repositories, which the stack has once. */
  cluster: 58_000,
  /** The same, with one timer. */
  host: 17_800,
  /** A stack of a host with two repositories and a passphrase of its own, and the key that a service has encrypted. */
  hostStack: 25_000,
  /** A plugin whose image contains the runtime. */
  plugin: 65_000,
  /** A stack of a plugin that fetches the runtime, and a cluster with two repositories. */
  pluginAndCluster: 150_000,
  /** Fifty clusters, fifty hosts and the plugin. */
  whole: 3_900_000,
} as const;

/** Bytes of a stack's state, or of its resources that `isCounted` accepts. The backend of a folder indents it. */
export function stateBytes(folder: string, stack: string, isCounted?: (urn: string) => boolean): number {
  const path = join(folder, "state", ".pulumi", "stacks", "pgbackstop-local", `${stack}.json`);
  const state = JSON.parse(readFileSync(path, "utf8")) as {
    readonly checkpoint: { readonly latest: { readonly resources: readonly { readonly urn: string }[] } };
  };
  if (isCounted === undefined) return JSON.stringify(state).length;
  return JSON.stringify(state.checkpoint.latest.resources.filter(({ urn }) => isCounted(urn))).length;
}

export function kilobytes(bytes: number): string {
  return `${Math.round(bytes / 1000)} kB`;
}
