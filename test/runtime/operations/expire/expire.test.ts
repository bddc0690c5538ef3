/**
 * Covers crashes, and features that stock lacks. test/interop/backup/expire.test.ts compares the kept backups and WAL
 * with stock.
 */
import { readdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fail, toBackupError } from "../../../../runtime/base/errors";
import type { BackupInfo } from "../../../../runtime/format/repository/backupInfo";
import { formatLabel } from "../../../../runtime/format/repository/label";
import { expireRepository } from "../../../../runtime/operations/expire/expire";
import {
  checkRequest,
  dependantsOf,
  type ExpireRequest,
  type OpenedUse,
  type OpenedUses,
  planExpire,
} from "../../../../runtime/operations/expire/expirePlan";
import { holdNotes } from "../../../../runtime/operations/expire/hold";
import { inlinePool } from "../../../../runtime/operations/shared/jobs";
import { verify } from "../../../../runtime/operations/verify/verify";
import { saveAttempt } from "../../../../runtime/repository/attempt";
import { hasManifest } from "../../../../runtime/repository/backupStore";
import { markExpired } from "../../../../runtime/repository/expireStore";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import type { Retention } from "../../../../runtime/repository/retention";
import { PosixStorage } from "../../../../runtime/storage/posix";
import type { ListOptions, ObjectInfo } from "../../../../runtime/storage/storage";
import { testContext } from "../../../harness/context";
import { testLease } from "../../../harness/leases";
import { FaultyStorage } from "../../../harness/network/faults";
import {
  entryOf,
  MADE_WAL_SIZE_BYTES,
  type MadeStanza,
  makeStanza,
  manifestOf,
  putBackup,
  SYSTEM_ID,
} from "../../../harness/madeRepository";
import { MemoryStorage, ForgetfulStorage } from "../../../harness/doubles/storages";
import { repository, temporaryFolder, walName } from "../../repository/support";

/** 2026-01-01. */
const BEGIN_S = 1_767_225_600;
const SYSTEM_ID_15 = String(SYSTEM_ID + 1n);
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
const usesOf = (...uses: readonly OpenedUse[]): OpenedUses => ({
  list: () => Promise.resolve(uses),
  alone: (work) => work(),
});

it("removes nothing when the storage answers that it stored backup.info and did not", async () => {
  const storage = new ForgetfulStorage({ createsExclusively: false });
  const repo = repository(1, { storage });
  await makeStanza(repo, STANZA);
  storage.forgets = /backup\.info/;
  const run = expireRepository(repo, RETENTION, REQUEST, testLease(), testContext());
  await expect(run).rejects.toMatchObject({ kind: "fileMissing" });
  for (const { label } of (await loadBackupInfo(repo)).backups) expect(await hasManifest(repo, label)).toBe(true);
});

it("leaves after a crash anywhere only complete backups in backup.info, and the next run finishes", async () => {
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
    await expireRepository(
      repository(1, { storage, pass: "secret" }),
      RETENTION,
      REQUEST,
      testLease(),
      testContext(),
    ).catch(() => undefined);
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
    expect((await loadBackupInfo(left)).backups).toEqual(
      (await loadBackupInfo(repository(1, { storage: whole, pass: "secret" }))).backups,
    );
  }
  expect(crashes).toBeGreaterThan(8);
});

it("adds a finished backup that a killed writer has not listed, before it decides", async () => {
  const memory = new MemoryStorage();
  const repo = repository(1, { storage: memory });
  await makeStanza(repo, STANZA);
  const listed = memory.clone();
  await makeStanza(repository(1, { storage: listed }), { ...STANZA, backups: STANZA.backups.slice(0, 3) });
  for (const name of ["backup/demo/backup.info", "backup/demo/backup.info.copy"])
    memory.files.set(name, listed.files.get(name) as never);
  const ctx = testContext();
  await expireRepository(repo, { ...RETENTION, full: 2 }, REQUEST, testLease(), ctx);
  expect(ctx.lines.map(({ text }) => text)).toContain(
    "backup '20260301-000000F' found in repository added to backup.info",
  );
  expect((await loadBackupInfo(repo)).backups.map((entry) => entry.label)).toEqual(
    STANZA.backups.slice(1).map((backup) => backup.label),
  );
});

it.each([
  ["with its whole history", {}],
  ["where the history is kept for ten days", { historyDays: 10 }],
])("lets a backup go on the day when its hold ends, although retention removed those since: %s", async (_, more) => {
  const repo = repository(1, { storage: new MemoryStorage() });
  const labelAt = (day: number): string => formatLabel("full", BEGIN_S + day * 86_400);
  const backups = [0, 7].map((day) => ({ label: labelAt(day), wal: null }));
  await makeStanza(repo, { versions: ["15"], backups, wal: {} });
  const retention: Retention = { ...RETENTION, full: 2, ...more };
  const heldOn: number[] = [];
  for (let day = 7; day <= 84; day += 7) {
    if (day > 7)
      await putBackup(repo, manifestOf({ label: labelAt(day), wal: null }, (await loadBackupInfo(repo)).history), null);
    const { backups: listed, ...info } = await loadBackupInfo(repo);
    const annotations = holdNotes({ reason: "audit", untilS: BEGIN_S + 60 * 86_400 });
    const held = listed.map((each) => (each.label === labelAt(0) ? { ...each, annotations } : each));
    const ctx = testContext({ startedAtMs: (BEGIN_S + day * 86_400 + 7200) * 1000 });
    await saveBackupInfo(repo, { ...info, backups: held }, ctx);
    await expireRepository(repo, retention, REQUEST, testLease(), ctx);
    if ((await loadBackupInfo(repo)).backups.some(({ label }) => label === labelAt(0))) heldOn.push(day);
  }
  expect(heldOn).toEqual([7, 14, 21, 28, 35, 42, 49, 56]);
});

it("leaves a tombstone where another host was at work, and only there", async () => {
  const memory = new MemoryStorage();
  const repo = repository(1, { storage: memory });
  await makeStanza(repo, STANZA);
  const [begun, own, marked] = ["20260110-000000F", "20260111-000000F", "20260201-000000F"] as const;
  const [here, elsewhere] = [testLease({ domain: "here" }), testLease({ domain: "elsewhere" })];
  await saveAttempt(repo, begun, { lease: elsewhere, source: null, pass: null }, testContext());
  await saveAttempt(repo, own, { lease: here, source: null, pass: null }, testContext());
  await markExpired(repo, marked, elsewhere);
  await expireRepository(repo, RETENTION, REQUEST, here, testContext());
  expect(memory.paths().filter((path) => path.startsWith("pgbackstop/"))).toEqual(
    [begun, marked].map((label) => `pgbackstop/demo/tombstones/${label}`),
  );
});

// claim: docs/retention.md: a backup of the calendar stays with what it needs and the WAL from its start to its end
it("keeps a calendar's backup with its base and only its own WAL, and verify misses none", async () => {
  const storage = new MemoryStorage();
  const retention: Retention = { ...RETENTION, keep: { yearly: 3, zone: "UTC" } };
  const repo = repository(1, { storage, retention });
  const full = "20240101-000000F";
  const [diff, other, last] = [`${full}_20240102-000000D`, `${full}_20240103-000000I`, `${full}_20240104-000000I`];
  const backups = [
    { label: full, wal: [walName(1), walName(1)], pageErrors: true },
    { label: diff, wal: [walName(2), walName(2)] },
    { label: other, wal: [walName(4), walName(4)], pageErrors: true },
    { label: last, prior: diff, wal: [walName(6), walName(7)], pageErrors: true },
    { label: "20250101-000000F", wal: [walName(9), walName(9)] },
    { label: "20260101-000000F", wal: [walName(11), walName(11)] },
  ] as const;
  const wal = Array.from({ length: 13 }, (_, no) => walName(no));
  await makeStanza(repo, { versions: ["15"], backups, wal: { "15-1": wal } });
  await expireRepository(repo, retention, REQUEST, testLease(), testContext());
  const { backups: left } = await loadBackupInfo(repo);
  expect(left.map(({ label }) => label)).toEqual([full, diff, "20250101-000000F", "20260101-000000F"]);
  const names = storage.paths().flatMap((path) => /15-1\/\d{16}\/(\d[0-9A-F]{23})/.exec(path)?.[1] ?? []);
  expect(names.sort()).toEqual([1, 2, 9, 11, 12].map((no) => walName(no)));
  const pool = inlinePool(new Map([[1, repo]]), testContext(), 1);
  const verdict = await verify(repo, pool, MADE_WAL_SIZE_BYTES, testContext());
  expect(verdict.archives[0]).toMatchObject({ gaps: [], gaplessFrom: walName(11) });
  const without = await verify({ ...repo, retention: RETENTION }, pool, MADE_WAL_SIZE_BYTES, testContext());
  expect(without.archives[0]?.gaps).not.toEqual([]);
});

it("writes nothing in a dry run", async () => {
  const storage = new FaultyStorage(new MemoryStorage());
  const repo = repository(1, { storage });
  await makeStanza(repo, STANZA);
  const before = storage.writeCount;
  const { labels } = await expireRepository(
    repo,
    { ...RETENTION, historyDays: 0 },
    { ...REQUEST, dryRun: true },
    testLease(),
    testContext(),
  );
  expect(labels).toEqual(STANZA.backups.slice(0, 3).map((backup) => backup.label));
  expect(storage.writeCount).toBe(before);
});

it("removes a backup with its direct and indirect dependants", () => {
  const chain = [
    { label: "20260101-000000F", wal: null },
    { label: "20260101-000000F_20260102-000000D", wal: null },
    { label: "20260101-000000F_20260103-000000I", prior: "20260101-000000F_20260102-000000D", wal: null },
    { label: "20260101-000000F_20260104-000000I", prior: "20260101-000000F_20260103-000000I", wal: null },
    { label: "20260101-000000F_20260105-000000I", prior: "20260101-000000F", wal: null },
  ].map(entryOf);
  expect(dependantsOf(chain, "20260101-000000F_20260102-000000D")).toEqual(
    chain.slice(1, 4).map((entry) => entry.label),
  );
  const info: BackupInfo = { backrestVersion: "2.60.0", currentId: 1, history: [], backups: chain, other: [] };
  const plan = planExpire("repo1", info, { ...RETENTION, full: 9, diff: 1 }, REQUEST, { nowS: 0, pauses: [] });
  expect(plan.kept.map((entry) => entry.label)).toEqual(chain.map((entry) => entry.label));
});

it("leaves an opened backup and its set, by retention and by hand, and takes the others", async () => {
  const storage = new MemoryStorage();
  const repo = repository(1, { storage });
  await makeStanza(repo, STANZA);
  const listed = async (): Promise<string[]> => (await loadBackupInfo(repo)).backups.map(({ label }) => label);
  const diff = "20260201-000000F_20260202-000000D";
  const opened = usesOf({ label: diff, systemId: SYSTEM_ID_15, at: "/mnt/past", isRecovering: false });
  const ctx = testContext();
  await expireRepository(repo, RETENTION, { ...REQUEST, opened }, testLease(), ctx);
  expect(await listed()).toEqual(["20260201-000000F", diff, "20260301-000000F"]);
  expect(ctx.lines.map(({ text }) => text)).toContain(
    `repo1: backup ${diff} stays, because it is open at '/mnt/past', and all of 20260201-000000F, ${diff} with it\nHINT: close it, or let it fetch everything (--fetch-all).`,
  );
  const byHand = { ...REQUEST, set: "20260201-000000F", opened };
  expect(await expireRepository(repo, RETENTION, byHand, testLease(), testContext())).toEqual({
    labels: [],
    hasSet: true,
  });
  expect(await listed()).toHaveLength(3);
  await expireRepository(repo, RETENTION, REQUEST, testLease(), testContext());
  expect(await listed()).toEqual(["20260301-000000F"]);
});

// claim: docs/open.md: `expire` leaves the WAL that the recovery of an opened backup may need
it("leaves all WAL after an opened backup while that recovers", async () => {
  for (const isRecovering of [true, false]) {
    const storage = new MemoryStorage();
    const repo = repository(1, { storage });
    await makeStanza(repo, STANZA);
    const label = "20260201-000000F_20260202-000000D";
    const opened = usesOf({ label, systemId: SYSTEM_ID_15, at: "/mnt/past", isRecovering });
    await expireRepository(repo, RETENTION, { ...REQUEST, opened }, testLease(), testContext());
    const wal = storage.paths().flatMap((path) => /15-2\/\d{16}\/(\d[0-9A-F]{23})/.exec(path)?.[1] ?? []);
    const numbers = [3, 4, 5, ...(isRecovering ? [6] : []), 7, 8];
    expect(wal.sort()).toEqual(numbers.map((no) => walName(no)));
  }
});

class SteppedStorage extends MemoryStorage {
  step: () => Promise<void> = () => Promise.resolve();

  override async stat(path: string): Promise<ObjectInfo | null> {
    await this.step();
    return super.stat(path);
  }

  override async put(path: string, bytes: Uint8Array): Promise<void> {
    await this.step();
    return super.put(path, bytes);
  }

  override async remove(path: string): Promise<void> {
    await this.step();
    return super.remove(path);
  }
}

// claim: docs/open.md: an `open` that begins while `expire` runs keeps its backup, or chooses from what is left
it("removes nothing of a backup that is opened at any moment of its run", async () => {
  const made = new MemoryStorage();
  await makeStanza(repository(1, { storage: made }), STANZA);
  const outcomes = new Set<string>();
  for (const pause of [0, 1, 3, 10, Number.POSITIVE_INFINITY]) {
    for (let first = 0; ; first++) {
      const storage = new SteppedStorage({ files: made.files });
      const now = (): Repository => repository(1, { storage: storage.clone() });
      // What `open` does: it records itself, waits while `expire` decides, and chooses the oldest backup.
      const open = { isRecorded: false, isHeld: false, label: "" };
      const choose = async (): Promise<void> => {
        const { backups } = await loadBackupInfo(now());
        open.label = backups.find(({ dbId }) => dbId === 2)?.label ?? expect.fail("none is left");
      };
      let steps = 0;
      storage.step = async () => {
        if (steps === first) open.isRecorded = true;
        if (steps >= first + pause && !open.isHeld && open.label === "") await choose();
        steps++;
      };
      const opened: OpenedUses = {
        list: async () => {
          if (!open.isRecorded) return [];
          if (open.label === "") throw fail("lockAcquire", "a backup is being opened");
          return [{ label: open.label, systemId: SYSTEM_ID_15, at: "/mnt/past", isRecovering: false }];
        },
        alone: async (work) => {
          // Another run holds the lock.
          await storage.step();
          open.isHeld = true;
          await work().finally(() => (open.isHeld = false));
        },
      };
      const stepped = repository(1, { storage });
      const outcome = await expireRepository(
        stepped,
        RETENTION,
        { ...REQUEST, opened },
        testLease(),
        testContext(),
      ).then(
        () => "expired",
        (error: unknown) => toBackupError(error).kind,
      );
      if (steps <= first) break;
      if (open.label === "") await choose();
      const { label } = open;
      const isThere = storage.files.has(`backup/demo/${label}/pg_data/PG_VERSION`);
      expect([label, await hasManifest(now(), label), isThere]).toEqual([label, true, true]);
      outcomes.add(`${outcome} ${label}`);
    }
  }
  expect([...outcomes].sort()).toEqual([
    "expired 20260201-000000F",
    "expired 20260301-000000F",
    "lockAcquire 20260201-000000F",
  ]);
});

it("takes the oldest backup that only stays because it is open for no sign of trouble", async () => {
  const repo = repository(1, { storage: new MemoryStorage() });
  await makeStanza(repo, STANZA);
  const label = "20260201-000000F";
  const info = await loadBackupInfo(repo);
  const backups = info.backups.map((entry) => (entry.label === label ? { ...entry, error: true } : entry));
  await saveBackupInfo(repo, { ...info, backups }, testContext());
  const opened = usesOf({ label, systemId: SYSTEM_ID_15, at: "/mnt/past", isRecovering: false });
  const { labels } = await expireRepository(repo, RETENTION, { ...REQUEST, opened }, testLease(), testContext());
  expect(labels).toEqual(["20260101-000000F"]);
});

it("refuses contradictory requests", () => {
  const ask = (request: Partial<ExpireRequest>) => () => checkRequest({ ...REQUEST, ...request });
  expect(ask({ set: "20260101-000000F", oldest: true })).toThrow("--oldest and --set cannot be used together");
  expect(ask({ set: "yesterday" })).toThrow("'yesterday' is not a valid backup label format");
  expect(ask({ archiveExpireBefore: "00000002.history" })).toThrow("is not a valid WAL segment name");
  expect(ask({ archiveExpireBefore: walName(3) })).not.toThrow();
});

/** Hides one path from its first listing, like an eventually consistent store. */
class HidingStorage extends MemoryStorage {
  hidden: string | null = null;

  override async *list(path: string, options?: ListOptions): AsyncIterable<ObjectInfo> {
    let hasHidden = false;
    for await (const entry of super.list(path, options)) {
      if (this.hidden !== null && `${entry.path}/`.startsWith(`${this.hidden}/`)) hasHidden = true;
      else yield entry;
    }
    if (hasHidden) this.hidden = null;
  }
}

// claim: README.md: an incomplete listing removes no backup
describe("a name that a listing lacked", () => {
  const LABELS = STANZA.backups.map((backup) => backup.label);

  it("is looked up directly: nothing is removed in that run, whether it is listed or not", async () => {
    for (const label of LABELS) {
      for (const listed of [true, false]) {
        const storage = new HidingStorage();
        const repo = repository(1, { storage });
        await makeStanza(repo, STANZA);
        const info = await loadBackupInfo(repo);
        if (!listed)
          await saveBackupInfo(
            repo,
            { ...info, backups: info.backups.filter((entry) => entry.label !== label) },
            testContext(),
          );
        const before = storage.paths();
        storage.hidden = `backup/demo/${label}`;
        const ctx = testContext();
        await expireRepository(repo, { ...RETENTION, full: 9 }, REQUEST, testLease(), ctx);
        expect(storage.hidden).toBeNull();
        expect(storage.paths()).toEqual(before);
        await expireRepository(repo, { ...RETENTION, full: 9 }, REQUEST, testLease(), testContext());
        expect((await loadBackupInfo(repo)).backups.map((entry) => entry.label)).toEqual(LABELS);
      }
    }
  });

  it("leaves backup.info when it is truly gone, with its dependants; the next run removes the bytes", async () => {
    const storage = new MemoryStorage();
    const repo = repository(1, { storage });
    await makeStanza(repo, STANZA);
    const full = "20260201-000000F";
    const diff = "20260201-000000F_20260202-000000D";
    await storage.removePath(`backup/demo/${full}`);
    const before = storage.paths();
    const ctx = testContext();
    await expireRepository(repo, RETENTION, REQUEST, testLease(), ctx);
    expect(storage.paths()).toEqual(before);
    expect((await loadBackupInfo(repo)).backups.map((entry) => entry.label)).toEqual([
      "20260101-000000F",
      "20260301-000000F",
    ]);
    const warned = ctx.lines.filter(({ level }) => level === "warn").map(({ text }) => text);
    expect(warned).toContain(`backup '${full}' missing manifest removed from backup.info`);
    expect(warned.some((text) => text.includes("nothing is removed in this run"))).toBe(true);
    await expireRepository(repo, RETENTION, REQUEST, testLease(), testContext());
    expect(storage.paths().filter((path) => path.includes(diff) && !path.includes("backup.history"))).toEqual([]);
    expect((await loadBackupInfo(repo)).backups.map((entry) => entry.label)).toEqual(["20260301-000000F"]);
  });

  it("is repaired when an old version has listed a backup without its base", async () => {
    const storage = new MemoryStorage();
    const repo = repository(1, { storage });
    await makeStanza(repo, STANZA);
    const full = "20260201-000000F";
    const diff = "20260201-000000F_20260202-000000D";
    const info = await loadBackupInfo(repo);
    await saveBackupInfo(
      repo,
      { ...info, backups: info.backups.filter((entry) => entry.label !== full) },
      testContext(),
    );
    await storage.removePath(`backup/demo/${full}`);
    const verdict = await verify(
      repo,
      inlinePool(new Map([[1, repo]]), testContext(), 2),
      MADE_WAL_SIZE_BYTES,
      testContext(),
    );
    expect(verdict.problems).toContain(`${diff}: refers to backup ${full}, which is not in backup.info`);
    const before = storage.paths();
    const ctx = testContext();
    await expireRepository(repo, { ...RETENTION, full: 9 }, REQUEST, testLease(), ctx);
    expect(ctx.lines.map(({ text }) => text).join("\n")).toContain(
      `backup '${diff}' removed from backup.info: its prior backup '${full}' is gone`,
    );
    expect(storage.paths()).toEqual(before);
    expect((await loadBackupInfo(repo)).backups.map((entry) => entry.label)).toEqual([
      "20260101-000000F",
      "20260301-000000F",
    ]);
    await expireRepository(repo, { ...RETENTION, full: 9 }, REQUEST, testLease(), testContext());
    expect(storage.paths().some((path) => path.startsWith(`backup/demo/${diff}/`))).toBe(false);
  });
});

describe("retention by time", () => {
  const DAY_MS = 86_400_000;
  const labels = ["20261101-000000F", "20261108-000000F", "20261115-000000F", "20261119-000000F"];
  const newestMs = Date.UTC(2026, 10, 19);
  const by = { full: 7, fullType: "time", archiveType: "full" } as const;

  /** The labels that are left `days` after the newest backup by the clock of expire. WAL was stored at `walDays`. */
  async function keptAfter(days: number, walDays: readonly number[] = []): Promise<{ kept: string[]; warned: string }> {
    let nowMs = newestMs;
    const storage = new MemoryStorage({ nowMs: () => nowMs });
    const repo = repository(1, { storage });
    const names = labels.map((label, index) => ({ label, wal: [walName(index), walName(index)] as const, dbId: 2 }));
    await makeStanza(repo, { ...STANZA, backups: names, wal: { "15-2": labels.map((_, index) => walName(index)) } });
    for (const [index, day] of walDays.entries()) {
      nowMs = newestMs + day * DAY_MS;
      await storage.put(`archive/demo/15-2/0000000100000009/00000001000000090000000${index}`, Buffer.from("wal"));
    }
    const ctx = testContext({ startedAtMs: newestMs + days * DAY_MS });
    await expireRepository(repo, by, REQUEST, testLease(), ctx);
    const kept = (await loadBackupInfo(repo)).backups.map((entry) => entry.label);
    return { kept, warned: ctx.lines.flatMap((line) => (line.level === "warn" ? [line.text] : [])).join("\n") };
  }

  it("keeps what its days do not cover, as stock does", async () => {
    expect(await keptAfter(1)).toEqual({ kept: labels.slice(1), warned: "" });
    expect(await keptAfter(40)).toEqual({ kept: labels.slice(3), warned: "" });
  });

  it("does not count time without a sign of life: a clock that is 400 days ahead removes nothing", async () => {
    const { kept, warned } = await keptAfter(400);
    expect(kept).toEqual(labels.slice(1));
    expect(warned).toMatch(
      /^repo1: no backup and no WAL from 2026-11-19T.* to 2027-12-24T.*a wrong clock looks the same/,
    );
    expect(warned).toContain("HINT: check this host's clock. To remove a backup anyway, name it: expire --set.");
  });

  it.each([
    ["keeps all of them", 9],
    ["lets one go", 3],
  ])("a clock that is 400 days ahead removes no WAL between backups where a calendar %s", async (_what, weekly) => {
    const walAfter = async (days: number): Promise<string[]> => {
      const storage = new MemoryStorage({ nowMs: () => newestMs });
      const repo = repository(1, { storage });
      const backups = labels.map((label, no) => ({ label, wal: [walName(3 * no), walName(3 * no)] as const, dbId: 2 }));
      await makeStanza(repo, { ...STANZA, backups, wal: { "15-2": labels.flatMap((_, no) => walOf(3 * no)) } });
      const ctx = testContext({ startedAtMs: newestMs + days * DAY_MS });
      await expireRepository(repo, { ...by, keep: { weekly, zone: "UTC" } }, REQUEST, testLease(), ctx);
      return storage.paths().filter((path) => path.startsWith("archive/demo/15-2/"));
    };
    const walOf = (no: number): string[] => [no, no + 1, no + 2].map((each) => walName(each));
    const wal = await walAfter(1);
    expect(wal.length).toBeGreaterThan(labels.length + 4);
    expect(await walAfter(400)).toEqual(wal);
  });

  it("counts the time in which WAL arrived, and the time after a pause", async () => {
    expect(await keptAfter(100, [30, 60, 90])).toEqual({ kept: labels.slice(3), warned: "" });
    expect((await keptAfter(400, [396])).kept).toEqual(labels.slice(2));
    expect((await keptAfter(400, [380])).kept).toEqual(labels.slice(3));
  });
});

describe("a link in place of a backup's directory", () => {
  const labels = ["20260101-000000F", "20260201-000000F", "20260301-000000F"];
  const keepOne = { ...RETENTION, full: 1 };

  it("that is no backup's is removed itself, and what it leads to stays", async () => {
    const { repo, backups, elsewhere } = await made();
    symlinkSync(elsewhere, join(backups, "20260215-000000F"));
    symlinkSync("/nowhere", join(backups, "20260216-000000F"));
    await expireRepository(repo, { ...RETENTION, full: 9 }, REQUEST, testLease(), testContext());
    expect(readdirSync(backups).filter((name) => name.endsWith("F"))).toEqual(labels);
    expect(readdirSync(elsewhere)).toEqual(["backup.manifest"]);
  });

  it("blocks no expire, and is removed itself when its backup expires", async () => {
    for (const moved of [0, 2]) {
      const { repo, backups, elsewhere } = await made();
      const target = join(elsewhere, "moved");
      renameSync(join(backups, labels[moved] ?? ""), target);
      symlinkSync(target, join(backups, labels[moved] ?? ""));
      const before = readdirSync(target);
      const { labels: expired } = await expireRepository(repo, keepOne, REQUEST, testLease(), testContext());
      expect(expired).toEqual(labels.slice(0, 2));
      expect(readdirSync(backups).filter((name) => name.endsWith("F"))).toEqual([labels[2]]);
      expect(readdirSync(target)).toEqual(before);
    }
  });

  async function made(): Promise<{ repo: Repository; backups: string; elsewhere: string }> {
    const [root, elsewhere] = [temporaryFolder(), temporaryFolder()];
    const { signal } = testContext();
    const repo = repository(1, { storage: new PosixStorage({ root, syncDirectories: false, symlinks: true, signal }) });
    const backups = labels.map((label, index) => ({ label, wal: [walName(index), walName(index)] as const, dbId: 2 }));
    await makeStanza(repo, { ...STANZA, backups, wal: { "15-2": labels.map((_, index) => walName(index)) } });
    writeFileSync(join(elsewhere, "backup.manifest"), "precious");
    return { repo, backups: join(root, "backup/demo"), elsewhere };
  }
});
