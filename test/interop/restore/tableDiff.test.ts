/** `diff` with real programs: past moments on real mounts, and production. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run, type RunResult, start, waitFor } from "../../../tools/parts/process";
import type { DrillRecord } from "../../../runtime/operations/drill/record";
import type { TableDiff } from "../../../runtime/operations/extract/tableDiff";
import { eventually } from "../../harness/context";
import { findMountingPostgres } from "../../harness/real/openedBackup";
import { TestBed } from "../../harness/real/testBed";

const ROWS = 20_000;

describe("diff", async () => {
  const binaries = await findMountingPostgres("diff");
  if (binaries === null) return;
  let bed: TestBed;
  /** After the first changes, and after the second ones. */
  const moments: string[] = [];

  const argsOf = (args: readonly string[]): string[] =>
    bed.oursCommand(["diff", `--bin-path=${bed.cluster.binaries.folder}`, "--database=shop", ...args]);
  const diff = (args: readonly string[]): Promise<RunResult> =>
    run(bed.runtime.node, argsOf(args), { cwd: bed.folder, timeoutMs: 300_000 });
  const answerOf = async (args: readonly string[]): Promise<TableDiff & { from: string; to: string }> => {
    const { exitCode, stderr, stdout } = await diff([...args, "--output=json"]);
    expect(exitCode, `${stdout}${stderr}`).toBe(0);
    return JSON.parse(stdout) as TableDiff & { from: string; to: string };
  };
  const left = (): string[] => {
    const folder = `${bed.cluster.dataPath}-drill`;
    return existsSync(folder) ? readdirSync(folder) : [];
  };

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "zst", encrypted: true, options: { bundle: "y", block: "y" } }],
    });
    const { cluster } = bed;
    await bed.startWithStanza();
    await cluster.sql("CREATE DATABASE shop");
    const sql = async (statements: readonly string[]): Promise<void> => {
      for (const statement of statements) await cluster.sql(statement, [], "shop");
    };
    await sql([
      "CREATE TABLE customers (id int PRIMARY KEY, email text, born date)",
      `INSERT INTO customers SELECT i, 'person' || i || '@example.com', '2000-01-01' FROM generate_series(1, ${ROWS}) i`,
      "CREATE TABLE filler AS SELECT i, repeat(md5(i::text), 30) AS line FROM generate_series(1, 150000) i",
      "CREATE TABLE log (at int, line text)",
      "INSERT INTO log VALUES (1, 'one'), (1, 'one'), (2, 'two'), (3, NULL)",
      `CREATE TABLE "od""d" ("k ey" text, part int, v text, PRIMARY KEY ("k ey", part)) PARTITION BY LIST (part)`,
      `CREATE TABLE odd1 PARTITION OF "od""d" FOR VALUES IN (1)`,
      `CREATE TABLE odd2 PARTITION OF "od""d" FOR VALUES IN (2)`,
      String.raw`INSERT INTO "od""d" VALUES ('a', 1, 'x'), ('Ä', 2, 'y'), (E'\u001b[2J', 1, 'z'), ('💧', 2, 'w')`,
    ]);
    await bed.oursOk(["backup", "--type=full"]);
    await sql([
      "DELETE FROM customers WHERE id IN (5, 6)",
      "UPDATE customers SET email = NULL WHERE id = 7",
      `INSERT INTO customers VALUES (${ROWS + 1}, 'new@example.com', '2001-01-01')`,
      "DELETE FROM log WHERE ctid = (SELECT min(ctid) FROM log)",
      "INSERT INTO log VALUES (3, NULL), (4, 'four')",
      `UPDATE "od""d" SET v = 'changed', part = part WHERE "k ey" IN ('Ä', '💧')`,
    ]);
    const markMoment = async (): Promise<void> =>
      void moments.push(await cluster.value("SELECT clock_timestamp()::text"));
    await markMoment();
    await sql([
      "DELETE FROM customers WHERE id = 100",
      "ALTER TABLE customers ADD note text, DROP born",
      "VACUUM FULL customers",
    ]);
    await markMoment();
    await sql(["CREATE TABLE young (id int)"]);
    await bed.archiveAll();
  }, 600_000);
  afterAll(async () => bed?.remove());

  // claim: docs/diff.md: rows are compared with production or between two past moments, and nothing is left
  test("a backup and production differ by exactly what was changed", async () => {
    const result = await answerOf(["--table=customers", "--set=latest", "--type=immediate", "--limit=3"]);
    expect(result).toMatchObject({
      key: ["id"],
      columns: { onlyFrom: ["born"], onlyTo: ["note"] },
      rows: { same: ROWS - 4, removed: 3, added: 1, changed: 1 },
    });
    expect(result.from).toMatch(/^backup \d{8}-\d{6}F of repo1, at 20/);
    expect(result.to).toMatch(/^production, at 20/);
    // By the text of their keys: 100, 20001, 5.
    expect(result.shown).toEqual([
      { kind: "removed", before: { id: "100", email: "person100@example.com" }, after: null },
      { kind: "added", before: null, after: { id: String(ROWS + 1), email: "new@example.com" } },
      { kind: "removed", before: { id: "5", email: "person5@example.com" }, after: null },
    ]);
    expect(left()).toEqual([]);
    expect((await bed.oursOk(["status"])).stdout).not.toContain("-diff-");
  }, 300_000);

  test("two moments differ without production", async () => {
    const [from = "", to = ""] = moments;
    await bed.cluster.stop();
    try {
      const result = await answerOf(["--table=public.customers", "--type=time", `--target=${from}`, `--to=${to}`]);
      expect(result.rows).toEqual({ same: ROWS - 2, removed: 1, added: 0, changed: 0 });
      expect(result.shown[0]?.before).toEqual({ id: "100", email: "person100@example.com" });
      expect(left()).toEqual([]);
    } finally {
      await bed.cluster.start();
    }
  }, 300_000);

  test("without a key equal rows pair up; odd names, partitions and control characters are shown as they are", async () => {
    const log = await answerOf(["--table=log", "--set=latest", "--type=immediate"]);
    expect(log).toMatchObject({ key: null, rows: { same: 3, removed: 1, added: 2, changed: 0 } });
    expect(log.shown.map(({ after, before, kind }) => [kind, (before ?? after)?.["line"]])).toEqual([
      ["removed", "one"],
      ["added", null],
      ["added", "four"],
    ]);
    const odd = await answerOf([`--table=public."od""d"`, "--set=latest", "--type=immediate"]);
    expect(odd).toMatchObject({ key: ["k ey", "part"], rows: { same: 2, removed: 0, added: 0, changed: 2 } });
    const { stdout } = await diff([`--table="od""d"`, "--set=latest", "--type=immediate"]);
    expect(stdout).toContain("rows: 0 removed, 0 added, 2 changed, 2 equal\n");
    expect(stdout).toContain("    v: y -> changed\n");
  }, 300_000);

  // claim: docs/extract-table.md: with --open it fetches only what it reads
  test("extract-table reads the pages of one table from the mounted backup, and leaves nothing", async () => {
    const args = ["extract-table", "--open", `--bin-path=${bed.cluster.binaries.folder}`, "--database=shop"];
    const extract = (more: readonly string[]): Promise<RunResult> =>
      run(bed.runtime.node, bed.oursCommand([...args, "--table=customers", "--type=immediate", ...more]), {
        cwd: bed.folder,
        timeoutMs: 300_000,
      });
    const plan = await extract(["--dry-run"]);
    expect([plan.exitCode, plan.stdout]).toEqual([0, expect.stringContaining("mounted below ")]);
    expect(left()).toEqual([]);
    const { exitCode, stderr, stdout } = await extract([]);
    expect(exitCode, `${stdout}${stderr}`).toBe(0);
    expect(stdout).toContain("the copied rows are identical to those of the backup\n");
    process.stderr.write(`extract-table: ${/^fetched .*/m.exec(stdout)?.[0]}\n`);
    expect(await bed.cluster.value("SELECT count(*) FROM public_restored.customers", [], "shop")).toBe(String(ROWS));
    const file = join(bed.folder, "customers.dump");
    const dumped = await extract([`--to-file=${file}`]);
    expect([dumped.exitCode, existsSync(file)], dumped.stderr).toEqual([0, true]);
    expect(left()).toEqual([]);
    expect((await bed.oursOk(["status"])).stdout).not.toContain("-extract-table-");
  }, 300_000);

  // claim: docs/drills-open.md: a drill that opens its backup measures no RTO, fetches what it reads, leaves nothing
  test("a drill opens the backup instead of restoring it", async () => {
    const drill = (args: readonly string[]): Promise<RunResult> => {
      const all = ["drill", "--how=open", `--bin-path=${bed.cluster.binaries.folder}`, ...args];
      return run(bed.runtime.node, bed.oursCommand(all), { cwd: bed.folder, timeoutMs: 300_000 });
    };
    await bed.archiveAll();
    const { exitCode, stderr, stdout } = await drill(["--pick=newest", "--level=quick", "--output=json"]);
    expect(exitCode, `${stdout}${stderr}`).toBe(0);
    const record = JSON.parse(stdout) as DrillRecord;
    expect(record).toMatchObject({ ok: true, pick: "newest", repo: 1, rtoMs: null, restoredBytes: 0 });
    expect(record.phases.map(({ name }) => name)).toEqual(["choose", "open", "checks", "delete"]);
    expect(record.checks.map(({ name, verdict }) => `${name} ${verdict}`)).toEqual([
      "recovery ok",
      "collations ok",
      "production ok",
    ]);
    expect(record.rpo?.seconds).toBeGreaterThanOrEqual(0);
    const { elapsedMs = null, fetchedBytes = 0, totalBytes = 0 } = record.opened ?? {};
    expect(elapsedMs).toBeGreaterThan(0);
    expect(fetchedBytes).toBeGreaterThan(0);
    expect(fetchedBytes).toBeLessThan(totalBytes / 2);
    expect(left()).toEqual([]);
    // The record is the account's, in the repository too.
    const name = `${record.id}-repo1-newest.json`;
    const stored = await run("find", [bed.folder, "-name", name, "-user", bed.cluster.superuser], {
      timeoutMs: 60_000,
    });
    expect(stored.stdout.trim().split("\n")).toHaveLength(2);
    const status = await bed.oursOk(["status"]);
    expect(status.stdout).toMatch(/last drill +passed .* ago, opened instead of restored/);

    const whole = await drill(["--pick=random", "--level=standard"]);
    expect(whole.exitCode, `${whole.stdout}${whole.stderr}`).toBe(0);
    expect(whole.stdout).toMatch(/opened +first connection after [\d.]+ s, no RTO \(choose .*open .*checks/);
    expect(whole.stdout).toMatch(/ok +amcheck, .*every index is complete/);
    const assertions = [{ name: "patience", sql: "SELECT pg_sleep(600) IS NOT NULL" }];
    const slow = bed.variant("slow", { settings: { drill: { assertions } } });
    const logFile = join(bed.folder, "patient.log");
    const patient = ["drill", "--how=open", "--pick=newest", "--level=quick", "--log-level-console=info"];
    const command = bed.oursCommand([...patient, `--bin-path=${bed.cluster.binaries.folder}`], slow);
    const ended = await start(bed.runtime.node, command, { logFile });
    // The assertion comes next.
    await waitFor("the check before it", 200_000, async () =>
      !ended.isRunning() || ended.log().includes("drill: production: ") ? true : null,
    );
    expect(ended.isRunning(), ended.log()).toBe(true);
    expect(await ended.stop("SIGTERM", 60_000)).toBe(63);
    expect(left()).toEqual([]);
    const plain = await bed.ours(["drill", "--how=open"]);
    expect(plain.stderr + plain.stdout).toContain("needs root");
    expect(left()).toEqual([]);
  }, 300_000);

  test("what is wrong is said, and a killed command's mounts are removed by the next one", async () => {
    const young = await diff(["--table=young", "--set=latest", "--type=immediate"]);
    expect([young.exitCode, young.stderr + young.stdout]).toEqual([
      32,
      expect.stringMatching(/table public\.young does not exist in backup \S+ of repo1/),
    ]);
    expect(left()).toEqual([]);
    const none = await diff(["--table=customers"]);
    expect([none.exitCode, none.stderr + none.stdout]).toEqual([37, expect.stringContaining("--target='2026")]);
    const plain = await bed.ours(["diff", "--database=shop", "--table=customers", "--type=immediate"]);
    expect(plain.stderr + plain.stdout).toContain("needs root");

    const killed = await start(bed.runtime.node, argsOf(["--table=customers", "--type=immediate"]), {
      logFile: join(bed.folder, "killed.log"),
    });
    await eventually("something of it is there", () => left().some((name) => name.endsWith(".pgbackstop")));
    await killed.stop("SIGKILL");
    const again = await answerOf(["--table=customers", "--type=immediate"]);
    expect(again.rows.removed).toBe(3);
    expect(left()).toEqual([]);
  }, 300_000);

  test("a command that is stopped ends its query, and leaves nothing", async () => {
    const owner = await bed.cluster.connect("shop");
    try {
      await owner.query("BEGIN; LOCK TABLE customers");
      const logFile = join(bed.folder, "waiting.log");
      const waiting = await start(bed.runtime.node, argsOf(["--table=customers", "--type=immediate"]), { logFile });
      await waitFor("its query waits for the lock", 200_000, async () => {
        if (!waiting.isRunning()) throw new Error(waiting.log());
        const count = await bed.cluster.value("SELECT count(*) FROM pg_locks WHERE NOT granted");
        return count === "0" ? null : true;
      });
      expect(await waiting.stop("SIGTERM", 60_000), waiting.log()).toBe(63);
      expect(left()).toEqual([]);
    } finally {
      await owner.end();
    }
  }, 300_000);
});
