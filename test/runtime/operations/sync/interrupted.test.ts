import { beforeEach, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { expireRepository } from "../../../../runtime/operations/expire/expire";
import { inlinePool } from "../../../../runtime/operations/shared/jobs";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { sync, type SyncOutcome } from "../../../../runtime/operations/sync/sync";
import { loadArchiveInfo, loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { ManualClock, TEST_TIME_MS, type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { testLease } from "../../../harness/leases";
import { KEEP_ALL } from "../../../harness/madeRepository";
import { FaultyStorage } from "../../../harness/network/faults";
import { CONTROL, makeDataDirectory, repository, temporaryFolder } from "../../repository/support";
import { store } from "../archive";
import { runBackup } from "../backup/support";

const DAY_MS = 24 * 60 * 60 * 1000;
let ctx: TestContext;
let data: string;
let storage: FaultyStorage;
let from: Repository;
let to: Repository;
/** The backup whose copy was interrupted. */
let copied: string;

beforeEach(async () => {
  ctx = testContext({ clock: new ManualClock(TEST_TIME_MS) });
  const nowMs = (): number => ctx.clock.nowMs();
  storage = new FaultyStorage(new MemoryStorage({ nowMs }));
  from = repository(1, { storage: new MemoryStorage({ nowMs }) });
  to = repository(2, { storage, pass: "second" });
  data = makeDataDirectory(temporaryFolder());
  await stanzaCreate([from, to], CONTROL, ctx);
  await runBackup([from], data, ctx);
  copied = (await loadBackupInfo(from)).backups[0]?.label ?? "";
  storage.plan("putStream", { kind: "error", error: fail("hostConnect", "away") }, { path: /backup\.manifest$/ });
  storage.plan("put", { kind: "error", error: fail("hostConnect", "away") }, { path: /backup\.manifest$/ });
  expect((await syncAll()).labels).toEqual([]);
  storage.repair();
  ctx.clock.advance(60_000);
});

function syncAll(): Promise<SyncOutcome> {
  const pool = inlinePool(new Map([from, to].map((repo) => [repo.key, repo])), ctx, 2);
  const scope = { kind: "all", retention: KEEP_ALL } as const;
  return sync(from, to, pool, { scope, dryRun: false, headerCheck: false, lease: testLease() }, ctx);
}

const expire = (): Promise<unknown> =>
  expireRepository(to, KEEP_ALL, { oldest: false, refusePageErrors: false, dryRun: false }, testLease(), ctx);
const lines = (): string => ctx.lines.map(({ text }) => text).join("\n");

it("resumes after a backup into the target and its expire", async () => {
  await runBackup([to], data, ctx);
  await expire();
  expect((await syncAll()).labels).toEqual([copied]);
  expect(lines()).toMatch(new RegExp(`repo2: copied backup ${copied} from repo1 .*, [1-9]\\d* of them already there`));
  expect((await loadBackupInfo(to)).backups).toHaveLength(2);
});

it("lists a complete backup that the target has and does not list, and copies nothing over it", async () => {
  await runBackup([from, to], data, ctx);
  const info = await loadBackupInfo(to);
  const label = info.backups.at(-1)?.label ?? "";
  const filesOf = async (): Promise<unknown[]> => {
    const files: unknown[] = [];
    for await (const file of to.storage.list(`backup/demo/${label}`, { recursive: true })) files.push(file);
    return files;
  };
  // As a backup leaves it that was killed after its manifest.
  await saveBackupInfo(to, { ...info, backups: [] }, ctx);
  const before = await filesOf();
  expect(before.length).toBeGreaterThan(2);
  ctx.clock.advance(60_000);
  expect((await syncAll()).labels).toEqual([copied]);
  expect((await loadBackupInfo(to)).backups.map((entry) => entry.label)).toContain(label);
  expect(await filesOf()).toEqual(before);
});

it("starts over after a week: then a backup or expire has removed the interrupted copy", async () => {
  ctx.clock.advance(8 * DAY_MS);
  await runBackup([to], data, ctx);
  expect((await syncAll()).labels).toEqual([copied]);
  expect(lines()).not.toContain("of them already there");
});

it("reports a backup of the target whose manifest is gone, and copies it again after an expire", async () => {
  await runBackup([to], data, ctx);
  await expire();
  await syncAll();
  for (const name of ["backup.manifest", "backup.manifest.copy"]) await storage.remove(`backup/demo/${copied}/${name}`);
  ctx.clock.advance(60_000);
  const line = `backup ${copied} of repo2: its manifest is gone. Run expire with --repo=2, then sync`;
  expect(await syncAll()).toMatchObject({ labels: [], problems: [line] });
  await expire();
  expect(await syncAll()).toMatchObject({ labels: [copied], problems: [] });
});

it("completes a stanza that was begun and already receives WAL", async () => {
  const memory = new MemoryStorage({ nowMs: () => ctx.clock.nowMs() });
  to = repository(2, { storage: memory, pass: "second" });
  await stanzaCreate(
    [repository(2, { storage: new FaultyStorage(memory).crashAfter(2), pass: "second" })],
    CONTROL,
    ctx,
  );
  await store(to, 1);
  const { cipherPass } = await loadArchiveInfo(to);
  expect(await syncAll()).toMatchObject({ labels: [copied], problems: [] });
  expect((await loadArchiveInfo(to)).cipherPass).toBe(cipherPass);
});
