/**
 * Stop files: `<lock-path>/<stanza>.stop` and `<lock-path>/all.stop` forbid every command that writes until `start` removes them
 * (pgBackRest 2.60 "command/stop", "command/start", "common/lock").
 */
import { closeSync, mkdirSync, openSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { fail } from "../base/errors";
import { isMissing, systemCodeOf, systemError } from "./systemError";

/**
 * Call before a command writes anything.
 * @throws stop when the stop file of the stanza, or of all stanzas, exists.
 */
export function checkStopFile(lockPath: string, stanza: string | undefined): void {
  if (stanza !== undefined && hasStopFile(lockPath, stanza)) {
    const own = stopFileOf(lockPath, stanza);
    throw fail("stop", `stop file exists for stanza ${stanza}`, { path: own, hint: `Run start for this stanza, or remove '${own}'.` });
  }
  const all = stopFileOf(lockPath, undefined);
  if (exists(all)) throw fail("stop", "stop file exists for all stanzas", { path: all, hint: `Run start without a stanza, or remove '${all}'.` });
}

/** True when this stop file exists; no stanza is that of all stanzas. */
export function hasStopFile(lockPath: string, stanza: string | undefined): boolean {
  return exists(stopFileOf(lockPath, stanza));
}

/** Makes the stop file, and the lock path when it is missing. False when it was there already. */
export function writeStopFile(lockPath: string, stanza: string | undefined): boolean {
  const path = stopFileOf(lockPath, stanza);
  try {
    mkdirSync(lockPath, { recursive: true, mode: 0o770 });
    closeSync(openSync(path, "wx", 0o640));
    return true;
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") return false;
    throw systemError("fileOpen", `write '${path}'`, path, error);
  }
}

/** False when there was none. */
export function removeStopFile(lockPath: string, stanza: string | undefined): boolean {
  const path = stopFileOf(lockPath, stanza);
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw systemError("fileRemove", `remove '${path}'`, path, error);
  }
}

function stopFileOf(lockPath: string, stanza: string | undefined): string {
  return join(lockPath, `${stanza ?? "all"}.stop`);
}

function exists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    throw systemError("fileInfo", `get info for path/file '${path}'`, path, error);
  }
}
