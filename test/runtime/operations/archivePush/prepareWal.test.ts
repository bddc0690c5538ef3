import { mkdirSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { collect } from "../../../../runtime/base/bytes";
import { sha1Hex } from "../../../../runtime/base/hash";
import { decompressBytes } from "../../../../runtime/format/codec/compress";
import { WalPreparer } from "../../../../runtime/operations/archivePush/prepareWal";
import { identifyWal, packWal } from "../../../../runtime/operations/archivePush/walFile";
import { addWal, CLUSTER, makeWalDirectory, temporaryFolder, walBytes, walName } from "../../repository/support";

const LIMIT = 1 << 24;

function preparer(
  segmentNos: readonly number[],
  headerCheck = true,
): { readonly wal: WalPreparer; readonly directory: string } {
  const directory = makeWalDirectory(temporaryFolder(), segmentNos);
  return { directory, wal: new WalPreparer({ walDirectory: directory, headerCheck }, CLUSTER) };
}

describe("a prepared WAL file", () => {
  it("is read and compressed once for all callers", async () => {
    const { wal, directory } = preparer([1]);
    const [one, two] = await Promise.all([wal.prepare(walName(1)), wal.prepare(walName(1))]);
    expect(one).toBe(two);
    expect(one).toMatchObject({ sizeBytes: walBytes(1).length, sha1: sha1Hex(walBytes(1)), cluster: CLUSTER });
    rmSync(join(directory, walName(1)));
    const first = await one.packed({ type: "zst", level: 3 });
    const again = await one.packed({ type: "zst", level: 3 });
    const packed = await collect(first(), LIMIT);
    expect(await collect(again(), LIMIT)).toBe(packed);
    expect(sha1Hex(decompressBytes(packed, "zst", LIMIT))).toBe(sha1Hex(walBytes(1)));
    const other = await collect((await one.packed({ type: "gz", level: 6 }))(), LIMIT);
    expect(sha1Hex(decompressBytes(other, "gz", LIMIT))).toBe(sha1Hex(walBytes(1)));
  });

  it("is released when four others were requested, and read again", async () => {
    const { wal, directory } = preparer([1, 2, 3, 4, 5]);
    const first = await wal.prepare(walName(1));
    for (const no of [2, 3, 4]) await wal.prepare(walName(no));
    expect(await wal.prepare(walName(1))).toBe(first);
    await wal.prepare(walName(5));
    const again = await wal.prepare(walName(1));
    expect(again).not.toBe(first);
    expect(again.sha1).toBe(first.sha1);
    rmSync(join(directory, walName(2)));
    await expect(wal.prepare(walName(2))).rejects.toMatchObject({ kind: "fileMissing" });
  });

  it("is streamed, not held, when it is large, and must not change between the two reads", async () => {
    const { wal, directory } = preparer([]);
    const large = Buffer.alloc(32 * 1024 * 1024, 7);
    large.set(walBytes(2));
    large.writeUInt32LE(large.length, 32);
    addWal(directory, walName(2), large);
    const prepared = await wal.prepare(walName(2));
    expect(prepared).toMatchObject({ sizeBytes: large.length, sha1: sha1Hex(large) });
    const open = await prepared.packed({ type: "zst", level: 1 });
    for (let turn = 0; turn < 2; turn++) {
      expect(sha1Hex(decompressBytes(await collect(open(), 1 << 26), "zst", 1 << 26))).toBe(sha1Hex(large));
    }
    large[large.length - 1] = 8;
    writeFileSync(join(directory, walName(2)), large);
    await expect(collect(open(), 1 << 26)).rejects.toMatchObject({
      kind: "fileRead",
      message: expect.stringContaining("has different content"),
    });
    truncateSync(join(directory, walName(2)), 1 << 20);
    await expect(collect(open(), 1 << 26)).rejects.toMatchObject({ kind: "fileRead" });
  });

  it("passes through one buffer when only its checksum is needed", async () => {
    const { directory } = preparer([]);
    const segment = Buffer.alloc(16 * 1024 * 1024, 7);
    segment.set(walBytes(2));
    segment.writeUInt32LE(segment.length, 32);
    addWal(directory, walName(2), segment);
    const wal = new WalPreparer({ walDirectory: directory, headerCheck: true, holds: false }, CLUSTER);
    const allocated = vi.spyOn(Buffer, "allocUnsafeSlow");
    const prepared = await wal.prepare(walName(2));
    const sizeBytes = allocated.mock.calls.reduce((sum, [size]) => sum + size, 0);
    allocated.mockRestore();
    expect(sizeBytes).toBe(1024 * 1024);
    expect(prepared).toMatchObject({ sizeBytes: segment.length, sha1: sha1Hex(segment), cluster: CLUSTER });
    const open = await prepared.packed({ type: "zst", level: 1 });
    expect(sha1Hex(decompressBytes(await collect(open(), LIMIT), "zst", 2 * LIMIT))).toBe(sha1Hex(segment));
  });

  it("is the same when other threads read and compress it", async () => {
    const { directory } = preparer([1]);
    const specs = [
      { type: "zst", level: 3 },
      { type: "gz", level: 6 },
    ] as const;
    const jobs: string[] = [];
    const pack = {
      specs,
      run: (job: Parameters<typeof packWal>[0]) => {
        jobs.push(job.path);
        return packWal(job);
      },
    };
    const wal = new WalPreparer({ walDirectory: directory, headerCheck: true, pack }, CLUSTER);
    const prepared = await wal.prepare(walName(1));
    expect(prepared).toMatchObject({
      sizeBytes: walBytes(1).length,
      sha1: sha1Hex(walBytes(1)),
      cluster: CLUSTER,
      fileId: identifyWal(jobs[0] ?? ""),
    });
    for (const spec of specs) {
      const packed = await collect((await prepared.packed(spec))(), LIMIT);
      expect(sha1Hex(decompressBytes(packed, spec.type, LIMIT))).toBe(sha1Hex(walBytes(1)));
    }
    expect(jobs).toEqual([join(directory, walName(1))]);
    addWal(directory, walName(2), walBytes(2, 42n));
    await expect(wal.prepare(walName(2))).rejects.toMatchObject({ kind: "archiveMismatch" });
    await expect(wal.prepare(walName(3))).rejects.toMatchObject({ kind: "fileMissing" });
    const segmentSizeBytes = 20 * 1024 * 1024;
    truncateSync(join(directory, walName(1)), segmentSizeBytes);
    const other = new WalPreparer({ walDirectory: directory, headerCheck: true, segmentSizeBytes, pack }, CLUSTER);
    const large = await other.prepare(walName(1));
    expect(large.sizeBytes).toBe(segmentSizeBytes);
    const streamed = await collect((await large.packed(specs[0]))(), 1 << 26);
    expect(sha1Hex(decompressBytes(streamed, "zst", 1 << 26))).toBe(large.sha1);
  });

  it("counts only if the name leads to the same unchanged file after the read", async () => {
    const { wal, directory } = preparer([1]);
    const path = join(directory, walName(1));
    const before = identifyWal(path);
    expect((await wal.prepare(walName(1))).fileId).toBe(before);
    wal.letGo(walName(1));
    // PostgreSQL recycles a segment by renaming it.
    const reading = wal.prepare(walName(1));
    renameSync(path, join(directory, walName(9)));
    await expect(reading).rejects.toMatchObject({ kind: expect.stringMatching(/fileMissing|fileRead/) });
    addWal(directory, walName(1), walBytes(3));
    expect(identifyWal(path)).not.toBe(before);
  });

  it("is tried again after a failure", async () => {
    const { wal, directory } = preparer([]);
    await expect(wal.prepare(walName(1))).rejects.toMatchObject({
      kind: "fileMissing",
      message: expect.stringContaining("[ENOENT]"),
    });
    addWal(directory, walName(1), walBytes(1));
    expect((await wal.prepare(walName(1))).sha1).toBe(sha1Hex(walBytes(1)));
    mkdirSync(join(directory, walName(2)));
    await expect(wal.prepare(walName(2))).rejects.toMatchObject({ kind: "fileRead" });
  });

  it("must be whole, by pg_control or by its own header", async () => {
    const { wal, directory } = preparer([1]);
    const path = join(directory, walName(1));
    const half = { kind: "fileInvalid", exitCode: 28, path, message: expect.stringContaining("has 524288 bytes") };
    truncateSync(path, 512 * 1024);
    await expect(wal.prepare(walName(1))).rejects.toMatchObject(half);
    for (const headerCheck of [true, false]) {
      const options = { walDirectory: directory, headerCheck, segmentSizeBytes: walBytes(1).length };
      await expect(new WalPreparer(options, CLUSTER).prepare(walName(1))).rejects.toMatchObject(half);
      const pack = { specs: [], run: packWal };
      await expect(new WalPreparer({ ...options, pack }, CLUSTER).prepare(walName(1))).rejects.toMatchObject(half);
    }
  });

  it("must belong to the cluster, unless the check is off", async () => {
    for (const [headerCheck, systemId] of [
      [true, 42n],
      [false, 42n],
    ] as const) {
      const { wal, directory } = preparer([], headerCheck);
      addWal(directory, walName(1), walBytes(1, systemId));
      const run = wal.prepare(walName(1));
      if (!headerCheck) expect((await run).cluster).toBeNull();
      else
        await expect(run).rejects.toMatchObject({
          kind: "archiveMismatch",
          message: `WAL file '${walName(1)}' version 15, system-id 42 do not match stanza version 15, system-id ${CLUSTER.systemId}`,
        });
    }
  });

  it("must look like WAL; histories and labels have no header", async () => {
    const { wal, directory } = preparer([1]);
    truncateSync(join(directory, walName(1)), 10);
    await expect(wal.prepare(walName(1))).rejects.toMatchObject({ kind: "fileInvalid", exitCode: 28 });
    writeFileSync(join(directory, "00000002.history"), "1\t0/1\tx\n");
    expect(await wal.prepare("00000002.history")).toMatchObject({ cluster: null, sizeBytes: 8 });
  });
});
