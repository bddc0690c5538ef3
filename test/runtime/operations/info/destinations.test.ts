import { expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import type { JsonValue } from "../../../../runtime/format/repository/json";
import {
  destinationLine,
  destinationsJson,
  fullError,
  listDestinations,
} from "../../../../runtime/operations/info/destinations";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { vectorBytes } from "../../format/vectors";
import { CONTROL, repository } from "../../repository/support";

const ctx = testContext();

/** A storage with stock's info files and an archive whose last directory has no segment. */
async function golden(): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  await storage.put("archive/demo/archive.info", vectorBytes("v2.45/plain/archive.info"));
  await storage.put("backup/demo/backup.info", vectorBytes("v2.45/plain/backup.info"));
  for (const name of ["000000010000000000000001", "0000000100000000000000FE", "000000010000000100000002"]) {
    await storage.put(`archive/demo/15-1/${name.slice(0, 16)}/${name}-${"0".repeat(40)}`, Buffer.alloc(0));
  }
  await storage.put(
    `archive/demo/15-1/0000000100000001/000000010000000100000003.partial-${"0".repeat(40)}`,
    Buffer.alloc(0),
  );
  await storage.put(`archive/demo/15-1/0000000100000002/notes`, Buffer.alloc(0));
  return storage;
}

it("finds the newest full backup and the newest complete segment of each repository; an unreadable one hides nothing", async () => {
  const empty = repository(2);
  await stanzaCreate([empty], CONTROL, ctx);
  const dead = new FaultyStorage(new MemoryStorage()).breakDown(fail("hostConnect", "unable to connect"));
  const repos = [repository(1, { storage: await golden() }), empty, repository(3), repository(4, { storage: dead })];
  const results = await listDestinations(repos);
  const [first, second, third] = results;
  expect(first).toMatchObject({ ok: true, value: { newestWal: { name: "000000010000000100000002" } } });
  const full = first?.ok === true ? first.value.newestFull : null;
  expect(full?.label).toMatch(/^20261120-\d{6}F$/);
  for (const result of [second, third])
    expect(result).toMatchObject({ ok: true, value: { newestFull: null, newestWal: null } });
  expect(destinationLine(results[1] as (typeof results)[number])).toBe("repo2: no full backup, no WAL");
  const json = destinationsJson("demo", results) as { repo: { [name: string]: JsonValue }[] };
  expect(json.repo[0]).toMatchObject({
    key: 1,
    full: { label: full?.label, stop: full?.stoppedAtS },
    wal: { name: "000000010000000100000002" },
  });
  expect(json.repo[3]).toMatchObject({ error: expect.stringContaining("HostConnectError: unable to connect"), key: 4 });
  // A stanza without a backup belongs to a cluster too.
  const db = { "system-id": String(CONTROL.systemId), version: CONTROL.pgVersion };
  expect(json.repo[1]).toEqual({ key: 2, db, full: null, wal: null });
  expect(json.repo[2]).toEqual({ key: 3, db: null, full: null, wal: null });
});

it("distinguishes an unreadable repository from an empty one", () => {
  const line = destinationLine({
    repoIndex: 2,
    ok: false,
    error: fail("hostConnect", "unable to connect to 's3.example.net'"),
  });
  expect(line).toBe("repo2: cannot be read: [HostConnectError] unable to connect to 's3.example.net'");
  expect(
    destinationsJson("demo", [{ repoIndex: 2, ok: false, error: fail("hostConnect", "unable to connect") }]),
  ).toEqual({
    name: "demo",
    repo: [{ error: "[HostConnectError] unable to connect", key: 2 }],
  });
});

const NOW_S = 1_800_000_000;
const newest = { label: "20270107-031500F", stoppedAtS: NOW_S - 9 * 86_400 };

it("compares the newest full backup with the expectation", () => {
  expect(fullError(2, null, "ever", NOW_S)).toMatchObject({
    kind: "backupSetInvalid",
    repoIndex: 2,
    message: expect.stringContaining("no full backup"),
  });
  expect(fullError(2, newest, "ever", NOW_S)).toBeNull();
  expect(fullError(2, newest, 9 * 86_400, NOW_S)).toBeNull();
  expect(fullError(2, newest, 8 * 86_400, NOW_S)?.message).toBe(
    "the newest full backup '20270107-031500F' is 9 days old; expected is one every 8 days",
  );
  // A clock that was set back makes no backup old.
  expect(fullError(2, { ...newest, stoppedAtS: NOW_S + 60 }, 60, NOW_S)).toBeNull();
});
