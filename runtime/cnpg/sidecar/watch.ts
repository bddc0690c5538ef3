/**
 * Ends a sidecar when its configuration has changed, so that it is started again with the new one: keys are rotated in Secrets, and Kubernetes puts
 * the new files in place. Never in the middle of a backup, which would begin again: it reads its files itself when it starts.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import type { Context } from "../../base/context";

const LOOK_MS = 10_000;

/** Resolves when what lies in the directories is another content than at the call, and `isBusy` says no; rejects when `signal` aborts. */
export async function untilChanged(directories: readonly string[], isBusy: () => boolean, ctx: Context, signal: AbortSignal): Promise<void> {
  const first = await contentOf(directories);
  for (let last = first; ; ) {
    await ctx.clock.sleep(LOOK_MS, signal);
    const now = await contentOf(directories);
    // Twice the same: not in the middle of being written.
    if (now !== first && now === last && !isBusy()) return;
    last = now;
  }
}

async function contentOf(directories: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const directory of directories) {
    const names: readonly string[] = await readdir(directory, { recursive: true }).catch(() => []);
    for (const name of names.toSorted((left, right) => (left < right ? -1 : 1))) {
      // A directory, or gone again: what matters is what can be read.
      const bytes = await readFile(`${directory}/${name}`).catch(() => null);
      if (bytes !== null) hash.update(`${name}\0${bytes.length}\0`).update(bytes);
    }
  }
  return hash.digest("hex");
}
