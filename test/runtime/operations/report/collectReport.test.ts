import { expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { collectStatus } from "../../../../runtime/operations/info/status";
import { collectReport } from "../../../../runtime/operations/report/collectReport";
import { factsOf } from "../../../../runtime/recoverability/facts";
import type { Repository } from "../../../../runtime/repository/repository";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { storeDump } from "../../../harness/madeDump";
import { makeStanza } from "../../../harness/madeRepository";
import { FaultyStorage } from "../../../harness/network/faults";
import { repository } from "../../repository/support";
import { statusInput } from "../info/statusInput";

const NOW_S = Date.UTC(2026, 10, 20, 6, 40, 59) / 1000;
const STOPPED_S = Date.UTC(2026, 10, 18, 3, 2) / 1000;
const segment = (number: number): string => `0000000100000000${number.toString(16).toUpperCase().padStart(8, "0")}`;

test("dumps are those that status has read", async () => {
  const repos = [repository(1), repository(2)] as const;
  for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [], wal: {} });
  await storeDump(repos[0], "20261120-020000Z-1a2b3c4d");
  const facts = factsOf(repos);
  const status = await collectStatus(statusInput(facts, NOW_S));
  const report = await collectReport({
    host: "db-1",
    repos: facts,
    status,
    drills: [],
    objectives: {},
    costOf: () => null,
  });
  const newest = { label: "20261120-020000Z-1a2b3c4d", stoppedAtS: 1_795_156_901, databases: ["shop"] };
  expect(report.repos.map(({ dumps }) => dumps)).toEqual([{ complete: 1, newest }, undefined]);
});

test("a repository that cannot be read has its trouble, and hides nothing of the other", async () => {
  const storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  const repos = storages.map((storage, index): Repository => repository(index + 1, { storage }));
  for (const repo of repos) {
    await makeStanza(repo, {
      versions: ["17", "18"],
      backups: [
        { label: "20261110-030000F", stoppedAtS: STOPPED_S - 8 * 86_400, wal: [segment(1), segment(1)] },
        { label: "20261118-030000F", stoppedAtS: STOPPED_S, dbId: 2, wal: [segment(3), segment(4)] },
      ],
      wal: { "17-1": [segment(1)], "18-2": [3, 4, 5, 8].map(segment) },
    });
  }
  storages[1]?.plan("read", { kind: "error", error: fail("hostConnect", "memory2 does not answer") }, { times: 100 });
  const facts = factsOf(repos);
  const status = await collectStatus(statusInput(facts, NOW_S, { waiting: null }));
  const costOf = (key: number, storedBytes: number): { usdPerMonth: number; asOf: string } | null =>
    key === 1 ? { usdPerMonth: storedBytes, asOf: "2026-11-20" } : null;
  const objectives = { rtoSeconds: 900 };
  const report = await collectReport({ host: "db-1", repos: facts, status, drills: [], objectives, costOf });
  expect(report).toMatchObject({ host: "db-1", stanza: "demo", atS: NOW_S, rtoSeconds: 900, troubles: [] });
  const [first, second] = report.repos;
  expect(first?.backups.map(({ label }) => label)).toEqual(["20261110-030000F", "20261118-030000F"]);
  // Of the present cluster: no WAL after the upgrade continues the earlier one.
  expect(first?.windows).toEqual([{ fromS: STOPPED_S, toS: expect.any(Number) }]);
  expect(first?.gaps).toEqual([
    { from: segment(6), to: segment(7), fromS: expect.any(Number), toS: expect.any(Number) },
  ]);
  const stored = first?.backups.reduce((sum, backup) => sum + backup.storedBytes, first.walBytes);
  expect(first?.cost).toEqual({ usdPerMonth: stored, asOf: "2026-11-20" });
  expect(second).not.toHaveProperty("cost");
  expect(second).toMatchObject({ key: 2, backups: [], windows: [], walBytes: 0 });
  expect(second?.troubles[0]?.message).toContain("memory2 does not answer");
});
