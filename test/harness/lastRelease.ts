/** The last release for the skew tests: docs/upgrading.md has the table of what must work. */
import { join } from "node:path";
import { ensureNode } from "../../tools/parts/nodeBinary";
import { type BuiltRelease, buildLastRelease, findLastRelease } from "../../tools/parts/build/lastRelease";
import { reachable } from "../../tools/parts/users";
import { skipped } from "./real/interopParts";
import type { RuntimeProgram } from "./real/runtimeCli";

/** Built; null, with a skipped test that names `title`, before the first release, or if this clone has no history. */
export async function lastReleaseOrSkip(title: string): Promise<BuiltRelease | null> {
  const result = await findLastRelease();
  return "missing" in result ? skipped(title, result.missing) : buildLastRelease(result.release);
}

/** Its runtime, and the client of its agent, where the server's account can run them. */
export async function runtimeOfRelease({
  folder,
}: BuiltRelease): Promise<RuntimeProgram & { readonly client: string }> {
  const dist = join(folder, "dist");
  return {
    node: reachable(await ensureNode()),
    file: reachable(join(dist, "runtime.cjs")),
    client: reachable(join(dist, "pgbackrest-client")),
  };
}
