// claim: docs/streaming.md: `expire` removes leftovers, and nothing else
import { beforeEach, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import type { BackupInfoEntry } from "../../../../runtime/format/repository/backupInfo";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { expireStream } from "../../../../runtime/operations/stream/expireStream";
import type { Repository } from "../../../../runtime/repository/repository";
import { putChunk } from "../../../../runtime/repository/streamStore";
import { type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { FaultyStorage } from "../../../harness/network/faults";
import { CLUSTER, CONTROL, repository, WAL_SIZE_BYTES, walBytes, walName } from "../../repository/support";
import { pathOf, store } from "../archive";

let ctx: TestContext;
let repo: Repository;

beforeEach(async () => {
  ctx = testContext();
  repo = repository(1);
  await stanzaCreate([repo], CONTROL, ctx);
});

const backup = (archiveStart: string): BackupInfoEntry => ({ archiveStart, dbId: 1 }) as BackupInfoEntry;

async function stream(segment: string, archiveId = "15-1"): Promise<void> {
  const chunk = { segment, session: "000000000001", begin: 0, end: 10 };
  const origin = { systemId: CLUSTER.systemId, segmentSizeBytes: WAL_SIZE_BYTES };
  await putChunk(repo, { archiveId, pass: null }, chunk, [Buffer.alloc(10, 1)], origin, ctx);
}

async function left(): Promise<string[]> {
  const names: string[] = [];
  for await (const { path } of repo.storage.list("pgbackstop/demo/stream", { recursive: true }))
    names.push(path.slice("pgbackstop/demo/stream/".length));
  return names.sort().map((name) => name.replace("-000000000001-00000000-0000000a", ""));
}

it("removes archived chunks, those before every kept backup, those of removed archives and interrupted writes, and nothing else", async () => {
  await store(repo, 3);
  for (const [no, timeline] of [
    [2, 1],
    [3, 1],
    [4, 1],
    [4, 2],
    [2, 3],
  ] as const)
    await stream(walName(no, timeline));
  await stream(walName(9), "14-1");
  await repo.storage.put(
    `pgbackstop/demo/stream/15-1/${walName(3)}-000000000001-00000000-0000000b.pgbackrest.tmp`,
    Buffer.of(1),
  );
  await repo.storage.put("pgbackstop/demo/stream/15-1/notes", Buffer.of(1));
  const before = await left();
  expect(await expireStream(repo, [backup(walName(4)), backup(walName(7))], true)).toMatchObject({
    removed: { length: 5 },
  });
  expect(await left()).toEqual(before);
  await expireStream(repo, [backup(walName(4)), backup(walName(7))], false);
  expect(await left()).toEqual([`15-1/${walName(4)}`, `15-1/${walName(4, 2)}`, "15-1/notes"]);
});

it("keeps every unarchived chunk while there is no backup, and requests nothing if nothing was streamed", async () => {
  expect(await expireStream(repo, [], false)).toEqual({ removed: [], refused: [] });
  await stream(walName(1));
  expect(await expireStream(repo, [], false)).toEqual({ removed: [], refused: [] });
  expect(await left()).toEqual([`15-1/${walName(1)}`]);
});

it("removes the others if a backup host keeps one for some time", async () => {
  const storage = new FaultyStorage(new MemoryStorage());
  repo = repository(1, { storage });
  await stanzaCreate([repo], CONTROL, ctx);
  for (const no of [1, 2, 3]) await stream(walName(no));
  storage.plan(
    "remove",
    { kind: "error", error: fail("access", "permission denied") },
    { path: new RegExp(walName(2)) },
  );
  const { refused, removed } = await expireStream(repo, [backup(walName(9))], false);
  expect([removed.length, refused.map(({ message }) => message)]).toEqual([2, ["permission denied"]]);
  expect(await left()).toEqual([`15-1/${walName(2)}`]);
});

it("keeps the chunks of a segment whose stored file is damaged, or is one of two", async () => {
  await store(repo, 3, 4, 5, [walName(5), walBytes(6)]);
  const path = await pathOf(repo, 4);
  await repo.storage.put(path, Buffer.alloc((await repo.storage.stat(path))?.sizeBytes ?? 0, 7));
  for (const no of [3, 4, 5]) await stream(walName(no));
  await expireStream(repo, [], false);
  expect(await left()).toEqual([`15-1/${walName(4)}`, `15-1/${walName(5)}`]);
});
