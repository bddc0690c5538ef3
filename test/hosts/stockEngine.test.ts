/**
 * Stock pgBackRest as the backup engine of a host, on the real engine over SSH: Debian 12 with its PostgreSQL 15 and
 * its pgBackRest 2.45. One update takes the host from nothing to a backup in each repository. The tests run the
 * operators' commands as operators type them. Then the host moves to the runtime and back during writes, and loses
 * nothing.
 */
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CipherPassphrase } from "../../components/credentials/cipherPassphrase";
import type { Engine, PostgresHostArgs } from "../../components/databases/hostArgs";
import { PostgresHost } from "../../components/databases/postgresHost";
import { PosixRepository } from "../../components/repositories/posixRepository";
import { findStockPgbackrest } from "../../tools/parts/debian/pgbackrest";
import { waitFor } from "../../tools/parts/process";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { failureOf } from "../harness/compare/engineTexts";
import { connectionTo, ownCluster } from "../harness/hosts/declaredHost";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { engineHostParts } from "../harness/hosts/parts";
import { waitForRecovery } from "../harness/hosts/recovery";
import { NIGHTLY } from "../../tools/parts/nightly";
import { skipped } from "../harness/real/interopParts";

const DATA = "/var/lib/postgresql/15/main";
const FOLDERS = ["/srv/first", "/srv/second"] as const;
/** The configuration of Debian's package. The update's own configuration takes precedence. */
const OF_THE_PACKAGE =
  "[global]\\nrepo1-path=/var/lib/pgbackrest\\n\\n#[main]\\n#pg1-path=/var/lib/postgresql/15/main\\n";

/** Each turn inserts 900 rows and is counted once committed. Every fourth turn switches the segment. */
const LOAD = `i=0
while [ ! -e /tmp/enough ]; do
  i=$((i + 1))
  psql -qXc "insert into load select $i * 1000 + n, repeat(md5(n::text), 40) from generate_series(1, 900) n" || exit 1
  echo $i > /var/lib/postgresql/done
  [ $((i % 4)) -ne 0 ] || psql -qXc "select pg_switch_wal()" > /dev/null
done
`;

describe("stock pgBackRest as the engine of a host", async () => {
  const parts = await engineHostParts("stock pgBackRest on a host", ["bookworm"]);
  if (parts === null) return;
  const result = await findStockPgbackrest("2.45");
  if ("missing" in result) return void skipped("stock pgBackRest on a host", result.missing);
  const { pgbackrest: stock } = result;
  let host: DebianHost;
  let programFolder: ProgramFolder;
  beforeAll(async () => {
    const shown = { [stock.folder]: stock.folder, "/usr/bin/pgbackrest": stock.path };
    host = await startDebianHost(parts, { suite: "bookworm", name: "stock", shown });
    await host.runOk(["sh", "-c", `printf '${OF_THE_PACKAGE}' > /etc/pgbackrest.conf`]);
    await host.runOk(["install", "-d", "-o", "postgres", "-m", "0750", ...FOLDERS]);
    await ownCluster(host, 15);
    programFolder = await makeProgramFolder();
  });
  afterAll(async () => {
    await host?.stop();
    removeProgramFolder(programFolder);
  });

  const open = (engine: Engine, over: Partial<PostgresHostArgs> = {}): Promise<Stack> =>
    openStack(programFolder, "stock", async () => {
      const key = new CipherPassphrase("key", {}, { protect: false });
      const first = new PosixRepository("first", { path: FOLDERS[0] });
      const second = new PosixRepository("second", { path: FOLDERS[1], cipher: key.ref });
      const { destinations, firstBackup, restoreCommand } = new PostgresHost("db", {
        connection: connectionTo(host),
        dataDirectory: DATA,
        engine,
        repositories: {
          repo1: { at: first.target, keepFullCount: 2, keepDiffCount: 3 },
          repo2: { at: second.target, keepDays: 30 },
        },
        // Schedules that never fire during the test.
        schedules: { full: { cron: "0 3 29 2 *" }, incr: { cron: "30 3 29 2 *" } },
        allowRestart: true,
        restartCommand: ["systemctl", "restart", "postgresql@15-main"],
        archiveTimeoutSeconds: 60,
        ...over,
      });
      return { destinations, firstBackup, restoreCommand };
    });
  const up = async (stack: Stack): Promise<{ outputs: Record<string, unknown>; changes: object; text: string }> => {
    const { outputs, stdout, summary } = await stack.up();
    return {
      outputs: Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value as unknown])),
      changes: summary.resourceChanges ?? {},
      text: stdout,
    };
  };
  const shell = (line: string): Promise<string> => host.runOk(["sh", "-c", line]);
  const sql = async (query: string): Promise<string> =>
    (await host.runOk(["runuser", "-u", "postgres", "--", "psql", "-Atqc", query])).trim();
  const asPostgres = (...args: string[]): Promise<string> => host.runOk(["sudo", "-u", "postgres", ...args]);
  const files = (): Promise<string> =>
    shell(
      "find /etc/pgbackrest /etc/pgbackstop /usr/local/lib/pgbackstop /etc/systemd/system/pgbackstop* -type f -exec stat -c '%n %i %Y %a %U %G' {} + 2>/dev/null | sort",
    );
  const labels = async (key: 1 | 2): Promise<string[]> =>
    (await shell(`ls ${FOLDERS[key - 1] ?? ""}/backup/main`))
      .split("\n")
      .filter((name) => /^\d{8}-\d{6}F/.test(name))
      .sort();

  const segments = async (key: 1 | 2): Promise<string[]> => {
    const paths = await shell(`find ${FOLDERS[key - 1] ?? ""}/archive/main -type f`);
    return [...new Set(paths.match(/[0-9A-F]{24}(?=-)/g) ?? [])].sort();
  };

  // claim: docs/hosts/stock.md: a version that does not support the declaration is refused before any write
  test("a version that does not support the declaration is refused before anything is created", async () => {
    const blocks = { at: { name: "first", path: FOLDERS[0] }, keepDays: 7, bundle: true, blockIncremental: true };
    const stack = await open("pgbackrest", { repositories: { repo1: blocks } });
    expect(await failureOf(stack.up())).toContain(
      "PB048 repositories.repo1: with pgBackRest 2.45 block increments came with 2.46",
    );
    expect(await files()).toBe("");
    await stack.destroy();
  });

  // claim: README.md, docs/hosts/stock.md: stock pgBackRest as a host's engine: one update to a backup in each
  //   repository, a second one writes nothing, a failing repository does not keep the other from its backup (Debian 12,
  //   2.45; its program, not installed by dpkg)
  test("one update brings configuration, archiving, timers and a first backup into each repository", async () => {
    const { outputs, text } = await up(await open("pgbackrest"));
    expect(outputs).toMatchObject({ firstBackup: "taken", restoreCommand: "pgbackrest --stanza=main --delta restore" });
    expect(text).toContain("taking the first backup");
    const destinations = JSON.parse(String(outputs["destinations"])) as {
      newestFull: { label: string } | null;
      newestWal: object | null;
    }[];
    expect(destinations.map(({ newestFull, newestWal }) => [newestFull !== null, newestWal !== null])).toEqual([
      [true, true],
      [true, true],
    ]);
    expect([(await labels(1)).length, (await labels(2)).length]).toEqual([1, 1]);
    expect(await sql("show archive_command")).toBe("pgbackrest --stanza=main archive-push %p");
    expect(
      await shell(
        "stat -c '%a %U:%G %n' /etc/pgbackrest/pgbackrest.conf /etc/pgbackrest/conf.d /etc/pgbackrest/conf.d/*",
      ),
    ).toBe(
      [
        "640 root:postgres /etc/pgbackrest/pgbackrest.conf",
        "750 root:postgres /etc/pgbackrest/conf.d",
        "640 root:postgres /etc/pgbackrest/conf.d/repo2-credentials.conf",
        "",
      ].join("\n"),
    );
    expect(
      (await host.run(["runuser", "-u", "deploy", "--", "cat", "/etc/pgbackrest/conf.d/repo2-credentials.conf"]))
        .exitCode,
    ).toBe(1);
    expect(await shell("systemctl list-timers --no-legend --all")).toMatch(/pgbackstop-main-full\.timer/);
    expect(
      (await host.run(["systemd-analyze", "verify", "/etc/systemd/system/pgbackstop-main-full.service"])).stderr,
    ).toBe("");
  });

  // claim: README.md: stock pgBackRest as a…
  test("a second update writes nothing", async () => {
    const before = await files();
    const { changes } = await up(await open("pgbackrest"));
    expect(Object.keys(changes)).toEqual(["same"]);
    expect(await files()).toBe(before);
  });

  test.runIf(NIGHTLY)("a refresh shows a manual change, and an update repairs it", async () => {
    await shell(
      "sed -i s/archive-push/archive-puhs/ /etc/pgbackrest/pgbackrest.conf; chmod 644 /etc/pgbackrest/conf.d/repo2-credentials.conf",
    );
    const stack = await open("pgbackrest");
    const { stdout } = await stack.refresh();
    expect(stdout).toContain("/etc/pgbackrest/conf.d/repo2-credentials.conf: mode 0640 → 0644");
    await up(stack);
    expect(await shell("stat -c %a /etc/pgbackrest/conf.d/repo2-credentials.conf")).toBe("640\n");
  });

  test("operators' commands need no options: info, check, verify, a backup by its unit", async () => {
    expect(await asPostgres("pgbackrest", "--stanza=main", "info")).toMatch(/status: ok[\s\S]*repo1[\s\S]*repo2/);
    expect(JSON.parse(await asPostgres("pgbackrest", "--stanza=main", "--output=json", "info"))).toHaveLength(1);
    await asPostgres("pgbackrest", "--stanza=main", "--repo=2", "info");
    await asPostgres("pgbackrest", "--stanza=main", "check");
    // The tasks that the runtime runs beside stock.
    for (const task of ["metrics", "verify"])
      await host.runOk(["systemctl", "start", `pgbackstop-main-${task}.service`]);
    expect(await shell("cat /var/lib/node_exporter/textfile_collector/pgbackstop-main.prom")).toMatch(
      /repo_key="1"[\s\S]*repo_key="2"/,
    );
    await host.runOk(["systemctl", "start", "pgbackstop-main-incr.service"]);
    expect([(await labels(1)).at(-1), (await labels(2)).at(-1)].map((label) => label?.at(-1))).toEqual(["I", "I"]);
  });

  // claim: README.md: stock pgBackRest as a…
  test("a failing repository does not keep the other from its backup, and the unit reports it", async () => {
    await shell(`chmod 000 ${FOLDERS[0]}/backup/main`);
    const before = await labels(2);
    const { exitCode } = await host.run(["systemctl", "start", "pgbackstop-main-incr.service"]);
    await shell(`chmod 750 ${FOLDERS[0]}/backup/main`);
    expect(exitCode).not.toBe(0);
    expect((await labels(2)).length).toBe(before.length + 1);
    expect(
      await shell("journalctl --sync; journalctl -u pgbackstop-main-incr --no-pager | grep pgbackrest-each"),
    ).toMatch(/repo1: exit code \d+/);
    await host.runOk(["systemctl", "reset-failed"]);
  });

  test("the published recovery: the directory is moved aside, then restored from the nearest repository", async () => {
    await sql("create table precious as select generate_series(1, 1000) as id");
    await asPostgres("pgbackrest", "--stanza=main", "check");
    await host.runOk(["systemctl", "stop", "postgresql@15-main"]);
    await host.runOk(["mv", DATA, `${DATA}.old`]);
    await asPostgres("pgbackrest", "--stanza=main", "--repo=1", "restore");
    await host.runOk(["systemctl", "start", "postgresql@15-main"]);
    await waitForRecovery(sql);
    expect(await sql("select count(*) from precious")).toBe("1000");
    await shell(`rm -rf ${DATA}.old`);
  });

  test.runIf(NIGHTLY)(
    "the runbook's commands are the same: status, recover from the second repository, check, a full backup by stock into each",
    async () => {
      await sql("create table kept as select generate_series(1, 500) as id");
      for (const verb of ["version", "help", "status"]) await host.runOk(["pgbackstop", verb]);
      await host.runOk(["pgbackstop", "recover", "--repo=2", "--yes"]);
      expect(await sql("select count(*) from kept")).toBe("500");
      expect(await shell(`grep restore_command ${DATA}/postgresql.auto.conf`)).toContain("archive-get");
      await host.runOk(["pgbackstop", "--stanza=main", "check"]);
      const before = [await labels(1), await labels(2)];
      await host.runOk(["pgbackstop", "--stanza=main", "backup", "--type=full"]);
      expect([(await labels(1)).length, (await labels(2)).length]).toEqual(before.map(({ length }) => length + 1));
    },
  );

  // claim: README.md, docs/hosts/stock.md: from stock to the runtime and back under load: each segment in both
  //   repositories, every committed row restored from either, increments on the other's backups, no failed call
  test.runIf(NIGHTLY)(
    "moves to the runtime and back under writes: no segment and no row is lost, and each program continues the other's backups",
    async () => {
      await up(await open("pgbackrest"));
      await sql("create table load (id bigint primary key, filler text)");
      const failedBefore = await sql("select failed_count from pg_stat_archiver");
      const full = await labels(1);
      await host.runOk(["sh", "-c", "cat > /tmp/load.sh"], { input: LOAD });
      await host.runOk(["systemd-run", "--quiet", "--unit=load", "-p", "User=postgres", "sh", "/tmp/load.sh"]);
      const written = async (): Promise<number> =>
        Number(await shell("cat /var/lib/postgresql/done 2>/dev/null || echo 0"));
      const moreWritten = async (): Promise<void> => {
        const before = await written();
        await waitFor("more rows", 120_000, async () => ((await written()) > before + 3 ? true : null));
      };
      await moreWritten();

      const { changes } = await up(await open("runtime"));
      expect(changes).not.toHaveProperty("replace");
      expect(await sql("show archive_command")).not.toContain("/usr/bin/pgbackrest");
      expect(await shell("ls /etc/pgbackrest /etc/pgbackrest/conf.d")).not.toMatch(/\.conf$/m);
      await host.runOk(["systemctl", "start", "pgbackstop-main-incr.service"]);
      await moreWritten();

      await up(await open("pgbackrest"));
      expect(await sql("show archive_command")).toBe("pgbackrest --stanza=main archive-push %p");
      const units = await shell("systemctl list-units --all --no-legend --plain 'pgbackstop-main-*' | cut -d' ' -f1");
      expect(units.split("\n").filter((unit) => /\.(timer|socket)$/.test(unit))).toEqual(
        ["full", "incr", "metrics", "verify"].map((name) => `pgbackstop-main-${name}.timer`),
      );
      await host.runOk(["systemctl", "start", "pgbackstop-main-incr.service"]);
      await moreWritten();

      await shell("touch /tmp/enough; while systemctl -q is-active load; do sleep 0.2; done");
      const rows = await sql("select count(*) from load");
      expect(Number(rows)).toBe((await written()) * 900);
      const last = await sql("select pg_walfile_name(pg_switch_wal())");
      await waitFor("the last segment", 120_000, async () =>
        (await sql("select last_archived_wal >= '" + last + "' from pg_stat_archiver")) === "t" ? true : null,
      );
      expect(await sql("select failed_count from pg_stat_archiver")).toBe(failedBefore);

      for (const key of [1, 2] as const) {
        // The runtime took one and stock the other. Both are increments of earlier backups.
        expect((await labels(key)).slice(-2).every((label) => label.endsWith("I"))).toBe(true);
        const stored = await segments(key);
        expect(stored).toContain(last);
        expect(gapsIn(stored)).toEqual([]);
        expect(
          await asPostgres(
            "pgbackrest",
            "--stanza=main",
            `--repo=${key}`,
            "--log-level-console=info",
            "--output=text",
            "--verbose",
            "verify",
          ),
        ).toMatch(/status: ok\b/);
        expect(await restoredRows(key)).toBe(rows);
      }
      expect((await labels(1)).filter((label) => full.includes(label))).toEqual(full);
    },
  );

  /** Restores the newest state with stock to a separate server, and counts its rows. */
  async function restoredRows(key: 1 | 2): Promise<string> {
    const target = `/var/lib/postgresql/restored-${key}`;
    await host.runOk(["install", "-d", "-o", "postgres", "-m", "0700", target]);
    await asPostgres(
      "pgbackrest",
      "--stanza=main",
      `--repo=${key}`,
      `--pg1-path=${target}`,
      "--archive-mode=off",
      "restore",
    );
    const program = (args: string): string =>
      `runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl -D ${target} -w -t 120 ${args}`;
    const locations =
      "-c config_file=/etc/postgresql/15/main/postgresql.conf -c hba_file=/etc/postgresql/15/main/pg_hba.conf";
    await shell(
      `${program(`-l /tmp/restored-${key}.log -o '${locations} -c data_directory=${target} -c port=5500 -c external_pid_file='`)} start >/dev/null`,
    );
    const query = (text: string): Promise<string> =>
      shell(`runuser -u postgres -- psql -p 5500 -Atqc '${text}'`).then((answer) => answer.trim());
    await waitForRecovery(query);
    const rows = await query("select count(*) from load");
    await shell(`${program("-m immediate")} stop >/dev/null; rm -rf ${target}`);
    return rows;
  }

  test("a destroy leaves both repositories, PostgreSQL, and the program", async () => {
    const stack = await open("pgbackrest");
    await stack.destroy();
    expect(await files()).toBe("");
    expect(await sql("select 1")).toBe("1");
    expect([(await labels(1)).length > 1, (await labels(2)).length > 1]).toEqual([true, true]);
    expect(await shell("pgbackrest version")).toBe("pgBackRest 2.45\n");
  });
});

/** Segments whose successor on the same timeline is missing. */
function gapsIn(names: readonly string[]): string[] {
  const order = (name: string): number =>
    Number.parseInt(name.slice(8, 16), 16) * 256 + Number.parseInt(name.slice(16), 16);
  return names.filter((name, index) => {
    const next = names[index + 1];
    return next !== undefined && next.startsWith(name.slice(0, 8)) && order(next) !== order(name) + 1;
  });
}
