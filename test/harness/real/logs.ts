/** Logs of labs and hosts. They stay after a passed or failed run until the next run with the same name. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { projectFolder } from "../../../tools/parts/cache";

/** Makes an empty log folder for the lab or hosts `name`. */
export function makeLogFolder(lab: "kubernetes" | "hosts", name: string): string {
  const folder = join(projectFolder(), "node_modules", ".cache", "pgbackstop", lab, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}
