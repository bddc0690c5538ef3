import { expect, it } from "vitest";
import { atLeast, majorVersion, tablespaceDirectory, walDirectoryName } from "../../../runtime/postgres/versions";

it("derives a version from its number", () => {
  expect([180004, 150020, 100001, 90603].map(majorVersion)).toEqual(["18", "15", "10", "9.6"]);
  expect([atLeast("9.6", 10), atLeast("10", 9), atLeast("18", 18)]).toEqual([false, true, true]);
  expect([walDirectoryName("9.6"), walDirectoryName("10")]).toEqual(["pg_xlog", "pg_wal"]);
  expect(tablespaceDirectory("15", 202209061)).toBe("PG_15_202209061");
});
