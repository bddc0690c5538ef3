import * as fc from "../../../harness/properties";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatLabel, fullLabelOf, isLabel, labelType } from "../../../../runtime/format/repository/label";
import { errorOf } from "../vectors";

describe("backup labels", () => {
  const zone = process.env.TZ;
  beforeAll(() => {
    process.env.TZ = "UTC";
  });
  afterAll(() => {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  });

  it("equal stock's", () => {
    expect(formatLabel("full", 1795157605)).toBe("20261120-065325F");
    expect(formatLabel("diff", 1795157708, "20261120-065325F")).toBe("20261120-065325F_20261120-065508D");
    expect(formatLabel("incr", 1795157752, "20261120-065325F_20261120-065508D")).toBe(
      "20261120-065325F_20261120-065552I",
    );
  });

  it("follow the local time zone", () => {
    process.env.TZ = "Asia/Tokyo";
    expect(formatLabel("full", 1795157605)).toBe("20261120-155325F");
    process.env.TZ = "UTC";
  });

  it("show their type and their full backup", () => {
    expect(
      ["20261120-065325F", "20261120-065325F_20261120-065508D", "20261120-065325F_20261120-065552I"].map(labelType),
    ).toEqual(["full", "diff", "incr"]);
    expect(fullLabelOf("20261120-065325F_20261120-065552I")).toBe("20261120-065325F");
  });

  it.each([
    "latest",
    "20261120-065325",
    "20261120-065325D",
    "20261120-065325F_20261120-065552F",
    "20261120-065325F.tmp",
    " 20261120-065325F",
  ])("%j is invalid", (text) => {
    expect(isLabel(text)).toBe(false);
  });

  it("need the full backup's label for a backup that builds on it", async () => {
    await errorOf("assert", () => formatLabel("incr", 1));
    await errorOf("assert", () => formatLabel("diff", 1, "nonsense"));
  });

  it("ascend with time, within a set and over sets", () => {
    const seconds = fc.integer({ min: 0, max: 4_000_000_000 });
    fc.assert(
      fc.property(seconds, seconds, seconds, fc.constantFrom("diff" as const, "incr" as const), (a, b, c, type) => {
        const [first, second, third] = [a, b, c].sort((x, y) => x - y) as [number, number, number];
        fc.pre(first < second && second < third);
        const full = formatLabel("full", first);
        expect(isLabel(full) && full < formatLabel("full", second)).toBe(true);
        const child = formatLabel(type, second, full);
        expect(
          isLabel(child) &&
            full < child &&
            child < formatLabel("incr", third, full) &&
            child < formatLabel("full", second),
        ).toBe(true);
      }),
    );
  });
});
