import * as fc from "../../harness/properties";
import { describe, expect, it } from "vitest";
import {
  collect,
  compareBytes,
  concatBytes,
  countBefore,
  freeMemory,
  hasStrayBytes,
  shownText,
  streamOf,
  textOf,
  utf8,
  wholeLines,
} from "../../../runtime/base/bytes";
import { Measured, measure, SHA1_EMPTY, sha1Hex } from "../../../runtime/base/hash";
import { formatSize } from "../../../runtime/base/units";

const parts = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });

describe("memory", () => {
  it("is freed only of bytes with a large buffer of their own", () => {
    const own = new Uint8Array(100_000);
    const slice = new Uint8Array(new ArrayBuffer(200_000), 0, 100_000);
    const small = new Uint8Array(1000);
    for (const bytes of [own, slice, small]) freeMemory(bytes);
    expect([own, slice, small].map(({ length }) => length)).toEqual([0, 100_000, 1000]);
  });
});

describe("byte streams", () => {
  it("are collected whole, up to a limit", async () => {
    await fc.assert(
      fc.asyncProperty(parts, async (chunks) => {
        const whole = Buffer.concat(chunks);
        expect(Buffer.from(await collect(streamOf(...chunks), whole.length))).toEqual(whole);
        expect(Buffer.from(concatBytes(chunks))).toEqual(whole);
        if (whole.length > 0)
          await expect(collect(streamOf(...chunks), whole.length - 1)).rejects.toMatchObject({ kind: "fileInvalid" });
      }),
    );
  });

  it("are measured, at once or as a stream", async () => {
    await fc.assert(
      fc.asyncProperty(parts, async (chunks) => {
        const expected = { sizeBytes: Buffer.concat(chunks).length, sha1: sha1Hex(Buffer.concat(chunks)) };
        expect(await measure(streamOf(...chunks))).toEqual(expected);
        const measured = new Measured();
        await collect(measured.through(streamOf(...chunks)), 1000);
        expect(measured.result()).toEqual(expected);
        expect(measured.result()).toEqual(expected);
      }),
    );
    expect(sha1Hex("")).toBe(SHA1_EMPTY);
  });

  it("of text yield complete lines, from which pieces can be cut", async () => {
    const lines = fc.array(
      fc
        .oneof(fc.string({ maxLength: 20 }), fc.string({ unit: "grapheme", maxLength: 20 }))
        .map((line) => line.replaceAll("\n", "")),
      {
        maxLength: 8,
      },
    );
    await fc.assert(
      fc.asyncProperty(lines, fc.integer({ min: 1, max: 30 }), fc.boolean(), async (texts, size, isEnded) => {
        const whole = Buffer.from(texts.join("\n") + (isEnded ? "\n" : ""));
        const pieces = Array.from({ length: Math.ceil(whole.length / size) }, (_, index) =>
          whole.subarray(index * size, (index + 1) * size),
        );
        const read: string[] = [];
        for await (const { text, cut } of wholeLines(streamOf(...pieces), whole.length)) {
          read.push(text);
          // Cut between two characters.
          const middle = [...text][0]?.length ?? 0;
          expect([cut(0, middle), cut(middle, text.length), cut(0, 0)]).toEqual([
            text.slice(0, middle),
            text.slice(middle),
            "",
          ]);
        }
        expect(read.join("")).toBe(whole.toString());
        for (const text of read.slice(0, -1)) expect(text.endsWith("\n")).toBe(true);
      }),
    );
    const long = [`${"a".repeat(100_000)}\n`, `${"b".repeat(60_000)}\n${"c".repeat(10_000)}\n`, "d"].join("");
    const sizes: number[] = [];
    for await (const { text } of wholeLines(streamOf(utf8(long)), long.length)) sizes.push(text.length);
    expect(sizes).toEqual([100_001, 60_001, 10_001, 1]);
    const limited = async (): Promise<void> => {
      for await (const part of wholeLines(streamOf(utf8("ab\n"), utf8("c")), 3)) expect(part.text).toBe("ab\n");
    };
    await expect(limited()).rejects.toMatchObject({ kind: "fileInvalid" });
  });

  it("of text in a slice of a larger buffer are only the slice", () => {
    expect(textOf(utf8("xxäöyy").subarray(2, 6))).toBe("äö");
  });
});

describe("text", () => {
  const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
  /** Any bytes, among them pieces of UTF-8, characters of every length, and encoded surrogates. */
  const bytes = fc
    .array(
      fc.oneof(
        fc.uint8Array({ maxLength: 6 }),
        fc.string({ unit: "binary", maxLength: 6 }).map((text) => Buffer.from(text)),
        fc.constantFrom("\xed\xb2\x80", "\xf0\x9f", "\xc0\xaf", "\xef\xbf\xbd", "\xf4\x90\x80\x80").map(latin1),
      ),
      { maxLength: 8 },
    )
    .map((pieces) => Buffer.concat(pieces));

  it("gives back the bytes that it was made of, and UTF-8 is its characters", () => {
    fc.assert(
      fc.property(bytes, bytes, (whole, more) => {
        expect(Buffer.from(utf8(textOf(whole)))).toEqual(whole);
        // Path and name are joined as texts.
        expect(Buffer.from(utf8(`${textOf(whole)}/${textOf(more)}`))).toEqual(
          Buffer.concat([whole, latin1("/"), more]),
        );
      }),
      { numRuns: 1000 },
    );
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => textOf(Buffer.from(text)) === text));
    expect(textOf(latin1("caf\xe9"))).toBe("caf\udce9");
  });

  it("is ordered as its bytes", () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        expect(Math.sign(compareBytes(textOf(a), textOf(b)))).toBe(Buffer.compare(a, b));
      }),
      { numRuns: 1000 },
    );
  });

  it("shows other bytes as numbers", () => {
    const text = textOf(latin1("caf\xe9 \xff"));
    expect(shownText(`é ${text}`)).toBe("é caf\\xe9 \\xff");
    expect([text, "é\u{1f600}", ""].map(hasStrayBytes)).toEqual([true, false, false]);
  });
});

describe("sizes", () => {
  it.each([
    [0, "0B"],
    [512, "512B"],
    [1023, "1023B"],
    [1024, "1KB"],
    [265024, "258.8KB"],
    [32864617, "31.3MB"],
    [33582401, "32MB"],
    [4284896, "4.1MB"],
    [3186979, "3MB"],
    [2916641, "2.8MB"],
    [1.5 * 1024 ** 3, "1.5GB"],
    [5 * 1024 ** 5, "5PB"],
  ])("%d prints as stock does", (sizeBytes, text) => {
    expect(formatSize(sizeBytes)).toBe(text);
  });
});

it("counts the items before a bound, with and without items there", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20 })), fc.integer({ min: -1, max: 21 }), (items, bound) => {
      const sorted = items.toSorted((left, right) => left - right);
      const at = (index: number): number => sorted[index] as number;
      expect(countBefore(sorted.length, (index) => at(index) < bound)).toBe(
        items.filter((item) => item < bound).length,
      );
      expect(countBefore(sorted.length, (index) => at(index) <= bound)).toBe(
        items.filter((item) => item <= bound).length,
      );
    }),
  );
});
