/**
 * Major upgrades of a streaming host as docs/hosts/upgrade.md says, 17 to 18 (to 19), on a booted Debian: Debian's own
 * pg_upgradecluster, then one update. Nothing else is done to the stanza, the agent or its timers.
 */
import { join, resolve } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PostgresHost } from "../../components/databases/postgresHost";
import { findWholePostgres } from "../../tools/parts/postgres/postgres";
import { waitFor } from "../../tools/parts/process";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { connectionTo, twoDirectories } from "../harness/hosts/declaredHost";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { engineHostParts } from "../harness/hosts/parts";
import { waitForRecovery } from "../harness/hosts/recovery";
import { loud, skipped } from "../harness/real/interopParts";
import { FORGET_ATTRIBUTE_VERSIONS } from "../harness/real/pgUpgrade";

const TITLE = "major upgrades of a booted host";
const STANZA = "main";
const REPOS = ["/srv/first", "/srv/second"];
/** Of a server beside production. */
const PAST_PORT = "5499";
const UPGRADES = [
  { from: 17, to: 18, method: "upgrade", archiveId: "18-2", fulls: 2 },
  { from: 18, to: 19, method: "link", archiveId: "19-3", fulls: 3 },
] as const;

describe(TITLE, async () => {
  const parts = await engineHostParts(TITLE, ["trixie"]);
  if (parts === null) return;
  /** What the host sees at Debian's paths, with the libraries where the programs look for them. */
  const shown: Record<string, string> = {};
  for (const major of [18, 19]) {
    const choice = await findWholePostgres(major);
    if ("missing" in choice || choice.binaries.source !== "debian") {
      loud(TITLE, "missing" in choice ? choice.missing : `PostgreSQL ${major}: not unpacked from Debian's packages`);
      continue;
    }
    const tree = resolve(choice.binaries.folder, "../../../../..");
    shown[tree] = tree;
    for (const folder of [`/usr/lib/postgresql/${major}`, `/usr/share/postgresql/${major}`])
      shown[folder] = join(tree, folder);
  }
  if (Object.keys(shown).length < 6) return void skipped(TITLE, "a version of PostgreSQL");
  let host: DebianHost;
  let programFolder: ProgramFolder;

  beforeAll(async () => {
    host = await startDebianHost(parts, { suite: "trixie", name: "upgrade", shown });
    await host.runOk(["install", "-d", "-o", "postgres", "-m", "0750", ...REPOS]);
    programFolder = await makeProgramFolder();
  });
  afterAll(async () => {
    await host?.stop();
    removeProgramFolder(programFolder);
  });

  const dataOf = (version: number): string => `/var/lib/postgresql/${version}/main`;
  const open = (version: number): Promise<Stack> =>
    openStack(programFolder, "upgrade", async () => {
      const db = new PostgresHost("db", {
        connection: connectionTo(host),
        dataDirectory: dataOf(version),
        postgres: { version },
        stanza: STANZA,
        repositories: twoDirectories(),
        schedules: {
          full: { cron: "0 3 * * 0", timeZone: "UTC" },
          incr: { cron: "0 3 * * 1-6", timeZone: "UTC" },
        },
        streaming: { intervalSeconds: 1, synchronous: "any" },
        allowRestart: true,
      });
      return { firstBackup: db.firstBackup };
    });
  const up = async (version: number): Promise<{ readonly changes: object; readonly text: string }> => {
    const { outputs, stdout, summary } = await (await open(version)).up();
    expect(outputs["firstBackup"]?.value).toBe("taken");
    return { changes: summary.resourceChanges ?? {}, text: stdout };
  };
  const shell = async (text: string): Promise<string> => (await host.runOk(["sh", "-c", text])).trim();
  const sqlAt = async (port: string, text: string): Promise<string> => {
    const psql = ["psql", "-h", "/var/run/postgresql", "-p", port, "-d", "postgres", "-AtqX", "-v", "ON_ERROR_STOP=1"];
    return (await host.runOk(["runuser", "-u", "postgres", "--", ...psql], { input: text })).trim();
  };
  const sql = (text: string): Promise<string> => sqlAt("5432", text);
  const note = (text: string): Promise<string> => sql(`INSERT INTO story VALUES ('${text}')`);
  const NOTES = "SELECT string_agg(note, ' ' ORDER BY note) FROM story";
  const lines = async (command: string): Promise<string[]> =>
    (await shell(command)).split("\n").filter((line) => line !== "");
  const waitForCommitsThatWait = (): Promise<true> =>
    waitFor("waiting commits", 120_000, async () =>
      (await sql("SHOW synchronous_standby_names")) === "pgbackstop" ? true : null,
    );
  const fullBackups = (repo: string): Promise<string[]> => lines(`ls ${repo}/backup/main | grep -E '^[0-9-]{15}F$'`);
  /** Names of segments in a repository, in order. */
  const archived = async (repo: string, archiveId: string): Promise<string[]> =>
    (await lines(`find ${repo}/archive/main/${archiveId} -type f`))
      .flatMap((path) => /\/([0-9A-F]{24})-[0-9a-f]{40}/.exec(path)?.[1] ?? [])
      .sort();
  const streamed = (): Promise<string[]> => lines("find /srv/*/pgbackstop/main/stream -type f 2>/dev/null || true");
  const waitForArchive = async (version: number): Promise<void> => {
    await sql("SELECT pg_switch_wal()");
    await waitFor("the archive", 120_000, async () =>
      (await shell(`ls ${dataOf(version)}/pg_wal/archive_status`)).includes(".ready") ? null : true,
    );
  };

  test("a streaming host of 17 has backups, and its commits wait for a repository", async () => {
    await up(17);
    await sql("CREATE TABLE story (note text)");
    await note("a17");
    await waitForCommitsThatWait();
  });

  // claim: docs/hosts/upgrade.md, docs/streaming.md: a booted Debian whose commits wait for a repository, 17 to 18 (to
  //   19) by `pg_upgradecluster` and one update: before the update the agent neither streams nor confirms WAL of the
  //   new cluster; the update takes a full backup into each repository; no segment is missing, timers continue, a lost
  //   disk costs no acknowledged commit, and the documented commands restore a time before the upgrade with the former
  //   version (18 to 19 in the nightly form; programs of 18 and 19 unpacked from Debian's packages, not installed by
  //   dpkg)
  test.each(UPGRADES)("from $from to $to by pg_upgradecluster and one update", async (upgrade) => {
    const { archiveId, from, fulls, method, to } = upgrade;
    const kept = await sql(NOTES);
    const time = await sql("SELECT pg_sleep(1.1); SELECT clock_timestamp()");
    await note(`last${from}`);
    await host.runOk(["/usr/local/bin/pgbackstop", "--type=incr", "backup"]);

    await sql("ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()");
    await sql(FORGET_ATTRIBUTE_VERSIONS);
    await host.runOk(["pg_upgradecluster", "--force-packages", "-m", method, "-v", String(to), String(from), "main"], {
      timeoutMs: 180_000,
    });

    // The agent still serves the former cluster: it refuses WAL of the new one, and neither streams nor confirms it.
    const first = await sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
    const before = await streamed();
    await note(`early${to}`);
    await sql("SELECT pg_switch_wal()");
    await waitFor("a refusal", 60_000, async () =>
      (await sql("SELECT failed_count > 0 FROM pg_stat_archiver")) === "t" ? true : null,
    );
    expect((await streamed()).filter((path) => !before.includes(path))).toEqual([]);
    const receivers = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    expect(await sql(`SELECT archived_count FROM pg_stat_archiver; ${receivers}`)).toBe("0\n0");

    const { changes, text } = await up(to);
    expect(text).toContain(`upgrading the stanza, which was that of ${dataOf(from)}`);
    expect(changes).not.toHaveProperty("replace");
    for (const repo of REPOS) expect(await fullBackups(repo)).toHaveLength(fulls);
    await waitForCommitsThatWait();
    await note(`late${to}`);
    await waitForArchive(to);

    // Every segment since the first start of the new server.
    const last = await sql("SELECT last_archived_wal FROM pg_stat_archiver");
    for (const repo of REPOS) {
      const names = await archived(repo, archiveId);
      expect(names).toContain(first);
      expect(names.at(-1)).toBe(last);
      const numbers = names.map((name) => Number.parseInt(name.slice(-8), 16));
      expect(numbers).toEqual(numbers.map((_, turn) => (numbers[0] ?? 0) + turn));
    }
    await host.runOk(["/usr/local/bin/pgbackstop", "verify"]);
    // The timers' units continue with the new version's backups.
    expect(await shell("systemctl is-enabled pgbackstop-main-full.timer pgbackstop-main-incr.timer")).toBe(
      "enabled\nenabled",
    );
    await host.runOk(["systemctl", "start", "pgbackstop-main-incr.service"]);
    const newest = (await fullBackups("/srv/second")).at(-1) ?? "";
    expect(await shell("ls /srv/second/backup/main")).toContain(`${newest}_`);
    expect(Object.keys((await up(to)).changes)).toEqual(["same"]);

    expect(await restorePast(from, time)).toBe(kept);
    // The host is lost with its disk: its last commit is in no archive yet.
    await note(`lost${to}`);
    await restoreLost(to);
    expect(await sql(NOTES)).toBe(`${kept} last${from} early${to} late${to} lost${to}`.split(" ").sort().join(" "));
    await waitForArchive(to);
    await waitForCommitsThatWait();
  });

  /** The rows of a time before the upgrade, by the former version's programs: the commands of docs/hosts/upgrade.md. */
  async function restorePast(version: number, time: string): Promise<string> {
    const past = `/var/lib/postgresql/${version}/past`;
    await host.runOk(["install", "-d", "-o", "postgres", "-m", "0700", past]);
    const beside = [`--pg1-path=${past}`, "--reset-recovery-option", "--archive-mode=off"];
    const target = ["--type=time", `--target=${time}`, "--target-action=promote"];
    await host.runOk(["/usr/local/bin/pgbackstop", "restore", ...beside, ...target]);
    const settings = {
      config_file: `/etc/postgresql/${version}/main/postgresql.conf`,
      data_directory: past,
      port: PAST_PORT,
    };
    const options = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`);
    const pgCtl = ["runuser", "-u", "postgres", "--", `/usr/lib/postgresql/${version}/bin/pg_ctl`, "-D", past];
    try {
      await host.runOk([...pgCtl, "-l", "/tmp/past.log", "start", "-o", options.join(" ")]);
      await waitForRecovery((query) => sqlAt(PAST_PORT, query));
      return await sqlAt(PAST_PORT, NOTES);
    } finally {
      await host.run([...pgCtl, "-m", "immediate", "stop"]);
    }
  }

  async function restoreLost(version: number): Promise<void> {
    const unit = `postgresql@${version}-main`;
    await shell(`systemctl kill --signal=KILL ${unit} pgbackstop-main-agent.service`);
    await shell(
      `for each in 1 2 3 4 5 6 7 8 9; do find ${dataOf(version)} -mindepth 1 -delete && exit 0; sleep 0.5; done; exit 1`,
    );
    await shell(`systemctl stop ${unit}; systemctl reset-failed ${unit} || true`);
    await host.runOk(["/usr/local/bin/pgbackstop", "--repo=2", "restore"]);
    await host.runOk(["systemctl", "start", unit]);
    await waitForRecovery(sql);
  }
});
