/** The packages as users install them: `npm pack` of the built project. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, hashOf, INPUTS } from "./build";
import { cloneCacheFolder, projectFolder, withLock } from "../cache";
import { writePackageSchemas } from "./packageSchema";
import { writeFileSchemas } from "./renderSchema";
import { writeTopologySchemas } from "./topologySchema";
import { runOk } from "../process";
import type { Progress } from "../progress";

/**
 * Builds what is out of date and packs it into `folder`: the package, and the one that builds on it. Returns the paths
 * of the tarballs by the packages' names.
 * @throws Error with the failing step's output
 */
export async function packTarballs(
  progress: Progress,
  folder: string,
): Promise<{ readonly pgbackstop: string; readonly "pgbackstop-migration": string }> {
  await build(progress);
  mkdirSync(folder, { recursive: true });
  // Another process must not pack a schema that is half written.
  return withLock(join(cloneCacheFolder(), "pack.lock"), async () => {
    const sources = hashOf(projectFolder(), [...INPUTS, "tools/parts/build"]);
    const stampFile = join(cloneCacheFolder(), "schema.stamp");
    const isCurrent = existsSync(stampFile) && readFileSync(stampFile, "utf8") === sources;
    if (!isCurrent || !existsSync(join(projectFolder(), "dist", "schema.json")))
      await progress.step("schema", async () => {
        writePackageSchemas();
        writeTopologySchemas();
        writeFileSchemas();
        writeFileSync(stampFile, sources);
      });
    return {
      pgbackstop: await pack(projectFolder(), folder),
      "pgbackstop-migration": await pack(join(projectFolder(), "packages", "migration"), folder),
    };
  });
}

async function pack(source: string, folder: string): Promise<string> {
  const options = ["pack", "--json", "--loglevel=error", "--pack-destination", folder, "--workspaces=false"];
  const output = await runOk("npm", options, { cwd: source });
  // npm 11 prints a list, npm 12 an object by package name.
  const packed = JSON.parse(output) as { filename: string }[] | Record<string, { filename: string }>;
  const [made] = Array.isArray(packed) ? packed : Object.values(packed);
  if (made === undefined) throw new Error(`npm pack printed no file: ${output}`);
  return join(folder, made.filename);
}
