/**
 * Logical dumps of a real server into a plain directory and an encrypted bucket, beside stock: every row comes back by
 * pg_restore, a repository that is away costs only itself, and a dump that was killed never exists.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findStockPgbackrest } from "../../../tools/parts/debian/pgbackrest";
import { findWholePostgres } from "../../../tools/parts/postgres/postgres";
import { NIGHTLY } from "../../../tools/parts/nightly";
import { runOk, start, type Started } from "../../../tools/parts/process";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { skipped } from "../../harness/real/interopParts";
import { bringBack, takeAway } from "../../harness/network/outage";
import { TestBed } from "../../harness/real/testBed";

const TITLE = "logical dumps";
/** Names that a path, a connection string, SQL or UTF-8 would misread. */
const ODD = ["../x", "a/b", "Shop", "host=elsewhere", 'q"uote', "é 'x'"];
/** A name that is no UTF-8. */
const STRAY = Buffer.from([0x64, 0xe9, 0x66]);
const ROWS = "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM orders t";
const LABEL = /^\d{8}-\d{6}Z-[0-9a-f]{8}$/;

describe(TITLE, async () => {
  const postgres = await findWholePostgres(18);
  if ("missing" in postgres) return void skipped(TITLE, postgres.missing);
  const program260 = await findStockPgbackrest("2.60");
  if ("missing" in program260) return void skipped(TITLE, program260.missing);
  const [{ binaries }, { pgbackrest: stock }] = [postgres, program260];
  let bed: TestBed;
  let server: S3Server;

  const dump = (...args: string[]): string[] => ["dump", `--bin-path=${binaries.folder}`, ...args];
  const program = (name: string): string => join(binaries.folder, name);
  const directory = (): string => join(bed.repoPath(1), "pgbackstop/main/dump");
  const labels = (): string[] =>
    existsSync(directory()) ? readdirSync(directory()).filter((name) => LABEL.test(name)) : [];
  const connection = (): string[] => ["-h", bed.cluster.socketPath, "-U", bed.cluster.superuser];
  /** Reads a custom dump as pg_restore does, and returns its SQL. */
  const sqlOf = (file: string): Promise<string> =>
    runOk(program("pg_restore"), ["-f", "-", file], { user: bed.cluster.user });
  const waiting =
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event_type = 'Lock'";

  /** A dump that waits for a lock of `shop`, with roles and other databases already stored. */
  async function withWaiting<T>(work: (running: Started) => Promise<T>): Promise<T> {
    const lock = await bed.cluster.connect("shop");
    await lock.query("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE");
    const args = bed.oursCommand(dump("--database=postgres", "--database=shop"));
    const running = await start(bed.runtime.node, args, {
      user: bed.cluster.user,
      cwd: bed.folder,
      logFile: join(bed.folder, "waiting.log"),
    });
    try {
      await bed.cluster.waitForValue(waiting, "1");
      return await work(running);
    } finally {
      await lock.end();
      await running.stop("SIGKILL");
    }
  }

  beforeAll(async () => {
    server = await S3Server.create({ kind: "s3rver" });
    bed = await TestBed.create({ binaries, repos: [{}, { s3: server, encrypted: true }] });
    await bed.startWithStanza();
    const { cluster } = bed;
    await bed.oursOk(["backup", "--type=full", "--repo=1"]);
    await cluster.sql("CREATE ROLE clerk LOGIN PASSWORD 'hidden'");
    await cluster.sql("CREATE DATABASE shop");
    await cluster.sql(
      "CREATE TABLE orders (id int PRIMARY KEY, note text); INSERT INTO orders SELECT i, md5(i::text) FROM generate_series(1, 20000) i; GRANT SELECT ON orders TO clerk",
      [],
      "shop",
    );
    for (const name of ODD) await cluster.sql(`CREATE DATABASE "${name.replaceAll('"', '""')}" `);
    await cluster.sql("CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII'");
    // Only a database of this encoding takes such a name.
    const stray = Buffer.concat([
      Buffer.from('CREATE DATABASE "'),
      STRAY,
      Buffer.from("\" TEMPLATE template0 ENCODING 'SQL_ASCII';\n"),
    ]);
    const env = { PGCLIENTENCODING: "SQL_ASCII" };
    await runOk(program("psql"), ["-X", "-v", "ON_ERROR_STOP=1", ...connection(), "-d", "bytes"], {
      user: cluster.user,
      input: stray,
      env,
    });
    await cluster.sql("CREATE DATABASE closed ALLOW_CONNECTIONS false");
    await cluster.sql("CREATE DATABASE half");
    // As an interrupted DROP DATABASE leaves it.
    await cluster.sql("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half'");
  }, 120_000);
  afterAll(async () => {
    await bed?.remove();
    await server?.remove();
  });

  // claim: docs/dumps.md: each stream is read once and written into all repositories
  test("has each database that allows connections, and the roles", async () => {
    const { stdout } = await bed.oursOk(dump());
    const [label = ""] = labels();
    expect(stdout).toContain(`repo1: new dump label = ${label}`);
    expect(stdout).toContain(`repo2: new dump label = ${label}`);
    const files = readdirSync(join(directory(), label)).sort();
    expect(files).toEqual(
      [
        "=2e=2e=2fx.dump",
        "=53hop.dump",
        "=c3=a9=20=27x=27.dump",
        "a=2fb.dump",
        "bytes.dump",
        "d=e9f.dump",
        "dump.manifest",
        "globals.sql",
        "host=3delsewhere.dump",
        "postgres.dump",
        "q=22uote.dump",
        "shop.dump",
      ].sort(),
    );
    expect(readFileSync(join(directory(), label, "globals.sql"), "utf8")).toContain("CREATE ROLE clerk");
    expect(await sqlOf(join(directory(), label, "shop.dump"))).toContain(
      "GRANT SELECT ON TABLE public.orders TO clerk",
    );
    for (const [name, file] of [
      ["Shop", "=53hop"],
      ["host=elsewhere", "host=3delsewhere"],
    ]) {
      const head = await runOk(program("pg_restore"), ["-l", join(directory(), label, `${file}.dump`)], {
        user: bed.cluster.user,
      });
      expect(head).toContain(`dbname: ${name}`);
    }
    expect(bed.findLeaks()).toEqual([]);
  });

  // claim: docs/dumps.md: dump-get gives a verified database to pg_restore, from any repository
  test("comes back by dump-get and pg_restore with every row, from each repository", async () => {
    const { cluster } = bed;
    for (const repo of [1, 2]) {
      await cluster.sql(`CREATE DATABASE again${repo}`);
      await piped(["dump-get", `--repo=${repo}`, "--database=shop", "--log-level-console=info"], `again${repo}`);
      expect(await cluster.value(ROWS, [], `again${repo}`), `repo${repo}`).toBe(await cluster.value(ROWS, [], "shop"));
      await cluster.sql(`DROP DATABASE again${repo}`);
    }
    const { stdout } = await bed.oursOk(["dump-ls", "--output=json"]);
    const listed = JSON.parse(stdout) as { label: string; database: { name: string }[]; repo: object[] }[];
    expect(listed.map(({ label }) => label)).toEqual(labels());
    expect(listed[0]?.repo).toEqual([1, 2].map((key) => ({ key, fault: null })));
    expect(listed[0]?.database.map(({ name }) => name)).toEqual(expect.arrayContaining(ODD));
    expect((await bed.oursOk(["dump-get", "--globals"])).stdout).toContain("CREATE ROLE clerk");
  });

  test("that is damaged is refused", async () => {
    const [label = ""] = labels();
    const path = join(directory(), label, "a=2fb.dump");
    const bytes = readFileSync(path);
    const file = join(bed.folder, "spool", "a.dump");
    const get = (repo: number) => bed.ours(["dump-get", `--repo=${repo}`, "--database=a/b", `--to-file=${file}`]);
    writeFileSync(path, Buffer.from(bytes).fill(0xff, bytes.length - 3, bytes.length - 2));
    expect(await get(1)).toMatchObject({ exitCode: 26, stdout: expect.stringContaining("is damaged") });
    expect(existsSync(file)).toBe(false);
    expect(await get(2)).toMatchObject({ exitCode: 0 });
    expect(await sqlOf(file)).toContain("PostgreSQL database dump complete");
    writeFileSync(path, bytes);
  });

  test("refuses a database that does not exist or allows no connection, and starts nothing", async () => {
    const before = labels();
    for (const [name, hint] of [
      ["none", "The server has:"],
      ["closed", "ALLOW_CONNECTIONS true"],
      ["half", "DROP DATABASE was interrupted"],
    ]) {
      const { exitCode, stdout } = await bed.ours(dump(`--database=${name}`));
      expect({ exitCode, stdout }, name).toMatchObject({ exitCode: 32, stdout: expect.stringContaining(hint ?? "") });
    }
    expect(labels()).toEqual(before);
  });

  // claim: docs/dumps.md: a repository that fails or hangs…
  test("costs only the repository that is away", async () => {
    const before = labels();
    takeAway(bed.repoPath(1), "blocked", bed.cluster.user);
    let result;
    try {
      result = await bed.ours(dump("--database=shop"));
    } finally {
      bringBack(bed.repoPath(1));
    }
    expect(result.exitCode).toBe(104);
    expect(result.stdout).toMatch(/\[104\]: dump command encountered error\(s\):\n +repo1: /);
    expect(result.stdout).toContain("repo2: new dump label = ");
    expect(labels()).toEqual(before);
  });

  // claim: docs/dumps.md: a repository that fails or hangs costs only itself: exit code 104
  test.runIf(NIGHTLY)("costs only the repository that hangs", async () => {
    const config = bed.variant("soon", { global: { "io-timeout": "20" } });
    const before = labels();
    server.pause();
    try {
      const result = await bed.ours(dump("--database=postgres"), { config });
      expect(result.exitCode).toBe(104);
      expect(result.stdout).toMatch(/\[104\]: dump command encountered error\(s\):\n +repo2: /);
    } finally {
      server.resume();
    }
    expect(labels()).toHaveLength(before.length + 1);
  });

  // claim: docs/dumps.md: if pg_dump fails or is killed, no repository gets a dump
  test("never exists when pg_dump fails or is killed, and leaves nothing", async () => {
    const [before, bucketBefore] = [labels(), await bucketLabels()];
    for (const end of ["server", "kill"]) {
      await withWaiting(async (running) => {
        expect(labels()).toHaveLength(before.length + 1);
        if (end === "server")
          await bed.cluster.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump'",
          );
        else process.kill(pidOf(program("pg_dump"), bed.cluster.socketPath), "SIGKILL");
        expect(await running.exited, end).toBe(102);
        expect(running.log(), end).toContain(end === "kill" ? "was ended by a signal" : "terminating connection");
      });
      expect(labels(), end).toEqual(before);
      expect(await bucketLabels(), end).toEqual(bucketBefore);
    }
  });

  // claim: docs/dumps.md: two dumps exclude each other, and the next one removes what a killed one has left
  test("is taken once at a time, and the next one removes what a killed one has left", async () => {
    const before = labels();
    const dead = await withWaiting(async (running) => {
      const second = await bed.ours(dump());
      expect(second).toMatchObject({ exitCode: 50, stdout: expect.stringContaining("main-dump.lock") });
      await running.stop("SIGKILL");
      return labels().filter((label) => !before.includes(label));
    });
    expect(dead).toHaveLength(1);
    expect(labels(), "remains").toEqual(expect.arrayContaining(dead));
    const { stdout } = await bed.oursOk(dump("--database=shop"));
    for (const repo of ["repo1", "repo2"])
      expect(stdout).toContain(`${repo}: removed dump ${dead[0]}, which never became complete`);
    expect(labels()).not.toEqual(expect.arrayContaining(dead));
    expect(labels()).toHaveLength(before.length + 1);
  });

  // claim: docs/dumps.md: stock pgBackRest leaves dumps alone
  test("does not disturb stock", async () => {
    const look = async (): Promise<string> => (await bed.stockOk(stock, ["info"])).stdout;
    const before = await look();
    const kept = labels();
    await bed.stockOk(stock, ["verify"]);
    await bed.stockOk(stock, ["expire", "--repo1-retention-full=1"]);
    await bed.oursOk(["expire"]);
    expect(await look()).toBe(before);
    expect(labels()).toEqual(kept);
  });

  // claim: docs/dumps.md: a drill loads the dump into the restored server, and fails if a hash is wrong
  test("is loaded by a drill", async () => {
    const [label = ""] = labels();
    const drill = ["drill", "--repo=1", "--level=quick", `--bin-path=${binaries.folder}`, "--output=json"];
    const { stdout } = await bed.oursOk([...drill, `--dump=${label}`]);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; verdict: string; text: string }[] };
    expect(checks.find(({ name }) => name === "pg_restore")).toMatchObject({
      verdict: "ok",
      text: `dump ${label}: databases loaded: ${ODD.length + 4}, tables: 1, rows: 20000`,
    });
  });

  // claim: docs/dumps.md: info, status and verify report a dump that lacks a file; sync replaces it
  test("is watched, and comes back by sync when it has lost a file", async () => {
    const [label = ""] = labels();
    const count = labels().length;
    const ofFirst = async (): Promise<unknown> => {
      const [stanza] = JSON.parse((await bed.oursOk(["info", "--output=json"])).stdout) as [{ repo: object[] }];
      return stanza.repo[0];
    };
    expect(await ofFirst()).toMatchObject({
      dumps: { complete: count, faulty: [], newest: { label: labels().at(-1) } },
    });
    const content = readFileSync(join(directory(), label, "shop.dump"));
    rmSync(join(directory(), label, "shop.dump"));
    const fault = "'shop.dump' is missing or of another size";
    expect(await ofFirst()).toMatchObject({ dumps: { complete: count - 1, faulty: [{ label, fault }] } });
    expect(await bed.ours(["status"])).toMatchObject({
      exitCode: 104,
      stdout: expect.stringContaining(`dump ${label} cannot be used: ${fault}`),
    });
    expect(await bed.ours(["verify", "--repo=1"])).toMatchObject({
      exitCode: 26,
      stdout: expect.stringContaining(`dump: ${label}, status: invalid`),
    });
    const all = new Set([...labels(), ...(await bucketLabels())]);
    await bed.oursOk(["sync", "--from-repo=2", "--to-repo=1"]);
    expect(await ofFirst()).toMatchObject({ dumps: { complete: all.size, faulty: [] } });
    const { repos } = JSON.parse(
      (await bed.oursOk(["verify", "--repo=1", "--output=json", "--log-level-console=off"])).stdout,
    ) as {
      repos: { dumps: { label: string; status: string }[] }[];
    };
    expect(repos[0]?.dumps).toContainEqual(expect.objectContaining({ label, status: "valid" }));
    // Decrypted, and with the same content.
    const copy = readdirSync(directory()).find((name) => name.startsWith(`${label}.`)) ?? "none";
    expect(readFileSync(join(directory(), copy, "shop.dump")).equals(content)).toBe(true);
    await bed.oursOk(["dump-get", "--repo=1", `--dump=${label}`, "--globals"]);
  });

  // claim: docs/dumps.md: at the end of each dump it removes what is no longer kept
  test("goes when its repository no longer keeps it", async () => {
    const config = bed.variant("keeping", {
      settings: { repos: { repo1: { keepDumps: { count: 2 } }, repo2: { keepDumps: { days: 1 } } } },
    });
    const before = [...labels(), ...(await bucketLabels())];
    await bed.oursOk(dump("--database=postgres"), { config });
    expect(labels()).toHaveLength(2);
    const isNew = (label: string): boolean => !before.includes(label);
    expect(labels().filter(isNew)).toHaveLength(1);
    expect((await bucketLabels()).filter(isNew), "days").toEqual(labels().filter(isNew));
    expect((await bucketLabels()).length, "days").toBeGreaterThan(2);
  });

  // claim: docs/dumps.md: stanza-delete removes the stanza's dumps, and refuses while one is written
  test("goes with its stanza, and not while one is written", async () => {
    const remove = ["stanza-delete", "--repo=2", "--force"];
    await withWaiting(async () => {
      await bed.oursOk(["stop"]);
      expect(await bed.ours(remove)).toMatchObject({ exitCode: 50 });
    });
    await bed.oursOk(remove);
    expect(await bucketLabels()).toEqual([]);
    expect(labels()).not.toEqual([]);
  });

  /** Runs ours, and gives its output to pg_restore. */
  async function piped(args: readonly string[], database: string): Promise<void> {
    const ours = [bed.runtime.node, ...bed.oursCommand(args)];
    const restore = [program("pg_restore"), "--exit-on-error", ...connection(), "-d", database];
    const quoted = [ours, restore].map((argv) => argv.map((arg) => `'${arg}'`).join(" "));
    await runOk("bash", ["-o", "pipefail", "-c", quoted.join(" | ")], { user: bed.cluster.user, cwd: bed.folder });
  }

  async function bucketLabels(): Promise<string[]> {
    const { stdout } = await bed.oursOk(["repo-ls", "--repo=2", "pgbackstop/main/dump"]);
    return stdout.split("\n").filter((name) => LABEL.test(name));
  }
});

/** The process of a program that was started with this text among its arguments. @throws Error without one */
function pidOf(path: string, argument: string): number {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const [own, ...args] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      if (own === path && args.some((arg) => arg.includes(argument))) return Number(pid);
    } catch {
      // It has ended.
    }
  }
  throw new Error(`${path} does not run`);
}
