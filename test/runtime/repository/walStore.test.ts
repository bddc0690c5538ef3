import { describe, expect, it } from "vitest";
import { collect, streamOf } from "../../../runtime/base/bytes";
import { sha1Hex } from "../../../runtime/base/hash";
import { type CompressType, compressBytes } from "../../../runtime/format/codec/compress";
import {
  findWal,
  isSegment,
  listArchiveIds,
  listWal,
  listWalInTurn,
  openWal,
  putWal,
} from "../../../runtime/repository/walStore";
import type { Repository } from "../../../runtime/repository/repository";
import { testContext } from "../../harness/context";
import { MemoryStorage } from "../../harness/doubles/storages";
import { repository, walBytes, walName } from "./support";

const ctx = testContext();
const salt = (): Uint8Array => ctx.random.bytes(8);

async function put(
  repo: Repository,
  name: string,
  bytes: Uint8Array,
  compressType: CompressType = "none",
  pass: string | null = null,
): Promise<void> {
  const packed = compressBytes(bytes, { type: compressType, level: 1 });
  await putWal(
    repo,
    { archiveId: "15-1", name, sha1: sha1Hex(bytes), compressType, open: () => streamOf(packed) },
    pass,
    salt,
  );
}

async function names(list: AsyncIterable<{ fileName: string }>): Promise<string[]> {
  const result: string[] = [];
  for await (const { fileName } of list) result.push(fileName);
  return result.sort();
}

describe("a stored file that unpacks to much more than its size", () => {
  const SEGMENT_SIZE_BYTES = 1024 * 1024;

  it.each(
    (["none", "gz", "lz4", "zst"] as const).flatMap((type) => [
      [type, null],
      [type, "pass"],
    ]),
  )("ends with an error before more than a segment is unpacked: %s, %s", async (compressType, pass) => {
    const repo = repository(1);
    await put(repo, walName(1), new Uint8Array(12 * SEGMENT_SIZE_BYTES), compressType, pass);
    const [stored] = await findWal(repo, "15-1", walName(1));
    if (stored === undefined) throw new Error("nothing was stored");
    let sizeBytes = 0;
    const read = async (): Promise<void> => {
      for await (const chunk of await openWal(repo, "15-1", stored, pass, SEGMENT_SIZE_BYTES))
        sizeBytes += chunk.length;
    };
    await expect(read()).rejects.toMatchObject({ kind: "fileInvalid" });
    expect(sizeBytes).toBeLessThanOrEqual(SEGMENT_SIZE_BYTES);
  });

  it("ends so as a history too", async () => {
    const repo = repository(1);
    await put(repo, "00000002.history", new Uint8Array(17 * SEGMENT_SIZE_BYTES));
    const [stored] = await findWal(repo, "15-1", "00000002.history");
    if (stored === undefined) throw new Error("nothing was stored");
    await expect(openWal(repo, "15-1", stored, null).then((plain) => collect(plain, 2 ** 40))).rejects.toMatchObject({
      kind: "fileInvalid",
      message: "content is larger than the limit of 16777216 bytes",
    });
  });
});

describe("the WAL archive", () => {
  it.each([
    ["none", ""],
    ["gz", ".gz"],
    ["lz4", ".lz4"],
    ["zst", ".zst"],
  ] as const)("stores a segment as %s under its checksum, and returns it", async (type, extension) => {
    for (const pass of [null, "archive-pass"]) {
      const storage = new MemoryStorage();
      const repo = repository(1, { storage });
      const bytes = walBytes(7);
      await put(repo, walName(7), bytes, type, pass);
      expect(storage.paths()).toEqual([
        `archive/demo/15-1/0000000100000000/${walName(7)}-${sha1Hex(bytes)}${extension}`,
      ]);
      const [stored] = await findWal(repo, "15-1", walName(7));
      expect(stored).toMatchObject({ name: walName(7), sha1: sha1Hex(bytes) });
      if (stored === undefined) throw new Error("nothing was found");
      expect(sha1Hex(await collect(await openWal(repo, "15-1", stored, pass), 1 << 24))).toBe(sha1Hex(bytes));
      if (pass !== null)
        await expect(
          openWal(repo, "15-1", stored, "wrong").then((stream) => collect(stream, 1 << 24)),
        ).rejects.toMatchObject({
          name: expect.stringMatching(/^(Crypto|Format)Error$/),
        });
    }
  });

  it("keeps history, backup labels and partial segments apart from segments", async () => {
    const storage = new MemoryStorage();
    const repo = repository(1, { storage });
    const label = `${walName(3)}.00000028.backup`;
    await put(repo, "00000002.history", Buffer.from("1\t0/3000000\tno reason\n"));
    await put(repo, label, Buffer.from("START WAL LOCATION"));
    await put(repo, `${walName(3)}.partial`, walBytes(1));
    await put(repo, walName(3), walBytes(2));
    expect(storage.paths()).toEqual([
      `archive/demo/15-1/0000000100000000/${walName(3)}-${sha1Hex(walBytes(2))}`,
      `archive/demo/15-1/0000000100000000/${label}`,
      `archive/demo/15-1/0000000100000000/${walName(3)}.partial-${sha1Hex(walBytes(1))}`,
      "archive/demo/15-1/00000002.history",
    ]);
    for (const name of ["00000002.history", label, `${walName(3)}.partial`, walName(3)]) {
      expect(
        (await findWal(repo, "15-1", name)).map((stored) => stored.name),
        name,
      ).toEqual([name]);
    }
    expect((await findWal(repo, "15-1", "00000002.history"))[0]?.sha1).toBeNull();
    expect(await findWal(repo, "15-1", walName(4))).toEqual([]);
    expect(await findWal(repo, "15-2", walName(3))).toEqual([]);
    expect([walName(1), `${walName(1)}.partial`, label, "00000002.history", "x"].map(isSegment)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });

  it("shows every copy in a damaged archive, and no foreign file", async () => {
    const storage = new MemoryStorage();
    const repo = repository(1, { storage });
    await put(repo, walName(1), walBytes(1), "gz");
    await put(repo, walName(1), walBytes(2), "zst");
    const directory = "archive/demo/15-1/0000000100000000";
    for (const name of [
      `${walName(1)}-${sha1Hex("x")}.gz.pgbackrest.tmp`,
      `${walName(1)}-short`,
      "notes.txt",
      `${walName(1)}0-${sha1Hex("x")}`,
    ])
      await storage.put(`${directory}/${name}`, Buffer.from("x"));
    expect((await findWal(repo, "15-1", walName(1))).map((stored) => stored.fileName).sort()).toEqual(
      [`${walName(1)}-${sha1Hex(walBytes(1))}.gz`, `${walName(1)}-${sha1Hex(walBytes(2))}.zst`].sort(),
    );
    expect(await names(listWal(repo, "15-1"))).toHaveLength(2);
  });

  it("is listed whole or by directory, and by its ids", async () => {
    const storage = new MemoryStorage();
    const repo = repository(1, { storage });
    for (const no of [1, 2, 4097]) await put(repo, walName(no), walBytes(no));
    await storage.put("archive/demo/14-2/0000000100000000/x", Buffer.from("x"));
    await storage.put("archive/demo/archive.info", Buffer.from("x"));
    await storage.put("archive/demo/other/x", Buffer.from("x"));
    expect(await names(listWal(repo, "15-1"))).toHaveLength(3);
    expect(await names(listWal(repo, "15-1", "0000000100000001"))).toEqual([
      `${walName(4097)}-${sha1Hex(walBytes(4097))}`,
    ]);
    expect(await listArchiveIds(repo)).toEqual(["14-2", "15-1"]);
  });

  it("is listed a few directories at a time, in the order of its names, after the histories", async () => {
    const repo = repository(1);
    const directories = [0, 1, 2, 3, 4, 5];
    const nos = directories.flatMap((directory) => [2, 1, 9].map((no) => 4096 * directory + no));
    for (const no of nos.toReversed()) await put(repo, walName(no), walBytes(no));
    for (const timeline of [3, 2]) await put(repo, `0000000${timeline}.history`, walBytes(timeline));
    await repo.storage.put("archive/demo/15-1/other/x", Buffer.from("x"));
    const lists: string[][] = [];
    for await (const list of listWalInTurn(repo, "15-1")) lists.push(list.map(({ name }) => name));
    expect(lists.map((list) => list.length)).toEqual([2, 12, 6]);
    expect(lists.flat()).toEqual([
      "00000002.history",
      "00000003.history",
      ...nos.toSorted((left, right) => left - right).map((no) => walName(no)),
    ]);
  });
});
