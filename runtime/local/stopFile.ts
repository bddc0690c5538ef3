/**
 * Stop files: `<lock-path>/<stanza>.stop` and `<lock-path>/all.stop` forbid every writing command until `start` removes
 * them (pgBackRest 2.60 "command/stop", "command/start", "common/lock").
 *
 * A stop file counts only if a trusted account created it. One in another account's directory would stop archiving
 * forever.
 */
import { closeSync, constants, unlinkSync } from "./nodeFiles";
import { join } from "node:path";
import { fail, isError } from "../base/errors";
import { isMissing, systemCodeOf, systemError } from "./systemError";
import { makeDirectoryFor, TrustedDirectory } from "./trust";

/**
 * Call before a command writes anything.
 * @param owners accounts besides root and this one that may own the lock path
 * @throws stop when the stop file of the stanza, or of all stanzas, exists.
 */
export function checkStopFile(lockPath: string, stanza: string | undefined, owners: readonly number[] = []): void {
  if (stanza !== undefined && hasStopFile(lockPath, stanza, owners)) {
    const own = stopFileOf(lockPath, stanza);
    throw fail("stop", `stop file exists for stanza ${stanza}`, {
      path: own,
      hint: `Run pgbackstop start --stanza=${stanza}, or remove '${own}'.`,
    });
  }
  if (!hasStopFile(lockPath, undefined, owners)) return;
  const all = stopFileOf(lockPath, undefined);
  throw fail("stop", "stop file exists for all stanzas", {
    path: all,
    hint: `Run pgbackstop start without a stanza, or remove '${all}'.`,
  });
}

/** True when this stop file exists and counts; without a stanza, the one of all stanzas. */
export function hasStopFile(lockPath: string, stanza: string | undefined, owners: readonly number[] = []): boolean {
  const path = stopFileOf(lockPath, stanza);
  try {
    return within(lockPath, owners, (directory) => {
      const info = directory.find(nameOf(stanza));
      return info !== null && directory.believes(info);
    });
  } catch (error) {
    if (isError(error, "fileOwner", "fileMode") || isMissing((error as Error).cause)) return false;
    throw isError(error) ? error : systemError("fileInfo", `get info for path/file '${path}'`, path, error);
  }
}

/** Creates the stop file, and a missing lock path. False when it already existed. */
export function writeStopFile(lockPath: string, stanza: string | undefined, owners: readonly number[] = []): boolean {
  const path = stopFileOf(lockPath, stanza);
  const { O_CREAT, O_EXCL, O_WRONLY } = constants;
  try {
    makeDirectoryFor(owners, lockPath, 0o770);
    within(lockPath, owners, (directory) =>
      closeSync(directory.openFile(nameOf(stanza), O_WRONLY | O_CREAT | O_EXCL, 0o640)),
    );
    return true;
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") return false;
    throw isError(error) ? error : systemError("fileOpen", `write '${path}'`, path, error);
  }
}

/** False if it was absent. */
export function removeStopFile(lockPath: string, stanza: string | undefined, owners: readonly number[] = []): boolean {
  const path = stopFileOf(lockPath, stanza);
  try {
    within(lockPath, owners, (directory) => unlinkSync(directory.entry(nameOf(stanza))));
    return true;
  } catch (error) {
    if (isMissing(error) || (isError(error) && isMissing(error.cause))) return false;
    throw isError(error) ? error : systemError("fileRemove", `remove '${path}'`, path, error);
  }
}

function within<T>(lockPath: string, owners: readonly number[], work: (directory: TrustedDirectory) => T): T {
  const directory = TrustedDirectory.open("lock path", lockPath, owners);
  try {
    return work(directory);
  } finally {
    directory.close();
  }
}

function stopFileOf(lockPath: string, stanza: string | undefined): string {
  return join(lockPath, nameOf(stanza));
}

function nameOf(stanza: string | undefined): string {
  return `${stanza ?? "all"}.stop`;
}
