import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { apart, fillKnown, splitKnown } from "../../../components/internal/inputs";
import { fields } from "../../../components/plan/model/deferred";
import { isUnknown, unknownMarker, unknownMarkers } from "../../../components/plan/model/unknown";

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

test("markers are replaced by their outputs: values unchanged, texts with the values inserted", async () => {
  const { value, deferred } = splitKnown({ bucket: pulumi.output("orders"), days: pulumi.output(7), name: "x" });
  const filled = fillKnown(
    {
      targets: [{ location: `s3://${value.bucket}/p/${value.bucket}`, keepDays: value.days, key: 1 }],
      name: value.name,
    },
    deferred,
  );
  const result = await new Promise((resolve) => pulumi.all([filled]).apply(([known]) => resolve(known)));
  expect(result).toEqual({ targets: [{ location: "s3://orders/p/orders", keepDays: 7, key: 1 }], name: "x" });
});

test("ten markers and more stay distinct", () => {
  expect(unknownMarkers(`${unknownMarker(1)}/${unknownMarker(11)}/${unknownMarker(1)}`)).toEqual([
    unknownMarker(1),
    unknownMarker(11),
  ]);
});

test("no user value equals the marker", () => {
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
