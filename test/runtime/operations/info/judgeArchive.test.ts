import { beforeEach, describe, expect, test } from "vitest";
import { judgeArchive } from "../../../../runtime/operations/info/judgeArchive";
import { collectStatus, isWell, type StatusInput } from "../../../../runtime/operations/info/status";
import { statusJson, statusText } from "../../../../runtime/operations/info/statusText";
import { factsOf } from "../../../../runtime/recoverability/facts";
import type { Repository } from "../../../../runtime/repository/repository";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { type MadeBackup, makeStanza, SYSTEM_ID } from "../../../harness/madeRepository";
import { repository } from "../../repository/support";
import { statusInput } from "./statusInput";

const NOW_S = Date.UTC(2026, 10, 20, 6, 40, 59) / 1000;
const segment = (no: number, timeline = 1): string => {
  const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, "0");
  return `${hex(timeline)}${hex(Math.floor(no / 256))}${hex(no % 256)}`;
};
const segments = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => segment(from + index));
const backup = (first: number, last: number, more: Partial<MadeBackup> = {}): MadeBackup => ({
  label: "20261118-030000F",
  stoppedAtS: Date.UTC(2026, 10, 18, 3, 2) / 1000,
  wal: [segment(first), segment(last)],
  ...more,
});

let repo: Repository;
beforeEach(() => {
  // Stored an hour ago.
  repo = repository(1, { storage: new MemoryStorage({ nowMs: () => (NOW_S - 3600) * 1000 }) });
});

const reportOf = async (more: Partial<StatusInput> = {}) => collectStatus(statusInput(factsOf([repo]), NOW_S, more));
const troublesOf = async (more: Partial<StatusInput> = {}): Promise<string[]> =>
  (await reportOf(more)).repos.flatMap(({ troubles }) => troubles.map(({ code, message }) => `${code}: ${message}`));

describe("an info file that is gone with its copy", () => {
  beforeEach(() => makeStanza(repo, { versions: ["18"], backups: [backup(3, 4)], wal: { "18-1": segments(3, 5) } }));
  const remove = async (name: string): Promise<void> => {
    await repo.storage.remove(name);
    expect(isWell(await reportOf())).toBe(true);
    await repo.storage.remove(`${name}.copy`);
  };

  test("archive.info, beside backup.info", async () => {
    await remove("archive/demo/archive.info");
    const report = await reportOf();
    expect(report.repos[0]?.troubles).toMatchObject([
      {
        code: "infoFile",
        exitCode: 55,
        message: expect.stringContaining("archive.info and its copy are missing, backup.info is there"),
        hints: [expect.stringContaining("Restore 'archive/demo/archive.info'"), expect.any(String)],
      },
    ]);
    // The backups are shown all the same.
    expect(statusText(report)).toContain("newest backup  20261118-030000F (full)");
  });

  test("backup.info, beside archive.info", async () => {
    await remove("backup/demo/backup.info");
    expect(await troublesOf()).toEqual([
      "infoFile: backup.info and its copy are missing, archive.info is there: no backup can be restored",
    ]);
    // Without either of them there is no stanza.
    await repo.storage.removePath("archive/demo");
    expect(await troublesOf()).toEqual([expect.stringContaining("unreadable: unable to load info file")]);
  });
});

describe("a gap in the newest directory", () => {
  const make = (wal: readonly string[], made: MadeBackup = backup(3, 4)): Promise<void> =>
    makeStanza(repo, { versions: ["18"], backups: [made], wal: { "18-1": wal } });

  test("after the newest backup ends every recovery before it", async () => {
    await make([...segments(3, 5), ...segments(8, 9)]);
    const report = await reportOf();
    expect(statusText(report)).toContain("from 2026-11-18T03:02:00Z to the missing WAL below, 1 backup(s)\n");
    expect(report.repos[0]?.troubles).toMatchObject([
      {
        code: "gap",
        message: `WAL after the newest backup 20261118-030000F: ${segment(6)} to ${segment(7)} are missing: no recovery passes it`,
        hints: [
          "pgbackstop heal copies what pg_wal or another repository still has.",
          "Otherwise take a new backup: pgbackstop backup --type=full --repo=1",
        ],
      },
    ]);
  });

  test("in the newest backup's own WAL, also without any WAL and behind the newest segment", async () => {
    await make([segment(3), segment(5)]);
    const message = (which: string): string =>
      `backupWal: WAL of the newest backup 20261118-030000F: ${which}: it cannot be restored`;
    expect(await troublesOf()).toEqual([message(`${segment(4)} is missing`)]);
    await repo.storage.removePath("archive/demo/18-1");
    expect(await troublesOf()).toEqual([message(`${segment(3)} to ${segment(4)} are missing`)]);
  });

  test("is looked for from the listed directory on, which the report says", async () => {
    await make([...segments(250, 258), segment(260)], backup(250, 251));
    expect(await troublesOf()).toEqual([
      `gap: WAL after the newest backup 20261118-030000F: ${segment(259)} is missing: no recovery passes it`,
    ]);
    await repo.storage.removePath(`archive/demo/18-1/${segment(256).slice(0, 16)}`);
    await make([...segments(250, 255), ...segments(257, 259)], backup(250, 251));
    expect(await troublesOf()).toEqual([
      expect.stringContaining(`gap: WAL after the newest backup 20261118-030000F: ${segment(256)} is missing`),
    ]);
    const report = await reportOf({ verified: () => ({ ok: true, endedAtS: NOW_S - 3 * 86_400 }) });
    expect(statusText(report)).toContain(`    WAL looked at  from ${segment(256)} on; verified 3 days ago\n`);
    expect(statusJson(report)).toMatchObject({
      repos: [{ lookedFrom: segment(256), verified: { ended: NOW_S - 3 * 86_400, ok: true } }],
    });
  });

  test("before the newest backup, on another timeline, or behind a segment that has just come does not count", async () => {
    // The history says that timeline 2 begins in segment 5.
    await make([segment(1), ...segments(3, 5), segment(5, 2), segment(6, 2), "00000002.history"]);
    expect(await troublesOf()).toEqual([]);
    await repo.storage.remove("archive/demo/18-1/00000002.history");
    expect(await troublesOf()).toEqual([
      "gap: 18-1: 00000002.history is missing: a restore ends on an earlier timeline",
    ]);
    await repo.storage.removePath("archive/demo/18-1");
    repo = repository(1, { storage: new MemoryStorage({ nowMs: () => (NOW_S - 60) * 1000 }) });
    await make([...segments(3, 5), segment(8)]);
    expect(await troublesOf()).toEqual([]);
  });

  test("after a backup that keeps no WAL after it does not count", async () => {
    await make([...segments(3, 4), segment(9)]);
    const [facts] = factsOf([repo]);
    if (facts === undefined) throw new Error("no repository");
    const input = { known: [], server: null, seen: () => new Map<string, string>(), nowS: NOW_S };
    const troublesWith = async (...labels: readonly string[]): Promise<number> =>
      (await judgeArchive(facts, await facts.backupInfo(), { ...input, trimmed: new Set(labels) })).troubles.length;
    expect([await troublesWith(), await troublesWith("20261118-030000F")]).toEqual([1, 0]);
  });

  test("that is recorded as missing is reported once", async () => {
    await make([...segments(3, 5), segment(8)]);
    expect(await troublesOf({ missingWal: () => [segment(6), segment(7)] })).toEqual([
      "missing: 2 acknowledged WAL file(s) are missing here",
    ]);
    // A record of a part explains only that part.
    expect(await troublesOf({ missingWal: () => [segment(6)] })).toHaveLength(2);
  });
});

test("a repository that lacks WAL which this server has archived is an older copy", async () => {
  await makeStanza(repo, { versions: ["18"], backups: [backup(3, 4)], wal: { "18-1": segments(3, 5) } });
  const archived = (no: number, systemId = SYSTEM_ID): Partial<StatusInput> => ({
    server: { dataDirectory: "/data", archived: segment(no), systemId },
  });
  expect(await troublesOf(archived(6))).toEqual([
    `older: this host has archived WAL up to ${segment(6)}, and the newest WAL here is ${segment(5)}: the repository is an older copy, or archive_command sends WAL elsewhere`,
  ]);
  // Where no server archives, what this host has stored shows it: the last one, and of this archive.
  const seen = (...names: readonly string[]): Partial<StatusInput> => ({
    seen: () => new Map(names.map((name) => [`${name}-${"0".repeat(40)}.gz`, "64:0"])),
  });
  expect(await troublesOf(seen(`18-1/${segment(5)}`, `18-1/${segment(7)}`))).toEqual([
    expect.stringContaining(`older: this host has archived WAL up to ${segment(7)}`),
  ]);
  expect(await troublesOf(seen(`18-1/${segment(9)}`, `18-1/${segment(4)}`, `17-1/${segment(8)}`))).toEqual([]);
  // Another cluster's segments have the same names.
  for (const more of [archived(5), archived(6, 1n)]) expect(await troublesOf(more)).toEqual([]);
  expect(await troublesOf({ ...archived(6), missingWal: () => [segment(6)] })).toEqual([
    "missing: 1 acknowledged WAL file(s) are missing here",
  ]);
});

test("damage that verify found stays until it finds none", async () => {
  await makeStanza(repo, { versions: ["18"], backups: [backup(3, 4)], wal: { "18-1": segments(3, 5) } });
  const verified = (ok: boolean): Partial<StatusInput> => ({ verified: () => ({ ok, endedAtS: NOW_S - 86_400 }) });
  expect(await troublesOf(verified(false))).toEqual([
    "damage: verify found damage or missing files on 2026-11-19T06:40:59Z",
  ]);
  expect(await troublesOf(verified(true))).toEqual([]);
});

test("clusters before a major upgrade have spans of their own", async () => {
  const stoppedAtS = NOW_S - 2 * 86_400;
  const old = backup(1, 1, { label: "20261101-030000F", stoppedAtS: NOW_S - 19 * 86_400 });
  const older = backup(2, 2, { label: "20261108-030000F", stoppedAtS: NOW_S - 12 * 86_400 });
  const wal = { "17-1": segments(1, 3), "18-2": segments(3, 5) };
  await makeStanza(repo, { versions: ["17", "18"], backups: [old, older, backup(3, 4, { stoppedAtS, dbId: 2 })], wal });
  const report = await reportOf();
  expect(statusText(report)).toMatch(/recoverable {4}from 2026-11-18T06:40:59Z to .*, 1 backup\(s\)\n/);
  expect(statusText(report)).toContain(
    "    before, in 17  from 2026-11-01T06:40:59Z to 2026-11-08T06:40:59Z or later, 2 backup(s)\n",
  );
  expect(statusJson(report)).toMatchObject({
    repos: [
      {
        backups: 3,
        recoverableFrom: stoppedAtS,
        earlier: [{ backups: 2, from: NOW_S - 19 * 86_400, to: NOW_S - 12 * 86_400, version: "17" }],
      },
    ],
  });
});

describe("after a failover", () => {
  const history = { name: "00000002.history", text: "1\t0/7800000\tno recovery target specified\n" };
  const made = (wal: readonly string[]): Promise<void> =>
    makeStanza(repo, {
      versions: ["18"],
      backups: [backup(3, 4, { lsn: ["0/3000028", "0/4000100"] })],
      wal: { "18-1": wal },
    });
  const switched = (): Promise<void> =>
    repo.storage.put(`archive/demo/18-1/${history.name}`, Buffer.from(history.text));

  test("what the old primary did not archive before it is missing, until a backup of the new one", async () => {
    await made([...segments(3, 5), segment(7, 2), segment(8, 2)]);
    await switched();
    expect(await troublesOf()).toEqual([
      `gap: WAL after the newest backup 20261118-030000F: ${segment(6)} is missing: no recovery passes it`,
    ]);
  });

  test("the new timeline must begin where the old one ended", async () => {
    await made([...segments(3, 6), segment(8, 2)]);
    await switched();
    expect(await troublesOf()).toEqual([
      `gap: WAL after the newest backup 20261118-030000F: ${segment(7, 2)} is missing: no recovery passes it`,
    ]);
    await made([...segments(3, 9), segment(7, 2), segment(8, 2)]);
    await switched();
    expect(await troublesOf()).toEqual([]);
  });
});

test("where no backup shows the size of segments, nobody says in which one a timeline begins", async () => {
  // With segments of 64 MiB, timeline 2 begins in the first one of the second 4 GiB.
  const first = "000000010000000100000000";
  const text = "1\t1/3800000\tno recovery target specified\n";
  await makeStanza(repo, {
    versions: ["18"],
    backups: [backup(0, 0, { wal: [first, first], lsn: ["1/28", "1/100"] })],
    wal: { "18-1": [first, "000000020000000100000000", "000000020000000100000001"] },
  });
  await repo.storage.put("archive/demo/18-1/00000002.history", Buffer.from(text));
  expect(await troublesOf()).toEqual([]);
});
