/** A listing is a set, whatever a service or a proxy sends. */
import { describe, expect, it } from "vitest";
import { listedOnce } from "../../../runtime/storage/listedOnce";
import type { ObjectInfo, Storage } from "../../../runtime/storage/storage";
import { MemoryStorage } from "../../harness/doubles/storages";
import * as fc from "../../harness/properties";

const entryOf = (path: string, type: ObjectInfo["type"], sizeBytes = 0): ObjectInfo => ({
  path,
  type,
  sizeBytes,
  modifiedAtMs: 0,
});

async function namesOf(storage: Storage): Promise<ObjectInfo[]> {
  const entries: ObjectInfo[] = [];
  for await (const entry of storage.list("d")) entries.push(entry);
  return entries;
}

function listing(entries: readonly ObjectInfo[]): Storage {
  const storage = new MemoryStorage();
  storage.list = async function* () {
    yield* entries;
  };
  return listedOnce(storage);
}

const entry = fc
  .record({ no: fc.integer({ min: 0, max: 400 }), type: fc.constantFrom<ObjectInfo["type"]>("file", "directory") })
  .map(({ no, type }) => entryOf(`d/${no.toString(36)}`, type, no));

describe("a listing", () => {
  it("has each file and each directory once, the first one, in any order and with any repeats", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 600 }), async (entries) => {
        const first = entries.filter(
          (one, index) => entries.findIndex(({ path, type }) => path === one.path && type === one.type) === index,
        );
        expect(await namesOf(listing(entries))).toEqual(first);
      }),
    );
  });

  it("without repeats keeps every entry, also those whose names come in no order", async () => {
    const names = Array.from({ length: 50_000 }, (_, no) => entryOf(`d/${(no * 7919) % 50_000}`, "file"));
    expect(await namesOf(listing(names))).toEqual(names);
  });

  it("has each entry once where pages overlap, repeat each other or were listed before a write", async () => {
    const page = (from: number, to: number): ObjectInfo[] =>
      Array.from({ length: to - from }, (_, index) => entryOf(`d/${String(from + index).padStart(6, "0")}`, "file"));
    const overlapping = [...page(0, 1000), ...page(999, 2000), ...page(0, 1000), ...page(500, 3000)];
    expect(await namesOf(listing(overlapping))).toEqual(page(0, 3000));
  });
});
