/** What can be said only when a program has declared everything. */
import * as pulumi from "@pulumi/pulumi";

/**
 * Runs `work` when the program has ended, before the preview or update does. Never where its end cannot be known: for a program in another
 * language, and in tests that play the engine.
 */
export function afterProgram(work: () => void): void {
  const outputs: unknown = pulumi.runtime.getStackResource()?.outputs;
  // The SDK hides it from its declarations. `apply` would pass over a preview in which some output is not known yet.
  if (typeof outputs !== "object" || outputs === null || !("promise" in outputs) || typeof outputs.promise !== "function") return;
  const ended = outputs.promise() as Promise<unknown>;
  // What is said afterwards must still find the engine.
  const release = pulumi.runtime.rpcKeepAlive();
  void ended.then(work, () => {}).finally(release);
}
