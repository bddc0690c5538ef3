/**
 * `find` on real WAL. Our reader decodes the same records as pg_waldump. In generated incidents it names the exact
 * transaction, table and time. A recovery to the proposed target restores the table with its rows.
 *
 * The nightly form restores to every incident, alternating the kinds of target. `PGBACKSTOP_SEED` repeats a run.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WalReader } from "../../../runtime/format/wal/walReader";
import { parseRecord } from "../../../runtime/format/wal/walRecord";
import { formatLsn } from "../../../runtime/format/wal/walSegment";
import { findWholePostgres } from "../../../tools/parts/postgres/postgres";
import { runOk, sleep } from "../../../tools/parts/process";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { skipped } from "../../harness/real/interopParts";
import { TestBed } from "../../harness/real/testBed";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

const SEED = Number(process.env["PGBACKSTOP_SEED"] ?? 1);
const INCIDENTS = 50;
const NOISE_SESSIONS = 3;

interface FindDocument {
  readonly committed: number;
  readonly leftOut: number;
  readonly transactions: readonly {
    readonly xid: number;
    readonly at: string;
    readonly preparedAs: string | null;
    readonly archived: boolean;
    readonly markers: readonly {
      readonly kind: string;
      readonly object: string;
      readonly database: string;
      readonly name: string;
      readonly rows: number | null;
    }[];
    readonly targets: readonly {
      readonly type: string;
      readonly target: string;
      readonly set: string | null;
      readonly args: readonly string[];
    }[];
  }[];
  readonly unknown: readonly { readonly fromSegment: string; readonly toSegment: string; readonly reason: string }[];
}

interface Incident {
  readonly method: string;
  readonly kind: string;
  readonly object: string;
  readonly database: string;
  readonly name: string;
  /** Null if the incident cannot query it within its own transaction. */
  readonly xid: number | null;
  readonly rows: number | null;
  readonly beganMs: number;
  readonly endedMs: number;
  /** Content of the table just before the incident. */
  readonly content: string;
  readonly gid: string | null;
}

/**
 * Numbers from 0 to below 1, reproducible by seed (a linear congruential generator with the constants of Numerical
 * Recipes).
 */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const CONTENT = (table: string): string =>
  `SELECT count(*) || ' ' || coalesce(sum(hashtext(t::text)::bigint), 0) AS content FROM ${table} t`;

/** Mistakes that can happen to a table. `$T` is its name. */
const METHODS: Readonly<Record<string, { readonly kind: string; readonly sql: readonly string[] }>> = {
  drop: { kind: "drop", sql: ["DROP TABLE $T"] },
  truncate: { kind: "truncate", sql: ["TRUNCATE $T"] },
  delete: { kind: "delete", sql: ["DELETE FROM $T"] },
  update: { kind: "update", sql: ["UPDATE $T SET filler = 'gone'"] },
  dropInSubtransaction: {
    kind: "drop",
    sql: [
      "SAVEPOINT a",
      "DELETE FROM noise WHERE id < 0",
      "ROLLBACK TO a",
      "SAVEPOINT b",
      "DROP TABLE $T",
      "RELEASE b",
    ],
  },
  truncateInSubtransaction: {
    kind: "truncate",
    sql: ["SAVEPOINT a", "TRUNCATE $T", "RELEASE a", "INSERT INTO noise VALUES (-1, 'x')"],
  },
  truncateInSubtransactionAfterInsert: {
    kind: "truncate",
    sql: ["INSERT INTO noise VALUES (-1, 'x')", "SAVEPOINT a", "TRUNCATE $T", "RELEASE a", "ANALYZE $T"],
  },
  deleteInSubtransaction: { kind: "delete", sql: ["SAVEPOINT a", "DELETE FROM $T", "RELEASE a"] },
  truncateAndFill: {
    kind: "truncate",
    sql: ["TRUNCATE $T", "INSERT INTO $T SELECT i, 'other' FROM generate_series(1, 50) i"],
  },
  dropSchema: { kind: "drop", sql: ["DROP SCHEMA $S CASCADE"] },
  dropPrepared: { kind: "drop", sql: ["DROP TABLE $T", "PREPARE TRANSACTION '$T'"] },
  deletePrepared: { kind: "delete", sql: ["DELETE FROM $T", "PREPARE TRANSACTION '$T'"] },
  dropDatabase: { kind: "drop", sql: [] },
  deleteAndRewrite: { kind: "delete", sql: ["DELETE FROM $T", "ALTER TABLE $T ALTER COLUMN id TYPE bigint"] },
};

describe.each(atNight(18, 15))("incidents of PostgreSQL %i", async (major) => {
  const postgres = await findWholePostgres(major);
  if ("missing" in postgres) return void skipped("finding the moment", postgres.missing);
  const random = randomOf(SEED + major);
  const incidents: Incident[] = [];
  let bed: TestBed;
  let document: FindDocument;
  let fromTime = "";

  const find = async (args: readonly string[], config?: string): Promise<FindDocument> => {
    const { stdout } = await bed.oursOk(["find", "--output=json", ...args], config === undefined ? {} : { config });
    return JSON.parse(stdout) as FindDocument;
  };
  const of = (incident: Incident, among: FindDocument = document): FindDocument["transactions"] =>
    among.transactions.filter(({ markers }) =>
      markers.some(
        ({ database, kind, name, object }) =>
          kind === incident.kind &&
          object === incident.object &&
          database === incident.database &&
          name === incident.name,
      ),
    );

  const segmentsOf = (key: number): string[] =>
    readdirSync(join(bed.repoPath(key), "archive/main"), { recursive: true, encoding: "utf8" })
      .filter((name) => /\/[0-9A-F]{24}-[0-9a-f]{40}/.test(name))
      .map((name) => join(bed.repoPath(key), "archive/main", name))
      .sort();

  beforeAll(async () => {
    console.log(`PostgreSQL ${major}: seed ${SEED}`);
    const settings = {
      max_prepared_transactions: 20,
      wal_compression: major === 15 ? "on" : "off",
      checkpoint_timeout: "30s",
      log_min_messages: "fatal",
    };
    bed = await TestBed.create({
      binaries: postgres.binaries,
      repos: [{ compressType: "lz4" }, { compressType: "zst", encrypted: true }],
      walSegmentSizeMb: 4,
      settings,
    });
    const { cluster } = bed;
    await bed.startWithStanza();
    await cluster.sql(
      "CREATE TABLE noise (id int, filler text); INSERT INTO noise SELECT i, 'n' FROM generate_series(1, 500) i",
    );
    await cluster.sql("CREATE SCHEMA old");
    for (let index = 0; index < INCIDENTS; index += 2) await makeTable(cluster, `old.t${index}`, 100 + index);
    await cluster.sql(
      "CREATE TABLE parts (id int) PARTITION BY RANGE (id); CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (100);" +
        "CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (100) TO (200); INSERT INTO parts SELECT generate_series(90, 119)",
    );
    await bed.oursOk(["backup", "--type=full"]);
    fromTime = await cluster.value(
      "SELECT to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00'",
    );
    const stop = new AbortController();
    const noise = Array.from({ length: NOISE_SESSIONS }, (_, session) => makeNoise(cluster, session, stop.signal));
    try {
      for (let index = 0; index < INCIDENTS; index++) incidents.push(await cause(cluster, index, random));
    } finally {
      stop.abort();
      await Promise.all(noise);
    }
    await bed.archiveAll();
    document = await find([`--from=${fromTime}`, "--limit=10000"]);
  }, 600_000);
  afterAll(async () => {
    await bed?.remove();
  });

  // claim: docs/find.md, README.md: `find` names the exact transaction, table and time of each loss, and nothing else
  //   (50 generated incidents of PostgreSQL 15, 12 of 18)
  test("each one is detected: the exact transaction, table and time", () => {
    expect(document.unknown).toEqual([]);
    expect(document.committed).toBeGreaterThan(INCIDENTS * 3);
    expect(incidents).toHaveLength(INCIDENTS);
    for (const incident of incidents) {
      const reported = of(incident);
      expect(reported, `${incident.method} of ${incident.name}`).toHaveLength(1);
      const [only] = reported;
      if (incident.xid !== null) expect([incident.method, only?.xid]).toEqual([incident.method, incident.xid]);
      const atMs = Date.parse((only?.at ?? "").replace(" ", "T").replace(/(\.\d{3})\d*\+00$/, "$1Z"));
      expect(atMs, incident.method).toBeGreaterThanOrEqual(incident.beganMs - 1);
      expect(atMs, incident.method).toBeLessThanOrEqual(incident.endedMs + 1);
      expect(only?.preparedAs).toBe(incident.gid);
      if (incident.rows !== null)
        expect(only?.markers.find(({ name }) => name === incident.name)?.rows).toBe(incident.rows);
      expect(only?.targets[0]?.type).toBe(incident.method === "dropDatabase" ? "lsn" : "xid");
    }
  });

  // claim: docs/find.md: `find` names the exact…
  test("rewritten and temporary tables, rolled back mistakes and catalogs are no incidents", () => {
    const reported = document.transactions.flatMap(({ markers }) =>
      markers.filter(({ kind }) => kind === "drop" || kind === "truncate"),
    );
    const known = new Set(incidents.map(({ name }) => name));
    // The tables of a dropped schema are reported beside it.
    expect(
      reported.map(({ name }) => name).filter((name) => !known.has(name) && !known.has(name.split(".")[0] ?? "")),
    ).toEqual([]);
  });

  test.runIf(NIGHTLY)("one table, kind or database alone, and the largest of many", async () => {
    const picked = incidents.filter((_, index) => index % 20 === 3);
    for (const incident of picked.filter(({ object }) => object === "table")) {
      const own = await find([`--from=${fromTime}`, `--table=${incident.name}`, `--kind=${incident.kind}`, "--repo=2"]);
      expect(own.transactions.map(({ xid }) => xid)).toEqual([incident.xid]);
      expect(own.transactions[0]?.targets[0]?.args).toContain("--repo=2");
    }
    const few = await find([`--from=${fromTime}`, "--limit=3"]);
    expect(few.transactions).toHaveLength(3);
    expect(few.leftOut).toBe(document.transactions.length + document.leftOut - 3);
    expect(few.transactions.flatMap(({ markers }) => markers.map(({ kind }) => kind))).toContain("drop");
    const { stdout } = await bed.oursOk(["find", `--from=${fromTime}`, "--kind=drop"]);
    expect(stdout).toMatch(/^ {2}just before it: --type=(xid|lsn) --target=\S+ --target-exclusive/m);
  });

  // claim: docs/find.md: a recovery to its target has the table with its rows
  test.runIf(NIGHTLY)(
    "a recovery to the target has the table with its rows",
    async () => {
      // A restore takes ten seconds.
      const proven = incidents.filter((_, index) => index % (major === 18 ? 2 : 8) === 0);
      expect(proven.length).toBeGreaterThan(0);
      const types = new Map<string, number>();
      for (const [index, incident] of proven.entries()) {
        const targets = of(incident)[0]?.targets ?? [];
        const { args = [], type = "" } = targets[index % targets.length] ?? {};
        types.set(type, (types.get(type) ?? 0) + 1);
        const { dataPath, result } = await bed.restoreAside({ by: null, args: [...args, "--target-action=promote"] });
        expect(result.exitCode, result.stderr).toBe(0);
        const restored = TestCluster.adopt({ binaries: postgres.binaries, dataPath });
        try {
          await restored.start({ archive_mode: "off" }, { timeoutMs: 120_000 });
          await restored.waitForRecovery();
          if (incident.gid !== null) await restored.sql(`ROLLBACK PREPARED '${incident.gid}'`);
          const table =
            incident.object === "table" ? incident.name : incident.object === "schema" ? `${incident.name}.t` : "t";
          expect(await restored.value(CONTENT(table), [], incident.database), incident.method).toBe(incident.content);
        } finally {
          await restored.remove();
          rmSync(join(dataPath, ".."), { recursive: true, force: true });
        }
      }
      const counts = [...types].map(([type, restores]) => `${restores} by ${type}`);
      console.log(`restored to ${proven.length} incidents: ${counts.join(", ")}`);
    },
    3_000_000,
  );

  // claim: docs/find.md: a missing or damaged…
  test.runIf(NIGHTLY)("unarchived WAL is read from pg_wal", async () => {
    await makeTable(bed.cluster, "late", 10);
    const client = await bed.cluster.connect();
    await client.query("BEGIN");
    const xid = await xidOf(client);
    await client.query("DELETE FROM late; COMMIT");
    await client.end();
    const own = await find(["--table=late"]);
    expect(own.transactions.map((each) => [each.xid, each.archived, each.markers[0]?.rows])).toEqual([
      [xid, false, 10],
    ]);
    await bed.archiveAll();
    expect((await find(["--table=public.late"])).transactions[0]?.archived).toBe(true);
  });

  // claim: docs/find.md: a missing or damaged segment comes from another repository, and is reported if none has it;
  //   pg_wal is read after the archive
  test.runIf(NIGHTLY)(
    "a missing or damaged segment comes from the other repository, and is reported if no repository has it",
    async () => {
      const wholeOf = (path: string): string => /([0-9A-F]{24})-/.exec(path)?.[1] ?? "";
      const [one, two] = [segmentsOf(1), segmentsOf(2)];
      const middle = one[one.length - 3] as string;
      const twin = two.find((path) => wholeOf(path) === wholeOf(middle)) as string;
      const kept = readFileSync(middle);
      const bytes = Buffer.from(kept);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 0xff;
      writeFileSync(middle, bytes);
      const mended = await find([`--from=${fromTime}`, "--limit=10000"]);
      expect(mended.unknown).toEqual([]);
      expect(mended.transactions.length).toBeGreaterThanOrEqual(document.transactions.length);
      rmSync(twin);
      const damaged = await find([`--from=${fromTime}`, "--limit=10000"]);
      expect(damaged.unknown).toEqual([
        expect.objectContaining({ fromSegment: wholeOf(middle), toSegment: wholeOf(middle) }),
      ]);
      rmSync(middle);
      const missing = await find([`--from=${fromTime}`, "--limit=10000"]);
      expect(missing.unknown).toEqual([
        expect.objectContaining({ fromSegment: wholeOf(middle), toSegment: wholeOf(middle), reason: "missing" }),
      ]);
      const { stdout } = await bed.oursOk(["find", `--from=${fromTime}`]);
      expect(stdout).toMatch(
        new RegExp(`^UNKNOWN: WAL from ${wholeOf(middle)} to ${wholeOf(middle)} cannot be read \\(missing\\)`, "m"),
      );
      writeFileSync(middle, kept);
    },
  );

  // claim: docs/find.md: our WAL reader reads the same as `pg_waldump`
  test("records equal those that pg_waldump reads", async () => {
    const program = [join(postgres.binaries.folder, "pg_waldump")].find((path) => existsSync(path));
    if (program === undefined) throw new Error("pg_waldump comes with these binaries");
    // The segment with the most content.
    const [fullest = ""] = segmentsOf(1).sort((left, right) => statSync(right).size - statSync(left).size);
    const name = /\/([0-9A-F]{24})-/.exec(fullest)?.[1] ?? "";
    const path = join(bed.folder, "side", name);
    await bed.oursOk(["archive-get", name, path]);
    const reported = await runOk(program, ["--path", join(bed.folder, "side"), name, name]);
    const expected = reported.split("\n").flatMap((line) => {
      const match = /tot\): +\d+\/ *(\d+), tx: +(\d+), lsn: ([0-9A-F]+)\/([0-9A-F]+),.*?desc: (.*)$/.exec(line);
      if (match === null) return [];
      const refs = [
        ...(match[5] ?? "").matchAll(
          /blkref #\d+: rel (\d+\/\d+\/\d+)(?: \w+)? (?:fork \w+ )?blk (\d+)( \(?FPW\)?| FPW)?/g,
        ),
      ];
      const lsn = formatLsn(BigInt(`0x${match[3]}`) * 2n ** 32n + BigInt(`0x${match[4]}`));
      return [
        `${lsn} ${match[2]} ${match[1]} ${refs.map(([, file, block, image]) => `${file}:${block}${image === undefined ? "" : "!"}`).join(" ")}`,
      ];
    });
    const bytes = readFileSync(path);
    const records = [...new WalReader().read(bytes)].map((record) => {
      const { blocks } = parseRecord(record, major);
      const refs = blocks.map(
        ({ block, file, image }) =>
          `${file.tablespace}/${file.database}/${file.relation}:${block}${image === null ? "" : "!"}`,
      );
      return `${formatLsn(record.lsn)} ${record.xid} ${record.bytes.length} ${refs.join(" ")}`;
    });
    expect(records.length).toBeGreaterThan(100);
    // pg_waldump reads the next segment to complete its last record. Ours begins with the first whole record.
    expect(records).toEqual(expected.slice(0, records.length));
    expect(expected.length - records.length).toBeLessThanOrEqual(1);
  });

  // claim: docs/find.md: `--table` of a partitioned table finds what happened to its partitions, by production's
  //   catalogs or the backup's
  test.runIf(NIGHTLY)("a partitioned table has its partitions' changes, also without production", async () => {
    await bed.cluster.sql("DELETE FROM parts");
    await bed.cluster.sql("TRUNCATE parts");
    await bed.archiveAll();
    const lost = bed.variant("lost", { stanza: { "pg1-socket-path": join(bed.folder, "nowhere") } });
    for (const config of [undefined, lost]) {
      const own = await find([`--from=${fromTime}`, "--table=public.parts"], config);
      // Without production, a catalog that was rewritten after the backup has no name.
      const markers = own.transactions.map((each) =>
        each.markers.flatMap(({ kind, name, rows }) => (/^\d/.test(name) ? [] : [`${kind} ${name} ${rows}`])).sort(),
      );
      expect(markers).toEqual([
        ["delete public.parts_high 20", "delete public.parts_low 10"],
        ["truncate public.parts_high null", "truncate public.parts_low null"],
      ]);
    }
  });
});

async function makeTable(cluster: TestCluster, name: string, rows: number, database = "postgres"): Promise<void> {
  await cluster.sql(`CREATE TABLE ${name} (id int PRIMARY KEY, filler text)`, [], database);
  await cluster.sql(
    `INSERT INTO ${name} SELECT i, repeat('x', i % 50) FROM generate_series(1, ${rows}) i`,
    [],
    database,
  );
}

async function xidOf(client: Client): Promise<number> {
  const { rows } = await client.query("SELECT pg_current_xact_id()::xid::text AS xid");
  return Number((rows[0] as { xid: string }).xid);
}

/** Background activity of a busy server: small changes, rolled back mistakes, temporary and rewritten tables. */
async function makeNoise(cluster: TestCluster, session: number, stop: AbortSignal): Promise<void> {
  const client = await cluster.connect();
  try {
    await client.query("CREATE TEMPORARY TABLE mine (id int)");
    await client.query(`CREATE TABLE rewritten${session} (id int, filler text)`);
    for (let turn = 0; !stop.aborted; turn++) {
      await sleep(10);
      await makeTurn(client, session, turn).catch(async (error: unknown) => {
        ignoreDeadlock(error);
        await client.query("ROLLBACK");
      });
    }
  } finally {
    await client.end();
  }
}

/** VACUUM FULL of a catalog and changes of other tables can deadlock. */
function ignoreDeadlock(error: unknown): void {
  if ((error as { code?: string }).code !== "40P01") throw error;
}

async function makeTurn(client: Client, session: number, turn: number): Promise<void> {
  await client.query(`UPDATE noise SET filler = 'u${turn}' WHERE id = ${(turn % 500) + 1}`);
  await client.query(
    `INSERT INTO rewritten${session} VALUES (${turn}, 'r'); DELETE FROM rewritten${session} WHERE id = ${turn - 5}`,
  );
  if (turn % 5 === 0)
    await client.query(
      "BEGIN; SAVEPOINT a; DELETE FROM noise; ROLLBACK TO a; INSERT INTO noise VALUES (0, 'kept'); COMMIT",
    );
  if (turn % 7 === session) await client.query("BEGIN; DROP TABLE noise; ROLLBACK");
  if (turn % 11 === session)
    await client.query(
      `BEGIN; INSERT INTO noise VALUES (-2, 'x'); SAVEPOINT a; CREATE TABLE brief${session} (id int); RELEASE a; DROP TABLE brief${session}; COMMIT`,
    );
  if (turn % 9 === session)
    await client.query("CREATE TEMPORARY TABLE short (id int); DROP TABLE short; TRUNCATE mine");
  if (turn % 20 === session) await client.query(`VACUUM FULL rewritten${session}`);
  if (turn % 25 === session)
    await client.query(`ALTER TABLE rewritten${session} ALTER COLUMN id TYPE ${turn % 2 === 0 ? "bigint" : "int"}`);
  if (turn % 30 === 10)
    await client.query(`REINDEX TABLE noise; CREATE TABLE born${session} (id int)`).catch(() => undefined);
  if (turn % 40 === 39 && session === 0) await client.query("CHECKPOINT");
}

/** Catalogs that DDL writes, mapped ones and others. */
const CATALOGS = ["pg_class", "pg_attribute", "pg_depend", "pg_type"];

/** Destroys a new or an old table. */
async function cause(cluster: TestCluster, index: number, random: () => number): Promise<Incident> {
  const names = Object.keys(METHODS);
  const method =
    index < names.length ? (names[index] as string) : (names[Math.floor(random() * names.length)] as string);
  const { kind, sql } = METHODS[method] as (typeof METHODS)[string];
  if (method === "dropDatabase") return dropDatabase(cluster, index);
  const isOld = index % 2 === 0 && method !== "dropSchema";
  const schema = isOld ? "old" : `s${index}`;
  const table = isOld ? `old.t${index}` : method === "dropSchema" ? `${schema}.t` : `${schema}.t${index}`;
  if (!isOld) {
    await cluster.sql(`CREATE SCHEMA ${schema}`);
    await makeTable(cluster, table, 20 + Math.floor(random() * 300));
  }
  if (index % 3 === 0) await cluster.sql(`BEGIN; ALTER TABLE ${table} RENAME TO never; ROLLBACK`);
  if (random() < 0.2) await cluster.sql(`VACUUM FULL ${table}`);
  if (random() < 0.2) await cluster.sql("CHECKPOINT");
  if (random() < 0.1) await cluster.sql(`VACUUM FULL ${CATALOGS[index % CATALOGS.length]}`).catch(ignoreDeadlock);
  if (random() < 0.3) await cluster.switchWal();
  const content = await cluster.value(CONTENT(table));
  const rows = kind === "delete" || kind === "update" ? Number(content.split(" ")[0]) : null;
  const client = await cluster.connect();
  try {
    await client.query("BEGIN");
    const xid = await xidOf(client);
    for (const statement of sql) await client.query(statement.replaceAll("$T", table).replaceAll("$S", schema));
    const isPrepared = sql.some((statement) => statement.startsWith("PREPARE"));
    const beganMs = await nowMs(cluster);
    await client.query(isPrepared ? `COMMIT PREPARED '${table}'` : "COMMIT");
    const endedMs = await nowMs(cluster);
    const object = method === "dropSchema" ? "schema" : "table";
    const name = object === "schema" ? schema : table;
    return {
      method,
      kind,
      object,
      database: "postgres",
      name,
      xid,
      rows,
      beganMs,
      endedMs,
      content,
      gid: isPrepared ? table : null,
    };
  } finally {
    await client.end();
  }
}

async function dropDatabase(cluster: TestCluster, index: number): Promise<Incident> {
  const name = `d${index}`;
  await cluster.sql(`CREATE DATABASE ${name}`);
  await makeTable(cluster, "t", 30, name);
  const content = await cluster.value(CONTENT("t"), [], name);
  const beganMs = await nowMs(cluster);
  await cluster.sql(`DROP DATABASE ${name} WITH (FORCE)`);
  const endedMs = await nowMs(cluster);
  return {
    method: "dropDatabase",
    kind: "drop",
    object: "database",
    database: name,
    name,
    xid: null,
    rows: null,
    beganMs,
    endedMs,
    content,
    gid: null,
  };
}

async function nowMs(cluster: TestCluster): Promise<number> {
  return Number(await cluster.value("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)"));
}
