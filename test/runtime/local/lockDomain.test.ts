import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { statOf } from "../../../runtime/local/lockState";
import { waitFor } from "../../../tools/parts/process";
import { lockDomain } from "../../../runtime/local/lockDomain";
import { seededRandom } from "../../harness/context";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "domain-"));
  mkdirSync(join(root, "a"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));
const self = { uid: process.getuid?.() ?? 0, pid: process.pid };
const domainOf = (path: string, seed = 1, owner = self): string | null =>
  lockDomain(path, owner, seededRandom(seed))?.text ?? null;

test("is the same for every process of a lock path, and another one for another path", () => {
  const first = domainOf(join(root, "a"), 1);
  expect(first).toMatch(new RegExp(`^[0-9a-f]{32}-${process.pid}-\\d+$`));
  expect(domainOf(join(root, "a"), 2)).toBe(first);
  mkdirSync(join(root, "b"));
  expect(domainOf(join(root, "b"), 1)).not.toBe(first);
  expect(readdirSync(join(root, "a"))).toEqual(["pgbackstop.domain"]);
  expect(statSync(join(root, "a/pgbackstop.domain")).mode & 0o777).toBe(0o600);
});

test("of a lock path that was copied with an image is another one", () => {
  const first = domainOf(join(root, "a"));
  cpSync(join(root, "a"), join(root, "b"), { recursive: true });
  expect(domainOf(join(root, "b"))).not.toBe(first);
});

test("is null where /proc shows other process numbers", () => {
  expect(domainOf(join(root, "a"), 1, { ...self, pid: self.pid + 1 })).toBeNull();
});

test("is null if another account may have made or may change the file", () => {
  const path = join(root, "a");
  domainOf(path);
  expect(domainOf(path, 1, { ...self, uid: self.uid + 1 })).toBeNull();
  chmodSync(join(path, "pgbackstop.domain"), 0o666);
  expect(domainOf(path)).toBeNull();
});

test("is null behind a link, with an empty file, or when nothing can be created", () => {
  writeFileSync(join(root, "planted"), "0".repeat(32), { mode: 0o600 });
  symlinkSync(join(root, "planted"), join(root, "pgbackstop.domain"));
  expect(domainOf(root)).toBeNull();
  rmSync(join(root, "pgbackstop.domain"));
  writeFileSync(join(root, "pgbackstop.domain"), "", { mode: 0o600 });
  expect(domainOf(root)).toBeNull();
  expect(domainOf(join(root, "missing"))).toBeNull();
  // Opening a pipe would wait for its other end.
  rmSync(join(root, "pgbackstop.domain"));
  execFileSync("mkfifo", ["-m", "600", join(root, "pgbackstop.domain")]);
  expect(domainOf(root)).toBeNull();
});

test("shows whether another process lives, even a stopped one, and is not deceived by a number that was reused", async () => {
  const domain = lockDomain(join(root, "a"), self, seededRandom(1));
  if (domain === null) throw new Error("this machine has no domain");
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  const pid = child.pid ?? 0;
  const [shared] = domain.text.split("-");
  const textOf = (startTicks: number): string => `${shared}-${pid}-${startTicks}`;
  const startTicks = statOf(pid)?.startTicks ?? 0;
  try {
    expect(domain.stateOf(textOf(startTicks))).toBe("alive");
    child.kill("SIGSTOP");
    await waitFor("the stop", 5000, async () => (statOf(pid)?.state === "T" ? true : null), 5);
    expect(domain.stateOf(textOf(startTicks))).toBe("alive");
    expect(domain.stateOf(textOf(startTicks - 1))).toBe("ended");
    expect(domain.stateOf(`${"0".repeat(32)}-${pid}-${startTicks}`)).toBe("unknown");
    expect(domain.stateOf(shared ?? "")).toBe("unknown");
    expect(domain.stateOf("")).toBe("unknown");
  } finally {
    child.kill("SIGKILL");
  }
  await once(child, "exit");
  expect(domain.stateOf(textOf(startTicks))).toBe("ended");
  expect(domain.stateOf(domain.text)).toBe("ended");
});

test("counts a process as ended before its parent has asked for its exit code", async () => {
  const domain = lockDomain(join(root, "a"), self, seededRandom(1));
  // sh replaces itself with a program that never waits for its child.
  const parent = spawn("sh", ["-c", "sleep 0.01 & echo $!; exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
  try {
    const [line] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(line.toString());
    await waitFor("the zombie", 5000, async () => (statOf(pid)?.state === "Z" ? true : null), 5);
    const [shared] = (domain?.text ?? "").split("-");
    expect(domain?.stateOf(`${shared}-${pid}-${statOf(pid)?.startTicks}`)).toBe("ended");
  } finally {
    parent.kill("SIGKILL");
  }
});
