import { expect, test } from "vitest";
import {
  drillFileName,
  drillId,
  parseDrillFileName,
  parseDrill,
  renderDrill,
} from "../../../../runtime/operations/drill/record";
import { record } from "./support";

test("a record is read as written, with the fields of a newer version", () => {
  const made = record("20261121-100000Z-00000000");
  expect(parseDrill(renderDrill(made), "x")).toEqual(made);
  expect(parseDrill(JSON.stringify({ ...made, version: 2, more: true }), "x")).toMatchObject({ version: 2, repo: 1 });
});

test("names sort by time", () => {
  const ids = [0, 1000, 86_400_000, 1e12].map((afterMs) =>
    drillId(Date.UTC(2026, 10, 21, 5, 13, 47) + afterMs, Uint8Array.of(1, 2, 3, 255)),
  );
  expect(ids[0]).toBe("20261121-051347Z-010203ff");
  for (const id of ids)
    expect(parseDrillFileName(drillFileName({ id, repo: 256, pick: "moment" }))).toEqual({
      id,
      repo: 256,
      pick: "moment",
    });
  expect(ids.toSorted()).toEqual(ids);
});

test("an invalid record is refused with its name", () => {
  for (const text of ["{", "null", "[]", '{"version":1}'])
    expect(() => parseDrill(text, "a.json")).toThrow("'a.json' is not a drill record");
});

test("other files are not records", () => {
  for (const name of [
    "notes.json",
    "20261121-051347Z-010203ff.json",
    "20261121-051347Z-010203ff-repo1-best.json",
    "20261121-051347Z-010203ff-repo0-newest.json",
  ])
    expect(parseDrillFileName(name)).toBeNull();
});
