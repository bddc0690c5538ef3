import { expect, test } from "vitest";
import { MetricSource } from "../../../../runtime/cnpg/sidecar/metricSource";
import { saveDrill } from "../../../../runtime/operations/drill/history";
import type { DrillRecord } from "../../../../runtime/operations/drill/record";
import type { Repository } from "../../../../runtime/repository/repository";
import { HeldClock, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { storeDump } from "../../../harness/madeDump";
import { entryOf, makeStanza } from "../../../harness/madeRepository";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { repository, temporaryFolder } from "../../repository/support";

interface Sample {
  readonly fq_name: string;
  readonly value: number;
  readonly variable_labels: readonly string[];
}

const RECORD: DrillRecord = {
  version: 1,
  id: "",
  stanza: "demo",
  repo: 1,
  pick: "newest",
  level: "quick",
  backup: null,
  target: null,
  startedAtS: 1,
  endedAtS: 2,
  ok: true,
  failures: [],
  rtoMs: null,
  phases: [],
  rpo: null,
  restoredBytes: 0,
  checks: [],
  objectives: {},
};
const RANGE = ["000000010000000000000003", "000000010000000000000004"] as const;

async function collected(source: MetricSource): Promise<Record<string, number>> {
  const answer = (await source.service().methods["Collect"]?.({} as never, new AbortController().signal)) as {
    metrics: Sample[];
  };
  return Object.fromEntries(
    answer.metrics.map(({ fq_name, value, variable_labels }) => [`${fq_name} ${variable_labels.join()}`, value]),
  );
}

test("report the last drill, from the histories", async () => {
  const ctx = testContext({ clock: new HeldClock() });
  const storage = new FaultyStorage(new MemoryStorage({ name: "memory1" }));
  const repos = [repository(1, { storage })];
  const record: DrillRecord = { ...RECORD, id: "20261121-051347Z-1a2b3c4d", rtoMs: 43_700 };
  await saveDrill(repos, temporaryFolder(), record, ctx);
  const attack: DrillRecord = { ...RECORD, id: "20261121-051348Z-1a2b3c4d", pick: "attack", ok: false };
  await saveDrill(repos, temporaryFolder(), attack, ctx);
  const source = sourceOf(repos);
  const ending = new AbortController();
  const refreshing = source.refreshForever(ctx, ending.signal);
  await ctx.clock.advance(1);
  expect(await collected(source)).toMatchObject({
    "pgbackstop_drill_ok demo,1": 1,
    "pgbackstop_drill_rto_seconds demo,1": 43.7,
    "pgbackstop_attack_drill_ok demo,1": 0,
  });
  ending.abort();
  await refreshing;
});

test("report no recent backup and no recovery window of a former cluster, and no window's end behind a gap", async () => {
  const ctx = testContext({ clock: new HeldClock() });
  const repos = [1, 2, 3].map((key) => repository(key));
  const former = { label: "20261118-064059F", wal: RANGE, stoppedAtS: 1_795_000_000 };
  const present = { ...former, label: "20261119-064059F", dbId: 2, stoppedAtS: 1_795_080_000 };
  const wal = { "18-2": RANGE };
  for (const [index, backups] of [[former], [former, present], [former, present]].entries())
    await makeStanza(repos[index] as Repository, { versions: ["17", "18"], backups, wal });
  const gaps = new Map([
    [2, 0],
    [3, 1],
  ]);
  const source = sourceOf(repos, gaps);
  const ending = new AbortController();
  const refreshing = source.refreshForever(ctx, ending.signal);
  await ctx.clock.advance(1);
  const values = await collected(source);
  const all = (name: string, type = ""): unknown[] =>
    [1, 2, 3].map((key) => values[`pgbackstop_${name}_timestamp_seconds demo,${key}${type}`]);
  expect(all("repo_last_backup", ",full")).toEqual([undefined, present.stoppedAtS, present.stoppedAtS]);
  expect(all("recovery_window_start")).toEqual([undefined, present.stoppedAtS, present.stoppedAtS]);
  expect(all("recovery_window_end")).toEqual([undefined, expect.any(Number), undefined]);
  expect(values["pgbackstop_repo_backups demo,1,full"]).toBe(1);
  ending.abort();
  await refreshing;
});

// claim: docs/kubernetes/plugin.md: retention by time; the…
test("report for each repository how far back and how far forward it can recover", async () => {
  const ctx = testContext({ clock: new HeldClock() });
  const storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  const repos: Repository[] = storages.map((storage, index) => repository(index + 1, { storage }));
  const [first, second] = repos;
  if (first === undefined || second === undefined) throw new Error("no repositories");
  const backups = ["20261118-064059F", "20261119-064059F"].map((label) => ({ label, wal: RANGE }));
  await makeStanza(first, { versions: ["18"], backups, wal: { "18-1": RANGE } });
  await makeStanza(second, { versions: ["18"], backups: [], wal: {} });
  await storeDump(first, "20261120-020000Z-1a2b3c4d", { stoppedAtS: 1_795_000_100 });
  const [oldest, newest] = backups.map((backup) => entryOf(backup).stoppedAtS);

  const source = new MetricSource({
    repos,
    gaps: () => new Map([[2, 98]]),
    synchronous: () => ({ isWaiting: true, waitingS: 45, trouble: null }),
    streams: () => [
      { repoIndex: 1, lsn: 0x3000148n, atMs: 1_795_156_859_123, error: null, lostCount: 0 },
      { repoIndex: 2, lsn: null, atMs: null, error: null, lostCount: 0 },
    ],
    workers: () => [{ repoIndex: 2, waitingCount: 3, error: null, missingWalCount: 1, conflictCount: 2 }],
    dumpExpectedS: (repoIndex) => (repoIndex === 2 ? 90_000 : null),
    walSegmentSizeBytes: async () => 16 * 1024 * 1024,
    troubles: async () => [
      { code: "gap", repoIndex: 2 },
      { code: "branches", repoIndex: null },
    ],
  });
  const ending = new AbortController();
  const refreshing = source.refreshForever(ctx, ending.signal);
  await ctx.clock.advance(1);
  const values = await collected(source);
  expect(values).toMatchObject({
    "pgbackstop_repo_up demo,1": 1,
    "pgbackstop_repo_backups demo,1,full": 2,
    "pgbackstop_recovery_window_start_timestamp_seconds demo,1": oldest,
    "pgbackstop_repo_last_backup_timestamp_seconds demo,1,full": newest,
    "pgbackstop_repo_wal_waiting_files demo,2": 3,
    "pgbackstop_repo_wal_missing_files demo,2": 1,
    "pgbackstop_repo_wal_conflict_files demo,2": 2,
    "pgbackstop_repo_wal_gap_segments demo,2": 98,
    "pgbackstop_repo_backups demo,2,full": 0,
    "pgbackstop_repo_stream_timestamp_seconds demo,1": 1_795_156_859,
    "pgbackstop_repo_stream_lsn_bytes demo,1": 0x3000148,
    "pgbackstop_repo_stream_losses demo,1": 0,
    "pgbackstop_stream_synchronous demo": 1,
    "pgbackstop_stream_waiting_seconds demo": 45,
    "pgbackstop_status_ok demo": 0,
    "pgbackstop_troubles demo,2,gap": 1,
    "pgbackstop_troubles demo,,branches": 1,
    "pgbackstop_repo_dumps demo,1": 1,
    "pgbackstop_repo_last_dump_timestamp_seconds demo,1": 1_795_000_100,
    "pgbackstop_repo_dumps demo,2": 0,
    "pgbackstop_repo_dump_expected_seconds demo,2": 90_000,
  });
  expect(values["pgbackstop_repo_last_dump_timestamp_seconds demo,2"]).toBeUndefined();
  expect(values["pgbackstop_repo_stream_timestamp_seconds demo,2"]).toBeUndefined();
  expect(values["pgbackstop_recovery_window_end_timestamp_seconds demo,1"]).toBeGreaterThan(0);
  expect(values["pgbackstop_recovery_window_end_timestamp_seconds demo,2"]).toBeUndefined();
  // Without a count there is no sample, not a 0.
  expect(values["pgbackstop_repo_wal_gap_segments demo,1"]).toBeUndefined();
  ending.abort();
  await refreshing;
});

function sourceOf(repos: readonly Repository[], gaps: ReadonlyMap<number, number> = new Map()): MetricSource {
  return new MetricSource({
    repos,
    workers: () => [],
    gaps: () => gaps,
    synchronous: () => null,
    streams: () => [],
    dumpExpectedS: () => null,
    walSegmentSizeBytes: async () => 16 * 1024 * 1024,
    troubles: async () => null,
  });
}
