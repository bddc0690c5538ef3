/**
 * Data for the demo: several databases, indexes, TOAST values, large objects, a tablespace, a database in another
 * encoding. Sizes grow with `rows`; 1,000,000 gives a little over 300 MB.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { TestCluster } from "../parts/postgres/testCluster";
import { giveTo } from "../parts/users";

export interface FillStep {
  readonly title: string;
  readonly database: string;
  readonly sql: string;
}

/** Statements in order; each may take seconds. */
export function fillSteps(cluster: TestCluster, folder: string, rows: number): FillStep[] {
  const tablespace = join(folder, "tablespace");
  mkdirSync(tablespace, { recursive: true });
  giveTo(tablespace, cluster.user);
  const documents = Math.max(10, Math.round(rows / 60));
  const objects = Math.max(4, Math.round(rows / 50_000));
  return [
    {
      title: "tablespace",
      database: "postgres",
      sql: `CREATE TABLESPACE archive_space LOCATION '${tablespace.replaceAll("'", "''")}'`,
    },
    { title: "databases", database: "postgres", sql: "CREATE DATABASE shop" },
    {
      title: "LATIN1 database",
      database: "postgres",
      sql: "CREATE DATABASE altbestand TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'",
    },
    {
      title: "orders",
      database: "shop",
      sql: `CREATE TABLE orders (id bigint PRIMARY KEY, customer int NOT NULL, placed timestamptz NOT NULL, status text, note text);
            INSERT INTO orders SELECT g, g % 50000, timestamptz '2026-01-01' + g * interval '17 seconds', (ARRAY['new','paid','sent','back'])[1 + g % 4], md5(g::text) || md5((g * 7)::text)
              FROM generate_series(1, ${rows}) g;
            CREATE INDEX orders_customer ON orders (customer, placed); CREATE INDEX orders_note ON orders USING hash (note)`,
    },
    {
      title: "documents (TOAST)",
      database: "shop",
      sql: `CREATE TABLE documents (id int PRIMARY KEY, body text NOT NULL);
            ALTER TABLE documents ALTER body SET STORAGE EXTERNAL;
            INSERT INTO documents SELECT g, (SELECT string_agg(md5((g * 1000 + n)::text), '') FROM generate_series(1, 160) n) FROM generate_series(1, ${documents}) g`,
    },
    {
      title: "large objects",
      database: "shop",
      sql: `CREATE TABLE scans (id int PRIMARY KEY, content oid);
            INSERT INTO scans SELECT g, lo_from_bytea(0, decode(repeat(md5(g::text), 20000), 'hex')) FROM generate_series(1, ${objects}) g`,
    },
    {
      title: "history in the tablespace",
      database: "shop",
      sql: `CREATE TABLE history (id bigint, at date, amount numeric) TABLESPACE archive_space;
            INSERT INTO history SELECT g, date '2020-01-01' + (g % 2000)::int, (g * 31 % 100000) / 100.0 FROM generate_series(1, ${rows}) g;
            CREATE INDEX history_at ON history (at) TABLESPACE archive_space`,
    },
    {
      title: "LATIN1 rows",
      database: "altbestand",
      sql: `CREATE TABLE kunden (nr int PRIMARY KEY, name text);
            INSERT INTO kunden SELECT g, U&'M\\00FCller & S\\00F6hne ' || g FROM generate_series(1, ${Math.max(10, Math.round(rows / 20))}) g`,
    },
  ];
}

export async function databaseBytes(cluster: TestCluster): Promise<number> {
  return Number(await cluster.value("SELECT sum(pg_database_size(oid))::text FROM pg_database"));
}
