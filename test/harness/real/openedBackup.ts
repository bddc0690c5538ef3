/** Opens a bed's backup as root, and reads what the opened server holds. */
import { existsSync, lstatSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Client } from "pg";
import { expect } from "vitest";
import type { StockPgbackrest } from "../../../tools/parts/debian/pgbackrest";
import { findWholePostgres, type PostgresBinaries } from "../../../tools/parts/postgres/postgres";
import { run, type RunResult, start, type Started, type StartOptions, waitFor } from "../../../tools/parts/process";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { isRoot } from "../../../tools/parts/users";
import { skipped } from "./interopParts";
import { requireOk, TestBed } from "./testBed";

/** What is missing to mount by FUSE; null if nothing is. */
export function fuseMissing(): string | null {
  if (!isRoot()) return "mounting by FUSE needs root";
  return existsSync("/dev/fuse") ? null : "/dev/fuse is missing: modprobe fuse, or give the container the device";
}

/** PostgreSQL 18, if backups can be mounted. Else null, and a skipped test that names `title`. */
export async function findMountingPostgres(title: string): Promise<PostgresBinaries | null> {
  const postgres = await findWholePostgres(18);
  const missing = fuseMissing() ?? ("missing" in postgres ? postgres.missing : null);
  if (missing === null && "binaries" in postgres) return postgres.binaries;
  return skipped(title, missing ?? "");
}

export const CLONE_PASSWORD = "marker-of-a-clone-password";

export class OpenedBackup {
  readonly at: string;
  readonly #bed: TestBed;
  readonly #config: string | undefined;

  constructor(bed: TestBed, name: string, config?: string) {
    this.#bed = bed;
    this.at = join(bed.folder, name);
    this.#config = config;
  }

  get folder(): string {
    return `${this.at}.pgbackstop`;
  }

  async run(args: readonly string[], runtime?: { readonly node: string; readonly file: string }): Promise<RunResult> {
    const { node } = runtime ?? this.#bed.runtime;
    const command = this.#bed.oursCommand([...args, `--at=${this.at}`], this.#config, runtime);
    const result = await run(node, command, { cwd: this.#bed.folder, timeoutMs: 300_000 });
    this.#bed.printed.push(result.stdout, result.stderr);
    return result;
  }

  /** Begins a command, and does not wait for its end. */
  start(args: readonly string[], options: Partial<StartOptions> = {}): Promise<Started> {
    const command = this.#bed.oursCommand([...args, `--at=${this.at}`], this.#config);
    return start(this.#bed.runtime.node, command, { logFile: `${this.at}.log`, ...options });
  }

  async open(args: readonly string[] = []): Promise<RunResult> {
    const all = ["open", `--bin-path=${this.#bed.cluster.binaries.folder}`, ...args];
    return requireOk(all.join(" "), await this.run(all));
  }

  async close(args: readonly string[] = []): Promise<RunResult> {
    return requireOk("close", await this.run(["close", ...args]));
  }

  /** Makes a clone that answers on `port`. The caller checks the exit code. */
  async clone(
    port: number,
    { args = [], mask }: { readonly args?: readonly string[]; readonly mask?: string } = {},
  ): Promise<RunResult> {
    const passwordFile = join(this.#bed.folder, "password");
    const maskFile = join(this.#bed.folder, "mask.sql");
    writeFileSync(passwordFile, `${CLONE_PASSWORD}\n`, { mode: 0o600 });
    if (mask !== undefined) writeFileSync(maskFile, mask);
    return this.run([
      "clone",
      `--bin-path=${this.#bed.cluster.binaries.folder}`,
      `--clone-port=${port}`,
      `--password-file=${passwordFile}`,
      ...(mask === undefined ? [] : [`--mask-file=${maskFile}`]),
      "--output=json",
      ...args,
    ]);
  }

  /** Every page is on this machine. */
  async untilWhole(): Promise<void> {
    await waitFor("everything", 60_000, async () =>
      (await this.#bed.ours(["status"])).stdout.includes(`in ${this.at}: everything is here`) ? true : null,
    );
  }

  /** A plain directory starts without FUSE, has these rows, and each page of it has a right checksum. */
  async becomesPlain(sums: string): Promise<void> {
    await this.untilWhole();
    const dataPath = join(this.#bed.folder, "side", basename(this.at));
    const moved = await this.close([`--move-to=${dataPath}`, `--tablespace-map-all=${dataPath}-spaces`]);
    expect(moved.stdout).toContain(`pg_ctl -D ${dataPath} start`);
    expect(lstatSync(join(dataPath, "pg_wal")).isDirectory()).toBe(true);
    const { binaries } = this.#bed.cluster;
    const plain = TestCluster.adopt({ binaries, dataPath });
    try {
      await plain.start();
      expect(await plain.value(TABLE_SUMS, [], "shop")).toBe(sums);
      expect(await plain.value("SHOW archive_mode")).toBe("off");
      await plain.stop();
      const checked = await run(join(binaries.folder, "pg_checksums"), ["--check", "-D", dataPath], {
        user: plain.user,
      });
      expect(checked.stdout).toMatch(/Bad checksums: +0$/m);
    } finally {
      await plain.remove();
    }
  }

  async connect(database: string): Promise<Client> {
    const client = new Client({ host: this.folder, port: 5499, user: this.#bed.cluster.superuser, database });
    client.on("error", () => {});
    await client.connect();
    return client;
  }

  async value(query: string, database = "postgres"): Promise<string> {
    const client = await this.connect(database);
    try {
      const { rows } = await client.query<Record<string, unknown>>(query);
      return String(Object.values(rows[0] ?? {})[0]);
    } finally {
      await client.end();
    }
  }
}

/** Rows and checksum of each table of a database, one line each. */
export const TABLE_SUMS = `
  SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
    SELECT c.oid::regclass || ' ' || (xpath('/row/s/text()', query_to_xml(
      format('SELECT count(*) || '':'' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) AS s FROM %s t', c.oid::regclass),
      false, true, '')))[1]::text AS line
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('information_schema', 'pg_toast', 'pg_catalog')) lines`;

export interface BedWithForms {
  readonly bed: TestBed;
  /** {@link TABLE_SUMS} of the database `shop` at the restore point `before`. */
  readonly atPoint: string;
  /** The same at the end of the archive. */
  readonly expected: string;
}

/** Large enough for files that stream and for several super blocks. */
const ROWS = 60_000;

/** A database of some kinds of files, and chains of backups in each form: ours in repo1 to 3, stock's in 4 and 5. */
export async function bedWithForms(binaries: PostgresBinaries, stock: StockPgbackrest): Promise<BedWithForms> {
  const bed = await TestBed.create({
    binaries,
    repos: [
      { compressType: "zst", options: { bundle: "y", block: "y" } },
      { compressType: "lz4", encrypted: true, options: { bundle: "y", block: "y" } },
      { compressType: "zst", encrypted: true },
      { compressType: "zst", options: { bundle: "y", block: "y" } },
      { compressType: "gz" },
    ],
  });
  try {
    return { bed, ...(await fillWithForms(bed, stock)) };
  } catch (error) {
    await bed.remove();
    throw error;
  }
}

async function fillWithForms(bed: TestBed, stock: StockPgbackrest): Promise<Omit<BedWithForms, "bed">> {
  const { cluster } = bed;
  await bed.startWithStanza();
  await cluster.sql(`CREATE TABLESPACE space LOCATION '${join(bed.folder, "tablespace")}'`);
  await cluster.sql("CREATE DATABASE shop");
  await cluster.sql("CREATE TABLE orders (id int PRIMARY KEY, filler text)", [], "shop");
  await cluster.sql("CREATE TABLE placed (id int) TABLESPACE space", [], "shop");
  const insert = "INSERT INTO orders SELECT i, repeat(md5(i::text), 8) FROM generate_series($1::int, $2::int) i";
  await cluster.sql(insert, [1, ROWS], "shop");
  await cluster.sql("INSERT INTO placed SELECT generate_series(1, 1000)", [], "shop");
  // Recovery brings no page of it: all come from the backup.
  await cluster.sql(
    "CREATE TABLE still AS SELECT i, md5(i::text) AS filler FROM generate_series(1, 30000) i",
    [],
    "shop",
  );
  await cluster.sql("VACUUM (FREEZE, ANALYZE) still", [], "shop");
  await bed.oursOk(["backup", "--type=full", "--repos=1,2,3"]);
  for (const repo of [4, 5]) await bed.stockOk(stock, ["backup", "--type=full", `--repo=${repo}`]);
  await cluster.sql("UPDATE orders SET filler = repeat('u', 200) WHERE id % 7 = 0 AND id < 20000", [], "shop");
  await bed.oursOk(["backup", "--type=diff", "--repos=1,2,3"]);
  for (const repo of [4, 5]) await bed.stockOk(stock, ["backup", "--type=incr", `--repo=${repo}`]);
  await cluster.sql("DELETE FROM orders WHERE id % 11 = 0 AND id > 30000", [], "shop");
  await bed.oursOk(["backup", "--type=incr", "--repos=1,2,3"]);
  const atPoint = await cluster.value(TABLE_SUMS, [], "shop");
  await cluster.sql("SELECT pg_create_restore_point('before')");
  await cluster.sql(insert, [ROWS + 1, ROWS + 3000], "shop");
  await bed.archiveAll();
  return { atPoint, expected: await cluster.value(TABLE_SUMS, [], "shop") };
}
