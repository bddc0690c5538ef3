/**
 * Fire drills with real programs. A healthy drill reports the RTO and RPO that an external stopwatch measures, each
 * planted fault is detected, and a drill removes nothing but its own files. Faults are planted in copies of a
 * repository, so that one bed serves all tests.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DrillRecord } from "../../../runtime/operations/drill/record";
import { findStockPgbackrest } from "../../../tools/parts/debian/pgbackrest";
import { findPostgres, findWholePostgres } from "../../../tools/parts/postgres/postgres";
import { runOk, sleep, start, waitFor } from "../../../tools/parts/process";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { giveTo } from "../../../tools/parts/users";
import { loud, skipped, s3Kind } from "../../harness/real/interopParts";
import { TestBed } from "../../harness/real/testBed";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

const MAJOR = 15;
const HEARTBEAT = "SELECT max(at) FROM beat";

interface Drills {
  drillPath(): string;
  argv(args: readonly string[]): string[];
  drill(args: readonly string[], config?: string): Promise<{ readonly code: number; readonly record: DrillRecord }>;
  leftOvers(): string[];
}

/** Drills of a bed, below its folder. */
function drillsOf(bedOf: () => TestBed): Drills {
  const drillPath = (): string => join(bedOf().folder, "drill");
  const argv = (args: readonly string[]): string[] => [
    "drill",
    `--drill-path=${drillPath()}`,
    `--bin-path=${bedOf().cluster.binaries.folder}`,
    ...args,
  ];
  return {
    drillPath,
    argv,
    async drill(args, config) {
      const options = config === undefined ? {} : { config };
      const { exitCode, stdout } = await bedOf().ours(argv(["--output=json", ...args]), options);
      return { code: exitCode, record: JSON.parse(stdout) as DrillRecord };
    },
    leftOvers: () => readdirSync(drillPath()).filter((name) => /^main-[0-9a-f]{8}$/.test(name)),
  };
}

describe("fire drills", async () => {
  const result = await findPostgres(MAJOR);
  if ("missing" in result) return void skipped("fire drills", result.missing);
  let bed: TestBed;
  let committedMs = 0;

  const { argv, drill, drillPath, leftOvers } = drillsOf(() => bed);
  /** Copies the bed's repo1, for a test to plant a fault in. The configuration uses the copy. */
  const copyOfRepo1 = async (name: string): Promise<{ readonly config: string; readonly path: string }> => {
    const path = join(bed.folder, name);
    await runOk("cp", ["-a", bed.repoPath(1), path]);
    return { path, config: bed.variant(name, { global: { "repo1-path": path } }) };
  };
  const verdictOf = (record: DrillRecord, name: string): string | undefined =>
    record.checks.find((check) => check.name === name)?.verdict;

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries: result.binaries,
      repos: [{ compressType: "lz4" }, { compressType: "zst", encrypted: true }],
    });
    await bed.startWithStanza();
    await bed.cluster.sql(`CREATE TABLESPACE space LOCATION '${join(bed.folder, "tablespace")}'`);
    await bed.cluster.sql("CREATE DATABASE shop");
    await bed.cluster.sql("CREATE TABLE beat (at timestamptz)");
    await bed.cluster.sql("CREATE TABLE orders (id int PRIMARY KEY, filler text) TABLESPACE space", [], "shop");
    await bed.cluster.sql("INSERT INTO orders SELECT i, repeat('x', 200) FROM generate_series(1, 20000) i", [], "shop");
    await bed.oursOk(["backup", "--type=full"]);
    await bed.cluster.sql(
      "INSERT INTO orders SELECT i, repeat('y', 200) FROM generate_series(20001, 60000) i",
      [],
      "shop",
    );
    await bed.archiveAll();
    await bed.cluster.sql("INSERT INTO beat VALUES (now() - interval '100 s')");
    await bed.cluster.sql("INSERT INTO orders VALUES (0, 'the last one')", [], "shop");
    committedMs = Date.now();
    await bed.archiveAll();
    // Never archived, so a restore loses it.
    await bed.cluster.sql("INSERT INTO orders VALUES (-1, 'too late')", [], "shop");
  }, 300_000);
  afterAll(async () => {
    await bed?.remove();
  });

  // claim: docs/drills.md, README.md: a drill's RTO and RPO agree with an external stopwatch, and it leaves nothing
  //   behind
  test("a healthy one measures the same RTO and RPO as an external stopwatch, and leaves nothing behind", async () => {
    const spooled = join(bed.folder, "spool/archive/main/in/000000010000000000000001");
    mkdirSync(join(spooled, ".."), { recursive: true });
    writeFileSync(spooled, "production's");
    // Wait until a tenth of the time exceeds the cost of reading the clock.
    await sleep(Math.max(0, committedMs + 5000 - Date.now()));
    const beganMs = performance.now();
    const faultMs = Date.now();
    const [{ code, record }, stopwatchMs] = await Promise.all([
      drill(["--repo=1", "--pick=newest"]),
      firstConnectionMs(drillPath(), beganMs),
    ]);
    expect(record.failures).toEqual([]);
    expect([code, record.ok, record.repo, record.pick, record.target]).toEqual([0, true, 1, "newest", null]);
    expect(isWithinTenth(record.rtoMs ?? 0, stopwatchMs), `RTO ${record.rtoMs} ms, stopwatch ${stopwatchMs} ms`).toBe(
      true,
    );
    // The drill counts from its own start, which a busy machine delays.
    const lostMs = faultMs - committedMs + stopwatchMs - (record.rtoMs ?? 0);
    expect(
      isWithinTenth((record.rpo?.seconds ?? 0) * 1000, lostMs),
      `RPO ${record.rpo?.seconds} s, stopwatch ${lostMs} ms`,
    ).toBe(true);
    expect(record.rpo?.method).toBe("commit");
    expect(record.rpo?.lostWalBytes).toBeGreaterThan(0);
    for (const name of ["recovery", "production", "amcheck", "dump", "control", "checksums"])
      expect([name, verdictOf(record, name)]).toEqual([name, "ok"]);
    const [choose, restore, recovery] = record.phases.map(({ elapsedMs }) => elapsedMs) as [number, number, number];
    expect(Math.abs(choose + restore + recovery - (record.rtoMs ?? 0))).toBeLessThan(10);
    expect(leftOvers()).toEqual([]);
    expect(readFileSync(spooled, "utf8")).toBe("production's");
    expect(await bed.cluster.value("SELECT count(*) FROM orders", [], "shop")).toBe("60002");
  }, 300_000);

  test("repositories and backups take turns, also from the encrypted one, with assertions and a heartbeat", async () => {
    const assertions = [
      { name: "orders", database: "shop", sql: "SELECT count(*) = 60001, bool_and(id >= 0) FROM orders" },
    ];
    const config = bed.variant("asserted", { settings: { drill: { heartbeat: { sql: HEARTBEAT }, assertions } } });
    const second = await drill(["--level=quick"], config);
    expect(second.record.failures).toEqual([]);
    expect([second.record.repo, second.record.pick, verdictOf(second.record, "assertion:orders")]).toEqual([
      2,
      "newest",
      "ok",
    ]);
    expect(second.record.rpo?.method).toBe("heartbeat");
    expect(second.record.rpo?.seconds).toBeGreaterThan(100);
    expect(verdictOf(second.record, "dump")).toBeUndefined();
    const third = await drill(["--level=quick"]);
    expect([third.code, third.record.repo, third.record.pick, third.record.target, third.record.rpo]).toEqual([
      0,
      1,
      "oldest",
      "immediate",
      null,
    ]);
    const time = await drill(["--level=quick", "--pick=moment", "--repo=2"]);
    expect([time.code, time.record.failures]).toEqual([0, []]);
    expect(time.record.target).toMatch(/^lsn 0\/[0-9A-F]+$/);
  }, 300_000);

  // claim: docs/drills.md: a drill detects a…
  test("a failed assertion and every missed objective are failures, in the report and by the exit code", async () => {
    const drillSettings = {
      objectives: { rtoSeconds: 1, rpoSeconds: 1, backupAgeSeconds: 1 },
      assertions: [
        { name: "all there", database: "shop", sql: "SELECT count(*) = 60002 FROM orders" },
        // Two columns of one name, and none.
        { name: "both", sql: "SELECT false, true" },
        { name: "any", database: "shop", sql: "SELECT FROM orders" },
      ],
    };
    const config = bed.variant("promised", { settings: { drill: drillSettings } });
    const { exitCode, stdout } = await bed.ours(argv(["--repo=1", "--pick=newest", "--level=quick"]), { config });
    expect(exitCode).toBe(57);
    expect(stdout).toMatch(/^main: drill \S+ of repo1: FAILED$/m);
    for (const name of ["rto", "rpo", "backupAge"])
      expect(stdout).toMatch(
        new RegExp(`^  ! objective:${name}: \\[CommandError\\] \\[104\\] .* exceeds the objective of 1 s$`, "m"),
      );
    expect(stdout).toContain("assertion 'all there' does not hold");
    expect(stdout).toContain("assertion 'both' does not hold: 1 of 1 rows are not true");
    expect(stdout).toContain("assertion 'any' returned no column");
  }, 300_000);

  // claim: docs/drills.md: a drill detects a damaged file, a missing segment, a wrong passphrase, an index that lacks
  //   rows, an empty repository, and a missed objective
  test("a corrupted block in a file of the repository, which another repository must not hide", async () => {
    const { config, path } = await copyOfRepo1("corrupt");
    const files = (await runOk("find", [join(path, "backup"), "-name", "*.lz4", "-size", "+40k"])).trim().split("\n");
    for (const file of files) {
      const bytes = readFileSync(file);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0xff;
      writeFileSync(file, bytes);
    }
    const { code, record } = await drill(["--repo=1", "--pick=newest", "--level=quick"], config);
    expect(record.failures).toEqual([expect.objectContaining({ where: "restore" })]);
    expect([26, 29]).toContain(code);
    expect(record.rtoMs).toBeNull();
    expect(leftOvers()).toEqual([]);
  }, 300_000);

  // claim: docs/drills.md: a drill detects a…
  test("a missing WAL segment, at which recovery ends silently", async () => {
    const { config, path } = await copyOfRepo1("gap");
    const segments = (await runOk("find", [join(path, "archive/main"), "-regex", ".*/[0-9A-F]*-[0-9a-f]*\\.lz4"]))
      .trim()
      .split("\n")
      .sort();
    const missing = segments.at(-2) ?? "";
    rmSync(missing);
    const { code, record } = await drill(["--repo=1", "--pick=newest", "--level=quick"], config);
    expect(code).toBe(82);
    expect(record.failures).toEqual([expect.objectContaining({ where: "recovery" })]);
    expect(record.failures[0]?.message).toContain(/\/([0-9A-F]{24})-/.exec(missing)?.[1]);
  }, 300_000);

  // claim: docs/drills.md: a drill detects a…
  test("a wrong passphrase", async () => {
    const config = bed.variant("wrong", { global: { "repo2-cipher-pass": "not this one" } });
    const { code, record } = await drill(["--repo=2", "--level=quick"], config);
    expect(code).toBe(95);
    expect(record.failures).toEqual([expect.objectContaining({ where: "choose", error: "CryptoError" })]);
  });

  // claim: docs/drills.md: a drill detects a…
  test("a repository that is readable and empty", async () => {
    const path = join(bed.folder, "empty");
    mkdirSync(path);
    giveTo(path, bed.cluster.user);
    const config = bed.variant("empty", { global: { "repo1-path": path } });
    expect((await drill(["--repo=1", "--level=quick"], config)).code).toBe(55);
    await bed.oursOk(["stanza-create"], { config });
    const { code, record } = await drill(["--repo=1", "--level=quick"], config);
    expect([code, record.failures[0]?.message]).toEqual([75, "repo1 has no backup: nothing can be restored from it"]);
  }, 300_000);

  test("too many bytes and too little time", async () => {
    const large = await drill(["--repo=1", "--max-bytes=1MiB"]);
    expect([large.code, large.record.failures[0]?.message]).toEqual([122, expect.stringContaining("allowed are 1MB")]);
  });

  // claim: docs/drills.md: a killed drill's remains are removed, and nothing else
  test("the next drill ends and removes a killed drill's remains, and nothing else", async () => {
    const foreign = ["main-deadbeef", "main-0badcafe", "mine"].map((name) => join(drillPath(), name));
    for (const path of foreign) {
      mkdirSync(path);
      writeFileSync(join(path, "precious"), "");
      giveTo(path, bed.cluster.user);
    }
    // A marker of another drill does not make this directory ours.
    writeFileSync(
      join(drillPath(), "main-0badcafe/pgbackstop-drill.json"),
      JSON.stringify({ stanza: "main", directory: "main-11111111" }),
    );
    const command = bed.oursCommand(argv(["--repo=1", "--pick=newest", "--level=quick"]));
    const killed = await start(bed.runtime.node, command, {
      user: bed.cluster.user,
      cwd: bed.folder,
      logFile: join(bed.folder, "killed.log"),
    });
    const left = await waitFor(
      "the server of a drill",
      120_000,
      async () => leftOvers().find((name) => existsSync(join(drillPath(), name, "data/postmaster.pid"))) ?? null,
    );
    await killed.stop("SIGKILL", 10_000);
    const server = Number(readFileSync(join(drillPath(), left, "data/postmaster.pid"), "utf8").split("\n")[0]);
    expect(existsSync(`/proc/${server}`)).toBe(true);
    const { code, record } = await drill(["--repo=1", "--pick=newest", "--level=quick"]);
    expect([code, record.failures]).toEqual([0, []]);
    // pg_ctl waits until the pid file is gone. The process ends a moment later.
    await waitFor("end of the server that the killed drill left", 10_000, async () =>
      existsSync(`/proc/${server}`) ? null : true,
    );
    expect(existsSync(join(drillPath(), left))).toBe(false);
    for (const path of foreign) expect(existsSync(join(path, "precious"))).toBe(true);
    for (const path of foreign) rmSync(path, { recursive: true });
  }, 300_000);

  // claim: docs/drills.md: stock ignores the history
  test.each(["2.45", "2.60"] as const)("stock %s ignores the history", async (version) => {
    const stock = await findStockPgbackrest(version);
    if ("missing" in stock) return void loud(`the history of drills beside stock ${version}`, stock.missing);
    const { pgbackrest } = stock;
    const history = (key: number): string[] => readdirSync(join(bed.repoPath(key), "pgbackstop/main/drills"));
    const before = [history(1), history(2)];
    expect(Math.min(...before.map(({ length }) => length))).toBeGreaterThan(3);
    expect((await bed.stockOk(pgbackrest, ["info"])).stdout).not.toContain("drills");
    for (const repo of [1, 2]) {
      const verified = await bed.stockOk(pgbackrest, ["verify", `--repo=${repo}`]);
      expect(verified.stdout + verified.stderr).not.toMatch(/ERROR|drills/);
      await bed.stockOk(pgbackrest, ["expire", `--repo=${repo}`, `--repo${repo}-retention-full=1`]);
      expect((await bed.stockOk(pgbackrest, ["repo-ls", `--repo=${repo}`])).stdout).toMatch(
        /^archive\nbackup\npgbackstop$/m,
      );
    }
    expect([history(1), history(2)]).toEqual(before);
  });

  // claim: docs/drills.md: a drill detects a…
  test("an index that lacks rows", async () => {
    const index = "indexrelid = 'orders_pkey'::regclass";
    await bed.cluster.sql(`UPDATE pg_index SET indisready = false, indisvalid = false WHERE ${index}`, [], "shop");
    await bed.cluster.sql("INSERT INTO orders VALUES (1000000, 'in no index')", [], "shop");
    await bed.cluster.sql(`UPDATE pg_index SET indisready = true, indisvalid = true WHERE ${index}`, [], "shop");
    await bed.oursOk(["backup", "--type=incr"]);
    const { code, record } = await drill(["--repo=1", "--pick=newest", "--level=standard"]);
    expect(code).toBe(26);
    expect(record.failures).toEqual([expect.objectContaining({ where: "amcheck" })]);
    expect(record.failures[0]?.message).toContain("orders_pkey");
  }, 300_000);
});

describe.each(atNight(18, 17))("fire drills of PostgreSQL %i, from an encrypted bucket", async (major) => {
  const result = await findWholePostgres(major);
  if ("missing" in result) return void skipped(`fire drills of PostgreSQL ${major}`, result.missing);
  let server: S3Server;
  let bed: TestBed;
  const { argv, drill, drillPath, leftOvers } = drillsOf(() => bed);

  beforeAll(async () => {
    server = await S3Server.create({ kind: await s3Kind() });
    bed = await TestBed.create({
      binaries: result.binaries,
      repos: [{ s3: server, encrypted: true, compressType: "zst" }],
    });
    await bed.startWithStanza();
    await bed.cluster.sql(
      "CREATE TABLE orders AS SELECT i AS id, repeat('x', 200) AS filler FROM generate_series(1, 20000) i",
    );
    await bed.cluster.sql("CREATE INDEX ON orders (id)");
    await bed.oursOk(["backup", "--type=full"]);
    await bed.cluster.sql("INSERT INTO orders VALUES (0, 'the last one')");
    await bed.archiveAll();
  }, 300_000);
  afterAll(async () => {
    await bed?.remove();
    await server?.remove();
  });

  test("every check runs, the declared one runs by its name, and nothing is left", async () => {
    const assertions = [{ name: "orders", sql: "SELECT count(*) = 20001 FROM orders" }];
    const declared = {
      weekly: { repos: ["repo1"], pick: "newest", level: "thorough", maxMinutes: 30, maxBytes: 1024 ** 3 },
    };
    const config = bed.variant("declared", { settings: { drill: { assertions, declared } } });
    const { code, record } = await drill(["--now"], config);
    expect([code, record.failures]).toEqual([0, []]);
    const verdicts = record.checks.map(({ name, verdict }) => `${name}: ${verdict}`);
    for (const name of [
      "recovery",
      "collations",
      "production",
      "assertion:orders",
      "amcheck",
      "dump",
      "control",
      "checksums",
    ])
      expect(verdicts).toContain(`${name}: ok`);
    expect([record.rpo?.method, record.pick, leftOvers()]).toEqual(["commit", "newest", []]);
    const unknown = await bed.ours(argv(["--name=monthly"]), { config });
    expect([unknown.exitCode, unknown.stdout + unknown.stderr]).toEqual([
      32,
      expect.stringContaining("declared are weekly"),
    ]);
    const bounded = bed.variant("bounded", {
      settings: { drill: { declared: { weekly: { ...declared.weekly, maxBytes: 1024 ** 2 } } } },
    });
    expect((await drill(["--name=weekly"], bounded)).code).toBe(122);
    // The command line overrides the declared limit.
    const stronger = await drill(["--name=weekly", "--max-bytes=1GiB", "--level=quick"], bounded);
    expect([stronger.code, stronger.record.level]).toEqual([0, "quick"]);
  }, 300_000);

  test.runIf(major === 18)(
    "a production backup continues beside it, and a second drill of the stanza waits",
    async () => {
      const [made, backup] = await Promise.all([
        drill(["--level=standard", "--pick=newest"]),
        bed.ours(["backup", "--type=incr"]),
      ]);
      expect([made.code, made.record.failures, backup.exitCode]).toEqual([0, [], 0]);
      const running = drill(["--level=standard", "--pick=newest"]);
      await waitFor("it", 120_000, async () => (leftOvers().length > 0 ? true : null));
      expect((await bed.ours(argv(["--level=quick"]))).exitCode).toBe(50);
      expect((await running).code).toBe(0);
    },
    300_000,
  );

  // claim: docs/drills.md: a drill that is stopped, by its time or a signal, cancels running queries and removes
  //   everything
  test.runIf(major === 18)(
    "one that is stopped removes everything, reports it by its exit code, and keeps a record",
    async () => {
      const command = bed.oursCommand(argv(["--pick=newest", "--output=json"]));
      const logFile = join(bed.folder, "ended.log");
      const ended = await start(bed.runtime.node, command, { user: bed.cluster.user, cwd: bed.folder, logFile });
      const name = await waitFor(
        "the server of a drill",
        120_000,
        async () => leftOvers().find((each) => existsSync(join(drillPath(), each, "data/postmaster.pid"))) ?? null,
      );
      const pid = Number(readFileSync(join(drillPath(), name, "data/postmaster.pid"), "utf8").split("\n")[0]);
      expect(await ended.stop("SIGTERM", 120_000)).toBe(63);
      expect([leftOvers(), existsSync(`/proc/${pid}`)]).toEqual([[], false]);
      const record = JSON.parse(/^{.*^}$/ms.exec(readFileSync(logFile, "utf8"))?.[0] ?? "") as DrillRecord;
      expect([record.ok, record.failures[0]?.code]).toEqual([false, 63]);
    },
    300_000,
  );

  // claim: docs/drills.md: a drill that is stopped, by…
  test.runIf(major === 18 && NIGHTLY)(
    "one that exceeds its time is stopped and removed",
    async () => {
      const assertions = [{ name: "patience", sql: "SELECT pg_sleep(600) IS NOT NULL" }];
      const config = bed.variant("slow", { settings: { drill: { assertions } } });
      const { code, record } = await drill(["--pick=newest", "--max-minutes=1"], config);
      expect([code, record.failures]).toEqual([
        122,
        [expect.objectContaining({ message: expect.stringContaining("longer than 1 minutes") as string })],
      ]);
      expect(leftOvers()).toEqual([]);
    },
    300_000,
  );
});

/** Tolerates a tenth, or the delay that a busy machine's scheduler adds to either clock. */
function isWithinTenth(reported: number, measured: number): boolean {
  return Math.abs(reported - measured) <= Math.max(measured / 10, 300);
}

/** Tries the socket of any running drill until a connection succeeds. Returns milliseconds since `beganMs`. */
async function firstConnectionMs(path: string, beganMs: number): Promise<number> {
  for (let tries = 0; tries < 6000; tries++) {
    const name = existsSync(path)
      ? readdirSync(path).find((each) => existsSync(join(path, each, ".s.PGSQL.54329")))
      : undefined;
    if (name !== undefined) {
      const client = new Client({ host: join(path, name), port: 54329, user: "postgres", database: "postgres" });
      client.on("error", () => {});
      try {
        await client.connect();
        const elapsedMs = performance.now() - beganMs;
        await client.end();
        return elapsedMs;
      } catch {
        await client.end().catch(() => {});
      }
    }
    await sleep(20);
  }
  throw new Error("no drill let anybody in");
}
