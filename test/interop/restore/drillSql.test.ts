/** Queries of a cluster's drill on a real server, and counts that every drill compares. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkRelations, dumpAll } from "../../../runtime/cnpg/drill/drillSql";
import { countCluster } from "../../../runtime/operations/drill/production";
import { Session } from "../../../runtime/postgres/session";
import { findWholePostgres } from "../../../tools/parts/postgres/postgres";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { testContext } from "../../harness/context";
import { skipped } from "../../harness/real/interopParts";

const TITLE = "a drill's queries";

describe(TITLE, async () => {
  const postgres = await findWholePostgres(18);
  if ("missing" in postgres) return void skipped(TITLE, postgres.missing);
  let cluster: TestCluster;
  const connect = (database = "postgres"): Promise<Session> =>
    Session.open({
      host: cluster.socketPath,
      port: cluster.port,
      user: cluster.superuser,
      database,
      queryTimeoutMs: 60_000,
      applicationName: "test",
    });

  beforeAll(async () => {
    cluster = await TestCluster.create({ binaries: postgres.binaries });
    await cluster.start();
    await cluster.sql("CREATE DATABASE shop");
    await cluster.sql("CREATE DATABASE half");
    // Another access method for the server, whatever it does inside.
    await cluster.sql("CREATE ACCESS METHOD columns TYPE TABLE HANDLER heap_tableam_handler", [], "shop");
    await cluster.sql("CREATE TABLE facts (id int PRIMARY KEY, note text) USING columns", [], "shop");
    await cluster.sql("CREATE TABLE orders (id int PRIMARY KEY)", [], "shop");
    await cluster.sql("INSERT INTO facts SELECT i, 'x' FROM generate_series(1, 1000) i", [], "shop");
    // As an interrupted DROP DATABASE leaves it.
    await cluster.sql("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half'");
  }, 120_000);
  afterAll(async () => {
    await cluster?.remove();
  });

  test("pass over a table that is not heap", async () => {
    expect(await checkRelations({ connect }, testContext())).toMatchObject({ verdict: "ok" });
  });

  test("leave out a database whose drop was interrupted", async () => {
    const { text } = await dumpAll({ connect }, testContext());
    expect(text).toMatch(/^1\d{3} rows .* in 2 databases/);
    const session = await connect();
    const counts = await countCluster(session, connect);
    await session.close();
    expect([...counts.keys()]).toEqual(["postgres", "shop"]);
  });
});
