/** `PostgresHost` with `container` of Podman, on a booted Debian: what its units need besides those of Docker. */
// claim: docs/hosts/containers.md: units run as root with two capabilities; Podman's have a third, and write its paths
//   (nightly)
// claim: docs/hosts/containers.md: a drill's timer works with Podman, and leaves nothing (nightly)
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PostgresHost } from "../../components/databases/postgresHost";
import { DrillLevel } from "../../components/drills/drillArgs";
import type { DrillRecord } from "../../runtime/operations/drill/record";
import { IMAGE, IMAGE_DATA } from "../../tools/parts/containers/postgresImage";
import { NIGHTLY } from "../../tools/parts/nightly";
import { waitFor } from "../../tools/parts/process";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { connectionTo, twoDirectories } from "../harness/hosts/declaredHost";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { installPodman, podmanParts } from "../harness/hosts/hostPodman";
import { engineHostParts } from "../harness/hosts/parts";
import { archivesAgain, expectFirstBackups } from "../harness/hosts/slotHost";

const NAME = "shop-db";

describe.runIf(NIGHTLY)("a host whose PostgreSQL runs in a container of Podman", async () => {
  if (!NIGHTLY) return;
  const parts = await engineHostParts("PostgresHost with Podman", ["bookworm-bare"]);
  const podman = parts === null ? null : await podmanParts("PostgresHost with Podman");
  if (parts === null || podman === null) return;
  let host: DebianHost;
  let programFolder: ProgramFolder;
  beforeAll(async () => {
    const { shown } = podman;
    host = await startDebianHost(parts, { suite: "bookworm-bare", name: "podman", runsContainers: true, shown });
    await installPodman(host, podman);
    const own = [
      `--name=${NAME}`,
      "--network=none",
      "--stop-signal=SIGINT",
      "--env=POSTGRES_INITDB_ARGS=--data-checksums",
      `--volume=shop:${IMAGE_DATA}`,
    ];
    await host.runOk(["podman", "run", "--detach", ...own, IMAGE, "postgres"]);
    await ready();
    await sql("CREATE TABLE orders (id bigserial PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 500)");
    programFolder = await makeProgramFolder();
  });
  afterAll(async () => {
    await host?.stop();
    removeProgramFolder(programFolder);
  });

  const psql = (text: string): ReturnType<DebianHost["run"]> =>
    host.run(["podman", "exec", "--user=postgres", NAME, "psql", "-XAtq", "-c", text]);
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

  test("one update takes backups, every unit works, and a container that is made again archives", async () => {
    const stack = await openStack(programFolder, "podman", async () => {
      const { destinations, firstBackup, pendingRestart } = new PostgresHost("shop", {
        connection: connectionTo(host, "root"),
        container: { name: NAME, engine: "podman" },
        repositories: twoDirectories(),
        schedules: { full: { cron: "0 3 * * 0", timeZone: "UTC" } },
        drills: { weekly: { cron: "0 5 * * 6", level: DrillLevel.Thorough, dump: true } },
        dumps: { cron: "30 4 * * *" },
      });
      return { destinations, firstBackup, pendingRestart };
    });
    await expectFirstBackups(stack, sql, "16GB");
    for (const name of ["full", "expire", "heal", "metrics", "verify", "dump", "drill-weekly"])
      await host.runOk(["systemctl", "start", `pgbackstop-main-${name}.service`], { timeoutMs: 300_000 });
    expect(await host.runOk(["systemctl", "--failed", "--no-legend"])).toBe("");
    const drills = await host.runOk(["sh", "-c", "cat /var/spool/pgbackrest/pgbackstop/main/drills/*.json"]);
    const { checks } = JSON.parse(drills) as DrillRecord;
    expect(checks.map(({ name, verdict }) => `${name} ${verdict}`).filter((text) => !text.endsWith(" ok"))).toEqual([]);
    expect(await host.runOk(["ls", "/var/lib/pgbackstop-drill"])).toBe("");
    expect((await host.runOk(["podman", "ps", "--all", "--format={{.Names}}"])).trim()).toBe(NAME);
    await host.runOk(["podman", "kill", "--signal=KILL", NAME]);
    await host.runOk(["podman", "start", NAME]);
    await ready();
    await archivesAgain(sql, 120_000);
    await host.runOk(["/usr/local/bin/pgbackstop", "check"], { timeoutMs: 120_000 });
  });
});
