import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { type WalRecord, WalReader } from "../../../../runtime/format/wal/walReader";
import { errorOf } from "../vectors";
import { bodyOf, PAGE_BYTES, SEGMENT_BYTES, WalWriter } from "../walWriter";

const HEAP = 10;

interface Expected {
  readonly lsn: bigint;
  readonly xid: number;
  /** The bytes as text, because text compares quickly. */
  readonly body: string;
}

/** The reader's result for these segments. Copies the records, because callers may change the segments. */
function readAll(segments: Iterable<Uint8Array>): {
  readonly records: Expected[];
  readonly problems: (string | null)[];
} {
  const reader = new WalReader();
  const records: Expected[] = [];
  const problems: (string | null)[] = [];
  for (const segment of segments) {
    for (const record of reader.read(segment)) records.push(reported(record));
    problems.push(reader.problem);
  }
  return { records, problems };
}

function reported({ bytes, lsn, xid }: WalRecord): Expected {
  return { lsn, xid, body: Buffer.from(bytes.subarray(24)).toString("latin1") };
}

function contentOf(sizeBytes: number, seed: number): Uint8Array {
  return Buffer.from(Array.from({ length: sizeBytes }, (_, index) => (index * 31 + seed) & 0xff));
}

/** Writes records of these sizes, with transactions 100, 101, … */
function write(writer: WalWriter, sizesBytes: readonly number[]): Expected[] {
  return sizesBytes.map((sizeBytes, index) => {
    const xid = 100 + index;
    const body = bodyOf({ main: contentOf(sizeBytes, xid) });
    return { lsn: writer.add({ resourceManager: HEAP, xid, body }), xid, body: Buffer.from(body).toString("latin1") };
  });
}

const SIZES = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 300 }) },
    { weight: 3, arbitrary: fc.integer({ min: 300, max: 3 * PAGE_BYTES }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 200_000 }) },
  ),
  { minLength: 1, maxLength: 30 },
);

describe("WAL as records", () => {
  it("are read as written, with any sizes and offsets", () => {
    fc.assert(
      fc.property(
        SIZES,
        fc.integer({ min: 0, max: 40 }),
        fc.constantFrom(14, 15, 16, 17, 18, 19),
        (sizes, leftBytes, major) => {
          const writer = new WalWriter({ major, segment: 7 });
          // A page or segment may then end at any position in a record.
          writer.fill(126 * PAGE_BYTES);
          writer.fillPage();
          writer.fillPage(leftBytes * 8);
          const expected = write(writer, sizes);
          writer.switchSegment();
          const { problems, records } = readAll(writer.segments().values());
          expect(problems.every((problem) => problem === null)).toBe(true);
          expect(records.filter(({ xid }) => xid >= 100)).toEqual(expected);
        },
      ),
      { numRuns: 25 },
    );
  });

  it("a record continues over pages and into the next segment, whose first page has the long header", () => {
    const writer = new WalWriter();
    for (let page = 0; page < SEGMENT_BYTES / PAGE_BYTES - 1; page++) writer.fillPage();
    writer.fillPage(24);
    // The record's header ends the segment. Its data fills two pages of the next one.
    const [expected] = write(writer, [2 * PAGE_BYTES]);
    const segments = [...writer.segments().values()];
    expect(segments).toHaveLength(2);
    const reader = new WalReader();
    expect([...reader.read(segments[0] as Uint8Array)].some(({ xid }) => xid === 100)).toBe(false);
    expect([reader.problem, reader.position]).toEqual([null, BigInt(2 * SEGMENT_BYTES)]);
    expect([...reader.read(segments[1] as Uint8Array)].map(reported)).toEqual([expected]);
    expect(reader.problem).toMatch(/^there is no record at /);
  });

  it("a record that spans complete segments is assembled", () => {
    const writer = new WalWriter();
    const expected = write(writer, [2 * SEGMENT_BYTES + 12_345, 10]);
    const { problems, records } = readAll(writer.segments().values());
    expect(records).toEqual(expected);
    expect(problems.slice(0, 2)).toEqual([null, null]);
  });

  it("the end of a record with an unread start is skipped, also after a skipped segment", () => {
    const writer = new WalWriter();
    const expected = write(writer, [SEGMENT_BYTES + 500, 10, SEGMENT_BYTES, 20]);
    const segments = [...writer.segments().values()];
    expect(readAll(segments.slice(1)).records).toEqual(expected.slice(1));
    const [first, , third] = segments as [Uint8Array, Uint8Array, Uint8Array];
    expect(readAll([first, third]).records).toEqual(expected.slice(3));
    const reader = new WalReader();
    expect([...reader.read(first)]).toEqual([]);
    reader.forget();
    expect([...reader.read(segments[1] as Uint8Array)].map(reported)).toEqual([expected[1]]);
  });

  it("after a switch the rest of the segment is ignored, and the next one follows", () => {
    const writer = new WalWriter();
    const [one] = write(writer, [10]);
    writer.switchSegment();
    const [two] = write(writer, [20]);
    const [first, second] = [...writer.segments().values()] as [Uint8Array, Uint8Array];
    const dirty = Buffer.from(first);
    dirty.fill(0x77, 5 * PAGE_BYTES);
    const { problems, records } = readAll([dirty, second]);
    expect(records.filter(({ xid }) => xid !== 0)).toEqual([one, two]);
    expect(problems[0]).toBeNull();
  });

  it("a switch that continues in the next page, or the next segment, counts too", () => {
    for (const leftBytes of [8, 16]) {
      for (const pages of [3, SEGMENT_BYTES / PAGE_BYTES - 1]) {
        const writer = new WalWriter();
        for (let page = 0; page < pages; page++) writer.fillPage();
        writer.fillPage(leftBytes);
        writer.switchSegment();
        const [expected] = write(writer, [20]);
        writer.switchSegment();
        const { problems, records } = readAll(writer.segments().values());
        expect(records.filter(({ xid }) => xid !== 0)).toEqual([expected]);
        expect(problems.every((problem) => problem === null)).toBe(true);
      }
    }
  });

  it("a record that a crash left unfinished is discarded where the next page says so", () => {
    const writer = new WalWriter();
    writer.fillPage(64);
    const at = writer.add({ resourceManager: HEAP, xid: 100, body: { main: contentOf(100, 1) } });
    const [expected] = write(writer, [30]);
    const [segment] = [...writer.segments().values()] as [Buffer];
    expect(at % 8192n).toBe(8192n - 64n);
    // The second page without the continued record: its next record follows the page header.
    const page = Buffer.from(segment.subarray(PAGE_BYTES, 2 * PAGE_BYTES));
    const restBytes = page.readUInt32LE(16);
    const begin = 24 + Math.ceil(restBytes / 8) * 8;
    page.writeUInt16LE(0x0008, 2);
    page.writeUInt32LE(0, 16);
    page.copyWithin(24, begin);
    const changed = Buffer.concat([segment.subarray(0, PAGE_BYTES), page, segment.subarray(2 * PAGE_BYTES)]);
    const { records } = readAll([changed]);
    expect(records.map(({ body, xid }) => ({ body, xid })).filter(({ xid }) => xid >= 100)).toEqual([
      { body: expected?.body, xid: 100 },
    ]);
  });

  // claim: docs/find.md: damaged WAL never yields a record that was not written
  it("a changed byte ends it with a reason, and never yields a record that was not written", () => {
    const writer = new WalWriter();
    const expected = write(writer, [10, 9000, 0, 255, 256, 20_000, 33]);
    const end = Number(writer.lsn) - SEGMENT_BYTES;
    const [segment] = [...writer.segments().values()] as [Buffer];
    fc.assert(
      fc.property(fc.integer({ min: 40, max: end - 1 }), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const damaged = Buffer.from(segment);
        damaged[at] = (damaged[at] as number) ^ mask;
        const { problems, records } = readAll([damaged]);
        expect(problems[0]).not.toBeNull();
        expect(records).toEqual(expected.slice(0, records.length));
      }),
      { numRuns: 200 },
    );
  });

  // claim: docs/find.md: damaged WAL never yields…
  it("truncated anywhere it has a reason, and only complete records before it", async () => {
    const writer = new WalWriter();
    for (let page = 0; page < SEGMENT_BYTES / PAGE_BYTES; page++) writer.fillPage();
    const [segment] = [...writer.segments().values()] as [Buffer];
    expect(readAll([segment]).problems).toEqual([null]);
    const whole = readAll([segment]).records;
    for (const sizeBytes of [40, 41, 8191, 8192, 8193, 5 * PAGE_BYTES, SEGMENT_BYTES - PAGE_BYTES, SEGMENT_BYTES - 1]) {
      const { problems, records } = readAll([segment.subarray(0, sizeBytes)]);
      expect(problems[0], `${sizeBytes} bytes`).toMatch(/^the segment ends within the page at /);
      expect(records).toEqual(whole.slice(0, Math.floor(sizeBytes / PAGE_BYTES)));
    }
    for (const sizeBytes of [0, 39]) await errorOf("fileInvalid", () => readAll([segment.subarray(0, sizeBytes)]));
  });

  it("a page of another position, as in a recycled file, is the end", () => {
    const old = new WalWriter({ segment: 3 });
    for (let page = 0; page < 4; page++) old.fillPage();
    const writer = new WalWriter({ segment: 9 });
    const expected = write(writer, [10, 20]);
    const [stale] = [...old.segments().values()] as [Buffer];
    const [segment] = [...writer.segments().values()] as [Buffer];
    const { problems, records } = readAll([
      Buffer.concat([segment.subarray(0, PAGE_BYTES), stale.subarray(PAGE_BYTES)]),
    ]);
    expect(records).toEqual(expected);
    expect(problems[0]).toMatch(/^there is no record at 0\/9000/);
    writer.fillPage();
    const full = Buffer.concat([segment.subarray(0, PAGE_BYTES), stale.subarray(PAGE_BYTES)]);
    expect(readAll([full]).problems[0]).toBe("the page at 0/902000 has another position");
    const foreign = Buffer.from(segment);
    foreign.writeUInt16LE(0xd118, PAGE_BYTES);
    expect(readAll([foreign]).problems[0]).toBe("there is no page at 0/902000");
  });

  it("pages of an impossible size end it at once", () => {
    const [segment] = [...fullSegment().values()] as [Buffer];
    for (const sizeBytes of [0, 1, 512, 8191, 131_072, 0xffffffff]) {
      const changed = Buffer.from(segment);
      changed.writeUInt32LE(sizeBytes, 36);
      expect(readAll([changed])).toEqual({
        records: [],
        problems: [`the segment at 0/100000 has pages of ${sizeBytes} bytes`],
      });
    }
  });

  it("an impossible length ends it", () => {
    for (const sizeBytes of [1, 23, 0x3fc00001, 0xffffffff]) {
      const [segment] = [...fullSegment().values()] as [Buffer];
      segment.writeUInt32LE(sizeBytes, 40);
      expect(readAll([segment])).toEqual({ records: [], problems: ["there is no record at 0/100028"] });
    }
  });

  it("a continuation with another length than the missing one is refused", () => {
    const writer = new WalWriter();
    write(writer, [3 * PAGE_BYTES]);
    const [segment] = [...writer.segments().values()] as [Buffer];
    segment.writeUInt32LE(segment.readUInt32LE(PAGE_BYTES + 16) - 1, PAGE_BYTES + 16);
    expect(readAll([segment])).toEqual({ records: [], problems: ["the record at 0/100028 has no valid continuation"] });
  });
});

function fullSegment(): Map<number, Uint8Array> {
  const writer = new WalWriter();
  for (let page = 0; page < SEGMENT_BYTES / PAGE_BYTES; page++) writer.fillPage();
  return writer.segments();
}
