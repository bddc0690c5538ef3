import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { XxHash32, xxHash32 } from "../../../../runtime/format/codec/xxHash32";
import { sampleBytes } from "../vectors";

describe("xxHash32", () => {
  it.each([
    ["", 0x02cc5d05],
    ["a", 0x550d7456],
    ["abc", 0x32d153ff],
    ["Nobody inspects the spammish repetition", 0xe2293b2f],
  ])("of %j is the published one", (text, expected) => {
    expect(xxHash32(Buffer.from(text))).toBe(expected);
  });

  it("does not depend on chunk sizes", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(40), { maxLength: 12 }), (sizes) => {
        const bytes = sampleBytes(sizes.reduce((sum, size) => sum + size, 0));
        const hash = new XxHash32();
        let begin = 0;
        for (const size of sizes) {
          hash.add(bytes.subarray(begin, begin + size));
          begin += size;
        }
        expect(hash.digest()).toBe(xxHash32(bytes));
      }),
    );
  });
});
