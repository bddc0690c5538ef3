import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { type Clock, systemClock } from "../../../../runtime/base/clock";
import type { ProgramEnd } from "../../../../runtime/local/program";
import { closeBackup, removeFolder } from "../../../../runtime/operations/open/closeBackup";
import { findProcess, openLocation, type OpenState, saveState } from "../../../../runtime/operations/open/openLocation";
import { endServing, lockOpening, OPENING_LOCK } from "../../../../runtime/operations/open/openLocks";
import { listOpened, saveOpened } from "../../../../runtime/operations/open/openedRecords";
import { isRoot } from "../../../../tools/parts/users";
import { testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";

const SELF = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const REQUEST = {
  isRoot: true,
  account: SELF,
  keeps: false,
  move: null,
  stanza: "main",
  spoolPath: "/nonexistent/spool",
} as const;

test("the lock is the last thing that a close removes: an open that begins then finds nothing, and keeps the folder", async () => {
  const location = openLocation(join(temporaryFolder(), "past"));
  const lock = join(location.folder, OPENING_LOCK);
  mkdirSync(location.folder);
  writeFileSync(lock, "");
  for (let number = 0; number < 300; number++) writeFileSync(join(location.folder, `page${number}`), "");
  let left: readonly string[] | null = null;
  const watch = setInterval(() => {
    if (left !== null || existsSync(lock)) return;
    try {
      const names = readdirSync(location.folder);
      writeFileSync(lock, "of another open");
      left = names;
    } catch {
      // The folder went before this open began.
    }
  }, 0);
  await removeFolder(location, SELF);
  clearInterval(watch);
  expect(left ?? []).toEqual([]);
  expect(existsSync(lock)).toBe(left !== null);
  if (left !== null) await removeFolder(location, SELF);
  expect(existsSync(location.folder)).toBe(false);
});

test("processes for which the directory is mounted are not ended from another mount namespace", async (context) => {
  if (!isRoot()) return context.skip();
  const location = openLocation(join(temporaryFolder(), "past"));
  mkdirSync(location.at);
  const script = 'mount -t tmpfs pgbackstop "$1" && echo mounted && exec sleep 60';
  const child = spawn("unshare", ["--mount", "sh", "-c", script, "sh", location.at], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await new Promise((resolve, reject) => {
    child.stdout.once("data", resolve);
    child.once("error", reject);
  });
  const server = findProcess(child.pid ?? 0);
  await saveState(location, { phase: "used", version: 1, server } as OpenState);
  const request = { ...REQUEST, at: location.at };
  const self = { pid: process.pid, execId: "1-00000000" };
  const program = (): never => {
    throw new Error("nothing is done");
  };
  await expect(closeBackup({ ...request, self }, { program }, testContext())).rejects.toThrow(
    `is mounted for process ${child.pid}, and not for this one`,
  );
  expect([findProcess(child.pid ?? 0), existsSync(location.folder)]).toEqual([server, true]);
});

test("a directory that is a mount of its own is closed like any other", async (context) => {
  if (!isRoot()) return context.skip();
  const location = openLocation(join(temporaryFolder(), "past"));
  mkdirSync(location.at);
  await saveState(location, { phase: "used", version: 1 } as OpenState);
  const request = { ...REQUEST, at: location.at };
  const self = { pid: process.pid, execId: "1-00000000" };
  const program = (): never => {
    throw new Error("nothing is unmounted");
  };
  execFileSync("mount", ["-t", "tmpfs", "dataset", location.at]);
  try {
    expect(await closeBackup({ ...request, self }, { program }, testContext())).toContain("is closed");
  } finally {
    execFileSync("umount", [location.at]);
  }
  expect(existsSync(location.folder)).toBe(false);
});

test("the number of a postmaster from before a restart of the machine is removed where nothing is mounted", async () => {
  const location = openLocation(join(temporaryFolder(), "past"));
  const path = join(location.upper, "postmaster.pid");
  mkdirSync(location.upper, { recursive: true });
  await saveState(location, { phase: "used", version: 1, stanza: "main" } as OpenState);
  writeFileSync(path, `${process.pid}\n`);
  const request = { ...REQUEST, at: location.at, keeps: true, self: { pid: process.pid, execId: "1-00000000" } };
  const program = async (): Promise<ProgramEnd> => ({ exitCode: 0, stdout: "", stderr: "" });
  expect(await closeBackup(request, { program }, testContext())).toContain("its pages stay");
  expect([existsSync(location.upper), existsSync(path)]).toEqual([true, false]);
});

test("files that are gone are forgotten by a close, so that their backup may expire", async () => {
  const folder = temporaryFolder();
  const location = openLocation(join(folder, "past"));
  const request = {
    ...REQUEST,
    at: location.at,
    spoolPath: join(folder, "spool"),
    self: { pid: process.pid, execId: "1-00000000" },
  };
  const backup = { label: "20261120-020000F", repo: "repo1" };
  await saveOpened(request.spoolPath, location.at, { stanza: "main", account: SELF, backup } as OpenState);
  const close = (): Promise<string> =>
    closeBackup(request, { program: () => Promise.reject(new Error("nothing is done")) }, testContext());
  expect(await close()).toContain("from now on its backup may expire");
  expect(await listOpened(request.spoolPath, "main", "")).toEqual([]);
  await expect(close()).rejects.toThrow("nothing is open");
});

test("root takes the lock with the account's rights: a link that the account has put there makes no file of root's", async (context) => {
  if (!isRoot()) return context.skip();
  const account = { uid: 65_534, gid: 65_534 };
  const folder = temporaryFolder();
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, "closed"), { mode: 0o700 });
  const self = { pid: process.pid, execId: "1-00000000" };
  const location = openLocation(join(folder, "past"));
  mkdirSync(location.folder, { mode: 0o700 });
  chownSync(location.folder, account.uid, account.gid);
  const path = join(location.folder, OPENING_LOCK);
  symlinkSync(join(folder, "closed/made"), path);
  await expect(lockOpening(location, account, self, testContext())).rejects.toThrow();
  expect(existsSync(join(folder, "closed/made"))).toBe(false);
  rmSync(path);
  const lock = await lockOpening(location, account, self, testContext());
  expect(statSync(path).uid).toBe(account.uid);
  lock.release();
});

test("a number that an old lock names is not killed where flock cannot tell whether the lock is held", async () => {
  const location = openLocation(join(temporaryFolder(), "past"));
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  onTestFinished(() => void child.kill("SIGKILL"));
  mkdirSync(location.folder);
  const path = join(location.folder, "opened-serving.lock");
  writeFileSync(path, JSON.stringify({ pid: child.pid, execId: "1-00000000" }));
  utimesSync(path, 1, 1);
  let sleptMs = 0;
  const clock: Clock = {
    nowMs: () => systemClock.nowMs() + sleptMs,
    monotonicMs: () => systemClock.monotonicMs() + sleptMs,
    sleep: async (durationMs) => {
      sleptMs += durationMs;
    },
  };
  vi.stubEnv("PATH", "");
  onTestFinished(() => void vi.unstubAllEnvs());
  await expect(endServing(location, SELF, 0, testContext({ clock }))).rejects.toThrow("cannot be ended");
  expect(findProcess(child.pid ?? 0)).not.toBeNull();
});
