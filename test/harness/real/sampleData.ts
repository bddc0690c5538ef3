/**
 * Sample data for everything that a backup must include: TOAST, large objects, indexes, an unlogged table, a
 * tablespace, another encoding.
 */
import { join } from "node:path";
import type { TestBed } from "./testBed";

/**
 * Fills the bed's running cluster: databases `postgres` and `shop` (LATIN1), tablespace `space`. About 12 MB at 20,000
 * rows.
 */
export async function fillBed(bed: TestBed, rows = 20_000): Promise<void> {
  const { cluster } = bed;
  await cluster.sql(`CREATE TABLESPACE space LOCATION '${join(bed.folder, "tablespace")}'`);
  await cluster.sql("CREATE DATABASE shop TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
  await cluster.sql(`
    CREATE TABLE orders (id bigint PRIMARY KEY, placed timestamptz NOT NULL, note text);
    INSERT INTO orders SELECT g, timestamptz '2026-01-01' + g * interval '17 seconds', md5(g::text) FROM generate_series(1, ${rows}) g;
    CREATE TABLE documents (id int PRIMARY KEY, body text NOT NULL);
    ALTER TABLE documents ALTER body SET STORAGE EXTERNAL;
    INSERT INTO documents SELECT g, (SELECT string_agg(md5((g * 1000 + n)::text), '') FROM generate_series(1, 160) n) FROM generate_series(1, ${rows / 50}) g;
    CREATE TABLE scans (id int PRIMARY KEY, content oid);
    INSERT INTO scans SELECT g, lo_from_bytea(0, decode(repeat(md5(g::text), 2000), 'hex')) FROM generate_series(1, 4) g;
    CREATE UNLOGGED TABLE session (id int, data text);
    INSERT INTO session SELECT g, 'lost after a restore' FROM generate_series(1, 100) g;
    CREATE TABLE nothing (id int);`);
  await cluster.sql(
    `CREATE TABLE history (id bigint, amount numeric) TABLESPACE space;
     INSERT INTO history SELECT g, (g * 31 % 100000) / 100.0 FROM generate_series(1, ${rows}) g;
     CREATE INDEX history_amount ON history (amount) TABLESPACE space;
     CREATE TABLE customers (id int PRIMARY KEY, name text);
     INSERT INTO customers SELECT g, U&'M\\00FCller ' || g FROM generate_series(1, ${rows / 10}) g`,
    [],
    "shop",
  );
}

/**
 * Drops the template databases of a filled bed. Each has some 300 files that never change, and together they are half
 * the files of a backup, a verification or a restore. Tests that need all files of a cluster keep them.
 */
export async function dropTemplates(bed: TestBed): Promise<void> {
  for (const name of ["template0", "template1"]) {
    await bed.cluster.sql(`ALTER DATABASE ${name} IS_TEMPLATE false`);
    await bed.cluster.sql(`DROP DATABASE ${name}`);
  }
}

/** Inserts rows after a backup. Only the WAL contains them. */
export async function writeMore(bed: TestBed, rows = 500): Promise<void> {
  await bed.cluster.sql(
    `INSERT INTO orders SELECT (SELECT max(id) FROM orders) + g, now(), 'after the backup' FROM generate_series(1, ${rows}) g;
     UPDATE orders SET note = note || '!' WHERE id % 97 = 0`,
  );
  await bed.cluster.sql(`UPDATE history SET amount = amount + 1 WHERE id % 101 = 0`, [], "shop");
}
