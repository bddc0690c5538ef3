/** The wait for every repository's full backup, on repositories in memory; the Job's annotation is recorded here. */
import { beforeEach, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { awaitFull, awaitFullCommand, type AwaitedFull } from "../../../../runtime/cnpg/gate/awaitFull";
import type { CommandHost } from "../../../../runtime/commands/host";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { entryOf, makeStanza } from "../../../harness/madeRepository";
import { FaultyStorage } from "../../../harness/network/faults";
import { repository } from "../../repository/support";

const LABEL = "20261120-064059F";
const SEGMENT = "000000010000000000000003";

let ctx: TestContext;
let storages: FaultyStorage[];
let repos: Repository[];
let recorded: string[];
beforeEach(async () => {
  ctx = testContext();
  storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
  for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [], wal: { "18-1": [SEGMENT] } });
  recorded = [];
});

async function store(key: number): Promise<void> {
  const repo = repos[key - 1] as Repository;
  const info = await loadBackupInfo(repo);
  await saveBackupInfo(repo, { ...info, backups: [entryOf({ label: LABEL, wal: [SEGMENT, SEGMENT] })] }, ctx);
}

function awaited(more: Partial<AwaitedFull> = {}): AwaitedFull {
  const patch: AwaitedFull["api"]["patch"] = async ({ plural }, name, { metadata }) => {
    const { annotations } = metadata as { annotations: Record<string, string> };
    recorded.push(`${plural}/${name} ${annotations["pgbackstop/destinations"]}`);
    return true;
  };
  const acknowledge = { mode: "all", repoIndexes: [] } as const;
  return { api: { patch }, job: "orders-full", stanza: "main", repos, minutes: 10, acknowledge, ...more };
}

test("waits until the last repository has one, and records what each holds", async () => {
  await store(1);
  const sleep = ctx.clock.sleep.bind(ctx.clock);
  ctx.clock.sleep = async (ms, signal) => {
    if (ctx.clock.sleeps.length === 2) await store(2);
    return sleep(ms, signal);
  };
  await awaitFull(awaited(), ctx);
  expect(ctx.clock.sleeps).toEqual([10_000, 10_000, 10_000]);
  expect(recorded).toHaveLength(1);
  const [job, text = ""] = recorded[0]?.split(/ (.*)/s) ?? [];
  expect(job).toBe("jobs/orders-full");
  expect(JSON.parse(text)).toMatchObject([
    {
      name: "main",
      repo: [
        { key: 1, full: { label: LABEL }, wal: { name: SEGMENT } },
        { key: 2, full: { label: LABEL }, wal: { name: SEGMENT } },
      ],
    },
  ]);
  // A line for each repository at the beginning, and again when one of them changed.
  expect(ctx.lines.map(({ text: line }) => /^repo\d: (no|newest) full/.exec(line)?.[0])).toEqual([
    "repo1: newest full",
    "repo2: no full",
    "repo1: newest full",
    "repo2: newest full",
  ]);
});

test("fails after its time with the repositories that lack one, whatever the policy, and records what it read", async () => {
  await store(1);
  const work = awaitFull(awaited({ acknowledge: { mode: "any", repoIndexes: [] } }), ctx);
  await expect(work).rejects.toMatchObject({
    kind: "backupSetInvalid",
    message: "repo2 has no full backup after 10 minutes: nothing can be restored from there",
  });
  expect(ctx.clock.sleeps).toHaveLength(60);
  expect(JSON.parse(recorded[0]?.split(/ (.*)/s)[1] ?? "")).toMatchObject([
    { repo: [{ key: 1 }, { key: 2, full: null }] },
  ]);
});

test("0 minutes look once", async () => {
  await expect(awaitFull(awaited({ minutes: 0 }), ctx)).rejects.toThrow("repo1 and repo2 have no full backup");
  expect(ctx.clock.sleeps).toEqual([]);
});

test("an unreadable repository is awaited unless the policy does without it", async () => {
  for (const key of [1, 2]) await store(key);
  storages[1]?.breakDown(fail("hostConnect", "away"));
  await awaitFull(awaited({ acknowledge: { mode: "any", repoIndexes: [] } }), ctx);
  expect(ctx.clock.sleeps).toEqual([]);
  await expect(awaitFull(awaited(), ctx)).rejects.toThrow("away");
  expect(ctx.clock.sleeps).toHaveLength(60);
});

test("requires the Job's name", async () => {
  const host: object = { ctx, config: { awaitFull: { minutes: 60 }, kubernetes: {} } };
  await expect(awaitFullCommand(host as CommandHost)).rejects.toThrow(
    "cnpg-await-full command requires option: await-job",
  );
});
