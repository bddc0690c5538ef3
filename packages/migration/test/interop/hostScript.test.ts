/**
 * The script that an update sends to a host, run by this machine's shell: it brings the built program, which copies a
 * database between two real servers, and asks the backup program. The engine and its provider of commands are missing:
 * test/engine has them.
 */
// claim: packages/migration/docs/program.md: on a host the script of a step brings the program, and the last one asks
//   the backup program (without the engine)
import { spawnSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { onceCommand } from "../../../../components/host/onceScript";
import { skipped } from "../../../../test/harness/real/interopParts";
import { TestBed } from "../../../../test/harness/real/testBed";
import { findPostgres } from "../../../../tools/parts/postgres/postgres";
import { TestCluster } from "../../../../tools/parts/postgres/testCluster";
import { migrateProgram } from "../../components/programs";
import { FILES_PLACEHOLDER, type Reported, reportScript } from "../../components/reportScript";
import type { FinishReport } from "../../runtime/judgeFinish";
import type { MigrationPlan } from "../../runtime/migrationPlan";

const PASSWORD = "over there";

describe("a step on a host", async () => {
  const postgres = await findPostgres(17);
  if ("missing" in postgres) return void skipped("steps on a host", postgres.missing);
  const { binaries } = postgres;
  let source: TestCluster;
  let bed: TestBed;

  beforeAll(async () => {
    source = await TestCluster.create({ binaries });
    writeFileSync(join(source.dataPath, "pg_hba.conf"), "local all mover scram-sha-256\nlocal all all trust\n");
    bed = await TestBed.create({ binaries, repos: [{ compressType: "lz4" }] });
    await Promise.all([source.start(), bed.cluster.start()]);
    await source.sql(`CREATE ROLE mover SUPERUSER LOGIN PASSWORD '${PASSWORD}'`);
    await source.sql("CREATE DATABASE shop");
    await source.sql("CREATE TABLE goods AS SELECT i FROM generate_series(1, 500) i", [], "shop");
    await bed.cluster.sql("CREATE ROLE mover SUPERUSER LOGIN");
    await bed.oursOk(["stanza-create"]);
  }, 300_000);
  afterAll(async () => {
    await source?.remove();
    await bed?.remove();
  });

  /** As hostStep.ts makes it. */
  function step(verb: string, more: Partial<Reported> = {}): { code: number | null; stdout: string; stderr: string } {
    const { cluster } = bed;
    const input = reportScript({
      account: cluster.user.name,
      argv: [
        bed.runtime.node,
        `${FILES_PLACEHOLDER}/migrate.cjs`,
        ...(verb === "finish"
          ? ["info", "status"].map((name) => `--backup-report=${FILES_PLACEHOLDER}/${name}.json`)
          : []),
        `--from-server=host=${source.socketPath} user=mover`,
        `--from-password-file=${FILES_PLACEHOLDER}/from-password`,
        `--to-server=host=${cluster.socketPath} port=${cluster.port} user=${cluster.superuser}`,
        "--keep-role=mover",
        `--bin-path=${binaries.folder}`,
        "--output=json",
        "--log-level=info",
        verb,
      ],
      files: { "from-password": PASSWORD },
      packed: { "migrate.cjs": migrateProgram() },
      acceptedCode: 0,
      what: `migrate ${verb}`,
      limitSeconds: 300,
      ...more,
    });
    const { status, stderr, stdout } = spawnSync("/bin/sh", ["-c", onceCommand({ isLocal: true, sudo: false })], {
      input,
      encoding: "utf8",
    });
    return { code: status, stdout, stderr };
  }

  test("plans, copies and compares, and leaves no file", () => {
    const planned = step("plan");
    expect(planned.stderr).toBe("");
    const { databases, refusals } = JSON.parse(planned.stdout) as MigrationPlan;
    expect([databases.map(({ name }) => name), refusals]).toEqual([["shop"], []]);
    const copied = step("copy");
    expect([copied.code, copied.stderr]).toEqual([0, expect.stringContaining("shop: copied,")]);
    expect(JSON.parse(step("verify").stdout)).toMatchObject({ ok: true, guarded: true });
    const left = ["/dev/shm", "/tmp"].flatMap((folder) => readdirSync(folder));
    expect(left.filter((name) => name.startsWith("pgbackstop-migration."))).toEqual([]);
  });

  test("a failure says why, and shows no password", () => {
    const failed = step("verify", { files: { "from-password": "another one" } });
    expect([failed.code, failed.stdout]).toEqual([1, ""]);
    expect(failed.stderr).toMatch(/password authentication failed[^]*unable to migrate verify: exit code/);
    expect(failed.stderr).not.toContain("another one");
  });

  test("the last one asks the backup program, as its own account", async () => {
    const ask = (verb: string): NonNullable<Reported["asked"]> => ({
      [`${verb}.json`]: {
        account: bed.cluster.user.name,
        argv: [bed.runtime.node, ...bed.oursCommand(["--log-level-console=off", "--output=json", verb])],
      },
    });
    const asked = { ...ask("info"), ...ask("status") };
    const before = step("finish", { asked, acceptedCode: 75 });
    expect([before.code, before.stderr]).toEqual([1, expect.stringContaining("repo1 has no backup that began after")]);
    await bed.oursOk(["backup", "--type=full"]);
    await bed.oursOk([
      "drill",
      "--level=quick",
      "--pick=newest",
      `--drill-path=${join(bed.folder, "drill")}`,
      `--bin-path=${binaries.folder}`,
    ]);
    const after = JSON.parse(step("finish", { asked }).stdout) as FinishReport;
    expect(after).toMatchObject({ mayRetireSource: true, missing: [], databases: 1, backups: [{ repo: 1 }] });
  });
});
