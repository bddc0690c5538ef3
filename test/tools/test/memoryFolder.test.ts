import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { holdsPrograms, removeAbandoned } from "../../../tools/test/memoryFolder";
import { run } from "../../../tools/parts/process";

const MOUNTS = "/dev/vda / ext4 rw,relatime 0 0\ntmpfs /dev/shm tmpfs rw,nosuid,nodev 0 0\n";

test.each([
  ["a tmpfs", MOUNTS, true],
  ["one that runs no programs", MOUNTS.replace("nodev", "noexec"), false],
  ["one that cannot be written", MOUNTS.replace("rw,nosuid", "ro,nosuid"), false],
  ["a folder of the disk", MOUNTS.split("\n")[0] ?? "", false],
  ["the newest of two", `${MOUNTS}tmpfs /dev/shm tmpfs rw,noexec 0 0\n`, false],
])("shared memory that is %s", (_what, mounts, isUsable) => {
  expect(holdsPrograms(mounts)).toBe(isUsable);
});

test("folders of runs that ended long ago are removed, and nothing else", async () => {
  const parent = mkdtempSync(join(tmpdir(), "pgb-memory-"));
  const [long = "", just = ""] = (await run("/bin/sh", ["-c", "sh -c 'echo $$'; echo $$"])).stdout.split("\n");
  const kept = [`pgb-${just}`, `pgb-${process.pid}`, "pgb-Ab3dEf", "other"];
  try {
    for (const name of [`pgb-${long}`, ...kept]) {
      mkdirSync(join(parent, name, "below"), { recursive: true });
      if (name !== `pgb-${just}`) utimesSync(join(parent, name), 1_700_000_000, 1_700_000_000);
    }
    removeAbandoned(parent);
    expect(readdirSync(parent).toSorted()).toEqual(kept.toSorted());
  } finally {
    rmSync(parent, { recursive: true });
  }
});
