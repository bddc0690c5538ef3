/** How backups join and leave backup.info. The tests of `expire` and `backup` cover its use. */
import { beforeEach, describe, expect, it } from "vitest";
import { saveAttempt } from "../../../runtime/repository/attempt";
import { markExpired } from "../../../runtime/repository/expireStore";
import { loadBackupInfo, saveBackupInfo } from "../../../runtime/repository/infoStore";
import { loadReconstructedInfo, saveAdopted } from "../../../runtime/repository/reconstruct";
import type { Repository } from "../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../harness/context";
import { FaultyStorage } from "../../harness/network/faults";
import { type TestLease, testLease } from "../../harness/leases";
import { makeStanza } from "../../harness/madeRepository";
import { MemoryStorage } from "../../harness/doubles/storages";
import { repository } from "./support";

const FULL = "20260101-000000F";
const DIFF = "20260101-000000F_20260102-000000D";
const NEXT = "20260201-000000F";
let storage: MemoryStorage;
let repo: Repository;
let ctx: TestContext;
let lease: TestLease;

beforeEach(async () => {
  storage = new MemoryStorage();
  repo = repository(1, { storage });
  ctx = testContext();
  lease = testLease();
  await makeStanza(repo, {
    versions: ["15"],
    backups: [FULL, DIFF, NEXT].map((label) => ({ label, wal: null })),
    wal: {},
  });
});

const labelsOf = async (): Promise<string[]> => (await loadBackupInfo(repo)).backups.map((entry) => entry.label);
const warnings = (): string[] => ctx.lines.filter(({ level }) => level === "warn").map(({ text }) => text);

/** Removes `labels` from backup.info, as if their writer had been killed before it. */
async function forget(...labels: string[]): Promise<void> {
  const info = await loadBackupInfo(repo);
  await saveBackupInfo(repo, { ...info, backups: info.backups.filter((entry) => !labels.includes(entry.label)) }, ctx);
}

async function mend(): Promise<string[]> {
  const result = await loadReconstructedInfo(repo, lease, ctx);
  await saveAdopted(repo, lease, result, ctx);
  return result.adopted.map((entry) => entry.label);
}

describe("a complete backup that is not listed", () => {
  it("joins the list with its base", async () => {
    await forget(FULL, DIFF);
    expect(await mend()).toEqual([FULL, DIFF]);
    expect(await labelsOf()).toEqual([FULL, DIFF, NEXT]);
    expect(await mend()).toEqual([]);
  });

  it("joins the list from an attempt of this host, whose file is removed", async () => {
    await forget(NEXT);
    await saveAttempt(repo, NEXT, { lease: testLease(), source: null, pass: null }, ctx);
    expect(await mend()).toEqual([NEXT]);
    expect(storage.paths().some((path) => path.endsWith(".attempt"))).toBe(false);
  });

  it("stays out when another host started it, which may wake and take it back", async () => {
    await forget(NEXT);
    await saveAttempt(repo, NEXT, { lease: testLease({ domain: "host2" }), source: null, pass: null }, ctx);
    expect(await mend()).toEqual([]);
    expect(warnings()).toEqual([
      `invalid backup '${NEXT}' cannot be added to current backups: another host started it and did not list it`,
    ]);
  });

  it("stays out when expire has begun to remove it, whose late removals may still arrive", async () => {
    await forget(NEXT);
    await markExpired(repo, NEXT, null);
    expect(await mend()).toEqual([]);
    expect(warnings()).toEqual([
      `invalid backup '${NEXT}' cannot be added to current backups: expire has decided to remove it`,
    ]);
  });

  it("stays out without its files, with another size, and without its base", async () => {
    const path = `backup/demo/${NEXT}/pg_data/PG_VERSION`;
    await forget(NEXT);
    const bytes = storage.files.get(path);
    storage.files.delete(path);
    expect(await mend()).toEqual([]);
    await storage.put(path, new Uint8Array(1));
    expect(await mend()).toEqual([]);
    expect(warnings().map((text) => text.replace(/.*current backups: /, ""))).toEqual([
      `repo1: '${path}' of backup '${NEXT}' is gone`,
      `repo1: '${path}' of backup '${NEXT}' has 1 bytes and not 3`,
    ]);
    if (bytes !== undefined) storage.files.set(path, bytes);
    expect(await mend()).toEqual([NEXT]);
    await forget(FULL, DIFF);
    await storage.remove(`backup/demo/${FULL}/backup.manifest`);
    expect(await mend()).toEqual([]);
    expect(warnings()).toContain(
      `invalid backup '${DIFF}' cannot be added to current backups: its prior backup '${FULL}' is not listed`,
    );
  });

  it("makes the listing doubtful when its base exists and was not shown", async () => {
    await forget(FULL, DIFF);
    const hiding = new FaultyStorage(storage);
    const list = hiding.list.bind(hiding);
    hiding.list = async function* (path, options) {
      for await (const entry of list(path, options)) if (!entry.path.endsWith(`/${FULL}`)) yield entry;
    };
    const { doubts } = await loadReconstructedInfo({ ...repo, storage: hiding }, lease, ctx);
    expect(doubts).toEqual([`the listing lacks backup '${FULL}', whose manifest exists`]);
  });

  it("is not listed by a process that has lost the lease", async () => {
    await forget(NEXT);
    lease.isLost = true;
    await expect(mend()).rejects.toMatchObject({ kind: "lockAcquire" });
    expect(await labelsOf()).toEqual([FULL, DIFF]);
  });
});

describe("a listed backup", () => {
  it("leaves with its dependants only when manifest and copy are gone", async () => {
    await storage.remove(`backup/demo/${FULL}/backup.manifest`);
    const doubtful = await loadReconstructedInfo(repo, lease, ctx);
    expect(doubtful).toMatchObject({
      lost: [],
      doubts: [expect.stringContaining("of a listed backup is gone, but its copy exists")],
    });
    expect(doubtful.info).toBe(doubtful.loaded);
    await storage.remove(`backup/demo/${FULL}/backup.manifest.copy`);
    const result = await loadReconstructedInfo(repo, lease, ctx);
    expect(result.lost).toEqual([
      { label: FULL, reason: "its manifest is gone" },
      { label: DIFF, reason: `its prior backup '${FULL}' is gone` },
    ]);
    expect(result.info.backups.map((entry) => entry.label)).toEqual([NEXT]);
    expect(await labelsOf()).toEqual([FULL, DIFF, NEXT]);
  });

  it("stays when the whole repository is unreachable", async () => {
    for (const path of storage.paths()) if (!path.includes("backup.info")) storage.files.delete(path);
    await expect(loadReconstructedInfo(repo, lease, ctx)).rejects.toMatchObject({ kind: "fileMissing" });
  });
});
