/**
 * `PostgresHost` with `container` on the real engine: a Debian booted by systemd whose only PostgreSQL runs in a
 * container of a real Docker. Nothing but the argument names the container.
 */
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { HostContainerArgs } from "../../components/databases/hostArgs";
import { PostgresHost } from "../../components/databases/postgresHost";
import { DrillLevel } from "../../components/drills/drillArgs";
import type { DrillRecord } from "../../runtime/operations/drill/record";
import { IMAGE, IMAGE_DATA } from "../../tools/parts/containers/postgresImage";
import { waitFor } from "../../tools/parts/process";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { NIGHTLY } from "../../tools/parts/nightly";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { failureOf } from "../harness/compare/engineTexts";
import { connectionTo, twoDirectories } from "../harness/hosts/declaredHost";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { dockerParts, installDocker } from "../harness/hosts/hostDocker";
import { engineHostParts } from "../harness/hosts/parts";
import { archivesAgain, expectFirstBackups } from "../harness/hosts/slotHost";

const AGENT = "pgbackstop-main-agent.service";

/** As Compose makes the service `database` of Immich's published file, apart from the image. */
const COMPOSE = "/srv/immich/docker-compose.yml";
const DATA = "/srv/immich/postgres";
/** As of a Compose file in a home directory. */
const MOVED = "/home/immich-postgres";
const SERVICE = [
  ...Object.entries({
    "com.docker.compose.project": "immich",
    "com.docker.compose.project.working_dir": "/srv/immich",
    "com.docker.compose.project.config_files": COMPOSE,
    "com.docker.compose.service": "database",
    "com.docker.compose.oneoff": "False",
  }).map(([name, value]) => `--label=${name}=${value}`),
  "--name=immich_postgres",
  "--network=none",
  "--restart=always",
  "--stop-signal=SIGINT",
  "--shm-size=128m",
  "--env=POSTGRES_USER=immich",
  "--env=POSTGRES_INITDB_ARGS=--data-checksums",
  `--volume=${DATA}:${IMAGE_DATA}`,
  IMAGE,
];

// claim: docs/hosts/containers.md: one program gives backups of a container in two repositories, with its image, its
//   settings and its start time untouched; kill, reboot, recover and undo lose nothing; a destroy drops the slot
// claim: docs/hosts/containers.md: a drill's unit has what it needs to restore, and leaves nothing
describe("a host whose PostgreSQL runs in a container", async () => {
  const parts = await engineHostParts("PostgresHost with a container", ["bookworm-bare"]);
  const docker = parts === null ? null : await dockerParts("PostgresHost with a container");
  if (parts === null || docker === null) return;
  let host: DebianHost;
  let programFolder: ProgramFolder;
  let rowsKept = "";
  const printed: string[] = [];
  beforeAll(async () => {
    const { shown } = docker;
    host = await startDebianHost(parts, { suite: "bookworm-bare", name: "engine", runsContainers: true, shown });
    await installDocker(host, docker);
    await host.runOk(["docker", "run", "--detach", ...SERVICE]);
    await ready();
    await sql("CREATE TABLE albums (id bigserial PRIMARY KEY, title text)");
    await add("first");
    programFolder = await makeProgramFolder();
  });
  afterAll(async () => {
    await host?.stop();
    removeProgramFolder(programFolder);
  });

  const open = (
    container: HostContainerArgs = { compose: COMPOSE, service: "database" },
    restoreOnly = false,
  ): Promise<Stack> =>
    openStack(programFolder, "container", async () => {
      const { destinations, firstBackup, pendingRestart } = new PostgresHost("immich", {
        connection: connectionTo(host, "root"),
        container,
        repositories: twoDirectories(),
        ...(restoreOnly
          ? { restoreOnly }
          : {
              schedules: { full: { cron: "0 3 * * 0", timeZone: "UTC" } },
              drills: { weekly: { cron: "0 5 * * 6", level: DrillLevel.Thorough, dump: true } },
              dumps: { cron: "30 4 * * *" },
            }),
      });
      return { destinations, firstBackup, pendingRestart };
    });
  const psql = (text: string): Promise<{ exitCode: number; stdout: string; stderr: string }> =>
    host.run([
      "docker",
      "exec",
      "--user=postgres",
      "immich_postgres",
      "psql",
      "-XAtq",
      "-U",
      "immich",
      "-d",
      "postgres",
      "-c",
      text,
    ]);
  const sql = async (text: string): Promise<string> => {
    const { exitCode, stderr, stdout } = await psql(text);
    if (exitCode !== 0) throw new Error(stderr);
    return stdout.trim();
  };
  const ready = (): Promise<true> =>
    waitFor("PostgreSQL in the container", 180_000, async () => {
      const { exitCode, stdout } = await psql("select not pg_is_in_recovery()");
      return exitCode === 0 && stdout.trim() === "t" ? true : null;
    });
  const add = (what: string): Promise<string> =>
    sql(`INSERT INTO albums (title) SELECT '${what} ' || g FROM generate_series(1, 200) g`);
  const rows = (): Promise<string> => sql("SELECT count(*) || md5(string_agg(a::text, '|' ORDER BY id)) FROM albums a");
  const pgbackstop = async (...args: string[]): Promise<string> => {
    const { exitCode, stderr, stdout } = await host.run(["/usr/local/bin/pgbackstop", ...args], { timeoutMs: 300_000 });
    expect([exitCode, `${stdout}${stderr}`]).toEqual([0, expect.any(String)]);
    return `${stdout}${stderr}`;
  };
  const archiving = (): Promise<true> => archivesAgain(sql, 120_000);

  test("a container that is not there is named before anything starts", async () => {
    const failure = await failureOf((await open({ name: "no-such" })).up(), printed);
    expect(failure).toContain("PostgreSQL in container no-such on");
    expect(failure).toContain("there is no container 'no-such'");
  });

  test("one update takes backups, and leaves the container alone", async () => {
    printed.push(await expectFirstBackups(await open(), sql, "16GB"));
    expect(await pgbackstop("check")).not.toContain("WARN");
  });

  test("a second update changes nothing", async () => {
    const { summary } = await (await open()).up();
    expect(Object.keys(summary.resourceChanges ?? {})).toEqual(["same"]);
  });

  test("every unit works with its rights", async () => {
    for (const name of ["full", "expire", "heal", "metrics", "verify", "dump", "drill-weekly"])
      await host.runOk(["systemctl", "start", `pgbackstop-main-${name}.service`], { timeoutMs: 300_000 });
    expect(await host.runOk(["systemctl", "show", "-p", "CapabilityBoundingSet", AGENT])).toContain(
      "cap_dac_read_search cap_sys_ptrace",
    );
    expect(await host.runOk(["systemctl", "--failed", "--no-legend"])).toBe("");
    const drills = await host.runOk(["sh", "-c", "cat /var/spool/pgbackrest/pgbackstop/main/drills/*.json"]);
    const { checks } = JSON.parse(drills) as DrillRecord;
    expect(checks.map(({ name, verdict }) => `${name} ${verdict}`).filter((text) => !text.endsWith(" ok"))).toEqual([]);
    expect(await host.runOk(["ls", "/var/lib/pgbackstop-drill"])).toBe("");
  });

  test("a killed container and a rebooted host archive again", async () => {
    await add("before the kill");
    await host.runOk(["docker", "kill", "--signal=KILL", "immich_postgres"]);
    await host.runOk(["docker", "start", "immich_postgres"]);
    await ready();
    await archiving();
    await add("before the boot");
    await host.reboot();
    await ready();
    await archiving();
    await add("after the boot");
    await pgbackstop("check");
  });

  test("recovers to a time, and undoes it", async () => {
    const good = await rows();
    const time = await sql("SELECT pg_sleep(1); SELECT now(); SELECT pg_sleep(1)");
    await sql("DELETE FROM albums WHERE id % 2 = 0");
    const harmed = await rows();
    await pgbackstop("recover", "--type=time", `--target=${time}`, "--target-action=promote", "--yes");
    expect(await rows()).toBe(good);
    await pgbackstop("recover", "--undo", "--yes");
    expect(await rows()).toBe(harmed);
    await archiving();
    await pgbackstop("check");
  });

  // claim: docs/hosts/containers.md: a container of a newer image, on another volume, has its archive and its backups
  test("a container that is made again of a newer image, with moved data, has its backups", async () => {
    await host.runOk(["docker", "commit", "immich_postgres", "postgres:next"]);
    await host.runOk(["docker", "rm", "--force", "immich_postgres"]);
    await host.runOk(["mv", DATA, MOVED]);
    const moved = SERVICE.map((each) => (each === IMAGE ? "postgres:next" : each.replace(DATA, MOVED)));
    await host.runOk(["docker", "run", "--detach", ...moved]);
    await ready();
    await archiving();
    await add("after the update of the image");
    await pgbackstop("check");
    rowsKept = await rows();
  });

  test("a destroy leaves neither slot nor bound", async () => {
    await (await open()).destroy();
    expect(await sql("SELECT count(*) FROM pg_replication_slots")).toBe("0");
    expect(await sql("SHOW max_slot_wal_keep_size")).toBe("-1");
    expect(await sql("SELECT count(*) FROM albums")).not.toBe("0");
  });

  // claim: docs/hosts/containers.md: on another machine, an empty container gets the newest row back
  test.runIf(NIGHTLY)("the runbook's steps for a lost host bring every row into an empty container", async () => {
    const kept = rowsKept;
    await host.runOk(["docker", "rm", "--force", "immich_postgres"]);
    await host.runOk(["rm", "-rf", DATA, MOVED]);
    await host.runOk(["docker", "run", "--detach", ...SERVICE]);
    await ready();
    await host.runOk(["docker", "stop", "immich_postgres"]);
    await host.runOk(["find", DATA, "-mindepth", "1", "-delete"]);
    await (await open(undefined, true)).up();
    const recovered = await host.run(["/usr/local/bin/pgbackstop", "recover", "--yes"], { timeoutMs: 300_000 });
    expect([recovered.exitCode, recovered.stdout + recovered.stderr]).toEqual([
      // Nothing archives before the next update.
      87,
      expect.any(String),
    ]);
    await ready();
    expect(await rows()).toBe(kept);
    const { outputs } = await (await open()).up();
    expect(outputs).toMatchObject({ pendingRestart: { value: false } });
    await archiving();
    await pgbackstop("check");
  });
});
