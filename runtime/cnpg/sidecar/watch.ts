/**
 * Ends a sidecar when its configuration has changed, so that it restarts with the new one: keys in Secrets are rotated,
 * and Kubernetes replaces the files. It waits for a running backup, which would start over; a backup reads the files
 * itself.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import type { Context } from "../../base/context";

const LOOK_MS = 10_000;

/**
 * Resolves when the directories' content has changed since the call and `isBusy` is false; rejects when `signal`
 * aborts.
 */
export async function untilChanged(
  directories: readonly string[],
  isBusy: () => boolean,
  ctx: Context,
  signal: AbortSignal,
): Promise<void> {
  const first = await contentOf(directories);
  for (let last = first; ; ) {
    await ctx.clock.sleep(LOOK_MS, signal);
    const now = await contentOf(directories);
    // Equal twice: no writer is active.
    if (now !== first && now === last && !isBusy()) return;
    last = now;
  }
}

async function contentOf(directories: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const directory of directories) {
    const names: readonly string[] = await readdir(directory, { recursive: true }).catch(() => []);
    for (const name of names.toSorted((left, right) => (left < right ? -1 : 1))) {
      // A directory or a removed file: only readable files count.
      const bytes = await readFile(`${directory}/${name}`).catch(() => null);
      if (bytes !== null) hash.update(`${name}\0${bytes.length}\0`).update(bytes);
    }
  }
  return hash.digest("hex");
}
