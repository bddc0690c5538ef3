import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, it } from "vitest";
import {
  leadsOn,
  moveOldWal,
  type OldWal,
  saveOldWal,
  writtenSegments,
} from "../../../../runtime/operations/recover/oldWal";
import { temporaryFolder, WAL_SIZE_BYTES, walBytes, walName } from "../../repository/support";

const ACCOUNT = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, mode: 0o700 };

let directory: string;
let data: string;
let old: OldWal;

beforeEach(() => {
  const folder = temporaryFolder();
  directory = join(folder, "old/pg_wal");
  data = join(folder, "data");
  mkdirSync(directory, { recursive: true });
  mkdirSync(join(data, "pg_wal"), { recursive: true });
  old = { directory, last: walName(5), timeline: 1, segmentSizeBytes: WAL_SIZE_BYTES };
});

function put(no: number, timeline = 1, content = no): void {
  const bytes = Buffer.from(walBytes(content));
  bytes.writeUInt32LE(timeline, 4);
  writeFileSync(join(directory, walName(no, timeline)), bytes);
}

// claim: docs/hosts/recover.md: WAL of the old data that no repository has is replayed, whatever the server archived or
//   removed before it stopped
it("saves every written segment after the archived ones, and moves it to pg_wal", async () => {
  for (const no of [4, 5, 7, 9]) put(no);
  put(8, 1, 3); // recycled
  put(8, 2);
  writeFileSync(join(directory, `${walName(10)}.partial`), walBytes(10));
  expect(await saveOldWal(old, data, ACCOUNT)).toEqual([walName(7), walName(9)]);
  // An interrupted recovery begins again.
  expect(await saveOldWal(old, data, ACCOUNT)).toEqual([walName(7), walName(9)]);
  expect(readdirSync(join(data, "pg_wal"))).toEqual([]);
  writeFileSync(join(data, "pg_wal", walName(7)), "the streamed start");
  await moveOldWal(data, join(data, "pg_wal"));
  expect(readdirSync(data)).toEqual(["pg_wal"]);
  expect(readdirSync(join(data, "pg_wal"))).toEqual([walName(7), walName(9)]);
  expect(readFileSync(join(data, "pg_wal", walName(7))).equals(Buffer.from(walBytes(7)))).toBe(true);
  await moveOldWal(data, join(data, "pg_wal"));
});

it("saves a new timeline of which nothing is archived, from its switch point on", async () => {
  for (const no of [4, 5, 6]) put(no, 2);
  put(6);
  expect(await saveOldWal({ ...old, timeline: 2 }, data, ACCOUNT)).toEqual([walName(5, 2), walName(6, 2)]);
});

it("has nothing to save without an old pg_wal, and fails when it cannot be read", async () => {
  expect(await saveOldWal({ ...old, directory: `${directory}.gone` }, data, ACCOUNT)).toEqual([]);
  expect(existsSync(join(data, "pgbackstop.old-wal"))).toBe(false);
  symlinkSync(walName(6), join(directory, walName(6)));
  await expect(saveOldWal(old, data, ACCOUNT)).rejects.toMatchObject({
    kind: "fileRead",
    message: expect.stringContaining(`unable to save the old WAL in '${directory}'`),
    hints: [expect.stringContaining("move that directory away")],
  });
});

it("names the segments of pg_wal that have their own content, also while a server removes some", async () => {
  const { segmentSizeBytes } = old;
  expect(await writtenSegments(join(directory, "none"), segmentSizeBytes)).toEqual([]);
  put(6);
  put(7);
  // A recycled file, and one that is gone once it is opened.
  put(9, 1, 2);
  symlinkSync("nowhere", join(directory, walName(8)));
  expect(await writtenSegments(directory, segmentSizeBytes)).toEqual([walName(6), walName(7)]);
});

it("leads on from the archive to its end, or does not", async () => {
  expect(await leadsOn(old)).toBe(false);
  put(6);
  put(7);
  // A recycled file.
  put(9, 1, 2);
  expect(await leadsOn(old)).toBe(true);
  put(9);
  expect(await leadsOn(old)).toBe(false);
  expect(await leadsOn({ ...old, last: walName(7) })).toBe(false);
  expect(await leadsOn({ ...old, last: walName(9) })).toBe(true);
  expect(await leadsOn({ ...old, last: walName(4) })).toBe(false);
  put(5, 2);
  expect(await leadsOn({ ...old, timeline: 2 })).toBe(true);
});
