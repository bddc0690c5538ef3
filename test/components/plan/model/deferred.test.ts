/** A value that comes later ends whatever reads it, and nothing else. */
import { expect, test } from "vitest";
import { given } from "../../../../runtime/base/given";
import {
  areSame,
  DeferredRead,
  fields,
  isGiven,
  items,
  knownPart,
  list,
  mapped,
  mappedFields,
  merged,
  readOr,
  view,
  without,
} from "../../../../components/plan/model/deferred";
import { unknownMarker } from "../../../../components/plan/model/unknown";

const MARKER = unknownMarker(7);

test("values without markers are the same object, so that a known program pays nothing", () => {
  const values = { list: [{ name: "a" }], none: undefined };
  expect(view(values)).toBe(values);
  const mixed = view({ known: values, deferred: MARKER });
  expect(mixed.known).toBe(values);
});

test("reading a deferred value throws, whether in an object, in a list or inside a text", () => {
  const values = view({ deferred: MARKER, list: ["a", MARKER], text: `s3://${MARKER}/x`, known: 1 });
  for (const read of [() => values.deferred, () => values.list[1], () => values.text, () => ({ ...values })])
    expect(read).toThrow(DeferredRead);
  expect([values.known, values.list[0], values.list.length, Object.keys(values)]).toEqual([
    1,
    "a",
    2,
    ["deferred", "list", "text", "known"],
  ]);
});

test("a field that follows from a deferred value is deferred, and its neighbours are not", () => {
  const settings = view({ agent: MARKER, port: 5432 });
  const plan = fields({
    port: () => settings.port,
    units: () => (settings.agent ? ["agent"] : []),
    socket: () => `/run/${settings.port}`,
  });
  expect([plan.port, plan.socket]).toEqual([5432, "/run/5432"]);
  expect(() => plan.units).toThrow(DeferredRead);
  expect(readOr(() => plan.units, ["none"])).toEqual(["none"]);
});

test("merged, given and without copy deferred fields unread", () => {
  const first = view({ a: MARKER, b: "b", c: undefined });
  const made = merged({ z: 1 }, given(first));
  expect(Object.keys(made)).toEqual(["z", "a", "b"]);
  expect(() => made.a).toThrow(DeferredRead);
  expect(without(made, "a")).toEqual({ z: 1, b: "b" });
  expect(merged(first, { a: "known" }).a).toBe("known");
});

test("where an item reads a deferred value, the list has one deferred item", () => {
  const settings = view({ verify: { enabled: MARKER }, heal: { enabled: false } });
  const made = items(["verify", "heal", "expire"] as const, (name) =>
    name === "expire" || settings[name].enabled ? [name] : [],
  );
  expect(made).toHaveLength(2);
  expect(() => made[0]).toThrow(DeferredRead);
  expect(made[1]).toBe("expire");
});

test("lists and maps keep a deferred item in its place", () => {
  const settings = view({ names: ["a", MARKER], labels: { b: MARKER, a: "x" } });
  const made = mapped(settings.names, (read) => read().length);
  expect([made.length, made[0]]).toEqual([2, 1]);
  expect(() => made[1]).toThrow(DeferredRead);
  expect(
    list(
      () => "a",
      () => "b",
    ),
  ).toEqual(["a", "b"]);
  const labels = mappedFields(settings.labels, (read) => read());
  expect(Object.keys(labels)).toEqual(["a", "b"]);
  expect(() => labels["b"]).toThrow(DeferredRead);
  expect([knownPart(settings), isGiven(() => labels["b"])]).toEqual([{ names: ["a"], labels: { a: "x" } }, true]);
});

test("a deferred value is the same as itself alone", () => {
  const values = view({ a: MARKER, again: MARKER, b: unknownMarker(8), c: "c" });
  const same = (left: keyof typeof values, right: keyof typeof values): boolean =>
    areSame(
      () => values[left],
      () => values[right],
    );
  expect([same("a", "again"), same("c", "c")]).toEqual([true, true]);
  expect(() => same("a", "b")).toThrow(DeferredRead);
  expect(() => same("c", "a")).toThrow(DeferredRead);
});

test("any other error passes", () => {
  const fail = (): never => {
    throw new TypeError("a mistake of ours");
  };
  expect(() => fields({ a: fail })).toThrow(TypeError);
  expect(() => items([1], fail)).toThrow(TypeError);
});
