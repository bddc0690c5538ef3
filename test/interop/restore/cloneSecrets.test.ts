/**
 * Secrets that production keeps wherever PostgreSQL keeps values, and a clone's client who tries to read them.
 *
 * Each attempt has a twin: production's superuser finds the secret the same way, so that a refusal proves something.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../../tools/parts/servers/s3Server";
import { CLONE_PASSWORD, findMountingPostgres, OpenedBackup } from "../../harness/real/openedBackup";
import { TestBed } from "../../harness/real/testBed";

/** As text, as a password's hash, and as bytes in hexadecimal. */
const SECRET = /sekret|5ec2e7|73656b726574/i;
const HASH = `md5${"5ec2e70".repeat(5).slice(0, 32)}`;

interface Attempt {
  readonly what: string;
  /** Statements, with `;;` between them. `FILE` stands for a file with the secret that the server may read. */
  readonly sql: string;
  /** Where the superuser needs another way. */
  readonly twin?: string;
  /** The rows themselves are the secret, so only a mask hides it. */
  readonly isMasked?: true;
}

const stats = (table: string): string =>
  `SELECT attname, most_common_vals::text, most_common_elems::text, histogram_bounds::text FROM pg_stats WHERE tablename = '${table}'`;
const raw = (table: string): string =>
  `SELECT staattnum, concat(stavalues1, stavalues2, stavalues3, stavalues4, stavalues5) FROM pg_statistic WHERE starelid = '${table}'::regclass`;
const got = (copy: string): string =>
  `CREATE TEMP TABLE got (line text);; COPY got FROM ${copy};; SELECT string_agg(line, '') FROM got`;
const PROGRAM = got("PROGRAM 'cat FILE'");

const ATTEMPTS: readonly Attempt[] = [
  { what: "passwords in pg_authid", sql: "SELECT rolpassword FROM pg_authid" },
  { what: "passwords in pg_shadow", sql: "SELECT passwd FROM pg_shadow" },
  { what: "passwords through a view of the superuser", sql: "SELECT * FROM passwords" },
  ...[
    "pg_authid",
    "pg_user_mapping",
    "pg_foreign_server",
    "pg_foreign_data_wrapper",
    "pg_foreign_table",
    "pg_subscription",
    "pg_largeobject",
    "pg_db_role_setting",
    "pg_proc",
  ].flatMap((table) => [
    { what: `statistics of ${table}`, sql: stats(table) },
    { what: `raw statistics of ${table}`, sql: raw(table) },
  ]),
  { what: "user mappings", sql: "SELECT umoptions FROM pg_user_mappings" },
  { what: "user mappings in the catalog", sql: "SELECT umoptions FROM pg_user_mapping" },
  { what: "user mappings of the standard", sql: "SELECT option_value FROM information_schema.user_mapping_options" },
  { what: "options of foreign servers", sql: "SELECT srvoptions FROM pg_foreign_server" },
  { what: "options of foreign data wrappers", sql: "SELECT fdwoptions FROM pg_foreign_data_wrapper" },
  { what: "options of foreign tables", sql: "SELECT ftoptions FROM pg_foreign_table" },
  { what: "a foreign table's rows", sql: "SELECT note FROM far" },
  { what: "a materialized view of a foreign table", sql: "SELECT note FROM far_kept" },
  { what: "another database over dblink", sql: "SELECT * FROM dblink('local', 'TABLE pay') AS t (note text)" },
  { what: "connections of subscriptions", sql: "SELECT subconninfo FROM pg_subscription" },
  { what: "settings of another database", sql: "SELECT setconfig FROM pg_db_role_setting WHERE setdatabase <> 0" },
  { what: "prepared transactions", sql: "SELECT gid FROM pg_prepared_xacts" },
  { what: "scheduled and running statements", sql: "SET ROLE watcher;; SELECT query FROM pg_stat_statements" },
  { what: "a setting of postgresql.conf", sql: "SELECT current_setting('app.key', true)" },
  { what: "primary_conninfo", sql: "SET ROLE watcher;; SELECT current_setting('primary_conninfo', true)" },
  { what: "all settings", sql: "SET ROLE watcher;; SELECT setting FROM pg_settings" },
  { what: "settings in files", sql: "SELECT setting FROM pg_file_settings" },
  { what: "rules of pg_hba.conf", sql: "SELECT options FROM pg_hba_file_rules" },
  { what: "a file of the data directory", sql: "SET ROLE app;; SELECT pg_read_file('postgresql.conf')" },
  { what: "a file of the data directory as bytes", sql: "SELECT encode(pg_read_binary_file('pg_hba.conf'), 'hex')" },
  {
    what: "a file through a function of the superuser's",
    sql: "SELECT read_own('postgresql.conf', 0, 1000000, false)",
  },
  { what: "a file of the machine", sql: "SELECT pg_read_file('FILE')" },
  { what: "a file as a large object", sql: "SELECT lo_import('FILE', 987654);; SELECT encode(lo_get(987654), 'hex')" },
  { what: "a file by COPY", sql: got("'FILE'") },
  { what: "a program by COPY", sql: PROGRAM },
  { what: "a program as a role that may run some", sql: `SET ROLE app;; ${PROGRAM}` },
  { what: "a program as the superuser", sql: `SET ROLE postgres;; ${PROGRAM}` },
  { what: "a program by SECURITY DEFINER", sql: "SELECT reach()" },
  {
    what: "a program by a superuser's index that ANALYZE evaluates",
    sql: "SET ROLE app;; CREATE OR REPLACE FUNCTION shorten(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN COPY public.leaked FROM PROGRAM ''cat FILE''; RETURN NULL; END';; RESET ROLE;; ANALYZE indexed;; SELECT * FROM leaked",
    twin: PROGRAM,
  },
  {
    what: "a new server in a wrapper of a former superuser",
    sql: "SET ROLE boss;; CREATE SERVER again FOREIGN DATA WRAPPER bare;; SELECT 'sekret'",
  },
  { what: "a copy of a template", sql: "SET ROLE maker;; CREATE DATABASE made;; SELECT 'sekret'" },
  { what: "a file as a foreign table", sql: "SELECT * FROM file_lines" },
  { what: "deleted rows in pages", sql: "SELECT encode(get_raw_page('emptied', 0), 'hex')" },
  {
    what: "a parameter for ALTER SYSTEM",
    sql: "SET ROLE app;; ALTER SYSTEM SET log_line_prefix = '%m ';; SELECT 'sekret'",
  },
  {
    what: "large objects that the mask removes",
    sql: "SELECT encode(data, 'hex') FROM pg_largeobject",
    isMasked: true,
  },
  { what: "statistics of a table", sql: stats("people"), isMasked: true },
  { what: "raw statistics of a table", sql: raw("people"), isMasked: true },
  { what: "statistics of an index", sql: raw("people_lower"), isMasked: true },
  {
    what: "extended statistics",
    sql: "SELECT stxdmcv::text, pg_mcv_list_items(stxdmcv)::text, stxdexpr::text FROM pg_statistic_ext_data",
    isMasked: true,
  },
  { what: "a materialized view", sql: "SELECT * FROM people_kept", isMasked: true },
  { what: "a materialized view of another one", sql: "SELECT * FROM a_people_kept_again", isMasked: true },
  { what: "a materialized view that cannot be refreshed", sql: "SELECT * FROM people_broken", isMasked: true },
  { what: "statistics of a materialized view", sql: stats("people_kept"), isMasked: true },
];

const MASK = `UPDATE people SET name = 'somebody', city = 'somewhere';
  SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
  DO 'BEGIN /* sekret of a mask */ END';
  ANALYZE`;

describe("secrets of a clone", async () => {
  const binaries = await findMountingPostgres("secrets of a clone");
  if (binaries === null) return;
  let bed: TestBed;
  let secretFile: string;
  const made: { readonly backup: OpenedBackup; readonly port: number; readonly isMasked: boolean }[] = [];

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "zst", options: { bundle: "y", block: "y" } }],
      settings: {
        "app.key": "sekret",
        primary_conninfo: "password=sekret",
        shared_preload_libraries: "pg_stat_statements",
        max_prepared_transactions: 2,
      },
    });
    secretFile = join(bed.folder, "secret");
    writeFileSync(secretFile, "sekret of a file\n", { mode: 0o644 });
    await bed.startWithStanza();
    await plant(bed, secretFile);
    await bed.oursOk(["backup", "--type=full"]);
    await bed.archiveAll();
    for (const isMasked of [false, true]) {
      const backup = new OpenedBackup(bed, isMasked ? "masked" : "plain");
      const port = await freePort();
      made.push({ backup, port, isMasked });
      const result = await backup.clone(port, { args: ["--keep-database=shop"], ...(isMasked ? { mask: MASK } : {}) });
      const text = `${result.stdout}${result.stderr}`;
      expect(result.exitCode, text).toBe(0);
      const isSaid = text.includes("materialized view public.people_broken of database 'shop' is empty in the clone");
      expect(isSaid).toBe(isMasked);
    }
  }, 600_000);
  afterAll(async () => {
    for (const { backup } of made) if (existsSync(backup.folder)) await backup.run(["close"]).catch(() => {});
    await bed?.remove();
  });

  // claim: docs/clones.md: materialized views are refreshed after the mask, and the superuser's tables are the role's
  test("materialized views have the masked rows, and the client migrates the superuser's tables", async () => {
    for (const { isMasked, port } of made) {
      const client = { host: "127.0.0.1", port, user: "clone", password: CLONE_PASSWORD };
      const count = "SELECT count(*)::int AS all FROM a_people_kept_again WHERE city = 'somewhere'";
      expect(await answerOf(client, count)).toBe(JSON.stringify([[{ all: isMasked ? 3000 : 0 }]]));
      expect(await answerOf(client, "ALTER TABLE people ADD note text;; ANALYZE people")).toBe("[[],[]]");
    }
  });

  // claim: docs/clones.md: no value of production's is left where cleaning does not look, with or without a mask
  test.each(ATTEMPTS)("a client does not read: $what", async ({ isMasked: needsMask, sql, twin = sql }) => {
    const withFile = (text: string): string => text.replaceAll("FILE", secretFile);
    const { port, socketPath: host, superuser: user } = bed.cluster;
    expect(await answerOf({ host, port, user }, withFile(twin))).toMatch(SECRET);
    for (const clone of made) {
      if (needsMask && !clone.isMasked) continue;
      const client = { host: "127.0.0.1", port: clone.port, user: "clone", password: CLONE_PASSWORD };
      expect(await answerOf(client, withFile(sql))).not.toMatch(SECRET);
    }
  });
});

/** What a client sees: rows, or the error. */
async function answerOf(
  target: { readonly host: string; readonly port: number; readonly user: string; readonly password?: string },
  sql: string,
): Promise<string> {
  const client = new Client({ ...target, database: "shop" });
  client.on("error", () => {});
  await client.connect();
  const answers: unknown[] = [];
  try {
    for (const statement of sql.split(";; ")) answers.push((await client.query(statement)).rows);
  } catch (error) {
    answers.push(String(error));
  } finally {
    await client.end();
  }
  return JSON.stringify(answers);
}

async function plant({ cluster, folder }: TestBed, secretFile: string): Promise<void> {
  for (const sql of [
    "CREATE DATABASE shop",
    "CREATE DATABASE staff",
    `CREATE ROLE app LOGIN PASSWORD '${HASH}'`,
    "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'boss'",
    "CREATE ROLE maker CREATEDB",
    "CREATE ROLE watcher",
    "GRANT pg_monitor TO watcher",
    "GRANT pg_execute_server_program TO app",
    "GRANT ALTER SYSTEM ON PARAMETER log_line_prefix TO app",
    "ALTER DATABASE staff SET app.token = 'sekret'",
  ])
    await cluster.sql(sql);
  await cluster.sql("CREATE TABLE pay AS SELECT 'sekret' AS note", [], "staff");
  for (const sql of [
    "CREATE EXTENSION postgres_fdw",
    "CREATE EXTENSION file_fdw",
    "CREATE EXTENSION dblink",
    "CREATE EXTENSION pageinspect",
    "CREATE EXTENSION pg_stat_statements",
    "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app",
    `CREATE SERVER local FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '${cluster.socketPath}', port '${cluster.port}', dbname 'staff')`,
    `CREATE USER MAPPING FOR postgres SERVER local OPTIONS (user '${cluster.superuser}', password 'sekret')`,
    "CREATE FOREIGN DATA WRAPPER bare OPTIONS (key 'sekret')",
    "ALTER FOREIGN DATA WRAPPER bare OWNER TO boss",
    `CREATE SERVER production FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '${cluster.socketPath}', port '${cluster.port}', dbname 'staff')`,
    "CREATE SERVER other FOREIGN DATA WRAPPER bare OPTIONS (host 'sekret')",
    `CREATE USER MAPPING FOR postgres SERVER production OPTIONS (user '${cluster.superuser}', password 'sekret')`,
    "CREATE USER MAPPING FOR app SERVER production OPTIONS (user 'app', password 'sekret')",
    "CREATE FOREIGN TABLE far (note text) SERVER production OPTIONS (table_name 'pay')",
    "CREATE FOREIGN TABLE further (note text) SERVER other OPTIONS (key 'sekret')",
    "CREATE MATERIALIZED VIEW far_kept AS SELECT note FROM far",
    "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw",
    `CREATE FOREIGN TABLE file_lines (line text) SERVER files OPTIONS (filename '${secretFile}')`,
    "CREATE SUBSCRIPTION feed CONNECTION 'host=/nonexistent password=sekret' PUBLICATION feed WITH (connect = false)",
    "CREATE SUBSCRIPTION feed2 CONNECTION 'host=/nonexistent password=sekret' PUBLICATION feed WITH (connect = false)",
    "CREATE VIEW passwords AS SELECT rolpassword FROM pg_authid",
    `CREATE FUNCTION reach() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS 'DECLARE line text; BEGIN ${PROGRAM_BODY(secretFile)} END'`,
    "CREATE FUNCTION read_own(text, bigint, bigint, boolean) RETURNS text LANGUAGE internal AS 'pg_read_file_off_len_missing'",
    "CREATE TABLE people (name text, city text)",
    "INSERT INTO people SELECT 'sekret ' || i % 300, 'sekret city ' || i % 30 FROM generate_series(1, 3000) i",
    "CREATE INDEX people_lower ON people (lower(name))",
    "CREATE STATISTICS people_both (mcv) ON name, city FROM people",
    "CREATE MATERIALIZED VIEW people_kept AS SELECT name, city FROM people",
    "CREATE MATERIALIZED VIEW a_people_kept_again AS SELECT city FROM people_kept",
    "CREATE FUNCTION refuse(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN IF $1 !~ ''^sekret'' THEN RAISE ''no %'', $1; END IF; RETURN $1; END'",
    "CREATE MATERIALIZED VIEW people_broken AS SELECT refuse(name) AS name FROM people",
    "CREATE TABLE emptied AS SELECT 'sekret' AS note",
    "DELETE FROM emptied",
    "CREATE TABLE leaked (line text)",
    "GRANT INSERT, SELECT ON leaked TO app",
    "CREATE FUNCTION shorten(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN left($1, 2); END'",
    "CREATE TABLE indexed AS SELECT i::text AS word FROM generate_series(1, 10) i",
    "CREATE INDEX ON indexed (shorten(word))",
    "ALTER FUNCTION shorten(text) OWNER TO app",
    "GRANT CREATE ON SCHEMA public TO app",
    "SELECT lo_from_bytea(0, convert_to('sekret object ' || i, 'UTF8')) FROM generate_series(1, 3) i",
    "CREATE FUNCTION gone() RETURNS text LANGUAGE sql AS 'SELECT ''sekret''::text'",
    "VACUUM (ANALYZE)",
    // Their statistics stay.
    "DROP FUNCTION gone()",
    "BEGIN; INSERT INTO emptied VALUES ('sekret'); PREPARE TRANSACTION 'sekret'",
  ])
    await cluster.sql(sql, [], "shop");
  writeFileSync(
    join(cluster.dataPath, "pg_hba.conf"),
    'local all all trust\nhost all all 192.0.2.1/32 ldap ldapserver=nowhere ldapbasedn="o=x" ldapbindpasswd="sekret"\n',
  );
  expect(existsSync(folder)).toBe(true);
}

/** In a string of a function's body. */
function PROGRAM_BODY(secretFile: string): string {
  return `CREATE TEMP TABLE ran (line text); COPY ran FROM PROGRAM ''cat ${secretFile}''; SELECT string_agg(ran.line, '''') INTO line FROM ran; RETURN line;`;
}
