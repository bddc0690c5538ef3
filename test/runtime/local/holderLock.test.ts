// claim: docs/internals/concurrency.md: a restarted container on its volume sees that its former process has ended
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type HolderLock, openHolderLock } from "../../../runtime/local/holderLock";
import { lockDomain } from "../../../runtime/local/lockDomain";
import { bootId } from "../../../runtime/local/lockState";
import { waitFor } from "../../../tools/parts/process";
import { seededRandom } from "../../harness/context";

const uid = process.getuid?.() ?? 0;
let spool: string;
let seed: number;
let opened: HolderLock[];
let children: ChildProcess[];
beforeEach(() => {
  spool = mkdtempSync("/tmp/holders-");
  seed = 1;
  opened = [];
  children = [];
});
afterEach(() => {
  for (const lock of opened) lock.close();
  for (const child of children) child.kill("SIGKILL");
  rmSync(spool, { recursive: true, force: true });
});

function open(at = spool, owner = uid, boot = bootId): HolderLock | null {
  const lock = openHolderLock(at, owner, seededRandom(seed++), boot);
  if (lock !== null) opened.push(lock);
  return lock;
}

function own(): HolderLock {
  const lock = open();
  if (lock === null) throw new Error("this machine has no locks");
  return lock;
}

/** Another process with a lock, as its text names it. */
async function holder(): Promise<{ readonly text: string; readonly path: string; kill(): Promise<void> }> {
  const [device] = own().text.split("-");
  const name = String(seed++).padStart(32, "0");
  const path = join(spool, "pgbackstop.holders", name);
  writeFileSync(path, "", { mode: 0o600 });
  const child = spawn("flock", ["-x", "--no-fork", path, "sleep", "60"], { stdio: "ignore" });
  children.push(child);
  const text = `${device}-${name}-${statSync(path, { bigint: true }).ino}`;
  await waitFor("its lock", 5000, async () => (own().stateOf(text) === "alive" ? true : null), 5);
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  return { text, path, kill };
}

test("shows that a process lives, even a stopped one, and that it was killed", async () => {
  const { text, kill } = await holder();
  children[0]?.kill("SIGSTOP");
  expect(own().stateOf(text)).toBe("alive");
  await kill();
  expect(own().stateOf(text)).toBe("ended");
});

test("shows that a process has ended in order", () => {
  const former = own();
  expect(own().stateOf(former.text)).toBe("alive");
  opened.splice(opened.indexOf(former), 1);
  former.close();
  expect(own().stateOf(former.text)).toBe("ended");
});

test("shows nothing once its file was removed or replaced, although the holder lives", async () => {
  const { text, path } = await holder();
  rmSync(path);
  expect(own().stateOf(text)).toBe("unknown");
  // An inode that is in use, even without a name, is nobody else's.
  writeFileSync(path, "");
  expect(own().stateOf(text)).toBe("unknown");
});

test("shows nothing on a copy of the volume, after a reboot, and for any other text", async () => {
  const { text } = await holder();
  const copy = `${spool}.copy`;
  try {
    cpSync(spool, copy, { recursive: true });
    expect(open(copy)?.stateOf(text)).toBe("unknown");
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
  expect(open(spool, uid, () => "another boot")?.stateOf(text)).toBe("unknown");
  for (const other of ["", "x", `${text}0`, text.replace(/-.*-/, `-${"f".repeat(32)}-`)])
    expect(own().stateOf(other)).toBe("unknown");
});

test("is held nowhere that another account may write, behind a link, or on a file server", () => {
  expect(open(spool, uid + 1)).toBeNull();
  own();
  chmodSync(join(spool, "pgbackstop.holders"), 0o777);
  expect(open()).toBeNull();
  const linked = join(spool, "linked");
  symlinkSync(spool, linked);
  chmodSync(join(spool, "pgbackstop.holders"), 0o700);
  rmSync(join(spool, "pgbackstop.holders"), { recursive: true });
  symlinkSync("/tmp", join(spool, "pgbackstop.holders"));
  expect(open()).toBeNull();
  // No file system of a disk.
  expect(open("/proc/self")).toBeNull();
});

test("keeps the files of some earlier processes, and of all that live", async () => {
  const { path, text } = await holder();
  for (let count = 0; count < 70; count++) {
    own().close();
    opened.pop();
  }
  expect(readdirSync(join(spool, "pgbackstop.holders")).length).toBeLessThanOrEqual(64);
  expect(own().stateOf(text)).toBe("alive");
  expect(statSync(path).isFile()).toBe(true);
});

test("a process with other numbers is of the same host by its lock alone", async () => {
  const lock = own();
  const domain = lockDomain(spool, { uid, pid: process.pid }, seededRandom(9), lock);
  const { text, kill } = await holder();
  const elsewhere = `${"0".repeat(32)}-1-1`;
  expect(domain?.text.endsWith(`+${lock.text}`)).toBe(true);
  expect(domain?.stateOf(`${elsewhere}+${text}`)).toBe("alive");
  expect(domain?.stateOf(elsewhere)).toBe("unknown");
  await kill();
  expect(domain?.stateOf(`${elsewhere}+${text}`)).toBe("ended");
  // A process with several locks is one process.
  expect(domain?.stateOf((domain.text.split("+")[0] ?? "") + `+${own().text}`)).toBe("ended");
  expect(domain?.stateOf(domain.text)).toBe("ended");
});
