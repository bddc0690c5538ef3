import { describe, expect, test } from "vitest";
import { textOf, utf8 } from "../../../../runtime/base/bytes";
import {
  dumpFileName,
  dumpLabelOf,
  type DumpManifest,
  dumpParts,
  dumpTimeMs,
  isDumpLabel,
  parseDumpManifest,
  renderDumpManifest,
} from "../../../../runtime/format/repository/dumpManifest";
import { dumpPath } from "../../../../runtime/format/repository/repoPath";
import { DUMP_LABEL, madeDump } from "../../../harness/madeDump";
import * as fc from "../../../harness/properties";

const LABEL = DUMP_LABEL;
const CONTENT = { sizeBytes: 10, sha256: "0".repeat(64), partSizesBytes: [10] };
const MANIFEST = madeDump({
  systemId: 7_710_141_224_171_239_387n,
  databases: [{ name: "shop", encoding: "UTF8", ...CONTENT }],
  globals: CONTENT,
});
const parse = (bytes: Uint8Array): DumpManifest => parseDumpManifest(bytes, "x");

/** Names as PostgreSQL has them: up to 63 bytes without a zero. */
const names = fc.uint8Array({ min: 1, minLength: 1, maxLength: 63 }).map((bytes) => textOf(bytes));
const contents = fc.record({
  sizeBytes: fc.maxSafeNat(),
  sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
  partSizesBytes: fc.array(fc.maxSafeNat(), { minLength: 1, maxLength: 3 }),
});

describe("labels of dumps", () => {
  test("are a time and random digits", () => {
    expect(isDumpLabel(LABEL)).toBe(true);
    expect(dumpTimeMs(LABEL)).toBe(Date.UTC(2026, 10, 20, 6, 40, 59));
    for (const other of ["20261120-064059F", "lease", "..", `${LABEL}x`, "20261120-064059Z-1A2B3C4D", ""])
      expect(isDumpLabel(other), other).toBe(false);
    expect(dumpTimeMs("20261399-064059Z-1a2b3c4d")).toBeNull();
    expect(dumpPath("demo", LABEL)).toBe(`pgbackstop/demo/dump/${LABEL}`);
    expect(dumpPath("demo", `${LABEL}.9f8e7d6c`)).toBe(`pgbackstop/demo/dump/${LABEL}.9f8e7d6c`);
    expect(dumpLabelOf(`${LABEL}.9f8e7d6c`)).toBe(LABEL);
    for (const other of [`${LABEL}.`, `${LABEL}.9f8e7d6c.9f8e7d6c`, `${LABEL}.9f8e7d6c/..`, `${LABEL}/..`, `.${LABEL}`])
      expect(() => dumpPath("demo", other), other).toThrow("not the directory of a dump");
    expect(() => dumpPath("demo", "../x")).toThrow("not the directory of a dump");
  });
});

describe("files of databases", () => {
  test("have readable names where the database has one", () => {
    expect(dumpFileName("shop_2-b")).toBe("shop_2-b.dump");
    expect(dumpFileName("../a b")).toBe("=2e=2e=2fa=20b.dump");
    expect(dumpFileName("Shop")).toBe("=53hop.dump");
    expect(dumpFileName(textOf(Buffer.from([0xe9])))).toBe("=e9.dump");
  });

  test("stay in their directory, and differ also where case does not count", () => {
    fc.assert(
      fc.property(names, names, (left, right) => {
        const name = dumpFileName(left);
        expect(name).toMatch(/^[a-z0-9_=-]+\.dump$/);
        expect(name.length).toBeLessThan(250);
        expect(name.toLowerCase() === dumpFileName(right).toLowerCase()).toBe(left === right);
      }),
    );
  });

  test("are named with their parts and stored sizes", () => {
    const databases = [{ name: "a/b", encoding: "UTF8", ...CONTENT, partSizesBytes: [7, 3] }];
    expect([...dumpParts({ ...MANIFEST, databases })]).toEqual([
      ["globals.sql", 10],
      ["a=2fb.dump", 7],
      ["a=2fb.dump.2", 3],
    ]);
  });
});

describe("the manifest of a dump", () => {
  test("is read as it was written", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(names, contents), { selector: ([name]) => name, maxLength: 4 }),
        contents,
        fc.option(fc.string({ minLength: 1 }), { nil: null }),
        fc.bigInt(0n, 2n ** 64n - 1n),
        (databases, globals, cipherPass, systemId) => {
          const manifest: DumpManifest = {
            ...MANIFEST,
            systemId,
            cipherPass,
            globals,
            databases: databases.map(([name, content]) => ({ name, encoding: "SQL_ASCII", ...content })),
          };
          const read = parse(renderDumpManifest(manifest));
          const byName = (list: DumpManifest["databases"]): unknown => new Map(list.map((each) => [each.name, each]));
          expect({ ...read, databases: byName(read.databases) }).toEqual({
            ...manifest,
            databases: byName(manifest.databases),
          });
          expect(renderDumpManifest(read)).toEqual(renderDumpManifest(manifest));
        },
      ),
    );
  });

  const changed = (change: (text: string) => string): Uint8Array => utf8(change(textOf(renderDumpManifest(MANIFEST))));

  test("is read without fields of a later version", () => {
    expect(parse(changed((text) => text.replace("{", '{"later":[1],')))).toEqual(MANIFEST);
  });

  test.each<[string, (text: string) => string]>([
    ["nothing", () => ""],
    ["half of it", (text) => text.slice(0, 100)],
    ["a list", () => "[]"],
    ["another version", (text) => text.replace('"version":1', '"version":2')],
    ["another file's label", (text) => text.replace(LABEL, "../../x")],
    ["another format", (text) => text.replace("custom", "plain")],
    ["a hash of other characters", (text) => text.replace("000", "00x")],
    ["no part", (text) => text.replace("[10]", "[]")],
    ["a part of half a byte", (text) => text.replace("[10]", "[0.5]")],
    ["a negative size", (text) => text.replace('"sizeBytes":10', '"sizeBytes":-10')],
    ["a database without a name", (text) => text.replace('"shop"', '""')],
    ["an empty passphrase", (text) => text.replace('"format"', '"cipherPass":"","format"')],
    ["one database twice", (text) => text.replace(/\[(\{"name".*?\})\]/, "[$1,$1]")],
    ["no system identifier", (text) => text.replace(/"systemId":\d+/, '"systemId":"x"')],
    ["no end", (text) => text.replace("stoppedAtS", "stopped")],
  ])("is refused with %s", (_what, change) => {
    const bytes = changed(change);
    expect(bytes).not.toEqual(renderDumpManifest(MANIFEST));
    expect(() => parse(bytes)).toThrow(
      expect.objectContaining({ kind: expect.stringMatching(/^(format|jsonFormat)$/) }),
    );
  });
});
