import { expect, test } from "vitest";
import { instantSamples } from "../../../runtime/metrics/samples";
import type { OpenedBackup } from "../../../runtime/operations/open/openLocation";

const PROGRESS = { totalBytes: 100, missingBytes: 40, isWhole: false, fetchesAll: true, trouble: null };
const PRODUCTION: OpenedBackup = {
  at: "/data",
  label: "20261120-020000F",
  repo: "repo1",
  isServed: true,
  isProduction: true,
  isRecovering: false,
  progress: PROGRESS,
};

// claim: docs/hosts/instant.md: metrics and `status` show how much of production's files is here, and what prevents the
//   rest
test("metrics show how much of production's files is here, and whether the rest can come", () => {
  const valuesOf = (more: Partial<OpenedBackup>): Record<string, number> =>
    Object.fromEntries(
      instantSamples("main", [{ ...PRODUCTION, ...more }]).map(({ name, value }) => [
        name.replace("pgbackstop_instant_", ""),
        value,
      ]),
    );
  expect(valuesOf({})).toEqual({ served: 1, total_bytes: 100, missing_bytes: 40, waiting: 0 });
  expect(valuesOf({ progress: { ...PROGRESS, trouble: "repo1 is away" } })).toMatchObject({ waiting: 1 });
  expect(valuesOf({ isServed: false, progress: null })).toEqual({ served: 0 });
  expect(valuesOf({ isProduction: false })).toEqual({});
});
