import { join } from "node:path";
import { expect, it } from "vitest";
import { closeGapsForever } from "../../../runtime/archiver/gapCloser";
import { type MissingWalStore, openMissingWal } from "../../../runtime/local/missingWal";
import { openGap } from "../../../runtime/operations/archivePush/dropWal";
import type { ClusterIdentity } from "../../../runtime/operations/shared/identity";
import { loadBackupInfo } from "../../../runtime/repository/infoStore";
import type { Repository } from "../../../runtime/repository/repository";
import { testContext } from "../../harness/context";
import { makeStanza } from "../../harness/madeRepository";
import { repository, temporaryFolder, walName } from "../repository/support";

/** A stanza after pg_upgrade: the former cluster's backup is on timeline 3, the present one's on timeline 1. */
async function upgraded(): Promise<{ repo: Repository; clusters: readonly ClusterIdentity[] }> {
  const repo = repository(1);
  await makeStanza(repo, {
    versions: ["14", "15"],
    backups: [
      { label: "20260101-000000F", wal: [walName(2, 3), walName(2, 3)] },
      { label: "20260201-000000F", wal: [walName(4), walName(4)], dbId: 2 },
    ],
    wal: {},
  });
  const { history } = await loadBackupInfo(repo);
  return { repo, clusters: history.map(({ pgVersion: version, systemId }) => ({ version, systemId })) };
}

/** Repositories of each backup that it takes in a minute. */
async function taken(repo: Repository, missingWal: MissingWalStore, clusterAt: (look: number) => ClusterIdentity) {
  const controller = new AbortController();
  const ctx = testContext();
  const backups: (readonly number[])[] = [];
  const endMs = ctx.clock.nowMs() + 60_000;
  let looks = 0;
  const present = () => {
    if (ctx.clock.nowMs() >= endMs) controller.abort();
    const worker = { repoIndex: repo.key, error: null, waitingCount: 0 };
    return { cluster: clusterAt(looks++), status: [worker] };
  };
  const backup = async (keys: readonly number[]): Promise<number> => {
    backups.push(keys);
    controller.abort();
    return 0;
  };
  await closeGapsForever({ repos: [repo], missingWal, present, backup }, ctx, controller.signal);
  return backups;
}

it("takes a backup for WAL that no backup of the same cluster begins after", async () => {
  const { repo, clusters } = await upgraded();
  const [former, present] = clusters as [ClusterIdentity, ClusterIdentity];
  const missingWal = openMissingWal(join(temporaryFolder(), "spool"), "demo");
  missingWal.addDropped(1, walName(3), present);
  expect(await taken(repo, missingWal, () => present)).toEqual([]);
  missingWal.addDropped(1, walName(5), present);
  expect(await taken(repo, missingWal, () => present)).toEqual([[1]]);
  // An agent that runs on through pg_upgrade has seen the former cluster's backup.
  missingWal.addDropped(1, walName(1, 3), former);
  expect(await taken(repo, missingWal, (look) => (look === 0 ? former : present))).toEqual([[1]]);
});

it("does not take one backup after the other when they begin before the gap's end, and stops at one on a later timeline", async () => {
  const repo = repository(1);
  const backups = [{ label: "20260101-000000F", wal: [walName(2), walName(2)] as const }];
  await makeStanza(repo, { versions: ["15"], backups, wal: {} });
  const [row] = (await loadBackupInfo(repo)).history;
  const cluster = { version: row?.pgVersion ?? "", systemId: row?.systemId ?? 0n };
  const missingWal = openMissingWal(join(temporaryFolder(), "spool"), "demo");
  missingWal.addDropped(1, walName(5), cluster);
  const controller = new AbortController();
  const ctx = testContext();
  const takenAtMs: number[] = [];
  const backup = async (): Promise<number> => {
    takenAtMs.push(ctx.clock.nowMs());
    if (takenAtMs.length === 3) controller.abort();
    return 0;
  };
  const status = [{ repoIndex: 1, error: null, waitingCount: 0 }];
  await closeGapsForever(
    { repos: [repo], missingWal, present: () => ({ cluster, status }), backup },
    ctx,
    controller.signal,
  );
  const [first = 0, second = 0, third = 0] = takenAtMs;
  expect([second - first, third - second]).toEqual([60_000, 120_000]);
  expect(openGap([walName(5)], [walName(3, 2)])).toEqual([]);
});
