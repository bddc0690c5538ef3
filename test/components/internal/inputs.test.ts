import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { fillUnknown, knownPart } from "../../../components/internal/inputs";
import { isUnknown, UNKNOWN_TEXT } from "../../../components/plan/topology";

test("what is known stays, outputs and promises become the marker", () => {
  const settings = { port: 5432, path: pulumi.output("/data"), list: ["a", Promise.resolve("b")], nested: { none: undefined } };
  expect(knownPart(settings)).toEqual({ port: 5432, path: UNKNOWN_TEXT, list: ["a", UNKNOWN_TEXT], nested: { none: undefined } });
});

test("markers are replaced by what the whole has in their place, and only they", async () => {
  const known = { name: "x", places: [{ location: `s3://${UNKNOWN_TEXT}/p`, key: 1 }] };
  const filled = fillUnknown(known, pulumi.output({ name: "ignored", places: [{ location: "s3://bucket/p", key: 9 }] }));
  const value = await new Promise((resolve) => pulumi.output(filled).apply(resolve));
  expect(value).toEqual({ name: "x", places: [{ location: "s3://bucket/p", key: 1 }] });
});

test("the marker is no value that a user could mean", () => {
  expect(isUnknown("unknown")).toBe(false);
  expect(isUnknown(5432)).toBe(false);
});
