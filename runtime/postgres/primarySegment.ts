/**
 * Has the primary of a standby end its WAL segment, by the standby's own connection: libpq knows its password file,
 * certificates and services. The settings may contain a password, so psql reads them from its standard input.
 */
import { type ByteStream, utf8 } from "../base/bytes";
import { fail } from "../base/errors";
import { connectionArgs, type DumpPrograms, feedProgram } from "./programs";
import type { Session } from "./session";

/** psql has no limit of its own for a host that does not answer. */
const CONNECT_TIMEOUT_S = 10;

/** @throws execute (102) with psql's reason; dbQuery (57) for a role that may not read the standby's settings */
export async function endPrimarySegment(
  session: Pick<Session, "ownAddress" | "query">,
  programs: DumpPrograms,
  signal: AbortSignal,
): Promise<void> {
  const { rows } = await session.query("select setting from pg_catalog.pg_settings where name = 'primary_conninfo'");
  const [row] = rows as readonly { readonly setting: string }[];
  if (row === undefined || row.setting.trim() === "")
    throw fail("dbQuery", "the role cannot see primary_conninfo, or it is empty");
  const { host, port, user } = await session.ownAddress();
  const args = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", ...connectionArgs(host, port, user, "postgres")];
  const primary = `${row.setting} dbname=postgres connect_timeout=${CONNECT_TIMEOUT_S}`;
  const script = `\\connect -reuse-previous=off ${psqlText(primary)}\nselect pg_catalog.pg_switch_wal();\n`;
  const source = async function* (): ByteStream {
    yield utf8(script);
  };
  await feedProgram(programs.command("psql", args, true), source(), signal);
}

/** An argument of a meta-command (psql's documentation, "Meta-Commands"). */
function psqlText(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;
}
