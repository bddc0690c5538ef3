/**
 * Two hosts share repositories and nothing else: each has its own lock files, and no server connects them. They back up
 * the same cluster, whose server is down, so that only the lease keeps them apart.
 */
// claim: README.md: two hosts that share nothing but a repository take turns; both backups restore (a directory, s3rver
//   and pods; holders that sleep, lost answers, hidden listings)
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Started, sleep, start, waitFor } from "../../../tools/parts/process";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { giveTo } from "../../../tools/parts/users";
import { labelsOf, parseInfo } from "../../harness/compare/infoJson";
import { findParts, type InteropParts, s3Kind } from "../../harness/real/interopParts";
import { dropTemplates, fillBed } from "../../harness/real/sampleData";
import { TestBed } from "../../harness/real/testBed";
import { NIGHTLY } from "../../../tools/parts/nightly";

const TITLE = "two hosts that back up one cluster";
/** Long enough for the other host to finish a backup if nothing blocked it. */
const HELD_MS = 3000;
const FILES_STORED = 30;

describe(TITLE, async () => {
  const parts = await findParts(TITLE, 18, "2.60");
  if (parts !== null) twoHosts(parts);
});

function twoHosts({ binaries, stock }: InteropParts): void {
  let server: S3Server;
  let bed: TestBed;
  let other: string;
  let orders: string;

  beforeAll(async () => {
    server = await S3Server.create({ kind: await s3Kind() });
    const global = { "process-max": "1", "compress-level": "9" };
    bed = await TestBed.create({ binaries, repos: [{}, { s3: server }], global });
    await bed.startWithStanza();
    await fillBed(bed, 2000);
    await dropTemplates(bed);
    orders = await bed.cluster.value("SELECT count(*) FROM orders");
    const folders = {
      "lock-path": join(bed.folder, "lock2"),
      "spool-path": join(bed.folder, "spool2"),
      "log-path": join(bed.folder, "log2"),
    };
    for (const folder of Object.values(folders)) {
      mkdirSync(folder);
      giveTo(folder, bed.cluster.user);
    }
    other = bed.variant("other", { global: folders });
  });
  afterAll(async () => {
    await bed?.remove();
    await server?.remove();
  });

  const startBackup = (...args: string[]): Promise<Started> =>
    start(bed.runtime.node, bed.oursCommand(["backup", ...args]), {
      user: bed.cluster.user,
      cwd: bed.folder,
      logFile: join(bed.folder, "log", `started-${args.join("")}.log`),
    });
  const directories = (): string[] =>
    readdirSync(join(bed.repoPath(1), "backup/main")).filter((name) => /^\d{8}-\d{6}F/.test(name));
  const labels = async (): Promise<string[]> =>
    labelsOf(parseInfo((await bed.oursOk(["info", "--output=json"])).stdout)).map(
      ({ repo, label }) => `repo${repo} ${label}`,
    );

  /** Starts a full backup here and pauses it in the middle of its copy. */
  async function pausedFull(before: ReadonlySet<string>): Promise<Started> {
    const first = await startBackup("--no-online", "--type=full");
    const isCopying = (): boolean =>
      directories().some((name) => !before.has(name) && hasData(join(bed.repoPath(1), "backup/main", name)));
    await waitFor("a backup that copies", 30_000, async () => (isCopying() || !first.isRunning() ? true : null), 2);
    expect(first.isRunning(), first.log()).toBe(true);
    process.kill(first.pid, "SIGSTOP");
    return first;
  }

  /** Continues a paused full backup after the other host had time to interfere. */
  async function besideFull(type: string): Promise<void> {
    const before = new Set([...directories(), ...(await labels())]);
    const first = await pausedFull(before);
    const second = bed.ours(["backup", "--no-online", `--type=${type}`], { config: other });
    await sleep(HELD_MS);
    process.kill(first.pid, "SIGCONT");
    const [firstCode, { exitCode, stdout }] = await Promise.all([first.exited, second]);
    expect([firstCode, exitCode]).toEqual([0, 0]);
    const made = (await labels()).filter((label) => !before.has(label));
    expect(new Set(made).size).toBe(4);
    const { stdout: verified } = await bed.oursOk(["verify", "--output=text", "--verbose"]);
    expect(verified.match(/^status: ok$/gm)).toHaveLength(2);
    for (const label of made) expect(verified).toContain(`backup: ${label.split(" ")[1]}, status: valid`);
    expect(stdout).toMatch(/repo1: the lease is held by host '.+' process \d+ \(backup\); waiting up to 120 s/);
  }

  test("a running backup refuses the other host's with an error that names it, and frees the lease when it ends", async () => {
    await bed.stopArchiving();
    // Waits for WAL that never arrives.
    const first = await startBackup("--type=full", "--archive-timeout=120", "--no-start-fast");
    const lease = join(bed.repoPath(1), "pgbackstop/main/lease");
    const isHeld = (name: string): boolean => /"verb":"backup".*"held"/.test(readFileSync(join(lease, name), "utf8"));
    await waitFor("a lease", 30_000, async () =>
      readdirSync(lease).some((name) => /^\d+\.json$/.test(name) && isHeld(name)) ? true : null,
    );
    const args = ["backup", "--no-online", "--force", "--type=full", "--repo=1"];
    const refused = await bed.ours(args, { config: other });
    expect(first.isRunning(), first.log()).toBe(true);
    expect(refused.exitCode).toBe(50);
    expect(refused.stdout).toMatch(
      /ERROR: \[050\]: unable to acquire the lease of stanza 'main': held by host '.+' process \d+ \(backup\), last seen 0 s ago/,
    );
    expect(refused.elapsedMs).toBeLessThan(30_000);
    await first.stop("SIGTERM");
    const next = await bed.oursOk([...args, "--no-expire-auto"], { config: other });
    expect(next.stdout).not.toContain("waiting up to");
    await bed.cluster.stop();
  }, 120_000);

  test.runIf(NIGHTLY)("a full backup waits for a concurrent full one, and both are complete", async () => {
    await besideFull("full");
  });

  test.runIf(NIGHTLY)(
    "a paused backup whose lock files were removed is busy, and its own host resumes it once it was killed",
    async () => {
      const before = new Set([...directories(), ...(await labels())]);
      const first = await pausedFull(before);
      const removed = globSync(join(bed.folder, "lock/*.lock"));
      expect(removed.length).toBeGreaterThan(0);
      for (const path of removed) rmSync(path);
      const second = await bed.ours(["backup", "--no-online", "--type=full", "--repo=1"]);
      expect(second.exitCode).toBe(50);
      expect(second.stdout).toContain(`process ${first.pid} (backup), which lives on this host`);
      expect(second.elapsedMs).toBeLessThan(10_000);
      process.kill(first.pid, "SIGKILL");
      await first.exited;
      const { stdout } = await bed.oursOk(["backup", "--no-online", "--type=full"]);
      expect(stdout).toContain(`process ${first.pid} (backup), which has ended: term`);
      expect(stdout).toMatch(/repo1: resumable backup \d{8}-\d{6}F of same type exists/);
    },
    120_000,
  );

  test.runIf(NIGHTLY)(
    "an incremental backup waits for a concurrent full one and does not remove its directory",
    async () => {
      await besideFull("incr");
      for (const key of [1, 2]) {
        const { stdout } = await bed.stockOk(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"]);
        expect(stdout).toMatch(/^status: ok$/m);
      }
      for (const label of (await labels()).slice(-2)) {
        const [repo = "", name = ""] = label.split(" ");
        const { result, dataPath } = await bed.restoreAside({
          by: stock,
          repo: Number(repo.slice(4)),
          args: [`--set=${name}`, "--type=none"],
        });
        expect(result.exitCode).toBe(0);
        const restored = TestCluster.adopt({ binaries, dataPath });
        await restored.start();
        expect(await restored.value("SELECT count(*) FROM orders")).toBe(orders);
        await restored.remove();
        rmSync(dataPath, { recursive: true, force: true });
      }
    },
  );
}

/** Some files of the cluster are stored. If another host removed them now, the backup would lack them. */
function hasData(directory: string): boolean {
  const data = join(directory, "pg_data");
  if (!existsSync(join(directory, "backup.manifest.copy")) || !existsSync(data)) return false;
  // The backup renames entries meanwhile: unlike a recursive readdir, a glob passes over one that has gone.
  return globSync("**", { cwd: data, withFileTypes: true }).filter((entry) => entry.isFile()).length >= FILES_STORED;
}
