/**
 * Clones with real programs: masked before anybody may connect, cut off from production, and gone when the mask fails.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pidsWith } from "../../../tools/parts/process";
import { freePort } from "../../../tools/parts/servers/s3Server";
import { NIGHTLY } from "../../../tools/parts/nightly";
import { CLONE_PASSWORD, findMountingPostgres, OpenedBackup } from "../../harness/real/openedBackup";
import { TestBed } from "../../harness/real/testBed";

const SECRET = "marker-of-a-production-password";
const ROWS = 20_000;

interface Answer {
  readonly databases: readonly string[];
  readonly dataAgeS: number;
  readonly diskBytes: number;
  readonly fetchedBytes: number;
  readonly totalBytes: number;
  readonly endsAt: string | null;
}

describe("clone", async () => {
  const binaries = await findMountingPostgres("clone");
  if (binaries === null) return;
  let bed: TestBed;
  const made: OpenedBackup[] = [];

  /** By the superuser, on the private socket. */
  const inside = (backup: OpenedBackup, port: number, sql: string, database = "postgres"): Promise<unknown> =>
    valueOf(new Client({ host: backup.folder, port, user: bed.cluster.superuser, database }), sql);
  const opens = (name: string): OpenedBackup => {
    const backup = new OpenedBackup(bed, name);
    made.push(backup);
    return backup;
  };

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "zst", encrypted: true, options: { bundle: "y", block: "y" } }],
    });
    const { cluster } = bed;
    await bed.startWithStanza();
    for (const sql of [
      "CREATE DATABASE shop",
      "CREATE DATABASE staff",
      `CREATE ROLE app LOGIN PASSWORD '${SECRET}'`,
      "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'boss'",
      "GRANT pg_execute_server_program TO app",
    ])
      await cluster.sql(sql);
    for (const sql of [
      "CREATE TABLE customers (id int PRIMARY KEY, email text)",
      `INSERT INTO customers SELECT i, 'person' || i || '@example.com' FROM generate_series(1, ${ROWS}) i`,
      "ALTER TABLE customers OWNER TO app",
      `CREATE TABLE still AS SELECT i, repeat(md5(i::text), 30) AS filler FROM generate_series(1, ${NIGHTLY ? 100_000 : 1}) i`,
      "VACUUM (FREEZE, ANALYZE)",
      "CREATE EXTENSION postgres_fdw",
      "CREATE EXTENSION dblink",
      "CREATE SERVER production FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1')",
      `CREATE USER MAPPING FOR app SERVER production OPTIONS (user 'app', password '${SECRET}')`,
      `CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1 password=${SECRET}' PUBLICATION feed WITH (connect = false)`,
      "CREATE FUNCTION reach() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN COPY (SELECT 1) TO PROGRAM ''true''; RETURN ''reached''; END'",
    ])
      await cluster.sql(sql, [], "shop");
    await bed.oursOk(["backup", "--type=full"]);
    await cluster.sql("UPDATE customers SET email = 'late@example.com' WHERE id = 7", [], "shop");
    await bed.archiveAll();
  }, 600_000);
  afterAll(async () => {
    for (const each of made) if (existsSync(each.folder)) await each.run(["close"]).catch(() => {});
    await bed?.remove();
  });

  // claim: docs/clones.md: a mask that fails leaves nothing
  test("a mask that fails leaves no file, no mount, no process, and says why", async () => {
    const backup = opens("failed");
    const port = await freePort();
    const mask = "UPDATE customers SET email = 'x'; UPDATE absent SET email = 'x';";
    const result = await backup.clone(port, { mask });
    expect(result.exitCode).not.toBe(0);
    expect(`${result.stdout}${result.stderr}`).toMatch(/the mask failed in database '(shop|staff)': .*does not exist/);
    expect([existsSync(backup.folder), existsSync(backup.at)]).toEqual([false, false]);
    expect(pidsWith(backup.at)).toEqual([]);
    expect((await bed.ours(["status"])).stdout).not.toContain(backup.at);
  }, 300_000);

  // claim: docs/clones.md: the mask has run before the first connection, and only one role can sign in
  // claim: docs/clones.md: a clone reaches neither production nor its machine
  test("clients see masked rows, write, and reach nothing else; after a kill it continues", async () => {
    const backup = opens("masked");
    const port = await freePort();
    const mask = "UPDATE customers SET email = 'user' || id || '@test'";
    const result = await backup.clone(port, { mask, args: ["--keep-database=shop"] });
    expect(result.exitCode, `${result.stdout}${result.stderr}`).toBe(0);
    const answer = JSON.parse(result.stdout) as Answer;
    expect(answer).toMatchObject({ databases: ["shop"], endsAt: null });
    expect(answer.dataAgeS).toBeGreaterThanOrEqual(0);
    expect(answer.dataAgeS).toBeLessThan(3600);
    expect(answer.diskBytes).toBeGreaterThan(0);
    const ask = (sql: string): Promise<unknown> => askClone(port, "clone", CLONE_PASSWORD, "shop", sql);
    expect(await ask("SELECT count(*) FROM customers WHERE email LIKE '%@test'")).toBe(String(ROWS));
    expect(await ask("SELECT count(*) FROM customers WHERE email LIKE '%example%'")).toBe("0");
    // Statistics would show what was there before.
    expect(await ask("SELECT count(*) FROM pg_stats WHERE tablename = 'customers'")).toBe("0");
    expect(await ask("INSERT INTO customers VALUES (0, 'new') RETURNING email")).toBe("new");
    expect(await ask("ALTER TABLE customers ADD note text")).toBeUndefined();
    expect(await ask("CREATE TABLE own (id int)")).toBeUndefined();
    for (const name of ["pg_subscription", "pg_foreign_server", "pg_user_mappings"])
      expect(await inside(backup, port, `SELECT count(*) FROM ${name}`, "shop"), name).toBe("0");
    expect(await inside(backup, port, "SELECT count(*) FROM pg_extension WHERE extname ~ 'fdw|dblink'", "shop")).toBe(
      "0",
    );
    expect(
      await inside(backup, port, "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL AND rolname <> 'clone'"),
    ).toBe("0");
    expect(await inside(backup, port, "SELECT count(*) FROM pg_database WHERE datname = 'staff'")).toBe("0");
    await expect(ask("SELECT reach()")).rejects.toThrow(/permission denied|must be superuser/);
    await expect(ask("COPY customers TO PROGRAM 'cat'")).rejects.toThrow(/permission denied/);
    for (const [role, password, database] of [
      ["app", SECRET, "shop"],
      ["boss", "boss", "shop"],
      [bed.cluster.superuser, "", "shop"],
      ["clone", "wrong-password", "shop"],
      ["clone", CLONE_PASSWORD, "postgres"],
    ] as const)
      await expect(askClone(port, role, password, database, "SELECT 1"), `${role} ${database}`).rejects.toThrow(
        /authentication failed|no pg_hba.conf entry/,
      );
    for (const text of [result.stdout, result.stderr, ...textsIn(backup.folder)])
      expect(text).not.toContain(CLONE_PASSWORD);
    expect(statSync(join(backup.folder, "clone.json")).mode & 0o777).toBe(0o600);

    const again = await backup.clone(port, { mask });
    expect(`${again.stdout}${again.stderr}`).toContain("is a clone already");
    const { server } = JSON.parse(readFileSync(join(backup.folder, "open.json"), "utf8")) as {
      server: { pid: number };
    };
    process.kill(server.pid, "SIGKILL");
    const continued = await backup.clone(port, { mask: "this is no SQL" });
    expect(continued.exitCode, `${continued.stdout}${continued.stderr}`).toBe(0);
    expect(await ask("SELECT email FROM customers WHERE id = 0")).toBe("new");
    await backup.close();
    expect([existsSync(backup.folder), existsSync(backup.at)]).toEqual([false, false]);
  }, 300_000);

  test("one that fetches everything shares nothing, and has no hole in the end", async () => {
    const backup = opens("whole");
    const port = await freePort();
    const result = await backup.clone(port, { args: ["--keep-database=shop"] });
    expect(result.exitCode, `${result.stdout}${result.stderr}`).toBe(0);
    const path = join(backup.folder, "open.json");
    const state = JSON.parse(readFileSync(path, "utf8")) as { server: { pid: number } };
    process.kill(state.server.pid, "SIGKILL");
    // As an `open --fetch-all` that was interrupted leaves it.
    writeFileSync(path, JSON.stringify({ ...state, fetchesAll: true }));
    const continued = await backup.clone(port);
    expect(continued.exitCode, `${continued.stdout}${continued.stderr}`).toBe(0);
    await backup.untilWhole();
    const sum = "SELECT count(DISTINCT email) FROM customers";
    expect(await askClone(port, "clone", CLONE_PASSWORD, "shop", sum)).toBe(String(ROWS));
    await backup.close();
  }, 300_000);

  // claim: docs/clones.md: clones of one backup share the pages that they have only read, and the last one takes them
  test.runIf(NIGHTLY)(
    "clones of one backup share what they read",
    async () => {
      const answers: Answer[] = [];
      const count = 10;
      const clones: OpenedBackup[] = [];
      const sums: unknown[] = [];
      for (let number = 1; number <= count; number++) {
        const backup = opens(`many${number}`);
        const port = await freePort();
        const result = await backup.clone(port, { args: ["--keep-database=shop"] });
        expect(result.exitCode, `${result.stdout}${result.stderr}`).toBe(0);
        answers.push(JSON.parse(result.stdout) as Answer);
        clones.push(backup);
        // All of its pages come into this clone.
        sums.push(
          await askClone(
            port,
            "clone",
            CLONE_PASSWORD,
            "shop",
            "SELECT sum(hashtextextended(still::text, 0)) FROM still",
          ),
        );
      }
      expect(new Set(sums).size).toBe(1);
      const shared = join(bed.folder, ".shared");
      const [own, all] = [clones.map(({ folder }) => usedBytes(folder)), usedBytes(shared)];
      process.stderr.write(`clone: ${count} clones have ${own.join(", ")} bytes, and share ${all}\n`);
      const [{ totalBytes } = { totalBytes: 0 }] = answers;
      const used = answers.map(({ diskBytes, fetchedBytes }) => `${diskBytes} on the disk, ${fetchedBytes} fetched`);
      process.stderr.write(`clone: ${count} clones of a backup of ${totalBytes} bytes: ${used.join("; ")}\n`);
      const diskBytes = answers.reduce((sum, answer) => sum + answer.diskBytes, 0);
      expect(diskBytes).toBeLessThan((count * totalBytes) / 2);
      // A copy of the table in each clone would be more.
      const tableBytes = 100_000_000;
      expect(all).toBeGreaterThan(tableBytes);
      for (const bytes of own) expect(bytes).toBeLessThan(tableBytes);
      for (const backup of clones) {
        expect(existsSync(join(shared, "pages"))).toBe(true);
        await backup.close();
      }
      expect(existsSync(join(shared, "pages"))).toBe(false);
    },
    600_000,
  );
});

function askClone(port: number, user: string, password: string, database: string, sql: string): Promise<unknown> {
  return valueOf(new Client({ host: "127.0.0.1", port, user, password, database }), sql);
}

async function valueOf(client: Client, sql: string): Promise<unknown> {
  client.on("error", () => {});
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(sql);
    return Object.values(rows[0] ?? {})[0];
  } finally {
    await client.end();
  }
}

function usedBytes(directory: string): number {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  return names.reduce((sum, name) => sum + statSync(join(directory, name)).blocks * 512, 0);
}

/** Logs and settings of a clone. */
function textsIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => readFileSync(join(folder, name), "latin1"));
}
