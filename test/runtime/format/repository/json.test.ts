import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { compareBytes } from "../../../../runtime/base/bytes";
import {
  type JsonValue,
  parseJson,
  renderJson,
  renderObject,
  renderString,
  tryParseJson,
} from "../../../../runtime/format/repository/json";
import { errorOf } from "../vectors";

describe("reading JSON", () => {
  it("keeps integers beyond 2^53 exact", () => {
    expect(parseJson("18446744073709551615")).toBe(18446744073709551615n);
    expect(parseJson('{"a":[7710143016304328199,9007199254740991]}')).toEqual({
      a: [7710143016304328199n, 9007199254740991],
    });
    expect(parseJson("-9223372036854775808")).toBe(-9223372036854775808n);
  });

  it("leaves long digits inside strings alone", () => {
    expect(parseJson('{"checksum":"0000000000000000000000001234567890123456"}')).toEqual({
      checksum: "0000000000000000000000001234567890123456",
    });
  });

  it("reads raw control characters, as stock writes them", () => {
    expect(parseJson('"a\u0001b\u001f"')).toBe("a\u0001b\u001f");
    expect(tryParseJson("{,\u0001}")).toBeUndefined();
  });

  it("refuses text that could not be written again: thousands of levels, numbers without an end", async () => {
    const nested = (levels: number): string => `${"[".repeat(levels)}${"]".repeat(levels)}`;
    expect(renderJson(parseJson(nested(60)))).toBe(nested(60));
    // With long numbers our parser checks every value, level by level.
    for (const text of [
      nested(100),
      nested(20_000),
      nested(20_000).replace("[]", "[1234567890123456789]"),
      `{"a":${"9".repeat(400)}e9}`,
      "1e300",
    ])
      await errorOf("jsonFormat", () => parseJson(text));
  });

  it("names the invalid text", async () => {
    expect((await errorOf("jsonFormat", () => parseJson("{bad"))).message).toBe("invalid JSON '{bad'");
  });
});

describe("writing JSON", () => {
  it("escapes like stock: only short escapes, slashes and other characters raw", () => {
    expect(renderString('a"b\\c\n\r\t\b\f/\u0001é\u{1f600}')).toBe('"a\\"b\\\\c\\n\\r\\t\\b\\f/\u0001é\u{1f600}"');
  });

  it("writes no spaces and keeps the order of keys", () => {
    expect(renderJson({ b: [1, true, null], a: "x", c: {} })).toBe('{"b":[1,true,null],"a":"x","c":{}}');
    expect(renderObject([])).toBe("{}");
  });

  it("writes keys that look like array indexes in stock's order", () => {
    expect(renderJson(parseJson('{"10":1,"2":2,"a":3}'))).toBe('{"10":1,"2":2,"a":3}');
  });

  it("refuses numbers that a reader would change", async () => {
    await errorOf("assert", () => renderJson(2 ** 53));
    await errorOf("assert", () => renderJson(Number.NaN));
  });

  it("returns the written value", () => {
    const key = fc.string({ unit: "grapheme" }).filter((text) => !/^\d+$/.test(text) && text !== "__proto__");
    const { tree } = fc.letrec<{ tree: JsonValue }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 3 },
        fc.constant(null),
        fc.boolean(),
        fc.maxSafeInteger(),
        fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
        fc.string({ unit: "binary" }),
        fc.array(tie("tree"), { maxLength: 4 }),
        fc.dictionary(key, tie("tree"), { maxKeys: 4, noNullPrototype: true }),
      ) as fc.Arbitrary<JsonValue>,
    }));
    fc.assert(
      fc.property(tree, (value) => {
        expect(parseJson(renderJson(value))).toEqual(value);
      }),
    );
  });
});

describe("the order of keys", () => {
  it("is that of the UTF-8 bytes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
        expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
    );
    expect(compareBytes("\u{1f600}", "\uff00")).toBeGreaterThan(0);
  });
});
