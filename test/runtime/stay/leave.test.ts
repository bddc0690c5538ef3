import { existsSync, readdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { leaveStaying } from "../../../runtime/stay/leave";
import { directoryOf, socketOf } from "../../../runtime/stay/place";
import { makeCaller, makeDirectory } from "./support";

const STAY_MS = 10_000;

type Made = ReturnType<typeof makeCaller>;

/** Number of processes that calls at these times start. */
function countStarts(caller: Made, atMs: readonly number[], stayMs = STAY_MS): number {
  let count = 0;
  const beganMs = Date.now();
  for (const each of atMs) leaveStaying(caller, stayMs, beganMs + each, () => void count++);
  return count;
}

// claim: docs/agent.md: the second of two calls within `archiveProcessSeconds` leaves it
it("the second of two calls in the time starts one process", () => {
  const caller = makeCaller();
  makeDirectory(caller);
  expect(countStarts(caller, [0])).toBe(0);
  expect(countStarts(caller, [5000])).toBe(1);
});

it("calls that are further apart start none", () => {
  const caller = makeCaller();
  makeDirectory(caller);
  expect(countStarts(caller, [0])).toBe(0);
  expect(countStarts(caller, [STAY_MS + 1000])).toBe(0);
  // The clock was set back.
  expect(countStarts(caller, [-60_000])).toBe(0);
});

it("a call starts none while another process listens, and none if that is off", () => {
  const caller = makeCaller();
  makeDirectory(caller);
  countStarts(caller, [0]);
  const socket = socketOf(caller) ?? "";
  writeFileSync(socket, "");
  expect(countStarts(caller, [1, 2, 3])).toBe(0);
  const off = makeCaller();
  expect(countStarts(off, [0, 1, 2], 0)).toBe(0);
  expect(existsSync(directoryOf(off) ?? "")).toBe(false);
});

it("of two calls that end at the same time one starts a process", () => {
  const caller = makeCaller();
  makeDirectory(caller);
  countStarts(caller, [0]);
  let count = 0;
  const nowMs = Date.now() + 1000;
  leaveStaying(caller, STAY_MS, nowMs, () => {
    count++;
    // The other one has read the mark, and now finds it gone.
    leaveStaying(caller, STAY_MS, nowMs, () => void count++);
  });
  expect(count).toBe(1);
});

it("makes a directory and a key that are closed to others, once", () => {
  const caller = makeCaller({ uid: process.geteuid?.() ?? 0 });
  if (caller.uid === 0) return;
  countStarts(caller, [0]);
  const directory = directoryOf(caller) ?? "";
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  expect(statSync(join(directory, "key"))).toMatchObject({ size: 32 });
  const path = socketOf(caller);
  countStarts(caller, [0]);
  expect(socketOf(caller)).toBe(path);
});

it("writes nothing where another account could have put the directory", () => {
  const caller = makeCaller();
  const elsewhere = makeDirectory(makeCaller());
  symlinkSync(elsewhere, directoryOf(caller) ?? "");
  expect(countStarts(caller, [0, 1, 2])).toBe(0);
  expect(readdirSync(elsewhere)).toEqual([]);
});

it("removes what killed processes and lone calls left long ago", () => {
  const caller = makeCaller();
  const directory = makeDirectory(caller);
  const [old, young] = [join(directory, "old.sock"), join(directory, "young.sock")];
  for (const path of [old, young]) writeFileSync(path, "");
  const long = new Date(Date.now() - 2 * 60 * 60_000);
  utimesSync(old, long, long);
  countStarts(caller, [0]);
  utimesSync(join(directory, "key"), long, long);
  countStarts(makeCaller(), [0]);
  leaveStaying(caller, STAY_MS, Date.now() + 60_000, () => {});
  expect(
    readdirSync(directory)
      .filter((name) => !name.endsWith(".called"))
      .sort(),
  ).toEqual(["key", "young.sock"]);
});
