/**
 * Stop files: `<lock-path>/<stanza>.stop` and `<lock-path>/all.stop` forbid every command that writes until `start` removes them
 * (pgBackRest 2.60 "command/stop", "common/lock").
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { fail } from "../base/errors";
import { systemError } from "./systemError";

/**
 * Call before a command writes anything.
 * @throws stop when the stop file of the stanza, or of all stanzas, exists.
 */
export function checkStopFile(lockPath: string, stanza: string | undefined): void {
  const all = join(lockPath, "all.stop");
  if (stanza !== undefined) {
    const own = join(lockPath, `${stanza}.stop`);
    if (exists(own))
      throw fail("stop", `stop file exists for stanza ${stanza}`, { path: own, hint: `Run start for this stanza, or remove '${own}'.` });
  }
  if (exists(all)) throw fail("stop", "stop file exists for all stanzas", { path: all, hint: `Run start without a stanza, or remove '${all}'.` });
}

function exists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    throw systemError("fileInfo", `get info for path/file '${path}'`, path, error);
  }
}
