import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { streamOf, textOf, utf8 } from "../../../../runtime/base/bytes";
import { SHA1_EMPTY } from "../../../../runtime/base/hash";
import { parseInfo, renderInfo } from "../../../../runtime/format/repository/infoFile";
import {
  defaultsOf,
  type Manifest,
  parseManifest,
  readManifest,
  renderManifest,
} from "../../../../runtime/format/repository/manifest";
import { errorOf, MANIFESTS, vectorText } from "../vectors";

const FULL = "v2.45/plain/full.manifest.gz";
const INCR = "v2.45/plain/incr.backup.manifest";

/** The vector with changed entries and a matching checksum. */
function changed(path: string, change: (key: string, valueText: string, section: string) => string | null): string {
  const entries = parseInfo(vectorText(path), path).flatMap((entry) => {
    const valueText = change(entry.key, entry.valueText, entry.section);
    return valueText === null ? [] : [{ ...entry, valueText }];
  });
  return renderInfo(entries);
}

function inPieces(text: string, sizeBytes: number): Uint8Array[] {
  const bytes = utf8(text);
  return Array.from({ length: Math.ceil(bytes.length / sizeBytes) }, (_, index) =>
    bytes.subarray(index * sizeBytes, (index + 1) * sizeBytes),
  );
}

describe("manifests of stock", () => {
  it.each(MANIFESTS)("%s is read and rewritten to the same bytes", (path) => {
    const manifest = parseManifest(vectorText(path), path);
    expect(manifest.other).toEqual([]);
    expect(renderManifest(manifest)).toBe(vectorText(path));
  });

  it("have header, options, targets and databases", () => {
    const { files, paths, links, ...head } = parseManifest(vectorText(INCR), INCR);
    expect(head).toEqual({
      backrestVersion: "2.45",
      label: "20261120-065325F_20261120-065552I",
      type: "incr",
      prior: "20261120-065325F_20261120-065508D",
      references: ["20261120-065325F", "20261120-065325F_20261120-065508D", "20261120-065325F_20261120-065552I"],
      lsnStart: "0/13000028",
      lsnStop: "0/13000100",
      archiveStart: "000000010000000000000013",
      archiveStop: "000000010000000000000013",
      startedAtS: 1795157752,
      copyStartedAtS: 1795157757,
      stoppedAtS: 1795157759,
      bundle: false,
      bundleRaw: false,
      blockIncr: false,
      pg: { id: 1, version: "15", systemId: 7710143016304328199n, catalogVersion: 202209061, controlVersion: 1300 },
      options: {
        archiveCheck: true,
        archiveCopy: false,
        backupStandby: false,
        bufferSizeBytes: 1048576,
        checksumPage: true,
        compressLevel: 0,
        compressLevelNetwork: 3,
        compressType: "none",
        delta: false,
        hardlink: false,
        online: true,
        processMax: 1,
      },
      targets: [
        { name: "pg_data", type: "path", path: "/var/lib/pgbr-vec/pg/main" },
        {
          name: "pg_tblspc/16384",
          type: "link",
          path: "/var/lib/pgbr-vec/pg/ts1",
          tablespaceId: "16384",
          tablespaceName: "ts1",
        },
      ],
      databases: [
        { name: "odd=db", id: 16398, lastSystemId: 4 },
        { name: "postgres", id: 5, lastSystemId: 4 },
        { name: "template0", id: 4, lastSystemId: 4 },
        { name: "template1", id: 1, lastSystemId: 4 },
      ],
      annotations: {},
      defaults: {
        file: { group: "postgres", mode: 0o600, user: "postgres" },
        path: { group: "postgres", mode: 0o700, user: "postgres" },
        link: { group: "postgres", user: "postgres" },
      },
      other: [],
    });
    expect(links).toEqual([
      { name: "pg_data/pg_tblspc/16384", destination: "/var/lib/pgbr-vec/pg/ts1", user: "postgres", group: "postgres" },
    ]);
    expect(paths[0]).toEqual({ name: "pg_data", mode: 0o700, user: "postgres", group: "postgres" });
    expect(files).toHaveLength(1274);
    expect(head.defaults).toEqual(defaultsOf({ mode: 0o700, user: "postgres", group: "postgres" }));
  });

  it("have bundles, blocks and annotations", () => {
    const full = parseManifest(vectorText("v2.60/block-lz4/full.manifest.gz"), "m");
    expect([full.bundle, full.bundleRaw, full.blockIncr, full.options.compressType]).toEqual([true, true, true, "lz4"]);
    expect(full.files.find((file) => file.name === "pg_tblspc/16384/PG_18_202506291/5/16390")).toEqual({
      name: "pg_tblspc/16384/PG_18_202506291/5/16390",
      sizeBytes: 188416,
      sizeOriginalBytes: 262144,
      sizeRepoBytes: 27046,
      sha1: "2eb5d8497078247a2f8f41653a25a5f91b6a8805",
      sha1Repo: "a424a405cc96ebbd6b398bc2c8f1e76a383e3848",
      modifiedAtS: 1795158269,
      mode: 0o600,
      user: "postgres",
      group: "postgres",
      bundle: { id: 3, offsetBytes: 0 },
      block: { sizeBytes: 8192, checksumSizeBytes: 6, mapSizeBytes: 145 },
      checksumPage: true,
    });
    expect(full.files.find((file) => file.name.endsWith("5/16393"))?.sha1).toBe(SHA1_EMPTY);
    expect(parseManifest(vectorText(FULL), FULL).annotations).toEqual({ key: "value", note: 'a "quoted" = text' });
  });
});

describe("other manifests", () => {
  it("of an unfinished backup can be written and read", () => {
    const full = parseManifest(vectorText(FULL), FULL);
    const { archiveStop: _a, lsnStop: _l, ...rest } = full;
    const partial: Manifest = {
      ...rest,
      stoppedAtS: 0,
      pg: { ...full.pg, id: 0 },
      files: full.files.map((file) => (file.sizeBytes === 0 ? file : { ...file, sha1: "" })),
    };
    const text = renderManifest(partial);
    expect(text).toContain("\nbackup-timestamp-stop=0\n");
    expect(text).not.toMatch(/backup-(archive|lsn)-stop/);
    const { files, ...head } = parseManifest(text, "m");
    expect({ ...head, files: [...files] }).toEqual(partial);
  });

  it("may lack a reference list and optional options, as old ones do", () => {
    const optional =
      /^(backup-reference|option-(backup-standby|buffer-size|checksum-page|compress-level|compress-level-network|compress-type|delta|process-max))$/;
    const manifest = parseManifest(
      changed(INCR, (key, valueText) => (optional.test(key) ? null : valueText)),
      "m",
    );
    expect(manifest.references).toEqual(parseManifest(vectorText(INCR), INCR).references);
    expect(manifest.options).toEqual({
      archiveCheck: true,
      archiveCopy: false,
      compressType: "none",
      hardlink: false,
      online: true,
    });
    const compressed = changed(FULL, (key, valueText) =>
      key === "option-compress-type" ? null : key === "option-compress" ? "true" : valueText,
    );
    expect(parseManifest(compressed, "m").options.compressType).toBe("gz");
  });

  it("may have an owner with an equals sign", () => {
    const text = changed(INCR, (key, valueText, section) =>
      section.endsWith(":default") && key === "user" ? '"a=b"' : valueText,
    );
    const manifest = parseManifest(text, INCR);
    expect(manifest.files.at(0)?.user).toBe("a=b");
    expect(renderManifest(manifest)).toBe(text);
  });

  it("keep unknown keys and sections", () => {
    const text = changed(INCR, (_key, valueText) => valueText);
    const manifest = {
      ...parseManifest(text, "m"),
      other: [
        { section: "backup", key: "backup-future", valueText: '"x"' },
        { section: "new", key: "k", valueText: "1" },
      ],
    };
    const again = parseManifest(renderManifest(manifest), "m");
    expect(again.other).toEqual(manifest.other);
    expect(renderManifest(again)).toBe(renderManifest(manifest));
  });

  it.each([
    ["backup-type", '"copy"', "'m': backup type is 'copy', expected full, diff or incr"],
    ["option-compress-type", '"xz"', "'m': unknown compress type 'xz'"],
    [
      "backup-reference",
      '"20261120-065325F"',
      "'m': expected '20261120-065325F_20261120-065552I' as last reference but found '20261120-065325F'",
    ],
    [
      "pg_data/base",
      '{"mode":"rwx"}',
      "'m': path 'pg_data/base': expected a mode of four octal digits but found 'rwx'",
    ],
    [
      "pg_tblspc/16384",
      '{"path":"/x","type":"socket"}',
      "'m': target 'pg_tblspc/16384' has type 'socket', expected path or link",
    ],
  ])("with a wrong %s are refused", async (where, value, message) => {
    const text = changed(INCR, (key, valueText, section) =>
      key === where && (section !== "target:path" || value.includes("mode")) ? value : valueText,
    );
    expect((await errorOf("format", () => parseManifest(text, "m"))).message).toBe(message);
  });

  it("are not written with contradictions", async () => {
    const incr = parseManifest(vectorText(INCR), INCR);
    await errorOf("assert", () => renderManifest({ ...incr, references: incr.references.slice(0, -1) }));
    await errorOf("assert", () => renderManifest({ ...incr, type: "full" }));
    await errorOf("assert", () =>
      renderManifest({ ...incr, files: incr.files.map((file) => ({ ...file, reference: "20200101-000000F" })) }),
    );
    await errorOf("assert", () => renderManifest({ ...incr, files: [...incr.files, ...[...incr.files].slice(0, 1)] }));
  });

  it("survive writing and reading with any rows, in one piece or in any pieces", async () => {
    const owner = fc.option(fc.constantFrom("postgres", "root", "dba"));
    const sha1 = fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: 40, maxLength: 40 });
    const name = fc
      .oneof(
        fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }),
        fc.uint8Array({ min: 1, minLength: 1, maxLength: 12 }).map(textOf),
      )
      .filter((text) => !/^\.\.?$|[\n/]/u.test(text));
    const file = fc
      .record(
        {
          name: name.map((text) => `pg_data/${text}`),
          sizeBytes: fc.nat(),
          sizeRepoBytes: fc.nat(),
          sha1,
          modifiedAtS: fc.integer(),
          mode: fc.integer({ min: 0, max: 0o7777 }),
          user: owner,
          group: owner,
          sizeOriginalBytes: fc.nat(),
          sha1Repo: sha1,
          reference: fc.constant("20261120-065325F"),
          bundle: fc.record({ id: fc.integer({ min: 1, max: 99 }), offsetBytes: fc.nat() }),
          block: fc.record({
            sizeBytes: fc.integer({ min: 1, max: 99 }).map((n) => n * 8192),
            checksumSizeBytes: fc.integer({ min: 1, max: 16 }),
            mapSizeBytes: fc.nat(),
          }),
          checksumPage: fc.boolean(),
          pageErrors: fc.array(fc.oneof(fc.nat(), fc.tuple(fc.nat(), fc.nat())), { minLength: 1 }),
        },
        {
          requiredKeys: ["name", "sizeBytes", "sizeRepoBytes", "sha1", "modifiedAtS", "mode", "user", "group"],
          noNullPrototype: true,
        },
      )
      .map((row) => {
        const { sizeOriginalBytes, ...rest } = row;
        const original =
          sizeOriginalBytes === undefined || sizeOriginalBytes === row.sizeBytes ? {} : { sizeOriginalBytes };
        return { ...rest, ...original, sha1: row.sizeBytes === 0 ? SHA1_EMPTY : row.sha1 };
      });
    const incr = parseManifest(vectorText(INCR), INCR);
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(file, { selector: (row) => row.name, maxLength: 8 }),
        fc.integer({ min: 1, max: 2000 }),
        async (files, size) => {
          const manifest = { ...incr, files } as Manifest;
          const sorted = [...files].sort((a, b) => Buffer.compare(utf8(a.name), utf8(b.name)));
          const text = renderManifest(manifest);
          const whole = parseManifest(text, "m");
          expect([...whole.files]).toEqual(sorted);
          expect(await readManifest(streamOf(...inPieces(text, size)), "m", text.length * 4)).toStrictEqual(whole);
        },
      ),
    );
  });

  it.each(MANIFESTS)("%s is read from a stream as in one piece, and with a limit", async (path) => {
    const text = vectorText(path);
    for (const size of [100, 5000, text.length]) {
      expect(await readManifest(streamOf(...inPieces(text, size)), path, text.length)).toStrictEqual(
        parseManifest(text, path),
      );
    }
    await expect(readManifest(streamOf(...inPieces(text, 100)), path, text.length - 1)).rejects.toMatchObject({
      kind: "fileInvalid",
    });
    const damaged = text.replace(/^(pg_data.*"size":)/m, "$11");
    await expect(readManifest(streamOf(...inPieces(damaged, 100)), path, text.length + 1)).rejects.toMatchObject({
      kind: "checksum",
    });
  });

  it("need owner and mode in each row or in the defaults", async () => {
    const lacking = (section: string, key: string): string =>
      changed(FULL, (own, value, at) => (at === section && own === key ? null : value));
    const file = "'m': file 'pg_data/PG_VERSION'";
    expect((await errorOf("format", () => parseManifest(lacking("target:file:default", "mode"), "m"))).message).toBe(
      `${file}: no mode in the row nor in the defaults`,
    );
    expect((await errorOf("format", () => parseManifest(lacking("target:file:default", "user"), "m"))).message).toBe(
      `${file}: no owner in the row nor in the defaults`,
    );
  });
});
