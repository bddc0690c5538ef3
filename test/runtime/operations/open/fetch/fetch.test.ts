import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { encryptBytes } from "../../../../../runtime/format/codec/cipher";
import { EMPTY_BYTES } from "../../../../../runtime/base/bytes";
import { compressBytes } from "../../../../../runtime/format/codec/compress";
import { LONG_FRAME_SIZE_BYTES } from "../../../../../runtime/format/codec/zstFrames";
import { ZstSeekTable } from "../../../../../runtime/format/codec/zstSeekTable";
import type { ManifestFile } from "../../../../../runtime/format/repository/manifest";
import { pageChecksum } from "../../../../../runtime/format/page/pageChecksum";
import { sha1Hex } from "../../../../../runtime/base/hash";
import { openBlockFile } from "../../../../../runtime/repository/blockReader";
import type { Packing, Repository } from "../../../../../runtime/repository/repository";
import { Fetcher } from "../../../../../runtime/operations/open/fetch/fetcher";
import { fetchFrames, FramedFile } from "../../../../../runtime/operations/open/fetch/frameFetch";
import { fetchBlocks } from "../../../../../runtime/operations/open/fetch/blockFetch";
import { IndexedMap } from "../../../../../runtime/operations/open/fetch/indexedMap";
import { Journal } from "../../../../../runtime/operations/open/journal";
import { PAGE_BYTES, type PageRun } from "../../../../../runtime/operations/open/pageSet";
import { originOf, StoredFile } from "../../../../../runtime/operations/open/storedFile";
import type { Target } from "../../../../../runtime/operations/open/upperDirectory";
import { loadWhole, pageCheckOf, streamWhole } from "../../../../../runtime/operations/open/fetch/wholeFetch";
import type { RestoreSource } from "../../../../../runtime/operations/restore/restoreFile";
import type { Sources } from "../../../../../runtime/operations/restore/sources";
import { testContext } from "../../../../harness/context";
import { MemoryStorage } from "../../../../harness/doubles/storages";
import * as fc from "../../../../harness/properties";
import { sampleBytes } from "../../../format/vectors";
import { BlockChain } from "../../backup/blockChain";

let folder: string;
let journalFd: number;
let count = 0;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pgbackstop-fetch-"));
  journalFd = openSync(join(folder, "journal"), "a");
});
afterEach(() => {
  closeSync(journalFd);
  rmSync(folder, { recursive: true });
});

function rowOf(bytes: Uint8Array, name = "pg_data/base/5/16384"): ManifestFile {
  const sizes = { sizeBytes: bytes.length, sizeRepoBytes: bytes.length };
  return { name, ...sizes, sha1: sha1Hex(bytes), modifiedAtS: 1, mode: 0o600, user: null, group: null };
}

function targetOf(row: ManifestFile): Target {
  const path = join(folder, `file${count++}`);
  closeSync(openSync(path, "w"));
  truncateSync(path, row.sizeBytes);
  const file = new StoredFile(() => path, row.sizeBytes, new Journal(journalFd));
  const origin = originOf(0, row);
  file.bind(origin);
  return { file, origin };
}

function readAll({ file }: Target, [first, last]: PageRun): Buffer {
  const begin = first * PAGE_BYTES;
  const bytes = Buffer.alloc(Math.min((last + 1) * PAGE_BYTES, file.sizeBytes) - begin);
  file.read(begin, bytes);
  return bytes;
}

/** From one repository, without other files. */
function fetcherOf(repo: Repository, source: RestoreSource, target: Target): Fetcher {
  const sources: Pick<Sources, "use"> = { use: (_, attempt) => attempt(source, false) };
  const pages = { pageSizeBytes: PAGE_BYTES, dataChecksums: true };
  const parts = { sources: sources as Sources, repo: () => repo, pages, spoolPath: folder };
  return new Fetcher(parts, [target], testContext());
}

describe("pages of a file in blocks", () => {
  const SIZE = 23 * PAGE_BYTES + 100;

  async function chainOf(blockSizeBytes: number): Promise<{ readonly chain: BlockChain; readonly bytes: Buffer }> {
    const chain = new BlockChain({
      blockSizeBytes,
      checksumSizeBytes: 6,
      superBlockSizeBytes: 4 * blockSizeBytes,
      compress: { type: "lz4", level: 1 },
      cipherPass: "secret",
      bundleId: 0,
      offsetBytes: 0,
    });
    const bytes = Buffer.from(sampleBytes(SIZE));
    await chain.backup(bytes);
    for (const at of [3, 9, 17]) bytes.fill(at, at * PAGE_BYTES, at * PAGE_BYTES + 10);
    await chain.backup(bytes);
    return { chain, bytes };
  }

  test("any pages of any block size are the file's, and others stay missing", async () => {
    for (const blockSizeBytes of [PAGE_BYTES, 3 * 1024, 24 * 1024, 5000]) {
      const { bytes, chain } = await chainOf(blockSizeBytes);
      const source = chain.source();
      const map = new IndexedMap(await openBlockFile(chain.repo, source), source, SIZE);
      await fc.assert(
        fc.asyncProperty(fc.nat(23), fc.nat(6), async (first, more) => {
          const target = targetOf(rowOf(bytes));
          const run: PageRun = [first, Math.min(first + more, 23)];
          const runs = map.pagesAlong([run]);
          await fetchBlocks(chain.repo, source, map, { ...target, runs: [run] });
          for (const each of runs)
            expect(readAll(target, each).equals(bytes.subarray(each[0] * PAGE_BYTES, (each[1] + 1) * PAGE_BYTES))).toBe(
              true,
            );
          expect(target.origin.pages.hasAll(run[0], run[1])).toBe(true);
          const expectedCount = runs.reduce((sum, [begin, end]) => sum + end - begin + 1, 0);
          expect(target.origin.pages.missingCount).toBe(target.origin.pages.count - expectedCount);
        }),
        { numRuns: 25 },
      );
    }
  });

  /** A file of more than a MiB, its row, and a fetcher for it. */
  async function largeOf(): Promise<{
    readonly bytes: Buffer;
    readonly chain: BlockChain;
    readonly fetcher: Fetcher;
    readonly target: Target;
  }> {
    const { bytes: once, chain } = await chainOf(PAGE_BYTES);
    const bytes = Buffer.concat(Array.from({ length: 8 }, () => once));
    await chain.backup(bytes);
    const block = { sizeBytes: PAGE_BYTES, checksumSizeBytes: 6, mapSizeBytes: chain.source().mapSizeBytes };
    const target = targetOf({ ...rowOf(bytes), block });
    const source = { repoIndex: 1, path: "", range: null, sizeRepoBytes: 0, cipherPass: null, raw: true };
    const fetcher = fetcherOf(chain.repo, { ...source, compressType: "none", block: chain.source() }, target);
    return { bytes, chain, fetcher, target };
  }

  test("a damaged map is loaded again for the next reader", async () => {
    const { bytes, chain, fetcher, target } = await largeOf();
    const map = (await openBlockFile(chain.repo, chain.source())).map;
    const damaged = await chain.withMap({ ...map, checksums: map.checksums.map((byte) => byte ^ 1) });
    const { storage } = chain.repo;
    vi.spyOn(storage, "read").mockImplementationOnce((path, range) => damaged.storage.read(path, range));
    await expect(fetcher.pages(target.file, target.origin, [[5, 5]])).rejects.toThrow("wrong checksum");
    await fetcher.pages(target.file, target.origin, [[5, 5]]);
    expect(readAll(target, [5, 5]).equals(bytes.subarray(5 * PAGE_BYTES, 6 * PAGE_BYTES))).toBe(true);
  });

  // claim: docs/open.md: a super block is fetched once, however many readers ask for its pages
  test("readers that go through a file fetch each of its bytes once, and what follows before they ask", async () => {
    const { bytes, chain, fetcher, target } = await largeOf();
    const { file, origin } = target;
    const ranges: (readonly [path: string, begin: number, end: number])[] = [];
    const read = chain.repo.storage.read.bind(chain.repo.storage);
    vi.spyOn(chain.repo.storage, "read").mockImplementation((path, range) => {
      const begin = range?.offsetBytes ?? 0;
      ranges.push([path, begin, begin + (range?.sizeBytes ?? Number.POSITIVE_INFINITY)]);
      return read(path, range);
    });
    let hitCount = 0;
    const scan = async (): Promise<void> => {
      for (let page = 0; page < origin.pages.count; page += 2) {
        const run: PageRun = [page, Math.min(page + 1, origin.pages.count - 1)];
        fetcher.readTo(file, origin, run);
        if (origin.pages.hasAll(...run)) hitCount++;
        else await fetcher.pages(file, origin, [run]);
      }
    };
    await Promise.all([scan(), scan()]);
    expect(readAll(target, [0, origin.pages.count - 1]).equals(bytes)).toBe(true);
    expect(hitCount).toBeGreaterThan((origin.pages.count / 2) * 1.5);
    expect(ranges.length).toBeLessThan(origin.pages.count / 4);
    for (const [path, begin, end] of ranges)
      expect(ranges.filter((other) => other[0] === path && other[1] < end && begin < other[2])).toHaveLength(1);
  });

  test("a reader that has waited for another one's failure asks by itself", async () => {
    const { bytes, chain, fetcher, target } = await largeOf();
    const { file, origin } = target;
    await fetcher.pages(file, origin, [[0, 0]]);
    vi.spyOn(chain.repo.storage, "read").mockRejectedValueOnce(new Error("the connection broke"));
    const own = fetcher.pages(file, origin, [[12, 12]]);
    const other = fetcher.pages(file, origin, [[13, 13]]);
    await expect(own).rejects.toThrow("the connection broke");
    await other;
    expect(origin.pages.has(13)).toBe(false);
    await fetcher.pages(file, origin, [[13, 13]]);
    expect(readAll(target, [12, 13]).equals(bytes.subarray(12 * PAGE_BYTES, 14 * PAGE_BYTES))).toBe(true);
  });

  test("a block with a wrong checksum is named, and no page of it is kept", async () => {
    const { bytes, chain } = await chainOf(PAGE_BYTES);
    const source = chain.source();
    const map = new IndexedMap(await openBlockFile(chain.repo, source), source, SIZE);
    map.checksums[5 * 6] = (map.checksums[5 * 6] as number) ^ 1;
    const target = targetOf(rowOf(bytes));
    const fetching = fetchBlocks(chain.repo, source, map, { ...target, runs: [[5, 5]] });
    await expect(fetching).rejects.toThrow(/block 5 of '.*' in repo\d has a wrong checksum/);
    expect(target.origin.pages.missingCount).toBe(target.origin.pages.count);
  });
});

describe("files that are stored whole", () => {
  const SIZE = 600 * PAGE_BYTES;
  const PAGES = { pageSizeBytes: PAGE_BYTES, dataChecksums: true };

  /** Pages with right checksums of their own. */
  function relation(bytes = Buffer.from(sampleBytes(SIZE))): Buffer {
    for (let page = 0; page < bytes.length / PAGE_BYTES; page++) {
      const content = bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
      content.writeUInt16LE(PAGE_BYTES, 14);
      content.writeUInt16LE(pageChecksum(content, page), 8);
    }
    return bytes;
  }

  interface Stored {
    readonly repo: Repository;
    readonly source: RestoreSource;
    readonly storage: MemoryStorage;
  }

  function stored(content: Uint8Array, packing: Partial<Packing> = {}): Stored {
    const { cipherPass = null, compressType = "none", raw = false } = packing;
    const packed = compressBytes(content, { type: compressType, level: 3 }, raw);
    const bytes = cipherPass === null ? packed : encryptBytes(packed, cipherPass, Buffer.alloc(8, 5), raw);
    const storage = new MemoryStorage();
    storage.files.set("file", { bytes, modifiedAtMs: 1 });
    const repo: Repository = {
      key: 2,
      name: "repo2",
      storage,
      stanza: "main",
      cipherType: "none",
      cipherPass: null,
      compress: { type: "none", level: 0 },
      bundle: null,
      block: null,
      hardLinks: false,
      latestLink: false,
    };
    const source = { path: "file", range: null, sizeRepoBytes: bytes.length, cipherPass, compressType, raw };
    return { repo, source: { repoIndex: 2, ...source }, storage };
  }

  test("pages with a right checksum can be read while the file streams, others when the whole file has proved right", async () => {
    const bytes = relation();
    // As a page that was being written during an online backup.
    bytes.fill(7, 20 * PAGE_BYTES + 100, 20 * PAGE_BYTES + 200);
    const { repo, source } = stored(bytes);
    const target = targetOf(rowOf(bytes));
    const seen: boolean[] = [];
    await streamWhole(repo, source, target, PAGES, join(folder, "waiting"), () =>
      seen.push(target.origin.pages.has(20)),
    );
    expect([seen[0], seen.at(-1)]).toEqual([false, true]);
    expect(readAll(target, [0, 599]).equals(bytes)).toBe(true);
    expect(readdirSync(folder)).not.toContain("waiting");
  });

  test("without page checksums nothing can be read before the end, and nothing at all of wrong bytes", async () => {
    const bytes = relation();
    const { repo, source } = stored(bytes);
    const noChecksums = { ...PAGES, dataChecksums: false };
    // Of a process that was killed.
    writeFileSync(join(folder, "waiting"), "old");
    const target = targetOf(rowOf(bytes));
    const missing: number[] = [];
    await streamWhole(repo, source, target, noChecksums, join(folder, "waiting"), () =>
      missing.push(target.origin.pages.missingCount),
    );
    expect([missing[0], missing.at(-1)]).toEqual([600, 0]);
    const other = targetOf({ ...rowOf(bytes), sha1: sha1Hex("other") });
    const wrong = streamWhole(repo, source, other, noChecksums, join(folder, "waiting"), () => {});
    await expect(wrong).rejects.toThrow(/'pg_data\/base\/5\/16384' in repo2 has checksum/);
    expect(other.origin.pages.missingCount).toBe(600);
  });

  // claim: docs/open.md: whole files without compression, and zst of this runtime: the frame with the page
  test.each([
    { compressType: "none" },
    { compressType: "zst" },
    { compressType: "zst", cipherPass: "secret" },
    { compressType: "none", cipherPass: "secret", raw: true },
  ] as const)("any page of $compressType, $cipherPass comes with its frame alone", async (packing) => {
    const bytes = relation();
    bytes.fill(7, 20 * PAGE_BYTES + 100, 20 * PAGE_BYTES + 200);
    const { repo, source, storage } = stored(bytes, packing);
    const framed = await FramedFile.open(repo, source, SIZE);
    const check = pageCheckOf(rowOf(bytes), PAGES, source);
    if (framed === null || check === null) throw new Error("no frames");
    const sizes = vi.spyOn(storage, "read");
    await fc.assert(
      fc.asyncProperty(fc.nat(599), fc.nat(300), async (first, more) => {
        sizes.mockClear();
        const target = targetOf(rowOf(bytes));
        const run: PageRun = [first, Math.min(first + more, 599)];
        await fetchFrames(framed, target, [run], check, PAGES);
        for (let page = run[0]; page <= run[1]; page++) {
          expect(target.origin.pages.has(page)).toBe(page !== 20);
          const expected = bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
          if (page !== 20) expect(readAll(target, [page, page]).equals(expected)).toBe(true);
        }
        const frames = Math.floor(run[1] / 128) - Math.floor(run[0] / 128) + 1;
        const fetchedBytes = sizes.mock.calls.reduce((sum, [, range]) => sum + (range?.sizeBytes ?? Infinity), 0);
        expect(fetchedBytes).toBeLessThanOrEqual((frames * 1.01 + 0.01) * 1024 * 1024);
      }),
      { numRuns: 20 },
    );
  });

  // claim: docs/open.md: zeros of a file that is stored without compression and encryption are read only when its SHA-1
  //   is right
  test.each([
    [{ compressType: "none" }, false],
    [{ compressType: "zst" }, true],
    [{ compressType: "none", cipherPass: "secret" }, true],
  ] as const)("a page of zeros stored as %j proves itself: %s", async (packing, provesItself) => {
    const bytes = relation();
    bytes.fill(0, 20 * PAGE_BYTES, 30 * PAGE_BYTES);
    const { repo, source } = stored(bytes, packing);
    const framed = await FramedFile.open(repo, source, SIZE);
    const check = pageCheckOf(rowOf(bytes), PAGES, source);
    if (framed === null || check === null) throw new Error("no frames");
    const byFrame = targetOf(rowOf(bytes));
    await fetchFrames(framed, byFrame, [[10, 40]], check, PAGES);
    expect(byFrame.origin.pages.runsIn(10, 40)).toEqual(
      provesItself
        ? [[10, 40]]
        : [
            [10, 19],
            [30, 40],
          ],
    );
    for (const isDamaged of [false, true]) {
      const target = targetOf({ ...rowOf(bytes), ...(isDamaged ? { sha1: sha1Hex("other") } : {}) });
      const reading = streamWhole(repo, source, target, PAGES, join(folder, "waiting"), () => {});
      await (isDamaged ? expect(reading).rejects.toThrow("has checksum") : reading);
      expect(target.origin.pages.runsIn(20, 29)).toEqual(isDamaged && !provesItself ? [] : [[20, 29]]);
    }
  });

  test.each([
    ["its own file", "nowhere/1"],
    ["the file that waits for a checksum", ""],
  ])("a failure of %s is this machine's, and no repository's", async (_, path) => {
    const bytes = relation();
    const { repo, source } = stored(bytes, { compressType: "gz" });
    const target = targetOf(rowOf(bytes, path === "" ? "pg_data/other" : "pg_data/base/5/16384"));
    const file =
      path === "" ? target.file : new StoredFile(() => join(folder, path), bytes.length, new Journal(journalFd));
    if (path !== "") file.bind(target.origin);
    const seen: unknown[] = [];
    const sources: Pick<Sources, "use"> = {
      use: async (request, attempt) => {
        try {
          return await attempt(source, false);
        } catch (error) {
          seen.push([request.destination, (error as { path?: string }).path, (error as { kind?: string }).kind]);
          throw error;
        }
      },
    };
    const parts = { sources: sources as Sources, repo: () => repo, pages: PAGES, spoolPath: join(folder, "nowhere") };
    const fetcher = new Fetcher(parts, [{ ...target, file }], testContext());
    await expect(fetcher.pages(file, target.origin, [[1, 1]])).rejects.toThrow("No such file");
    expect(seen).toEqual([[file.localPath, file.localPath, "fileWrite"]]);
  });

  test("a reader that joins a stream behind its page gets it by another one", async () => {
    const bytes = relation();
    const { repo, source } = stored(bytes, { compressType: "gz" });
    const target = targetOf(rowOf(bytes));
    const fetcher = fetcherOf(repo, source, target);
    let joined: Promise<void> | undefined;
    target.origin.onFill = ([, last]) => {
      if (joined !== undefined || last < 100) return;
      // As the limit of the cache does it.
      target.file.drop(0, 9);
      joined = fetcher.pages(target.file, target.origin, [[5, 5]]);
    };
    await fetcher.pages(target.file, target.origin, [[599, 599]]);
    await joined;
    expect(readAll(target, [5, 5]).equals(bytes.subarray(5 * PAGE_BYTES, 6 * PAGE_BYTES))).toBe(true);
    expect(joined).toBeDefined();
  });

  /** In frames of this content each. */
  function framesOf(bytes: Uint8Array, frameSizeBytes: number): Stored {
    const table = new ZstSeekTable();
    const frames: Uint8Array[] = [];
    for (let begin = 0; begin < bytes.length; begin += frameSizeBytes) {
      const content = bytes.subarray(begin, begin + frameSizeBytes);
      const frame = zstdCompressSync(content);
      table.add(frame.length, content.length);
      frames.push(frame);
    }
    const file = Buffer.concat([...frames, table.encode()]);
    const { repo, source, storage } = stored(EMPTY_BYTES, { compressType: "zst" });
    storage.files.set("file", { bytes: file, modifiedAtMs: 1 });
    return { repo, source: { ...source, sizeRepoBytes: file.length }, storage };
  }

  test("a reader that goes through a file of long frames gets the rest of it by one request", async () => {
    const FRAMES = 20;
    const bytes = relation(Buffer.alloc(FRAMES * LONG_FRAME_SIZE_BYTES));
    const { repo, source, storage } = framesOf(bytes, LONG_FRAME_SIZE_BYTES);
    const target = targetOf(rowOf(bytes));
    const fetcher = fetcherOf(repo, source, target);
    const reads = vi.spyOn(storage, "read");
    const missing = (): PageRun | undefined => target.origin.pages.missingRuns(0, target.origin.pages.count - 1)[0];
    for (let run = missing(); run !== undefined; run = missing())
      await fetcher.pages(target.file, target.origin, [[run[0], run[0]]]);
    expect(reads.mock.calls.length).toBeLessThan(FRAMES - 5);
    expect(sha1Hex(readAll(target, [0, target.origin.pages.count - 1]))).toBe(sha1Hex(bytes));
  });

  test("frames that would fill the memory are not read alone", async () => {
    const bytes = Buffer.alloc(18 * 1024 * 1024);
    for (const frameSizeBytes of [LONG_FRAME_SIZE_BYTES, 9 * 1024 * 1024]) {
      const { repo, source } = framesOf(bytes, frameSizeBytes);
      const framed = await FramedFile.open(repo, source, bytes.length);
      expect(framed === null).toBe(frameSizeBytes > LONG_FRAME_SIZE_BYTES);
    }
  });

  test("a file in blocks that another repository holds whole streams once, however many parts are asked for", async () => {
    const bytes = relation();
    const { repo, source, storage } = stored(bytes);
    const block = { sizeBytes: PAGE_BYTES, checksumSizeBytes: 6, mapSizeBytes: 100 };
    const target = targetOf({ ...rowOf(bytes), block });
    const fetcher = fetcherOf(repo, source, target);
    const reads = vi.spyOn(storage, "read");
    await Promise.all([1, 100, 200].map((page) => fetcher.pages(target.file, target.origin, [[page, page]])));
    expect(reads).toHaveBeenCalledTimes(1);
    expect(readAll(target, [0, 599]).equals(bytes)).toBe(true);
  });

  test("a zst file without a seek table, and other compression, have no frames", async () => {
    const bytes = relation();
    const one = zstdCompressSync(bytes);
    const { repo, source, storage } = stored(bytes, { compressType: "zst" });
    storage.files.set("file", { bytes: one, modifiedAtMs: 1 });
    expect(await FramedFile.open(repo, { ...source, sizeRepoBytes: one.length }, SIZE)).toBeNull();
    const gz = stored(bytes, { compressType: "gz" });
    expect(await FramedFile.open(gz.repo, gz.source, SIZE)).toBeNull();
  });

  test("a small file is compared with the manifest", async () => {
    const bytes = Buffer.from("17\n");
    const { repo, source } = stored(bytes);
    expect(Buffer.from(await loadWhole(repo, source, targetOf(rowOf(bytes)).origin)).equals(bytes)).toBe(true);
    await expect(loadWhole(repo, source, targetOf({ ...rowOf(bytes), sha1: sha1Hex("18\n") }).origin)).rejects.toThrow(
      "repo2",
    );
  });
});
