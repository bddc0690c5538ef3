import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { findStuck, processNameOf } from "../../../../runtime/storage/process/stuck";

const MOUNT = { id: "30 0:40", path: "/mnt/nas", type: "nfs4" };
const NAME = processNameOf("/mnt/nas/repo", MOUNT);

test("the kernel can hold the name, which is another one for another directory or mount", () => {
  expect(NAME).toMatch(/^pgbs-[0-9a-f]{10}$/);
  expect(processNameOf("/mnt/nas/other", MOUNT)).not.toBe(NAME);
  expect(processNameOf("/mnt/nas/repo", { ...MOUNT, id: "31 0:41" })).not.toBe(NAME);
});

test("a killed process counts while one of its threads waits in the kernel", () => {
  const proc = mkdtempSync(join(tmpdir(), "proc-"));
  onTestFinished(() => rmSync(proc, { recursive: true }));
  const add = (pid: number, name: string, state: string, threads: number): void => {
    mkdirSync(join(proc, String(pid)));
    const line = `${pid} (${name}) ${state} 1 2 3 0 -1 4228108 2193 0 0 0 5 0 0 0 20 0 ${threads} 0 269420 0 0\n`;
    writeFileSync(join(proc, String(pid), "stat"), line);
  };
  add(10, NAME, "S", 11);
  // Ended, and only its parent has not asked yet.
  add(11, NAME, "Z", 1);
  add(12, NAME, "Z", 2);
  add(13, NAME, "D", 11);
  add(14, "a) D (b", "Z", 5);
  mkdirSync(join(proc, "15"));
  mkdirSync(join(proc, "self"));
  expect(findStuck(NAME, proc)).toEqual([12, 13]);
});
