import { execFileSync } from "node:child_process";
import {
  chmodSync,
  fstatSync,
  linkSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { concatBytes } from "../../../../runtime/base/bytes";
import { SHA1_EMPTY, sha1Hex } from "../../../../runtime/base/hash";
import { loadBlockHash } from "../../../../runtime/format/codec/xxh3";
import {
  type RestoreFileJob,
  type RestoreFileResult,
  restoreFile,
} from "../../../../runtime/operations/restore/restoreFile";
import { loadBlockMap } from "../../../../runtime/repository/blockReader";
import type { Repository } from "../../../../runtime/repository/repository";
import { testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { errorOf, sampleBytes } from "../../format/vectors";
import { BlockChain } from "../backup/blockChain";

/** The time that a file has when it is synced, in seconds. */
const syncedAtS = vi.hoisted((): number[] => []);
vi.mock("../../../../runtime/local/nodeFiles", async (original) => {
  const real = await original<typeof import("../../../../runtime/local/nodeFiles")>();
  const fsync: typeof real.fsync = Object.assign((fd: number, done: Parameters<typeof real.fsync>[1]) => {
    syncedAtS.push(fstatSync(fd).mtimeMs / 1000);
    real.fsync(fd, done);
  }, real.fsync);
  return { ...real, fsync };
});

const BLOCK = 8192;
const SIZE = 40 * BLOCK + 100;
const FULL = "backup/demo/20261120-060000F/pg_data/base/5/16384.pgbi";

let folder: string;
let path: string;
let chain: BlockChain;
let bytes: Buffer;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "pgbackstop-restore-"));
  path = join(folder, "file");
  chain = new BlockChain({
    blockSizeBytes: BLOCK,
    checksumSizeBytes: 6,
    superBlockSizeBytes: 8 * BLOCK,
    compress: { type: "lz4", level: 1 },
    cipherPass: "passphrase",
    bundleId: 0,
    offsetBytes: 0,
  });
  bytes = Buffer.from(sampleBytes(SIZE));
  await chain.backup(bytes);
  bytes.fill(1, 3 * BLOCK, 3 * BLOCK + 10);
  await chain.backup(bytes);
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Restores from these repositories, numbered from 1. */
function restore(
  job: Partial<RestoreFileJob> = {},
  repos: readonly Repository[] = [chain.repo],
): Promise<RestoreFileResult> {
  const block = chain.source();
  const sources = repos.map((_, index) => ({
    repoIndex: index + 1,
    path: block.mapPath,
    range: null,
    sizeRepoBytes: block.mapOffsetBytes + block.mapSizeBytes,
    compressType: block.compressType,
    cipherPass: block.cipherPass,
    raw: false,
    block,
  }));
  const whole: RestoreFileJob = {
    kind: "restoreFile",
    name: "pg_data/base/5/16384",
    destination: path,
    sizeBytes: SIZE,
    sha1: sha1Hex(bytes),
    mode: 0o640,
    modifiedAtS: 1_795_158_239,
    owner: null,
    delta: false,
    sources,
    ...job,
  };
  return restoreFile(whole, (key) => repos[key - 1] as Repository, testContext());
}

/** A copy of the repository with one file changed, or removed if `content` is undefined. */
function damaged(file: string, content?: Uint8Array): Repository {
  const storage = (chain.repo.storage as MemoryStorage).clone();
  if (content === undefined) storage.files.delete(file);
  else storage.files.set(file, { bytes: content, modifiedAtMs: 0 });
  return { ...chain.repo, storage };
}

function stored(file: string): Buffer {
  return Buffer.from((chain.repo.storage as MemoryStorage).files.get(file)?.bytes ?? []);
}

describe("the destination of a restored file", () => {
  it("must be a file: a pipe blocks nothing", async () => {
    execFileSync("mkfifo", [path]);
    for (const job of [{}, { delta: true }, { sizeBytes: 0, sha1: SHA1_EMPTY, delta: true }]) {
      const error = await errorOf("fileOpen", () => restore(job));
      expect(error.message).toBe(`unable to open file '${path}' for write: it is not a regular file`);
    }
  });

  it.each([
    ["other bytes", Buffer.from("other")],
    ["the blocks of an earlier backup", Buffer.from(sampleBytes(SIZE))],
    ["the right bytes", null],
  ])("is replaced if it has another name, which keeps its bytes and attributes: %s", async (_what, before) => {
    const other = join(folder, "other");
    for (const delta of [true, false]) {
      rmSync(path, { force: true });
      writeFileSync(other, before ?? bytes);
      utimesSync(other, 1, 1);
      linkSync(other, path);
      const result = await restore({ delta });
      expect(result.kept).toBe(false);
      expect(readFileSync(path)).toEqual(bytes);
      expect(readFileSync(other)).toEqual(before ?? bytes);
      expect(statSync(other)).toMatchObject({ nlink: 1, mtimeMs: 1000 });
    }
  });

  it("has its time only when it is durable, so that one with its time is kept without a sync", async () => {
    const time = 1_795_158_239;
    syncedAtS.length = 0;
    await restore();
    expect(syncedAtS).toHaveLength(1);
    expect(syncedAtS.splice(0)).not.toContain(time);
    expect((await restore({ delta: true })).kept).toBe(true);
    expect(syncedAtS).toEqual([]);
    // As a restore leaves it that was killed after the last byte.
    utimesSync(path, 1, 1);
    chmodSync(path, 0o600);
    expect((await restore({ delta: true })).kept).toBe(true);
    expect(syncedAtS.splice(0)).toEqual([1]);
    expect(statSync(path)).toMatchObject({ mode: 0o100640, mtimeMs: time * 1000 });
  });

  it("must not be a link, to a device or to a file elsewhere", async () => {
    const elsewhere = join(folder, "elsewhere");
    writeFileSync(elsewhere, bytes, { mode: 0o444 });
    const before = statSync(elsewhere);
    for (const target of ["/dev/null", elsewhere]) {
      symlinkSync(target, path);
      for (const delta of [false, true]) {
        const error = await errorOf("fileOpen", () => restore({ delta }));
        expect(error.message).toBe(
          `unable to open file '${path}' for write: [ELOOP] ELOOP: too many symbolic links encountered, open '${path}'`,
        );
      }
      rmSync(path);
    }
    const { mode, uid, mtimeMs, ctimeMs } = statSync(elsewhere);
    expect({ mode, uid, mtimeMs, ctimeMs }).toEqual({
      mode: before.mode,
      uid: before.uid,
      mtimeMs: before.mtimeMs,
      ctimeMs: before.ctimeMs,
    });
  });
});

describe("restoring a block incremental file", () => {
  it("restores its bytes, mode and time", async () => {
    expect(await restore()).toEqual({ repoIndex: 1, kept: false, warnings: [] });
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
    expect([statSync(path).mode & 0o777, statSync(path).mtimeMs / 1000]).toEqual([0o640, 1_795_158_239]);
  });

  it("without delta ignores existing content", async () => {
    writeFileSync(path, Buffer.alloc(SIZE + BLOCK, 9));
    await restore();
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
  });

  it("as a delta fetches only the blocks that differ", async () => {
    const before = concatBytes([bytes, Buffer.alloc(100)]);
    before.fill(7, 3 * BLOCK, 3 * BLOCK + 1);
    writeFileSync(path, before);
    // Only the incremental backup is readable. It holds block 3.
    expect(await restore({ delta: true }, [damaged(FULL)])).toEqual({ repoIndex: 1, kept: false, warnings: [] });
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
    expect(await restore({ delta: true })).toEqual({ repoIndex: null, kept: true, warnings: [] });
  });

  it("as a delta leaves a right file alone, and corrects its time", async () => {
    await restore();
    const before = statSync(path, { bigint: true });
    expect(await restore({ delta: true })).toEqual({ repoIndex: null, kept: true, warnings: [] });
    expect(statSync(path, { bigint: true }).ctimeNs).toBe(before.ctimeNs);
    utimesSync(path, 1, 1);
    expect(await restore({ delta: true })).toEqual({ repoIndex: null, kept: true, warnings: [] });
    expect(statSync(path).mtimeMs).toBe(1_795_158_239_000);
  });

  it("continues in another repository with the blocks that the first one lacked", async () => {
    const content = stored(FULL);
    const middle = Math.floor(content.length / 2);
    content.fill(0, middle, middle + 64);
    const result = await restore({}, [damaged(FULL, content), chain.repo]);
    expect(result).toEqual({
      repoIndex: 2,
      kept: false,
      warnings: [expect.stringMatching(/^repo1: \[ChecksumError\] error restoring/)],
    });
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
  });

  it("reports the failures when no repository has all blocks", async () => {
    const gone = await errorOf("fileMissing", () => restore({}, [damaged(FULL)]));
    expect(gone.message).toContain("20261120-060000F");
    await errorOf("checksum", () => restore({ sha1: "0".repeat(40) }));
  });

  it("fetches everything when blocks that seemed right were wrong", async () => {
    const before = Buffer.from(bytes);
    before.fill(7, 20 * BLOCK, 20 * BLOCK + 1);
    writeFileSync(path, before);
    // The map has the checksum of the wrong block 20, as if the short checksums collided.
    const map = await loadBlockMap(chain.repo, chain.source());
    const checksums = Buffer.from(map.checksums);
    checksums.set((await loadBlockHash()).hash(before.subarray(20 * BLOCK, 21 * BLOCK), 6), 20 * 6);
    const lied = await chain.withMap({ ...map, checksums });
    expect(await restore({ delta: true }, [lied])).toEqual({ repoIndex: 1, kept: false, warnings: [] });
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
  });
});
