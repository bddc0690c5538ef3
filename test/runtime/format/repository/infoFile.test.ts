import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import {
  headEntries,
  type InfoEntry,
  mergeEntries,
  parseInfo,
  renderInfo,
} from "../../../../runtime/format/repository/infoFile";
import { renderJson } from "../../../../runtime/format/repository/json";
import { errorOf, MANIFESTS, vectorText } from "../vectors";

const FILES = [
  "v2.45/plain/archive.info",
  "v2.45/plain/backup.info",
  "v2.60/block-lz4/archive.info",
  "v2.60/block-lz4/backup.info",
  ...MANIFESTS,
];
const HEAD = headEntries("2.60.0");

describe("info files of stock", () => {
  it.each(FILES)("%s is read and rewritten to the same bytes", (path) => {
    const text = vectorText(path);
    expect(renderInfo(parseInfo(text, path))).toBe(text);
  });

  it("are refused when any character of a value changes", async () => {
    const text = vectorText("v2.45/plain/archive.info");
    const error = await errorOf("checksum", () => parseInfo(text.replace("4328199\n", "4328198\n"), "archive.info"));
    expect(error.message).toMatch(
      /^'archive.info': invalid checksum, actual '[0-9a-f]{40}' but expected '12242588596119b31f3cb0a6b691dc3537c01a69'$/,
    );
  });

  it("are refused without their last lines", async () => {
    const text = vectorText("v2.45/plain/archive.info");
    const cut = text.slice(0, text.lastIndexOf("[backrest]"));
    expect((await errorOf("checksum", () => parseInfo(cut, "a"))).message).toContain("but no checksum present");
  });

  it("of format 6 are refused with both numbers and an explanation", async () => {
    const text = vectorText("v2.60/format6-encrypted/unencrypted.archive.info");
    const error = await errorOf("format", () => parseInfo(text, "archive.info"));
    expect(error.message).toBe("'archive.info': expected format 5 but found 6");
    expect(error.hints).toHaveLength(1);
  });
});

describe("the syntax", () => {
  it("splits at the first '=' that JSON follows", () => {
    const entries: InfoEntry[] = [
      ...HEAD,
      { section: "db", key: 'odd=db="x', valueText: '{"db-id":1}' },
      { section: "db", key: "a=", valueText: "7" },
    ];
    expect(
      parseInfo(renderInfo(entries), "x").map(({ section, key, valueText }) => ({ section, key, valueText })),
    ).toEqual(entries);
  });

  it.each([
    ["key=1\n", "'x' line 1: key/value found outside of a section"],
    ["[a]\nkey\n", "'x' line 2: expected 'key=value' with a JSON value in section 'a'"],
    ["[a]\n=1\n", "'x' line 2: expected 'key=value' with a JSON value in section 'a'"],
    ["[a]\nkey=text\n", "'x' line 2: expected 'key=value' with a JSON value in section 'a'"],
  ])("refuses %j", async (text, message) => {
    expect((await errorOf("format", () => parseInfo(text, "x"))).message).toBe(message);
  });

  it("requires a format", async () => {
    expect(
      (await errorOf("format", () => parseInfo(renderInfo([{ section: "a", key: "b", valueText: "1" }]), "x"))).message,
    ).toBe("'x' has no backrest-format");
  });

  it("cannot contain a name with a line feed", async () => {
    await errorOf("format", () =>
      renderInfo([...HEAD, { section: "target:file", key: "pg_data/a\nb", valueText: "{}" }]),
    );
  });

  it("refuses to read a duplicate key in any section: it could not be written again", async () => {
    for (const section of ["backup:current", "custom"]) {
      const text = renderInfo([
        ...HEAD,
        { section, key: "a", valueText: "1" },
        { section, key: "b", valueText: "1" },
      ]).replace("\nb=1", "\na=1");
      const error = await errorOf("format", () => parseInfo(text, "x"));
      expect(error.message).toBe(`'x' line 7: key 'a' is twice in section '${section}'`);
    }
  });

  it("refuses to write a key twice", async () => {
    await errorOf("assert", () => renderInfo([...HEAD, ...HEAD.slice(1)]));
  });

  it("returns any entries", () => {
    const name = fc.string({ unit: "grapheme-ascii", minLength: 1 });
    const section = name.filter((text) => text !== "backrest");
    const value = fc
      .oneof(fc.integer(), fc.boolean(), fc.string(), fc.dictionary(fc.constantFrom("a", "b"), fc.string()))
      .map((json) => renderJson(json));
    const key = name.filter((text) => !text.includes("=") && !text.startsWith("["));
    const sections = fc.uniqueArray(fc.tuple(section, fc.uniqueArray(key, { minLength: 1, maxLength: 4 }), value), {
      selector: (row) => row[0],
    });
    fc.assert(
      fc.property(sections, (rows) => {
        const entries = [
          ...HEAD,
          ...rows.flatMap(([own, keys, valueText]) => keys.map((one) => ({ section: own, key: one, valueText }))),
        ];
        expect(parseInfo(renderInfo(entries), "x").map((entry) => [entry.section, entry.key, entry.valueText])).toEqual(
          entries.map((entry) => [entry.section, entry.key, entry.valueText]),
        );
      }),
    );
  });
});

describe("unknown entries", () => {
  it("go to their position by byte order, after [backrest]", () => {
    const known = [...HEAD, { section: "db", key: "db-id", valueText: "1" }];
    const other = [
      { section: "custom", key: "x", valueText: "1" },
      { section: "db", key: "aa", valueText: "2" },
      { section: "Zebra", key: "z", valueText: "3" },
    ];
    expect(mergeEntries(known, other).map((entry) => `${entry.section}.${entry.key}`)).toEqual([
      "backrest.backrest-format",
      "backrest.backrest-version",
      "Zebra.z",
      "custom.x",
      "db.aa",
      "db.db-id",
    ]);
  });
});
