/**
 * Full backups that are killed and resumed: ours by ours, ours by stock, stock's by ours. Resuming reuses the stored
 * files, and the result is complete. Every version of stock ignores our attempt files.
 */
// claim: README.md: a killed backup resumes, ours by stock and stock's by ours
import { copyFileSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pauseProcess, run, type RunResult, type Started, start, waitFor } from "../../../tools/parts/process";
import { findParts } from "../../harness/real/interopParts";
import { dropTemplates, fillBed } from "../../harness/real/sampleData";
import { TestBed } from "../../harness/real/testBed";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

const ATTEMPT = "pgbackstop.attempt";
/** Saves the manifest after each hundredth of the work, and is slow enough to be killed in the middle. */
const SLOW = [
  "--type=full",
  "--process-max=1",
  "--manifest-save-threshold=1",
  "--compress-level=9",
  "--log-level-console=detail",
];

/** Process numbers of its own, as a container has; all of its processes end with unshare(1). */
const CONTAINER = ["--user", "--map-current-user", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"];

/** The older versions do not resume a backup of another version. */
const STOCKS = atNight(
  { postgres: 18, version: "2.60", resumes: true } as const,
  { postgres: 17, version: "2.55", resumes: false } as const,
  { postgres: 15, version: "2.45", resumes: false } as const,
);

describe.each(STOCKS)("a killed full backup, stock $version", async ({ postgres, version, resumes }) => {
  const parts = await findParts(`resume ${version}`, postgres, version);
  if (parts === null) return;
  const { binaries, stock } = parts;
  let bed: TestBed;

  beforeAll(async () => {
    bed = await TestBed.create({ binaries, repos: [{ compressType: "gz" }, { compressType: "gz", encrypted: true }] });
    await bed.startWithStanza();
    await fillBed(bed);
    await dropTemplates(bed);
    await bed.cluster.sql(
      "CREATE TABLE ballast AS SELECT g, repeat(md5(g::text), 20) AS body FROM generate_series(1, 60000) g",
    );
  });
  afterAll(() => bed?.remove());

  const startOurs = (args: readonly string[]): Promise<Started> =>
    start(bed.runtime.node, bed.oursCommand(["backup", ...SLOW, ...args]), {
      user: bed.cluster.user,
      cwd: bed.folder,
      logFile: join(bed.folder, "log", "killed-ours.log"),
    });
  const startStock = (): Promise<Started> =>
    start(
      stock.path,
      [
        `--config-path=${bed.configPath}`,
        `--stanza=${bed.stanza}`,
        "backup",
        "--repo=1",
        "--compress-type=gz",
        ...SLOW,
      ],
      {
        user: bed.cluster.user,
        cwd: bed.folder,
        logFile: join(bed.folder, "log", "killed-stock.log"),
      },
    );

  test.runIf(NIGHTLY && resumes)("ours is resumed by ours, in every repository", async () => {
    const label = await killInTheMiddle(bed, () => startOurs([]));
    expect(existsSync(join(directoryOf(label), ATTEMPT))).toBe(true);
    const { stdout } = await bed.oursOk(["backup", "--type=full", "--log-level-console=detail"]);
    for (const key of [1, 2]) {
      expect(stdout).toContain(`repo${key}: resumable backup ${label} of same type exists`);
      expect(stdout).toMatch(new RegExp(`repo${key}: checksum resumed file pg_data/`));
      expect(stdout).toContain(`repo${key}: new backup label = ${label}`);
    }
    await expectWhole(label, [1, 2]);
  });

  // claim: docs/internals/concurrency.md: a restarted container with its spool takes over immediately, and resumes
  test.runIf(resumes)("ours in a container is resumed at once by ours in the restarted one", async () => {
    const inContainer = (args: readonly string[]): string[] => [
      ...CONTAINER,
      bed.runtime.node,
      ...bed.oursCommand(["backup", ...args]),
    ];
    const options = { user: bed.cluster.user, cwd: bed.folder };
    const logFile = join(bed.folder, "log", "killed-container.log");
    const label = await killInTheMiddle(bed, () => start("unshare", inContainer(SLOW), { ...options, logFile }));
    const args = inContainer(["--type=full", "--log-level-console=detail"]);
    const { exitCode, stdout } = await run("unshare", args, { ...options, timeoutMs: 300_000 });
    expect([exitCode, stdout.includes("for a sign of life")]).toEqual([0, false]);
    for (const key of [1, 2]) {
      expect(stdout).toContain(`repo${key}: resumable backup ${label} of same type exists`);
      expect(stdout).toContain(`repo${key}: new backup label = ${label}`);
    }
    await expectWhole(label, [1, 2]);
  });

  test.runIf(resumes)("ours is resumed by stock", async () => {
    const label = await killInTheMiddle(bed, () => startOurs(["--repo=1"]));
    const stockBackup = [
      "backup",
      "--type=full",
      "--repo=1",
      "--compress-type=gz",
      "--no-expire-auto",
      "--log-level-console=detail",
    ];
    const { stdout } = await whenUnlocked(() => bed.stock(stock, stockBackup));
    expect(stdout).toContain(`resumable backup ${label} of same type exists`);
    expect(stdout).toContain("checksum resumed file");
    expect(stdout).toContain(`new backup label = ${label}`);
    expect(existsSync(join(directoryOf(label), ATTEMPT))).toBe(false);
    await expectWhole(label, [1]);
  });

  test.runIf(resumes)("stock's is resumed by ours", async () => {
    const label = await killInTheMiddle(bed, () => startStock());
    const { stdout } = await whenUnlocked(() =>
      bed.ours(["backup", "--type=full", "--repo=1", "--log-level-console=detail"]),
    );
    expect(stdout).toContain(`repo1: resumable backup ${label} of same type exists`);
    expect(stdout).toContain("repo1: checksum resumed file");
    expect(stdout).toContain(`repo1: new backup label = ${label}`);
    await expectWhole(label, [1]);
  });

  // claim: README.md: stock 2.45, 2.55 and 2.60 ignore a backup's attempt file
  test.runIf(NIGHTLY)("stock ignores attempt files anywhere, and removes them with their backup", async () => {
    const quick = ["backup", "--type=full", "--repo=1", "--compress-level=1", "--no-expire-auto"];
    const [, whole = ""] = /new backup label = (\S+)/.exec((await bed.oursOk(quick)).stdout) ?? [];
    const killed = await killInTheMiddle(bed, () => startOurs(["--repo=1"]));
    // As if the process had been killed after it listed the backup.
    copyFileSync(join(directoryOf(killed), ATTEMPT), join(directoryOf(whole), ATTEMPT));
    const expectVerified = async (labels: readonly string[]): Promise<void> => {
      await bed.archiveAll();
      const { stdout } = await bed.stockOk(stock, ["verify", "--repo=1", "--output=text", "--verbose"]);
      expect(stdout).toMatch(/^status: ok$/m);
      for (const label of labels) expect(stdout).toContain(`backup: ${label}, status: valid`);
    };
    const listed = async (): Promise<readonly string[]> => {
      const { stdout } = await bed.stockOk(stock, ["info", "--repo=1", "--output=json"]);
      return (JSON.parse(stdout) as [{ backup: { label: string }[] }])[0].backup.map((backup) => backup.label);
    };
    expect(await listed()).toContain(whole);
    expect(await listed()).not.toContain(killed);
    await expectVerified([whole]);

    const { stdout } = await whenUnlocked(() =>
      bed.stock(stock, ["backup", "--type=incr", "--repo=1", "--compress-type=gz", "--no-expire-auto"]),
    );
    // 2.45 leaves it to the next full backup.
    if (version !== "2.45") expect(stdout).toContain(`backup '${killed}' cannot be resumed`);
    const [, incr = ""] = /new backup label = (\S+)/.exec(stdout) ?? [];
    await expectVerified([whole, incr]);
    await bed.stockOk(stock, ["expire", "--repo=1", "--repo1-retention-full=1"]);
    expect(existsSync(join(directoryOf(whole), ATTEMPT))).toBe(true);
    await bed.stockOk(stock, ["backup", "--type=full", "--repo=1", "--compress-type=gz", "--repo1-retention-full=1"]);
    for (const label of [whole, killed]) expect(existsSync(directoryOf(label))).toBe(false);
    await expectVerified(await listed());
  });

  const directoryOf = (label: string): string => join(bed.repoPath(1), "backup", bed.stanza, label);

  async function expectWhole(label: string, keys: readonly number[]): Promise<void> {
    await bed.archiveAll();
    for (const key of keys) {
      const verified = await bed.stockOk(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"]);
      expect(verified.stdout).toMatch(/^status: ok$/m);
      expect(verified.stdout).toContain(`backup: ${label}, status: valid`);
    }
    const [key = 1] = keys.slice(-1);
    expect(await bed.restoreAndCompare({ by: stock, repo: key, args: [`--set=${label}`] })).toEqual([]);
  }
});

/**
 * Kills the backup after repo1's unfinished manifest contains checksums and is saved once more. By then the manifests
 * of all repositories contain some. Returns the label of the unfinished backup.
 */
async function killInTheMiddle(bed: TestBed, begin: () => Promise<Started>): Promise<string> {
  const root = join(bed.repoPath(1), "backup", bed.stanza);
  let backup = await begin();
  let seen = 0;
  const label = await waitFor(
    "a saved manifest with checksums",
    120_000,
    async () => {
      // On a busy machine it may be whole before it is seen in the middle.
      if (!backup.isRunning()) [backup, seen] = [await begin(), 0];
      const newest = existsSync(root)
        ? readdirSync(root)
            .filter((name) => /^\d{8}-\d{6}F$/.test(name))
            .sort()
            .at(-1)
        : undefined;
      const copy = newest === undefined ? "" : join(root, newest, "backup.manifest.copy");
      if (newest === undefined || existsSync(join(root, newest, "backup.manifest")) || !existsSync(copy)) return null;
      const count = readFileSync(copy, "utf8").match(/"checksum":/g)?.length ?? 0;
      if (count <= 5 || seen === 0) {
        seen = count > 5 ? count : 0;
        return null;
      }
      if (count <= seen) return null;
      // On a busy machine it may have copied everything since: only one that is stopped stays in the middle.
      try {
        pauseProcess(backup.pid);
      } catch {
        return null;
      }
      if (/^backup-timestamp-stop=0$/m.test(readFileSync(copy, "utf8"))) return newest;
      process.kill(backup.pid, "SIGCONT");
      await backup.exited;
      return null;
    },
    10,
  );
  await backup.stop("SIGKILL");
  return label;
}

/** Stock's workers briefly outlive their killed parent and hold its lock. */
async function whenUnlocked(work: () => Promise<RunResult>): Promise<RunResult> {
  return waitFor("the lock of the killed backup", 60_000, async () => {
    const result = await work();
    if (result.exitCode === 50) return null;
    if (result.exitCode !== 0) throw new Error(result.stdout);
    return result;
  });
}
