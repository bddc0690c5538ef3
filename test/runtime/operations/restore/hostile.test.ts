/**
 * Restores hostile manifests. Anyone who can write to an unencrypted repository can choose rows, owners and checksums.
 * A tree of sentinels stands beside the target. No restore may change a byte, mode, owner or name in it.
 */
// claim: README.md: whatever a manifest says, a restore touches only its target and the cluster's own tablespaces
//   (random manifests, as root, beside a tree of sentinels)
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import * as fc from "../../../harness/properties";
import { beforeEach, describe, expect, it } from "vitest";
import { type BackupError, type ErrorKind, isError } from "../../../../runtime/base/errors";
import { type InfoEntry, parseInfo, renderInfo } from "../../../../runtime/format/repository/infoFile";
import { copyOf, manifestPath } from "../../../../runtime/format/repository/repoPath";
import { inlinePool } from "../../../../runtime/operations/shared/jobs";
import { restore, type RestoreOptions } from "../../../../runtime/operations/restore/restore";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { CONTROL, makeDataDirectory, makeTree, repository, STANZA, temporaryFolder } from "../../repository/support";
import { runBackup } from "../backup/support";
import { restoreOptions } from "./support";
import { NIGHTLY } from "../../../../tools/parts/nightly";

const CONTENT = "PG_15_202209061";
const asRoot = process.geteuid?.() === 0;
/** Another account than the test's. As root, restore sets the owner of every row. */
const OTHER_ID = 65_534;

let folder: string;
let target: string;
let tablespace: string;
let outside: string;
let ctx: TestContext;
let repo: Repository;
let storage: MemoryStorage;
let label: string;
let golden: string;

beforeEach(async () => {
  folder = temporaryFolder();
  tablespace = join(folder, "ts1");
  outside = join(folder, "outside");
  target = join(folder, "restored");
  makeTree(tablespace, { [`${CONTENT}/5/16400`]: "table" });
  const data = makeDataDirectory(folder, { "pg_tblspc/16384": `-> ${tablespace}`, "odd =[name]#": "odd" });
  makeTree(outside, {
    "keep.txt": "do not touch",
    "home/user/letter": "dear all",
    [`home/${CONTENT}/5/16400`]: "the table of another cluster, longer",
    "empty/": "",
    link: "-> keep.txt",
  });
  chmodSync(join(outside, "home"), 0o751);
  ctx = testContext();
  storage = new MemoryStorage();
  repo = repository(1, { storage });
  await stanzaCreate([repo], CONTROL, ctx);
  await runBackup([repo], data, ctx);
  label = (await loadBackupInfo(repo)).backups[0]?.label ?? "";
  golden = storage.text(manifestPath(STANZA, label));
});

interface Row {
  readonly section: string;
  readonly key: string;
  readonly value: unknown;
}

/** Adds these rows to the manifest. They replace rows of the same name. */
async function plant(...rows: readonly Row[]): Promise<void> {
  const planted = new Map(
    rows.map(({ section, key, value }) => [`${section} ${key}`, { section, key, valueText: JSON.stringify(value) }]),
  );
  const kept = parseInfo(golden, "golden").filter((entry) => !planted.has(`${entry.section} ${entry.key}`));
  const entries: InfoEntry[] = [...kept, ...planted.values()];
  const sections = [...new Set(entries.map((entry) => entry.section))].sort();
  const order = ["backrest", ...sections.filter((section) => section !== "backrest")];
  const text = renderInfo(
    order.flatMap((section) =>
      entries
        .filter((entry) => entry.section === section)
        .sort((left, right) => (left.key < right.key ? -1 : left.key > right.key ? 1 : 0)),
    ),
  );
  for (const path of [manifestPath(STANZA, label), copyOf(manifestPath(STANZA, label))])
    await storage.put(path, Buffer.from(text));
}

const file = (key: string, more: object = {}): Row => ({
  section: "target:file",
  key,
  value: { size: 0, timestamp: 1, mode: "0666", ...more },
});
const path = (key: string, more: object = {}): Row => ({
  section: "target:path",
  key,
  value: { mode: "0777", user: "evil", ...more },
});
const link = (key: string, destination: string): Row => ({ section: "target:link", key, value: { destination } });
const linkTarget = (key: string, value: object): Row => ({
  section: "backup:target",
  key,
  value: { ...value, type: "link" },
});
const tablespaceAt = (location: string): Row[] => [
  linkTarget("pg_tblspc/16384", { path: location, "tablespace-id": "16384", "tablespace-name": "ts1" }),
  link("pg_data/pg_tblspc/16384", location),
];

/** Everything below `at` as text: names, kinds, modes, owners, times of files, content. */
function treeOf(at: string, name = ""): string[] {
  const info = lstatSync(join(at, name));
  const head = `${name} ${info.mode.toString(8)} ${info.uid}:${info.gid}`;
  if (info.isSymbolicLink()) return [`${head} -> ${readlinkSync(join(at, name))}`];
  if (info.isFile()) return [`${head} ${info.mtimeMs} ${readFileSync(join(at, name), "utf8")}`];
  return [
    head,
    ...readdirSync(join(at, name))
      .sort()
      .flatMap((child) => treeOf(at, `${name}/${child}`)),
  ];
}

async function restoreTo(to: string, more: Partial<RestoreOptions> = {}): Promise<void> {
  const pool = inlinePool(new Map([[repo.key, repo]]), ctx, 2);
  const result = (name: string): number | null => (!asRoot ? null : name === "root" ? 0 : OTHER_ID);
  await restore(
    [repo],
    { pool, users: { userName: () => "postgres", groupName: () => "postgres", findUid: result, findGid: result } },
    { ...restoreOptions(folder, to), ...more },
    ctx,
  );
}

/** The error of the restore; null when it succeeds. */
async function refusal(run: Promise<void>): Promise<BackupError | null> {
  try {
    await run;
    return null;
  } catch (error) {
    if (isError(error)) return error;
    throw error;
  }
}

/** Expects an error of this kind, and no change below the folder. */
async function refused(kind: ErrorKind, more: Partial<RestoreOptions> = {}): Promise<BackupError> {
  const before = treeOf(folder);
  const error = await refusal(restoreTo(target, more));
  expect(treeOf(folder)).toEqual(before);
  expect(error?.kind).toBe(kind);
  return error as BackupError;
}

/** The data directory of the golden manifest's cluster, as `--delta` requires. */
function makeTarget(tree: Readonly<Record<string, string>> = {}): void {
  makeTree(target, { PG_VERSION: "15\n", "pg_tblspc/16384": `-> ${tablespace}`, ...tree });
  chmodSync(target, 0o700);
}

describe("a restore writes nowhere but into its target", () => {
  it("when a path climbs out of the data directory", async () => {
    await plant(path("pg_data/../outside"), path("pg_data/../made"));
    await refused("format");
  });

  it("when a file climbs out of the data directory", async () => {
    await plant(file("pg_data/../outside/keep.txt"));
    await refused("format");
  });

  it("when a tablespace's row names another directory than this version's, with --delta", async () => {
    makeTarget();
    await plant(...tablespaceAt(outside), path("pg_tblspc/16384/home"));
    await refused("format", { delta: true });
  });

  it("when a tablespace is in another cluster's, with --delta", async () => {
    makeTarget();
    await plant(...tablespaceAt(join(outside, "home")));
    const error = await refused("pathNotEmpty", { delta: true });
    expect(error.message).toContain(`'${outside}/home/${CONTENT}'`);
  });

  it("when a link leads to a user's home, with --delta --link-all", async () => {
    makeTarget();
    const home = join(outside, "home");
    await plant(linkTarget("pg_data/log", { path: home }), link("pg_data/log", home), path("pg_data/log"));
    await refused("pathNotEmpty", { delta: true, linkAll: true });
    await refused("pathNotEmpty", { delta: true, linkMap: { log: home } });
  });

  // claim: README.md: whatever a manifest says, a restore…
  it("when a running server uses it, also through the links of a copied data directory", async () => {
    makeTarget();
    const production = join(folder, "data");
    const logs = join(outside, "empty");
    makeTree(production, { log: `-> ${logs}` });
    const server = spawn("sleep", ["60"], { cwd: production, stdio: "ignore" });
    try {
      const error = await refused("pgRunning", { delta: true });
      expect(error.message).toContain(`'${tablespace}': the running server of '${production}' uses it`);
      await plant(linkTarget("pg_data/log", { path: logs }), link("pg_data/log", logs), path("pg_data/log"));
      await refused("pgRunning", { delta: true, linkAll: true, tablespaceMapAll: join(folder, "mapped") });
    } finally {
      server.kill();
    }
    await once(server, "exit");
    expect(await refusal(restoreTo(target, { delta: true }))).toBeNull();
  });

  it("when a file's link leads to a file that is not the cluster's, with --delta --link-all", async () => {
    makeTarget();
    await plant(
      linkTarget("pg_data/postgresql.conf", { path: outside, file: "keep.txt" }),
      link("pg_data/postgresql.conf", `${outside}/keep.txt`),
    );
    await refused("fileExists", { delta: true, linkAll: true });
  });

  it("when the data directory has a link, which --delta keeps, in place of a directory", async () => {
    makeTarget({ "backup.manifest": `-> ${outside}/home` });
    await plant(path("pg_data/backup.manifest"), file("pg_data/backup.manifest/letter"));
    const before = treeOf(outside);
    expect((await refusal(restoreTo(target, { delta: true })))?.kind).toBe("pathCreate");
    expect(treeOf(outside)).toEqual(before);
  });

  it.runIf(asRoot)(
    "when a file's link leads into another account's directory, unless --link-map names it",
    async () => {
      const location = join(outside, "home/user");
      await plant(
        linkTarget("pg_data/postgresql.conf", { path: location, file: ".profile" }),
        link("pg_data/postgresql.conf", `${location}/.profile`),
      );
      rmSync(tablespace, { recursive: true });
      const error = await refused("pathOpen", { linkAll: true });
      expect(error.hints[0]).toContain(`--link-map=postgresql.conf=${location}/.profile`);
      await restoreTo(target, { linkMap: { "postgresql.conf": `${location}/.profile` } });
      expect(readFileSync(join(location, ".profile"), "utf8")).toBe("# nothing\n");
    },
  );

  it.runIf(asRoot)("when a tablespace is in another account's directory, even without --delta", async () => {
    await plant(...tablespaceAt(join(outside, "home", "user")));
    const error = await refused("pathNotEmpty");
    expect(error.message).toContain("has another owner or mode and contains 'letter'");
  });

  it.runIf(asRoot)("when the manifest calls root the owner of root's directory", async () => {
    const byRoot = { user: "root", group: "root", mode: "0755" };
    await plant(...tablespaceAt(outside), path("pg_tblspc/16384", byRoot));
    await refused("pathNotEmpty");
    const location = join(outside, "home/user");
    const linked = {
      ...link("pg_data/postgresql.conf", `${location}/job`),
      value: { destination: `${location}/job`, ...byRoot },
    };
    await plant(linkTarget("pg_data/postgresql.conf", { path: location, file: "job" }), linked);
    rmSync(tablespace, { recursive: true });
    await refused("pathOpen", { linkAll: true });
  });

  it.runIf(asRoot)("when a tablespace's row gives another mode to the server's directory", async () => {
    chownSync(outside, OTHER_ID, OTHER_ID);
    await plant(
      ...tablespaceAt(outside),
      path("pg_tblspc/16384", { user: "postgres", group: "postgres", mode: "0777" }),
    );
    await refused("pathNotEmpty");
  });

  it("when the manifest asks for a program that runs as its owner", async () => {
    await plant({
      section: "target:file",
      key: "pg_data/base/5/16385",
      value: { size: 0, timestamp: 1, mode: "6755" },
    });
    rmSync(tablespace, { recursive: true });
    await restoreTo(target);
    expect(lstatSync(join(target, "base/5/16385")).mode & 0o7777).toBe(0o755);
    expect(
      ctx.lines
        .filter((line) => line.level === "warn")
        .map((line) => line.text)
        .join(),
    ).toContain("have set-user-ID or set-group-ID bits: they are restored without these bits");
  });
});

describe("a restore still empties and fills the cluster's own directories", () => {
  beforeEach(() => makeTarget({ "odd file": "of later", "base/9/": "" }));

  const restored = (): [string[], string] => [
    readdirSync(join(tablespace, CONTENT, "5")),
    readFileSync(join(target, "odd =[name]#"), "utf8"),
  ];

  it("with --delta, when the data directory's link leads there", async () => {
    makeTree(tablespace, { [`${CONTENT}/5/99999`]: "of later", "PG_16_202307071/5/1": "another version's" });
    await restoreTo(target, { delta: true });
    expect(restored()).toEqual([["16400"], "odd"]);
    expect(readdirSync(tablespace).sort()).toEqual([CONTENT, "PG_16_202307071"]);
    expect(readdirSync(target)).not.toContain("odd file");
  });

  it("with --delta, when an interrupted restore has left directories and no link", async () => {
    const moved = join(folder, "ts2");
    makeTree(moved, { [`${CONTENT}/5/`]: "", [`${CONTENT}/6/`]: "" });
    await restoreTo(target, { delta: true, tablespaceMap: { ts1: moved } });
    expect([readdirSync(join(moved, CONTENT)), readdirSync(join(moved, CONTENT, "5"))]).toEqual([["5"], ["16400"]]);
    expect(readlinkSync(join(target, "pg_tblspc/16384"))).toBe(moved);
  });

  it("with --delta --link-all, when the links exist", async () => {
    const logs = join(folder, "logs");
    makeTree(folder, {
      "logs/of later": "x",
      "conf/pg.conf": "# of later",
      "restored/log": `-> ${logs}`,
      "restored/postgresql.conf": "-> ../conf/pg.conf",
    });
    await plant(
      linkTarget("pg_data/log", { path: logs }),
      link("pg_data/log", logs),
      path("pg_data/log"),
      linkTarget("pg_data/postgresql.conf", { path: "../conf", file: "pg.conf" }),
      link("pg_data/postgresql.conf", "../conf/pg.conf"),
    );
    await restoreTo(target, { delta: true, linkAll: true });
    expect(readdirSync(logs)).toEqual([]);
    expect(readFileSync(join(folder, "conf/pg.conf"), "utf8")).toBe("# nothing\n");
    expect(readlinkSync(join(target, "postgresql.conf"))).toBe("../conf/pg.conf");
  });
});

describe("whatever the manifest says", () => {
  /** Rows of an attacker: their path parts reorder, repeat and lead to the sentinels. */
  const rowsOf = (): fc.Arbitrary<Row[]> => {
    const part = fc.constantFrom(
      "..",
      ".",
      "",
      "a",
      "base",
      "log",
      "pg_tblspc",
      "16384",
      "outside",
      "home",
      "keep.txt",
      CONTENT,
      "x\0y",
      "a\\..\\b",
      "é [=#",
    );
    const root = fc.constantFrom(
      "pg_data",
      "pg_data",
      "pg_tblspc/16384",
      `pg_tblspc/16384/${CONTENT}`,
      "pg_data/pg_tblspc",
      "",
      "/",
      "..",
      "pg_database",
    );
    const name = fc.oneof(
      fc.tuple(root, fc.array(part, { maxLength: 4 })).map(([begin, parts]) => [begin, ...parts].join("/") || "/"),
      fc.constantFrom(
        "pg_data/base/5/16384",
        "pg_data/postgresql.conf",
        "pg_data/log",
        "pg_data/global/pg_control",
        "pg_data",
        "pg_tblspc/16384",
      ),
    );
    const location = fc.oneof(
      fc.constantFrom(
        ...["", "/home", "/home/user", "/empty", "/keep.txt", "/link", "/new/place"].map((end) => `${outside}${end}`),
      ),
      fc.constantFrom(
        tablespace,
        `${target}/base`,
        target,
        folder,
        "../outside/home",
        "../outside",
        "/",
        "",
        "/etc/cron.d",
        "x\0y",
        join(folder, "other"),
      ),
    );
    const owner = fc.constantFrom("postgres", "root", "evil", false);
    const attributes = fc.record(
      {
        mode: fc.constantFrom("0777", "4755", ...(asRoot ? ["0000", "0600"] : ["0700"]), "abc"),
        user: owner,
        group: owner,
      },
      { requiredKeys: [], noNullPrototype: true },
    );
    const size = fc.constantFrom(0, 0, 3, 8192, -1, 2 ** 53, 1e15);
    const fileRow = fc
      .tuple(
        name,
        attributes,
        size,
        fc.constantFrom(1, -1, 2 ** 52, -(2 ** 52)),
        fc.constantFrom({}, { bni: 1 }, { bni: 0 }, { reference: "../x" }, { bi: 1, bim: 9 }),
      )
      .map(([key, more, sizeBytes, timestamp, stored]) =>
        file(key, { checksum: SHA1, ...more, ...stored, size: sizeBytes, timestamp }),
      );
    const targetRow = fc.tuple(
      name,
      location,
      fc.constantFrom(
        {},
        { file: "keep.txt" },
        { file: "../keep.txt" },
        { "tablespace-id": "16384", "tablespace-name": ".." },
      ),
    );
    const linked = targetRow.map(([key, at, more]) => [linkTarget(key, { path: at, ...more }), link(key, at)]);
    return fc
      .array(
        fc.oneof(
          fileRow.map((row) => [row]),
          fc.tuple(name, attributes).map(([key, more]) => [path(key, more)]),
          linked,
          linked.map((rows) => [...rows, path(rows[0]?.key ?? "")]),
          location.map(tablespaceAt),
          fc.constantFrom([path("pg_data/log")], [path(`pg_tblspc/16384/${CONTENT}`)]),
        ),
        { minLength: 1, maxLength: 4 },
      )
      .map((rows) => rows.flat());
  };

  /** Everything below the folder except the target, the cluster's tablespace and new directories. */
  const beside = (): string[] =>
    readdirSync(folder)
      .filter((name) => !["restored", "ts1", "spool", "other"].includes(name))
      .flatMap((name) => treeOf(folder, `/${name}`));

  it("nothing beside the target and the cluster's own tablespace is created, changed, chowned or removed", {
    timeout: 1_800_000,
  }, async () => {
    const outcomes = { refused: 0, restored: 0 };
    const options = fc.record({ delta: fc.boolean(), force: fc.boolean(), linkAll: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(rowsOf(), options, fc.boolean(), async (rows, more, isCluster) => {
        for (const name of ["restored", "other", "outside/new"])
          rmSync(join(folder, name), { recursive: true, force: true });
        if (isCluster) makeTarget();
        else rmSync(tablespace, { recursive: true, force: true });
        const before = beside();
        await plant(...rows);
        const error = await refusal(restoreTo(target, more));
        outcomes[error === null ? "restored" : "refused"]++;
        expect(error?.kind).not.toBe("assert");
        // A restore may add entries at the destination of a link or tablespace. As root, only in new directories.
        const isOutside = (line: string): boolean => /\/keep\.txt /.test(line) || line.includes(`/${CONTENT}`);
        const made = (line: string): boolean =>
          /^\/outside\/new( |\/)/.test(line) || (!asRoot && isOutside(line) && !before.includes(line));
        expect(beside().filter((line) => !made(line) && !ownEmpty(line))).toEqual(
          before.filter((line) => !ownEmpty(line)),
        );
      }),
      { numRuns: NIGHTLY ? 2000 : 150 },
    );
    // The generator must reach both outcomes.
    expect(outcomes.refused).toBeGreaterThan(5);
    expect(outcomes.restored).toBeGreaterThan(0);
  });

  /** An empty directory may be used for a tablespace or a link, as in stock. */
  const ownEmpty = (line: string): boolean => /^\/outside\/empty( |\/)/.test(line);
});

const SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

describe("a hostile directory", () => {
  it("a planted link of a directory costs another cluster nothing", async () => {
    rmSync(tablespace, { recursive: true });
    expect(await refusal(restoreTo(target))).toBeNull();
    const other = join(folder, "other");
    renameSync(join(target, "global"), other);
    symlinkSync(other, join(target, "global"));
    const before = readdirSync(other);
    expect(await refusal(restoreTo(target, { delta: true }))).toBeNull();
    expect(readdirSync(other)).toEqual(before);
    expect(lstatSync(join(target, "global")).isDirectory()).toBe(true);
    expect(readdirSync(join(target, "global"))).toEqual(before);
  });
});
