/**
 * PostgreSQL 19 before its release, from Debian's experimental: everything that reads its files once, beside stock
 * 2.60. Backups of both build on each other, WAL is archived and streamed, `find` names mistakes, and recoveries to
 * them, an extracted table and a drill have the rows that were there.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseLsn } from "../../runtime/format/wal/walSegment";
import { WalReader } from "../../runtime/format/wal/walReader";
import { parseRecord } from "../../runtime/format/wal/walRecord";
import { runOk, waitFor } from "../../tools/parts/process";
import { TestCluster } from "../../tools/parts/postgres/testCluster";
import { agentPaths, AgentProcess, archiveCommandOf } from "../harness/real/agentProcess";
import { findParts } from "../harness/real/interopParts";
import { requireOk, type RestoreOptions, TestBed } from "../harness/real/testBed";

interface FindDocument {
  readonly transactions: readonly {
    readonly xid: number;
    readonly markers: readonly { readonly kind: string; readonly name: string; readonly rows: number | null }[];
    readonly targets: readonly { readonly type: string; readonly target: string; readonly args: readonly string[] }[];
  }[];
  readonly unknown: readonly unknown[];
}

const CONTENT = "SELECT count(*) || ' ' || coalesce(sum(hashtext(t::text)::bigint), 0) FROM orders t";

describe("PostgreSQL 19", async () => {
  const parts = await findParts("PostgreSQL 19", 19, "2.60");
  if (parts === null) return;
  const { binaries, stock } = parts;
  const paths = agentPaths();
  let bed: TestBed;
  let agent: AgentProcess;
  /** Of `orders` before the mistake, which `targets` leads back to. */
  let content = "";
  let targets: readonly string[] = [];

  const shop = (sql: string): Promise<string> => bed.cluster.value(sql, [], "shop");
  const startAgent = (): Promise<AgentProcess> =>
    AgentProcess.start({ paths, runtime: bed.runtime, configPath: bed.configPath, stanza: bed.stanza });
  /** The value of a query in the restored cluster. */
  const restored = async (options: RestoreOptions, sql: string): Promise<string> => {
    const { dataPath, result } = await bed.restoreAside(options);
    requireOk("restore", result);
    const copy = TestCluster.adopt({ binaries, dataPath });
    try {
      await copy.start({}, { timeoutMs: 120_000 });
      await copy.waitForRecovery();
      return await copy.value(sql, [], "shop");
    } catch (error) {
      throw new Error(`${String(error)}\n${copy.logTail()}`, { cause: error });
    } finally {
      await copy.remove();
      rmSync(join(dataPath, ".."), { recursive: true, force: true });
    }
  };

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "lz4" }, { compressType: "zst", encrypted: true }],
      acknowledge: "any",
      settings: { archive_command: archiveCommandOf(paths), wal_compression: "zstd" },
      global: { "archive-timeout": "20" },
    });
    bed.writeVariant(bed.configPath, { settings: { stream: { intervalSeconds: 1 } } });
    agent = await startAgent();
    await bed.startWithStanza();
    await bed.cluster.sql(`CREATE TABLESPACE space LOCATION '${join(bed.folder, "tablespace")}'`);
    await bed.cluster.sql("CREATE DATABASE shop");
    await bed.cluster.sql(
      "CREATE TABLE orders (id int PRIMARY KEY, note text) TABLESPACE space; CREATE TABLE logs (id int)",
      [],
      "shop",
    );
    await bed.cluster.sql("INSERT INTO orders SELECT i, md5(i::text) FROM generate_series(1, 5000) i", [], "shop");
  }, 300_000);
  afterAll(async () => {
    await agent?.stop("SIGKILL");
    await bed?.remove();
    rmSync(paths.folder, { recursive: true, force: true });
  });

  // claim: docs/find.md, CHANGELOG.md, docs/internals/repository-format.md: PostgreSQL 19~rc1: backups of ours and
  //   stock in turn, WAL, stream, `find`, recovery by both, `extract-table` and a drill
  test("backups of ours and of stock build on each other, and both find every page and segment valid", async () => {
    await bed.oursOk(["backup", "--type=full"]);
    expect(existsSync(join(bed.repoPath(1), "archive/main/19-1"))).toBe(true);
    await bed.cluster.sql("UPDATE orders SET note = 'changed' WHERE id % 100 = 0", [], "shop");
    await bed.stockOk(stock, ["check"]);
    await bed.stockOk(stock, ["backup", "--type=diff", "--repo=1"]);
    await bed.cluster.sql("INSERT INTO orders SELECT i, 'more' FROM generate_series(5001, 5100) i", [], "shop");
    const { stdout } = await bed.oursOk(["backup", "--type=incr"]);
    expect(stdout).not.toMatch(/checksum (error|fail)|invalid page/);
    for (const key of [1, 2]) {
      const { stdout: verified } = await bed.stockOk(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"]);
      expect(verified).toMatch(/^status: ok$/m);
      await bed.oursOk(["verify", `--repo=${key}`]);
    }
    const [info] = JSON.parse((await bed.stockOk(stock, ["info", "--output=json"])).stdout) as {
      db: { version: string }[];
      backup: { type: string; error: boolean }[];
    }[];
    expect(info?.db.map(({ version }) => version)).toEqual(["19", "19"]);
    expect(info?.backup.map(({ error, type }) => `${type} ${error}`)).toEqual([
      "full false",
      "full false",
      "diff false",
      "incr false",
      "incr false",
    ]);
  });

  // claim: docs/find.md: PostgreSQL 19~rc1: backups of…
  test("find names a mistake, and ours and stock recover to just before it", async () => {
    content = await shop(CONTENT);
    const xid = Number(await shop("WITH gone AS (DELETE FROM orders WHERE id > 10) SELECT pg_current_xact_id()"));
    await bed.cluster.sql("DROP TABLE logs", [], "shop");
    await bed.archiveAll();
    const find = async (args: readonly string[]): Promise<FindDocument> =>
      JSON.parse((await bed.oursOk(["find", "--database=shop", "--output=json", ...args])).stdout) as FindDocument;
    const { transactions, unknown } = await find(["--table=orders", "--kind=delete"]);
    expect(unknown).toEqual([]);
    expect(
      transactions.map((each) => [each.xid, each.markers.map(({ kind, name, rows }) => [kind, name, rows])]),
    ).toEqual([[xid, [["delete", "public.orders", 5090]]]]);
    const drops = await find(["--kind=drop"]);
    expect(drops.transactions.flatMap(({ markers }) => markers.map(({ name }) => name))).toEqual(["public.logs"]);
    const [target] = transactions[0]?.targets ?? [];
    targets = target?.args ?? [];
    expect(target?.type).toBe("xid");
    expect(await restored({ by: null, args: [...targets, "--target-action=promote"] }, CONTENT)).toBe(content);
    const same = ["--type=xid", `--target=${target?.target ?? ""}`, "--target-exclusive", "--target-action=promote"];
    expect(await restored({ by: stock, repo: 1, args: same }, CONTENT)).toBe(content);
  });

  test("our reader and pg_waldump see the same records", async () => {
    const folder = join(bed.cluster.dataPath, "pg_wal");
    const segments = readdirSync(folder)
      .filter((name) => /^[0-9A-F]{24}$/.test(name) && existsSync(join(folder, "archive_status", `${name}.done`)))
      .sort();
    const name = segments.at(-1) ?? "";
    const records = [...new WalReader().read(readFileSync(join(folder, name)))];
    const ours = records.map((record) => `${record.lsn} ${record.xid} ${parseRecord(record, 19).blocks.length}`);
    const dump = await runOk(join(binaries.folder, "pg_waldump"), [join(folder, name)], { user: bed.cluster.user });
    const theirs = [...dump.matchAll(/^rmgr: .*tx: +(\d+), lsn: ([0-9A-F/]+),(.*)$/gm)].map(
      ([, xid = "", lsn = "", rest = ""]) => `${parseLsn(lsn)} ${xid} ${rest.split("blkref #").length - 1}`,
    );
    expect(ours.length).toBeGreaterThan(5);
    expect(ours).toEqual(theirs);
  });

  test("extract-table brings the lost rows back beside the table, and a drill passes", async () => {
    await bed.oursOk([
      "extract-table",
      "--database=shop",
      "--table=public.orders",
      `--bin-path=${binaries.folder}`,
      ...targets,
    ]);
    expect(await shop(CONTENT.replace("FROM orders", "FROM public_restored.orders"))).toBe(content);
    const { exitCode, stdout } = await bed.ours([
      "drill",
      `--drill-path=${join(bed.folder, "drill")}`,
      `--bin-path=${binaries.folder}`,
      "--level=thorough",
      "--output=json",
    ]);
    expect([exitCode, (JSON.parse(stdout) as { failures: unknown[] }).failures]).toEqual([0, []]);
  });

  // claim: docs/find.md: changes that `REPACK (CONCURRENTLY)` repeats in the new file are no further changes
  test("find names changes during REPACK (CONCURRENTLY) once", async () => {
    // An index that takes seconds to build.
    await bed.cluster.sql(
      "CREATE FUNCTION slow(id int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.03); RETURN id; END';" +
        "CREATE TABLE packed (id int PRIMARY KEY, note text); INSERT INTO packed SELECT generate_series(1, 100);" +
        "CREATE INDEX ON packed (slow(id))",
      [],
      "shop",
    );
    const client = await bed.cluster.connect("shop");
    const repack = client.query("REPACK (CONCURRENTLY) packed");
    await expect
      .poll(() => shop("SELECT max(phase) FROM pg_stat_progress_repack"), { timeout: 30_000 })
      .toBe("rebuilding index");
    await bed.cluster.sql("DELETE FROM packed WHERE id > 98", [], "shop");
    await bed.cluster.sql("UPDATE packed SET note = 'y' WHERE id < 6", [], "shop");
    await repack;
    await client.end();
    await bed.archiveAll();
    const { stdout } = await bed.oursOk(["find", "--table=packed", "--output=json"]);
    const { transactions } = JSON.parse(stdout) as FindDocument;
    expect(transactions.flatMap(({ markers }) => markers.map(({ kind, rows }) => [kind, rows]))).toEqual([
      ["delete", 2],
      ["update", 5],
    ]);
  });

  test("streamed WAL brings back the last commits after a crash of server, agent and disk", async () => {
    await bed.cluster.sql("INSERT INTO orders SELECT i, 'last' FROM generate_series(9001, 9007) i", [], "shop");
    const flushed = parseLsn(await bed.cluster.value("SELECT pg_current_wal_flush_lsn()"));
    await waitFor("the stream", 60_000, async () => {
      const { stderr, stdout } = await agent.ask(bed.cluster.dataPath, ["status"]);
      const reached = [...`${stdout}${stderr}`.matchAll(/streamed=(\S+)/g)].map(([, lsn = ""]) =>
        lsn === "none" ? 0n : parseLsn(lsn),
      );
      return reached.length === 2 && reached.every((lsn) => lsn >= flushed) ? true : null;
    });
    await agent.stop("SIGKILL");
    await bed.cluster.stop("immediate");
    for (const repo of [1, 2])
      expect(await restored({ by: null, repo }, "SELECT count(*) FROM orders WHERE note = 'last'")).toBe("7");
    expect(bed.findLeaks()).toEqual([]);
  });
});
