/**
 * The commands around backups on a real cluster, beside stock: expire after a backup, annotate, stop and start, the
 * details of info, manifest, repo-ls and repo-get, stanza-upgrade and stanza-delete. Where both programs can print
 * something, the text must be the same.
 */
import { chmodSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { GivenLimitRate } from "../../../runtime/config/hours/limitRate";
import type { StockVersion } from "../../../tools/parts/debian/pgbackrest";
import { start, waitFor } from "../../../tools/parts/process";
import { comparableInfo, labelsOf, parseInfo } from "../../harness/compare/infoJson";
import { findParts, type InteropParts } from "../../harness/real/interopParts";
import { dropTemplates } from "../../harness/real/sampleData";
import { TestBed } from "../../harness/real/testBed";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

const ROWS = atNight<{ readonly postgres: number; readonly stock: StockVersion }>(
  { postgres: 18, stock: "2.60" },
  { postgres: 15, stock: "2.45" },
);

for (const { postgres, stock } of ROWS) {
  const title = `keeping, PostgreSQL ${postgres}, stock ${stock}`;
  describe(title, async () => {
    const parts = await findParts(title, postgres, stock);
    if (parts === null) return;
    keeps(parts);
  });
}

function keeps({ binaries, stock }: InteropParts): void {
  let bed: TestBed;

  const labels = async (repo: number): Promise<string[]> =>
    labelsOf(parseInfo((await bed.ours(["info", "--output=json"])).stdout)).flatMap((entry) =>
      entry.repo === repo ? [entry.label] : [],
    );
  /** Leaves out the options that not every command knows. */
  const both = async (args: readonly string[]): Promise<{ ours: string; stocks: string }> => {
    const quiet = ["--log-level-console=off", "--log-level-file=off"];
    const [ours, stocks] = [await bed.ours([...quiet, ...args]), await bed.stock(stock, [...quiet, ...args])];
    return { ours: `${ours.exitCode}\n${ours.stdout}`, stocks: `${stocks.exitCode}\n${stocks.stdout}` };
  };
  const same = async (...args: string[]): Promise<string> => {
    const { ours, stocks } = await both(args);
    expect(ours, args.join(" ")).toBe(stocks);
    return ours;
  };

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "zst" }, { encrypted: true, compressType: "lz4" }],
      global: { "repo1-retention-full": "2", "repo2-retention-full": "1" },
    });
    await bed.startWithStanza();
    await bed.cluster.sql("CREATE TABLE orders AS SELECT g AS id FROM generate_series(1, 5000) g");
    await dropTemplates(bed);
    for (const type of ["full", "full", "full"]) await bed.oursOk(["backup", `--type=${type}`]);
    await bed.archiveAll();
  });
  afterAll(async () => {
    await bed?.remove();
  });

  test("a backup expires by each repository's own retention, and leaves nothing for stock to expire", async () => {
    expect((await labels(1)).length).toBe(2);
    expect((await labels(2)).length).toBe(1);
    for (const repo of [1, 2]) {
      const reported = await bed.stockOk(stock, ["expire", `--repo=${repo}`, "--dry-run"]);
      expect(reported.stdout).not.toMatch(/(expire (full|diff)|remove (expired backup|archive,))/);
      await bed.stockOk(stock, ["verify", `--repo=${repo}`]);
    }
    expect(await bed.restoreAndCompare({ by: stock, repo: 2 })).toEqual([]);
  });

  test("a failed expire changes nothing about the backup, and the next one finishes it", async () => {
    const [oldest = ""] = await labels(1);
    const stuck = join(bed.repoPath(1), "backup", bed.stanza, oldest, "pg_data", "global");
    chmodSync(stuck, 0o500);
    const config = bed.variant("expires", { global: { "repo1-retention-full": "2", "repo2-retention-full": "9" } });
    const result = await bed.ours(["backup", "--type=full"], { config });
    chmodSync(stuck, 0o700);
    expect(result.stdout).toContain("ERROR: [061]: repo1: unable to remove path");
    expect(result.stdout).toContain("the backup is complete, but removing expired backups failed");
    expect(result.exitCode).toBe(0);
    expect(await labels(1)).toHaveLength(2);
    expect(await labels(1)).not.toContain(oldest);
    expect(await labels(2)).toHaveLength(2);
    await bed.stockOk(stock, ["verify", "--repo=1"]);
    expect((await bed.oursOk(["expire", "--repo=1"])).stdout).toContain(`remove expired backup ${oldest}`);
    expect(existsSync(stuck)).toBe(false);
  });

  test("annotations of both programs read the same", async () => {
    const [label = ""] = await labels(1);
    await bed.oursOk(["annotate", `--set=${label}`, "--annotation=source=demo one", "--annotation=key=value"]);
    // Use one repository: without --repo, stock 2.45 and 2.60 write the info of the plain repository with the keys of
    // the encrypted one.
    await bed.stockOk(stock, [
      "annotate",
      "--repo=1",
      `--set=${label}`,
      "--annotation=key=",
      "--annotation=more=stock's",
    ]);
    const ours = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
    expect(comparableInfo(ours)).toEqual(
      comparableInfo(parseInfo((await bed.stockOk(stock, ["info", "--output=json"])).stdout)),
    );
    expect(JSON.stringify(ours.backup)).toContain('"annotation":{"more":"stock\'s","source":"demo one"}');
    expect((await bed.ours(["annotate", "--set=20200101-000000F", "--annotation=a=b"])).exitCode).toBe(75);
  });

  test("stop blocks both programs until start", async () => {
    await bed.oursOk(["stop"]);
    for (const run of [bed.ours(["backup"]), bed.stock(stock, ["backup"])]) expect((await run).exitCode).toBe(62);
    await bed.stockOk(stock, ["start"]);
    expect((await bed.oursOk(["start"])).stdout).toContain("WARN: stop file does not exist for stanza main");
    await bed.stockOk(stock, ["stop"]);
    expect((await bed.ours(["expire"])).exitCode).toBe(62);
    await bed.oursOk(["start"]);
    expect(existsSync(join(bed.folder, "lock", "main.stop"))).toBe(false);
  });

  test.runIf(NIGHTLY)("stop --force ends a running backup, of either program", async () => {
    // Nothing is archived, so the backup waits for its first segment.
    await bed.cluster.sql("ALTER SYSTEM SET archive_command = 'false # pgbackrest'");
    await bed.cluster.sql("SELECT pg_reload_conf()");
    for (const program of ["ours", "stock"] as const) {
      const args = ["backup", "--type=full", "--repo=1"];
      const [command, all] =
        program === "ours"
          ? [bed.runtime.node, bed.oursCommand(args)]
          : [stock.path, [`--config-path=${bed.configPath}`, `--stanza=${bed.stanza}`, ...args]];
      const running = await start(command, all, {
        user: bed.cluster.user,
        cwd: bed.folder,
        logFile: join(bed.folder, `stopped-${program}.log`),
      });
      await waitFor("the wait for WAL", 120_000, async () =>
        /check archive for (prior )?segment/.test(running.log()) ? true : null,
      );
      const info = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
      expect(info.status).toMatchObject({ lock: { backup: { held: true } } });
      expect((await bed.oursOk(["stop", "--force"])).stdout).toMatch(/sent term signal to process \d+/);
      expect(await running.exited).toBe(63);
      await bed.oursOk(["start"]);
    }
    await bed.cluster.sql("ALTER SYSTEM RESET archive_command");
    await bed.cluster.sql("SELECT pg_reload_conf()");
    // A segment that arrives between the calls of both programs would appear only in the second output.
    await bed.archiveAll();
  });

  // Older versions print fewer fields.
  test.runIf(stock.version.startsWith("2.60"))(
    "info, manifest, repo-ls and repo-get print the same as stock",
    async () => {
      const label = (await labels(2)).at(-1) ?? "";
      // Processes that earlier tests stopped may still hold a lock, or still be writing a file of a backup.
      await waitFor("nothing to go on", 120_000, async () => {
        const args = ["info", "--output=json"];
        return (await bed.ours(args)).stdout === (await bed.stock(stock, args)).stdout ? true : null;
      });
      await same("info");
      await same("info", "--type=full", "--output=json");
      await same("info", "--repo=2", `--set=${label}`);
      await same("info", "--repo=2", `--set=${label}`, "--output=json");
      await same("manifest", "--repo=2", `--set=${label}`);
      await same("manifest", "--repo=2", `--set=${label}`, "--output=json", "--filter=pg_data/PG_VERSION");
      await same("repo-ls", "--repo=1", "--recurse", "--sort=desc", "backup");
      await same("repo-ls", "--repo=2", "--recurse", "--filter=info", "--output=json");
      expect(await same("repo-ls", "--repo=1", "--output=json", "--filter=latest", `backup/${bed.stanza}`)).toContain(
        `"destination":"2`,
      );
      for (const repo of ["--repo=1", "--repo=2"]) await same("repo-get", repo, `backup/${bed.stanza}/backup.info`);
      await same("repo-get", "--repo=2", `backup/${bed.stanza}/${label}/backup.manifest`);
      await same("repo-get", "--repo=2", "--ignore-missing", "nothing");
    },
  );

  // claim: docs/hosts/repositories.md: limitRate: a backup takes at least the time of its bytes, and waits for the
  //   slowest of its repositories; one into another repository does not
  test.runIf(NIGHTLY)("a limit of one repository holds back a backup into it, and no other backup", async () => {
    const bytesPerSecond = 256 * 1024;
    const configOf = (name: string, limitRate: GivenLimitRate): string =>
      bed.variant(name, {
        settings: { repos: { repo1: { compressType: "zst" }, repo2: { compressType: "lz4", limitRate } } },
      });
    const config = configOf("limited", "256KiB");
    const timed = async (args: readonly string[], by = config): Promise<number> => {
      const startMs = performance.now();
      await bed.oursOk(["backup", "--type=full", "--process-max=4", ...args], { config: by });
      return (performance.now() - startMs) / 1000;
    };
    const limited = await timed([]);
    const { stdout } = await bed.ours(["info", "--output=json", "--repo=2"]);
    const [stanza] = JSON.parse(stdout) as { backup: { info: { repository: { delta: number } } }[] }[];
    const storedBytes = stanza?.backup.at(-1)?.info.repository.delta ?? 0;
    expect(storedBytes).toBeGreaterThan(4 * bytesPerSecond);
    // Its threads share the limit. A quarter of a second's bytes pass at once.
    expect(limited).toBeGreaterThan(storedBytes / bytesPerSecond - 0.25);
    // A busy machine may hold back one of them, a limit each.
    const isFaster = async (...given: Parameters<typeof timed>): Promise<boolean> => {
      for (let attempt = 1; attempt <= 3; attempt++) if ((await timed(...given)) < limited) return true;
      return false;
    };
    expect(await isFaster(["--repo=1"])).toBe(true);
    // A limit of the hour that begins in half a day.
    const hour = (new Date().getUTCHours() + 12) % 24;
    const hours = `${String(hour).padStart(2, "0")}:00-${String(hour).padStart(2, "0")}:59`;
    expect(await isFaster([], configOf("limited-later", { [hours]: "256KiB" }))).toBe(true);
    expect(await bed.restoreAndCompare({ by: stock, repo: 2 })).toEqual([]);
  });

  // claim: docs/hosts/priority.md: priority: every thread of a process gets it; one without the right ends with 100
  test("priority lowers every thread of a backup, and is an error where the process has no right", async () => {
    const config = bed.variant("lowered", {
      global: { priority: "19" },
      settings: { repos: { repo2: { limitRate: "256KiB" } } },
    });
    const running = await start(
      bed.runtime.node,
      bed.oursCommand(["backup", "--type=full", "--process-max=2"], config),
      {
        user: bed.cluster.user,
        cwd: bed.folder,
        logFile: join(bed.folder, "lowered.log"),
      },
    );
    // The field after the name, which may have blanks: proc(5).
    const nicenessOf = (thread: string): string | undefined =>
      readFileSync(`/proc/${running.pid}/task/${thread}/stat`, "utf8").split(") ").at(-1)?.split(" ")[16];
    const areLowered = async (): Promise<true | null> => {
      const threads = readdirSync(`/proc/${running.pid}/task`);
      return threads.length > 8 && threads.every((thread) => nicenessOf(thread) === "19") ? true : null;
    };
    // A thread may end while it is looked at.
    await waitFor("worker threads of that priority", 60_000, () => areLowered().catch(() => null));
    expect(await running.exited).toBe(0);
    const refused = await bed.ours(["backup", "--priority=-5"]);
    expect(refused.exitCode).toBe(100);
    expect(refused.stdout).toContain("unable to set process priority to -5: [13] Permission denied");
  });

  test("stanza-upgrade: a new cluster under the old stanza, with WAL and backups separate from the old ones", async () => {
    const id = (): string[] =>
      readdirSync(join(bed.repoPath(1), "archive", bed.stanza)).filter((name) => /-\d$/.test(name));
    expect(id()).toEqual([`${binaries.major}-1`]);
    const other = await TestBed.create({ binaries, repos: [{}], settings: { archive_mode: "off" } });
    try {
      await other.cluster.start();
      const config = bed.variant("upgraded", {
        stanza: {
          "pg1-path": other.cluster.dataPath,
          "pg1-socket-path": other.cluster.socketPath,
          "pg1-port": String(other.cluster.port),
        },
      });
      expect((await bed.ours(["stanza-create"], { config })).exitCode).not.toBe(0);
      await bed.oursOk(["stanza-upgrade"], { config });
      expect((await bed.oursOk(["stanza-upgrade"], { config })).stdout).toContain(
        "stanza 'main' on repo2 is already up to date",
      );
      expect((await bed.stockOk(stock, ["stanza-upgrade"], { config })).stdout).toContain("is already up to date");
      const ours = await bed.ours(["info", "--output=json"], { config });
      expect(comparableInfo(parseInfo(ours.stdout))).toEqual(
        comparableInfo(parseInfo((await bed.stockOk(stock, ["info", "--output=json"], { config })).stdout)),
      );
      expect(parseInfo(ours.stdout).db).toHaveLength(4);
    } finally {
      await other.remove();
    }
  });

  test("stanza-delete requires a stopped stanza and server, and leaves nothing", async () => {
    expect((await bed.ours(["stanza-delete"])).exitCode).toBe(37);
    expect((await bed.ours(["stanza-delete", "--repo=1"])).exitCode).toBe(55);
    await bed.oursOk(["stop"]);
    const running = await bed.ours(["stanza-delete", "--repo=1"]);
    expect(running.exitCode).toBe(38);
    await bed.cluster.stop("immediate");
    await bed.oursOk(["stanza-delete", "--repo=1", "--force"]);
    for (const area of ["archive", "backup", "pgbackstop"])
      expect(existsSync(join(bed.repoPath(1), area, bed.stanza))).toBe(false);
    expect(existsSync(join(bed.folder, "lock", "main.stop"))).toBe(false);
    expect((await bed.stockOk(stock, ["info", "--repo=1"])).stdout).toContain("missing stanza path");
    expect(await labels(2)).not.toEqual([]);
  });
}
