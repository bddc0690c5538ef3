/** Logs of labs and hosts: kept after a run, whether it went well or not, until the next one of the same name. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { projectFolder } from "../../../tools/parts/cache";

/** An empty folder for the logs of the lab or the hosts `name`. */
export function makeLogFolder(lab: "kubernetes" | "hosts", name: string): string {
  const folder = join(projectFolder(), "node_modules", ".cache", "pgbackstop", lab, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}
