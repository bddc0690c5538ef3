/**
 * Tests the parts themselves: a server, stock pgBackRest and an S3 server work together, and comparisons detect
 * differences.
 */
import { atNight, NIGHTLY } from "../../tools/parts/nightly";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { StockPgbackrest } from "../../tools/parts/debian/pgbackrest";
import type { PostgresBinaries } from "../../tools/parts/postgres/postgres";
import type { S3Server } from "../../tools/parts/servers/s3Server";
import { compareChecksums, TestCluster } from "../../tools/parts/postgres/testCluster";
import { giveTo, makeUserFolder, reachable } from "../../tools/parts/users";
import { postgresOrSkip, s3ServerOrSkip, stockOrSkip } from "../harness/real/parts";

const removals: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (let remove = removals.pop(); remove !== undefined; remove = removals.pop()) await remove();
});

async function createCluster(binaries: PostgresBinaries, settings: Record<string, string> = {}): Promise<TestCluster> {
  const cluster = await TestCluster.create({ binaries, settings });
  removals.push(() => cluster.remove());
  return cluster;
}

describe("clusters", () => {
  for (const major of atNight(18, 15)) {
    test(`PostgreSQL ${major} keeps its rows over a crash, and a standby follows it`, async (context) => {
      const primary = await createCluster(await postgresOrSkip(context, major));
      await primary.start();
      await primary.sql(
        "CREATE TABLE a AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 10000) g; SELECT lo_from_bytea(0, '\\xdeadbeef')",
      );
      await primary.sql("CREATE DATABASE other");
      await primary.sql("CREATE TABLE b (value numeric); INSERT INTO b VALUES (1.50)", [], "other");
      const before = await primary.tableChecksums();
      expect(before.get("postgres.public.a")?.rows).toBe(10000n);
      expect(before.get("other.public.b")?.rows).toBe(1n);
      expect(before.get("postgres.pg_catalog.pg_largeobject")?.rows).toBe(1n);

      const standby = await primary.createStandby();
      removals.push(() => standby.remove());
      await primary.restart({}, "immediate");
      expect(compareChecksums(before, await primary.tableChecksums())).toEqual([]);

      await primary.sql("UPDATE a SET text = 'x' WHERE id = 7");
      await primary.waitForStandby(standby);
      const after = await standby.tableChecksums();
      expect(compareChecksums(await primary.tableChecksums(), after)).toEqual([]);
      expect(compareChecksums(before, after)).toEqual([
        expect.stringMatching(/^postgres\.public\.a: expected 10000 rows, checksum .* but found 10000 rows/),
      ]);
    });
  }

  test("two clusters of one template have their own system identifiers, and the same settings", async (context) => {
    const binaries = await postgresOrSkip(context, 18);
    const ids: string[] = [];
    for (const segmentSizeMb of [16, 1, 1]) {
      const cluster = await TestCluster.create({
        binaries,
        initdbArgs: segmentSizeMb === 16 ? [] : [`--wal-segsize=${segmentSizeMb}`],
      });
      removals.push(() => cluster.remove());
      await cluster.start();
      const [row] = await cluster.sql(
        "SELECT system_identifier::text AS id, current_setting('wal_segment_size') AS size FROM pg_control_system()",
      );
      expect(row?.["size"]).toBe(`${segmentSizeMb}MB`);
      ids.push(String(row?.["id"]));
      // The next start reads the WAL that came with the copy.
      await cluster.restart();
      expect(await cluster.value("SELECT system_identifier FROM pg_control_system()")).toBe(ids.at(-1));
    }
    expect(new Set(ids).size).toBe(3);
  });

  test("a missing table is a difference", () => {
    const one = new Map([["d.s.t", { rows: 0n, checksum: "0" }]]);
    expect(compareChecksums(one, new Map())).toEqual(["d.s.t: expected 0 rows, checksum 0 but found no such table"]);
    expect(compareChecksums(new Map(), one)).toEqual(["d.s.t: expected no such table but found 0 rows, checksum 0"]);
  });
});

interface Setup {
  readonly stock: StockPgbackrest;
  readonly cluster: TestCluster;
  readonly server: S3Server;
  readonly args: readonly string[];
}

async function setUp(stock: StockPgbackrest, binaries: PostgresBinaries, server: S3Server): Promise<Setup> {
  const folder = makeUserFolder("pgb-stock-");
  removals.push(() => rmSync(folder, { recursive: true, force: true }));
  const configFile = join(folder, "pgbackrest.conf");
  const cluster = await createCluster(binaries, {
    archive_mode: "on",
    archive_command: `${stock.path} --config=${configFile} --stanza=main archive-push %p`,
  });
  const paths = ["lock", "log", "spool"].map((name) => {
    mkdirSync(join(folder, name));
    giveTo(join(folder, name), cluster.user);
    return `${name}-path=${join(folder, name)}`;
  });
  const repository = Object.entries({
    ...server.repositoryOptions(),
    "storage-ca-file": reachable(server.caFile),
    path: "/repo",
    "retention-full": "2",
  });
  const global = [
    ...repository.map(([name, value]) => `repo1-${name}=${value}`),
    ...paths,
    "log-level-console=warn",
    "start-fast=y",
    "io-timeout=5",
  ];
  const pg = [
    `pg1-path=${cluster.dataPath}`,
    `pg1-socket-path=${cluster.socketPath}`,
    `pg1-port=${cluster.port}`,
    `pg1-user=${cluster.superuser}`,
  ];
  writeFileSync(configFile, `[global]\n${global.join("\n")}\n\n[main]\n${pg.join("\n")}\n`);
  await cluster.start();
  return { stock, cluster, server, args: [`--config=${configFile}`, "--stanza=main"] };
}

describe("stock pgBackRest", () => {
  for (const [version, major, kind] of atNight(
    ["2.60", 18, "s3rver"],
    ["2.45", 15, "s3rver"],
    ["2.60", 15, "versitygw"],
  )) {
    test.runIf(NIGHTLY)(
      `${version} backs PostgreSQL ${major} up to ${kind}, which keeps the data over a stop`,
      async (context) => {
        const stock = await stockOrSkip(context, version);
        expect(stock.version).toMatch(/^2\./);
        const server = await s3ServerOrSkip(context, { kind });
        removals.push(() => server.remove());
        const { cluster, args } = await setUp(stock, await postgresOrSkip(context, major), server);
        const user = { user: cluster.user };
        await stock.runOk([...args, "stanza-create"], user);
        await stock.runOk([...args, "--type=full", "backup"], user);

        await server.stop();
        const unreachable = await stock.run([...args, "info"], user);
        expect(`${unreachable.exitCode} ${unreachable.stdout}${unreachable.stderr}`).toMatch(
          /HostConnectError|Connection refused/,
        );

        await server.start();
        const info = JSON.parse(await stock.runOk([...args, "--output=json", "info"], user)) as {
          backup: { type: string }[];
        }[];
        expect(info[0]?.backup.map((backup) => backup.type)).toEqual(["full"]);
      },
    );
  }

  test("an expired certificate is refused", async (context) => {
    const stock = await stockOrSkip(context, "2.60");
    const server = await s3ServerOrSkip(context, { kind: "s3rver", expiredCertificate: true });
    removals.push(() => server.remove());
    const { cluster, args } = await setUp(stock, await postgresOrSkip(context, 18), server);
    const refused = await stock.run([...args, "stanza-create"], { user: cluster.user });
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stdout + refused.stderr).toMatch(/certificate has expired/);
  });
});
