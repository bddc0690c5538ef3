/**
 * Recoveries that settings would stop, delay or end early: limits that production raised after the backup, and settings
 * of a standby or of another recovery in a configuration that stays as it is.
 */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LIMIT_NAMES } from "../../../runtime/format/page/pgControl";
import { skipped } from "../../harness/real/interopParts";
import { dropTemplates } from "../../harness/real/sampleData";
import { pgCtl, TestBed } from "../../harness/real/testBed";
import { findPostgres } from "../../../tools/parts/postgres/postgres";
import { sleep } from "../../../tools/parts/process";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";

const LOW = {
  max_connections: 40,
  max_worker_processes: 4,
  max_wal_senders: 5,
  max_prepared_transactions: 2,
  max_locks_per_transaction: 32,
};

describe("a recovery", async () => {
  const result = await findPostgres(18);
  if ("missing" in result) return void skipped("a recovery against its settings", result.missing);
  const { binaries } = result;
  let bed: TestBed;
  let sql: TestCluster["sql"];
  let paused = "";
  const conf = (): string => readFileSync(join(bed.cluster.dataPath, "postgresql.conf"), "utf8");
  const autoConf = (): string => readFileSync(join(bed.cluster.dataPath, "postgresql.auto.conf"), "utf8");
  const ran = (): string => join(bed.folder, "ran");

  beforeAll(async () => {
    bed = await TestBed.create({ binaries, repos: [{ compressType: "lz4" }], settings: LOW });
    sql = bed.cluster.sql.bind(bed.cluster);
    const left = [
      "recovery_min_apply_delay = '1h'",
      "recovery_target_name = 'leftover'",
      "recovery_target_action = 'shutdown'",
      `recovery_end_command = 'touch ${ran()}'`,
      `archive_cleanup_command = 'touch ${ran()}'`,
    ];
    appendFileSync(join(bed.cluster.dataPath, "postgresql.conf"), `${left.join("\n")}\n`);
    await pgCtl(bed, ["start"]);
    await bed.oursOk(["stanza-create"]);
    await dropTemplates(bed);
    await sql("CREATE TABLE kept (id int PRIMARY KEY)");
    await sql("INSERT INTO kept SELECT generate_series(1, 100)");
    await bed.oursOk(["backup", "--type=full"]);
    await sql("SELECT pg_create_restore_point('leftover')");
    let next = 101;
    for (const name of LIMIT_NAMES) {
      await sql(`ALTER SYSTEM SET ${name} = ${LOW[name] * 3}`);
      await pgCtl(bed, ["stop", "-m", "fast"]);
      await pgCtl(bed, ["start"]);
      await sql(`INSERT INTO kept SELECT generate_series(${next}, ${next + 19})`);
      next += 20;
      // Commits have times of their own.
      await sleep(20);
      if (name === "max_prepared_transactions") {
        paused = await bed.cluster.value("SELECT clock_timestamp()::text");
        for (const id of [1, 2, 3]) await sql(`BEGIN; INSERT INTO kept VALUES (-${id}); PREPARE TRANSACTION 'p${id}'`);
      }
    }
    for (const id of [1, 2, 3]) await sql(`ROLLBACK PREPARED 'p${id}'`);
    await bed.archiveAll();
  });
  afterAll(async () => {
    await pgCtl(bed, ["stop", "-m", "immediate"]).catch(() => undefined);
    await bed?.remove();
  });

  const rows = (): Promise<string> => bed.cluster.value("SELECT count(*) || ' ' || max(id) FROM kept");

  // claim: docs/hosts/recover.md: a drill, `recover` and `restore` reach their end although WAL was written with higher
  //   limits, and although the configuration has a delay or a target of another recovery
  test("reaches its end in a drill although WAL raised the limit of prepared transactions", async () => {
    const paths = [`--drill-path=${join(bed.folder, "drill")}`, `--bin-path=${binaries.folder}`];
    const { stdout } = await bed.ours(["drill", "--pick=newest", ...paths]);
    // Checks begin after recovery. PostgreSQL from npm lacks pg_controldata, which the last one needs.
    expect(stdout).toMatch(/ok +recovery,/);
  });

  // claim: docs/hosts/recover.md: a drill, `recover` and…
  test("pauses at its target, and says so, after it started again for higher limits", async () => {
    const args = ["recover", "--yes", "--type=time", `--target=${paused}`, "--target-action=pause"];
    const { stdout } = await bed.oursOk(args);
    expect(stdout).toMatch(/has reached its target and is paused/);
    expect(stdout).toMatch(/WAL was written with .*max_connections = 120/);
    expect(await rows()).toBe("180 180");
    expect(await bed.cluster.value("SHOW recovery_min_apply_delay")).toBe("0");
    await bed.oursOk(["recover", "--undo", "--yes"]);
    await bed.archiveAll();
  });

  // claim: docs/hosts/recover.md: a drill, `recover` and…
  test("has every row, and leaves the configuration as it was", async () => {
    const before = conf();
    const { stdout } = await bed.oursOk(["recover", "--yes"]);
    expect(stdout).toMatch(/is open, on timeline/);
    expect(await rows()).toBe("200 200");
    expect(conf()).toBe(before);
    expect(autoConf()).not.toMatch(/settings of this recovery|max_connections|recovery_min_apply_delay/);
    expect(existsSync(ran())).toBe(false);
    await pgCtl(bed, ["stop", "-m", "fast"]);
    await pgCtl(bed, ["start"]);
    expect(await bed.cluster.value("SHOW recovery_min_apply_delay")).toBe("1h");
    expect(await bed.cluster.value("SHOW max_connections")).toBe("40");
  });

  // claim: docs/hosts/recover.md: a drill, `recover` and…
  test("that a user resumes keeps what ALTER SYSTEM set during the pause, and no line of its own", async () => {
    const args = ["--type=immediate", "--target-action=pause"];
    const { result: restored, dataPath } = await bed.restoreAside({ by: null, args });
    expect(restored.exitCode, restored.stdout).toBe(0);
    const server = TestCluster.adopt({ binaries, dataPath });
    const written = (): string => readFileSync(join(dataPath, "postgresql.auto.conf"), "utf8");
    try {
      await server.start();
      await expect.poll(() => server.value("SELECT pg_get_wal_replay_pause_state()")).toBe("paused");
      await server.sql("ALTER SYSTEM SET work_mem = '7MB'");
      await server.sql("ALTER SYSTEM SET archive_cleanup_command = 'true'");
      expect(written()).toContain("recovery_min_apply_delay = '0'");
      await server.sql("SELECT pg_wal_replay_resume()");
      await server.waitForRecovery();
      expect(written()).not.toMatch(/settings of this recovery|pgbackstop\.|recovery_min_apply_delay|recovery_end/);
      expect(written()).toMatch(/^work_mem = '7MB'\narchive_cleanup_command = 'true'$/m);
      // The configuration's target is another one than the recovery's, which stays.
      await server.restart();
      expect(await server.value("SHOW recovery_min_apply_delay")).toBe("1h");
    } finally {
      await server.remove();
    }
  });

  // claim: docs/hosts/recover.md: a drill, `recover` and…
  test("by hand starts with the limits of its backup, and ignores a delay and a target that were left over", async () => {
    await sql("ALTER SYSTEM SET max_connections = 90");
    await pgCtl(bed, ["stop", "-m", "fast"]);
    await pgCtl(bed, ["start"]);
    await sql("ALTER SYSTEM RESET max_connections");
    await bed.oursOk(["backup", "--type=full"]);
    await sql("INSERT INTO kept VALUES (201)");
    await bed.archiveAll();
    const { result: restored, dataPath } = await bed.restoreAside({ by: null });
    expect(restored.exitCode, restored.stdout).toBe(0);
    const server = TestCluster.adopt({ binaries, dataPath });
    try {
      await server.start();
      await server.waitForRecovery();
      expect(await server.value("SELECT count(*) FROM kept")).toBe("201");
      expect(readFileSync(join(dataPath, "postgresql.auto.conf"), "utf8")).not.toContain("settings of this recovery");
      expect(existsSync(ran())).toBe(false);
    } finally {
      await server.remove();
    }
  });
});
