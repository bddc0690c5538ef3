// claim: docs/hosts/stock.md: a version that does…
import { expect, test } from "vitest";
import { isInRange, postgresLimit, stockLimits } from "../../../../components/plan/engines/stockVersions";
import { BUCKET, NAS, plan } from "../../plans";

const WELL = plan({ repositories: { repo1: NAS, repo2: { ...BUCKET, blockIncremental: true } } });

/** Limits of a version, by repository. */
function printed(version: string, repositories = WELL.repositories): string[] {
  return stockLimits(repositories)
    .filter((limit) => isInRange(limit, version))
    .map(({ code, path, fact }) => `${code} ${path}: ${fact.split(" (")[0] ?? ""}`);
}

test("each version has its own faults", () => {
  expect(printed("2.45")).toEqual([
    "PB048 repositories.repo2: block increments came with 2.46",
    "PB049 repositories.repo2: a stored file of more than 10,000 chunks aborts the backup",
    "PB049 repositories.repo2: a file that shrinks to nothing during a backup gets an empty block map, which breaks later increments",
  ]);
  expect(printed("2.58.0")[0]).toBe("PB049 repositories.repo2: multipart uploads can hang forever");
  expect(printed("2.60.0")).toEqual([]);
});

test("a range includes its first version, and not its last", () => {
  const range = { from: "2.58", before: "2.59.1" };
  expect(
    ["2.57.9", "2.58", "2.58.0", "2.59.0", "2.59.1", "no version"].map((version) => isInRange(range, version)),
  ).toEqual([false, true, true, true, false, false]);
});

test("a directory has no fault of buckets", () => {
  expect(stockLimits(plan({ repositories: { repo1: NAS } }).repositories)).toEqual([]);
});

test("2.46 introduced SFTP, and 2.39 bundles", () => {
  const { sftp: _none, ...at } = NAS.at;
  const server = {
    ...NAS,
    at: { ...at, sftp: { host: "backup.lan", user: "pg", hostFingerprint: `SHA256:${"A".repeat(43)}` } },
  };
  const { repositories } = plan({ repositories: { repo1: server } });
  expect(printed("2.45", repositories)).toEqual(["PB048 repositories.repo1: repositories over SFTP came with 2.46"]);
  expect(printed("2.38", repositories)).toHaveLength(2);
});

test.each([
  ["2.45", 15, null],
  ["2.45", 16, "pgBackRest supports PostgreSQL 16 from 2.47 on"],
  ["2.53.1", 17, "pgBackRest supports PostgreSQL 17 from 2.54 on"],
  ["2.55", 18, null],
  ["2.59.2", 19, "pgBackRest supports PostgreSQL 19 from 2.60 on"],
  ["2.60", 19, null],
])("%s and PostgreSQL %i", (version, major, expected) => {
  expect(postgresLimit(version, major)).toBe(expected);
});
