// claim: docs/streaming.md: `expire` removes leftovers, and nothing else
import { beforeEach, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { chunkFileName } from "../../../../runtime/format/wal/streamChunk";
import type { BackupInfoEntry } from "../../../../runtime/format/repository/backupInfo";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { expireStream } from "../../../../runtime/operations/stream/expireStream";
import type { Repository } from "../../../../runtime/repository/repository";
import { loadArchiveInfo } from "../../../../runtime/repository/infoStore";
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

/** A chunk with the bytes of the segment that {@link store} would store. */
async function stream(segment: string, archiveId = "15-1", wal = bytesOf(segment)): Promise<void> {
  const chunk = { segment, session: "000000000001", begin: 0, end: 10 };
  const origin = { systemId: CLUSTER.systemId, segmentSizeBytes: WAL_SIZE_BYTES };
  await putChunk(repo, { archiveId, pass: null }, chunk, [wal], origin, ctx);
}

function bytesOf(segment: string): Uint8Array {
  return walBytes(Number.parseInt(segment.slice(-3), 16)).subarray(0, 10);
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

it("keeps a chunk whose bytes the archived segment does not have: another server archived that", async () => {
  await store(repo, 3, 4);
  await stream(walName(3));
  await stream(walName(4), "15-1", Buffer.alloc(10, 1));
  await expireStream(repo, [], false);
  expect(await left()).toEqual([`15-1/${walName(4)}`]);
});

it("compares each chunk with its own part of the segment, and keeps one that cannot be read", async () => {
  repo = repository(1, { pass: "first", compress: { type: "zst", level: 1 } });
  await stanzaCreate([repo], CONTROL, ctx);
  await store(repo, 3);
  const { cipherPass: pass = null } = await loadArchiveInfo(repo);
  const origin = { systemId: CLUSTER.systemId, segmentSizeBytes: WAL_SIZE_BYTES };
  const put = async (session: number, begin: number, end: number, wal: Uint8Array): Promise<string> => {
    const chunk = { segment: walName(3), session: String(session).padStart(12, "0"), begin, end };
    await putChunk(repo, { archiveId: "15-1", pass }, chunk, [wal], origin, ctx);
    return `pgbackstop/demo/stream/15-1/${chunkFileName(chunk)}`;
  };
  const content = walBytes(3);
  const other = Buffer.from(content.subarray(300_000, 700_000));
  other[399_999] = 99;
  const same = [
    await put(1, 0, 300_000, content.subarray(0, 300_000)),
    await put(1, 300_000, 700_000, content.subarray(300_000, 700_000)),
    await put(2, 0, WAL_SIZE_BYTES, content),
  ];
  const kept = [await put(3, 300_000, 700_000, other), await put(4, 0, 10, content.subarray(0, 10))];
  await repo.storage.put(kept[1] ?? "", Buffer.alloc(300, 7));
  expect(await expireStream(repo, [], false)).toEqual({ removed: same.sort(), refused: [] });
  expect((await left()).map((name) => `pgbackstop/demo/stream/${name}`)).toEqual(kept.sort());
});
