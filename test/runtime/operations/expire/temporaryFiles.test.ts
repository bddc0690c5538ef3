import { existsSync, lutimesSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { expect, test } from "vitest";
import { temporaryName } from "../../../../runtime/base/temporaryName";
import { tombstonePath } from "../../../../runtime/format/repository/repoPath";
import { expireRepository } from "../../../../runtime/operations/expire/expire";
import { removeLeftovers } from "../../../../runtime/operations/expire/temporaryFiles";
import { leaveTombstone } from "../../../../runtime/repository/expireStore";
import { PosixStorage } from "../../../../runtime/storage/posix";
import { seededRandom, testContext } from "../../../harness/context";
import { testLease } from "../../../harness/leases";
import { KEEP_ALL, makeStanza } from "../../../harness/madeRepository";
import { repository, temporaryFolder, walName } from "../../repository/support";

const REQUEST = { oldest: false, refusePageErrors: true, dryRun: false };
const HOUR_MS = 60 * 60 * 1000;
const LABEL = "20260101-000000F";
/** Paths whose writers are killed. */
const PATHS = [
  "archive/demo/archive.info",
  "archive/demo/15-1/00000002.history",
  `archive/demo/15-1/${walName(2).slice(0, 16)}/${walName(2)}-${"a".repeat(40)}.gz`,
  "backup/demo/backup.info.copy",
  `backup/demo/${LABEL}/backup.manifest.copy`,
  `backup/demo/backup.history/2026/${LABEL}.manifest.gz`,
  `pgbackstop/demo/${LABEL}/server-files.json.gz`,
  `pgbackstop/demo/stream/15-1/${walName(3)}-000000000001-00000000-0000000b`,
];

test("expire removes leftovers of killed writers after a day, and nothing that may still be written", async () => {
  const root = temporaryFolder();
  const ctx = testContext();
  const random = seededRandom(7);
  const storage = new PosixStorage({ root, syncDirectories: false, symlinks: true, random, signal: ctx.signal });
  const repo = repository(1, { storage });
  await makeStanza(repo, {
    versions: ["15"],
    backups: [{ label: LABEL, wal: [walName(1), walName(1)] }],
    wal: { "15-1": [walName(1), walName(2)] },
  });
  const leave = (path: string, ageMs: number): string => {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), "half");
    const atS = (ctx.clock.nowMs() - ageMs) / 1000;
    utimesSync(join(root, path), atS, atS);
    return path;
  };
  const old = PATHS.map((path) => leave(temporaryName(path, random), 25 * HOUR_MS));
  const ofStock = PATHS.map((path) => leave(`${path}.pgbackrest.tmp`, 25 * HOUR_MS));
  const fresh = PATHS.map((path) => leave(temporaryName(path, random), 23 * HOUR_MS));
  const alike = [
    leave(`archive/demo/15-1/${walName(2).slice(0, 16)}/notes.tmp`, 25 * HOUR_MS),
    leave(`backup/demo/${LABEL}/pg_data/x.pgbackrest.tmp`, 25 * HOUR_MS),
  ];
  const link = temporaryName("backup/demo/latest", random);
  symlinkSync(LABEL, join(root, link));
  lutimesSync(join(root, link), 1, 1);
  const there = (paths: readonly string[]): readonly string[] => paths.filter((path) => existsSync(join(root, path)));

  const retention = { full: 1, fullType: "count", archiveType: "full" } as const;
  await expireRepository(repo, retention, { ...REQUEST, dryRun: true }, testLease(), ctx);
  expect(there([...old, ...ofStock])).toHaveLength(2 * PATHS.length);
  expect(ctx.lines.filter(({ text }) => text.includes("[DRY-RUN] repo1: remove leftover"))).toHaveLength(
    2 * PATHS.length + 1,
  );
  await expireRepository(repo, retention, REQUEST, testLease(), ctx);
  expect(there([...old, ...ofStock])).toEqual([]);
  expect(readdirSync(join(root, "backup/demo"))).not.toContain(basename(link));
  expect(there(fresh)).toEqual(fresh);
  expect(there(alike)).toEqual(alike);
});

test("expire looks for them in the newest backups only, so that its cost does not grow with their number", async () => {
  const root = temporaryFolder();
  const ctx = testContext();
  const storage = new PosixStorage({ root, syncDirectories: false, symlinks: true, signal: ctx.signal });
  const repo = repository(1, { storage });
  await makeStanza(repo, { versions: ["15"], backups: [], wal: {} });
  const labels = Array.from({ length: 65 }, (_, index) => `2026${String(1001 + index).slice(0, 4)}-000000F`);
  const paths = labels.map((label) => `backup/demo/${label}/backup.manifest.pgbackrest.tmp`);
  for (const path of paths) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), "half");
    utimesSync(join(root, path), 1, 1);
  }
  expect(await removeLeftovers(repo, ctx.clock.nowMs(), true)).toEqual(paths.slice(1));
});

test("expire removes tombstones after a day", async () => {
  const repo = repository(1);
  await makeStanza(repo, { versions: ["15"], backups: [], wal: {} });
  await leaveTombstone(repo, LABEL);
  const { modifiedAtMs = 0 } = (await repo.storage.stat(tombstonePath("demo", LABEL))) ?? {};
  const isLeft = async (ageMs: number): Promise<boolean> => {
    const ctx = testContext({ startedAtMs: modifiedAtMs + ageMs });
    await expireRepository(repo, KEEP_ALL, REQUEST, testLease(), ctx);
    return (await repo.storage.stat(tombstonePath("demo", LABEL))) !== null;
  };
  expect([await isLeft(24 * HOUR_MS - 1), await isLeft(24 * HOUR_MS)]).toEqual([true, false]);
});
