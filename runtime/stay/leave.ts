/**
 * Decides whether a call leaves a process for further ones: the second of two calls within the time that such a process
 * would stay. A server that archives a segment each minute never gets one.
 */
import { randomBytes } from "node:crypto";
import { basename } from "node:path";
import { lstatSync, linkSync, mkdirSync, readdirSync, rmSync, unlinkSync, writeFileSync } from "../local/nodeFiles";
import { systemCodeOf } from "../local/systemError";
import { type Caller, directoryOf, isOwnDirectory, keyFileOf, socketOf } from "./place";

const KEY_BYTES = 32;
/** What is left of a killed process, or of a call that no other one followed. */
const LEFTOVER_MS = 60 * 60_000;

/** Starts nothing if a process listens already. An error of the system does not change the call's result. */
export function leaveStaying(caller: Caller, stayMs: number, nowMs: number, start: () => void): void {
  try {
    const directory = directoryOf(caller);
    if (directory === null || stayMs <= 0) return;
    makeDirectory(directory, caller.uid);
    const socket = socketOf(caller);
    if (socket === null || exists(socket)) return;
    const mark = `${socket}.called`;
    const agoMs = nowMs - (lstatSync(mark, { throwIfNoEntry: false })?.mtimeMs ?? Number.NEGATIVE_INFINITY);
    if (agoMs >= 0 && agoMs <= stayMs) {
      // Of two calls that end at the same time only one can remove it.
      unlinkSync(mark);
      start();
      return;
    }
    rmSync(mark, { force: true });
    writeFileSync(mark, "", { mode: 0o600 });
    removeLeftovers(directory, basename(keyFileOf(directory)), nowMs);
  } catch (error) {
    if (systemCodeOf(error) === undefined) throw error;
  }
}

/** @throws the system's errors */
function makeDirectory(directory: string, uid: number): void {
  if (!exists(directory)) mkdirSync(directory, { mode: 0o700 });
  const key = keyFileOf(directory);
  if (!isOwnDirectory(directory, uid) || exists(key)) return;
  // Complete before it has its name.
  const fresh = `${key}.${randomBytes(8).toString("hex")}`;
  writeFileSync(fresh, randomBytes(KEY_BYTES), { mode: 0o600, flag: "wx" });
  try {
    linkSync(fresh, key);
  } finally {
    rmSync(fresh, { force: true });
  }
}

function removeLeftovers(directory: string, key: string, nowMs: number): void {
  for (const name of readdirSync(directory)) {
    const path = `${directory}/${name}`;
    if (name !== key && nowMs - (lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? nowMs) > LEFTOVER_MS)
      rmSync(path, { force: true });
  }
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
