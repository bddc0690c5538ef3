/**
 * `Migration` on the real engine: updates move two databases from one PostgreSQL into that of a `PostgresHost`, stage
 * by stage. An obstacle, a tampered target and a drill that cannot run each fail the update. No step runs twice.
 */
// claim: packages/migration/docs/program.md: updates of the real engine move databases into a host: a preview shows
//   each step, obstacles and differences fail the update, nothing runs twice, `mayRetireSource` requires a backup in
//   each repository and a drill
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { MigrationArgs } from "../../components/migrationArgs";
import type { VerifyReport } from "../../runtime/verifyMigration";
import { findPostgres } from "../../../../tools/parts/postgres/postgres";
import { projectFolder } from "../../../../tools/parts/cache";
import { run } from "../../../../tools/parts/process";
import { reachable } from "../../../../tools/parts/users";
import { openStack } from "../../../../tools/parts/pulumi/pulumiEngine";
import { TestCluster } from "../../../../tools/parts/postgres/testCluster";
import { hasCommandProvider } from "../../../../test/harness/real/interopParts";
import { failureOf, stateTexts } from "../../../../test/harness/compare/engineTexts";
import { LocalHost } from "../../../../test/engine/localHost";

type Package = typeof import("../../../../components/index");
type Own = typeof import("../../components/index");

const PASSWORD = "planted-password-of-the-old-one";
const ROLE_PASSWORD = "planted-password-of-a-role";

let host: LocalHost;
let old: TestCluster;
let built: Package;
let own: Own;
/** Every step is one of its resources. */
let hasProvider = false;
/** All output of the engine, for the search for secrets at the end. */
const printed: string[] = [];

/** Texts of the files that hold migration steps. Those of other tests on this machine may disappear at any time. */
function filesLeft(): string[] {
  const isOurs = (name: string): boolean => name.startsWith("pgbackstop-migration.");
  const folders = ["/dev/shm", "/tmp"].flatMap((programFolder) =>
    readdirSync(programFolder).flatMap((name) => (isOurs(name) ? [join(programFolder, name)] : [])),
  );
  return folders.flatMap((folder) => {
    try {
      return readdirSync(folder).map((name) => readFileSync(join(folder, name), "utf8"));
    } catch {
      return [];
    }
  });
}

beforeAll(async () => {
  hasProvider = await hasCommandProvider("a migration on a host");
  if (!hasProvider) return;
  const result = await findPostgres(17);
  // The PostgreSQL from npm has no pg_dump.
  if ("missing" in result) throw new Error(result.missing);
  host = await LocalHost.create({ log_statement: "all" }, result.binaries);
  // Links to the programs that run here. Another installation would need the path of its libraries.
  mkdirSync(host.path("programs"));
  for (const name of ["pg_controldata", "pg_ctl", "pg_dump", "postgres", "psql"])
    symlinkSync(join(result.binaries.folder, name), host.path("programs", name));
  old = await TestCluster.create({ binaries: result.binaries, settings: { log_statement: "all" } });
  const access = join(old.dataPath, "pg_hba.conf");
  writeFileSync(access, `local all mover scram-sha-256\n${readFileSync(access, "utf8")}`);
  await old.start();
  await old.sql(
    `CREATE ROLE mover SUPERUSER LOGIN PASSWORD '${PASSWORD}'; CREATE ROLE shopkeeper LOGIN PASSWORD '${ROLE_PASSWORD}'`,
  );
  for (const name of ["shop", "ledger"]) {
    await old.sql(`CREATE DATABASE ${name} OWNER shopkeeper`);
    await old.sql(
      "CREATE TABLE goods (id serial PRIMARY KEY, name text); INSERT INTO goods (name) SELECT md5(i::text) FROM generate_series(1, 500) i",
      [],
      name,
    );
  }
  const load = createRequire(join(host.programFolder.folder, "program.cjs"));
  [built, own] = [load("pgbackstop") as Package, load("pgbackstop-migration") as Own];
  await (await open(null)).up();
}, 600_000);
beforeEach(({ skip }) => {
  if (!hasProvider) skip();
});
afterAll(async () => {
  await old?.remove();
  await host?.remove();
});

/** @param migration null: only the host */
function open(migration: Partial<MigrationArgs> | null): Promise<Stack> {
  return openStack(host.programFolder, "test", async () => {
    const { bucket, host: settings } = host.settings();
    const nas = new built.PosixRepository("nas", { path: host.nasPath });
    const remote = new built.S3CompatibleRepository("s3", {
      endpoint: bucket.endpoint,
      region: bucket.region,
      uriStyle: "path",
      bucket: {
        existing: {
          name: bucket.name,
          credentials: { accessKeyId: bucket.accessKeyId, secretAccessKey: bucket.secretAccessKey },
        },
      },
      ...(bucket.port === undefined ? {} : { port: bucket.port }),
      ...(bucket.caFile === undefined ? {} : { caFile: bucket.caFile }),
      cipher: { passphrase: "planted-passphrase" },
    });
    const made = new built.PostgresHost("new", {
      connection: { local: {} },
      dataDirectory: host.cluster.dataPath,
      repositories: { repo1: { at: nas.target, keepDays: 7 }, repo2: { at: remote.target, keepDays: 7 } },
      ...settings,
    });
    if (migration === null) return {};
    const { secret } = createRequire(join(host.programFolder.folder, "program.cjs"))(
      "@pulumi/pulumi",
    ) as typeof import("@pulumi/pulumi");
    const { mayRetireSource, reports, steps } = new own.Migration("move", {
      source: { address: old.socketPath, user: "mover", password: secret(PASSWORD) },
      target: { host: made.access },
      keepRoles: ["mover"],
      binDirectory: host.path("programs"),
      ...migration,
    });
    return { mayRetireSource, reports, steps };
  });
}

interface Updated {
  readonly changes: object;
  readonly steps: readonly string[];
  readonly reports: Readonly<Record<string, string>>;
  readonly mayRetireSource: boolean;
}

async function up(migration: Partial<MigrationArgs>): Promise<Updated> {
  const result = await (await open(migration)).up();
  printed.push(result.stdout, result.stderr);
  const outputs = Object.fromEntries(
    Object.entries(result.outputs).map(([name, output]) => [name, output.value as unknown]),
  );
  printed.push(JSON.stringify(outputs));
  return { changes: result.summary.resourceChanges ?? {}, ...outputs } as Updated;
}

async function failed(migration: Partial<MigrationArgs>): Promise<string> {
  const failure = await failureOf((await open(migration)).up());
  printed.push(failure);
  return failure;
}

const namesIn = (cluster: TestCluster): Promise<string> =>
  cluster.value(
    "SELECT coalesce(string_agg(datname, ',' ORDER BY datname), '') FROM pg_database WHERE datname !~ '^(postgres|template.)$'",
  );
const guarded = (): Promise<string> =>
  old.value(
    "SELECT count(*) FROM pg_db_role_setting s, unnest(setconfig) c WHERE c LIKE 'pgbackstop.guard=%' OR c = 'default_transaction_read_only=on'",
  );
/** The number of statements that both servers have logged. */
const asked = (): number =>
  [old, host.cluster]
    .map(({ logFile }) => readFileSync(logFile, "utf8").split(/LOG: {2}(?:statement|execute)/).length)
    .reduce((a, b) => a + b);
const fromOld = (): string => `--from-server=host=${old.socketPath} user=postgres`;
const finish = async (
  from: readonly string[] = [fromOld()],
): Promise<{ readonly code: number | null; readonly missing: readonly string[] }> => {
  const backups = [
    host.nodePath,
    host.path("lib", "runtime.cjs"),
    `--config-path=${host.path("etc")}`,
    "--stanza=main",
  ];
  const argv = [
    reachable(join(projectFolder(), "packages", "migration", "dist", "migrate.cjs"), host.cluster.user),
    `--to-server=host=${host.cluster.socketPath} port=${host.cluster.port} user=${host.cluster.superuser}`,
    `--backup-command=${backups.join(" ")}`,
    ...from,
    "--output=json",
    "finish",
  ];
  const { exitCode, stdout } = await run(host.nodePath, argv, { user: host.cluster.user });
  return { code: exitCode, missing: (JSON.parse(stdout) as { missing: string[] }).missing };
};

test("a preview shows each step of the migration, and contacts neither server", async () => {
  await host.cluster.sql("CREATE ROLE mover SUPERUSER LOGIN");
  const before = asked();
  const stack = await open({ until: "retire" });
  const { stdout, changeSummary } = await stack.preview();
  printed.push(stdout);
  for (const step of ["plan", "copy", "verify", "first-backup", "first-drill", "finish"])
    expect(stdout).toContain(`move-${step}`);
  expect(stdout).toContain("make the source read-only, copy roles and databases");
  expect(changeSummary).toMatchObject({ create: 8 });
  expect(asked()).toBe(before);
  expect([await guarded(), await namesIn(host.cluster)]).toEqual(["0", ""]);
});

test("the plan reports obstacles, and they fail the copy before it touches anything", async () => {
  await host.cluster.sql("CREATE DATABASE ledger");
  const fact = "the target already has a database 'ledger'";
  const planned = await up({ until: "plan" });
  expect(Object.keys(planned.reports)).toEqual(["plan"]);
  expect(JSON.parse(planned.reports["plan"] ?? "")).toMatchObject({ roles: ["shopkeeper"], refusals: [{ fact }] });
  const failure = await failed({ until: "copy" });
  expect(failure).toContain("unable to migrate copy: exit code 81");
  expect(failure).toContain(`! ${fact}`);
  expect(failure).toContain("a migration replaces only databases that it created: drop it there");
  expect([await guarded(), await namesIn(host.cluster)]).toEqual(["0", "ledger"]);
  await host.cluster.sql("DROP DATABASE ledger");
});

test("an update copies and compares, and returns both results as outputs", async () => {
  const { mayRetireSource, reports, steps } = await up({ until: "copy", planTriggers: ["there is no ledger"] });
  expect(steps).toHaveLength(3);
  expect(JSON.parse(reports["plan"] ?? "")).toMatchObject({ refusals: [] });
  const verified = JSON.parse(reports["verify"] ?? "") as VerifyReport;
  expect([verified.ok, verified.guarded, verified.databases.map(({ name, rows }) => [name, rows])]).toEqual([
    true,
    true,
    [
      ["ledger", 500],
      ["shop", 500],
    ],
  ]);
  expect(mayRetireSource).toBe(false);
  expect(await namesIn(host.cluster)).toBe("ledger,shop");
  expect(await host.cluster.value("SELECT rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = 'shopkeeper'")).toBe(
    "true",
  );
  await expect(old.sql("CREATE TABLE late (x int)", [], "shop")).rejects.toThrow("read-only");
});

test("a second update contacts neither server", async () => {
  const before = asked();
  const { changes, reports } = await up({ until: "copy", planTriggers: ["there is no ledger"] });
  expect(Object.keys(changes)).toEqual(["same"]);
  expect(JSON.parse(reports["verify"] ?? "")).toMatchObject({ ok: true });
  expect(asked()).toBe(before);
});

test("a target that was tampered with fails the update with the differences, and the earlier copy stays", async () => {
  await up({ until: "plan", planTriggers: ["there is no ledger"] });
  const oid = await host.cluster.value("SELECT oid FROM pg_database WHERE datname = 'shop'");
  const [lost] = await host.cluster.sql("DELETE FROM goods WHERE id = 7 RETURNING name", [], "shop");
  const failure = await failed({ until: "copy", planTriggers: ["there is no ledger"] });
  expect(failure).toContain("unable to migrate verify: exit code 58");
  expect(failure).toContain("shop: table public.goods: 500 rows in the source, 499 in the target");
  await host.cluster.sql("INSERT INTO goods VALUES (7, $1)", [lost?.["name"]], "shop");
  const { reports } = await up({ until: "copy", planTriggers: ["there is no ledger"] });
  expect(JSON.parse(reports["copy"] ?? "")).toMatchObject({ databases: [{ state: "kept" }, { state: "kept" }] });
  expect(JSON.parse(reports["verify"] ?? "")).toMatchObject({ ok: true });
  expect(await host.cluster.value("SELECT oid FROM pg_database WHERE datname = 'shop'")).toBe(oid);
});

test("the source may go only after a backup in each repository, and after a drill with it", async () => {
  // The host took its first backup before it had any data, so that backup does not count.
  expect(await finish()).toEqual({
    code: 75,
    missing: [
      expect.stringMatching(/^repo1 has no backup/),
      expect.stringMatching(/^repo2 has no backup/),
      expect.stringMatching(/^no drill has passed/),
    ],
  });
  const args: Partial<MigrationArgs> = { until: "retire", planTriggers: ["there is no ledger"] };
  const failure = await failed({ ...args, binDirectory: "/nowhere" });
  expect(failure).toContain("unable to run a drill: exit code");
  expect((await finish()).missing).toEqual([expect.stringMatching(/^no drill has passed/)]);
  const done = await up(args);
  expect(done.mayRetireSource).toBe(true);
  expect(JSON.parse(done.reports["finish"] ?? "")).toMatchObject({ mayRetireSource: true, missing: [], databases: 2 });
  expect(await finish()).toEqual({ code: 0, missing: [] });
  expect(await finish([])).toEqual({ code: 75, missing: [expect.stringMatching(/^nobody asked the source/)] });
  expect(Object.keys((await up(args)).changes)).toEqual(["same"]);
});

test("the return restores the source as it was", async () => {
  const { reports, steps } = await up({ until: "release" });
  expect([steps.length, JSON.parse(reports["release"] ?? "")]).toEqual([
    1,
    { version: 1, released: ["ledger", "shop"] },
  ]);
  expect(await guarded()).toBe("0");
  expect((await finish()).missing).toEqual([expect.stringMatching(/^the source was writable after/)]);
  await old.sql("CREATE TABLE late (x int)", [], "shop");
});

test("neither the state, nor the engine's output, nor the host contains a password", async () => {
  const locations = {
    state: stateTexts(host.programFolder.folder).join("\n"),
    printed: printed.join("\n"),
    log: readFileSync(host.cluster.logFile, "utf8"),
  };
  for (const [programFolder, text] of Object.entries(locations)) {
    expect(text.length, programFolder).toBeGreaterThan(0);
    for (const arg of [PASSWORD, ROLE_PASSWORD, "SCRAM-SHA-256$"])
      expect(text.includes(arg), `${arg} in ${programFolder}`).toBe(false);
  }
  expect(filesLeft().filter((text) => text.includes(PASSWORD))).toEqual([]);
});
