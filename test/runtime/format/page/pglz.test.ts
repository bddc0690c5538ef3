import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { isError } from "../../../../runtime/base/errors";
import { decompressPglz } from "../../../../runtime/format/page/pglz";
import { errorOf } from "../vectors";

type Step = number | { readonly length: number; readonly distance: number };

/** Encodes like PostgreSQL ("common/pg_lzcompress.c"): each control byte covers eight literals or references. */
function encode(steps: readonly Step[]): Uint8Array {
  const bytes: number[] = [];
  for (let first = 0; first < steps.length; first += 8) {
    const group = steps.slice(first, first + 8);
    bytes.push(group.reduce<number>((sum, step, bit) => sum | (typeof step === "number" ? 0 : 1 << bit), 0));
    for (const step of group) {
      if (typeof step === "number") bytes.push(step);
      else {
        const { distance, length } = step;
        bytes.push(((distance & 0xf00) >> 4) | (length > 17 ? 0x0f : length - 3), distance & 0xff);
        if (length > 17) bytes.push(length - 18);
      }
    }
  }
  return Buffer.from(bytes);
}

function expand(steps: readonly Step[]): Uint8Array {
  const out: number[] = [];
  for (const step of steps) {
    if (typeof step === "number") out.push(step);
    else for (let left = step.length; left > 0; left--) out.push(out[out.length - step.distance] as number);
  }
  return Buffer.from(out);
}

const STEPS = fc
  .array(
    fc.oneof(
      fc.integer({ min: 0, max: 255 }),
      fc.record({ length: fc.integer({ min: 3, max: 273 }), distance: fc.integer({ min: 1, max: 4095 }) }),
    ),
    {
      minLength: 1,
      maxLength: 200,
    },
  )
  .map((steps) => {
    let sizeBytes = 0;
    return steps.flatMap((step): Step[] => {
      const valid = typeof step === "number" || sizeBytes > 0;
      if (!valid) return [];
      const own = typeof step === "number" ? step : { ...step, distance: Math.min(step.distance, sizeBytes) };
      sizeBytes += typeof own === "number" ? 1 : own.length;
      return [own];
    });
  })
  .filter((steps) => steps.length > 0);

describe("PostgreSQL's own compression", () => {
  it("expands literals and references", () => {
    fc.assert(
      fc.property(STEPS, (steps) => {
        const expected = expand(steps);
        expect(Buffer.from(decompressPglz(encode(steps), expected.length)).toString("latin1")).toBe(
          Buffer.from(expected).toString("latin1"),
        );
      }),
      { numRuns: 200 },
    );
  });

  it("expands known bytes", () => {
    const text = (hex: string, sizeBytes: number): string =>
      Buffer.from(decompressPglz(Buffer.from(hex, "hex"), sizeBytes)).toString("latin1");
    // Three literals, then 12 from 3 back: the copy overlaps its own output.
    expect(text("086162630903", 15)).toBe("abcabcabcabcabc");
    // 273 is the longest match. Its length takes a third byte.
    expect(text("02780f01ff", 274)).toBe("x".repeat(274));
    expect(text("02780f0100", 19)).toBe("x".repeat(19));
    expect(text("02780e01", 18)).toBe("x".repeat(18));
    expect(text("00" + Buffer.from("12345678").toString("hex") + "0039", 9)).toBe("123456789");
    expect(decompressPglz(new Uint8Array(0), 0)).toEqual(new Uint8Array(0));
  });

  it("refuses anything else, and never returns another size than requested", async () => {
    const good = encode([97, 98, 99, { length: 12, distance: 3 }]);
    expect(decompressPglz(good, 15)).toHaveLength(15);
    for (const sizeBytes of [0, 14, 16, 8192]) await errorOf("format", () => decompressPglz(good, sizeBytes));
    for (let cut = 0; cut < good.length; cut++)
      await errorOf("format", () => decompressPglz(good.subarray(0, cut), 15));
    await errorOf("format", () => decompressPglz(Buffer.concat([good, Buffer.alloc(1)]), 15));
    for (const distance of [0, 4, 4095])
      await errorOf("format", () => decompressPglz(encode([1, 2, 3, { length: 3, distance }]), 6));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 0, max: 8192 }), (bytes, sizeBytes) => {
        try {
          expect(decompressPglz(bytes, sizeBytes)).toHaveLength(sizeBytes);
        } catch (error) {
          if (!isError(error, "format")) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });
});
