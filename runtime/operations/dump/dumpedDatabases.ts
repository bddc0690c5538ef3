/** Which databases a dump has, and the programs that read them. */
import { shownText, textOf } from "../../base/bytes";
import { fail } from "../../base/errors";
import { connectionArgs, type DumpPrograms } from "../../postgres/programs";
import type { Session } from "../../postgres/session";

export interface SourceDatabase {
  /** May hold any bytes (base/bytes). */
  readonly name: string;
  readonly encoding: string;
}

type Address = Session["address"];

/** They hold nothing of the user's. */
const TEMPLATES: ReadonlySet<string> = new Set(["template0", "template1"]);

/**
 * The wanted ones; by default all that allow connections. A database whose DROP DATABASE was interrupted (limit -2)
 * takes none. A role other than a superuser gets those that it owns: others may have tables that it cannot read.
 * @throws optionInvalidValue (32) for one that does not exist or refuses connections; dbInvalid (81) without any
 */
export async function chooseDatabases(session: Session, wanted: readonly string[]): Promise<readonly SourceDatabase[]> {
  const { rows } = await session.query(
    "select pg_catalog.textsend(datname::text) as name, pg_catalog.pg_encoding_to_char(encoding)::text as encoding, datallowconn and datconnlimit <> -2 as allows, datconnlimit = -2 as dropped, pg_catalog.pg_has_role(datdba, 'USAGE') as owned from pg_catalog.pg_database order by datname",
  );
  const all = (rows as { name: Uint8Array; encoding: string; allows: boolean; dropped: boolean; owned: boolean }[]).map(
    ({ name, ...row }) => ({
      name: textOf(name),
      ...row,
    }),
  );
  const open = all.filter(({ allows }) => allows);
  const plain = ({ encoding, name }: SourceDatabase): SourceDatabase => ({ name, encoding });
  if (wanted.length === 0) {
    const chosen = open.filter(({ name, owned }) => owned && !TEMPLATES.has(name));
    if (chosen.length > 0) return chosen.map(plain);
    const whose = open.every(({ owned }) => owned) ? "" : ` of role '${session.address.user}'`;
    throw fail("dbInvalid", `no database${whose} allows connections, so there is nothing to dump`);
  }
  for (const name of wanted) {
    const known = all.find((database) => database.name === name);
    if (known?.allows !== true)
      throw fail("optionInvalidValue", `'${shownText(name)}' is not valid for 'database' option`, {
        hint: known?.dropped
          ? "Its DROP DATABASE was interrupted: repeat that."
          : known
            ? "pg_dump cannot connect to it: ALTER DATABASE … ALLOW_CONNECTIONS true."
            : `The server has: ${open.map((database) => shownText(database.name)).join(", ")}.`,
      });
  }
  return open.filter(({ name }) => wanted.includes(name)).map(plain);
}

/** @throws fileMissing (55) */
export async function requireDumpPrograms(programs: DumpPrograms): Promise<void> {
  for (const name of ["pg_dump", "pg_dumpall"])
    if (!(await programs.has(name)))
      throw fail("fileMissing", `'${programs.directory}/${name}' does not exist`, {
        hint: "Install the client package of the server's version, or set --bin-path to a directory with all programs.",
      });
}

/** What prints one database. */
export function databaseCommand(programs: DumpPrograms, address: Address, database: string): readonly string[] {
  const { host, port, user } = address;
  return programs.command("pg_dump", ["--format=custom", ...connectionArgs(host, port, user, database)]);
}

/** What prints roles and tablespaces. @param passwords only a superuser can read them */
export function globalsCommand(programs: DumpPrograms, address: Address, passwords: boolean): readonly string[] {
  const { database, host, port, user } = address;
  const server = [`--host=${host}`, `--port=${port}`, `--username=${user}`, "--no-password"];
  return programs.command("pg_dumpall", [
    "--globals-only",
    ...(passwords ? [] : ["--no-role-passwords"]),
    ...server,
    `--database=${database}`,
  ]);
}
