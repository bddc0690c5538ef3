/** Logs of labs: kept after a run, whether it went well or not, until the next one of the same name. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { projectFolder } from "../../../tools/parts/cache";

/** An empty folder for the logs of the lab `name`. */
export function makeLogFolder(name: string): string {
  const folder = join(projectFolder(), "node_modules", ".cache", "pgbackstop", "kubernetes", name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}
