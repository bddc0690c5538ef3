/** What keeps the source as it was compared, on two real servers: nothing else of a migration is here. */
// claim: packages/migration/docs/steps.md: the source may go only while…
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testContext } from "../../../../test/harness/context";
import { skipped } from "../../../../test/harness/real/interopParts";
import { findPostgres } from "../../../../tools/parts/postgres/postgres";
import { TestCluster } from "../../../../tools/parts/postgres/testCluster";
import { systemClock } from "../../../../runtime/base/clock";
import type { BackupEvidence } from "../../runtime/backupEvidence";
import { type CopyReport, copyDatabases } from "../../runtime/copyDatabases";
import { loadFacts } from "../../runtime/facts";
import { gatherPlanInput } from "../../runtime/gatherPlanInput";
import { liftGuard, setGuard } from "../../runtime/guard";
import { judgeFinish } from "../../runtime/judgeFinish";
import { type MigrationPlan, planMigration } from "../../runtime/migrationPlan";
import { type Servers, withSession } from "../../runtime/serverSessions";
import { type VerifyReport, verifyMigration } from "../../runtime/verifyMigration";

const NO_BACKUPS: BackupEvidence = { repositories: [], drills: [] };

describe("the guard of the source", async () => {
  const postgres = await findPostgres(17);
  if ("missing" in postgres) return void skipped("the guard of a migration", postgres.missing);
  const { binaries } = postgres;
  let [source, target]: (TestCluster | undefined)[] = [];
  let servers: Servers;
  const options = {
    include: ["shop"],
    exclude: [],
    keepRoles: [],
    tablespaces: true,
    disconnect: false,
    processMax: 1,
    rolePasswords: true,
    replace: false,
    programs: { dump: `${binaries.folder}/pg_dump`, load: `${binaries.folder}/psql` },
  };
  const ctx = () => testContext({ clock: systemClock });
  const plan = async (): Promise<MigrationPlan> => planMigration(await gatherPlanInput(servers, options, ctx()));
  const copy = async (): Promise<CopyReport> => copyDatabases(servers, await plan(), options, ctx());
  const verify = (): Promise<VerifyReport> => verifyMigration(servers, { ...options, databases: ["shop"] }, ctx());
  const facts = (side: "source" | "target") => withSession(servers, servers[side], undefined, loadFacts);
  /** What `finish` says about the source alone. */
  const reasons = async (): Promise<readonly string[]> =>
    judgeFinish(NO_BACKUPS, await facts("target"), await facts("source"), {
      include: ["shop"],
      exclude: [],
    }).missing.filter((line) => !/repository|drill/.test(line));
  const onSource = async (sql: string, database = "postgres"): Promise<void> =>
    void (await source?.sql(sql, [], database));

  beforeAll(async () => {
    const created = await Promise.all([1, 2].map(() => TestCluster.create({ binaries })));
    [source, target] = created;
    await source?.start({ wal_level: "logical", max_prepared_transactions: "2" });
    await target?.start();
    const [from, to] = created.map(({ port, socketPath, superuser }) => {
      return { host: socketPath, port, user: superuser, database: "postgres", sslMode: "disable" as const };
    });
    if (from === undefined || to === undefined) throw new Error("no clusters");
    servers = { source: from, target: to, readFile: () => Promise.resolve(null) };
    for (const name of ["shop", "feed"]) await onSource(`CREATE DATABASE ${name}`);
    for (const name of ["shop", "feed"]) await onSource("CREATE TABLE goods (id int PRIMARY KEY)", name);
    await onSource("INSERT INTO goods SELECT generate_series(1, 100)", "shop");
  }, 120_000);
  afterAll(async () => {
    await source?.remove();
    await target?.remove();
  });

  test("lifted by hand, it protects nothing, whatever its mark says", async () => {
    await copy();
    expect(await verify()).toMatchObject({ ok: true, guarded: true });
    expect([await reasons(), (await plan()).databases[0]?.state]).toEqual([[], "done"]);
    for (const [half, back] of [
      ["CONNECTION LIMIT -1", "CONNECTION LIMIT 0"],
      ["RESET default_transaction_read_only", "SET default_transaction_read_only TO on"],
    ] as const) {
      await onSource(`ALTER DATABASE shop ${half}`);
      expect([half, await reasons()]).toEqual([half, [expect.stringContaining("the source was writable after")]]);
      expect([half, (await plan()).databases[0]?.state]).toEqual([half, "stale"]);
      await onSource(`ALTER DATABASE shop ${back}`);
    }
    await onSource("ALTER DATABASE shop CONNECTION LIMIT 7");
    await onSource("ALTER DATABASE shop RESET default_transaction_read_only");
    expect(await verify()).toMatchObject({ ok: false, guarded: false });
    await onSource("INSERT INTO goods VALUES (101)", "shop");
    await expect(copy()).rejects.toThrow("'shop' of the target is a complete copy, and differs");
    // After the failure: what the settings were since somebody changed them.
    expect(await source?.value("SELECT datconnlimit FROM pg_database WHERE datname = 'shop'")).toBe("7");
    await onSource("DELETE FROM goods WHERE id = 101", "shop");
    expect((await facts("source")).databases.find(({ name }) => name === "shop")).toMatchObject({ guardMark: null });
  }, 120_000);

  test("a transaction that was prepared after the plan is refused, or makes the comparison fail", async () => {
    await onSource("ALTER DATABASE shop CONNECTION LIMIT -1");
    const prepare = (): Promise<unknown> =>
      withSession(servers, servers.source, "shop", async (session) => {
        for (const sql of ["BEGIN", "INSERT INTO public.goods VALUES (1000)", "PREPARE TRANSACTION 'late'"])
          await session.query(sql);
      });
    const planned = await plan();
    await prepare();
    const copied = copyDatabases(servers, planned, { ...options, replace: true }, ctx());
    await expect(copied).rejects.toThrow("database 'shop' has a prepared transaction 'late'");
    expect((await facts("source")).databases.find(({ name }) => name === "shop")?.guard).toBeNull();
    expect((await verify()).differences.map(({ kind, name }) => `${kind} ${name}`)).toContain(
      "prepared transaction late",
    );
    await onSource("ROLLBACK PREPARED 'late'", "shop");
  }, 120_000);

  test("a release leaves what somebody has changed since", async () => {
    await onSource("ALTER DATABASE shop CONNECTION LIMIT -1");
    await copy();
    await onSource("ALTER DATABASE shop CONNECTION LIMIT 9");
    await withSession(servers, servers.source, undefined, async (session) => {
      const { databases, settings } = await loadFacts(session);
      expect(await liftGuard(session, databases, settings)).toEqual(["shop"]);
    });
    expect(
      await source?.value(
        "SELECT datconnlimit || ' ' || (SELECT count(*) FROM pg_db_role_setting) FROM pg_database WHERE datname = 'shop'",
      ),
    ).toBe("9 0");
    await onSource("ALTER DATABASE shop CONNECTION LIMIT -1");
  }, 120_000);

  test("a session from before the guard of a killed copy writes on: a comparison then proves nothing", async () => {
    await copy();
    await withSession(servers, servers.source, undefined, async (session) => {
      const { databases, settings } = await loadFacts(session);
      await liftGuard(session, databases, settings);
    });
    const idle = await source?.connect("shop");
    await withSession(servers, servers.source, undefined, async (session) => {
      const { databases, settings } = await loadFacts(session);
      await setGuard(
        session,
        databases.filter(({ name }) => name === "shop"),
        settings,
      );
    });
    expect(await verify()).toMatchObject({ ok: true, guarded: false });
    await idle?.query("INSERT INTO goods VALUES (500)");
    await idle?.query("DELETE FROM goods WHERE id = 500");
    expect(await reasons()).toEqual([expect.stringContaining("not compared with a read-only source: 'shop'")]);
    await idle?.end();
    expect(await verify()).toMatchObject({ ok: true, guarded: true });
    expect(await reasons()).toEqual([]);
  }, 120_000);

  // claim: packages/migration/docs/steps.md: an enabled subscription, which writes into a read-only database, is an
  //   obstacle
  test("an enabled subscription writes into a guarded database: no copy begins, and the source must stay", async () => {
    await copy();
    expect([(await verify()).ok, await reasons()]).toEqual([true, []]);
    await onSource("CREATE PUBLICATION goods FOR TABLE goods", "feed");
    await onSource("SELECT pg_create_logical_replication_slot('feed', 'pgoutput')", "feed");
    const subscribe = `CREATE SUBSCRIPTION feed CONNECTION 'host=${servers.source.host} dbname=feed' PUBLICATION goods WITH (create_slot = false, copy_data = false)`;
    const inShop = async (sql: string): Promise<void> => {
      const client = await source?.connect("shop");
      await client?.query("SET default_transaction_read_only TO off");
      await client?.query(sql);
      await client?.end();
    };
    await inShop(subscribe);
    await onSource("INSERT INTO goods VALUES (1000)", "feed");
    const count = () => source?.value("SELECT count(*) FROM goods WHERE id = 1000", [], "shop");
    await expect.poll(count, { timeout: 60_000 }).toBe("1");
    expect(await reasons()).toEqual([expect.stringContaining("the subscription 'feed' writes into 'shop'")]);
    expect((await verify()).guarded).toBe(false);
    const planned = await plan();
    expect(planned.refusals.map(({ fact }) => fact)).toEqual(["the subscription 'feed' of 'shop' is enabled"]);
    expect(planned.clients).toMatchObject([{ database: "shop", application: expect.stringMatching(/^logical repl/) }]);
    // As if it had been enabled after the plan.
    await expect(copyDatabases(servers, planned, options, ctx())).rejects.toThrow(
      /connected to databases that will be copied[^]*shop: postgres \(logical replication/,
    );
    await inShop("ALTER SUBSCRIPTION feed DISABLE");
    await expect.poll(async () => (await plan()).clients).toEqual([]);
    expect((await plan()).refusals).toEqual([]);
    await inShop("ALTER SUBSCRIPTION feed SET (slot_name = NONE)");
    await inShop("DROP SUBSCRIPTION feed");
    await inShop("DELETE FROM goods WHERE id = 1000");
  }, 240_000);

  // claim: packages/migration/docs/steps.md: settings of all roles move, and are compared
  test("settings of all roles move, and are compared", async () => {
    await onSource("ALTER ROLE ALL SET work_mem TO '7MB'");
    await onSource("ALTER ROLE ALL SET search_path TO '$user', app");
    expect((await verify()).differences.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual([
      "setting search_path of all roles",
      "setting work_mem of all roles",
    ]);
    await copy();
    const forAll =
      "SELECT string_agg(c, ' ' ORDER BY c) FROM pg_db_role_setting, unnest(setconfig) c WHERE setdatabase = 0 AND setrole = 0";
    expect(await target?.value(forAll)).toBe(await source?.value(forAll));
    expect((await verify()).differences).toEqual([]);
    await target?.sql("ALTER ROLE ALL SET lock_timeout TO '1s'");
    expect((await plan()).refusals.map(({ fact }) => fact)).toEqual([expect.stringMatching(/^lock_timeout of all/)]);
  }, 120_000);
});
