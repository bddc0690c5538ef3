import { expect, test } from "vitest";
import { instantSamples, repositorySamples } from "../../../runtime/metrics/samples";
import { holdNotes } from "../../../runtime/operations/expire/hold";
import type { OpenedBackup } from "../../../runtime/operations/open/openLocation";
import { backupEntry } from "../operations/drill/support";

const PROGRESS = { totalBytes: 100, missingBytes: 40, isWhole: false, fetchesAll: true, trouble: null };
const PRODUCTION: OpenedBackup = {
  at: "/data",
  label: "20261120-020000F",
  repo: "repo1",
  systemId: "7",
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

// claim: docs/retention.md: holds are counted, and the next end is a metric
test("metrics count holds, and name the next end", () => {
  const held = (label: string, untilS: number | null) =>
    backupEntry(label, { annotations: holdNotes({ reason: "audit", untilS }) });
  const valuesOf = (backups: readonly ReturnType<typeof backupEntry>[]): (number | undefined)[] => {
    const facts = { key: 1, backups, current: backups, newestWal: null, missingWalCount: 0, conflictCount: 0 };
    const all = repositorySamples("main", [facts], 16 * 1024 * 1024);
    return ["held_backups", "hold_end_timestamp_seconds"].map(
      (name) => all.find((sample) => sample.name === `pgbackstop_repo_${name}`)?.value,
    );
  };
  const plain = backupEntry("20261101-020000F");
  expect(valuesOf([plain])).toEqual([0, undefined]);
  expect(valuesOf([plain, held("20261102-020000F", null)])).toEqual([1, undefined]);
  const ends = [1_800_000_000, 1_790_000_000].map((untilS, day) => held(`2026110${day + 3}-020000F`, untilS));
  expect(valuesOf([plain, ...ends])).toEqual([2, 1_790_000_000]);
});
