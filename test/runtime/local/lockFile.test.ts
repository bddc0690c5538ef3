import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isError } from "../../../runtime/base/errors";
import { acquireLock, findLockHolder, inheritLock, type LockFile, lockFileName } from "../../../runtime/local/lockFile";

let folder: string;
let lockPath: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lock-"));
  lockPath = join(folder, "lock");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const request = (more: object = {}) => ({
  lockPath,
  stanza: "demo",
  kind: "backup" as const,
  repoIndex: 1,
  execId: "4711-0a1b2c3d",
  pid: 4711,
  ...more,
});

/** Whether flock(1) in another process gets the lock. */
const otherProcessGetsIt = (path: string): boolean => spawnSync("flock", ["-n", "-x", path, "true"]).status === 0;

const thrownBy = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
};

/** Starts a process that takes the lock with the code under test, reports it, and keeps running. */
async function startHolder(): Promise<{ child: ChildProcess; path: string }> {
  const script = join(folder, "holder.cjs");
  buildSync({
    entryPoints: [join(__dirname, "../../../runtime/local/lockFile.ts")],
    bundle: true,
    platform: "node",
    format: "cjs",
    outfile: join(folder, "lib.cjs"),
  });
  const call = JSON.stringify(request());
  writeFileSync(
    script,
    `const { acquireLock } = require("./lib.cjs"); const lock = acquireLock({ ...${call}, pid: process.pid }); console.log(lock.path); setInterval(() => undefined, 1000);`,
  );
  const child = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
  const path = await new Promise<string>((resolve, reject) => {
    child.stdout?.once("data", (data: Buffer) => resolve(data.toString().trim()));
    child.once("exit", () => reject(new Error("the holder ended without the lock")));
  });
  return { child, path };
}

describe("names", () => {
  test("include the repository since 2.53 and not before", () => {
    expect(lockFileName("demo", "backup", 2)).toBe("demo-backup-2.lock");
    expect(lockFileName("demo", "archive")).toBe("demo-archive.lock");
    expect(lockFileName("demo", "restore", 1)).toBe("demo-restore-1.lock");
  });
});

describe("acquireLock", () => {
  let lock: LockFile | undefined;
  afterEach(() => lock?.release());

  test("creates path and file with stock's modes and content", () => {
    lock = acquireLock(request());
    expect(lock.path).toBe(join(lockPath, "demo-backup-1.lock"));
    expect(readFileSync(lock.path, "utf8")).toBe('{"execId":"4711-0a1b2c3d","pid":4711}');
    expect(statSync(lock.path).mode & 0o777).toBe(0o640);
    expect(statSync(lockPath).mode & 0o777).toBe(0o750);
    expect(findLockHolder(lock.path)).toEqual({ pid: 4711, execId: "4711-0a1b2c3d" });
  });

  test("writes progress as stock does, per cent times 100 rounded down", () => {
    lock = acquireLock(request());
    lock.setProgress({ sizeBytes: 100_795_221, sizeCompleteBytes: 90_912_234 });
    expect(readFileSync(lock.path, "utf8")).toBe(
      '{"execId":"4711-0a1b2c3d","pctCplt":9019,"pid":4711,"sz":100795221,"szCplt":90912234}',
    );
    lock.setProgress({ sizeBytes: 0, sizeCompleteBytes: 0 });
    expect(readFileSync(lock.path, "utf8")).toBe(
      '{"execId":"4711-0a1b2c3d","pctCplt":10000,"pid":4711,"sz":0,"szCplt":0}',
    );
  });

  test("keeps other processes out until it is released, and removes the file", () => {
    lock = acquireLock(request());
    expect(otherProcessGetsIt(lock.path)).toBe(false);
    lock.release();
    expect(existsSync(lock.path)).toBe(false);
    lock.release();
    lock = acquireLock(request());
    expect(otherProcessGetsIt(lock.path)).toBe(false);
  });

  test("refuses a lock that is held, with stock's message and the holder's pid", () => {
    lock = acquireLock(request());
    const error = thrownBy(() => acquireLock(request({ pid: 4712 })));
    expect(isError(error, "lockAcquire")).toBe(true);
    expect(error).toMatchObject({
      exitCode: 50,
      message: `unable to acquire lock on file '${lock.path}': Resource temporarily unavailable`,
      hints: ["is another pgBackRest process running?", "The file names process 4711 as the holder."],
    });
    expect(readFileSync(lock.path, "utf8")).toBe('{"execId":"4711-0a1b2c3d","pid":4711}');
  });

  test("takes over a dead process' file with any content", () => {
    const path = join(lockPath, "demo-backup-1.lock");
    acquireLock(request()).release();
    writeFileSync(path, `{"execId":"1-00000000","pctCplt":9019,"pid":1,"sz":100795221,"szCplt":90912234}`);
    lock = acquireLock(request());
    expect(readFileSync(path, "utf8")).toBe('{"execId":"4711-0a1b2c3d","pid":4711}');
  });

  test("locks of other repositories, kinds and stanzas do not conflict", () => {
    lock = acquireLock(request());
    for (const more of [{ repoIndex: 2 }, { kind: "archive" as const }, { stanza: "other" }])
      acquireLock(request(more)).release();
  });

  test("leaves the file alone when another process has replaced it", () => {
    const first = acquireLock(request());
    rmSync(first.path);
    lock = acquireLock(request({ pid: 4712 }));
    first.release();
    expect(findLockHolder(lock.path)?.pid).toBe(4712);
  });

  test("does not take a file for the lock that its last holder has just removed", () => {
    const path = join(lockPath, "demo-backup-1.lock");
    const real = process.env["PATH"] ?? "";
    // Simulates a holder that releases the lock after we open the file and before we lock it.
    const script = `#!/bin/sh\nPATH='${real}'\nif [ ! -e '${folder}/once' ]; then touch '${folder}/once'; rm '${path}'; fi\nexec flock "$@"\n`;
    writeFileSync(join(folder, "flock"), script, { mode: 0o755 });
    process.env["PATH"] = folder;
    try {
      lock = acquireLock(request());
    } finally {
      process.env["PATH"] = real;
    }
    expect(existsSync(join(folder, "once"))).toBe(true);
    expect(findLockHolder(path)?.pid).toBe(4711);
    expect(otherProcessGetsIt(path)).toBe(false);
  });

  test("reports that flock is missing", () => {
    const path = process.env["PATH"];
    process.env["PATH"] = folder;
    try {
      expect(thrownBy(() => acquireLock(request()))).toMatchObject({
        kind: "lockAcquire",
        message: `unable to acquire lock on file '${join(lockPath, "demo-backup-1.lock")}': the program 'flock' is not on PATH`,
        hints: ["Install util-linux or busybox, which bring flock."],
      });
    } finally {
      process.env["PATH"] = path;
    }
  });

  test("is held by a second process as long as it lives, and free as soon as it is killed", async () => {
    const { child, path } = await startHolder();
    try {
      expect(otherProcessGetsIt(path)).toBe(false);
      expect(thrownBy(() => acquireLock(request()))).toMatchObject({
        kind: "lockAcquire",
        hints: ["is another pgBackRest process running?", `The file names process ${child.pid} as the holder.`],
      });
    } finally {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
    }
    expect(existsSync(path)).toBe(true);
    lock = acquireLock(request());
    expect(findLockHolder(path)?.pid).toBe(4711);
  });

  test("a program that got the descriptor holds it after its taker, until it ends", async () => {
    lock = acquireLock(request());
    const { path } = lock;
    const child = spawn("sleep", ["600"], { stdio: ["ignore", "ignore", "ignore", lock.fd] });
    const ended = new Promise((resolve) => child.once("exit", resolve));
    lock.handOver();
    expect([existsSync(path), otherProcessGetsIt(path)]).toEqual([true, false]);
    child.kill("SIGKILL");
    await ended;
    expect(otherProcessGetsIt(path)).toBe(true);
  });

  test("a process inherits it under its own name, and only by the descriptor of that file", () => {
    lock = acquireLock(request());
    const inherited = inheritLock(request({ pid: 4712 }), openSync(`/proc/self/fd/${lock.fd}`, "r+"));
    expect(findLockHolder(lock.path)?.pid).toBe(4712);
    inherited.handOver();
    const other = openSync(join(folder, "other"), "w");
    expect(thrownBy(() => inheritLock(request(), other))).toMatchObject({ kind: "lockAcquire" });
    closeSync(other);
  });
});
