/** Opens a bed's backup as root, and reads what the opened server holds. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { findWholePostgres, type PostgresBinaries } from "../../../tools/parts/postgres/postgres";
import { run, type RunResult, start, type Started, type StartOptions } from "../../../tools/parts/process";
import { isRoot } from "../../../tools/parts/users";
import { skipped } from "./interopParts";
import { requireOk, type TestBed } from "./testBed";

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
