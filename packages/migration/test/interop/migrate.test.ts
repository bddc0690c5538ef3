/**
 * `migrate` moves a cluster of 30 databases, 46 in the nightly form, from PostgreSQL 15 to 17 and compares every row.
 * Objects tampered with in between are reported by name, a killed copy resumes, and a dump that ends early does not
 * count as complete.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CopyReport } from "../../runtime/copyDatabases";
import type { FinishReport } from "../../runtime/judgeFinish";
import type { MigrationPlan } from "../../runtime/migrationPlan";
import type { VerifyReport } from "../../runtime/verifyMigration";
import { findClients18, findPostgres } from "../../../../tools/parts/postgres/postgres";
import { type RunResult, run, start, waitFor } from "../../../../tools/parts/process";
import { TestCluster } from "../../../../tools/parts/postgres/testCluster";
import { giveTo, reachable } from "../../../../tools/parts/users";
import { projectFolder } from "../../../../tools/parts/cache";
import { loud, skipped } from "../../../../test/harness/real/interopParts";
import { DATABASE_COUNT, fillCluster, ROLE_PASSWORD } from "./migratedCluster";
import { TestBed } from "../../../../test/harness/real/testBed";
import { NIGHTLY } from "../../../../tools/parts/nightly";

interface Reports {
  readonly plan: MigrationPlan;
  readonly copy: CopyReport;
  readonly verify: VerifyReport;
  readonly finish: FinishReport;
}

/** About 30 MB more in each database, with an index. */
const BULK =
  "CREATE TABLE bulk AS SELECT i, md5(i::text) || md5((i * 7)::text) AS text FROM generate_series(1, 230000) i; CREATE INDEX ON bulk (text)";

describe("migrate", async () => {
  const [old, young] = [await findPostgres(15), await findPostgres(17)];
  if ("missing" in old) return void skipped("migrate", old.missing);
  if ("missing" in young) return void skipped("migrate", young.missing);
  let source: TestCluster;
  let bed: TestBed;
  let migrateFile = "";
  let names: string[] = [];

  const argv = (step: string, args: readonly string[] = []): string[] => [
    ...(args.some((arg) => arg.startsWith("--to-server"))
      ? []
      : [`--to-server=host=${bed.cluster.socketPath} port=${bed.cluster.port} user=${bed.cluster.superuser}`]),
    `--backup-command=${[bed.runtime.node, ...bed.oursCommand([])].join(" ")}`,
    `--from-server=host=${source.socketPath} user=mover`,
    `--from-password-file=${join(bed.folder, "password")}`,
    "--process-max=3",
    // Both clusters have this role, with different passwords.
    "--keep-role=mover",
    ...(args.some((arg) => arg.startsWith("--bin-path")) || step !== "copy"
      ? []
      : [`--bin-path=${young.binaries.folder}`]),
    ...args,
    step,
  ];
  /** What a person sees of both streams is in `stdout`. */
  const migrate = async (step: string, args: readonly string[] = []): Promise<RunResult> => {
    const result = await run(bed.runtime.node, [migrateFile, ...argv(step, args)], {
      user: bed.cluster.user,
      cwd: bed.folder,
    });
    bed.printed.push(result.stdout, result.stderr);
    return args.includes("--output=json") ? result : { ...result, stdout: result.stdout + result.stderr };
  };
  const asked = async <S extends keyof Reports>(
    step: S,
    args: readonly string[] = [],
  ): Promise<{ readonly code: number; readonly report: Reports[S] }> => {
    const { exitCode, stdout, stderr } = await migrate(step, ["--output=json", ...args]);
    try {
      return { code: exitCode ?? -1, report: JSON.parse(stdout) as Reports[S] };
    } catch {
      throw new Error(`migrate ${step} ended with ${exitCode}: ${stdout}${stderr}`);
    }
  };
  const onTarget = (sql: string, database = "postgres"): Promise<unknown> => bed.cluster.sql(sql, [], database);
  const guarded = (): Promise<string> =>
    source.value(
      "SELECT count(*) FROM pg_db_role_setting s, unnest(setconfig) c WHERE c LIKE 'pgbackstop.guard=%' OR c = 'default_transaction_read_only=on'",
    );
  /** Wraps the real programs in the given scripts. */
  const programs = (name: string, dump: string, load = 'exec $real "$@"'): string => {
    const folder = join(bed.folder, name);
    mkdirSync(folder);
    for (const [program, script] of Object.entries({ pg_dump: dump, psql: load })) {
      const head = `#!/bin/bash\nreal=${young.binaries.folder}/${program}\n[ "$1" = --version ] && exec $real --version`;
      writeFileSync(join(folder, program), `${head}\n${script}\n`);
      chmodSync(join(folder, program), 0o755);
    }
    giveTo(folder, bed.cluster.user);
    return `--bin-path=${folder}`;
  };

  beforeAll(async () => {
    source = await TestCluster.create({ binaries: old.binaries });
    const access = join(source.dataPath, "pg_hba.conf");
    writeFileSync(access, `local all mover scram-sha-256\n${readFileSync(access, "utf8")}`);
    bed = await TestBed.create({
      binaries: young.binaries,
      repos: [{ compressType: "lz4" }, { compressType: "zst", encrypted: true }],
    });
    migrateFile = reachable(join(projectFolder(), "packages", "migration", "dist", "migrate.cjs"), bed.cluster.user);
    await Promise.all([source.start(), bed.cluster.start({ log_statement: "all" })]);
    names = await fillCluster(source);
    writeFileSync(join(bed.folder, "password"), "over there\n");
    giveTo(join(bed.folder, "password"), bed.cluster.user);
    await bed.cluster.sql(
      "CREATE ROLE streaming_replica REPLICATION LOGIN PASSWORD 'of the target'; CREATE ROLE mover SUPERUSER LOGIN",
    );
    await bed.oursOk(["stanza-create"]);
  }, 300_000);
  afterAll(async () => {
    await source?.remove();
    await bed?.remove();
  });

  // claim: packages/migration/docs/steps.md: the plan names connected clients and obstacles
  test("the plan lists databases, connected clients, and obstacles with their remedies", async () => {
    const client = new Client({
      host: source.socketPath,
      database: "shop",
      user: "postgres",
      application_name: "webshop",
    });
    await client.connect();
    try {
      await onTarget("CREATE DATABASE latin");
      await onTarget("CREATE ROLE readers LOGIN");
      const refused = await asked("plan");
      expect(refused.code).toBe(81);
      expect(refused.report.refusals.map(({ fact }) => fact)).toEqual([
        "the target already has a database 'latin'",
        "role 'readers' differs in the target: canLogIn false, there true",
      ]);
      await onTarget("DROP DATABASE latin");
      await onTarget("DROP ROLE readers");
      const { code, report } = await asked("plan");
      expect([code, report.refusals]).toEqual([0, []]);
      expect(report.databases.map(({ name }) => name).sort()).toEqual(names);
      expect(names).toHaveLength(DATABASE_COUNT);
      expect(report.roles).toEqual(["admins", "app owner", "auditor", "readers"]);
      expect(report.clients).toEqual([
        { database: "shop", user: "postgres", application: "webshop", address: "local", count: 1 },
      ]);
      const { exitCode, stdout } = await migrate("copy");
      expect([exitCode, stdout]).toEqual([
        81,
        expect.stringContaining("shop: postgres (webshop) from local, 1 connection"),
      ]);
      expect(await guarded()).toBe("0");
    } finally {
      await client.end();
    }
  });

  // claim: packages/migration/docs/steps.md: an incomplete dump never counts as complete, and a failed copy restores
  //   the source
  test.each([
    [
      "exits with 0 in the middle",
      '$real "$@" | head -c 3000; exit 0',
      undefined,
      "pg_dump ended with exit code 0: its output is incomplete",
    ],
    ["is killed in the middle", '$real "$@" | head -c 3000; kill -9 $$', undefined, "pg_dump was ended by SIGKILL"],
    ["is complete, and fails at the end", '$real "$@"; exit 3', undefined, "pg_dump ended with exit code 3"],
    [
      "is loaded by a program that fails at the end",
      'exec $real "$@"',
      '$real "$@"; exit 4',
      "psql ended with exit code 4",
    ],
  ])(
    "a dump that %s does not count as complete, and the source accepts writes again",
    async (name, dump, load, reported) => {
      const only = "--db-include=app_05";
      const { exitCode, stdout } = await migrate("copy", [programs(name, dump, load), only]);
      expect([exitCode, stdout]).toEqual([
        102,
        expect.stringContaining(`database 'app_05' is not copied: ${reported}`),
      ]);
      expect(await bed.cluster.value("SELECT count(*) FROM pg_database WHERE datname = 'app_05'")).toBe("0");
      expect(await guarded()).toBe("0");
    },
  );

  // claim: packages/migration/docs/steps.md: the source may go after a backup in every repository and a drill
  test("the old cluster may go when each repository has a later backup, and a drill has passed with one", async () => {
    // An earlier test left one of these unfinished, and finish requires it too.
    const only = ["--db-include=small", "--db-include=app_05"];
    expect((await migrate("copy", only)).exitCode).toBe(0);
    expect((await asked("verify", only)).report.differences).toEqual([]);
    const before = await asked("finish", only);
    expect([before.code, before.report.mayRetireSource]).toEqual([75, false]);
    expect(before.report.missing).toEqual([
      expect.stringMatching(/^repo1 has no backup that began after the copy/),
      expect.stringMatching(/^repo2 has no backup that began after the copy/),
      expect.stringMatching(/^no drill has passed/),
    ]);
    await bed.oursOk(["backup", "--type=full"]);
    expect((await asked("finish", only)).report.missing).toEqual([expect.stringMatching(/^no drill has passed/)]);
    await bed.oursOk([
      "drill",
      "--level=quick",
      "--pick=newest",
      `--drill-path=${join(bed.folder, "drill")}`,
      `--bin-path=${young.binaries.folder}`,
    ]);
    const after = await asked("finish", only);
    expect([after.code, after.report.mayRetireSource, after.report.missing]).toEqual([0, true, []]);
    const silent = await asked("finish", [...only, "--from-server=host=127.0.0.1 port=1 user=mover"]);
    expect([silent.code, silent.report.missing]).toEqual([
      75,
      [expect.stringMatching(/cannot be asked.*unable to con/)],
    ]);
  });

  // claim: packages/migration/docs/steps.md: the source may go only while…
  test("a source that was released since may not go, until it is read-only and compared again", async () => {
    const only = ["--db-include=small", "--db-include=app_05"];
    expect((await migrate("release")).exitCode).toBe(0);
    await source.sql("INSERT INTO things (name) VALUES ('late')", [], "app_05");
    const { code, report } = await asked("finish", only);
    expect([code, report.missing]).toEqual([75, [expect.stringContaining("comparison of 'app_05', 'small': stop")]]);
    expect((await asked("finish", ["--source-stopped", ...only])).report.missing).toEqual([]);
    await source.sql("DELETE FROM things WHERE name = 'late'; SELECT setval('things_id_seq', 50)", [], "app_05");
    // As a copy leaves it that is killed before it compares: verify does the rest.
    for (const name of ["small", "app_05"])
      await source.sql(
        `ALTER DATABASE ${name} SET pgbackstop.guard TO '{"connectionLimit":-1,"readOnly":null,"atS":1}';
         ALTER DATABASE ${name} SET default_transaction_read_only TO on; ALTER DATABASE ${name} CONNECTION LIMIT 0`,
      );
    expect((await asked("finish", only)).report.missing).toEqual([expect.stringContaining("the source was writable")]);
    expect((await asked("verify", only)).report.ok).toBe(true);
    expect((await asked("finish", only)).report.missing.map((line) => line.slice(0, 25))).toEqual([
      "repo1 has no backup that ",
      "repo2 has no backup that ",
      "no drill has passed with ",
    ]);
  });

  // claim: packages/migration/docs/steps.md: a copy that is stopped restores the source, and the next one keeps
  //   complete parts
  test("a copy that is stopped lets the source accept writes again, and the next one keeps complete parts", async () => {
    const only = ["app_16", "app_17", "app_18"].map((name) => `--db-include=${name}`);
    const before = await guarded();
    const began = join(bed.folder, "began");
    const slow = programs(
      "slower",
      `[ "$PGDATABASE" = app_16 ] && { $real "$@" | head -c 3000; touch ${began}; exec sleep 600; }\nexec $real "$@"`,
    );
    const command = [migrateFile, ...argv("copy", [slow, ...only])];
    const ended = await start(bed.runtime.node, command, {
      user: bed.cluster.user,
      cwd: bed.folder,
      logFile: join(bed.folder, "ended.log"),
    });
    const copied = (): Promise<string> =>
      bed.cluster.value("SELECT count(*) FROM pg_database WHERE datname IN ('app_16', 'app_17', 'app_18')");
    await waitFor("the others, and the beginning of the slow one", 180_000, async () =>
      existsSync(began) && (await copied()) === "2" ? true : null,
    );
    expect(await ended.stop("SIGTERM", 120_000)).toBe(63);
    expect([await guarded(), await copied()]).toEqual([before, "2"]);
    await source.sql("CREATE TABLE since (x int)", [], "app_17");
    // app_17 has changed since. Its copy was never compared, and applications may have used it all the same.
    const refused = await migrate("copy", ["--db-include=app_17"]);
    expect([refused.exitCode, refused.stdout]).toEqual([
      81,
      expect.stringMatching(/'app_17' of the target is a complete copy, and differs from the source now[^]*--replace/),
    ]);
    expect([await guarded(), await bed.cluster.value("SELECT to_regclass('since')", [], "app_17")]).toEqual([
      before,
      "null",
    ]);
    const { code, report } = await asked("copy", [...only, "--replace"]);
    expect([code, report.databases.map(({ name, state }) => `${name} ${state}`).sort()]).toEqual([
      0,
      ["app_16 copied", "app_17 copied", "app_18 kept"],
    ]);
    expect(await bed.cluster.value("SELECT count(*) FROM pg_database WHERE datname LIKE 'pgbackstop%'")).toBe("0");
  }, 600_000);

  // claim: packages/migration/docs/steps.md: a killed copy resumes, and its guard still protects the source
  // claim: packages/migration/docs/steps.md: only one step at a time works on a server
  test("a copy that is killed resumes, with the source still guarded", async () => {
    const [pids, began] = [join(bed.folder, "pids"), join(bed.folder, "began-to-be-killed")];
    const slow = programs(
      "slow",
      `echo $$ >> ${pids}\n[ "$PGDATABASE" = app_19 ] && { $real "$@" | head -c 3000; touch ${began}; exec sleep 600; }\nexec $real "$@"`,
    );
    const command = [migrateFile, ...argv("copy", [slow])];
    const killed = await start(bed.runtime.node, command, {
      user: bed.cluster.user,
      cwd: bed.folder,
      logFile: join(bed.folder, "killed.log"),
    });
    const copied = (): Promise<string> =>
      bed.cluster.value("SELECT string_agg(datname, ',') FROM pg_database WHERE datname = ANY ($1)", [names]);
    const isReached = async (): Promise<boolean> =>
      existsSync(began) && (await copied())?.split(",").length === DATABASE_COUNT - 1;
    await waitFor("all but the slow database, and its beginning", 300_000, async () =>
      (await isReached()) ? true : null,
    );
    // A second copy would remove the first one's database, and the end of either would lift the guard of both.
    for (const step of ["copy", "release"]) expect([step, (await migrate(step)).exitCode]).toEqual([step, 50]);
    expect(await guarded()).toBe(String(2 * DATABASE_COUNT));
    await killed.stop("SIGKILL", 10_000);
    for (const pid of readFileSync(pids, "utf8").trim().split("\n").map(Number))
      if (existsSync(`/proc/${pid}`) && readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("sleep"))
        process.kill(pid);
    expect(await guarded()).toBe(String(2 * DATABASE_COUNT));
    await expect(source.sql("CREATE TABLE late (x int)", [], "app_01")).rejects.toThrow("read-only");
    expect(await source.value("SELECT count(*) FROM pg_database WHERE datconnlimit = 0")).toBe(String(DATABASE_COUNT));
    expect((await asked("finish")).report.missing).toContainEqual(
      expect.stringMatching(/^1 databases are not completely copied/),
    );
    const { code, report } = await asked("copy");
    expect(code).toBe(0);
    expect(report.databases.filter(({ state }) => state === "copied").map(({ name }) => name)).toEqual(["app_19"]);
    expect(report.databases).toHaveLength(DATABASE_COUNT);
    expect(await bed.cluster.value("SELECT count(*) FROM pg_database WHERE datname LIKE 'pgbackstop%'")).toBe("0");
  }, 600_000);

  // claim: packages/migration/docs/steps.md, docs/commands.md: the databases of a PostgreSQL 15, in four encodings
  //   and with odd names, move to 17, compared row by row (30, at night 46)
  test("a complete copy verifies", async () => {
    const { code, report } = await asked("verify");
    expect(report.differences).toEqual([]);
    expect([code, report.ok, report.guarded, report.databases.length, report.clients]).toEqual([
      0,
      true,
      true,
      DATABASE_COUNT,
      [],
    ]);
    const shop = report.databases.find(({ name }) => name === "shop");
    expect(shop).toMatchObject({ tables: 7, rows: 500 + 3000 + 400 + 3 + 1 + 500, sequences: 2, largeObjects: 3 });
    expect(report.notes.map(({ kind }) => kind).filter((kind) => kind !== "extension")).toEqual([]);
    expect(await bed.cluster.value("SELECT rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = 'app owner'")).toBe(
      "true",
    );
    expect(
      await bed.cluster.value("SELECT reltuples FROM pg_class WHERE oid = 'app.orders'::regclass", [], "shop"),
    ).toBe("3000");
    const log = readFileSync(bed.cluster.logFile, "utf8") + bed.printed.join("");
    expect([log.includes("SCRAM-SHA-256$"), log.includes(ROLE_PASSWORD), log.includes("over there")]).toEqual([
      false,
      false,
      false,
    ]);
  });

  // claim: packages/migration/docs/steps.md: tampering in between is reported by name (27 kinds)
  test("each tampering is reported by the object's name", async () => {
    const tampered: readonly (readonly [database: string, sql: string, kind: string, name: string | RegExp])[] = [
      ["app_01", "DELETE FROM things WHERE id = 7", "table", "public.things"],
      ["app_02", "UPDATE things SET name = 'other' WHERE id = 7", "table", "public.things"],
      [
        "app_03",
        "CREATE OR REPLACE FUNCTION answer() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 43; END'",
        "function",
        "public.answer()",
      ],
      ["app_04", "SELECT setval('things_id_seq', 49)", "sequence value", "public.things_id_seq"],
      ["app_05", "ALTER TABLE things OWNER TO postgres", "relation", "public.things"],
      ["app_06", "GRANT DELETE ON things TO readers", "grants of relation", "public.things"],
      ["app_07", "DROP INDEX things_name", "index", "public.things_name"],
      ["app_08", "ALTER TABLE things ALTER at SET DEFAULT 'epoch'", "column default", "public.things.at"],
      ["app_09", "ALTER TABLE things ALTER name DROP NOT NULL", "column", "public.things.name"],
      ["app_10", "ALTER TABLE things DROP CONSTRAINT things_pkey", "constraint", "public.things things_pkey"],
      ["app_11", "COMMENT ON TABLE things IS 'else'", "comment", "table public.things"],
      ["app_12", "CREATE SCHEMA more", "schema", "more"],
      ["app_13", "ALTER DATABASE app_13 SET work_mem TO '1MB'", "setting", "work_mem of database app_13"],
      ["postgres", "ALTER DATABASE app_14 OWNER TO postgres", "database", "app_14"],
      ["postgres", "DROP DATABASE app_15 WITH (FORCE)", "database", "app_15"],
      ["postgres", "ALTER ROLE auditor INHERIT", "role", "auditor"],
      ["postgres", "ALTER ROLE \"app owner\" PASSWORD 'another'", "role", "app owner"],
      ["postgres", "REVOKE readers FROM admins", "membership", "admins in readers"],
      ["shop", "SELECT lo_put(4711, 5000, 'tampered')", "large object", "4711"],
      ["shop", "SELECT lo_unlink(4713)", "large object", /^4713 \(missing/],
      [
        "shop",
        "CREATE OR REPLACE VIEW app.open_orders AS SELECT id, total FROM app.orders WHERE state <> 'new'",
        "view",
        "app.open_orders",
      ],
      ["shop", "DROP TRIGGER touched ON app.customers", "trigger", "app.customers touched"],
      ["shop", "DROP EXTENSION pg_trgm", "extension", "pg_trgm"],
      ["shop", "ALTER POLICY own_ones ON app.orders USING (true)", "policy", "app.orders own_ones"],
      ["shop", "ALTER TYPE app.state ADD VALUE 'more'", "type", "app.state"],
      ["ascii", String.raw`UPDATE bytes SET x = E'caf\xe8' WHERE x = E'caf\xe9'`, "table", "public.bytes"],
      ["latin", `UPDATE "Größe" SET "Maß" = 'Fuße' WHERE "Maß" = 'Füße'`, "table", 'public."Größe"'],
    ];
    for (const [database, sql] of tampered) await onTarget(sql, database);
    const { code, report } = await asked("verify");
    expect([code, report.ok]).toEqual([58, false]);
    const left = report.differences.filter(
      ({ database, kind, name }) =>
        !tampered.some(
          ([where, , what, which]) =>
            what === kind &&
            (database === null || database === where) &&
            (typeof which === "string" ? which === name : which.test(name)),
        ),
    );
    for (const [where, sql, what, which] of tampered) {
      const isReported = report.differences.some(
        ({ database, kind, name }) =>
          what === kind &&
          (database === null || database === where) &&
          (typeof which === "string" ? which === name : which.test(name)),
      );
      expect([sql, isReported]).toEqual([sql, true]);
    }
    // Side effects of the same changes: of another owner, of a primary key, of an extension.
    expect(left.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual([
      "comment extension pg_trgm",
      "grants of relation public.things",
      "grants of relation public.things_id_seq",
      "index public.things_name",
      "index public.things_pkey",
      "index public.things_pkey",
      "relation public.things_id_seq",
    ]);
    expect((await asked("finish")).report.missing.map((line) => line.slice(0, 40))).toEqual([
      "only the source has 'app_15': pgbackstop",
      "different, or not compared with a read-o",
      "repo1 has no backup that began after the",
      "repo2 has no backup that began after the",
      "no drill has passed with such a backup: ",
    ]);
  });

  // claim: packages/migration/docs/steps.md: `release` restores the source as it was
  test("release restores the source as it was", async () => {
    const { exitCode, stdout } = await migrate("release");
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining("the source accepts connections and writes again")]);
    expect(await guarded()).toBe("0");
    expect(await source.value("SELECT datconnlimit FROM pg_database WHERE datname = 'shop'")).toBe("77");
    expect(
      await source.value(
        "SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = 'UPPER' AND setrole = 0",
      ),
    ).toBe("{default_transaction_read_only=off}");
    await source.sql("CREATE TABLE late (x int)", [], "app_01");
  });

  // claim: packages/migration/docs/steps.md: a complete copy is replaced only on request, and a comparison with a
  //   writable source does not count
  test.runIf(NIGHTLY)(
    "a complete copy is replaced only on request, and a comparison with a writable source does not count",
    async () => {
      const only = ["--db-include=app_01"];
      await onTarget("ALTER ROLE auditor NOINHERIT");
      const { exitCode, stdout } = await migrate("copy", only);
      expect([exitCode, stdout]).toEqual([
        81,
        expect.stringContaining("database 'app_01' of the target is a complete copy, and differs from the source now"),
      ]);
      expect([
        await bed.cluster.value("SELECT count(*) FROM things", [], "app_01"),
        await source.value("SELECT count(*) FROM things", [], "app_01"),
      ]).toEqual(["49", "50"]);
      expect(await guarded()).toBe("0");
      expect((await asked("copy", [...only, "--replace"])).report.databases).toMatchObject([
        { name: "app_01", state: "copied" },
      ]);
      expect(await bed.cluster.value("SELECT count(*) FROM things", [], "app_01")).toBe("50");
      expect((await migrate("release")).exitCode).toBe(0);
      expect((await asked("verify", only)).report).toMatchObject({ guarded: false });
      expect((await asked("finish")).report.missing).toContainEqual(
        expect.stringMatching(/^different, or not compared with a read-only source: .*'app_01'/),
      );
    },
  );

  // claim: packages/migration/docs/steps.md: PostgreSQL 18 is a target too (six of the databases)
  test.runIf(NIGHTLY)(
    "PostgreSQL 18 is supported too",
    async () => {
      const [clients, newest] = [await findClients18(), await findPostgres(18)];
      if ("missing" in clients || "missing" in newest) {
        loud(
          "migrate to PostgreSQL 18",
          [clients, newest].flatMap((result) => ("missing" in result ? [result.missing] : [])).join("; "),
        );
        return;
      }
      const target = await TestCluster.create({ binaries: newest.binaries });
      try {
        await target.start();
        const server = [`--to-server=host=${target.socketPath} user=postgres`, "--keep-role=mover"];
        await target.sql("CREATE ROLE mover SUPERUSER LOGIN");
        for (const name of names) await source.sql(BULK, [], name);
        const only = names.map((name) => `--db-include=${name}`);
        const copied = (await asked("copy", [`--bin-path=${clients.folder}`, ...server, ...only])).report;
        expect(copied.databases).toHaveLength(names.length);
        const beganMs = performance.now();
        const { report } = await asked("verify", [...server, ...only]);
        const sizeBytes = copied.databases.reduce((sum, { bytes }) => sum + bytes, 0);
        const rows = report.databases.reduce((sum, each) => sum + each.rows, 0);
        console.log(
          `${DATABASE_COUNT} databases, ${await source.value("SELECT pg_size_pretty(sum(pg_database_size(oid))) FROM pg_database")}, 3 at a time: ` +
            `${Math.round(sizeBytes / 2 ** 20)} MiB of dump copied in ${Math.round(copied.elapsedMs / 1000)} s, ` +
            `${rows} rows compared in ${Math.round((performance.now() - beganMs) / 1000)} s`,
        );
        expect([report.differences, report.databases.length, report.target.version.split(".")[0]]).toEqual([
          [],
          names.length,
          "18",
        ]);
        await target.sql("UPDATE app.orders SET total = 1 WHERE id = 100", [], "shop");
        expect((await asked("verify", [...server, "--db-include=shop"])).report.differences).toMatchObject([
          { kind: "table", name: "app.orders" },
        ]);
      } finally {
        await target.remove();
      }
    },
    3_600_000,
  );
});
