/** The package as users install it: `npm pack` of the built project. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build";
import { cloneCacheFolder, projectFolder, withLock } from "../cache";
import { writePackageSchema } from "./packageSchema";
import { writeFileSchemas } from "./renderSchema";
import { writeTopologySchemas } from "./topologySchema";
import { runOk } from "../process";
import type { Progress } from "../progress";

/**
 * Builds what is out of date and packs it into `folder`; returns the tarball's path.
 * @throws Error with the failing step's output
 */
export async function packTarball(progress: Progress, folder: string): Promise<string> {
  await build(progress);
  mkdirSync(folder, { recursive: true });
  // Another process must not pack a schema that is half written.
  const output = await withLock(join(cloneCacheFolder(), "pack.lock"), async () => {
    await progress.step("schema", async () => {
      writePackageSchema();
      writeTopologySchemas();
      writeFileSchemas();
    });
    return runOk("npm", ["pack", "--json", "--loglevel=error", "--pack-destination", folder], { cwd: projectFolder() });
  });
  // npm 11 prints a list, npm 12 an object by package name.
  const packed = JSON.parse(output) as { filename: string }[] | Record<string, { filename: string }>;
  const [pack] = Array.isArray(packed) ? packed : Object.values(packed);
  if (pack === undefined) throw new Error(`npm pack printed no file: ${output}`);
  return join(folder, pack.filename);
}
