/** The report of full backups, on repositories in memory and a ConfigMap in memory. */
// claim: README.md: the update of a cluster waits for a full backup in every repository, and fails without one
import { beforeEach, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { type FullBackupParts, reportFullBackups } from "../../../../runtime/cnpg/sidecar/reportFull";
import { completeText } from "../../../../runtime/cnpg/names";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { entryOf, makeStanza, SYSTEM_ID } from "../../../harness/madeRepository";
import { FaultyStorage } from "../../../harness/network/faults";
import { repository } from "../../repository/support";

const LABEL = "20261120-064059F";
const SEGMENT = "000000010000000000000003";
const LACKING = (repos: string): string =>
  `${repos} no full backup: nothing can be restored from there; the log of container plugin-pgbackstop in the cluster's pods says why`;

let ctx: TestContext;
let storages: FaultyStorage[];
let repos: Repository[];
/** Null while it does not exist. */
let data: Record<string, string> | null;
let patches: string[];
let slept: readonly number[];
beforeEach(async () => {
  ctx = testContext();
  storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
  for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [], wal: { "18-1": [SEGMENT] } });
  data = {};
  patches = [];
});

async function store(key: number): Promise<void> {
  const repo = repos[key - 1] as Repository;
  const info = await loadBackupInfo(repo);
  await saveBackupInfo(repo, { ...info, backups: [entryOf({ label: LABEL, wal: [SEGMENT, SEGMENT] })] }, ctx);
}

function parts(more: Partial<FullBackupParts> = {}): FullBackupParts {
  return {
    open: async () => ({
      find: async () => (data === null ? null : { data }),
      patch: async ({ plural }, name, fields) => {
        if (data === null) throw fail("service", `unable to change ${plural} ${name}: 404`);
        data = { ...data, ...(fields["data"] as Record<string, string>) };
        patches.push(data["fullBackups"] ?? "");
        return true;
      },
    }),
    wanted: { configMap: "orders-full", locations: "1a2b" },
    stanza: "main",
    repos,
    acknowledge: { mode: "all", repoIndexes: [] },
    cluster: async () => ({ version: "18", systemId: SYSTEM_ID }),
    isStandby: async () => false,
    ...more,
  };
}

/** Reports until the sleep of number `last`. Before a sleep it takes the step of that number. */
async function report(
  more: Partial<FullBackupParts> = {},
  last = 3,
  steps: Readonly<Record<number, () => unknown>> = {},
): Promise<void> {
  const ending = new AbortController();
  const { sleep } = ctx.clock;
  const pauses: number[] = [];
  ctx.clock.sleep = async (ms) => {
    await steps[pauses.length]?.();
    if (pauses.push(ms) > last) ending.abort();
  };
  await reportFullBackups(parts(more), ctx, ending.signal);
  ctx.clock.sleep = sleep;
  slept = pauses;
}

test("reports what is missing, then that nothing is, with what each repository holds", async () => {
  await store(1);
  await report({}, 4, { 2: () => store(2) });
  expect(patches).toEqual([LACKING("repo2 has"), completeText("1a2b")]);
  expect(slept).toEqual([5000, 10_000, 20_000, 60_000, 60_000]);
  expect(JSON.parse(data?.["destinations"] ?? "")).toMatchObject([
    {
      name: "main",
      repo: [
        { key: 1, full: { label: LABEL }, wal: { name: SEGMENT } },
        { key: 2, full: { label: LABEL }, wal: { name: SEGMENT } },
      ],
    },
  ]);
});

test("no policy excuses a repository without a full backup", async () => {
  await report({ acknowledge: { mode: "any", repoIndexes: [] } });
  expect(patches).toEqual([LACKING("repo1 and repo2 have")]);
});

test("an unreadable repository is awaited unless the policy does without it", async () => {
  for (const key of [1, 2]) await store(key);
  storages[1]?.breakDown(fail("hostConnect", "away"));
  await report({ acknowledge: { mode: "any", repoIndexes: [] } });
  expect(patches).toEqual([completeText("1a2b")]);
  data = {};
  await report();
  expect(patches).toEqual([
    completeText("1a2b"),
    expect.stringMatching(/^repo2: cannot be read: \[HostConnectError\] unable to load info file [^]*away$/),
  ]);
});

test("waits for the ConfigMap and the right to change it, which an update makes after the cluster", async () => {
  for (const key of [1, 2]) await store(key);
  data = null;
  await report({}, 5, { 3: () => (data = {}) });
  expect(patches).toEqual([completeText("1a2b")]);
  expect(ctx.lines.filter(({ text }) => text.startsWith("no report of full backups yet"))).toHaveLength(1);
});

test("repositories are read only while the report is not complete; a new ConfigMap gets one too", async () => {
  for (const key of [1, 2]) await store(key);
  await report();
  const moved = { wanted: { configMap: "orders-full", locations: "3c4d" } };
  await report(moved, 5, { 3: () => (data = {}) });
  expect(patches).toEqual([completeText("1a2b"), completeText("3c4d"), completeText("3c4d")]);
  for (const storage of storages) storage.breakDown(fail("hostConnect", "away"));
  await report(moved);
  expect(patches).toHaveLength(3);
});

test("what a former primary wrote is corrected", async () => {
  for (const key of [1, 2]) await store(key);
  await report({}, 3, { 1: () => (data = { fullBackups: LACKING("repo2 has") }) });
  expect(patches).toEqual([completeText("1a2b"), completeText("1a2b")]);
});

test("a standby reports nothing until it is promoted", async () => {
  for (const key of [1, 2]) await store(key);
  let isStandby = true;
  await report({ isStandby: async () => isStandby }, 3, { 2: () => (isStandby = false) });
  expect(patches).toEqual([completeText("1a2b")]);
  expect(slept).toEqual([5000, 10_000, 20_000, 60_000]);
});

test("backups of another cluster under the stanza do not count for this one, under any policy", async () => {
  for (const key of [1, 2]) await store(key);
  const cluster = async (): Promise<{ version: string; systemId: bigint }> => ({ version: "18", systemId: 99n });
  await report({ cluster, acknowledge: { mode: "any", repoIndexes: [] } });
  expect(patches).toEqual([expect.stringMatching(/^repo1: .*system-id 99 do not match.*; repo2: /)]);
  expect(patches).not.toContain(completeText("1a2b"));
});
