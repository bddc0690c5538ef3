/** The path of Node.js in commands that this program writes for later. */
import { mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { childEnvironment, nodeAsCalled, type PriorityCalls, setOwnPriority } from "../../../runtime/local/ownProcess";

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

/** As Node throws them. */
function refusal(errno: number): Error {
  return Object.assign(new Error("A system error occurred"), { code: "ERR_SYSTEM_ERROR", errno });
}

function priorityCalls(failures: Readonly<Record<number, Error>>): PriorityCalls & { readonly made: number[][] } {
  const made: number[][] = [];
  const set = (thread: number, niceness: number): void => {
    const failure = failures[thread];
    if (failure !== undefined) throw failure;
    made.push([thread, niceness]);
  };
  return { made, set, get: () => 10, threads: () => [7, 8, 9] };
}

// claim: docs/hosts/priority.md: priority: every thread of a process gets it
test("a priority is set for the main thread, and for each one that runs already and has not ended", () => {
  const calls = priorityCalls({ 8: refusal(-3) });
  setOwnPriority(15, calls);
  expect(calls.made).toEqual([
    [0, 15],
    [7, 15],
    [9, 15],
  ]);
});

test("a priority that the process has no right for is an error of the kernel, and changes nothing", () => {
  const calls = priorityCalls({ 0: refusal(-13) });
  expect(() => setOwnPriority(5, calls)).toThrow(
    expect.objectContaining({
      kind: "kernel",
      exitCode: 100,
      message: "unable to set process priority to 5: [13] Permission denied",
      hints: [
        "Only root may go below the process's own priority, which is 10: set priority to that or more, or remove it.",
      ],
    }),
  );
  expect(calls.made).toEqual([]);
});
