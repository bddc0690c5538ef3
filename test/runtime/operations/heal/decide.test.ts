// claim: docs/agent.md, docs/internals/concurrency.md: the server's own bytes decide what heals; repositories with
//   different content are named and healed in neither direction until the server, a majority with valid records or the
//   user decides; nothing is carried that the server cannot have written
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { sha1Hex } from "../../../../runtime/base/hash";
import { parseBackupInfo } from "../../../../runtime/format/repository/backupInfo";
import { type MissingWalStore, openMissingWal } from "../../../../runtime/local/missingWal";
import { copyMissingWal, heal } from "../../../../runtime/operations/heal/heal";
import { openLocalWal } from "../../../../runtime/operations/shared/localWal";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { findWal } from "../../../../runtime/repository/walStore";
import { type TestContext, testContext } from "../../../harness/context";
import { vectorText } from "../../format/vectors";
import { WalWriter } from "../../format/walWriter";
import { CLUSTER, CONTROL, repository, temporaryFolder, walBytes, walName } from "../../repository/support";
import { pathOf, readable, store } from "../archive";

let ctx: TestContext;
let missingWal: MissingWalStore;
let walDirectory: string;
/** The second one is encrypted, the others are not. */
let repos: readonly [Repository, Repository, Repository, Repository];

beforeEach(async () => {
  ctx = testContext();
  const folder = temporaryFolder();
  missingWal = openMissingWal(join(folder, "spool"), "demo");
  walDirectory = join(folder, "pg_wal");
  mkdirSync(join(walDirectory, "archive_status"), { recursive: true });
  // The server is writing the ninth segment, and keeps a recycled one under a later name.
  writeFileSync(join(walDirectory, walName(9)), walBytes(9));
  writeFileSync(join(walDirectory, walName(12)), walBytes(1));
  repos = [repository(1), repository(2, { pass: "second" }), repository(3), repository(4)];
  await stanzaCreate(repos, CONTROL, ctx);
  const [backup] = parseBackupInfo(vectorText("v2.45/plain/backup.info"), "golden").backups;
  for (const repo of repos) {
    const info = await loadBackupInfo(repo);
    const entry = { ...(backup as NonNullable<typeof backup>), archiveStart: walName(1), archiveStop: walName(1) };
    await saveBackupInfo(repo, { ...info, backups: [entry] }, ctx);
  }
});

const run = (count = 2): ReturnType<typeof heal> =>
  heal(repos.slice(0, count), { missingWal, cluster: CLUSTER, local: openLocalWal(walDirectory, CLUSTER, true) }, ctx);

const forged = (no: number, text = "forged rows"): Uint8Array => {
  const bytes = Buffer.from(walBytes(no));
  bytes.write(text, 700);
  return bytes;
};

/** A segment that is valid up to its last record. */
function recorded(no: number, xid: number): Uint8Array {
  const writer = new WalWriter({ segment: no, systemId: CLUSTER.systemId });
  writer.add({ resourceManager: 10, xid, body: { main: Buffer.from("row") } });
  writer.switchSegment();
  return writer.segments().get(no) as Uint8Array;
}

async function contentsOf(repo: Repository, no: number): Promise<(string | null)[]> {
  return (await findWal(repo, "15-1", walName(no))).map(({ sha1 }) => sha1);
}

const unhealedOf = (results: Awaited<ReturnType<typeof heal>>): (readonly string[])[] =>
  results.map((result) => (result.ok ? result.value.unhealed : [result.error.message]));

describe("the server's own bytes", () => {
  it("decide while pg_wal has them, whatever another repository holds under the name", async () => {
    await store(repos[1], [walName(1), forged(1)]);
    writeFileSync(join(walDirectory, walName(1)), walBytes(1));
    missingWal.add(1, walName(1), CLUSTER);
    const differ = `${walName(1)}: its contents differ: repo2 ${sha1Hex(forged(1)).slice(0, 12)}; pg_wal has ${sha1Hex(walBytes(1)).slice(0, 12)}`;
    expect(unhealedOf(await run())).toEqual([[differ], []]);
    expect(await contentsOf(repos[0], 1)).toEqual([sha1Hex(walBytes(1))]);
    expect(missingWal.list(1)).toEqual([]);
    // From now on both hold one, and the difference is reported until it is gone.
    for (const lines of unhealedOf(await run()))
      expect(lines).toEqual([expect.stringContaining("its contents differ")]);
  });

  it("decide after PostgreSQL has removed them, by the checksum in the record", async () => {
    await store(repos[1], [walName(1), forged(1)], [walName(2), walBytes(2)]);
    missingWal.add(1, walName(1), CLUSTER, sha1Hex(walBytes(1)));
    missingWal.add(1, walName(2), CLUSTER, sha1Hex(walBytes(2)));
    expect(unhealedOf(await run())[0]).toEqual([expect.stringContaining("; this server archived ")]);
    expect(await readable(repos[0])).toEqual([walName(2)]);
    expect(missingWal.list(1)).toEqual([walName(1)]);
  });
});

it("sends no segment that the server is writing again after a reset, although a repository lacks it", async () => {
  await store(repos[1], 9);
  writeFileSync(join(walDirectory, walName(9)), forged(9));
  missingWal.add(1, walName(9), CLUSTER, sha1Hex(walBytes(9)));
  expect(unhealedOf(await run())[0]).toEqual([`${walName(9)}: PostgreSQL is still writing it`]);
  expect(await readable(repos[0])).toEqual([]);
  expect(missingWal.list(1)).toEqual([walName(9)]);
  writeFileSync(join(walDirectory, "archive_status", `${walName(9)}.done`), "");
  await run();
  expect(await contentsOf(repos[0], 9)).toEqual([sha1Hex(forged(9))]);
});

describe("repositories with different contents of a segment", () => {
  it("are named and healed in neither direction", async () => {
    await store(repos[1], 1);
    await store(repos[2], [walName(1), forged(1)]);
    missingWal.add(1, walName(1), CLUSTER);
    const healed = await copyMissingWal(repos[0], repos, CLUSTER, { missingWal, local: null, claims: null }, ctx);
    const line = expect.stringMatching(
      /its contents differ: repo[23] \w{12}, repo[23] \w{12}; pg_wal no longer has it$/,
    );
    expect(healed).toMatchObject({ copied: 0, unhealed: [line] });
    expect(missingWal.list(1)).toEqual([walName(1)]);
    expect(unhealedOf(await run(3))).toEqual([[line], [line], [line]]);
    expect(await readable(repos[0])).toEqual([]);
  });

  it("are healed from a majority whose segment is valid to its last record, and from no other", async () => {
    const [good, bad] = [recorded(1, 700), recorded(1, 800)];
    for (const [repo, bytes] of [
      [repos[1], good],
      [repos[2], good],
      [repos[3], bad],
    ] as const)
      await store(repo, [walName(1), bytes], [walName(2), bytes === bad ? walBytes(2) : forged(2)]);
    await run(4);
    expect(await contentsOf(repos[0], 1)).toEqual([sha1Hex(good)]);
    // Three times the same header is no segment.
    expect(await contentsOf(repos[0], 2)).toEqual([]);
    expect(await contentsOf(repos[3], 1)).toEqual([sha1Hex(bad)]);
  });
});

describe("a segment of one repository alone", () => {
  it("is copied if its header is the cluster's, at the position and on the timeline of its name", async () => {
    const timeline = Buffer.from(walBytes(5));
    timeline.writeUInt32LE(2, 4);
    await store(repos[0], 1, [walName(2), walBytes(3)], [walName(4), walBytes(4, 99n)], [walName(5), timeline]);
    // The first segment of a timeline begins with pages of the former one.
    await store(repos[0], [walName(6, 2), walBytes(6)]);
    writeFileSync(join(walDirectory, walName(9, 2)), walBytes(9));
    expect(unhealedOf(await run())[1]).toEqual([
      `${walName(2)}: repo1: the content of ${walName(2)} is of timeline 1 and position 0/300000, its name says 1 and 0/200000`,
      `${walName(4)}: repo1: WAL file '${walName(4)}' version 15, system-id 99 do not match version 15, system-id ${CLUSTER.systemId}`,
      `${walName(5)}: repo1: the content of ${walName(5)} is of timeline 2 and position 0/500000, its name says 1 and 0/500000`,
    ]);
    expect(await readable(repos[1])).toEqual([walName(1), walName(6, 2)]);
  });

  it("is not copied if this server cannot have written it yet, unless this server has archived it", async () => {
    await store(
      repos[0],
      8,
      9,
      10,
      11,
      12,
      [walName(3, 2), walBytes(3)],
      ["00000002.history", Buffer.from("1\t0/1\tx\n")],
    );
    missingWal.add(2, walName(11), CLUSTER);
    expect(unhealedOf(await run())).toEqual([[], []]);
    expect(await readable(repos[1])).toEqual([walName(8), walName(11)]);
    expect(ctx.lines).toContainEqual({
      level: "warn",
      text: `repo2: not copied from repo1, because this server has not written them: 5 WAL file(s), ${walName(9)} to ${walName(3, 2)}`,
    });
    // PostgreSQL is still writing the ninth until it asks for its archiving.
    writeFileSync(join(walDirectory, "archive_status", `${walName(9)}.done`), "");
    expect(unhealedOf(await run())).toEqual([[], []]);
    expect(await readable(repos[1])).toEqual([walName(8), walName(9), walName(11)]);
  });
});

describe("a record of missing WAL", () => {
  it("is not cleared by a name, but by the content", async () => {
    await store(repos[0], 1, 2, 3);
    await repos[0].storage.put(await pathOf(repos[0], 1), new Uint8Array(0));
    await store(repos[0], [walName(4), forged(4)]);
    writeFileSync(join(walDirectory, walName(4)), walBytes(4));
    for (const no of [1, 2, 4]) missingWal.add(1, walName(no), CLUSTER);
    missingWal.addConflict(1, walName(3), CLUSTER, sha1Hex(walBytes(3)));
    expect((await run(1))[0]).toMatchObject({ ok: true, value: { copied: 0, settled: 2 } });
    expect(missingWal.list(1)).toEqual([walName(1), walName(4)]);
    expect(missingWal.listConflicts(1)).toEqual([]);
  });
});
