import { describe, expect, test } from "vitest";
import { findNewTablespace, type SegmentSource } from "../../../../runtime/format/wal/walTablespace";
import * as fc from "../../../harness/properties";
import { pack, PAGE_BYTES, SEGMENT_BYTES, WalWriter } from "../walWriter";

const TABLESPACE = 5;
const DROP = 0x10;
const HEAP = 10;

const LAST_PAGE = SEGMENT_BYTES / PAGE_BYTES - 1;

/** Gives parts that change with the next read. */
function sourceOf(segment: Uint8Array): SegmentSource {
  let last = new Uint8Array(0);
  return {
    sizeBytes: segment.length,
    read: (offsetBytes, sizeBytes) => {
      last.fill(0xee);
      last = new Uint8Array(segment.subarray(offsetBytes, offsetBytes + sizeBytes));
      return last;
    },
  };
}

const created = (path: string): Uint8Array => pack([4, 16_400], path, [1, 0]);

/** A record that begins this many bytes before the end of a page of segment 7; what each segment is said to create. */
function scanned(
  {
    beforeEnd,
    major = 18,
    page = LAST_PAGE,
  }: { readonly beforeEnd: number; readonly major?: number; readonly page?: number },
  record: { readonly resourceManager: number; readonly info?: number; readonly main: Uint8Array },
): (string | null | undefined)[] {
  const writer = new WalWriter({ major, segment: 7 });
  writer.fill((page - 1) * PAGE_BYTES);
  writer.fillPage();
  writer.fillPage(beforeEnd);
  const { info = 0, main, resourceManager } = record;
  writer.add({ resourceManager, info, body: { main } });
  writer.fill(200);
  const all = [...writer.segments().values()].map((segment) => findNewTablespace(sourceOf(segment)));
  return all.map((tablespace) => tablespace?.path);
}

describe("WAL that creates a tablespace", () => {
  test("is detected wherever its record is, before a server can replay it", () => {
    const property = fc.property(
      fc.integer({ min: 0, max: 140 }).map((count) => count * 8),
      fc.stringMatching(/^\/[a-z/]{1,900}$/),
      fc.constantFrom(14, 15, 16, 17, 18, 19),
      (beforeEnd, path, major) => {
        const main = created(path);
        const sizeBytes = 24 + (main.length > 255 ? 5 : 2) + main.length;
        const [first, second] = scanned({ beforeEnd, major }, { resourceManager: TABLESPACE, main });
        if (beforeEnd === 0) expect(second).toBe(path);
        else if (beforeEnd >= sizeBytes) expect(first).toBe(path);
        // Of the header's 24 bytes, the 18th says what it is.
        else if (beforeEnd >= 24) expect(first).toBeNull();
        else expect([first, second]).toEqual([undefined, path]);
      },
    );
    fc.assert(property, { numRuns: 60 });
  });

  test("is detected where one part of the segment ends that is read, and the next one begins", () => {
    const main = created("/srv/data");
    for (const page of [2, 30, 31, 32, 33, 62, 63, 64, 95])
      for (const beforeEnd of [8, 16, 24, 32, 48])
        expect([page, ...scanned({ beforeEnd, page }, { resourceManager: TABLESPACE, main })]).toEqual([
          page,
          "/srv/data",
        ]);
  });

  test("is not what another record has where it continues", () => {
    for (const byteShift of [0, 1, 2, 3]) {
      // As bytes, rows of the number 1280 are the kind of a creation.
      const rows = Uint8Array.from({ length: 1600 }, (_, at) => ((at + byteShift) % 4 === 1 ? TABLESPACE : 0));
      for (const beforeEnd of [8, 16, 24, 32, 40, 48, 800, 1600])
        expect(scanned({ beforeEnd }, { resourceManager: HEAP, main: rows })).toEqual([undefined, undefined]);
    }
  });

  test("is no other WAL, and no tablespace within the data directory", () => {
    for (let beforeEnd = 8; beforeEnd <= 64; beforeEnd += 8) {
      const others = [
        { resourceManager: TABLESPACE, info: DROP, main: pack([4, 16_400]) },
        { resourceManager: HEAP, main: created("/srv/hot") },
      ];
      for (const record of others) expect(scanned({ beforeEnd }, record)).toEqual([undefined, undefined]);
    }
    expect(scanned({ beforeEnd: 1000 }, { resourceManager: TABLESPACE, main: created("") })[0]).toBeUndefined();
    expect(SEGMENT_BYTES).toBe(128 * PAGE_BYTES);
  });
});
