/**
 * `PostgresHost` with `archive: "stream"` on the real engine: a Debian whose PostgreSQL keeps `archive_mode = off` and
 * is never restarted. Destroying the component leaves no slot behind.
 */
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PostgresHost } from "../../components/databases/postgresHost";
import type { HostArchive } from "../../components/databases/walArgs";
import { waitFor } from "../../tools/parts/process";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { failureOf } from "../harness/compare/engineTexts";
import { connectionTo, twoDirectories } from "../harness/hosts/declaredHost";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { engineHostParts } from "../harness/hosts/parts";
import { archivesAgain, expectFirstBackups, SLOT } from "../harness/hosts/slotHost";

const AGENT = "pgbackstop-main-agent.service";

// claim: docs/slot-archiving.md: one update brings two backups through a slot, without a restart of PostgreSQL; a
//   killed agent and a restarted server archive again; a destroy drops the slot and its bound
describe("a host whose WAL leaves through a slot", async () => {
  const parts = await engineHostParts("PostgresHost with a slot", ["trixie"]);
  if (parts === null) return;
  let host: DebianHost;
  let programFolder: ProgramFolder;
  const printed: string[] = [];
  beforeAll(async () => {
    host = await startDebianHost(parts, { suite: "trixie", name: "by-slot" });
    await host.runOk(["install", "-d", "-o", "postgres", "-m", "0750", "/srv/first", "/srv/second"]);
    programFolder = await makeProgramFolder();
  });
  afterAll(async () => {
    await host?.stop();
    removeProgramFolder(programFolder);
  });

  const open = (archive: HostArchive = "stream"): Promise<Stack> =>
    openStack(programFolder, "by-slot", async () => {
      const { destinations, firstBackup, pendingRestart } = new PostgresHost("db", {
        connection: connectionTo(host, "root"),
        dataDirectory: "/var/lib/postgresql/17/main",
        stanza: "main",
        archive,
        slotKeepGiB: 2,
        repositories: twoDirectories(),
        schedules: { full: { cron: "0 3 * * 0", timeZone: "UTC" } },
        archiveTimeoutSeconds: 60,
      });
      return { destinations, firstBackup, pendingRestart };
    });
  const sql = async (text: string): Promise<string> =>
    (await host.runOk(["runuser", "-u", "postgres", "--", "psql", "-XAtqc", text])).trim();

  test("one update takes backups and restarts nothing", async () => {
    printed.push(await expectFirstBackups(await open(), sql, "2GB"));
    const checked = await host.run(["/usr/local/bin/pgbackstop", "check"]);
    expect([checked.exitCode, checked.stdout + checked.stderr]).toEqual([0, expect.not.stringContaining("WARN")]);
    expect(await host.runOk(["/usr/local/bin/pgbackstop", "status"])).toContain("slot           pgbackstop_main keeps");
  });

  test("a second update changes nothing, and the other way is refused", async () => {
    const { summary } = await (await open()).up();
    expect(Object.keys(summary.resourceChanges ?? {})).toEqual(["same"]);
    const failure = await failureOf((await open("command")).up(), printed);
    expect(failure).toContain("argument archive cannot change on a host");
    expect(await sql(SLOT)).toBe("t");
  });

  test("a killed agent and a restarted server archive again", async () => {
    await host.runOk(["systemctl", "kill", "--signal=KILL", AGENT]);
    await host.runOk(["systemctl", "restart", "postgresql@17-main"]);
    await archivesAgain(sql, 60_000);
    await sql("CREATE TABLE more AS SELECT generate_series(1, 1000)");
    const checked = await host.run(["/usr/local/bin/pgbackstop", "check"]);
    expect([checked.exitCode, checked.stderr]).toEqual([0, checked.stderr]);
  });

  test("a destroy leaves neither slot nor bound", async () => {
    await (await open()).destroy();
    expect(await sql("SELECT count(*) FROM pg_replication_slots")).toBe("0");
    expect(await sql("SHOW max_slot_wal_keep_size")).toBe("-1");
    expect(await sql("SHOW archive_mode")).toBe("off");
  });

  // claim: docs/slot-archiving.md: a component that is added again closes the gap by a backup (nightly)
  test("a component that is added again closes the gap", async () => {
    for (let turn = 0; turn < 12; turn++) {
      await sql("INSERT INTO more SELECT generate_series(1, 1000)");
      await sql("SELECT pg_switch_wal()");
      await sql("CHECKPOINT");
    }
    const { outputs } = await (await open()).up();
    expect(outputs).toMatchObject({ firstBackup: { value: "found" } });
    await waitFor("a good check", 60_000, async () =>
      (await host.run(["/usr/local/bin/pgbackstop", "check"])).exitCode === 0 ? true : null,
    );
    expect(await host.runOk(["/usr/local/bin/pgbackstop", "info"])).toContain("incr backup");
  });
});

// claim: docs/hosts/foreign-server.md: one update backs a server up through a standby, and changes nothing there
describe("a host whose PostgreSQL is the standby of a server that others run", async () => {
  const parts = await engineHostParts("PostgresHost of a standby", ["trixie"]);
  if (parts === null) return;
  let host: DebianHost;
  let programFolder: ProgramFolder;
  const PORTS = { main: 5432, far: 5433 };
  const at = async (cluster: keyof typeof PORTS, text: string): Promise<string> =>
    (await host.runOk(["runuser", "-u", "postgres", "--", "psql", `--port=${PORTS[cluster]}`, "-XAtqc", text])).trim();
  beforeAll(async () => {
    host = await startDebianHost(parts, { suite: "trixie", name: "standby" });
    await host.runOk(["install", "-d", "-o", "postgres", "-m", "0750", "/srv/first", "/srv/second"]);
    programFolder = await makeProgramFolder();
    const data = "/var/lib/postgresql/17/main";
    const copy =
      `pg_ctlcluster 17 main stop && pg_createcluster --start --port=5433 17 far && rm -rf ${data} && ` +
      `runuser -u postgres -- pg_basebackup --port=5433 --create-slot --slot=standby --write-recovery-conf --pgdata=${data} && ` +
      "pg_ctlcluster 17 main start";
    await host.runOk(["sh", "-c", copy]);
  });
  afterAll(async () => {
    await host?.stop();
    removeProgramFolder(programFolder);
  });

  test("one update takes its backups beside a quiet primary, and a destroy leaves no slot", async () => {
    await at("far", "CREATE TABLE filled (id int)");
    const stack = await openStack(programFolder, "standby", async () => {
      const { destinations } = new PostgresHost("db", {
        connection: connectionTo(host, "root"),
        dataDirectory: "/var/lib/postgresql/17/main",
        stanza: "main",
        archive: "standby",
        repositories: twoDirectories(),
        schedules: { full: { cron: "0 3 * * 0", timeZone: "UTC" } },
      });
      return { destinations };
    });
    await stack.up();
    expect(await at("main", "SHOW max_slot_wal_keep_size")).toBe("16GB");
    expect(await at("far", "SELECT string_agg(slot_name, ' ') FROM pg_replication_slots")).toBe("standby");
    const checked = await host.run(["/usr/local/bin/pgbackstop", "check"]);
    expect([checked.exitCode, checked.stdout + checked.stderr]).toEqual([0, expect.not.stringContaining("WARN")]);
    expect(await host.runOk(["/usr/local/bin/pgbackstop", "info"])).toMatch(/full backup[\s\S]*full backup/);
    const { summary } = await stack.up();
    expect(Object.keys(summary.resourceChanges ?? {})).toEqual(["same"]);
    await stack.destroy();
    expect(await at("main", "SELECT count(*) FROM pg_replication_slots")).toBe("0");
    expect(await at("main", "SELECT pg_is_in_recovery()")).toBe("t");
  });
});
