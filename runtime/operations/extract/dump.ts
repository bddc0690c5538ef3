/** Dumps the side server's objects for pg_restore. The file gets its name only when it is complete and durable. */
import { dirname } from "node:path";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import type { Programs } from "../../postgres/programs";
import type { Session } from "../../postgres/session";
import { identifier, isThere, qualified, tablesOf, type Wanted, wantedText } from "./tableObjects";
import { oidColumns, referredObjects, referredText } from "./largeObjects";
import { writeNewFile } from "../shared/newFile";
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

/**
 * It replaces no file that appeared since the run began.
 * @throws optionInvalidValue when the objects do not exist; runtime without space; execute, fileExists, fileWrite
 */
export async function writeDump(
  { connection, path, programs, side, wanted }: DumpRequest,
  ctx: Context,
): Promise<void> {
  const { sizeBytes, args, notes } =
    wanted === null ? { sizeBytes: await databaseSizeOf(side), args: [], notes: [] } : await partOf(side, wanted);
  await requireSpace(dirname(path), sizeBytes, "the dump", "Choose a file elsewhere with --to-file.");
  await writeNewFile(path, async ({ fd }) => {
    // A pg_dump in a container does not see the file.
    const request = { signal: ctx.signal, output: fd };
    const { code, stderr } = await programs.run("pg_dump", [...connection, "--format=custom", ...args], request);
    if (code !== 0) throw fail("execute", `pg_dump failed: ${stderr.trim()}`);
  });
  for (const note of notes) ctx.log.warn(note);
}

async function partOf(
  side: Session,
  wanted: Wanted,
): Promise<{ readonly sizeBytes: number; readonly args: readonly string[]; readonly notes: readonly string[] }> {
  if (!(await isThere(side, wanted)))
    throw fail("optionInvalidValue", `${wantedText(wanted)} does not exist at this target`);
  const tables = await tablesOf(side, wanted);
  const oids = tables.map(({ oid }) => oid);
  const sizeBytes = await sizeOf(side, oids);
  const notes = referredText(await referredObjects(side, await oidColumns(side, oids)), null);
  const args =
    wanted.table === null
      ? [`--schema=${identifier(wanted.schema)}`]
      : tables.map(({ name, schema }) => `--table=${qualified(schema, name)}`);
  return { sizeBytes, args, notes };
}
