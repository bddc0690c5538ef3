/**
 * systemd runs fire drills declared by `PostgresHost` and `FireDrill`: on a booted Debian 12 beside production, and on
 * a second one that has only the keys. The unit's own run detects each planted fault, and every channel reports it.
 */
import { randomBytes } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NotifyEvent, NotifyType } from "../../components/databases/notifyArgs";
import { PostgresHost } from "../../components/databases/postgresHost";
import { DrillLevel, DrillPick } from "../../components/drills/drillArgs";
import { FireDrill } from "../../components/drills/fireDrill";
import { Migration, MigrationSslMode, MigrationStage } from "../../packages/migration/components/index";
import { PosixRepository } from "../../components/repositories/posixRepository";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import type { DrillRecord } from "../../runtime/operations/drill/record";
import { waitFor } from "../../tools/parts/process";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import type { S3Server } from "../../tools/parts/servers/s3Server";
import { stateTexts } from "../harness/compare/engineTexts";
import { bucketOf, connectionTo, expectSoundUnits, showServer, startHostServer } from "../harness/hosts/declaredHost";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { type HostNetwork, startHostNetwork } from "../harness/hosts/network";
import { engineHostParts } from "../harness/hosts/parts";
import { hasCommandProvider } from "../harness/real/interopParts";
import { startWebServer, type WebServer } from "../harness/doubles/messageServers";
import { holdsSecret } from "../harness/compare/secrets";

const DATA = "/var/lib/postgresql/15/main";
const BESIDE = `${DATA}-drill`;
const AWAY = "/var/lib/pgbackstop-drill";
const CLUSTER_UNIT = "postgresql@15-main";
const SPOOLED = "/var/spool/pgbackrest/pgbackstop/main/drills";
const METRICS = "/var/lib/node_exporter/textfile_collector/pgbackstop-main.prom";
const FIRST = "/srv/first";
const CRON = "0 5 * * 6";
const unitOf = (drill: string): string => `pgbackstop-main-drill-${drill}.service`;

describe("fire drills on a host", async () => {
  const parts = await engineHostParts("fire drills on a host", ["bookworm"]);
  if (parts === null) return;
  const passphrase = `marker-${randomBytes(24).toString("hex")}`;
  let network: HostNetwork;
  let host: DebianHost;
  let far: DebianHost;
  let server: S3Server;
  let hooks: WebServer;
  let hookUrl: string;
  let programFolder: ProgramFolder;
  let secrets: readonly string[];
  const printedTexts: string[] = [];
  let drillCommand = "";
  beforeAll(async () => {
    server = await startHostServer();
    hooks = await startWebServer();
    secrets = [passphrase, server.accessKey, server.secretKey];
    network = await startHostNetwork("drill");
    host = await startDebianHost(parts, { suite: "bookworm", name: "prod", network });
    far = await startDebianHost(parts, { suite: "bookworm", name: "far", network });
    const hookPort = Number(new URL(hooks.origin).port);
    hookUrl = `http://${await network.expose(hookPort)}:${hookPort}/hook`;
    for (const each of [host, far]) await showServer(each, server);
    await host.runOk(["install", "-d", "-o", "postgres", "-m", "0750", FIRST]);
    programFolder = await makeProgramFolder();
  });
  afterAll(async () => {
    await far?.stop();
    await host?.stop();
    await network?.stop();
    await server?.remove();
    await hooks?.close();
    removeProgramFolder(programFolder);
  });

  const open = (isDrilledElsewhere = true): Promise<Stack> =>
    openStack(programFolder, "drill", async () => {
      const { target } = new S3CompatibleRepository("bucket", {
        ...bucketOf(server),
        path: "/drill",
        cipher: { passphrase },
      });
      const objectives = { rtoMinutes: 10, rpoSeconds: 3600 };
      const drillChecks = {
        heartbeat: { sql: "SELECT max(at) FROM beat" },
        assertions: [{ name: "the heart beats", sql: "SELECT count(*) > 0 FROM beat" }],
      };
      const newest = { cron: CRON, pick: DrillPick.Newest };
      const db = new PostgresHost("db", {
        connection: connectionTo(host),
        dataDirectory: DATA,
        repositories: {
          repo1: { at: new PosixRepository("first", { path: FIRST }).target, keepDays: 7 },
          repo2: { at: target, keepDays: 7 },
        },
        schedules: { full: { cron: "0 3 * * 0" } },
        objectives,
        drillChecks,
        drills: {
          weekly: { ...newest, from: "repo1", maxMinutes: 20, maxGiB: 2 },
          quick: { ...newest, from: "repo1", level: DrillLevel.Quick },
          bucket: { ...newest, from: "repo2", level: DrillLevel.Quick, dump: true },
          away: { ...newest, from: "repo2", level: DrillLevel.Standard, elsewhere: true },
        },
        dumps: { cron: "30 4 * * *", keepCount: 3 },
        notify: {
          targets: [
            { type: NotifyType.Webhook, url: pulumi.secret(hookUrl), events: [NotifyEvent.Failure, NotifyEvent.Drill] },
          ],
        },
        allowRestart: true,
        restartCommand: ["systemctl", "restart", CLUSTER_UNIT],
      });
      if (!isDrilledElsewhere) return {};
      const drill = new FireDrill(
        "away",
        {
          of: db.drilled,
          connection: connectionTo(far),
          repositories: { repo2: { at: target } },
          notify: {
            targets: [
              {
                type: NotifyType.Webhook,
                url: pulumi.secret(hookUrl),
                events: [NotifyEvent.Failure, NotifyEvent.Drill],
              },
            ],
          },
        },
        { dependsOn: db },
      );
      return { topology: db.topology, drillCommand: drill.drillCommand };
    });
  const shell = (text: string, on = host): Promise<string> => on.runOk(["sh", "-c", text]);
  const sql = async (text: string): Promise<string> =>
    (
      await host.runOk(["runuser", "-u", "postgres", "--", "psql", "-AtqX", "-v", "ON_ERROR_STOP=1"], { input: text })
    ).trim();
  const archived = async (): Promise<void> => {
    await sql("SELECT pg_switch_wal()");
    await waitFor("the archive", 120_000, async () =>
      (await shell(`ls ${DATA}/pg_wal/archive_status`)).includes(".ready") ? null : true,
    );
  };
  const newestRecord = async (on = host): Promise<DrillRecord> =>
    JSON.parse(await shell(`cat ${SPOOLED}/$(ls ${SPOOLED} | tail -n 1)`, on)) as DrillRecord;
  /** Takes the messages that the webhook received about a unit since the last call. */
  const takeMessages = (
    unit: string,
  ): { readonly event: string; readonly ok: boolean; readonly lines: readonly string[] }[] =>
    hooks.requests.splice(0).flatMap(({ body }) => (body.includes(`"${unit}"`) ? [JSON.parse(body) as never] : []));
  const metric = async (name: string, key: number, on = host): Promise<number> => {
    const line = (await shell(`cat ${METRICS} 2>/dev/null || true`, on))
      .split("\n")
      .find((each) => each.startsWith(`${name}{`) && each.includes(`repo_key="${key}"`));
    return line === undefined ? Number.NaN : Number(line.split(" ").at(-1));
  };
  /** Runs a unit to its end. @returns its exit code, its record, and its messages */
  const drill = async (
    name: string,
    on = host,
  ): Promise<{
    readonly code: number;
    readonly record: DrillRecord;
    readonly messages: ReturnType<typeof takeMessages>;
  }> => {
    const unit = unitOf(name);
    hooks.requests.splice(0);
    const before = (await on.run(["sh", "-c", `ls ${SPOOLED} | wc -l`])).stdout.trim();
    await on.run(["systemctl", "start", unit]);
    const code = Number(await shell(`systemctl show -p ExecMainStatus --value ${unit}`, on));
    expect(Number(await shell(`ls ${SPOOLED} | wc -l`, on))).toBe(Number(before) + 1);
    const record = await newestRecord(on);
    const isReported = (event: string): boolean =>
      hooks.requests.some(({ body }) => body.includes(`"event":"${event}"`) && body.includes(`"${unit}"`));
    const events = code === 0 ? ["drill"] : ["drill", "failure"];
    await waitFor("its messages", 180_000, async () => (events.every(isReported) ? true : null));
    await waitFor("its metrics", 180_000, async () =>
      (await metric("pgbackstop_drill_timestamp_seconds", record.repo, on)) === record.endedAtS ? true : null,
    );
    await waitFor("its end", 180_000, async () =>
      (await shell("systemctl list-jobs --no-legend 'pgbackstop-*'", on)) === "" ? true : null,
    );
    await on.run(["systemctl", "reset-failed"]);
    return { code, record, messages: takeMessages(unit) };
  };
  const leftOvers = async (path: string, on = host): Promise<string> =>
    (
      await shell(
        `find ${path} -mindepth 1 -maxdepth 1 -name 'main-*'; pgrep -af '^/usr/lib/postgresql/.* -D ${path}/' || true`,
        on,
      )
    ).trim();
  const expectDetected = async (
    name: string,
    key: number,
    where: string,
    codes: readonly number[],
  ): Promise<DrillRecord> => {
    const { code, record, messages } = await drill(name);
    expect([record.repo, record.ok, record.failures[0]?.where, codes.includes(code)]).toEqual([
      key,
      false,
      where,
      true,
    ]);
    expect(record.failures[0]?.code).toBe(code);
    expect(messages.map(({ event, ok }) => `${event} ${ok}`).sort()).toEqual(["drill false", "failure false"]);
    expect(messages.find(({ event }) => event === "drill")?.lines).toContain(
      `failed: ${where}, ${record.failures[0]?.error} (${code})`,
    );
    expect(await metric("pgbackstop_drill_ok", key)).toBe(0);
    expect(await leftOvers(BESIDE)).toBe("");
    return record;
  };
  const expectNowhere = async (on: DebianHost): Promise<void> => {
    const locations = {
      "command lines": "cat /proc/[0-9]*/cmdline",
      journal: "journalctl --no-pager -o verbose",
      units: "systemctl cat 'pgbackstop-*'",
      files: `cat /etc/pgbackstop/*.conf /etc/pgbackstop/*.json ${SPOOLED}/* ${METRICS} /var/log/pgbackrest/* 2>/dev/null`,
    };
    for (const [name, command] of Object.entries(locations)) {
      const { stdout } = await on.run(["sh", "-c", command]);
      expect([name, stdout.length > 0, holdsSecret(stdout, secrets)]).toEqual([name, true, false]);
    }
  };

  // claim: docs/drills-elsewhere.md: one declaration for both…
  test("one update installs drills on both hosts, and the topology lists all of them", async () => {
    const alone = await (await open(false)).preview();
    expect(alone.stdout).toContain("PB140 drills.away.elsewhere");
    const { outputs, stdout } = await (await open()).up();
    printedTexts.push(stdout);
    expect(stdout).not.toContain("PB140");
    drillCommand = String(outputs["drillCommand"]?.value);
    const topology = JSON.parse(String(outputs["topology"]?.value)) as {
      drills: { name: string; elsewhere?: boolean }[];
      drillChecks: object;
    };
    expect(topology.drills.map(({ elsewhere = false, name }) => [name, elsewhere])).toEqual([
      ["weekly", false],
      ["quick", false],
      ["bucket", false],
      ["away", true],
    ]);
    expect(topology.drillChecks).toEqual({ heartbeat: true, assertions: ["the heart beats"] });
    expect((await shell("systemctl list-timers --all --no-legend 'pgbackstop-main-drill-*' | wc -l")).trim()).toBe("3");
    expect((await shell("systemctl list-timers --all --no-legend 'pgbackstop-main-drill-*' | wc -l", far)).trim()).toBe(
      "1",
    );
    expect(await shell(`stat -c '%U %a' ${BESIDE}`)).toBe("postgres 700\n");
    await sql("CREATE TABLE beat (at timestamptz); CREATE TABLE ledger (id bigserial PRIMARY KEY, text text)");
    await sql("INSERT INTO ledger (text) SELECT repeat(md5(i::text), 8) FROM generate_series(1, 20000) i");
    await host.runOk(["/usr/local/bin/pgbackstop", "backup", "--type=incr"]);
    await host.runOk(["systemctl", "start", "pgbackstop-main-dump.service"]);
    expect(await shell("systemctl is-active pgbackstop-main-dump.timer")).toBe("active\n");
  });

  test.each([
    ["production", () => host],
    ["the other host", () => far],
  ])("systemd reports no fault in the units of %s, and rates them as well protected", async (_where, of) => {
    await expectSoundUnits(of(), "pgbackstop-*d[ru]*.service");
  });

  // claim: docs/drills.md, docs/commands.md: timers run drills beside production, RTO and RPO agree with an external
  //   stopwatch, and the agent continues; the unit's run reports each fault: exit code, notice, metrics, history
  test("a timer runs a thorough drill, whose RTO and RPO agree with an external stopwatch, while the agent continues", async () => {
    const unit = unitOf("weekly");
    const beatS = Number(await sql("INSERT INTO beat VALUES (clock_timestamp()) RETURNING extract(epoch FROM at)"));
    await archived();
    await sql("SELECT pg_stat_reset_shared('archiver')");
    const agent = await shell("systemctl show -p MainPID --value pgbackstop-main-agent.service");
    // Waits until a tenth of the interval exceeds the cost of reading the clock.
    await waitFor("the heart to have stood still", 60_000, async () =>
      Number(await shell("date +%s.%N")) - beatS > 6 ? true : null,
    );
    // Prints when the last failed attempt began and when the first successful one ended. On a busy machine they are far
    // apart.
    const knocked = shell(
      `for each in $(seq 10000); do
         read -r began rest < /proc/uptime
         for path in ${BESIDE}/main-*; do
           [ -S "$path/.s.PGSQL.54329" ] && psql -h "$path" -p 54329 -U postgres -d postgres -AtXc 'select 1' >/dev/null 2>&1 &&
             read -r ended rest < /proc/uptime && echo "$in_vain $ended" && exit 0
         done
         in_vain=$began; sleep 0.02
       done; exit 1`,
    );
    await shell(
      `mkdir -p /run/systemd/system/pgbackstop-main-drill-weekly.timer.d
       printf '[Timer]\\nOnCalendar=\\nOnCalendar=*-*-* *:*:0/2\\nRandomizedDelaySec=0\\n' > /run/systemd/system/pgbackstop-main-drill-weekly.timer.d/short.conf
       systemctl daemon-reload; systemctl restart pgbackstop-main-drill-weekly.timer`,
    );
    const started = await waitFor("the timer", 180_000, async () => {
      const lines = await shell(
        `systemctl show -p ExecMainStartTimestampMonotonic --value ${unit}; cut -d ' ' -f 1 /proc/uptime; date +%s.%N`,
      );
      const [atUs = 0, uptimeS = 0, nowS = 0] = lines.trim().split("\n").map(Number);
      return atUs === 0 ? null : { uptimeS: atUs / 1e6, atS: nowS - (uptimeS - atUs / 1e6) };
    });
    await shell(
      "rm -r /run/systemd/system/pgbackstop-main-drill-weekly.timer.d; systemctl daemon-reload; systemctl restart pgbackstop-main-drill-weekly.timer",
    );
    const stopwatchMs = (await knocked)
      .trim()
      .split(" ")
      .map((uptimeS) => Math.round((Number(uptimeS) - started.uptimeS) * 1000));
    const segments = sql("INSERT INTO ledger (text) VALUES ('meanwhile'); SELECT pg_switch_wal();");
    await waitFor("its end", 300_000, async () =>
      (await host.run(["systemctl", "is-active", unit])).stdout.includes("activating") ? null : true,
    );
    const record = await newestRecord();
    expect([record.failures, record.ok, record.repo, record.pick, record.level]).toEqual([
      [],
      true,
      1,
      "newest",
      "thorough",
    ]);
    expect(
      isWithinTenth(record.rtoMs ?? 0, stopwatchMs),
      `RTO ${record.rtoMs} ms, stopwatch ${stopwatchMs.join(" to ")} ms`,
    ).toBe(true);
    const lostMs = (started.atS - beatS) * 1000;
    // The drill's clocks begin with its process, which a busy machine starts later than systemd says.
    const delayMs = Math.max(0, ...stopwatchMs.map((elapsedMs) => elapsedMs - (record.rtoMs ?? 0)));
    expect(
      isWithinTenth((record.rpo?.seconds ?? 0) * 1000, [lostMs, lostMs + delayMs]),
      `RPO ${record.rpo?.seconds} s, stopwatch ${lostMs} ms`,
    ).toBe(true);
    expect([record.rpo?.method, record.objectives]).toEqual([
      "heartbeat",
      { rtoSeconds: 600, rpoSeconds: 3600, backupAgeSeconds: (7 * 24 + 1) * 3600 },
    ]);
    for (const name of ["recovery", "production", "assertion:the heart beats", "amcheck", "dump", "control"])
      expect([name, record.checks.find((check) => check.name === name)?.verdict]).toEqual([name, "ok"]);
    console.log(
      `RTO ${record.rtoMs} ms (stopwatch ${stopwatchMs.join(" to ")}), RPO ${record.rpo?.seconds} s (stopwatch ${(lostMs / 1000).toFixed(2)})`,
    );
    await segments;
    await archived();
    expect([
      await shell("systemctl show -p MainPID --value pgbackstop-main-agent.service"),
      await sql("SELECT failed_count FROM pg_stat_archiver"),
    ]).toEqual([agent, "0"]);
    await waitFor("its message", 180_000, async () =>
      hooks.requests.some(({ body }) => body.includes('"event":"drill"')) ? true : null,
    );
    await waitFor("its metrics", 180_000, async () =>
      (await metric("pgbackstop_drill_timestamp_seconds", 1)) === record.endedAtS ? true : null,
    );
    const messages = takeMessages(unit);
    expect(messages.map(({ event, ok }) => [event, ok])).toContainEqual(["drill", true]);
    expect(messages.find(({ event }) => event === "drill")?.lines.join("\n")).toMatch(
      /time to the first connection: \d+ s\nlost: \d+ s \(by heartbeat\)/,
    );
    expect(await metric("pgbackstop_drill_ok", 1)).toBe(1);
    expect(await metric("pgbackstop_drill_rto_seconds", 1)).toBeCloseTo((record.rtoMs ?? 0) / 1000, 3);
    expect(JSON.parse(await shell(`cat ${FIRST}/pgbackstop/main/drills/${record.id}-repo1-newest.json`))).toEqual(
      record,
    );
    expect(await leftOvers(BESIDE)).toBe("");
  });

  // claim: docs/drills.md: a drill can be run at once by hand or in CI, and its failure is an exit code
  test("root's command runs the declared drill at once, also from the encrypted bucket", async () => {
    const printed = await host.run(["/usr/local/bin/pgbackstop", "drill", "--name=bucket"]);
    expect([printed.exitCode, /^main: drill \S+ of repo2: passed$/m.test(printed.stdout)]).toEqual([0, true]);
    expect(printed.stdout).toMatch(/dump \S+: databases loaded: 1, tables: 2/);
    const several = await host.run(["/usr/local/bin/pgbackstop", "drill", "--now"]);
    expect([several.exitCode, (several.stdout + several.stderr).includes("name one of weekly, quick, bucket")]).toEqual(
      [37, true],
    );
    expect((await host.run(["/usr/local/bin/pgbackstop", "drill", "--name=away"])).exitCode).toBe(32);
  });

  // claim: docs/drills-elsewhere.md: `FireDrill` runs them on a host without any of production's files, with keys that
  //   only root reads; a stopped drill leaves nothing
  test("a host without production's files runs a drill with only the keys, and reports it", async () => {
    const { code, record, messages } = await drill("away", far);
    expect([code, record.failures, record.repo]).toEqual([0, [], 2]);
    expect(record.checks.map(({ name, verdict }) => [name, verdict])).toContainEqual(["production", "skipped"]);
    expect(record.checks.map(({ name, verdict }) => [name, verdict])).toContainEqual(["amcheck", "ok"]);
    expect([record.rpo?.method, await metric("pgbackstop_drill_ok", 2, far)]).toEqual(["heartbeat", 1]);
    expect(messages.map(({ event }) => event)).toEqual(["drill"]);
    expect(await leftOvers(AWAY, far)).toBe("");
    // Only root can read the keys. systemd passes them to a drill while it runs. No agent holds them permanently.
    expect(await shell("stat -c '%U %a' /etc/pgbackstop/credentials /etc/pgbackstop/credentials/*", far)).toBe(
      "root 700\nroot 600\nroot 600\n",
    );
    expect(
      await shell("ls /etc/pgbackstop/conf.d /etc/systemd/system/pgbackstop-main-agent* 2>/dev/null || true", far),
    ).toBe("");
    expect(record.objectives).toEqual({ rtoSeconds: 600, rpoSeconds: 3600, backupAgeSeconds: (7 * 24 + 1) * 3600 });
    // Standard output has only the document, for `measured` of a Runbook.
    const byHand = await far.run(["sh", "-c", `${drillCommand} --output=json`]);
    expect([byHand.exitCode, JSON.parse(byHand.stdout)]).toMatchObject([0, { ok: true, repo: 2, stanza: "main" }]);
    expect(await leftOvers(AWAY, far)).toBe("");
    await expectNowhere(far);
  });

  // claim: docs/drills-elsewhere.md: `FireDrill` runs them on…
  test("a stopped drill removes everything and counts as failed", async () => {
    const unit = unitOf("weekly");
    await host.runOk(["systemctl", "start", "--no-block", unit]);
    await waitFor("its server", 180_000, async () =>
      (await shell(`ls -d ${BESIDE}/main-*/data/postmaster.pid 2>/dev/null || true`)) === "" ? null : true,
    );
    await host.runOk(["systemctl", "stop", unit]);
    expect(await leftOvers(BESIDE)).toBe("");
    expect((await newestRecord()).ok).toBe(false);
    await host.run(["systemctl", "reset-failed"]);
  });

  const withFault = async (plant: string, undo: string, find: () => Promise<void>): Promise<void> => {
    try {
      await shell(plant);
      await find();
    } finally {
      await shell(undo);
    }
  };

  // claim: docs/drills.md: timers run drills beside…
  test("a corrupted block in a file of the repository", async () => {
    const result = `find ${FIRST}/backup/main -name '*.zst' -path '*pg_data/base*' -printf '%s %p\\n' | sort -n | tail -n 1 | cut -d ' ' -f 2`;
    const file = (await shell(result)).trim();
    const damage = `printf 'xxxxxxxxxxxxxxxx' | dd of=${file} bs=1 seek=$(($(stat -c %s ${file}) / 2)) conv=notrunc status=none`;
    await withFault(`cp -p ${file} /root/whole; ${damage}`, `cp -p /root/whole ${file}`, async () => {
      await expectDetected("quick", 1, "restore", [26, 29]);
    });
  });

  // claim: docs/drills.md: timers run drills beside…
  test("a missing WAL segment", async () => {
    const segment = (await shell(`find ${FIRST}/archive/main -name '*-*.zst' | sort | tail -n 2 | head -n 1`)).trim();
    await withFault(`mv ${segment} /root/segment`, `mv /root/segment ${segment}`, async () => {
      const record = await expectDetected("quick", 1, "recovery", [82]);
      expect(record.failures[0]?.message).toContain(/\/([0-9A-F]{24})-/.exec(segment)?.[1]);
    });
  });

  // claim: docs/drills.md: timers run drills beside…
  test("a wrong passphrase", async () => {
    const file = "/etc/pgbackstop/credentials/repo2.conf";
    const change = `sed -i 's/^repo2-cipher-pass=.*/repo2-cipher-pass=not this one/' ${file}`;
    await withFault(`cp -p ${file} /root/repo2.conf; ${change}`, `cp -p /root/repo2.conf ${file}`, async () => {
      await expectDetected("bucket", 2, "choose", [95]);
    });
  });

  // claim: docs/drills.md: timers run drills beside…
  test("backups that are older than the schedule allows", async () => {
    const file = "/etc/pgbackstop/pgbackstop.json";
    const change = `sed -i 's/"expectBackupWithinS": [0-9]*/"expectBackupWithinS": 1/' ${file}`;
    await withFault(`cp -p ${file} /root/settings; ${change}`, `cp -p /root/settings ${file}`, async () => {
      await expectDetected("quick", 1, "objective:backupAge", [104]);
    });
  });

  // claim: docs/drills.md: timers run drills beside…
  test("an index that lacks rows", async () => {
    const index = "indexrelid = 'ledger_pkey'::regclass";
    await sql(`UPDATE pg_index SET indisready = false, indisvalid = false WHERE ${index}`);
    await sql("INSERT INTO ledger VALUES (1000000, 'in no index')");
    await sql(`UPDATE pg_index SET indisready = true, indisvalid = true WHERE ${index}`);
    await archived();
    const record = await expectDetected("weekly", 1, "amcheck", [26]);
    expect(record.failures[0]?.message).toContain("ledger_pkey");
    await sql("REINDEX INDEX ledger_pkey");
  });

  // claim: docs/drills.md: timers run drills beside…
  test("a repository that is readable and empty", async () => {
    await archived();
    const plant = `mv ${FIRST} ${FIRST}.full; install -d -o postgres -m 0750 ${FIRST}; 
      for each in 1 2 3 4 5 6 7 8 9; do /usr/local/bin/pgbackstop stanza-create && break; sleep 1; done`;
    await withFault(
      plant,
      `rm -r ${FIRST} || rm -r ${FIRST}; mv ${FIRST}.full ${FIRST}; /usr/local/bin/pgbackstop heal`,
      async () => {
        const record = await expectDetected("quick", 1, "choose", [75]);
        expect(record.failures[0]?.message).toBe("repo1 has no backup: nothing can be restored from it");
      },
    );
  });

  // claim: packages/migration/docs/program.md: with systemd, units are stopped and started, and journal, state and
  //   temporary files contain no password
  test("a migration moves a database into it with its own launcher, and stops and starts the units that use it", async ({
    skip,
  }) => {
    if (!(await hasCommandProvider("a migration into a host with its own launcher"))) skip();
    const old = "/var/lib/postgresql/old";
    const binaries = "/usr/lib/postgresql/15/bin";
    const password = `marker-${randomBytes(12).toString("hex")}`;
    await shell(
      `runuser -u postgres -- sh -c 'umask 077; echo ${password} > /tmp/password; ${binaries}/initdb -D ${old} -U mover -A scram-sha-256 --pwfile=/tmp/password -N >/dev/null
         rm /tmp/password; ${binaries}/pg_ctl -D ${old} -o "-p 5433 -c listen_addresses=127.0.0.1 -c unix_socket_directories=${old}" -l ${old}/log -w start >/dev/null'
       printf '[Service]\nExecStart=sleep infinity\n' > /run/systemd/system/shop.service; systemctl daemon-reload; systemctl start shop.service`,
    );
    const there = `host=127.0.0.1 port=5433 user=mover password=${password}`;
    const onOld = async (text: string, database = "postgres"): Promise<string> =>
      (
        await host.runOk(["psql", `${there} dbname=${database}`, "-AtqX", "-v", "ON_ERROR_STOP=1"], { input: text })
      ).trim();
    await onOld("CREATE ROLE postgres SUPERUSER; CREATE DATABASE shop");
    await onOld("CREATE TABLE goods AS SELECT i, md5(i::text) FROM generate_series(1, 1000) i", "shop");
    await sql("CREATE ROLE mover SUPERUSER; INSERT INTO beat VALUES (clock_timestamp())");
    const access = {
      connection: connectionTo(host),
      user: "root",
      databaseUser: "postgres",
      runtimeArgv: ["/usr/local/bin/pgbackstop"],
    };
    const stack = await openStack(programFolder, "move", async () => {
      const { mayRetireSource, reports } = new Migration("move", {
        source: {
          address: "127.0.0.1",
          port: 5433,
          user: "mover",
          sslMode: MigrationSslMode.Disable,
          password: pulumi.secret(password),
        },
        target: { host: access },
        units: [{ host: access, names: ["shop.service"] }],
        databases: ["shop"],
        keepRoles: ["mover"],
        until: MigrationStage.Retire,
      });
      return { mayRetireSource, reports };
    });
    const since = await shell("sleep 1; date +%s");
    const { outputs, stdout } = await stack.up();
    printedTexts.push(stdout);
    const reports = outputs["reports"]?.value as Record<string, string>;
    expect(JSON.parse(reports["verify"] ?? "")).toMatchObject({
      ok: true,
      guarded: true,
      databases: [{ name: "shop", rows: 1000 }],
    });
    expect([outputs["mayRetireSource"]?.value, JSON.parse(reports["finish"] ?? "")]).toMatchObject([
      true,
      { missing: [], databases: 1 },
    ]);
    const journal = await shell(`journalctl --sync; journalctl -u shop.service --since=@${since.trim()} -o cat`);
    expect([journal.match(/Stopped/g)?.length, await shell("systemctl is-active shop.service")]).toEqual([
      1,
      "active\n",
    ]);
    const locations = [
      stdout,
      ...stateTexts(programFolder.folder),
      // Only later entries: the command that created the old server had the password in its arguments.
      await shell(
        `journalctl --no-pager -o verbose --since=@${since.trim()}; cat /dev/shm/* /tmp/pgb* 2>/dev/null || true`,
      ),
    ];
    expect(locations.some((text) => text.includes(password))).toBe(false);
    expect(await shell("ls -d /dev/shm/pgbackstop* /tmp/pgbackstop* 2>/dev/null || true")).toBe("");
    await shell(`runuser -u postgres -- ${binaries}/pg_ctl -D ${old} -m fast -w stop`);
  });

  test("after the repair it passes; no secret is left, and destroying it leaves no unit", async () => {
    const { code, record } = await drill("quick");
    expect([code, record.failures]).toEqual([0, []]);
    expect(await metric("pgbackstop_drill_ok", 1)).toBe(1);
    await expectNowhere(host);
    const { stdout } = await (await open()).destroy();
    printedTexts.push(stdout);
    for (const each of [host, far])
      expect(await shell("ls -d /etc/systemd/system/pgbackstop* /etc/pgbackstop 2>/dev/null || true", each)).toBe("");
    expect([...printedTexts, ...stateTexts(programFolder.folder)].some((text) => holdsSecret(text, secrets))).toBe(
      false,
    );
  });
});

/**
 * Within a tenth, or within the delay that a busy machine's scheduler adds to either clock.
 * @param measured one time, or the earliest and latest possible times
 */
function isWithinTenth(messages: number, measured: readonly number[]): boolean {
  const [least, most] = [Math.min(...measured), Math.max(...measured)];
  return messages >= least - Math.max(least / 10, 500) && messages <= most + Math.max(most / 10, 500);
}
