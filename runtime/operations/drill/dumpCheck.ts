/**
 * The check of a drill that loads a logical dump into the restored server, database by database, and fails if
 * pg_restore reports any error. It omits owners, grants and tablespaces, which the drill's server may not have.
 */
import { shownText } from "../../base/bytes";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { connectionArgs, feedProgram } from "../../postgres/programs";
import type { Repository } from "../../repository/repository";
import { chooseDump, readVerified } from "../dump/readDump";
import { requireSpace } from "../extract/extractSpace";
import { literal, qualified } from "../extract/tableObjects";
import type { CheckInput, Outcome } from "./checks";

const DATABASE = "pgbackstop_dump";
/** A database's pages and its WAL. */
const SPACE_FACTOR = 2;
/** How much a compressed stream grows, where the restored server has no such database to compare. */
const UNPACKED_FACTOR = 8;
const ARGS = [
  "--exit-on-error",
  "--no-owner",
  "--no-privileges",
  "--no-tablespaces",
  "--no-publications",
  "--no-subscriptions",
];

export interface DumpCheckInput extends Pick<CheckInput, "host" | "port" | "programs" | "server" | "session" | "user"> {
  /** The drilled one: no other one hides what it lacks. */
  readonly repo: Repository;
  /** A label, or `latest`. */
  readonly dump: string;
  /** The drill's directory. */
  readonly path: string;
}

/** @throws backupSetInvalid (75) without the dump; checksum, execute, runtime */
export async function checkDumpLoads(input: DumpCheckInput, ctx: Context): Promise<Outcome> {
  const { dump, path, programs, repo, session } = input;
  if (!(await programs.has("pg_restore")))
    throw fail("fileMissing", `'${programs.directory}/pg_restore' does not exist`, {
      hint: "Install the client package of the server's version.",
    });
  const {
    copies: [copy],
    manifest: { databases, label },
  } = await chooseDump([repo], dump);
  let [tableCount, rowCount] = [0, 0];
  for (const { encoding, name, sizeBytes } of databases) {
    const known = await databaseSize(input, name);
    const neededBytes = Math.max(known, sizeBytes * UNPACKED_FACTOR) * SPACE_FACTOR;
    await requireSpace(path, neededBytes, `database ${shownText(name)}`, "Choose another directory with --drill-path.");
    await session.query(`drop database if exists ${DATABASE}`);
    await session.query(`create database ${DATABASE} template template0 encoding ${literal(encoding)} locale 'C'`);
    try {
      const { host, port, user } = input;
      const command = programs.command("pg_restore", [...ARGS, ...connectionArgs(host, port, user, DATABASE)], true);
      if (copy !== undefined) await feedProgram(command, readVerified(copy, name), ctx.signal);
      const loaded = await countLoaded(input);
      tableCount += loaded.tables;
      rowCount += loaded.rows;
    } finally {
      await session.query(`drop database if exists ${DATABASE} with (force)`).catch(() => {});
    }
  }
  return {
    verdict: "ok",
    text: `dump ${label}: databases loaded: ${databases.length}, tables: ${tableCount}, rows: ${rowCount}`,
  };
}

/** Size in the restored server; 0 if it does not have it. */
async function databaseSize({ session }: DumpCheckInput, name: string): Promise<number> {
  const { rows } = await session.query(
    "select coalesce(max(pg_database_size(oid)), 0)::text as size from pg_database where datname = $1",
    [name],
  );
  return Number((rows[0] as { size: string }).size);
}

/** From statistics: the rows that pg_restore has loaded were counted already. */
async function countLoaded({ server }: DumpCheckInput): Promise<{ readonly tables: number; readonly rows: number }> {
  const loaded = await server.connect(DATABASE);
  try {
    const listed = await loaded.query("select schemaname as schema, relname as name from pg_stat_user_tables");
    const tables = listed.rows as { schema: string; name: string }[];
    let rowCount = 0;
    // The server's statistics come later than the rows.
    for (const { name, schema } of tables) {
      const { rows } = await loaded.query(`select count(*)::text as rows from only ${qualified(schema, name)}`);
      rowCount += Number((rows[0] as { rows: string }).rows);
    }
    return { tables: tables.length, rows: rowCount };
  } finally {
    await loaded.close();
  }
}
