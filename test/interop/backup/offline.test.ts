/**
 * Stock and ours take backups in turn while the cluster's server is down (`--no-online`): what they refuse, what their
 * manifests contain, and that either program restores either chain without any WAL from the archive.
 */
// claim: README.md: `backup --no-online`, full, diff and incr, in one chain with stock's
import {
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { textOf } from "../../../runtime/base/bytes";
import { type Manifest, parseManifest } from "../../../runtime/format/repository/manifest";
import type { StockPgbackrest } from "../../../tools/parts/debian/pgbackrest";
import { run } from "../../../tools/parts/process";
import { comparableInfo, labelsOf, parseInfo } from "../../harness/compare/infoJson";
import { findParts, type InteropParts } from "../../harness/real/interopParts";
import { dropTemplates, fillBed, writeMore } from "../../harness/real/sampleData";
import { TestBed } from "../../harness/real/testBed";
import { NIGHTLY } from "../../../tools/parts/nightly";

const TITLE = "backups of a server that is down";

describe(TITLE, async () => {
  const parts = await findParts(TITLE, 18, "2.60");
  if (parts !== null) offline(parts);
});

function offline({ binaries, stock }: InteropParts): void {
  let bed: TestBed;

  beforeAll(async () => {
    const repos = [
      { compressType: "gz" },
      { compressType: "zst", encrypted: true, options: { bundle: "y", block: "y" } },
    ] as const;
    bed = await TestBed.create({ binaries, repos });
    await bed.cluster.start();
    await bed.oursOk(["stanza-create", "--no-online"]);
    await fillBed(bed, 2000);
    await dropTemplates(bed);
    plantOddNames(bed);
  });
  afterAll(() => bed?.remove());

  const byStock = (type: string): Promise<unknown> =>
    bed.stockOk(stock, ["backup", "--no-online", `--type=${type}`, "--repo=1", "--no-expire-auto"]);
  const manifestAt = (index: number, key = 1): Promise<Manifest> => newestManifest(bed, key, index);
  const changed = async (): Promise<void> => {
    await bed.cluster.start();
    await writeMore(bed);
    await bed.cluster.stop();
  };

  test("are refused by both with the same code while the server runs, unless forced", async () => {
    const ours = await bed.ours(["backup", "--no-online", "--type=full"]);
    const theirs = await bed.stock(stock, ["backup", "--no-online", "--type=full", "--repo=1"]);
    expect([ours.exitCode, theirs.exitCode]).toEqual([38, 38]);
    expect(ours.stdout).toContain("--no-online passed but postmaster.pid exists - looks like PostgreSQL is running");
    const forced = await bed.oursOk([
      "backup",
      "--no-online",
      "--force",
      "--type=full",
      "--repo=1",
      "--no-expire-auto",
    ]);
    expect(forced.stdout).toContain("the backup will probably not be consistent");
    expect((await bed.ours(["backup", "--force"])).exitCode).toBe(31);
  });

  test("have the same files and manifest data as stock's", async () => {
    await bed.cluster.stop();
    await byStock("full");
    await bed.oursOk(["backup", "--no-online", "--type=full", "--no-expire-auto"]);
    const [theirs, ours] = await Promise.all([manifestAt(-2), manifestAt(-1)]);
    for (const manifest of [theirs, ours]) {
      expect(manifest.options).toMatchObject({
        online: false,
        archiveCheck: false,
        archiveCopy: false,
        checksumPage: false,
      });
      for (const key of ["lsnStart", "lsnStop", "archiveStart", "archiveStop"] as const)
        expect(manifest[key]).toBeUndefined();
    }
    expect(ours.files.map((file) => `${file.name} ${file.sizeBytes} ${file.sha1}`)).toEqual(
      theirs.files.map((file) => `${file.name} ${file.sizeBytes} ${file.sha1}`),
    );
    expect(ours.files.some((file) => /^pg_data\/pg_wal\/[0-9A-F]{24}$/.test(file.name))).toBe(true);
    expect(ours.targets).toEqual(theirs.targets);
    expect(ours.databases).toEqual(theirs.databases);
    await expectAgreement(bed, stock);
  });

  // claim: docs/internals/versus-pgbackrest.md: a tablespace whose directory is a link is refused
  test("end where a tablespace's disk is not mounted, as stock's, or where its directory is a link", async () => {
    const disk = join(bed.folder, "tablespace");
    const args = ["backup", "--no-online", "--type=full", "--repo=1", "--no-expire-auto"];
    const codes = async (): Promise<number[]> => {
      const [ours, theirs] = [await bed.ours(args), await bed.stock(stock, args)];
      return [ours.exitCode, theirs.exitCode];
    };
    renameSync(disk, `${disk}.away`);
    mkdirSync(disk);
    const unmounted = await codes();
    const [name = ""] = readdirSync(`${disk}.away`);
    symlinkSync(join(`${disk}.away`, name), join(disk, name));
    const linked = await codes();
    rmSync(disk, { recursive: true });
    renameSync(`${disk}.away`, disk);
    expect({ unmounted, linked }).toEqual({ unmounted: [41, 41], linked: [70, 0] });
    const { label, files } = await manifestAt(-1);
    expect(files.filter((file) => file.name.startsWith("pg_tblspc/")).length).toBeGreaterThan(0);
    await bed.stockOk(stock, ["expire", `--set=${label}`, "--repo=1", "--repo1-retention-full=9"]);
  });

  test.runIf(NIGHTLY)("form chains with stock's, which either program restores without the archive", async () => {
    await changed();
    await byStock("incr");
    await changed();
    await bed.oursOk(["backup", "--no-online", "--type=incr", "--no-expire-auto"]);
    await bed.oursOk(["backup", "--no-online", "--type=diff", "--no-expire-auto", "--repo=2"]);
    expect((await manifestAt(-1)).files.filter((file) => file.reference !== undefined).length).toBeGreaterThan(100);
    await expectAgreement(bed, stock);
    await bed.cluster.start();
    for (const [by, repo] of [
      [stock, 1],
      [null, 1],
      [stock, 2],
    ] as const) {
      expect(await bed.restoreAndCompare({ by, repo }), `repo${repo} by ${by === null ? "ours" : "stock"}`).toEqual([]);
    }
  });

  test("keep names that are no UTF-8 or look like a manifest's syntax, with either program", async () => {
    const expected = namesIn(bed.cluster.dataPath);
    expect(expected).toHaveLength(ODD_NAMES.length * 2);
    for (const [by, repo] of [
      [stock, 1],
      [null, 1],
      [stock, 2],
      [null, 2],
    ] as const) {
      const { result, dataPath } = await bed.restoreAside({ by, repo });
      expect(result.exitCode, result.stdout).toBe(0);
      expect(namesIn(dataPath), `repo${repo}`).toEqual(expected);
      rmSync(dirname(dataPath), { recursive: true });
    }
  });

  test("need a passphrase of the same bytes, from a file or the environment", async () => {
    const global = { "repo1-path": join(bed.folder, "fourth"), "repo2-path": null };
    const config = bed.variant("bytes", { global, settings: { repos: {} } });
    rmSync(join(config, "conf.d"), { recursive: true });
    const options = "repo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=";
    const file = join(config, "pgbackrest.conf");
    const plain = readFileSync(file, "utf8").replaceAll(/^repo\d-cipher.*\n|^repo2.*\n/gm, "");
    writeFileSync(file, latin1(plain.replace("[global]\n", `[global]\n${options}cl\xe9\n`)));
    await bed.stockOk(stock, ["stanza-create", "--no-online"], { config });
    await bed.oursOk(["stanza-create", "--no-online"], { config });
    writeFileSync(file, plain.replace("[global]\n", "[global]\nrepo1-cipher-type=aes-256-cbc\n"));
    const command = `PGBACKREST_REPO1_CIPHER_PASS=$(printf 'cl\\351') exec "$@"`;
    const args = ["-c", command, "sh", bed.runtime.node, ...bed.oursCommand(["stanza-create", "--no-online"], config)];
    expect(await run("/bin/sh", args, { user: bed.cluster.user, cwd: bed.folder })).toMatchObject({ exitCode: 0 });
  });

  // claim: docs/hosts/new-host.md: a repository with times…
  test("go into the repositories of --repos in one pass, and into no other", async () => {
    await bed.cluster.stop();
    const global = { "repo3-path": join(dirname(bed.repoPath(1)), "third") };
    const config = bed.variant("three", { global });
    await bed.oursOk(["stanza-create", "--no-online"], { config });
    const labels = async (): Promise<string[]> => {
      const { stdout } = await bed.oursOk(["info", "--output=json"], { config });
      return labelsOf(parseInfo(stdout)).map(({ label, repo }) => `repo${repo} ${label}`);
    };
    const before = await labels();
    await bed.oursOk(["backup", "--no-online", "--type=full", "--repos=1,3", "--no-expire-auto"], { config });
    const made = (await labels()).filter((label) => !before.includes(label));
    expect(made.map((label) => label.slice(0, 5))).toEqual(["repo1", "repo3"]);
    expect(made[0]?.slice(6)).toBe(made[1]?.slice(6));
    await bed.cluster.start();
  });

  test.runIf(NIGHTLY)("can be the base of online backups, which compare every file", async () => {
    const { stdout } = await bed.oursOk(["backup", "--type=incr", "--no-expire-auto"]);
    expect(stdout).toContain("the online option has changed since the");
    await writeMore(bed);
    await bed.archiveAll();
    expect(await bed.restoreAndCompare({ by: stock, repo: 1 })).toEqual([]);
    await bed.oursOk(["expire", "--repo=1", "--repo1-retention-full=1"]);
    await expectAgreement(bed, stock);
  });
}

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
const ODD_NAMES = [
  "caf\xe9",
  "caf\xe8",
  "\xff",
  "\xed\xb2\x80",
  '="x"',
  'a={"size":1}',
  "[backup]",
  " blank ",
  '"\\',
  "\t\r",
].map(latin1);
const oddFolder = (dataPath: string): Buffer => Buffer.concat([Buffer.from(dataPath), latin1("/r\xe9p/")]);

/** A file and a directory of each name. */
function plantOddNames({ cluster }: TestBed): void {
  const folder = oddFolder(cluster.dataPath);
  const directories = [folder, ...ODD_NAMES.map((name) => Buffer.concat([folder, latin1("d"), name]))];
  const files = ODD_NAMES.map((name) => Buffer.concat([folder, name]));
  for (const path of directories) mkdirSync(path, { mode: 0o700 });
  for (const path of files) writeFileSync(path, path, { mode: 0o600 });
  for (const path of [...directories, ...files]) chownSync(path, cluster.user.uid, cluster.user.gid);
}

const namesIn = (dataPath: string): string[] => readdirSync(oddFolder(dataPath), "latin1").sort();

async function newestManifest(bed: TestBed, key: number, index: number): Promise<Manifest> {
  const labels = labelsOf(parseInfo((await bed.oursOk(["info", "--output=json", `--repo=${key}`])).stdout));
  const label = labels.at(index)?.label ?? "";
  const path = join(bed.repoPath(key), "backup", bed.stanza, label, "backup.manifest");
  return parseManifest(textOf(readFileSync(path)), label);
}

async function expectAgreement(bed: TestBed, stock: StockPgbackrest): Promise<void> {
  const ours = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
  const stocks = parseInfo((await bed.stockOk(stock, ["info", "--output=json"])).stdout);
  expect(comparableInfo(ours)).toEqual(comparableInfo(stocks));
  for (const key of [1, 2]) {
    const verified = await bed.stockOk(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"]);
    expect(verified.stdout).not.toMatch(/status: (invalid|manifest missing)/);
    expect(verified.stdout).not.toMatch(/(missing|checksum invalid|size invalid|other): [1-9]/);
  }
  expect((await bed.oursOk(["verify", "--output=text"])).stdout.match(/^status: ok$/gm)).toHaveLength(2);
}
