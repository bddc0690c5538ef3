/** The path of Node.js in commands that this program writes for later. */
import { mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { childEnvironment, nodeAsCalled } from "../../../runtime/local/ownProcess";

test("a link to Node.js stays a link, and any other name becomes the program's path", () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "called-")));
  try {
    const execPath = realpathSync(process.execPath);
    symlinkSync(execPath, join(folder, "node"));
    symlinkSync("/bin/sh", join(folder, "other"));
    expect(nodeAsCalled(join(folder, "node"), execPath)).toBe(join(folder, "node"));
    for (const argv0 of ["node", join(folder, "other"), join(folder, "missing"), execPath])
      expect(nodeAsCalled(argv0, execPath), argv0).toBe(execPath);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a child of a sidecar gives memory back sooner; elsewhere the environment stays", () => {
  const sidecar = { MALLOC_ARENA_MAX: "2", MALLOC_MMAP_THRESHOLD_: "1048576", MALLOC_TRIM_THRESHOLD_: "1048576" };
  expect(childEnvironment(sidecar)).toEqual({
    MALLOC_ARENA_MAX: "2",
    MALLOC_MMAP_THRESHOLD_: "131072",
    MALLOC_TRIM_THRESHOLD_: "131072",
  });
  for (const environment of [{ PATH: "/usr/bin" }, { MALLOC_MMAP_THRESHOLD_: "65536" }])
    expect(childEnvironment(environment)).toEqual(environment);
});
