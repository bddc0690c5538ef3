/**
 * `sync` copies complete backups into a repository with other keys and another compression. Stock verifies, restores,
 * extends and expires the copies, whichever program made the original.
 */
import { cpSync, existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Manifest, parseManifest } from "../../../runtime/format/repository/manifest";
import { giveTo } from "../../../tools/parts/users";
import type { StockVersion } from "../../../tools/parts/debian/pgbackrest";
import { run } from "../../../tools/parts/process";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { comparableInfo, labelsOf, parseInfo } from "../../harness/compare/infoJson";
import { findParts, type InteropParts, s3Kind } from "../../harness/real/interopParts";
import { dropTemplates, fillBed, writeMore } from "../../harness/real/sampleData";
import { type BedRepo, requireOk, TestBed } from "../../harness/real/testBed";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

interface Row {
  readonly postgres: number;
  readonly stock: StockVersion;
  readonly source: BedRepo;
  readonly target: BedRepo;
  /** Another target, which does not store blocks. */
  readonly whole?: BedRepo;
  /** The compression of the target, which stock uses when it adds to it. */
  readonly targetType: string;
  /** The target is a bucket if versitygw is built. */
  readonly bucket: boolean;
}

const ROWS = atNight<Row>(
  {
    postgres: 18,
    stock: "2.60",
    source: { encrypted: true, compressType: "zst", options: { bundle: "y", block: "y" } },
    target: { compressType: "lz4", options: { bundle: "y", block: "y" } },
    whole: { compressType: "gz", encrypted: true, options: { bundle: "y" } },
    targetType: "lz4",
    bucket: false,
  },
  {
    postgres: 15,
    stock: "2.45",
    source: { compressType: "gz" },
    target: { encrypted: true, compressType: "none" },
    targetType: "none",
    bucket: true,
  },
);

for (const row of ROWS) {
  const title = `sync, PostgreSQL ${row.postgres}, stock ${row.stock}`;
  describe(title, async () => {
    const parts = await findParts(title, row.postgres, row.stock);
    if (parts === null) return;
    syncs(parts, row);
  });
}

const SYNC = ["sync", "--from-repo=1", "--to-repo=2"];

function syncs({ binaries, stock }: InteropParts, row: Row): void {
  let bed: TestBed;
  let server: S3Server | undefined;
  const sourceType = row.source.compressType ?? "gz";

  const labels = async (repo: number): Promise<string[]> =>
    labelsOf(parseInfo((await bed.ours(["info", "--output=json"])).stdout)).flatMap((entry) =>
      entry.repo === repo ? [entry.label] : [],
    );
  const stockBackup = (type: string, repo = 1): Promise<unknown> =>
    bed.stockOk(stock, [
      "backup",
      `--type=${type}`,
      `--repo=${repo}`,
      `--compress-type=${repo === 1 ? sourceType : row.targetType}`,
      "--no-expire-auto",
    ]);
  const stockFindsValid = async (): Promise<void> => {
    const verified = await bed.stockOk(stock, ["verify", "--repo=2", "--output=text", "--verbose"]);
    expect(verified.stdout).toMatch(/status: ok/);
    expect(verified.stdout).not.toMatch(/(missing|checksum invalid|size invalid|other): [1-9]/);
    for (const label of await labels(2)) expect(verified.stdout).toContain(`backup: ${label}, status: valid`);
  };

  const manifestOf = async (key: number, label: string): Promise<Manifest> =>
    parseManifest(
      (await bed.oursOk(["repo-get", `--repo=${key}`, `backup/${bed.stanza}/${label}/backup.manifest`])).stdout,
      label,
    );

  beforeAll(async () => {
    // s3rver answers 500 when it lists a backup of a thousand files.
    server = row.bucket && (await s3Kind()) === "versitygw" ? await S3Server.create({ kind: "versitygw" }) : undefined;
    bed = await TestBed.create({
      binaries,
      repos: [
        row.source,
        server === undefined ? row.target : { ...row.target, s3: server },
        ...(row.whole === undefined ? [] : [row.whole]),
      ],
      global: { "repo1-retention-full": "9", "repo2-retention-full": "9", "process-max": "2" },
    });
    await bed.startWithStanza();
    await fillBed(bed, 8000);
    await dropTemplates(bed);
    await stockBackup("full");
    await writeMore(bed);
    await stockBackup("diff");
    await writeMore(bed);
    await stockBackup("incr");
    await writeMore(bed);
    await bed.archiveAll();
  });
  afterAll(async () => {
    await bed?.remove();
    await server?.remove();
  });

  test("a dry run lists the missing files and writes nothing", async () => {
    if (server === undefined)
      for (const name of ["archive", "backup", "pgbackstop"]) rmSync(join(bed.repoPath(2), name), { recursive: true });
    const reported = await bed.oursOk([...SYNC, "--dry-run"]);
    for (const label of await labels(1))
      expect(reported.stdout).toContain(`[DRY-RUN] repo2: copied backup ${label} from repo1`);
    if (server !== undefined) expect(await labels(2)).toEqual([]);
    else expect(readdirSync(bed.repoPath(2))).toEqual([]);
  });

  test("an empty repository gets everything; stock finds it valid, and both programs report the same", async () => {
    await bed.oursOk(SYNC);
    expect(await labels(2)).toEqual(await labels(1));
    expect(await labels(2)).toHaveLength(3);
    const ours = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
    const stocks = parseInfo((await bed.stockOk(stock, ["info", "--output=json"])).stdout);
    expect(comparableInfo(ours)).toEqual(comparableInfo(stocks));
    await stockFindsValid();
    const verified = await bed.oursOk(["verify", "--repo=2", "--output=text"]);
    expect(verified.stdout).toMatch(/status: ok/);
    expect(bed.findLeaks()).toEqual([]);
  });

  // claim: README.md: `sync` copies complete backups between repositories with other keys and compression, blocks as
  //   blocks if the target stores blocks
  test.runIf(NIGHTLY && row.whole !== undefined)(
    "blocks stay blocks if the target stores blocks, and become whole files otherwise",
    async () => {
      await bed.oursOk(["sync", "--from-repo=2", "--to-repo=3"]);
      const [newest = ""] = (await labels(1)).slice(-1);
      const manifests = await Promise.all([1, 2, 3].map((key) => manifestOf(key, newest)));
      const [source, blocks, whole] = manifests.map(({ files }) => new Map(files.map((file) => [file.name, file])));
      const inBlocks = [...(source?.values() ?? [])]
        .filter((file) => file.block !== undefined)
        .map((file) => file.name);
      expect(inBlocks.length).toBeGreaterThan(3);
      for (const name of inBlocks) {
        expect(blocks?.get(name)?.block?.sizeBytes, name).toBe(source?.get(name)?.block?.sizeBytes);
        expect(whole?.get(name)?.block, name).toBeUndefined();
      }
      // A changed file needs only its changed blocks, as in the source.
      const sizeOf = (rows: typeof source): number =>
        inBlocks.reduce(
          (sum, name) => sum + (rows?.get(name)?.reference === undefined ? (rows?.get(name)?.sizeRepoBytes ?? 0) : 0),
          0,
        );
      expect(sizeOf(blocks)).toBeLessThan(2 * sizeOf(source));
      expect((await bed.stockOk(stock, ["verify", "--repo=3", "--output=text", "--verbose"])).stdout).toContain(
        "status: ok",
      );
      expect(await bed.restoreAndCompare({ by: stock, repo: 3 })).toEqual([]);
    },
  );

  test("running it again changes nothing", async () => {
    const again = await bed.oursOk(SYNC);
    expect(again.stdout).toContain("repo2: nothing is missing from repo1");
  });

  test("stock and ours restore the copy, which equals the source with all its WAL", async () => {
    expect(await bed.restoreAndCompare({ by: stock, repo: 2 })).toEqual([]);
    expect(await bed.restoreAndCompare({ by: null, repo: 2 })).toEqual([]);
  });

  test("ours expires the copy and lists the rest", async () => {
    const newest = (await labels(1)).at(-1) ?? "";
    const listed = await bed.oursOk([
      "--log-level-console=warn",
      "repo-ls",
      "--repo=2",
      "--recurse",
      "--filter=backup.manifest$",
    ]);
    for (const label of await labels(2))
      expect(listed.stdout).toContain(`backup/${bed.stanza}/${label}/backup.manifest\n`);
    await bed.oursOk(["expire", "--repo=2", `--set=${newest}`]);
    expect(await labels(2)).toEqual((await labels(1)).slice(0, -1));
    await stockFindsValid();
    expect((await bed.oursOk(SYNC)).stdout).toContain(`repo2: copied backup ${newest}`);
  });

  test.runIf(NIGHTLY)("stock continues in the target, and sync adds later backups", async () => {
    await stockBackup("incr", 2);
    await writeMore(bed);
    await stockBackup("diff");
    await bed.oursOk([...SYNC, "--latest"]);
    const copied = await labels(2);
    expect(copied).toEqual(expect.arrayContaining(await labels(1)));
    expect(copied).toHaveLength(5);
    expect(await bed.restoreAndCompare({ by: stock, repo: 2 })).toEqual([]);
  });

  test.runIf(NIGHTLY)("a killed run leaves only complete backups, and the next one continues", async () => {
    await stockBackup("full");
    const label = (await labels(1)).at(-1) ?? "";
    const before = await labels(2);
    for (const delayMs of [600]) {
      const killed = await run(
        "timeout",
        ["-s", "KILL", `${delayMs / 1000}`, bed.runtime.node, ...bed.oursCommand(SYNC)],
        {
          user: bed.cluster.user,
          cwd: bed.folder,
        },
      );
      if (killed.exitCode === 0) break;
      expect(before).toEqual((await labels(2)).filter((own) => own !== label));
      await stockFindsValid();
    }
    await bed.oursOk(SYNC);
    expect(await labels(2)).toContain(label);
    await stockFindsValid();
  });

  test.runIf(NIGHTLY)("a damaged file is not copied, the rest is, and the exit code reports it", async () => {
    await stockBackup("full");
    const label = (await labels(1)).at(-1) ?? "";
    const root = join(bed.repoPath(1), "backup", bed.stanza, label);
    const kept = join(bed.folder, "side", "kept");
    cpSync(root, kept, { recursive: true });
    const base = join(root, "pg_data/base");
    const folder = existsSync(join(root, "bundle")) ? join(root, "bundle") : join(base, readdirSync(base)[0] ?? "");
    const names = readdirSync(folder);
    const victim = join(folder, names[5] ?? names[0] ?? "");
    requireOk("damage", await run("sh", ["-c", `printf XXXXXXXX | dd of='${victim}' bs=1 seek=20 conv=notrunc`]));
    const failed = await bed.ours(SYNC);
    expect(failed.exitCode).toBe(104);
    expect(failed.stdout).toMatch(new RegExp(`backup ${label}: \\[(Checksum|Crypto|Format)Error\\]`));
    expect(await labels(2)).not.toContain(label);
    rmSync(root, { recursive: true });
    cpSync(kept, root, { recursive: true });
    requireOk("give back", await run("chown", ["-R", `${bed.cluster.user.uid}:${bed.cluster.user.gid}`, root]));
    giveTo(root, bed.cluster.user);
    await bed.oursOk(SYNC);
    expect(await labels(2)).toContain(label);
    await bed.stockOk(stock, ["expire", "--repo=2", "--repo2-retention-full=1"]);
    expect(await labels(2)).toEqual([label]);
    await stockFindsValid();
  });
}
