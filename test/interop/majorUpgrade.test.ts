/**
 * Major upgrades of a host's PostgreSQL by pg_upgrade, 17 to 18, nightly to 19: the stanza follows the cluster that was
 * made from its own and no other, no WAL of the new cluster is lost, and restores to before and after the upgrade work.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findWholePostgres, type PostgresBinaries } from "../../tools/parts/postgres/postgres";
import { type RunResult, waitFor } from "../../tools/parts/process";
import { TestCluster } from "../../tools/parts/postgres/testCluster";
import { agentPaths, AgentProcess, archiveCommandOf } from "../harness/real/agentProcess";
import { findParts, loud, skipped } from "../harness/real/interopParts";
import { upgradeCluster } from "../harness/real/pgUpgrade";
import { requireOk, TestBed } from "../harness/real/testBed";
import { atNight } from "../../tools/parts/nightly";

const TITLE = "major upgrades";

interface Destinations {
  readonly repo: readonly { readonly full: { readonly label: string } | null }[];
}

describe(TITLE, async () => {
  const parts = await findParts(TITLE, 17, "2.60");
  const versions: PostgresBinaries[] = [];
  for (const major of atNight(18, 19)) {
    const result = await findWholePostgres(major);
    if ("missing" in result) loud(`${TITLE} to PostgreSQL ${major}`, result.missing);
    else versions.push(result.binaries);
  }
  if (parts === null) return;
  if (versions.length === 0) return void skipped(TITLE, "there is no newer PostgreSQL");
  const { stock } = parts;
  const paths = agentPaths();
  const archiving = { archive_mode: "on", archive_command: archiveCommandOf(paths) };
  const clusters: TestCluster[] = [];
  let bed: TestBed;
  let agent: AgentProcess | null = null;
  /** Of the present cluster. */
  let config: string;

  const present = (): TestCluster => clusters.at(-1) ?? bed.cluster;
  /** As an update of the host does: the configuration names the cluster, and the agent reads it. */
  const configure = async (cluster: TestCluster): Promise<string> => {
    await agent?.stop();
    const stanza = { "pg1-path": cluster.dataPath, "pg1-socket-path": cluster.socketPath };
    config = bed.variant(`pg${clusters.length}`, { stanza, settings: { stream: { intervalSeconds: 1 } } });
    agent = await AgentProcess.start({ paths, runtime: bed.runtime, configPath: config, stanza: bed.stanza });
    return config;
  };
  /** The agent holds the lock for short times. */
  const upgradeStanza = (args: readonly string[]): Promise<RunResult> =>
    waitFor("the lock", 60_000, async () => {
      const result = await bed.ours(["stanza-upgrade", ...args], { config });
      return result.exitCode === 50 ? null : result;
    });
  const waitArchived = async (cluster: TestCluster): Promise<string> => {
    const name = await cluster.switchWal();
    await waitFor(`archiving of ${name}`, 60_000, async () =>
      existsSync(join(cluster.dataPath, "pg_wal/archive_status", `${name}.ready`)) ||
      (await cluster.value("SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver")) < name
        ? null
        : true,
    );
    return name;
  };
  const archived = (archiveId: string): string[] =>
    readdirSync(join(bed.repoPath(1), "archive/main", archiveId), { recursive: true, encoding: "utf8" })
      .flatMap((name) => /\/([0-9A-F]{24})-[0-9a-f]{40}/.exec(name)?.[1] ?? [])
      .sort();
  const infos = (): string[] =>
    [1, 2].map((key) => readFileSync(join(bed.repoPath(key), "archive/main/archive.info"), "latin1"));
  const restored = async (binaries: PostgresBinaries, args: readonly string[], repo: number): Promise<string> => {
    const { dataPath, result } = await bed.restoreAside({ by: null, config, repo, args });
    requireOk("restore", result);
    const copy = TestCluster.adopt({ binaries, dataPath });
    try {
      await copy.start({}, { timeoutMs: 120_000 });
      await copy.waitForRecovery();
      return await copy.value("SELECT string_agg(note, ' ' ORDER BY note) FROM story");
    } catch (error) {
      throw new Error(`${String(error)}\n${copy.logTail()}`, { cause: error });
    } finally {
      await copy.remove();
      rmSync(join(dataPath, ".."), { recursive: true, force: true });
    }
  };

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{ compressType: "lz4" }, { compressType: "zst", encrypted: true }],
      settings: archiving,
    });
    clusters.push(bed.cluster);
    await configure(bed.cluster);
    await bed.startWithStanza();
    await bed.cluster.sql("CREATE DATABASE other");
    await bed.cluster.sql("CREATE TABLE story (note text)");
    await bed.cluster.sql("INSERT INTO story VALUES ('a17')");
    await bed.oursOk(["backup", "--type=full"]);
  }, 300_000);
  afterAll(async () => {
    await agent?.stop("SIGKILL");
    for (const cluster of clusters.slice(1)) await cluster.remove();
    await bed?.remove();
    rmSync(paths.folder, { recursive: true, force: true });
  });

  // claim: docs/hosts/upgrade.md: 17 to 18 to 19: no WAL of the new cluster is lost, the stanza follows no other
  //   cluster, restores to before and after the upgrade work, stock finds both valid
  test.each(versions.map((binaries, index) => [binaries.major, binaries, index] as const))(
    "to PostgreSQL %i",
    async (major, binaries, index) => {
      const former = present();
      const majorBefore = former.binaries.major;
      const at = await former.value("SELECT clock_timestamp()::text");
      await former.sql(`INSERT INTO story VALUES ('last${majorBefore}')`);
      await waitArchived(former);
      const notes = await former.value("SELECT string_agg(note, ' ' ORDER BY note) FROM story");

      const cluster = await upgradeCluster(former, binaries, archiving, index === 0 ? [] : ["--link"]);
      clusters.push(cluster);
      await configure(cluster);
      await cluster.start();
      const first = await cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())");
      const id = `${major}-${index + 2}`;

      // Its WAL waits: the stanza is still the former cluster's.
      await cluster.sql(`INSERT INTO story VALUES ('early${major}')`);
      for (let turn = 0; turn < 2; turn++) {
        await cluster.sql("SELECT pg_create_restore_point('more')");
        await cluster.switchWal();
      }
      await waitFor("a refusal", 60_000, async () =>
        (await cluster.value("SELECT failed_count > 0 FROM pg_stat_archiver")) === "true" ? true : null,
      );
      expect(await cluster.value("SELECT archived_count FROM pg_stat_archiver")).toBe("0");

      const before = infos();
      const refuse = async (args: readonly string[], fact: RegExp): Promise<void> => {
        const { exitCode, stderr, stdout } = await upgradeStanza(args);
        expect([exitCode, stdout + stderr]).toEqual([58, expect.stringMatching(fact)]);
        expect(infos()).toEqual(before);
      };
      const foreign = await TestCluster.create({ binaries });
      try {
        const proof = `--upgraded-from=${former.dataPath}`;
        await refuse(
          [proof, `--pg1-path=${foreign.dataPath}`],
          /its WAL is at 0\/\w+, and that of the other one ended at/,
        );
        await refuse([`--upgraded-from=${foreign.dataPath}`], /it has version \d+, and the other one/);
      } finally {
        await foreign.remove();
      }

      requireOk("stanza-upgrade", await upgradeStanza([`--upgraded-from=${former.dataPath}`]));
      const [{ repo }] = JSON.parse(
        (await bed.oursOk(["info", "--output=json", "--detail-level=destinations"], { config })).stdout,
      ) as [Destinations];
      expect(repo.map(({ full }) => full)).toEqual([null, null]);
      // The former cluster's directory is not needed any more.
      requireOk("stanza-upgrade", await upgradeStanza(["--upgraded-from=/nowhere"]));
      await bed.oursOk(["check", "--no-full-check"], { config });
      expect((await bed.oursOk(["backup", "--type=incr"], { config })).stdout).toMatch(
        /new backup label = \d{8}-\d{6}F\b(?!_)/,
      );
      await cluster.sql(`INSERT INTO story VALUES ('late${major}')`);
      const last = await waitArchived(cluster);

      // Every segment since the first start. One that pg_upgrade itself wrote may precede them.
      const names = archived(id);
      expect(names).toContain(first);
      expect(names.at(-1)).toBe(last);
      const numbers = names.map((name) => Number.parseInt(name.slice(-2), 16));
      expect(numbers).toEqual(numbers.map((_, turn) => (numbers[0] ?? 0) + turn));
      await bed.stockOk(stock, ["check"], { config });
      for (const key of [1, 2]) {
        await bed.oursOk(["verify", `--repo=${key}`], { config });
        const { stdout } = await bed.stockOk(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"], {
          config,
        });
        expect(stdout).toMatch(/^status: ok$/m);
      }

      const target = ["--type=time", `--target=${at}`, "--target-action=promote"];
      const oldNotes = notes.split(" ").filter((note) => note !== `last${majorBefore}`);
      expect(await restored(former.binaries, target, 2)).toBe(oldNotes.join(" "));
      expect(await restored(binaries, [], 1)).toBe(`${notes} early${major} late${major}`.split(" ").sort().join(" "));
    },
    300_000,
  );
});
