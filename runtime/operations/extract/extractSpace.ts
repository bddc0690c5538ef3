/**
 * Checks the free space before anything is written: for the side server, and for the restored objects in production or
 * in a dump.
 */
import { fail } from "../../base/errors";
import { formatSize } from "../../base/units";
import type { Manifest } from "../../format/repository/manifest";
import type { Session } from "../../postgres/session";
import { freeBytesAt } from "../recover/hostFacts";
import { selectDatabases } from "../restore/databases";

/** Overhead of a restored file system over the files' bytes. */
const FACTOR = 1.1;
/** WAL that the side server keeps during recovery, and its first own segments. */
const EXTRA_BYTES = 256 * 1024 * 1024;
/** A table is written as pages and again as WAL. */
const CARRIED_FACTOR = 2;

/** Space for the side server: files of other databases are holes. */
export function sideBytes(manifest: Manifest, include: readonly string[]): number {
  const { isZeroed } = selectDatabases(manifest, include, []);
  const sizeBytes = manifest.files.reduce((sum, file) => sum + (isZeroed(file.name) ? 0 : file.sizeBytes), 0);
  return Math.ceil(sizeBytes * FACTOR) + EXTRA_BYTES;
}

/** @throws runtime when the file system of `path` has less free space than `neededBytes`, which `what` describes */
export async function requireSpace(path: string, neededBytes: number, what: string, hint: string): Promise<void> {
  const { freeBytes } = await freeBytesAt(path);
  if (freeBytes >= neededBytes) return;
  throw fail("runtime", `'${path}' has ${formatSize(freeBytes)} free, ${what} needs ${formatSize(neededBytes)}`, {
    hint,
  });
}

/** Size of these relations with indexes and TOAST, on the side server. */
export async function sizeOf(side: Session, oids: readonly number[]): Promise<number> {
  const { rows } = await side.query(
    "select coalesce(sum(pg_total_relation_size(oid)), 0)::text as size from unnest($1::oid[]) oid",
    [[...oids]],
  );
  return Number((rows[0] as { size: string }).size);
}

export async function databaseSizeOf(side: Session): Promise<number> {
  const { rows } = await side.query("select pg_database_size(current_database())::text as size");
  return Number((rows[0] as { size: string }).size);
}

/** Null when production does not say. */
export async function dataDirectoryOf(production: Session): Promise<string | null> {
  // A role without the right to see it gets no row here; current_setting would be an error.
  const { rows } = await production.query("select setting as path from pg_settings where name = 'data_directory'");
  return (rows[0] as { path: string } | undefined)?.path ?? null;
}

/** Space that restored objects of this size need in production. */
export function carriedBytes(sizeBytes: number): number {
  return sizeBytes * CARRIED_FACTOR;
}

/** Production stops when its WAL has no space, so nothing begins that could fill the disk. @throws runtime */
export async function requireProductionSpace(dataDirectory: string, sizeBytes: number): Promise<void> {
  const hint = "Free space there, or write a dump elsewhere with --to-file.";
  await requireSpace(dataDirectory, carriedBytes(sizeBytes), "the restored data with their WAL", hint);
}
