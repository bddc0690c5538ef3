import { beforeEach, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { FirstBackups, type FirstBackupParts } from "../../../../runtime/cnpg/sidecar/firstBackup";
import type { ClusterIdentity } from "../../../../runtime/operations/shared/identity";
import { stanzaUpgrade } from "../../../../runtime/operations/stanza/stanzaUpgrade";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { entryOf, makeStanza } from "../../../harness/madeRepository";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { OTHER_CONTROL, repository } from "../../repository/support";

let ctx: TestContext;
let storages: FaultyStorage[];
let repos: Repository[];
/** The instance's cluster. */
let present: ClusterIdentity;
/** The repository of each backup; null for all. */
let taken: (number | null)[];
beforeEach(async () => {
  ctx = testContext();
  storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
  for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [], wal: {} });
  const info = await loadBackupInfo(repos[0] as Repository);
  const [entry] = info.history;
  if (entry === undefined) throw new Error("the stanza has no history");
  present = { version: entry.pgVersion, systemId: entry.systemId };
  taken = [];
});

async function store(keys: readonly number[]): Promise<void> {
  for (const repo of repos.filter(({ key }) => keys.includes(key))) {
    const info = await loadBackupInfo(repo);
    const dbId = info.currentId;
    const entry = entryOf({
      label: `2026112${dbId}-064059F`,
      wal: ["000000010000000000000003", "000000010000000000000004"],
    });
    await saveBackupInfo(repo, { ...info, backups: [...info.backups, { ...entry, dbId }] }, ctx);
  }
}

function firstBackups(more: Partial<FirstBackupParts> = {}): FirstBackups {
  const backup: FirstBackupParts["backup"] = async (repoIndex) => {
    taken.push(repoIndex);
    await store(repoIndex === null ? [1, 2] : [repoIndex]);
    return 0;
  };
  const cluster = async (): Promise<ClusterIdentity> => present;
  const prepare = async (): Promise<void> => {};
  return new FirstBackups({
    repos,
    cluster,
    prepare,
    isStandby: async () => false,
    isBusy: () => false,
    backup,
    ...more,
  });
}

const signal = new AbortController().signal;

test("is taken into all repositories in one pass, a minute after the start, and only then", async () => {
  await firstBackups().takeThem(ctx, signal);
  expect(taken).toEqual([null]);
  expect(ctx.clock.sleeps).toEqual([60_000, 60_000]);
});

// claim: docs/kubernetes/running-cluster.md: an existing Cluster gets…
test("a schedule's own backup goes first, and leaves nothing to do", async () => {
  let looks = 0;
  const isBusy = (): boolean => ++looks < 3;
  const parts = { isBusy: () => isBusy() };
  const done = firstBackups(parts).takeThem(ctx, signal);
  await done;
  expect(taken).toEqual([null]);
  expect(looks).toBe(3);

  taken = [];
  await firstBackups().takeThem(ctx, signal);
  expect(taken).toEqual([]);
});

// claim: docs/kubernetes/running-cluster.md: an existing Cluster gets…
test("only a repository without one gets one", async () => {
  await store([1]);
  await firstBackups().takeThem(ctx, signal);
  expect(taken).toEqual([2]);
});

test("a standby takes none, and keeps checking until the primary has", async () => {
  let looks = 0;
  const isStandby = async (): Promise<boolean> => {
    if (++looks === 3) await store([1, 2]);
    return true;
  };
  await firstBackups({ isStandby }).takeThem(ctx, signal);
  expect(taken).toEqual([]);
  expect(looks).toBe(3);
});

test("a failure is retried at growing intervals, up to an hour", async () => {
  const codes = [82, 82, 82, 82, 82, 82, 82, 0];
  const backup = async (): Promise<number> => {
    const code = codes.shift() ?? 0;
    if (code === 0) await store([1, 2]);
    return code;
  };
  await firstBackups({ backup }).takeThem(ctx, signal);
  expect(codes).toEqual([]);
  const minutes = ctx.clock.sleeps.map((ms) => ms / 60_000);
  expect(minutes).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 1]);
  expect(ctx.lines.map(({ text }) => text).join("\n")).toContain("the first backup failed with exit code 82: retrying");
});

test("an unreadable repository is read again, and the other one does not wait", async () => {
  storages[1]?.plan("read", { kind: "error", error: fail("hostConnect", "gone") }, { times: 2 });
  await firstBackups().takeThem(ctx, signal);
  expect(taken).toEqual([1, 2]);
});

// claim: docs/kubernetes/restarts.md: a changed configuration ends no backup
test("that runs outlives the loop, whose sidecar got another configuration", async () => {
  let end: (code: number) => void = () => {};
  const backup = (): Promise<number> =>
    new Promise((resolve) => {
      end = resolve;
    });
  const abort = new AbortController();
  const done = firstBackups({ backup }).takeThem(ctx, abort.signal);
  await expect.poll(() => end.length).toBe(1);
  abort.abort();
  await store([1, 2]);
  end(0);
  await done;
  expect(ctx.lines.filter(({ level }) => level === "warn")).toEqual([]);
});

test("is taken again after a major upgrade, once the stanza is the upgraded cluster's", async () => {
  await store([1, 2]);
  present = { version: OTHER_CONTROL.pgVersion, systemId: OTHER_CONTROL.systemId };
  let asked = 0;
  const prepare = async (): Promise<void> => {
    // The second repository follows later.
    const ready = ++asked === 1 ? repos.slice(0, 1) : repos;
    await stanzaUpgrade(ready, OTHER_CONTROL, ctx);
  };
  await firstBackups({ prepare }).takeThem(ctx, signal);
  expect(asked).toBe(2);
  expect(taken).toEqual([1, 2]);
  for (const repo of repos)
    expect((await loadBackupInfo(repo)).backups.map(({ dbId, type }) => [dbId, type])).toEqual([
      [1, "full"],
      [2, "full"],
    ]);
});
