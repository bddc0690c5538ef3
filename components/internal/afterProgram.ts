/** Reports that need the program's complete declaration. */
import * as pulumi from "@pulumi/pulumi";

/**
 * Runs `work` when the program has ended, before the preview or update does. Skips it if the end cannot be detected:
 * for a program in another language, and in tests that replace the engine.
 */
export function afterProgram(work: () => void): void {
  const outputs: unknown = pulumi.runtime.getStackResource()?.outputs;
  // The SDK's declarations hide it. `apply` would skip a preview with an unknown output.
  if (
    typeof outputs !== "object" ||
    outputs === null ||
    !("promise" in outputs) ||
    typeof outputs.promise !== "function"
  )
    return;
  const ended = outputs.promise() as Promise<unknown>;
  // Keeps the engine available for later reports.
  const release = pulumi.runtime.rpcKeepAlive();
  void ended.then(work, () => {}).finally(release);
}
