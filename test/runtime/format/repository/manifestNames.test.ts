// claim: README.md: every name that stock can write is read, every other one is refused
import { describe, expect, it } from "vitest";
import { type BackupError, isError } from "../../../../runtime/base/errors";
import { parseArchiveInfo } from "../../../../runtime/format/repository/archiveInfo";
import { parseBackupInfo } from "../../../../runtime/format/repository/backupInfo";
import { type InfoEntry, parseInfo, renderInfo } from "../../../../runtime/format/repository/infoFile";
import { parseManifest } from "../../../../runtime/format/repository/manifest";
import { MANIFESTS, vectorText } from "../vectors";

const INCR = "v2.45/plain/incr.backup.manifest";
const CONTENT = "pg_tblspc/16384/PG_15_202209061";
const FULL_LABEL = "20261120-065325F";

type Row = readonly [section: string, key: string, value: unknown];

/** The vector plus these rows, which replace rows of the same name. The checksum matches. */
function changed(vector: string, rows: readonly Row[], isSorted = true): string {
  const planted = rows.map(([section, key, value]): InfoEntry => ({ section, key, valueText: JSON.stringify(value) }));
  const names = new Set(planted.map((row) => `${row.section} ${row.key}`));
  const kept = parseInfo(vectorText(vector), vector).filter((entry) => !names.has(`${entry.section} ${entry.key}`));
  const entries: InfoEntry[] = [...kept, ...planted];
  const order = [
    "backrest",
    ...[...new Set(entries.map((entry) => entry.section))].filter((section) => section !== "backrest").sort(),
  ];
  return renderInfo(
    order.flatMap((section) => {
      const own = entries.filter((entry) => entry.section === section);
      return isSorted ? own.sort((left, right) => Buffer.compare(Buffer.from(left.key), Buffer.from(right.key))) : own;
    }),
  );
}

const file = (key: string, more: object = {}): Row => ["target:file", key, { size: 0, timestamp: 1, ...more }];
const path = (key: string): Row => ["target:path", key, {}];
const link = (key: string, destination = "/elsewhere"): Row => ["target:link", key, { destination }];
const target = (key: string, more: object): Row => ["backup:target", key, { type: "link", ...more }];

function refusalOf(parse: () => unknown): BackupError | null {
  try {
    parse();
    return null;
  } catch (error) {
    if (isError(error)) return error;
    throw error;
  }
}

const LONG = "n".repeat(255);

describe("a manifest may hold every name that a file system allows", () => {
  it.each([
    "with space",
    " ",
    "=",
    "a=b",
    'a={"size":0}',
    "[section]",
    "#comment",
    "quote\"s' and `ticks`",
    "back\\slash",
    "..\\up",
    "...",
    "..a",
    ".hidden",
    "-rf",
    "~",
    "*",
    "\r",
    "tab\there",
    "\u0001",
    "é",
    "e\u0301",
    "日本語",
    "🐘",
    "\u{10ffff}",
    "\ufffd",
    "pg_tblspc",
    "constructor",
    "__proto__",
    LONG,
    "pg_data",
  ])("%j", (name) => {
    const own = [
      path("pg_data/odd"),
      file(`pg_data/odd/${name}`),
      path("pg_data/odd2"),
      path(`pg_data/odd2/${name}`),
      file(`pg_data/odd2/${name}/${name}`),
    ];
    const linked = [
      path("pg_data/odd3"),
      link(`pg_data/odd3/${name}`, `/far/${name}`),
      target(`pg_data/odd3/${name}`, { path: "/far", file: name }),
    ];
    const manifest = parseManifest(changed(INCR, [...own, ...linked, file(`${CONTENT}/5/${name}`)]), "m");
    const names = manifest.files.map((each) => each.name);
    for (const each of [`pg_data/odd/${name}`, `pg_data/odd2/${name}/${name}`, `${CONTENT}/5/${name}`])
      expect(names).toContain(each);
    expect(manifest.links.map((each) => each.name)).toContain(`pg_data/odd3/${name}`);
  });

  it("in any order, with links to directories, to files, inside tablespaces, and several tablespaces", () => {
    const rows = [
      file("pg_data/zz"),
      file("pg_data/aa"),
      link("pg_data/pg_wal"),
      target("pg_data/pg_wal", { path: "../wal" }),
      link("pg_data/postgresql.conf"),
      target("pg_data/postgresql.conf", { path: "/etc/postgresql", file: "a b.conf" }),
      path(`${CONTENT}/7`),
      link(`${CONTENT}/7`),
      target(`${CONTENT}/7`, { path: "/x" }),
      file(`${CONTENT}/7/1`),
      link("pg_data/pg_tblspc/4294967295"),
      target("pg_tblspc/4294967295", { path: "/t", "tablespace-id": "4294967295", "tablespace-name": "../.." }),
      path("pg_tblspc/4294967295"),
    ];
    for (const isSorted of [true, false])
      expect(parseManifest(changed(INCR, rows, isSorted), "m").targets).toHaveLength(6);
  });

  it("and all names of stock", () => {
    for (const vector of MANIFESTS) expect(() => parseManifest(vectorText(vector), vector)).not.toThrow();
  });
});

describe("a manifest is refused", () => {
  const moving = [
    "..",
    ".",
    "../evil",
    "a/../../evil",
    "./a",
    "a/.",
    "a/..",
    "a//b",
    "a/",
    "",
    "/",
    "nul\0",
    "no/such/path",
  ];
  const kinds: readonly (readonly [string, (name: string) => Row[]])[] = [
    ["file", (name) => [file(name)]],
    ["path", (name) => [path(name)]],
    ["link", (name) => [link(name)]],
    ["target", (name) => [target(name, { path: "/x" })]],
  ];
  const bases = ["pg_data/", `${CONTENT}/`];
  const locations = [
    ..."x /x /etc/passwd ../pg_data/x pg_database/x pg_dat pg_data_/x pg_tblspc/x pg_tblspc/../x pg_tblspc/16384/x pg_tblspc/99999".split(
      " ",
    ),
    ..."pg_tblspc/16384/PG_16_202307071 pg_tblspc/16384/PG_15_202209061x pg_tblspc/016384 pg_tblspc/99999999999".split(
      " ",
    ),
    ...`pg_data/pg_tblspc/16384/x pg_data/pg_tblspc/x pg_data/${"x".repeat(4100)}`.split(" "),
  ];

  it.each(kinds)("for a %s whose name leads elsewhere", (_kind, rowsOf) => {
    for (const name of [...bases.flatMap((base) => moving.map((end) => `${base}${end}`)), ...locations])
      expect([name, refusalOf(() => parseManifest(changed(INCR, rowsOf(name)), "m"))?.kind]).toEqual([name, "format"]);
  });

  it.each<readonly [string, Row[]]>([
    ["a row that is a file and a path", [path("pg_data/PG_VERSION")]],
    ["a file below a file", [file("pg_data/PG_VERSION/x")]],
    ["a path below a file", [path("pg_data/PG_VERSION/x")]],
    ["a tablespace's link as a path", [path("pg_data/pg_tblspc/16384")]],
    ["a tablespace's link as a file", [file("pg_data/pg_tblspc/16384")]],
    ["a link to nothing", [link("pg_data/x", "")]],
    ["a link with a NUL", [link("pg_data/x", "/a\0b")]],
    ["a target without a path", [target("pg_data/log", { path: "" })]],
    [
      "a target of a tablespace with another number",
      [target("pg_tblspc/16384", { path: "/x", "tablespace-id": "16385" })],
    ],
    ["a target of a tablespace without a number", [target("pg_tblspc/16384", { path: "/x" })]],
    ["a number of a tablespace elsewhere", [target("pg_data/log", { path: "/x", "tablespace-id": "16384" })]],
    ["the data directory as a link", [target("pg_data", { path: "/x" })]],
    ["a directory as the link of a file", [target("pg_data/base", { path: "/x", file: "y" })]],
    ["a file as the link of a directory", [target("pg_data/PG_VERSION", { path: "/x" })]],
    ["the file of a link that leads outside", [target("pg_data/PG_VERSION", { path: "/x", file: "../y" })]],
    ["the file of a link that is a directory", [target("pg_data/PG_VERSION", { path: "/x", file: ".." })]],
    ["a reference to an unlisted backup", [file("pg_data/x", { reference: "20261120-065324F" })]],
    ["a reference that leads outside", [file("pg_data/x", { reference: "../../x" })]],
    ["bundle 0", [file("pg_data/x", { bni: 0 })]],
    [
      "a label that leads outside",
      [
        ["backup", "backup-label", "../x"],
        ["backup", "backup-reference", "../x"],
      ],
    ],
    ["a prior that leads outside", [["backup", "backup-prior", "../x"]]],
    [
      "a list of references that leads outside",
      [["backup", "backup-reference", `${FULL_LABEL},..,20261120-065325F_20261120-065552I`]],
    ],
    [
      "a reference twice",
      [["backup", "backup-reference", `${FULL_LABEL},${FULL_LABEL},20261120-065325F_20261120-065552I`]],
    ],
    ["a type other than the label's", [["backup", "backup-type", "full"]]],
    ["WAL that leads outside", [["backup", "backup-archive-start", "../../x"]]],
    ["WAL that is not a segment", [["backup", "backup-archive-stop", "00000002.history"]]],
    ["an invalid position", [["backup", "backup-lsn-stop", "1"]]],
    ["a version that leads outside", [["backup:db", "db-version", "15/../.."]]],
  ])("for %s", (_what, rows) => {
    expect(refusalOf(() => parseManifest(changed(INCR, rows), "m"))?.kind).toBe("format");
  });

  it.each(["target:file", "target:path", "target:link", "backup:target"])("for a duplicate row of %s", (section) => {
    const entries = parseInfo(vectorText(INCR), INCR);
    const at = entries.findIndex((entry) => entry.section === section);
    const doubled = [
      ...entries.slice(0, at + 1),
      { ...(entries[at] as InfoEntry), key: `${entries[at]?.key}#` },
      ...entries.slice(at + 1),
    ];
    // The renderer refuses duplicates, so edit the text and take the checksum from the parser's message.
    const text = renderInfo(doubled).replace(`${entries[at]?.key}#=`, `${entries[at]?.key}=`);
    const actual = /actual '([0-9a-f]{40})'/.exec(refusalOf(() => parseManifest(text, "m"))?.message ?? "")?.[1] ?? "";
    const error = refusalOf(() =>
      parseManifest(text.replace(/backrest-checksum="[0-9a-f]{40}"/, `backrest-checksum="${actual}"`), "m"),
    );
    expect([error?.kind, error?.message]).toEqual(["format", expect.stringContaining("twice")]);
  });
});

describe("info files are refused", () => {
  const BACKUP_INFO = "v2.45/plain/backup.info";
  const ARCHIVE_INFO = "v2.45/plain/archive.info";
  const entries = parseInfo(vectorText(BACKUP_INFO), BACKUP_INFO);
  const incr = entries.find((entry) => entry.section === "backup:current" && entry.key.endsWith("I"));
  const row = JSON.parse(incr?.valueText ?? "") as Record<string, unknown>;
  const sorted = (more: object): object =>
    Object.fromEntries(Object.entries({ ...row, ...more }).sort(([left], [right]) => (left < right ? -1 : 1)));

  it.each<readonly [string, Row]>([
    ["a label that leads outside", ["backup:current", "../../etc", sorted({})]],
    ["a label that is a path", ["backup:current", `${incr?.key}/..`, sorted({})]],
    ["a label of another type", ["backup:current", FULL_LABEL, sorted({})]],
    ["a prior that leads outside", ["backup:current", incr?.key ?? "", sorted({ "backup-prior": ".." })]],
    ["a reference that leads outside", ["backup:current", incr?.key ?? "", sorted({ "backup-reference": ["../x"] })]],
    ["WAL that leads outside", ["backup:current", incr?.key ?? "", sorted({ "backup-archive-start": "../x" })]],
    [
      "WAL that is not a segment",
      ["backup:current", incr?.key ?? "", sorted({ "backup-archive-stop": "00000001.history" })],
    ],
    ["an invalid position", ["backup:current", incr?.key ?? "", sorted({ "backup-lsn-start": "x" })]],
    [
      "a version that leads outside",
      [
        "db:history",
        "1",
        { "db-catalog-version": 1, "db-control-version": 1, "db-system-id": 1, "db-version": "../15" },
      ],
    ],
  ])("for %s in backup.info", (_what, change) => {
    expect(refusalOf(() => parseBackupInfo(changed(BACKUP_INFO, []), "i"))).toBeNull();
    expect(refusalOf(() => parseBackupInfo(changed(BACKUP_INFO, [change]), "i"))?.kind).toBe("format");
  });

  it.each(["../15", "15/..", "", "15-1", "15\n", "abc"])("for version %j in archive.info", (version) => {
    const change: Row = ["db:history", "1", { "db-id": 1, "db-version": version }];
    expect(refusalOf(() => parseArchiveInfo(changed(ARCHIVE_INFO, [change]), "i"))?.kind).toBe("format");
  });
});
