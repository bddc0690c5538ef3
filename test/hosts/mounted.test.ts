/**
 * Backups that a booted Debian 12 mounts, with keys that only root can read. A `DatabaseClone` beside production: the
 * engine opens it over SSH, and systemd closes it at the end of its life, also if the machine restarts in between. An
 * instant recovery, whose machine restarts before the files are in their place.
 */
import { randomBytes } from "node:crypto";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DatabaseClone } from "../../components/databases/databaseClone";
import { DrillHow, DrillLevel, DrillPick } from "../../components/drills/drillArgs";
import { PostgresHost } from "../../components/databases/postgresHost";
import { PosixRepository } from "../../components/repositories/posixRepository";
import type { DrillRecord } from "../../runtime/operations/drill/record";
import { waitFor } from "../../tools/parts/process";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { stateTexts } from "../harness/compare/engineTexts";
import { connectionTo, ownCluster } from "../harness/hosts/declaredHost";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { engineHostParts } from "../harness/hosts/parts";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { skipped } from "../harness/real/interopParts";
import { fuseMissing } from "../harness/real/openedBackup";

const TITLE = "a backup that a host mounts";
const DATA = "/var/lib/postgresql/15/main";
const REPOSITORY = "/srv/repository";
const CLUSTER_UNIT = "postgresql@15-main";

describe(TITLE, async () => {
  const parts = await engineHostParts(TITLE, ["bookworm"]);
  const missing = fuseMissing();
  if (parts === null) return;
  if (missing !== null) return void skipped(TITLE, missing);
  const passphrase = `marker-${randomBytes(24).toString("hex")}`;
  let host: DebianHost;
  let programFolder: ProgramFolder;

  beforeAll(async () => {
    host = await startDebianHost(parts, { suite: "bookworm", name: "mounted", fuse: true });
    await host.runOk(["install", "-d", "-o", "postgres", "-m", "0750", REPOSITORY]);
    await ownCluster(host, 15);
    programFolder = await makeProgramFolder();
    await sql("CREATE TABLE customers AS SELECT i AS id, 'person@example.com' AS email FROM generate_series(1, 100) i");
  });
  afterAll(async () => {
    await host?.stop();
    removeProgramFolder(programFolder);
  });

  const sql = (statement: string): Promise<string> =>
    host.runOk(["runuser", "-u", "postgres", "--", "psql", "-XAtc", statement]);
  const open = (isCloned: boolean): Promise<Stack> =>
    openStack(programFolder, "mounted", async () => {
      const repository = new PosixRepository("near", { path: REPOSITORY, cipher: { passphrase } });
      const db = new PostgresHost("db", {
        connection: connectionTo(host),
        dataDirectory: DATA,
        repositories: { repo1: { at: repository.target, keepDays: 7 } },
        schedules: { full: { cron: "0 3 * * 0" } },
        drills: { daily: { cron: "0 5 1 1 *", how: DrillHow.Open, pick: DrillPick.Newest, level: DrillLevel.Quick } },
        allowRestart: true,
        restartCommand: ["systemctl", "restart", CLUSTER_UNIT],
      });
      if (!isCloned) return {};
      const { connectionString, dataAgeSeconds } = new DatabaseClone("pr-123", {
        host: db.access,
        databases: ["postgres"],
        mask: ["UPDATE customers SET email = 'user' || id || '@test'"],
        lifetimeHours: 1,
      });
      return { connectionString, dataAgeSeconds };
    });
  const ask = async (url: string, statement: string): Promise<string> =>
    (await host.runOk(["psql", "-XAt", url, "-c", statement])).trim();
  const clones = async (): Promise<string> => (await host.run(["ls", "/var/lib/pgbackstop/clones"])).stdout.trim();

  // claim: docs/clones.md: a timer of systemd closes a clone at its end…
  test("as a clone is masked, reached by its role alone, and closed by systemd after a restart of the machine", async () => {
    await (await open(false)).up();
    const { outputs } = await (await open(true)).up();
    const url = String(outputs["connectionString"]?.value);
    expect(outputs["connectionString"]?.secret).toBe(true);
    expect(await ask(url, "SELECT count(*) FROM customers WHERE email LIKE '%@test'")).toBe("100");
    expect(await sql("SELECT count(*) FROM customers WHERE email LIKE '%@test'")).toContain("0");
    const password = new URL(url).password;
    expect(
      (await host.runOk(["sh", "-c", "ps axww; systemctl cat 'pgbackstop-clone-*'; journalctl"])).includes(password),
    ).toBe(false);
    for (const text of stateTexts(programFolder.folder)) expect(text).not.toContain(password);

    const timers = await host.runOk(["systemctl", "list-timers", "--all", "pgbackstop-clone-*"]);
    expect(timers).toMatch(/pgbackstop-clone-[0-9a-f]{12}\.timer/);
    const [timer = ""] = /pgbackstop-clone-[0-9a-f]{12}\.timer/.exec(timers) ?? [];
    // Its time passes while the machine is off.
    await host.powerOff();
    await host.powerOn();
    expect(await clones()).toMatch(/^pr-123-/);
    await host.runOk([
      "sh",
      "-c",
      `sed -i 's/^OnCalendar=.*/OnCalendar=2026-01-01 00:00:00 UTC/' /etc/systemd/system/${timer}
       touch -d '2025-12-31' /var/lib/systemd/timers/stamp-${timer}; systemctl daemon-reload; systemctl restart ${timer}`,
    ]);
    await waitFor("the end of the clone", 60_000, async () => ((await clones()) === "" ? true : null));
    // The timer goes last: until then it would try again.
    await waitFor("the end of its timer", 60_000, async () =>
      (await host.run(["systemctl", "cat", timer])).exitCode === 0 ? null : true,
    );
    const refreshed = await (await open(true)).refresh();
    expect(refreshed.stdout).toContain("is gone");
    await (await open(false)).up();
    expect(await sql("SELECT count(*) FROM customers")).toContain("100");
  }, 600_000);

  // claim: docs/drills-open.md: a drill's unit mounts as root, with keys that systemd lends, and leaves nothing
  test("as a drill of a unit is opened, checked and closed", async () => {
    await (await open(false)).up();
    await host.runOk(["systemctl", "start", "pgbackstop-main-drill-daily.service"], { timeoutMs: 300_000 });
    const directory = "/var/spool/pgbackrest/pgbackstop/main/drills";
    const [name = ""] = (await host.runOk(["ls", directory])).trim().split("\n").reverse();
    const record = JSON.parse(await host.runOk(["cat", `${directory}/${name}`])) as DrillRecord;
    expect(record).toMatchObject({ ok: true, rtoMs: null, failures: [], level: "quick" });
    expect(record.opened?.elapsedMs).toBeGreaterThan(0);
    expect(await host.runOk(["stat", "-c", "%U", `${REPOSITORY}/pgbackstop/main/drills/${name}`])).toBe("postgres\n");
    expect(await host.runOk(["ls", `${DATA}-drill`])).toBe("");
    const fuse = await host.run(["findmnt", "--noheadings", "--types=fuse"]);
    expect(fuse.stdout).toBe("");
    await host.runOk(["sudo", "pgbackstop", "drill", "--how=open", "--level=quick"], { timeoutMs: 300_000 });
  }, 600_000);

  // claim: docs/hosts/instant.md: after a restart of the machine no server…
  test("as production takes writes at once, and has them after a restart of the machine, on its own files", async () => {
    await (await open(false)).up();
    const recover = "sudo pgbackstop recover --instant --yes";
    const script = `{ ${recover} --move-at=${farTime()}; echo "ended $?"; } > /root/recover.log 2>&1`;
    await host.runOk(["sh", "-c", `setsid sh -c '${script}' < /dev/null > /dev/null 2>&1 &`]);
    await waitFor("an open server", 120_000, async () => {
      const text = await host.runOk(["cat", "/root/recover.log"]);
      if (text.includes("ended ")) throw new Error(text);
      return text.includes(" is open, on timeline") ? true : null;
    });
    await sql("INSERT INTO customers SELECT i, 'new' FROM generate_series(101, 200) i");
    expect(await host.runOk(["findmnt", "--noheadings", "--output=FSTYPE", DATA])).toContain("fuse");
    const running = await host.runOk(["sh", "-c", "ps axww; cat /proc/[0-9]*/environ | tr '\\0' '\\n'; journalctl"]);
    expect(running).not.toContain(passphrase);
    await host.powerOff();
    // Nothing mounts the files by itself, and no server starts without them.
    await expect(host.powerOn()).rejects.toThrow(`${CLUSTER_UNIT}.service loaded failed`);
    const continued = await host.runOk(["sh", "-c", `${recover} --move-at=now`], { timeoutMs: 300_000 });
    expect(continued).toContain(" is open, on timeline");
    expect((await host.run(["findmnt", DATA])).stdout).toBe("");
    expect((await host.runOk(["systemctl", "is-active", CLUSTER_UNIT])).trim()).toBe("active");
    expect(await sql("SELECT count(*) FROM customers")).toContain("200");
    // With the stanza, as documents and messages have it.
    await host.runOk(["sudo", "pgbackstop", "--stanza=main", "check"]);
    await (await open(false)).destroy();
    expect(await sql("SELECT count(*) FROM customers")).toContain("200");
  }, 600_000);
});

/** Six hours from now, as a local time of the host's day. */
function farTime(): string {
  return new Date(Date.now() + 6 * 3_600_000).toISOString().slice(11, 16);
}
