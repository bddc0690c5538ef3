/** Dumps the side server's objects for pg_restore. The file gets its name only when it is complete and durable. */
import { link, lstat, open, rename, rm, unlink } from "../../local/nodeFiles";
import { dirname } from "node:path";
import type { Context } from "../../base/context";
import { BackupError, fail } from "../../base/errors";
import { NO_MORE_NAMES, syncDirectory } from "../../local/atomicWrite";
import { nullIfMissing, systemCodeOf, systemError } from "../../local/systemError";
import type { Programs } from "../../postgres/programs";
import type { Session } from "../../postgres/session";
import { identifier, isThere, qualified, tablesOf, type Wanted, wantedText } from "./tableObjects";
import { oidColumns, referredObjects, referredText } from "./largeObjects";
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

const TEMPORARY = ".pgbackstop.tmp";

/** @throws fileExists */
export async function requireNoFile(path: string): Promise<void> {
  if ((await nullIfMissing(lstat(path))) !== null)
    throw fail("fileExists", `'${path}' already exists`, { hint: "Choose another file with --to-file." });
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
  const temporary = `${path}${TEMPORARY}`;
  try {
    // Of a killed run.
    await rm(temporary, { force: true });
    const handle = await open(temporary, "wx", 0o600);
    let number: number;
    try {
      // A pg_dump in a container does not see the file.
      const request = { signal: ctx.signal, output: handle.fd };
      const { code, stderr } = await programs.run("pg_dump", [...connection, "--format=custom", ...args], request);
      if (code !== 0) throw fail("execute", `pg_dump failed: ${stderr.trim()}`);
      await handle.sync();
      number = (await handle.stat()).ino;
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
    if ((await nullIfMissing(lstat(temporary)))?.ino !== number)
      throw fail("fileWrite", `another process has replaced '${temporary}'`, { path: temporary });
    await giveName(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    throw error instanceof BackupError ? error : systemError("fileWrite", `write '${path}'`, path, error);
  }
  for (const note of notes) ctx.log.warn(note);
}

/** A rename would replace a file that appeared since the run began; a link does not. */
async function giveName(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") throw appeared(temporary, path);
    if (!NO_MORE_NAMES.has(systemCodeOf(error) ?? "")) throw error;
    if ((await nullIfMissing(lstat(path))) !== null) throw appeared(temporary, path);
    await rename(temporary, path);
    return;
  }
  await unlink(temporary);
}

function appeared(temporary: string, path: string): Error {
  return fail("fileExists", `'${path}' already exists: it was made while the dump was written`, {
    hint: `The dump is complete: rename '${temporary}'.`,
  });
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
