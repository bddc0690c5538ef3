/** What a clone's server changes before anybody may connect, on a real server without a backup. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sealClone } from "../../../runtime/operations/clone/sealClone";
import { Session } from "../../../runtime/postgres/session";
import { findWholePostgres } from "../../../tools/parts/postgres/postgres";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { skipped } from "../../harness/real/interopParts";

const TITLE = "a sealed clone";

describe(TITLE, async () => {
  const postgres = await findWholePostgres(18);
  if ("missing" in postgres) return void skipped(TITLE, postgres.missing);
  let cluster: TestCluster;
  const connect = (database: string, user = cluster.superuser): Promise<Session> =>
    Session.open({
      host: cluster.socketPath,
      port: cluster.port,
      user,
      database,
      // A wait for a lock fails soon.
      queryTimeoutMs: 10_000,
      applicationName: "test",
    });
  const ask = async (sql: string): Promise<unknown> => {
    const session = await connect("shop", "clone");
    try {
      const { rows } = await session.query(sql);
      return Object.values((rows as object[])[0] ?? {})[0];
    } finally {
      await session.close();
    }
  };

  beforeAll(async () => {
    cluster = await TestCluster.create({
      binaries: postgres.binaries,
      settings: { max_prepared_transactions: 10 },
    });
    await cluster.start();
    for (const name of ["shop", "staff", "half"]) await cluster.sql(`CREATE DATABASE ${name}`);
    for (const role of ["app", "rewind_user", "reader"]) await cluster.sql(`CREATE ROLE ${role}`);
    for (const database of ["shop", "staff"]) {
      await cluster.sql("CREATE TABLE customers (id int, email text)", [], database);
      await cluster.sql("ALTER TABLE customers OWNER TO app", [], database);
      await cluster.sql("INSERT INTO customers VALUES (1, 'one@example.com')", [], database);
      const session = await connect(database);
      await session.query(
        `BEGIN; SET LOCAL ROLE app; UPDATE public.customers SET email = 'two@example.com'; INSERT INTO public.customers VALUES (2, 'new@example.com'); PREPARE TRANSACTION 'it''s ${database}'`,
      );
      await session.close();
    }
    for (const sql of [
      "CREATE EXTENSION pg_walinspect",
      "GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean) TO rewind_user",
      "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO rewind_user WITH GRANT OPTION",
      "SET ROLE rewind_user; GRANT EXECUTE ON FUNCTION pg_read_file(text) TO reader; RESET ROLE",
      "GRANT EXECUTE ON FUNCTION pg_ls_dir(text), lo_export(oid, text) TO PUBLIC",
    ])
      await cluster.sql(sql, [], "shop");
    await cluster.sql("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half'");
  }, 120_000);
  afterAll(async () => {
    await cluster?.remove();
  });

  // claim: docs/clones.md: a clone reaches neither production nor its machine
  test("has no prepared transaction, no half-dropped database and no right to read files", async () => {
    const names = await sealClone({
      databases: [],
      mask: "UPDATE customers SET email = 'masked'",
      maintenance: "postgres",
      role: "clone",
      verifier: "secret",
      connect,
      warn: expect.unreachable,
    });
    expect(names).toEqual(["shop", "staff"]);
    expect(await cluster.value("SELECT count(*) FROM pg_prepared_xacts")).toBe("0");
    expect(await cluster.value("SELECT count(*) FROM pg_database WHERE datname = 'half'")).toBe("0");
    expect(await ask("SELECT string_agg(email, ',') FROM public.customers")).toBe("masked");
    for (const sql of [
      "SELECT pg_read_binary_file('PG_VERSION', 0, 1, false)",
      "SELECT pg_read_file('PG_VERSION')",
      "SELECT pg_ls_dir('.')",
      "SELECT lo_export(0, '/tmp/x')",
    ])
      await expect(ask(sql), sql).rejects.toThrow("permission denied for function");
    expect(await ask("SELECT count(*) FROM pg_extension WHERE extname = 'pg_walinspect'")).toBe("0");
    // A new server's own grants stay.
    expect(
      await cluster.value(
        "SELECT count(*) FROM pg_proc WHERE proname = 'pg_ls_waldir' AND proacl::text LIKE '%pg_monitor=X%'",
        [],
        "shop",
      ),
    ).toBe("1");
  });

  test("loses databases with prepared transactions too", async () => {
    const session = await connect("staff");
    await session.query("BEGIN; INSERT INTO public.customers VALUES (3, 'x'); PREPARE TRANSACTION 'staff'");
    await session.close();
    const request = { databases: ["shop"], mask: null, maintenance: "postgres", role: "clone", verifier: "secret" };
    expect(await sealClone({ ...request, connect, warn: expect.unreachable })).toEqual(["shop"]);
    expect(await cluster.value("SELECT count(*) FROM pg_database WHERE datname = 'staff'")).toBe("0");
  });
});
