/** Names of files, directories, link targets and tablespaces are bytes: each comes back as it was. */
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  type Stats,
  lstatSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { textOf } from "../../../../runtime/base/bytes";
import { inlinePool } from "../../../../runtime/operations/shared/jobs";
import { restore } from "../../../../runtime/operations/restore/restore";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { verify } from "../../../../runtime/operations/verify/verify";
import { removeBackupPath } from "../../../../runtime/repository/expireStore";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { PosixStorage } from "../../../../runtime/storage/posix";
import { testContext } from "../../../harness/context";
import * as fc from "../../../harness/properties";
import { CONTROL, makeDataDirectory, repository, temporaryFolder, WAL_SIZE_BYTES } from "../../repository/support";
import { runBackup } from "../backup/support";
import { restoreOptions } from "./support";

const CATALOG = "PG_15_202209061";
const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
/** Names that a manifest's syntax, JSON or UTF-8 could break. */
const ODD = ["caf\xe9", "caf\xe8", "\xff", "\xc3", "\xed\xb2\x80", "\xf0\x9f\x98\x80", "=", '="x"', 'a={"size":1}']
  .concat(["[backup]", '"', "\\", "\\n", "\\u00e9", " blank ", "\ttab\t", "cr\r", "\x1b[31m", "#", "\x7f", "null="])
  .map(latin1);
const names = fc.uniqueArray(
  fc
    .uint8Array({ minLength: 1, maxLength: 12, min: 1 })
    .filter(
      (bytes) =>
        !bytes.includes(0x2f) && !bytes.includes(0x0a) && !/^\.\.?$/.test(Buffer.from(bytes).toString("latin1")),
    )
    .map((bytes) => Buffer.from(bytes)),
  { selector: (name) => name.toString("latin1"), minLength: 20, maxLength: 20 },
);

const below = (path: string | Buffer, name: Buffer): Buffer => Buffer.concat([Buffer.from(path), latin1("/"), name]);

/** Kind, link target or content by path, each byte one character. */
function treeOf(path: Buffer, root = path.length + 1): Record<string, string> {
  return Object.assign(
    {},
    ...readdirSync(path, "buffer").map((name) => {
      const child = below(path, name);
      const key = child.toString("latin1").slice(root);
      const info: Stats = lstatSync(child);
      if (info.isSymbolicLink()) return { [key]: `-> ${readlinkSync(child, "latin1")}` };
      return info.isDirectory()
        ? { [key]: "directory", ...treeOf(child, root) }
        : { [key]: readFileSync(child, "latin1") };
    }),
  ) as Record<string, string>;
}

function fill(directory: Buffer, children: readonly Buffer[]): void {
  for (const [index, name] of children.entries()) {
    const path = below(directory, name);
    if (index % 3 !== 2) writeFileSync(path, `content ${index}`, { mode: 0o600 });
    else {
      mkdirSync(path, { mode: 0o700 });
      writeFileSync(below(path, name), `inner ${index}`, { mode: 0o600 });
    }
  }
}

const [generated = []] = fc.sample(names, 1);
const ROWS = [
  { kind: "in files of their own", more: { compress: { type: "gz", level: 1 } } },
  {
    kind: "in bundles, encrypted with bytes",
    more: { bundle: { sizeBytes: 50_000, limitBytes: 10_000 }, pass: textOf(latin1("\xe9")) },
  },
] as const;

describe("names of any bytes come back, from files in a repository", () => {
  it.each(ROWS)("$kind", async ({ more }) => {
    const folder = temporaryFolder();
    const ctx = testContext();
    const storage = new PosixStorage({
      root: join(folder, textOf(latin1("repo\xe9"))),
      syncDirectories: false,
      symlinks: true,
      signal: ctx.signal,
    });
    const repo: Repository = repository(1, { storage, ...more });
    const data = makeDataDirectory(folder, { "odd/": "", "pg_tblspc/": "" });
    fill(Buffer.from(join(data, "odd")), [
      ...new Map([...ODD, ...generated].map((name) => [name.toString("hex"), name])).values(),
    ]);
    const linked = below(folder, latin1("li\xe9n"));
    const space = below(folder, latin1("esp\xe0ce"));
    for (const path of [linked, space, below(space, latin1(CATALOG)), below(space, latin1(`${CATALOG}/5`))])
      mkdirSync(path, { mode: 0o700 });
    writeFileSync(below(linked, latin1("\xe9")), "linked");
    writeFileSync(below(space, latin1(`${CATALOG}/5/16400`)), Buffer.alloc(8192));
    symlinkSync(linked, below(data, latin1("lien\xe9")));
    symlinkSync(space, join(data, "pg_tblspc/16384"));
    await stanzaCreate([repo], CONTROL, ctx);
    await runBackup([repo], data, ctx);
    const expected = treeOf(Buffer.from(data));
    expect(Object.keys(expected).length).toBeGreaterThan(ODD.length + generated.length);

    const pool = inlinePool(new Map([[1, repo]]), ctx, 2);
    const users = { userName: () => null, groupName: () => null, findUid: () => null, findGid: () => null };
    const target = Buffer.from(join(folder, "restored"));
    const options = {
      ...restoreOptions(folder, target.toString()),
      tablespaceMapAll: textOf(below(folder, latin1("ts\xe9"))),
    };
    const maps = { linkMap: { [textOf(latin1("lien\xe9"))]: textOf(below(folder, latin1("mapped\xe9"))) } };
    await restore([repo], { pool, users }, { ...options, ...maps }, ctx);
    const skipped =
      /^(backup_label|recovery\.signal|postgresql\.auto\.conf|global\/pg_control|lien|pg_tblspc\/|base\/5\/16385$)/;
    const comparable = (tree: Record<string, string>): unknown =>
      Object.fromEntries(Object.entries(tree).filter(([name]) => !skipped.test(name)));
    expect(comparable(treeOf(target))).toEqual(comparable(expected));
    expect(readlinkSync(below(target, latin1("lien\xe9")), "latin1")).toBe(
      below(folder, latin1("mapped\xe9")).toString("latin1"),
    );
    expect(readFileSync(below(folder, latin1("mapped\xe9/\xe9")), "utf8")).toBe("linked");
    expect(readlinkSync(join(target.toString(), "pg_tblspc/16384"), "latin1")).toBe(
      below(folder, latin1("ts\xe9/ts1")).toString("latin1"),
    );

    fill(below(target, latin1("odd")), [latin1("foreign\xe9"), latin1("x\xe9"), latin1("directory\xe9")]);
    writeFileSync(below(target, latin1("odd/caf\xe9")), "changed");
    await restore([repo], { pool, users }, { ...options, ...maps, delta: true }, ctx);
    expect(comparable(treeOf(target))).toEqual(comparable(expected));

    const { backups, orphans } = await verify(repo, pool, WAL_SIZE_BYTES, ctx);
    expect({ backups, orphans }).toMatchObject({ backups: [{ status: "valid" }], orphans: [] });
    const label = backups[0]?.label ?? "";
    await removeBackupPath(repo, label);
    expect(readdirSync(below(folder, latin1("repo\xe9/backup/demo")))).not.toContain(label);
  });
});

it("a name with a line feed, which no manifest can hold, ends the backup before it is listed", async () => {
  const folder = temporaryFolder();
  const ctx = testContext();
  const repo = repository(1);
  const data = makeDataDirectory(folder, { "odd/a\nb": "x" });
  await stanzaCreate([repo], CONTROL, ctx);
  await expect(runBackup([repo], data, ctx)).rejects.toMatchObject({
    kind: "format",
    message: expect.stringContaining(String.raw`name "pg_data/odd/a\nb" holds a line feed`),
  });
  expect((await loadBackupInfo(repo)).backups).toEqual([]);
});
