/**
 * Extracts one table from a backup, on real PostgreSQL. `find` locates it, and it equals the lost table with its
 * dependent objects. Production stays unchanged whenever a run is killed. The swap keeps the old table.
 */
import { NIGHTLY } from "../../../tools/parts/nightly";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findPostgres } from "../../../tools/parts/postgres/postgres";
import { runOk, start, waitFor } from "../../../tools/parts/process";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { giveTo } from "../../../tools/parts/users";
import { skipped } from "../../harness/real/interopParts";
import { dropTemplates } from "../../harness/real/sampleData";
import { TestBed } from "../../harness/real/testBed";

const MAJOR = 15;
const CONTENT = (table: string): string =>
  `SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM ${table} t`;

describe("extract-table", async () => {
  const result = await findPostgres(MAJOR);
  if ("missing" in result) return void skipped("extract-table", result.missing);
  let bed: TestBed;
  /** The targets that find proposes for the mistake with each table. */
  const targets = new Map<string, readonly string[]>();
  const before = new Map<string, string>();
  const shop = (sql: string): Promise<string> => bed.cluster.value(sql, [], "shop");
  const argv = (args: readonly string[]): string[] => [
    "extract-table",
    "--database=shop",
    `--bin-path=${result.binaries.folder}`,
    ...args,
  ];
  const schemas = (): Promise<string> =>
    shop("SELECT string_agg(nspname, ' ' ORDER BY nspname) FROM pg_namespace WHERE nspname !~ '^pg_|^information'");
  const libraries = (): string => join(bed.folder, "libraries");
  const leftOvers = (): string[] =>
    readdirSync(`${bed.cluster.dataPath}-drill`).filter((name) => /^main-[0-9a-f]{8}$/.test(name));

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries: result.binaries,
      repos: [{ compressType: "lz4" }, { compressType: "zst", encrypted: true }],
    });
    const { cluster } = bed;
    await bed.startWithStanza();
    await cluster.sql("CREATE ROLE app; CREATE ROLE reader; CREATE ROLE gone");
    await cluster.sql("CREATE DATABASE shop");
    await cluster.sql("CREATE DATABASE other");
    // By night pg_restore makes a database of one.
    if (!NIGHTLY) await dropTemplates(bed);
    await cluster.sql("CREATE TABLE filler AS SELECT i FROM generate_series(1, 1000) i", [], "other");
    await cluster.sql(
      `CREATE TABLE customers (id int PRIMARY KEY);
       INSERT INTO customers SELECT generate_series(1, 100);
       CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, old_id serial, customer int REFERENCES customers, amount numeric CHECK (amount >= 0),
         gross numeric GENERATED ALWAYS AS (amount * 1.2) STORED, note text);
       CREATE INDEX orders_customer ON orders (customer);
       INSERT INTO orders (customer, amount, note) SELECT 1 + i % 100, i, repeat(md5(i::text), CASE WHEN i % 500 = 0 THEN 4000 ELSE 1 END) FROM generate_series(1, 5000) i;
       ALTER TABLE orders OWNER TO app; GRANT SELECT ON orders TO reader;
       CREATE TABLE lines (id int PRIMARY KEY, of_order int CONSTRAINT lines_order REFERENCES orders);
       INSERT INTO lines SELECT i, i FROM generate_series(1, 50) i;
       CREATE VIEW large AS SELECT id FROM orders WHERE amount > 4000;
       CREATE TABLE odd (id int, r int, p int, t text, price money, PRIMARY KEY (id) INCLUDE (r));
       INSERT INTO odd SELECT i, i, i, 'same', i::numeric::money FROM generate_series(1, 20) i;
       CREATE SCHEMA sales;
       CREATE TABLE sales.events (id int, at date) PARTITION BY RANGE (at);
       CREATE TABLE sales.events_1 PARTITION OF sales.events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
       CREATE TABLE sales.events_2 PARTITION OF sales.events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
       INSERT INTO sales.events SELECT i, '2026-01-01'::date + i % 50 FROM generate_series(1, 1000) i;
       CREATE SCHEMA parts;
       CREATE TABLE parts.split (id int) PARTITION BY RANGE (id);
       CREATE TABLE parts.split_1 PARTITION OF parts.split FOR VALUES FROM (0) TO (100);
       CREATE TABLE parts.log (id int);
       CREATE TABLE parts.log_1 () INHERITS (parts.log);
       INSERT INTO parts.split SELECT generate_series(1, 20);
       INSERT INTO parts.log_1 SELECT generate_series(1, 20);
       CREATE SCHEMA feed;
       CREATE TABLE feed.goods (id int PRIMARY KEY, note text, doc oid);
       CREATE TABLE feed.more () INHERITS (feed.goods);
       INSERT INTO feed.goods SELECT generate_series(1, 20), 'a';
       INSERT INTO feed.more VALUES (100, 'b');
       UPDATE feed.goods SET doc = lo_from_bytea(0, 'picture') WHERE id <= 3;
       ALTER TABLE feed.goods ENABLE ROW LEVEL SECURITY;
       CREATE POLICY theirs ON feed.goods TO gone;
       CREATE POLICY ours ON feed.goods TO gone, reader USING (id < 5);
       GRANT SELECT (note) ON feed.goods TO gone;
       CREATE PUBLICATION changes FOR TABLE ONLY feed.goods (id, note) WHERE (id > 5);
       CREATE SCHEMA elsewhere;
       CREATE TABLE feed.days (id int) PARTITION BY RANGE (id);
       CREATE TABLE elsewhere.days_1 PARTITION OF feed.days FOR VALUES FROM (0) TO (100);
       INSERT INTO feed.days SELECT generate_series(1, 20)`,
      [],
      "shop",
    );
    // A type whose library is outside of PostgreSQL's own directories, as with an extension's image in a cluster.
    mkdirSync(libraries());
    copyFileSync(`${result.binaries.folder}/../lib/hstore.so`, `${libraries()}/elsewhere.so`);
    await cluster.sql(`ALTER SYSTEM SET dynamic_library_path = '$libdir:${libraries()}'`);
    await cluster.sql("SELECT pg_reload_conf()");
    await cluster.sql(
      `CREATE TYPE pair;
       CREATE FUNCTION pair_in(cstring) RETURNS pair AS 'elsewhere', 'hstore_in' LANGUAGE C STRICT IMMUTABLE;
       CREATE FUNCTION pair_out(pair) RETURNS cstring AS 'elsewhere', 'hstore_out' LANGUAGE C STRICT IMMUTABLE;
       CREATE TYPE pair (INPUT = pair_in, OUTPUT = pair_out, STORAGE = extended);
       CREATE TABLE pairs AS SELECT i, format('k=>%s', i)::pair AS p FROM generate_series(1, 20) i`,
      [],
      "shop",
    );
    await bed.oursOk(["backup", "--type=full"]);
    await cluster.sql("UPDATE orders SET amount = amount + 1 WHERE id % 7 = 0", [], "shop");
    for (const table of ["orders", "sales.events"]) before.set(table, await shop(CONTENT(table)));
    await cluster.sql("BEGIN; DELETE FROM lines; DELETE FROM orders WHERE id > 10; COMMIT", [], "shop");
    await cluster.sql("DELETE FROM customers WHERE id = 77", [], "shop");
    await cluster.sql("DROP TABLE sales.events", [], "shop");
    // Only the first run archives this WAL.
    for (const [table, kind] of [
      ["public.orders", "delete"],
      ["sales.events", "drop"],
    ] as const) {
      const { stdout } = await bed.oursOk([
        "find",
        `--table=${table}`,
        `--kind=${kind}`,
        "--database=shop",
        "--output=json",
      ]);
      const { transactions } = JSON.parse(stdout) as { transactions: { targets: { args: string[] }[] }[] };
      expect(transactions, table).toHaveLength(1);
      targets.set(table, transactions[0]?.targets[0]?.args ?? []);
    }
  }, 300_000);
  afterAll(async () => {
    await bed?.remove();
  });

  // claim: docs/extract-table.md: --library-path: libraries of extensions outside of PostgreSQL's own directories
  test("a table of a type whose library is elsewhere", async () => {
    const args = argv(["--table=public.pairs", "--as=pairs_back"]);
    const refused = await bed.ours(args);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stdout + refused.stderr).toContain('could not access file "elsewhere"');
    await bed.oursOk([...args, `--library-path=${libraries()}`]);
    expect(await shop(CONTENT("pairs_back.pairs"))).toBe(await shop(CONTENT("pairs")));
    await bed.cluster.sql("DROP SCHEMA pairs_back CASCADE", [], "shop");
  });

  // claim: docs/extract-table.md: partitions, whole schemas and…
  // claim: docs/extract-table.md: missing programs are detected and the last segment is archived before the restore;
  //   the printed SQL adds the missing rows
  test("a dry run shows the plan and changes nothing", async () => {
    const kept = await schemas();
    const { stdout } = await bed.oursOk(
      argv(["--table=public.orders", "--swap", "--dry-run", ...(targets.get("public.orders") ?? [])]),
    );
    expect(stdout).toMatch(/^extract-table: table public\.orders of database shop$/m);
    expect(stdout).toContain("1 foreign keys of other tables are created again for it, NOT VALID");
    expect(stdout).toContain("these views keep reading the old version: public.large");
    expect(await schemas()).toBe(kept);
    const empty = join(bed.folder, "side");
    const args = [
      "--database=shop",
      "--table=public.orders",
      `--bin-path=${empty}`,
      ...(targets.get("public.orders") ?? []),
    ];
    const without = await bed.ours(["extract-table", ...args]);
    expect([without.exitCode, without.stdout + without.stderr]).toEqual([
      55,
      expect.stringMatching(/PostgreSQL \d+ is not installed in /),
    ]);
    expect(without.stdout).not.toContain("restoring the backup");
  });

  // claim: docs/extract-table.md, README.md: a restored table is equal, and production is unchanged at whatever step a
  //   run is killed
  // claim: docs/extract-table.md: missing programs are detected…
  test.runIf(NIGHTLY)(
    "a run killed at each step leaves production unchanged, and the next run restores an equal table",
    async () => {
      const kept = await schemas();
      const args = argv(["--table=orders", ...(targets.get("public.orders") ?? [])]);
      for (const step of ["restoring the backup", "recovering to the target", "copying"]) {
        const logFile = join(bed.folder, `killed-${step.split(" ")[0]}.log`);
        const killed = await start(bed.runtime.node, bed.oursCommand(args), {
          user: bed.cluster.user,
          cwd: bed.folder,
          logFile,
        });
        await waitFor(step, 120_000, async () => (readFileSync(logFile, "utf8").includes(step) ? true : null));
        await killed.stop("SIGKILL", 10_000);
        // Unchanged, unless the transaction was committed at the same moment. Then the schema is marked, and the next
        // run removes it.
        const now = await schemas();
        if (now !== kept)
          expect(await shop("SELECT obj_description('public_restored'::regnamespace)")).toContain("not complete");
        expect(leftOvers()).toHaveLength(1);
      }
      const { stdout } = await bed.oursOk(args);
      expect(leftOvers()).toEqual([]);
      expect(stdout).toContain("the copied rows are identical to those of the backup");
      expect(stdout).toContain(
        "  orders: 5000 rows restored, 10 in the current version: 4990 only in the restored version, 0 only in the current one, 0 changed",
      );
      expect(await shop(CONTENT("public_restored.orders"))).toBe(before.get("orders"));
      expect(await shop("SELECT count(*) FROM orders")).toBe("10");
      const adding = /to add the missing rows of orders: (INSERT .*;)$/m.exec(stdout)?.[1] ?? expect.fail(stdout);
      const client = await bed.cluster.connect("shop");
      // A customer that these rows reference is gone. Rows of a table that inherits are not the table's own.
      await client.query(
        `BEGIN; ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey;
       CREATE TABLE public_restored.more () INHERITS (public_restored.orders);
       INSERT INTO public_restored.more (id, old_id) VALUES (100000, 1)`,
      );
      await client.query(adding);
      expect((await client.query(CONTENT("orders"))).rows).toEqual([{ "?column?": before.get("orders") }]);
      await client.end();
      const again = await bed.ours(args);
      expect([again.exitCode, again.stdout + again.stderr]).toEqual([
        93,
        expect.stringContaining("schema public_restored already exists"),
      ]);
      await bed.cluster.sql("DROP SCHEMA public_restored CASCADE", [], "shop");
    },
    300_000,
  );

  // claim: docs/extract-table.md: the swap includes indexes, constraints, identities, owners, grants and foreign keys,
  //   and keeps the old table
  test("the swap puts it in place, with its dependent objects, and keeps the old one", async () => {
    const refused = await bed.ours(argv(["--table=orders", "--swap", ...(targets.get("public.orders") ?? [])]));
    expect([refused.exitCode, refused.stdout + refused.stderr]).toEqual([
      37,
      expect.stringContaining("needs confirmation, but there is no terminal"),
    ]);
    // Numbers that were given out since the backup may be in other tables.
    await shop("SELECT setval(pg_get_serial_sequence('orders', 'id'), 5100)");
    const { stdout } = await bed.oursOk(
      argv(["--table=public.orders", "--swap", "--yes", "--repo=2", ...(targets.get("public.orders") ?? [])]),
    );
    const kept = /the old version is in schema (orders_before_\d+)/.exec(stdout)?.[1] ?? "";
    expect(await shop(`SELECT count(*) FROM ${kept}.orders`)).toBe("10");
    expect(await shop(CONTENT("public.orders"))).toBe(before.get("orders"));
    expect(await schemas()).toBe(`elsewhere feed ${kept} parts public sales`);
    expect(
      await shop(
        "SELECT pg_get_userbyid(relowner) || has_table_privilege('reader', oid, 'SELECT') FROM pg_class WHERE oid = 'orders'::regclass",
      ),
    ).toBe("apptrue");
    expect(
      await shop(
        "SELECT string_agg(indexname, ' ' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public' AND tablename = 'orders'",
      ),
    ).toBe("orders_customer orders_pkey");
    expect(
      await shop("INSERT INTO orders (customer, amount) VALUES (1, 10) RETURNING id || ' ' || old_id || ' ' || gross"),
    ).toBe("5101 5001 12.0");
    await expect(shop("INSERT INTO orders (customer, amount) VALUES (77, 1)")).rejects.toThrow(/orders_customer_fkey/);
    await expect(shop("INSERT INTO orders (customer, amount) VALUES (1, -1)")).rejects.toThrow(/orders_amount_check/);
    await expect(shop("INSERT INTO lines VALUES (1, 999999)")).rejects.toThrow(/lines_order/);
    expect(await shop("INSERT INTO lines VALUES (1, 4999) RETURNING id")).toBe("1");
    expect(leftOvers()).toEqual([]);
  }, 300_000);

  // claim: docs/extract-table.md: partitions, whole schemas and files; a plan; a wrong target is reported
  test.runIf(NIGHTLY)(
    "a dropped table with partitions, a whole schema, and a file for pg_restore",
    async () => {
      const args = targets.get("sales.events") ?? [];
      await bed.oursOk(argv(["--table=sales.events", "--as=back", "--swap", "--yes", ...args]));
      expect(await shop(CONTENT("sales.events"))).toBe(before.get("sales.events"));
      expect(await shop("SELECT count(*) FROM sales.events_2")).not.toBe("0");
      await bed.oursOk(argv(["--schema=sales", ...args]));
      expect(await shop(CONTENT("sales_restored.events"))).toBe(before.get("sales.events"));
      const file = join(bed.folder, "side", "events.dump");
      await bed.oursOk(argv(["--table=sales.events", `--to-file=${file}`, ...args]));
      expect(statSync(file).mode & 0o777).toBe(0o600);
      const listed = await runOk(join(result.binaries.folder, "pg_restore"), ["--list", file]);
      for (const name of ["events", "events_1", "events_2"]) expect(listed).toMatch(new RegExp(`TABLE sales ${name} `));
      expect(leftOvers()).toEqual([]);
    },
    300_000,
  );

  // claim: docs/extract-table.md: a dropped database is restored into a file, or schema by schema into a recreated one
  test.runIf(NIGHTLY)(
    "a dropped database: a schema into a recreated one, or all of it into a file",
    async () => {
      await bed.cluster.sql("DROP DATABASE other");
      const { stdout } = await bed.oursOk(["find", "--kind=drop", "--database=other", "--output=json"]);
      const { transactions } = JSON.parse(stdout) as { transactions: { targets: { args: string[] }[] }[] };
      const args = transactions[0]?.targets[0]?.args ?? expect.fail(stdout);
      const run = ["extract-table", "--database=other", `--bin-path=${result.binaries.folder}`, ...args];
      const gone = await bed.ours([...run, "--schema=public"]);
      expect([gone.exitCode, gone.stdout + gone.stderr]).toEqual([
        32,
        expect.stringContaining("production has no database other"),
      ]);
      const content = CONTENT("filler");
      const rows = `1000 ${await bed.cluster.value("SELECT sum(hashtextextended(ROW(i)::text, 0)::numeric) FROM generate_series(1, 1000) i")}`;
      const file = join(bed.folder, "side", "other.dump");
      await bed.oursOk([...run, `--to-file=${file}`]);
      await runOk(join(result.binaries.folder, "pg_restore"), [
        "--create",
        "--dbname=postgres",
        `--host=${bed.cluster.socketPath}`,
        `--port=${bed.cluster.port}`,
        `--username=${bed.cluster.superuser}`,
        file,
      ]);
      expect(await bed.cluster.value(content, [], "other")).toBe(rows);
      // Into an empty schema.
      await bed.cluster.sql("DROP TABLE filler", [], "other");
      await bed.oursOk([...run, "--schema=public", "--swap", "--yes"]);
      expect(await bed.cluster.value(content, [], "other")).toBe(rows);
      expect(leftOvers()).toEqual([]);
    },
    300_000,
  );

  // claim: docs/extract-table.md: partitions, whole schemas and…
  test.runIf(NIGHTLY)(
    "a target before the table existed, or one that is never reached",
    async () => {
      const args = targets.get("sales.events") ?? [];
      const early = await bed.ours(argv(["--table=public.never", ...args]));
      expect([early.exitCode, early.stdout + early.stderr]).toEqual([
        32,
        expect.stringContaining("table public.never does not exist at this target"),
      ]);
      const overdue = await bed.ours(argv(["--table=public.orders", "--as=late", "--type=xid", "--target=4000000"]));
      expect([overdue.exitCode, overdue.stdout + overdue.stderr]).toEqual([
        56,
        expect.stringContaining("recovery ended before configured recovery target was reached"),
      ]);
      expect(await schemas()).not.toContain("late");
      expect(leftOvers()).toEqual([]);
    },
    300_000,
  );

  // claim: docs/extract-table.md: rows are compared by primary key
  test.runIf(NIGHTLY)(
    "rows are compared as rows, whatever their columns are called, and by the columns of the key alone",
    async () => {
      await shop("WITH changed AS (UPDATE odd SET r = -r WHERE id > 15 RETURNING 1) SELECT count(*) FROM changed");
      await shop("WITH gone AS (DELETE FROM odd WHERE id = 1 RETURNING 1) SELECT count(*) FROM gone");
      const { stdout } = await bed.oursOk(argv(["--type=immediate", "--table=odd"]));
      expect(stdout).toContain(
        "  odd: 20 rows restored, 19 in the current version: 1 only in the restored version, 0 only in the current one, 5 changed",
      );
      await bed.cluster.sql(
        "UPDATE odd SET r = -r WHERE r < 0; INSERT INTO odd VALUES (1, 1, 1, 'same', '2')",
        [],
        "shop",
      );
      await bed.cluster.sql("DROP SCHEMA public_restored CASCADE", [], "shop");
      const other = await bed.oursOk(argv(["--type=immediate", "--table=odd"]));
      expect(other.stdout).toContain(
        "  odd: 20 rows restored, 20 in the current version: 0 only in the restored version, 0 only in the current one, 1 changed",
      );
      await bed.cluster.sql("DROP SCHEMA public_restored CASCADE", [], "shop");
    },
    300_000,
  );

  // claim: docs/extract-table.md: a partition or an inheriting table comes back alone; its parent has the rows of one
  //   of the two versions, before and after the swap
  test.runIf(NIGHTLY).each([
    ["log_1", "log"],
    ["split_1", "split"],
  ])("a table with a parent: %s", async (child, parent) => {
    const count = (): Promise<string> => shop(`SELECT count(*) FROM parts.${parent}`);
    await shop(`WITH gone AS (DELETE FROM parts.${child} WHERE id > 15 RETURNING 1) SELECT count(*) FROM gone`);
    const target = ["--type=immediate", `--table=parts.${child}`];
    const { stdout } = await bed.oursOk(argv(target));
    expect(stdout).toContain(`copying ${child} (20 rows)`);
    expect(await count()).toBe("15");
    const restored = /is in schema (\S+)/.exec(stdout)?.[1] ?? "";
    expect(await shop(`SELECT count(*) FROM ${restored}.${child}`)).toBe("20");
    await bed.cluster.sql(`DROP SCHEMA ${restored} CASCADE`, [], "shop");
    await bed.oursOk(argv([...target, "--swap", "--yes"]));
    expect(await count()).toBe("20");
    expect(await shop(`SELECT tableoid::regclass FROM parts.${parent} LIMIT 1`)).toBe(`parts.${child}`);
  });

  // claim: docs/extract-table.md: roles that production lacks, also those of policies, are left out; large objects are
  //   counted; the swap keeps publications and tables that inherit
  test("a table with a publication, children, large objects, and a role that is gone", async () => {
    await bed.cluster.sql(
      `SELECT lo_unlink(doc) FROM ONLY feed.goods WHERE id <= 2; DELETE FROM ONLY feed.goods WHERE id > 10;
       DROP OWNED BY gone; DROP ROLE gone`,
      [],
      "shop",
    );
    const { stderr, stdout } = await bed.oursOk(argv(["--type=immediate", "--table=feed.goods", "--swap", "--yes"]));
    for (const line of [
      "             these tables inherit from it then: feed.more",
      "             changes publishes the restored version from then on; subscribers keep the rows that they have",
      "  numbers    of large objects come back without their contents: goods.doc",
      "copying goods (20 rows)",
      "  goods: 20 rows restored, 10 in the current version: 10 only in the restored version, 0 only in the current one, 0 changed",
    ])
      expect(stdout).toContain(`${line}\n`);
    for (const line of [
      "without the rows of tables that inherit: feed.more",
      "production has no role gone: owners and grants are not restored, and these policies are without it: ours of goods, theirs of goods",
      "goods.doc refers to 3 large objects: their contents are not restored, and production has 1 of them now",
    ])
      expect(stdout + stderr).toContain(line);
    expect(await shop("SELECT count(*) || ' ' || (SELECT count(*) FROM ONLY feed.goods) FROM feed.goods")).toBe(
      "21 20",
    );
    expect(
      await shop(
        "SELECT concat_ws(' ', prrelid::regclass, prattrs, pg_get_expr(prqual, prrelid)) FROM pg_publication_rel",
      ),
    ).toBe("feed.goods 1 2 (id > 5)");
    expect(
      await shop("SELECT string_agg(policyname || roles::text, ' ') FROM pg_policies WHERE schemaname = 'feed'"),
    ).toBe("ours{reader}");
  }, 300_000);

  // claim: docs/extract-table.md: partitions go back into their schemas
  test("a partition in another schema goes back there", async () => {
    await bed.cluster.sql("DELETE FROM feed.days WHERE id > 5", [], "shop");
    await bed.oursOk(argv(["--type=immediate", "--table=feed.days", "--swap", "--yes"]));
    expect(await shop("SELECT count(*) FROM elsewhere.days_1")).toBe("20");
    expect(await shop("SELECT count(*) FROM feed.days")).toBe("20");
  }, 300_000);

  // claim: docs/extract-table.md: a swap is refused for a subscription's table and an extension's schema
  test("a swap that would lose something is refused before anything is restored", async () => {
    await bed.cluster.sql(
      `CREATE SUBSCRIPTION theirs CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE);
       INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) SELECT oid, 'customers'::regclass, 'r' FROM pg_subscription;
       CREATE SCHEMA tools; CREATE EXTENSION citext SCHEMA tools`,
      [],
      "shop",
    );
    for (const [wanted, message] of [
      ["--table=customers", "table public.customers gets rows by the subscription theirs"],
      ["--schema=tools", "schema tools has the extension citext, which a swap would move away with it"],
    ] as const) {
      const { exitCode, stderr, stdout } = await bed.ours(argv(["--type=immediate", wanted, "--swap", "--yes"]));
      expect([exitCode, stdout + stderr]).toEqual([81, expect.stringContaining(message)]);
      expect(stdout).not.toContain("restoring the backup");
    }
    await bed.cluster.sql("DROP SUBSCRIPTION theirs; DROP SCHEMA tools CASCADE", [], "shop");
  });

  // claim: docs/drills.md, docs/open.md, docs/extract-table.md: WAL that creates a tablespace is refused by each server
  //   next to production
  test.runIf(NIGHTLY)(
    "a tablespace that is newer than the backup stays production's alone",
    async ({ onTestFinished }) => {
      const path = join(bed.folder, "newer");
      mkdirSync(path);
      giveTo(path, bed.cluster.user);
      await bed.cluster.sql(`CREATE TABLESPACE newer LOCATION '${path}'`);
      await bed.cluster.sql("CREATE TABLE kept TABLESPACE newer AS SELECT generate_series(1, 1000) id", [], "shop");
      await bed.archiveAll();
      await bed.cluster.sql("INSERT INTO kept SELECT generate_series(1001, 5000)", [], "shop");
      // A replay of the archive would bring the file back to its first rows.
      await bed.cluster.sql("CHECKPOINT");
      const { exitCode, stderr, stdout } = await bed.ours(argv(["--table=public.customers", "--as=newer"]));
      expect([exitCode, stdout + stderr]).toEqual([
        56,
        expect.stringContaining(`creates a tablespace in '${path}': this server would use that directory`),
      ]);
      // A restored server may make tablespaces, but not where a running server has one.
      const dataPath = join(bed.folder, "aside");
      await bed.oursOk(["restore", `--pg1-path=${dataPath}`]);
      const restored = TestCluster.adopt({ binaries: result.binaries, dataPath });
      onTestFinished(() => restored.remove());
      // It may answer until it gets this WAL.
      await restored.start().catch(() => undefined);
      await expect
        .poll(() => readFileSync(restored.logFile, "utf8"), { timeout: 60_000 })
        .toContain(
          `creates a tablespace in '${path}': this server would use that directory, which the server of '${bed.cluster.dataPath}' uses`,
        );
      await bed.cluster.restart();
      expect(await shop("SELECT count(*) FROM kept")).toBe("5000");
      expect(leftOvers()).toEqual([]);
    },
    300_000,
  );

  // claim: docs/extract-table.md: a standby is refused
  test("a standby is refused before anything is restored", async () => {
    const signal = join(bed.cluster.dataPath, "standby.signal");
    writeFileSync(signal, "");
    giveTo(signal, bed.cluster.user);
    await bed.cluster.restart();
    const { exitCode, stderr, stdout } = await bed.ours(argv(["--type=immediate", "--table=customers"]));
    expect([exitCode, stdout + stderr]).toEqual([81, expect.stringContaining("this server is a standby")]);
    expect(stdout).not.toContain("restoring the backup");
  }, 120_000);
});
