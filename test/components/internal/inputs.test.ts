import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { apart, splitKnown } from "../../../components/internal/inputs";
import { fields } from "../../../components/plan/model/deferred";
import { isUnknown, unknownMarker } from "../../../components/plan/model/unknown";

test("known values stay, each output and promise gets its own marker", () => {
  const settings = {
    port: 5432,
    path: pulumi.output("/data"),
    list: ["a", Promise.resolve("b")],
    nested: { none: undefined },
  };
  const { value, deferred } = splitKnown(settings);
  expect(value).toEqual({
    port: 5432,
    path: unknownMarker(0),
    list: ["a", unknownMarker(1)],
    nested: { none: undefined },
  });
  expect([...deferred.keys()]).toEqual([unknownMarker(0), unknownMarker(1)]);
});

test("no user value equals the marker", () => {
  expect([unknownMarker(1), unknownMarker(11)].map(isUnknown)).toEqual([true, true]);
  expect(isUnknown("unknown:0")).toBe(false);
  expect(isUnknown(5432)).toBe(false);
});

test("each field waits for the values that it reads, and is made once for each set of them", async () => {
  const part = splitKnown({ a: pulumi.output("a"), b: pulumi.output({ c: "c" }), plain: "p" });
  let times = 0;
  const { derive, now } = apart(part, (values) => {
    times++;
    return fields({ both: () => `${values.a}${values.b.c}`, plain: () => values.plain, list: () => [values.a] });
  });
  expect(now.plain).toBe("p");
  const made = derive((plan) => plan);
  expect(made).toMatchObject({ plain: "p" });
  const known = await new Promise((resolve) => pulumi.output(made).apply(resolve));
  expect([known, times]).toEqual([{ both: "ac", plain: "p", list: ["a"] }, 3]);
});
