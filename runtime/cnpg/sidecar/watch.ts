/**
 * Detects a changed configuration of a sidecar: keys in Secrets are rotated, and Kubernetes replaces the files. A
 * running backup, which has read the files itself, is no reason to wait: until the change is read, no WAL is archived.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "../../local/nodeFiles";
import type { Context } from "../../base/context";

const LOOK_MS = 10_000;

/**
 * Calls `reload` for each change of the directories' content. Ends when `signal` aborts, and with the error of
 * `reload`.
 */
export async function followChanges(
  directories: readonly string[],
  reload: () => Promise<void>,
  ctx: Context,
  signal: AbortSignal,
): Promise<void> {
  let loaded = await contentOf(directories);
  for (let last = loaded; ; ) {
    await ctx.clock.sleep(LOOK_MS, signal);
    const now = await contentOf(directories);
    // Equal twice: no writer is active.
    if (now !== loaded && now === last) {
      await reload();
      loaded = now;
    }
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
