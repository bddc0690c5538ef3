/** Files of two clones that share fetched pages, against plain buffers: each reads the backup and its own writes. */
import { mkdirSync, openSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ManifestFile } from "../../../../runtime/format/repository/manifest";
import { SharedPages } from "../../../../runtime/operations/clone/sharedPages";
import { Journal } from "../../../../runtime/operations/open/journal";
import { PAGE_BYTES } from "../../../../runtime/operations/open/pageSet";
import { type Origin, originOf, shareWith, StoredFile } from "../../../../runtime/operations/open/storedFile";
import { temporaryFolder } from "../../repository/support";

const PAGES = 24;
const SIZE = PAGES * PAGE_BYTES;
const BACKUP = Buffer.alloc(SIZE);
for (let offset = 0; offset < SIZE; offset += 4) BACKUP.writeUInt32LE(offset + 1, offset);

/** Repeats with its seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

class SharingFile {
  readonly file: StoredFile;
  readonly origin: Origin;
  model = Buffer.from(BACKUP);
  fetchedBytes = 0;

  constructor(folder: string, name: string, directory: string) {
    const path = join(folder, name);
    writeFileSync(path, "");
    truncateSync(path, SIZE);
    const journal = new Journal(openSync(`${path}.journal`, "wx"));
    this.file = new StoredFile(() => path, SIZE, journal);
    // The other fields are not read.
    const row: Pick<ManifestFile, "name" | "sizeBytes"> = { name: "pg_data/base/1/2", sizeBytes: SIZE };
    this.origin = originOf(0, row as ManifestFile);
    shareWith(this.origin, SharedPages.open({ directory, boot: "boot", rows: "rows" }).file(0, SIZE));
    this.file.bind(this.origin);
  }

  fetch(runs: readonly (readonly [number, number])[]): void {
    for (const [first, last] of runs) {
      const bytes = BACKUP.subarray(first * PAGE_BYTES, (last + 1) * PAGE_BYTES);
      this.fetchedBytes += bytes.length;
      this.file.fill(this.origin, first * PAGE_BYTES, bytes);
    }
  }

  read(offset: number, length: number): Buffer {
    this.fetch(this.file.missingIn(offset, Math.min(length, this.file.sizeBytes - offset)));
    const target = Buffer.alloc(Math.max(0, Math.min(length, this.file.sizeBytes - offset)));
    return target.subarray(0, this.file.read(offset, target));
  }

  write(offset: number, data: Buffer): void {
    this.fetch(this.file.missingEdges(offset, data.length));
    this.file.write(offset, data);
    const grown = Buffer.alloc(Math.max(this.model.length, offset + data.length));
    this.model.copy(grown);
    data.copy(grown, offset);
    this.model = grown;
  }

  async resize(sizeBytes: number): Promise<void> {
    await this.file.truncate(sizeBytes);
    const resized = Buffer.alloc(sizeBytes);
    this.model.copy(resized);
    this.model = resized;
  }
}

function twoClones(): { one: SharingFile; other: SharingFile; directory: string } {
  const folder = temporaryFolder();
  const directory = join(folder, "pages");
  mkdirSync(directory);
  return {
    one: new SharingFile(folder, "one", directory),
    other: new SharingFile(folder, "other", directory),
    directory,
  };
}

describe("files of clones", () => {
  test.each([1, 2, 3, 4])("have the backup's bytes and their own writes: seed %i", async (seed) => {
    const random = randomOf(seed);
    const { one, other } = twoClones();
    for (let step = 0; step < 300; step++) {
      const clone = random(2) === 0 ? one : other;
      const isAligned = random(3) > 0;
      const at = isAligned ? random(PAGES) * PAGE_BYTES : random(SIZE);
      const length = isAligned ? (1 + random(3)) * PAGE_BYTES : 1 + random(20_000);
      switch (random(8)) {
        case 0:
        case 1:
          clone.write(at, Buffer.alloc(length, 1 + random(255)));
          break;
        case 2:
          if (random(3) === 0)
            await clone.resize(SIZE / 2 + (isAligned ? random(PAGES / 2) * PAGE_BYTES : random(SIZE / 2)));
          break;
        case 3:
          await clone.file.sync();
          break;
        default:
          if (at < clone.model.length)
            expect(clone.read(at, length).equals(clone.model.subarray(at, at + length)), `step ${step}`).toBe(true);
      }
    }
    for (const clone of [one, other]) expect(clone.read(0, clone.model.length).equals(clone.model)).toBe(true);
  });

  test("fetch each page once for both", () => {
    const { one, other } = twoClones();
    expect(one.read(0, SIZE).equals(BACKUP)).toBe(true);
    expect(other.read(0, SIZE).equals(BACKUP)).toBe(true);
    expect([one.fetchedBytes, other.fetchedBytes]).toEqual([SIZE, 0]);
  });

  test("that lose a shared page give an error, and then the right one", () => {
    const { directory, one, other } = twoClones();
    one.read(0, SIZE);
    other.read(0, 1);
    writeSync(openSync(join(directory, "boot-rows/0"), "r+"), Buffer.alloc(100), 0, 100, 2 * PAGE_BYTES);
    expect(() => one.read(0, SIZE)).toThrow("are not what was fetched");
    expect(one.read(0, SIZE).equals(BACKUP)).toBe(true);
    expect(other.read(0, SIZE).equals(BACKUP)).toBe(true);
  });

  test("never count as whole while pages of them are elsewhere", () => {
    const { one } = twoClones();
    one.read(0, SIZE);
    expect(() => one.file.settled()).toThrow("pages are elsewhere");
  });

  test("that are cut off from the backup need the shared pages no more", async () => {
    const { directory, one } = twoClones();
    one.read(0, SIZE);
    await one.file.own();
    writeSync(openSync(join(directory, "boot-rows/0"), "r+"), Buffer.alloc(SIZE), 0, SIZE, PAGE_BYTES);
    expect(one.read(0, SIZE).equals(BACKUP)).toBe(true);
  });
});
