/**
 * What `PostgresHost` installs on a booted Debian 12: units, secrets, the agent and the launcher. One repository is a
 * directory of the host. The other is an S3 server that the tests can disconnect.
 */
// claim: README.md: only root can read a host's secrets, and neither `ps`, environments, units, logs nor the state
//   contain one (a booted Debian 12, planted secrets)
// claim: README.md: an agent on a host loses no WAL when it is killed under load, restarted by an update, rebooted or
//   cut off from its bucket (judged by `verify`, ours and stock's)
import { createHmac, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runbookOf } from "../../components/plan/runbook/databaseRunbook";
import type { RunbookScenario } from "../../components/plan/runbook/runbookDocument";
import type { Topology } from "../../components/plan/topology/topology";
import { NotifyType } from "../../components/databases/notifyArgs";
import type { StreamingArgs } from "../../components/databases/walArgs";
import { PostgresHost } from "../../components/databases/postgresHost";
import { PosixRepository } from "../../components/repositories/posixRepository";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { parseLsn } from "../../runtime/format/wal/walSegment";
import { findStockPgbackrest } from "../../tools/parts/debian/pgbackrest";
import { run, waitFor } from "../../tools/parts/process";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import type { S3Server } from "../../tools/parts/servers/s3Server";
import { stateTexts } from "../harness/compare/engineTexts";
import {
  bucketOf,
  connectionTo,
  expectProtected,
  expectSoundUnits,
  ownCluster,
  showServer,
  startHostServer,
} from "../harness/hosts/declaredHost";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { engineHostParts } from "../harness/hosts/parts";
import { waitForRecovery } from "../harness/hosts/recovery";
import { runOverSsh } from "../harness/hosts/ssh";
import { type RecordedRequest, startWebServer, type WebServer } from "../harness/doubles/messageServers";
import { holdsSecret } from "../harness/compare/secrets";
import { atNight, NIGHTLY } from "../../tools/parts/nightly";

const DATA = "/var/lib/postgresql/15/main";
const AGENT = "pgbackstop-main-agent";
const VERIFY = "pgbackstop-main-verify.service";
const NOTICE = `pgbackstop-main-failed@${VERIFY}.service`;
/** sops-nix links this path to the folder of the current generation. */
const SECRETS = "/run/secrets";
const CREDENTIALS = "/etc/pgbackstop/credentials";
const CLUSTER_UNIT = "postgresql@15-main";
const METRICS = "127.0.0.1:9854";
/**
 * WAL segments written while the bucket is unreachable: half an hour's worth at this host's archive_timeout of one
 * minute.
 */
const BACKLOG = 30;
const STREAM_INTERVAL_SECONDS = 2;
/** Allows for a busy machine: the upload, and the delay before the kill takes effect. */
const STREAM_SLACK_SECONDS = 15;
/**
 * The nightly form also runs the recovery onto a new machine, and recoveries whose command differs from the first one's
 * by an option: test/interop/restore/recover.test.ts shows them.
 */
const RECOVERIES = atNight("time", "repository-2", "latest", "set");

describe("files and units on a host", async () => {
  const parts = await engineHostParts("the agent on a host", ["bookworm"]);
  if (parts === null) return;
  const passphrase = `marker-${randomBytes(24).toString("hex")}`;
  const hookPath = `hook-${randomBytes(12).toString("hex")}`;
  const hmacSecret = `hmac-${randomBytes(24).toString("hex")}`;
  let host: DebianHost;
  let server: S3Server;
  let hooks: WebServer;
  let hookUrl: string;
  const otlpKey = `otlp-${randomBytes(24).toString("hex")}`;
  const reportPassword = `report-${randomBytes(24).toString("hex")}`;
  let receiver: WebServer;
  let otlpEndpoint: string;
  let programFolder: ProgramFolder;
  let secrets: readonly string[];
  let topology: string;
  let streaming: StreamingArgs | null = null;
  const printedTexts: string[] = [];
  beforeAll(async () => {
    server = await startHostServer();
    hooks = await startWebServer();
    receiver = await startWebServer();
    secrets = [passphrase, server.accessKey, server.secretKey, hookPath, hmacSecret, otlpKey, reportPassword];
    host = await startDebianHost(parts, { suite: "bookworm", name: "agent" });
    await showServer(host, server);
    const hookPort = Number(new URL(hooks.origin).port);
    hookUrl = `http://${await host.network.expose(hookPort)}:${hookPort}/${hookPath}`;
    const receiverPort = Number(new URL(receiver.origin).port);
    otlpEndpoint = `http://${await host.network.expose(receiverPort)}:${receiverPort}`;
    await host.runOk(["install", "-d", "-o", "postgres", "-m", "0750", "/srv/first"]);
    // Each verify here reads hundreds of segments of both repositories.
    const resize = `runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_resetwal --wal-segsize=1 ${DATA}`;
    await ownCluster(host, 15, resize);
    programFolder = await makeProgramFolder();
  });
  afterAll(async () => {
    await host?.stop();
    await server?.remove();
    await hooks?.close();
    await receiver?.close();
    removeProgramFolder(programFolder);
  });

  /**
   * @param isOnHost the bucket's secrets are already on the host, put there by someone else
   * @param isLost a new machine as in the runbook: it only restores
   */
  const open = (keepDays = 7, isOnHost = false, isLost = false): Promise<Stack> =>
    openStack(programFolder, "agent", async () => {
      const { bucket: keys, ...location } = bucketOf(server);
      const bucket = new S3CompatibleRepository("bucket", {
        ...location,
        bucket: isOnHost ? { existing: { name: server.bucket } } : keys,
        path: "/agent",
        ...(isOnHost ? {} : { cipher: { passphrase } }),
      });
      const db = new PostgresHost("db", {
        connection: connectionTo(host),
        dataDirectory: DATA,
        repositories: {
          repo1: { at: new PosixRepository("first", { path: "/srv/first" }).target, keepDays },
          repo2: {
            at: bucket.target,
            keepDays: 60,
            ...(isOnHost
              ? { secretFiles: { options: `${SECRETS}/r2.conf`, passphrase: `${SECRETS}/r2-passphrase` } }
              : {}),
          },
        },
        notify: {
          targets: [{ type: NotifyType.Webhook, url: pulumi.secret(hookUrl), hmacSecret: pulumi.secret(hmacSecret) }],
        },
        restartCommand: ["systemctl", "restart", CLUSTER_UNIT],
        ...(isLost
          ? { restoreOnly: true }
          : {
              schedules: { full: { cron: "0 3 * * 0", timeZone: "Europe/Berlin" } },
              backupPriority: { cpuNice: 5, ioClass: "best-effort", ioLevel: 7 },
              allowRestart: true,
              archiveTimeoutSeconds: 60,
              monitoring: {
                listen: METRICS,
                reportPassword,
                otlp: { endpoint: otlpEndpoint, headers: { "x-api-key": pulumi.secret(otlpKey) } },
              },
              ...(streaming === null ? {} : { streaming }),
            }),
      });
      return { firstBackup: db.firstBackup, restoreCommand: db.restoreCommand, topology: db.topology };
    });
  /** What the agent answers on its address. */
  const asked = async (path: string, headers: readonly string[] = []): Promise<string> => {
    const script = `exec 3<>/dev/tcp/${METRICS.replace(":", "/")}; cat >&3; cat <&3`;
    const input = [`GET ${path} HTTP/1.0`, ...headers, "", ""].join("\r\n");
    return (await host.run(["bash", "-c", script], { input })).stdout;
  };
  const up = async (keepDays?: number, isOnHost?: boolean, isLost?: boolean): Promise<Record<string, unknown>> => {
    const stack = await open(keepDays, isOnHost, isLost);
    const { outputs, stdout } = await stack.up();
    printedTexts.push(stdout);
    return Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value as unknown]));
  };
  const sql = async (text: string): Promise<string> =>
    (
      await host.runOk(["runuser", "-u", "postgres", "--", "psql", "-AtqX", "-v", "ON_ERROR_STOP=1"], { input: text })
    ).trim();
  const shell = (text: string): Promise<string> => host.runOk(["sh", "-c", text]);
  const waitForArchive = (): Promise<true> =>
    waitFor("the archive", 120_000, async () =>
      (await shell(`ls ${DATA}/pg_wal/archive_status`)).includes(".ready") ? null : true,
    );
  /** Each segment has a row that a restore must return. */
  const writeSegments = (count: number): Promise<string> =>
    sql(`${"INSERT INTO ledger DEFAULT VALUES; SELECT pg_switch_wal() IS NULL;\n".repeat(count)}`);
  const expectNowhere = async (): Promise<void> => {
    const locations = {
      "command lines": "cat /proc/[0-9]*/cmdline",
      environments: "cat /proc/[0-9]*/environ",
      journal: "journalctl --no-pager -o verbose",
      units: `systemctl cat 'pgbackstop-*'; systemctl show '${AGENT}*'`,
      files:
        "cat /usr/local/bin/pgbackstop /etc/pgbackstop/*.conf /etc/pgbackstop/*.json /var/log/pgbackrest/* /var/log/postgresql/* 2>/dev/null",
      server: `cat ${DATA}/postgresql.auto.conf; find /tmp /var/spool /run/pgbackstop -type f -exec cat {} +`,
    };
    for (const [name, command] of Object.entries(locations)) {
      const { stdout } = await host.run(["sh", "-c", command]);
      expect([name, stdout.length > 0, holdsSecret(stdout, secrets)]).toEqual([name, true, false]);
    }
    expect([...printedTexts, ...stateTexts(programFolder.folder)].some((text) => holdsSecret(text, secrets))).toBe(
      false,
    );
  };
  const rowCount = async (): Promise<number> => Number(await sql("SELECT count(*) FROM ledger"));
  /** Deletes everything in a folder while a process may still write to it. */
  const empty = (folder: string): Promise<string> =>
    shell(`for each in 1 2 3 4 5 6 7 8 9; do find ${folder} -mindepth 1 -delete && exit 0; sleep 0.5; done; exit 1`);

  test("one update brings the agent, its socket and the first backups", async () => {
    const outputs = await up();
    topology = String(outputs["topology"]);
    expect(outputs).toMatchObject({
      firstBackup: "taken",
      restoreCommand: "/usr/local/bin/pgbackstop --delta restore",
    });
    expect((await shell(`systemctl is-active ${AGENT}.socket ${AGENT}.service`)).trim()).toBe("active\nactive");
    expect(await sql("SHOW archive_command")).toBe(
      "/usr/local/lib/pgbackstop/pgbackrest-client /run/pgbackstop/main.sock archive-push %p",
    );
    expect(await shell("stat -c '%U %a' /run/pgbackstop/main.sock")).toBe("postgres 600\n");
    await sql("CREATE TABLE ledger (id bigserial PRIMARY KEY, at timestamptz DEFAULT now())");
  });

  // claim: docs/notifications.md: targets get starts, ends…
  test("the agent serves the metrics of both repositories at the configured address", async () => {
    const text = await waitFor("the metrics of both", 180_000, async () => {
      const stdout = await asked("/metrics");
      return stdout.includes("200 OK") && stdout.match(/^pgbackstop_repo_up\{.*\} 1$/gm)?.length === 2 ? stdout : null;
    });
    expect(holdsSecret(text, secrets)).toBe(false);
  });

  test("the agent serves the report to those with the password", async () => {
    expect(await asked("/report")).toMatch(/^HTTP\/1\.1 401 /);
    const text = await asked("/report", [`Authorization: Bearer ${reportPassword}`]);
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(text).toContain("repo2 can restore:");
    expect(holdsSecret(text, secrets)).toBe(false);
  });

  // claim: docs/monitoring.md: a host sends its metrics with a key that only root can read, and that no environment has
  test("a unit sends the metrics to a receiver of OpenTelemetry, and no file repeats them", async () => {
    await host.runOk(["systemctl", "start", "pgbackstop-main-metrics.service"]);
    const sent = receiver.requests.at(-1);
    expect([sent?.path, sent?.headers["x-api-key"]]).toEqual(["/v1/metrics", otlpKey]);
    const body = sent?.body ?? "";
    expect(body).toContain('{"name":"pgbackstop_repo_up",');
    expect(holdsSecret(body, secrets)).toBe(false);
    expect(await shell("systemctl cat pgbackstop-main-metrics.service")).not.toContain("--output-file");
  });

  test("only root can read the secrets, in one directory", async () => {
    expect(await shell("stat -c '%U:%G %a %n' /etc/pgbackstop/credentials /etc/pgbackstop/credentials/*")).toBe(
      "root:root 700 /etc/pgbackstop/credentials\nroot:root 600 /etc/pgbackstop/credentials/notify.json\nroot:root 600 /etc/pgbackstop/credentials/otlp.env\nroot:root 600 /etc/pgbackstop/credentials/repo2.conf\nroot:root 600 /etc/pgbackstop/credentials/report-password\n",
    );
    for (const account of ["deploy", "nosudo", "postgres"]) {
      const read = await host.run([
        "runuser",
        "-u",
        account,
        "--",
        "sh",
        "-c",
        "cat /etc/pgbackstop/credentials/repo2.conf; ls /etc/pgbackstop/credentials",
      ]);
      expect([read.exitCode === 0, holdsSecret(read.stdout, secrets)]).toEqual([false, false]);
    }
    for (const account of ["deploy", "nosudo"] as const) {
      const read = await host.run([
        "runuser",
        "-u",
        account,
        "--",
        "sh",
        "-c",
        "cat /run/credentials/*/*; cat /proc/*/environ",
      ]);
      expect(holdsSecret(read.stdout, secrets)).toBe(false);
      const refused = await runOverSsh(host, account, "/usr/local/bin/pgbackstop info");
      expect(refused).toMatchObject({ exitCode: 41, stdout: "" });
    }
    await expectNowhere();
    // The search must find the passphrase where it is stored.
    expect(holdsSecret(await shell("cat /etc/pgbackstop/credentials/repo2.conf"), [passphrase])).toBe(true);
  });

  test("systemd reports no fault in the units, and rates each of them as well protected", async () => {
    await expectSoundUnits(host);
    const calendars = (await shell("sed -n 's/^OnCalendar=//p' /etc/systemd/system/pgbackstop-*.timer"))
      .trim()
      .split("\n");
    for (const calendar of calendars) await host.runOk(["systemd-analyze", "calendar", calendar]);
    expect(calendars.length).toBeGreaterThan(0);
  });

  test("root's command has the keys while it runs, and passes on arguments, streams and exit codes", async () => {
    const info = JSON.parse(await host.runOk(["/usr/local/bin/pgbackstop", "info", "--output=json"])) as {
      repo: unknown[];
    }[];
    expect(info[0]?.repo).toHaveLength(2);
    expect(await host.runOk(["/usr/local/bin/pgbackstop", "status"])).toMatch(/^ +next runs +.*\bfull in /m);
    expect(await runOverSsh(host, "deploy", "sudo -n pgbackstop check --no-full-check")).toMatchObject({ exitCode: 0 });
    expect((await host.run(["/usr/local/bin/pgbackstop", "restore"])).exitCode).toBe(38);
    await waitFor("the end of what was lent", 60_000, async () =>
      (await shell("ls /run/credentials")).includes("pgbackstop-main-run") ? null : true,
    );
  });

  // claim: docs/hosts/status.md: a unit that systemd does not run as the update wrote it needs attention, and the
  //   printed command repairs it
  // claim: docs/hosts/status.md: a server that is down or archives elsewhere needs attention
  test("names the socket and the timer that systemd does not run as they were written", async () => {
    const [timer, service] = ["pgbackstop-main-full.timer", "pgbackstop-main-full.service"];
    const [units, spare] = ["/etc/systemd/system", "/usr/local/lib/systemd/system"];
    const dropIn = (unit: string, lines: string): string =>
      `mkdir -p ${units}/${unit}.d; printf '${lines}' > ${units}/${unit}.d/moved.conf; systemctl daemon-reload`;
    const cases: readonly (readonly [how: string, said: string])[] = [
      [`systemctl stop ${AGENT}.socket`, `${AGENT}.socket is stopped: WAL of this host is not archived`],
      [`systemctl disable --now ${AGENT}.socket`, `${AGENT}.socket is stopped and disabled: `],
      [`systemctl disable ${timer}`, `${timer} is disabled: `],
      [
        // systemd masks no unit whose file is in its own folder.
        `systemctl disable --now ${timer}; mkdir -p ${spare}; mv ${units}/${timer} ${spare}/; systemctl mask ${timer}`,
        `${timer} is masked: `,
      ],
      [
        `${dropIn(timer, "[Timer]\\nOnCalendar=\\nOnCalendar=2099-01-01 00:00:00 UTC\\n")}; systemctl restart ${timer}`,
        `at 2099-01-01T00:00:00Z (${units}/${timer}.d/moved.conf)`,
      ],
      [
        dropIn(service, "[Service]\\nExecStart=\\nExecStart=/bin/true\\n"),
        `${service} runs /bin/true instead of its command (${units}/${service}.d/moved.conf)`,
      ],
      [`systemctl stop ${CLUSTER_UNIT}`, `the server of '${DATA}' is down: not seen since `],
    ];
    for (const [how, said] of cases) {
      await shell(how);
      const { exitCode, stdout } = await host.run(["/usr/local/bin/pgbackstop", "status"]);
      expect([exitCode, stdout]).toEqual([104, expect.stringContaining(said)]);
      await shell(/^ +HINT: (.+)$/m.exec(stdout)?.[1] ?? expect.fail(stdout));
      await shell(
        `if [ -e ${spare}/${timer} ]; then mv ${spare}/${timer} ${units}/; systemctl daemon-reload; systemctl reenable ${timer}; fi`,
      );
      await host.runOk(["/usr/local/bin/pgbackstop", "status"]);
    }
    await shell(`rmdir ${units}/${timer}.d ${units}/${service}.d`);
    await host.runOk(["/usr/local/bin/pgbackstop", "check"]);
    const own = await sql("SHOW archive_command");
    // PostgreSQL keeps what this refuses.
    const archiveBy = (command: string): Promise<string> =>
      sql(`ALTER SYSTEM SET archive_command = '${command}'; SELECT pg_reload_conf(), pg_sleep(1)`);
    await archiveBy("/bin/false");
    const { exitCode, stdout } = await host.run(["/usr/local/bin/pgbackstop", "status"]);
    expect([exitCode, stdout]).toEqual([
      104,
      expect.stringContaining("archive_command '/bin/false' must contain pgbackrest"),
    ]);
    await archiveBy(own);
    await host.runOk(["/usr/local/bin/pgbackstop", "status"]);
  });

  test("a timer starts its backup", async () => {
    const before = (await shell("ls -d /srv/first/backup/main/*F | wc -l")).trim();
    await shell(
      `mkdir -p /run/systemd/system/pgbackstop-main-full.timer.d
       printf '[Timer]\\nOnCalendar=\\nOnCalendar=*-*-* *:*:0/2\\n' > /run/systemd/system/pgbackstop-main-full.timer.d/short.conf
       systemctl daemon-reload; systemctl restart pgbackstop-main-full.timer`,
    );
    await waitFor("the timer", 180_000, async () =>
      (await shell("ls -d /srv/first/backup/main/*F | wc -l")).trim() === before ? null : true,
    );
    await shell(
      "rm -r /run/systemd/system/pgbackstop-main-full.timer.d; systemctl daemon-reload; systemctl restart pgbackstop-main-full.timer",
    );
    await waitFor("its end", 180_000, async () =>
      (await host.run(["systemctl", "is-active", "pgbackstop-main-full.service"])).stdout.includes("activating")
        ? null
        : true,
    );
    expect((await shell("systemctl show -p Result --value pgbackstop-main-full.service")).trim()).toBe("success");
  });

  // claim: docs/hosts/priority.md: backupPriority is for the units of backups, and neither for others nor for the agent
  test("systemd gives the backups their priority, and the agent the server's", async () => {
    const priorityOf = (unit: string): Promise<string> =>
      shell(`systemctl show -p Nice -p IOSchedulingClass -p IOSchedulingPriority ${unit}.service`);
    expect(await priorityOf("pgbackstop-main-full")).toMatch(/^Nice=5$/m);
    expect(await priorityOf("pgbackstop-main-full")).toMatch(/^IOSchedulingClass=(2|best-effort)$/m);
    expect(await priorityOf("pgbackstop-main-full")).toMatch(/^IOSchedulingPriority=7$/m);
    expect(await priorityOf(AGENT)).toMatch(/^Nice=0$/m);
    const pid = (await shell(`systemctl show -p MainPID --value ${AGENT}.service`)).trim();
    expect((await shell(`ps -L -o ni= -p ${pid} | sort -u`)).trim()).toBe("0");
  });

  test("an agent that is killed repeatedly under load loses nothing and causes no permanent failure", async () => {
    const writing = writeSegments(12);
    for (let round = 0; round < 3; round++) {
      await host.runOk(["systemctl", "kill", "--signal=KILL", `${AGENT}.service`]);
      await waitFor("the agent", 120_000, async () =>
        (await host.run(["systemctl", "is-active", `${AGENT}.service`])).exitCode === 0 ? true : null,
      );
    }
    await writing;
    await waitForArchive();
    expect(await host.runOk(["/usr/local/bin/pgbackstop", "verify"])).not.toContain("missing");
  });

  test("a change restarts the agent behind its socket: no archive call fails", async () => {
    await sql("SELECT pg_stat_reset_shared('archiver')");
    const pid = await shell(`systemctl show -p MainPID --value ${AGENT}.service`);
    let done = false;
    const changed = up(9).finally(() => {
      done = true;
    });
    while (!done) await writeSegments(1);
    await changed;
    await waitForArchive();
    expect(await shell(`systemctl show -p MainPID --value ${AGENT}.service`)).not.toBe(pid);
    expect(await sql("SELECT failed_count FROM pg_stat_archiver")).toBe("0");
    // Two queues at once would remove each other's files.
    expect(
      await shell(`journalctl --sync; journalctl --no-pager -u ${AGENT}.service | grep -c FileMoveError || true`),
    ).toBe("0\n");
  });

  test("everything starts again after a reboot", async () => {
    await writeSegments(2);
    await host.reboot();
    await waitFor("PostgreSQL", 120_000, async () =>
      (await host.run(["runuser", "-u", "postgres", "--", "psql", "-c", "select 1"])).exitCode === 0 ? true : null,
    );
    await writeSegments(2);
    await waitForArchive();
    expect(
      (
        await shell(`systemctl is-enabled ${AGENT}.socket pgbackstop-main-full.timer; systemctl --failed --no-legend`)
      ).trim(),
    ).toBe("enabled\nenabled");
  });

  test("WAL written while the bucket is unreachable waits, and arrives without help afterwards", async () => {
    await host.cutNetwork();
    await writeSegments(BACKLOG);
    const waiting = (await shell(`ls ${DATA}/pg_wal/archive_status`)).match(/\.ready/g)?.length ?? 0;
    expect(waiting).toBeGreaterThanOrEqual(BACKLOG - 2);
    const beganAt = performance.now();
    await host.restoreNetwork();
    await waitForArchive();
    console.log(
      `${waiting} segments caught up in ${Math.round(performance.now() - beganAt)} ms after the cable was back`,
    );
    const verified = await host.run(["/usr/local/bin/pgbackstop", "--log-level-console=info", "verify"]);
    expect([verified.exitCode, verified.stdout.includes("missing")]).toEqual([0, false]);
  });

  /** @returns the status of the verify unit after a verify that must fail */
  const failVerify = async (): Promise<string> => {
    await shell(`mv /srv/first /srv/away; systemctl start ${VERIFY}; mv /srv/away /srv/first`);
    return shell(`systemctl show -p Result -p ExecMainStatus ${VERIFY}`);
  };
  const reported = (): RecordedRequest[] => hooks.requests.filter(({ body }) => body.includes(VERIFY));
  const eventsOf = (requests: readonly RecordedRequest[]): string[] =>
    requests.map(({ body }) => (JSON.parse(body) as { event: string }).event);
  const failures = (): RecordedRequest[] => reported().filter((request) => eventsOf([request])[0] === "failure");

  // claim: docs/notifications.md: targets get starts, ends and failures of a host's units on request, in order, with
  //   the run's id, from units that nothing waits for; the agent serves the metrics of both repositories
  test("start and end of a run are notified, in this order and with one run id", async () => {
    const before = reported().length;
    await shell(`systemctl start ${VERIFY}`);
    await waitFor("the end", 180_000, async () =>
      eventsOf(reported().slice(before)).includes("success") ? true : null,
    );
    const notices = reported().slice(before);
    expect(eventsOf(notices)).toEqual(["start", "success"]);
    const runs = notices.map(
      ({ body }) => (JSON.parse(body) as { unitFacts: { invocationId: string } }).unitFacts.invocationId,
    );
    expect(runs[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(runs[1]).toBe(runs[0]);
    expect(runs[0]).toBe((await shell(`systemctl show -p InvocationID --value ${VERIFY}`)).trim());
  });

  // claim: README.md: a failed unit notifies the targets of `notify`, signed, and a missing receiver does not affect it
  //   (through systemd's `OnFailure=`)
  // claim: docs/notifications.md: targets get starts, ends…
  test("a failed unit is notified, with a signature; a missing receiver does not affect the unit", async () => {
    const failuresBefore = failures().length;
    const failed = await failVerify();
    expect(failed).toMatch(/^Result=exit-code\nExecMainStatus=[1-9]\d*\n$/);
    const { body, headers, method, path } = await waitFor(
      "the notice",
      180_000,
      async () => failures()[failuresBefore] ?? null,
    );
    expect([method, path]).toEqual(["POST", `/${hookPath}`]);
    const status = /ExecMainStatus=(\d+)/.exec(failed)?.[1];
    expect(JSON.parse(body)).toMatchObject({
      event: "failure",
      ok: false,
      stanza: "main",
      unit: VERIFY,
      unitFacts: { result: "exit-code", status },
      title: `${VERIFY} failed on ${host.name}`,
    });
    const stamp = String(headers["x-pgbackstop-timestamp"]);
    expect(Math.abs(Date.now() / 1000 - Number(stamp))).toBeLessThan(60);
    expect(headers["x-pgbackstop-signature"]).toBe(
      `sha256=${createHmac("sha256", hmacSecret).update(`${stamp}.${body}`).digest("hex")}`,
    );
    expect(holdsSecret(body, secrets)).toBe(false);
    const beganAt = await shell("date '+%s'");
    // The notifier must get its answer before the webhook closes.
    await waitFor("the end of who told it", 60_000, async () =>
      (await host.run(["systemctl", "is-active", NOTICE])).stdout === "inactive\n" ? true : null,
    );
    expect(failures()).toHaveLength(failuresBefore + 1);
    await hooks.close();
    expect(await failVerify()).toBe(failed);
    await waitFor("its end", 300_000, async () =>
      (await host.run(["systemctl", "is-active", NOTICE])).stdout === "failed\n" ? true : null,
    );
    expect((await shell(`systemctl show -p ExecMainStatus --value ${NOTICE}`)).trim()).toBe("104");
    expect(await shell(`journalctl --sync; journalctl --no-pager -u ${NOTICE} --since=@${beganAt.trim()}`)).toMatch(
      /1 of 1 notification\(s\) were not delivered/,
    );
    await shell(`systemctl reset-failed; systemctl start ${VERIFY}`);
    await expectNowhere();
  });

  const backupsInBucket = async (): Promise<number> => {
    const info = JSON.parse(await host.runOk(["/usr/local/bin/pgbackstop", "info", "--output=json"])) as {
      backup: { database: { "repo-key": number } }[];
    }[];
    return info[0]?.backup.filter(({ database }) => database["repo-key"] === 2).length ?? 0;
  };
  /** Each generation of secrets is a complete folder. Only the link changes. */
  const bringSecrets = async (generation: number, secretKey: string): Promise<void> => {
    const folder = `/run/secrets.d/${generation}`;
    await shell(`install -d -m 0751 ${folder}`);
    const files = {
      "r2.conf": `[global]\nrepo2-s3-key=${server.accessKey}\nrepo2-s3-key-secret=${secretKey}\n`,
      "r2-passphrase": passphrase,
    };
    for (const [name, text] of Object.entries(files)) {
      await host.runOk(["sh", "-c", `umask 377; cat > ${folder}/${name}`], { input: text });
    }
    await shell(`ln -sfn ${folder} ${SECRETS}`);
  };

  // claim: docs/synchronous.md: with a limit, commits…
  test.runIf(NIGHTLY)(
    "commits wait for the bucket, also after a boot, and with a limit no longer when the agent cannot start",
    async () => {
      const names = (): Promise<string> => sql("SHOW synchronous_standby_names");
      const waits = (): Promise<true> =>
        waitFor("waiting commits", 120_000, async () => ((await names()) === "pgbackstop" ? true : null));
      streaming = { synchronous: "any", degradeAfterSeconds: 5 };
      await up();
      await waits();
      await host.reboot();
      // Nothing but a commit asks for the agent here: without the boot's start it would wait for ever.
      await waitFor("a commit after the boot", 120_000, async () =>
        (await host.run(["runuser", "-u", "postgres", "--", "psql", "-XAtqc", "INSERT INTO ledger DEFAULT VALUES"]))
          .exitCode === 0
          ? true
          : null,
      );
      expect(await names()).toBe("pgbackstop");
      await shell(`mv ${CREDENTIALS} ${CREDENTIALS}.away; systemctl kill --signal=KILL ${AGENT}.service`);
      const beganMs = performance.now();
      await sql("INSERT INTO ledger DEFAULT VALUES");
      console.log(
        `${host.suite} a commit waited ${((performance.now() - beganMs) / 1000).toFixed(1)} s for an agent that cannot start`,
      );
      expect(await names()).toBe("");
      expect(await shell("journalctl --no-pager -o cat -u pgbackstop-main-degrade")).toContain(
        "commits no longer wait for the repositories: no agent has answered for 5 seconds",
      );
      await shell(`mv ${CREDENTIALS}.away ${CREDENTIALS}; systemctl start ${AGENT}.service`);
      await waits();
      await sql("INSERT INTO ledger DEFAULT VALUES");
      streaming = null;
      await up();
      expect(await shell("ls /etc/systemd/system /usr/local/lib/pgbackstop")).not.toContain("degrade");
      await waitFor("the setting", 60_000, async () => ((await names()) === "" ? true : null));
    },
  );

  // claim: README.md: existing secrets of a host are used in place, also after renewal, and reach no file, state or
  //   output (secrets as sops-nix leaves them; sops-nix itself does not run)
  test("existing secrets of the host are used in place, and copied nowhere", async () => {
    await expect(up(9, true)).rejects.toThrow(`${SECRETS}/r2.conf, ${SECRETS}/r2-passphrase: missing on 127.0.0.1`);
    expect(await shell("ls /etc/pgbackstop/credentials")).toBe("notify.json\notlp.env\nrepo2.conf\nreport-password\n");
    await bringSecrets(1, server.secretKey);
    const before = await backupsInBucket();
    await up(9, true);
    // The passphrase is unchanged, so the update sees the backups and takes no first backup.
    expect(await backupsInBucket()).toBe(before);
    expect(await shell("ls /etc/pgbackstop/credentials")).toBe("notify.json\notlp.env\nreport-password\n");
    expect(await shell(`stat -L -c '%U %a %n' ${SECRETS}/*`)).toBe(
      `root 400 ${SECRETS}/r2-passphrase\nroot 400 ${SECRETS}/r2.conf\n`,
    );
    await expectNowhere();
    expect(
      await shell(
        `grep -rlF -e ${passphrase} -e ${server.secretKey} /etc /usr/local /var/log /var/spool /var/lib/node_exporter || true`,
      ),
    ).toBe("");
    await writeSegments(2);
    await waitForArchive();
    await host.runOk(["systemctl", "start", "pgbackstop-main-full.service"]);
    expect(await backupsInBucket()).toBe(before + 1);
  });

  // claim: README.md: existing secrets of a…
  test("new secrets take effect when the agent starts again; without any, the unit says so", async () => {
    await bringSecrets(2, "of-nobody");
    await host.runOk(["systemctl", "restart", `${AGENT}.service`]);
    await sql("SELECT pg_stat_reset_shared('archiver')");
    await writeSegments(1);
    await waitFor("its refusal", 180_000, async () =>
      Number(await sql("SELECT failed_count FROM pg_stat_archiver")) > 0 ? true : null,
    );
    await shell(`rm ${SECRETS}`);
    expect((await host.run(["systemctl", "restart", `${AGENT}.service`])).exitCode).not.toBe(0);
    // Each archive call from PostgreSQL starts the agent again. The exit status shows only between two starts.
    await waitFor("its status", 60_000, async () =>
      (await shell(`systemctl show -p ExecMainStatus --value ${AGENT}.service`)) === "243\n" ? true : null,
    );
    expect(await host.run(["/usr/local/bin/pgbackstop", "info"])).toMatchObject({ exitCode: 55, stdout: "" });
    await bringSecrets(3, server.secretKey);
    await waitForArchive();
    const verified = await host.run(["/usr/local/bin/pgbackstop", "--log-level-console=info", "verify"]);
    expect([verified.exitCode, verified.stdout.includes("missing")]).toEqual([0, false]);
    await shell(`rm -r /run/secrets.d/1 /run/secrets.d/2`);
    await expectNowhere();
  });

  test("stock reads the bucket and finds no fault", async (context) => {
    const stock = await findStockPgbackrest("2.60");
    if ("missing" in stock) return context.skip(stock.missing);
    const file = join(programFolder.folder, "stock.conf");
    const options = {
      "repo1-type": "s3",
      "repo1-path": "/agent",
      "repo1-s3-bucket": server.bucket,
      "repo1-s3-endpoint": server.host,
      "repo1-storage-port": server.port,
      "repo1-s3-region": server.region,
      "repo1-s3-uri-style": "path",
      "repo1-s3-key": server.accessKey,
      "repo1-s3-key-secret": server.secretKey,
      "repo1-storage-ca-file": server.caFile,
      "repo1-cipher-type": "aes-256-cbc",
      "repo1-cipher-pass": passphrase,
      "lock-path": join(programFolder.folder, "lock"),
    };
    writeFileSync(
      file,
      `[global]\n${Object.entries(options)
        .map(([name, value]) => `${name}=${value}\n`)
        .join("")}`,
    );
    const args = [
      `--config=${file}`,
      "--allow-root",
      "--stanza=main",
      "--log-level-file=off",
      "--log-level-console=info",
    ];
    const printed = await stock.pgbackrest.runOk([...args, "--output=text", "--verbose", "verify"]);
    expect(printed).toMatch(/status: ok/);
    expect(printed).not.toMatch(/missing: [1-9]|checksum invalid: [1-9]|size invalid: [1-9]|other: [1-9]/);
  });

  test("a restore here gets its WAL through the agent, with every row", async () => {
    const rows = await rowCount();
    await waitForArchive();
    await host.runOk(["systemctl", "stop", CLUSTER_UNIT]);
    await host.runOk(["/usr/local/bin/pgbackstop", "--delta", "--repo=2", "restore"]);
    expect(await shell(`grep ^restore_command ${DATA}/postgresql.auto.conf`)).toContain(
      "pgbackrest-client /run/pgbackstop/main.sock archive-get %f %p --repo=2",
    );
    await host.runOk(["systemctl", "start", CLUSTER_UNIT]);
    await waitForRecovery(sql);
    expect(await rowCount()).toBe(rows);
    await writeSegments(1);
    await waitForArchive();
  });

  // claim: docs/streaming.md: streaming enabled by `PostgresHost` restores commits from seconds before the server died
  //   with its disk
  test.runIf(NIGHTLY)(
    "streaming, enabled here, restores transactions committed seconds before the server died with its disk",
    async () => {
      streaming = { intervalSeconds: STREAM_INTERVAL_SECONDS };
      topology = String((await up(9, true))["topology"]);
      await expectProtected(host, `${AGENT}.service`);
      await sql(
        "CREATE TABLE beats (at timestamptz PRIMARY KEY DEFAULT clock_timestamp()); INSERT INTO beats DEFAULT VALUES",
      );
      const lsn = await sql("SELECT pg_current_wal_flush_lsn() - '0/0'");
      await waitFor("the stream into both repositories", 120_000, async () => {
        const { stdout } = await host.run(["/usr/local/bin/pgbackstop", "status", "--output=json"]);
        const { repos } = JSON.parse(stdout) as { repos: { stream: { lsn: string } | null }[] };
        const reached = repos.map(({ stream }) => (stream === null ? 0n : parseLsn(stream.lsn)));
        return reached.length === 2 && reached.every((each) => each >= BigInt(lsn)) ? true : null;
      });
      await host.runOk(["/usr/local/bin/pgbackstop", "check"]);
      // From here on no segment fills up or is switched, so complete segments alone would restore none of these rows.
      const beating = host.run([
        "runuser",
        "-u",
        "postgres",
        "--",
        "sh",
        "-c",
        "while psql -qX -c 'INSERT INTO beats DEFAULT VALUES'; do sleep 0.1; done",
      ]);
      await shell("sleep 6");
      const killedAt = Number(
        await shell(`systemctl kill --signal=KILL ${CLUSTER_UNIT} ${AGENT}.service; date '+%s.%N'`),
      );
      await empty(DATA);
      await beating;
      await shell(`systemctl stop ${CLUSTER_UNIT}; systemctl reset-failed ${CLUSTER_UNIT} || true`);
      await host.runOk(["/usr/local/bin/pgbackstop", "--repo=2", "restore"]);
      await host.runOk(["systemctl", "start", CLUSTER_UNIT]);
      await waitForRecovery(sql);
      const [count = 0, last = 0] = (await sql("SELECT count(*), extract(epoch FROM max(at)) FROM beats"))
        .split("|")
        .map(Number);
      console.log(`${count} beats came back, the last one ${(killedAt - last).toFixed(1)} s before the kill`);
      expect(killedAt - last).toBeLessThan(STREAM_INTERVAL_SECONDS + STREAM_SLACK_SECONDS);
      expect(count).toBeGreaterThan(1);
      await writeSegments(1);
      await waitForArchive();
      expect(await host.runOk(["/usr/local/bin/pgbackstop", "verify"])).not.toContain("missing");
    },
  );

  const scenarioOf = (id: string): RunbookScenario =>
    runbookOf(JSON.parse(topology) as Topology)?.scenarios.find((one) => one.id === id) ??
    expect.fail(`there is no ${id}`);
  /** Runs the commands as the operator's account and confirms them. */
  const carryOut = async (scenario: RunbookScenario, args: Readonly<Record<string, string>> = {}): Promise<void> => {
    for (const command of scenario.steps.flatMap(({ commands }) => commands)) {
      // The program is unchanged, so an update would do nothing.
      if (command === "pulumi up") continue;
      const line = Object.entries(args).reduce((text, [arg, value]) => text.replaceAll(`<${arg}>`, value), command);
      expect(line).not.toMatch(/<[A-Z]+>/);
      const printed = await runOverSsh(
        host,
        "deploy",
        / (recover|extract-table) /.test(`${line} `) ? `${line} --yes` : line,
      );
      expect([line, printed.exitCode, printed.exitCode === 0 ? "" : printed.stdout + printed.stderr]).toEqual([
        line,
        0,
        "",
      ]);
    }
  };

  // claim: docs/runbook.md: the runbook of hosts, command by command
  test.each(RECOVERIES)("the runbook's scenario %s, command by command, ends with the promised data", async (id) => {
    await waitForArchive();
    const rows = await rowCount();
    const time = await sql("SELECT now()");
    const set = (await shell("ls /srv/first/backup/main | grep -E '^[0-9]{8}-[0-9]{6}F$' | tail -n 1")).trim();
    await sql("SELECT pg_sleep(1.1); DELETE FROM ledger;");
    await writeSegments(1);
    await carryOut(scenarioOf(id), { TIME: time, LABEL: set });
    expect(await sql("SELECT pg_is_in_recovery()")).toBe("f");
    expect(await rowCount()).toBe(id === "time" ? rows : 1);
    // The next scenario needs the same number of rows. The old directories allow a return to the previous state.
    if (id !== "time") await sql(`INSERT INTO ledger (at) SELECT now() FROM generate_series(2, ${rows})`);
    expect(await shell(`ls -d ${DATA}.before-recover-*`)).toContain(DATA);
  });

  // claim: docs/runbook.md: the runbook of hosts…
  test.runIf(NIGHTLY)(
    "the runbook's scenario of a table: the commands that find prints restore it in place, and nothing else changes",
    async () => {
      await sql(
        "CREATE TABLE goods AS SELECT id, md5(id::text) AS name FROM generate_series(1, 1000) id; DELETE FROM goods WHERE id > 10",
      );
      const rows = await rowCount();
      const printed = await runOverSsh(host, "deploy", "sudo pgbackstop find --table=goods");
      const target =
        /^ {2}just before it: (.*)$/m.exec(printed.stdout)?.[1] ?? expect.fail(printed.stdout + printed.stderr);
      await carryOut(scenarioOf("table"), { DATABASE: "postgres", SCHEMA: "public", TABLE: "goods", TARGET: target });
      expect(await sql("SELECT count(*) FROM goods")).toBe("1000");
      expect(await rowCount()).toBe(rows);
      const kept = await sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'goods_before_%'");
      expect(await sql(`SELECT count(*) FROM ${kept}.goods`)).toBe("10");
    },
  );

  // claim: docs/runbook.md: the runbook of hosts…
  test.runIf(NIGHTLY)(
    "the runbook's scenarios of a lost repository and of a failing archive end with fully readable repositories",
    async () => {
      await waitForArchive();
      await empty("/srv/first");
      await carryOut(scenarioOf("repository-1-lost"));
      await carryOut(scenarioOf("archiving"));
      await writeSegments(1);
      await waitForArchive();
      const info = JSON.parse(await host.runOk(["/usr/local/bin/pgbackstop", "info", "--output=json"])) as {
        backup: { database: { "repo-key": number } }[];
      }[];
      expect(info[0]?.backup.filter(({ database }) => database["repo-key"] === 1).length).toBeGreaterThan(0);
    },
  );

  // claim: docs/runbook.md: a lost host is rebuilt on a new machine by its runbook's commands, with backups
  test.runIf(NIGHTLY)(
    "the runbook's scenario of a lost host, command by command, ends with every row on a new machine that has backups",
    async () => {
      await writeSegments(1);
      await waitForArchive();
      const rows = await rowCount();
      // Removes what is lost with the machine, including the repository on its disk. A new machine has only the cluster
      // that Debian's package creates.
      await shell(
        `systemctl disable --now pgbackstop-main-agent.socket; systemctl stop 'pgbackstop-*' ${CLUSTER_UNIT} || true
       rm -rf /etc/pgbackstop /usr/local/bin/pgbackstop /usr/local/lib/pgbackstop /etc/systemd/system/pgbackstop-* /etc/systemd/system/*.wants/pgbackstop-*
       rm -rf /var/log/pgbackrest /var/spool/pgbackrest /run/pgbackstop ${DATA}* /etc/postgresql/15/main
       find /srv/first -mindepth 1 -delete
       systemctl daemon-reload; systemctl reset-failed; pg_createcluster 15 main >/dev/null; systemctl start ${CLUSTER_UNIT}`,
      );
      const { steps } = scenarioOf("host-lost");
      const isRestoring = [true, false];
      let printedLast = "";
      for (const command of steps.flatMap(({ commands }) => commands)) {
        if (command === "pulumi up") {
          await up(7, false, isRestoring.shift());
        } else if (command.startsWith("pulumi ")) {
          const line = command.replace("<URN>", /urn:\S+/.exec(printedLast)?.[0] ?? "");
          const printed = await run("sh", ["-c", line.startsWith("pulumi state") ? `${line} --yes` : line], {
            env: programFolder.env,
            cwd: programFolder.folder,
          });
          expect([line, printed.exitCode, printed.exitCode === 0 ? "" : printed.stdout + printed.stderr]).toEqual([
            line,
            0,
            "",
          ]);
          printedLast = printed.stdout;
        } else {
          const isRecover = / recover/.test(command);
          const printed = await runOverSsh(host, "deploy", isRecover ? `${command} --yes` : command);
          const isRight = isRecover
            ? [103, 104].includes(printed.exitCode ?? 0) && printed.stdout.includes("is open, on timeline")
            : printed.exitCode === 0;
          expect([command, isRight, isRight ? "" : printed.stdout + printed.stderr]).toEqual([command, true, ""]);
        }
      }
      expect(await sql("SELECT pg_is_in_recovery()")).toBe("f");
      expect(await rowCount()).toBe(rows);
      expect(await shell("ls /srv/first/backup/main")).toContain("backup.info");
      await writeSegments(1);
      await waitForArchive();
    },
  );

  // claim: docs/synchronous.md: a destroy of a `PostgresHost`…
  test("destroying it leaves PostgreSQL and the repositories, and no secret; no commit waits for the agent", async () => {
    const names = (): Promise<string> => sql("SHOW synchronous_standby_names");
    streaming = { synchronous: "any" };
    await up(9, true);
    await waitFor("waiting commits", 120_000, async () => ((await names()) === "pgbackstop" ? true : null));
    const stack = await open(9, true);
    const { stdout } = await stack.destroy();
    printedTexts.push(stdout);
    expect(await names()).toBe("");
    await sql("INSERT INTO ledger DEFAULT VALUES");
    expect(await sql("SHOW archive_command")).not.toContain("pgbackstop");
    const left = await shell(
      "ls -d /etc/pgbackstop /usr/local/bin/pgbackstop /etc/systemd/system/pgbackstop* /run/pgbackstop/main.sock 2>/dev/null || true",
    );
    expect(left).toBe("");
    expect(await shell("ls /srv/first/backup/main")).toContain("backup.info");
    expect([...printedTexts, ...stateTexts(programFolder.folder)].some((text) => holdsSecret(text, secrets))).toBe(
      false,
    );
  });
});
