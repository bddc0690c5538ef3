import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../../runtime/base/clock";
import { acquireLock } from "../../../runtime/local/lockFile";
import { hasRunSince, isLocked, listHeldLocks, readLockState } from "../../../runtime/local/lockState";

let lockPath: string;
beforeEach(() => {
  lockPath = mkdtempSync(join(tmpdir(), "locks-"));
});
afterEach(() => rmSync(lockPath, { recursive: true, force: true }));

const SELF = { pid: process.pid, execId: `${process.pid}-00000000` };
const state = (alive: boolean): unknown =>
  readLockState({ lockPath, stanza: "main", kind: "backup", repoIndexes: [1, 2] }, () => alive);

test("shows the worker and its progress, as long as it holds the lock", () => {
  expect(state(true)).toEqual({ held: false, repos: [] });
  const request = { lockPath, stanza: "main", kind: "backup", pid: 7, execId: "7-0000000a" } as const;
  const stanzaLock = acquireLock(request);
  expect(state(true)).toEqual({ held: true, repos: [] });
  const lock = acquireLock({ ...request, repoIndex: 2 });
  lock.setProgress({ sizeBytes: 100, sizeCompleteBytes: 90 });
  const shown = { held: true, repos: [{ key: 2, sizeBytes: 100, sizeCompleteBytes: 90 }] };
  expect(state(true)).toEqual(shown);
  // Looking drops no lock and changes no file.
  expect(state(true)).toEqual(shown);
  expect(() => acquireLock(request)).toThrow("Resource temporarily unavailable");
  // A clock that stepped, or a holder in another container, changes nothing.
  utimesSync(join(lockPath, "main-backup.lock"), 1, 1);
  expect(state(false)).toEqual(shown);
  expect(isLocked({ lockPath, stanza: "main", kind: "backup", repoIndexes: [1, 2] }, SELF)).toBe(true);
  lock.release();
  stanzaLock.release();
  expect(state(true)).toEqual({ held: false, repos: [] });
});

test("a file without a held lock means nothing, although a process of its number lives", () => {
  const path = join(lockPath, "main-backup-2.lock");
  const content = `{"execId":"${process.pid}-0000000a","pctCplt":9019,"pid":${process.pid},"sz":100,"szCplt":90}`;
  writeFileSync(path, content);
  expect(state(true)).toEqual({ held: false, repos: [] });
  expect(readFileSync(path, "utf8")).toBe(content);
});

test("a process of a killed holder's number counts if it existed when the file was written", async () => {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  await once(child, "spawn");
  const pid = child.pid ?? 0;
  try {
    const nowMs = systemClock.nowMs();
    expect(hasRunSince(pid, nowMs, systemClock)).toBe(true);
    expect(hasRunSince(pid, nowMs - 60_000, systemClock)).toBe(false);
    // This process existed when the file was written, but not in 1970.
    expect(hasRunSince(process.pid, nowMs, systemClock)).toBe(true);
    expect(hasRunSince(process.pid, 1000, systemClock)).toBe(false);
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  expect(hasRunSince(pid, systemClock.nowMs(), systemClock)).toBe(false);
});

test("a file whose holder's number now belongs to another process blocks no process", () => {
  const location = { lockPath, stanza: "main", kind: "archive", repoIndexes: [1] } as const;
  const locked = (): boolean => isLocked(location, SELF);
  expect(locked()).toBe(false);
  // After a reboot another process may have the holder's number.
  const left = join(lockPath, "main-archive.lock");
  writeFileSync(left, `{"execId":"1-a","pid":${process.pid}}`);
  expect(locked()).toBe(false);
  expect(existsSync(left)).toBe(false);
  const lock = acquireLock({ lockPath, stanza: "main", kind: "archive", repoIndex: 1, pid: 42, execId: "42-00000000" });
  expect(locked()).toBe(true);
  lock.release();
  expect(locked()).toBe(false);
});

test("lists the locks that are held, and removes files without a held lock", () => {
  expect(listHeldLocks(join(lockPath, "none"), undefined, SELF)).toEqual([]);
  const request = { lockPath, kind: "backup", pid: 42, execId: "42-00000000" } as const;
  const held = [
    acquireLock({ ...request, stanza: "main", repoIndex: 1 }),
    acquireLock({ ...request, stanza: "my-other" }),
    // Both ask for the stop file only once.
    acquireLock({ ...request, kind: "dump", stanza: "my-other", repoIndex: 1 }),
    acquireLock({ ...request, kind: "heal", stanza: "my-other" }),
  ];
  // A killed process left this file. Another process now has its number and must not be ended.
  writeFileSync(join(lockPath, "main-restore-1.lock"), `{"execId":"1-a","pid":${process.pid}}`);
  writeFileSync(join(lockPath, "main.stop"), "");
  expect(listHeldLocks(lockPath, "main", SELF)).toEqual([{ path: join(lockPath, "main-backup-1.lock"), pid: 42 }]);
  expect(existsSync(join(lockPath, "main-restore-1.lock"))).toBe(false);
  expect(listHeldLocks(lockPath, undefined, SELF).map(({ path }) => path)).toEqual([
    join(lockPath, "main-backup-1.lock"),
    join(lockPath, "my-other-backup.lock"),
    join(lockPath, "my-other-dump-1.lock"),
    join(lockPath, "my-other-heal.lock"),
  ]);
  for (const lock of held) lock.release();
  expect(listHeldLocks(lockPath, undefined, SELF)).toEqual([]);
});
