import { expect, test } from "vitest";
import { confirmedLsn, isAwaited } from "../../../../runtime/operations/stream/confirmedLsn";

const repos = (...lsns: (bigint | null)[]): { repoIndex: number; lsn: bigint | null }[] =>
  lsns.map((lsn, index) => ({ repoIndex: index + 1, lsn }));
const named = (...repoIndexes: number[]) => ({ mode: "named" as const, repoIndexes });

test("any confirms the furthest repository, all the nearest, a list the nearest of its own", () => {
  const three = repos(50n, 90n, 70n);
  expect(confirmedLsn({ mode: "any", repoIndexes: [] }, three)).toBe(90n);
  expect(confirmedLsn({ mode: "all", repoIndexes: [] }, three)).toBe(50n);
  expect(confirmedLsn(named(2, 3), three)).toBe(70n);
  expect(confirmedLsn(named(2), three)).toBe(90n);
});

test("an unknown position confirms nothing where it is needed", () => {
  const two = repos(null, 90n);
  expect(confirmedLsn({ mode: "any", repoIndexes: [] }, two)).toBe(90n);
  expect(confirmedLsn({ mode: "all", repoIndexes: [] }, two)).toBe(0n);
  expect(confirmedLsn(named(1), two)).toBe(0n);
  expect(confirmedLsn(named(2, 7), two)).toBe(0n);
  expect(confirmedLsn({ mode: "any", repoIndexes: [] }, [])).toBe(0n);
});

test("a repository outside the list is not awaited", () => {
  expect([1, 2].map((repoIndex) => isAwaited(named(2), repoIndex))).toEqual([false, true]);
  expect(isAwaited({ mode: "any", repoIndexes: [] }, 1)).toBe(true);
});
