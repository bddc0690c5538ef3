/**
 * examples/logical-sidecar on two real servers. Rows arrive. The copy keeps rows that the source empties or drops, and
 * gives them back. Each trap in docs/sidecar.md is real. A sidecar that is down holds back only the WAL it may, and
 * metrics show it.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  alertRules,
  metrics,
  publish,
  type Sidecar,
  sourceSettings,
  subscribe,
  takeUpAgain,
} from "../../../examples/logical-sidecar/statements";
import { findPostgres } from "../../../tools/parts/postgres/postgres";
import { run } from "../../../tools/parts/process";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { skipped } from "../../harness/real/interopParts";
import { promtoolOrSkip } from "../../harness/real/parts";
import { requireOk } from "../../harness/real/testBed";

const TABLE = "CREATE TABLE orders (id int PRIMARY KEY, what text NOT NULL)";

describe("a sidecar", async () => {
  const postgres = await findPostgres(18);
  if ("missing" in postgres) return void skipped("a logical sidecar", postgres.missing);
  const { binaries } = postgres;
  let source: TestCluster;
  let copy: TestCluster;
  let sidecar: Sidecar;

  const execute = async (server: TestCluster, statements: readonly string[]): Promise<void> => {
    for (const statement of statements) await server.sql(statement);
  };
  const rows = (server: TestCluster): Promise<string> =>
    server.value("SELECT coalesce(string_agg(id || ' ' || what, ', ' ORDER BY id), '') FROM orders");
  const arrives = (expected: string): Promise<void> =>
    copy.waitForValue(
      "SELECT coalesce(string_agg(id || ' ' || what, ', ' ORDER BY id), '') FROM orders",
      expected,
      120_000,
    );
  const numbers = async (): Promise<string[]> => (await source.sql(metrics(sidecar))).map((row) => String(row["line"]));

  beforeAll(async () => {
    source = await TestCluster.create({ binaries });
    copy = await TestCluster.create({ binaries });
    sidecar = {
      name: "precious",
      tables: ["public.orders"],
      role: "sidecar_reader",
      connection: `host=${source.socketPath} port=${source.port} dbname=postgres`,
      keepWalMegabytes: 32,
    };
    await Promise.all([source.start(), copy.start()]);
    await execute(source, [TABLE, "INSERT INTO orders VALUES (1, 'apples'), (2, 'pears')", ...sourceSettings(sidecar)]);
    await source.restart();
    await execute(source, publish(sidecar));
    await copy.sql(TABLE);
    await execute(copy, subscribe(sidecar));
  });
  afterAll(async () => {
    await copy?.remove();
    await source?.remove();
  });

  test("gets existing and new rows", async () => {
    await arrives("1 apples, 2 pears");
    await execute(source, [
      "INSERT INTO orders VALUES (3, 'plums')",
      "UPDATE orders SET what = 'quinces' WHERE id = 2",
      "DELETE FROM orders WHERE id = 1",
    ]);
    await arrives("2 quinces, 3 plums");
  });

  // claim: docs/sidecar.md: rows arrive; rows that the source deleted or dropped stay in the copy and can be restored;
  //   the traps; the slot holds back no more than its limit, and its alerts fire (CloudNativePG's objects do not run)
  test("keeps rows deleted and dropped at the source, and can give them back", async () => {
    await execute(source, ["TRUNCATE orders", "INSERT INTO orders VALUES (4, 'figs')"]);
    // The row inserted after the TRUNCATE has arrived, so the TRUNCATE was skipped.
    await arrives("2 quinces, 3 plums, 4 figs");
    await source.sql("DROP TABLE orders");
    await source.sql(TABLE);
    const kept = await copy.sql("SELECT id, what FROM orders");
    expect(kept).toHaveLength(3);
    for (const row of kept) await source.sql("INSERT INTO orders VALUES ($1, $2)", [row["id"], row["what"]]);
    expect(await rows(source)).toBe(await rows(copy));
    const again = takeUpAgain(sidecar);
    await execute(source, [...again.source, `GRANT SELECT ON orders TO ${sidecar.role}`]);
    await execute(copy, again.sidecar);
    await source.sql("INSERT INTO orders VALUES (5, 'dates')");
    await arrives("2 quinces, 3 plums, 4 figs, 5 dates");
  });

  // claim: docs/sidecar.md: rows arrive; rows that…
  test("stops at a column that it lacks, and continues once it has it", async () => {
    await execute(source, ["ALTER TABLE orders ADD COLUMN price int", "INSERT INTO orders VALUES (6, 'limes', 7)"]);
    await copy.waitForValue("SELECT apply_error_count > 0 FROM pg_stat_subscription_stats", "true", 120_000);
    expect(await rows(copy)).not.toContain("limes");
    await copy.sql("ALTER TABLE orders ADD COLUMN price int");
    await arrives("2 quinces, 3 plums, 4 figs, 5 dates, 6 limes");
  });

  // claim: docs/sidecar.md: rows arrive; rows that…
  test("makes updates of a table without a key fail at the source", async () => {
    await execute(source, [
      "CREATE TABLE notes (text text)",
      "INSERT INTO notes VALUES ('a')",
      "ALTER PUBLICATION precious ADD TABLE notes",
    ]);
    await expect(source.sql("UPDATE notes SET text = 'b'")).rejects.toThrow(
      'cannot update table "notes" because it does not have a replica identity and publishes updates',
    );
    await source.sql("ALTER PUBLICATION precious DROP TABLE notes");
  });

  // claim: docs/sidecar.md: rows arrive; rows that…
  test("that is down holds back WAL only up to its limit; metrics show it, and it is copied again", async (context) => {
    expect(await numbers()).toEqual([
      expect.stringMatching(/^logical_sidecar_lag_bytes\{slot="precious"\} \d+$/),
      'logical_sidecar_lost{slot="precious"} 0',
      'logical_sidecar_connected{slot="precious"} 1',
    ]);
    await copy.sql("ALTER SUBSCRIPTION precious DISABLE");
    await source.waitForValue("SELECT active FROM pg_replication_slots", "false");
    await source.sql(
      "CREATE TABLE noise AS SELECT g, repeat(md5(g::text), 20) AS text FROM generate_series(1, 30000) g",
    );
    const behind = await numbers();
    await source.sql("INSERT INTO noise SELECT g, repeat(md5(g::text), 20) FROM generate_series(1, 90000) g");
    // PostgreSQL checks slots when a checkpoint removes WAL.
    for (const statement of [
      "SELECT pg_switch_wal()",
      "CHECKPOINT",
      "INSERT INTO noise VALUES (0, '')",
      "SELECT pg_switch_wal()",
      "CHECKPOINT",
    ])
      await source.sql(statement);
    await source.waitForValue("SELECT wal_status FROM pg_replication_slots", "lost");
    const lost = await numbers();
    expect(lost).toContain('logical_sidecar_lost{slot="precious"} 1');

    await execute(copy, [
      "ALTER SUBSCRIPTION precious SET (slot_name = NONE)",
      "DROP SUBSCRIPTION precious",
      "TRUNCATE orders",
    ]);
    await source.sql("SELECT pg_drop_replication_slot('precious')");
    await execute(copy, subscribe(sidecar));
    await arrives("2 quinces, 3 plums, 4 figs, 5 dates, 6 limes");

    await firesFor(await promtoolOrSkip(context), {
      SidecarBehind: behind,
      SidecarDisconnected: behind,
      SidecarLost: lost,
      SidecarUnknown: [],
    });
  });

  /** Expects each alert to fire for its recorded numbers. @throws Error with promtool's output otherwise */
  async function firesFor(promtool: string, recorded: Readonly<Record<string, readonly string[]>>): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), "pgb-rules-"));
    try {
      writeFileSync(join(folder, "rules.yml"), alertRules(sidecar));
      const tests = Object.entries(recorded).map(([alertname, lines]) => ({
        interval: "1m",
        input_series: lines.map((line) => ({
          series: line.slice(0, line.lastIndexOf(" ")),
          values: `${line.slice(line.lastIndexOf(" ") + 1)}x60`,
        })),
        promql_expr_test: [
          {
            expr: `count(ALERTS{alertname="${alertname}", alertstate="firing"})`,
            eval_time: "30m",
            exp_samples: [{ labels: "{}", value: 1 }],
          },
        ],
      }));
      writeFileSync(
        join(folder, "tests.yml"),
        JSON.stringify({ rule_files: ["rules.yml"], evaluation_interval: "1m", tests }),
      );
      requireOk("promtool", await run(promtool, ["test", "rules", "tests.yml"], { cwd: folder }));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
});
