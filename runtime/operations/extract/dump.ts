/** Dumps the side server's objects for pg_restore. The file gets its name only when it is complete and durable. */
import { open, rename, rm, stat } from "../../local/nodeFiles";
import { dirname } from "node:path";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { syncDirectory } from "../../local/atomicWrite";
import { nullIfMissing, systemError } from "../../local/systemError";
import type { Programs } from "../../postgres/programs";
import type { Session } from "../../postgres/session";
import { identifier, isThere, qualified, tablesOf, type Wanted, wantedText } from "./tableObjects";
import { databaseSizeOf, requireSpace, sizeOf } from "./extractSpace";

export interface DumpRequest {
  readonly side: Session;
  readonly programs: Programs;
  /** Options of pg_dump for the side server's database. */
  readonly connection: readonly string[];
  /** Null means the whole database. */
  readonly wanted: Wanted | null;
  readonly path: string;
}

/** @throws fileExists */
export async function requireNoFile(path: string): Promise<void> {
  if ((await nullIfMissing(stat(path))) !== null)
    throw fail("fileExists", `'${path}' already exists`, { hint: "Choose another file with --to-file." });
}

/** @throws optionInvalidValue when the objects do not exist; runtime without space; execute, fileWrite */
export async function writeDump(
  { connection, path, programs, side, wanted }: DumpRequest,
  ctx: Context,
): Promise<void> {
  const { sizeBytes, args } =
    wanted === null ? { sizeBytes: await databaseSizeOf(side), args: [] } : await partOf(side, wanted);
  await requireSpace(dirname(path), sizeBytes, "the dump", "Choose a file elsewhere with --to-file.");
  const temporary = `${path}.pgbackstop.tmp`;
  try {
    const handle = await open(temporary, "w", 0o600);
    try {
      // A pg_dump in a container does not see the file.
      const request = { signal: ctx.signal, output: handle.fd };
      const { code, stderr } = await programs.run("pg_dump", [...connection, "--format=custom", ...args], request);
      if (code !== 0) throw fail("execute", `pg_dump failed: ${stderr.trim()}`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw systemError("fileWrite", `write '${path}'`, path, error);
  }
}

async function partOf(
  side: Session,
  wanted: Wanted,
): Promise<{ readonly sizeBytes: number; readonly args: readonly string[] }> {
  if (!(await isThere(side, wanted)))
    throw fail("optionInvalidValue", `${wantedText(wanted)} does not exist at this target`);
  const tables = await tablesOf(side, wanted);
  const sizeBytes = await sizeOf(
    side,
    tables.map(({ oid }) => oid),
  );
  const args =
    wanted.table === null
      ? [`--schema=${identifier(wanted.schema)}`]
      : tables.map(({ name, schema }) => `--table=${qualified(schema, name)}`);
  return { sizeBytes, args };
}
