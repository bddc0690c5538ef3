/** What retention keeps is compared with stock in test/interop/expire.test.ts; here is what a crash may leave, and what stock cannot be asked. */
import { expect, it } from "vitest";
import type { BackupInfo } from "../../../../runtime/format/backupInfo";
import { expireRepository } from "../../../../runtime/operations/expire/expire";
import { checkRequest, dependantsOf, type ExpireRequest, planExpire, type Retention } from "../../../../runtime/operations/expire/plan";
import { hasManifest } from "../../../../runtime/repository/backupStore";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import { testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/faults";
import { entryOf, type MadeStanza, makeStanza } from "../../../harness/madeRepository";
import { MemoryStorage } from "../../../harness/storages";
import { repository, walName } from "../../repository/support";
import { testLease } from "../../../harness/leases";

const STANZA: MadeStanza = {
  versions: ["14", "15"],
  backups: [
    { label: "20260101-000000F", wal: [walName(1), walName(1)] },
    { label: "20260201-000000F", wal: [walName(3), walName(4)], dbId: 2 },
    { label: "20260201-000000F_20260202-000000D", wal: [walName(5), walName(5)], dbId: 2 },
    { label: "20260301-000000F", wal: [walName(7), walName(7)], dbId: 2 },
  ],
  wal: { "14-1": [1, 2].map((no) => walName(no)), "15-2": [3, 4, 5, 6, 7, 8].map((no) => walName(no)) },
};
const REQUEST: ExpireRequest = { oldest: false, refusePageErrors: true, dryRun: false };
const RETENTION: Retention = { full: 1, fullType: "count", archiveType: "full" };

it("leaves after a crash anywhere only whole backups in backup.info, and the next run finishes", async () => {
  const made = new MemoryStorage();
  await makeStanza(repository(1, { storage: made, pass: "secret" }), STANZA);
  const whole = made.clone();
  const ctx = testContext();
  await expireRepository(repository(1, { storage: whole, pass: "secret" }), RETENTION, REQUEST, testLease(), ctx);
  expect(whole.paths().filter((path) => /2026(01|02)/.test(path) && !path.includes("backup.history"))).toEqual([]);
  expect(
    whole
      .paths()
      .filter((path) => path.startsWith("archive/demo/15-2"))
      .map((path) => path.split("/")[4]?.slice(0, 24)),
  ).toEqual([walName(7), walName(8)]);

  let crashes = 0;
  for (let writes = 0; ; writes++) {
    const memory = made.clone();
    const storage = new FaultyStorage(memory).crashAfter(writes);
    await expireRepository(repository(1, { storage, pass: "secret" }), RETENTION, REQUEST, testLease(), testContext()).catch(() => undefined);
    if (!storage.crashed) break;
    crashes++;
    const left = repository(1, { storage: memory, pass: "secret" });
    for (const { label, prior, archiveStart } of (await loadBackupInfo(left)).backups) {
      expect(await hasManifest(left, label)).toBe(true);
      expect(memory.files.has(`backup/demo/${label}/pg_data/PG_VERSION`)).toBe(true);
      if (prior !== undefined) expect(await hasManifest(left, prior)).toBe(true);
      expect(memory.paths().some((path) => path.includes(`${archiveStart}-`))).toBe(true);
    }
    await expireRepository(left, RETENTION, REQUEST, testLease(), testContext());
    expect(memory.paths()).toEqual(whole.paths());
    expect((await loadBackupInfo(left)).backups).toEqual((await loadBackupInfo(repository(1, { storage: whole, pass: "secret" }))).backups);
  }
  expect(crashes).toBeGreaterThan(8);
});

it("adds a finished backup that a killed writer has not listed, before it decides", async () => {
  const memory = new MemoryStorage();
  const repo = repository(1, { storage: memory });
  await makeStanza(repo, STANZA);
  const listed = memory.clone();
  await makeStanza(repository(1, { storage: listed }), { ...STANZA, backups: STANZA.backups.slice(0, 3) });
  for (const name of ["backup/demo/backup.info", "backup/demo/backup.info.copy"]) memory.files.set(name, listed.files.get(name) as never);
  const ctx = testContext();
  await expireRepository(repo, { ...RETENTION, full: 2 }, REQUEST, testLease(), ctx);
  expect(ctx.lines.map(({ text }) => text)).toContain("backup '20260301-000000F' found in repository added to backup.info");
  expect((await loadBackupInfo(repo)).backups.map((entry) => entry.label)).toEqual(STANZA.backups.slice(1).map((backup) => backup.label));
});

it("writes nothing at all in a dry run", async () => {
  const storage = new FaultyStorage(new MemoryStorage());
  const repo = repository(1, { storage });
  await makeStanza(repo, STANZA);
  const before = storage.writeCount;
  const { labels } = await expireRepository(repo, { ...RETENTION, historyDays: 0 }, { ...REQUEST, dryRun: true }, testLease(), testContext());
  expect(labels).toEqual(STANZA.backups.slice(0, 3).map((backup) => backup.label));
  expect(storage.writeCount).toBe(before);
});

it("takes what depends on a backup with it, directly or not", () => {
  const chain = [
    { label: "20260101-000000F", wal: null },
    { label: "20260101-000000F_20260102-000000D", wal: null },
    { label: "20260101-000000F_20260103-000000I", prior: "20260101-000000F_20260102-000000D", wal: null },
    { label: "20260101-000000F_20260104-000000I", prior: "20260101-000000F_20260103-000000I", wal: null },
    { label: "20260101-000000F_20260105-000000I", prior: "20260101-000000F", wal: null },
  ].map(entryOf);
  expect(dependantsOf(chain, "20260101-000000F_20260102-000000D")).toEqual(chain.slice(1, 4).map((entry) => entry.label));
  const info: BackupInfo = { backrestVersion: "2.60.0", currentId: 1, history: [], backups: chain, other: [] };
  const plan = planExpire("repo1", info, { ...RETENTION, full: 9, diff: 1 }, REQUEST, 0);
  expect(plan.kept.map((entry) => entry.label)).toEqual(chain.map((entry) => entry.label));
});

it("refuses requests that contradict themselves", () => {
  const ask = (request: Partial<ExpireRequest>) => () => checkRequest({ ...REQUEST, ...request });
  expect(ask({ set: "20260101-000000F", oldest: true })).toThrow("--oldest and --set cannot be used together");
  expect(ask({ set: "yesterday" })).toThrow("'yesterday' is not a valid backup label format");
  expect(ask({ archiveExpireBefore: "00000002.history" })).toThrow("is not a valid WAL segment name");
  expect(ask({ archiveExpireBefore: walName(3) })).not.toThrow();
});
