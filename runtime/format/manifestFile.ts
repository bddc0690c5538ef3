/**
 * One row of `[target:file]`, the part of a manifest that grows with the database.
 *
 * Keys in the order of the file: bi bic bim bni bno checksum checksum-page checksum-page-error group mode rck reference repo-size size szo
 * timestamp user. `bi` counts 8 KiB, `bic` is left out when 6. Errors: format (29). (pgBackRest 2.60 "info/manifest".)
 */
import { fail } from "../base/errors";
import { SHA1_EMPTY } from "../base/hash";
import type { ParsedEntry } from "./info";
import { isArray, isObject, type JsonObject, type JsonValue, renderObject } from "./json";
import { defaultMode, type ManifestFile, type PageErrors, parseMode, parseOwner, type RowDefaults, rowDifferences } from "./manifestRows";

const BLOCK_UNIT_BYTES = 8192;
const BLOCK_CHECKSUM_SIZE_BYTES = 6;
const SHA1 = /^[0-9a-f]{40}$/;

/** @throws format */
export function parseFileRow(entry: ParsedEntry, defaults: RowDefaults, name: string): ManifestFile {
  const row = entry.value;
  const where = `'${name}': file '${entry.key}'`;
  if (!isObject(row)) throw fail("format", `${where}: expected an object`);
  const sizeBytes = integer(row, "size", where) ?? missing("size", where);
  const sizeOriginalBytes = integer(row, "szo", where);
  const sha1Repo = sha1(row, "rck", where);
  const reference = row.reference;
  if (reference !== undefined && typeof reference !== "string") throw fail("format", `${where}: expected a label in 'reference'`);
  const checksumPage = row["checksum-page"];
  if (checksumPage !== undefined && typeof checksumPage !== "boolean") throw fail("format", `${where}: expected true or false in 'checksum-page'`);
  const pageErrors = row["checksum-page-error"];
  const mode = row.mode;
  if (mode !== undefined && typeof mode !== "string") throw fail("format", `${where}: expected a string in 'mode'`);
  const block = parseBlock(row, where);
  const bundle = parseBundle(row, where);
  return {
    name: entry.key,
    sizeBytes,
    ...(sizeOriginalBytes === undefined ? undefined : { sizeOriginalBytes }),
    sizeRepoBytes: integer(row, "repo-size", where) ?? sizeBytes,
    sha1: sizeBytes === 0 ? SHA1_EMPTY : (sha1(row, "checksum", where) ?? ""),
    ...(sha1Repo === undefined ? undefined : { sha1Repo }),
    modifiedAtS: integer(row, "timestamp", where, Number.MIN_SAFE_INTEGER) ?? missing("timestamp", where),
    mode: mode === undefined ? defaultMode(defaults, where) : parseMode(mode, where),
    ...parseOwner({ user: row.user, group: row.group }, defaults, where),
    ...(reference === undefined ? undefined : { reference }),
    ...(bundle === undefined ? undefined : { bundle }),
    ...(block === undefined ? undefined : { block }),
    ...(checksumPage === undefined ? undefined : { checksumPage }),
    ...(pageErrors === undefined ? undefined : { pageErrors: parsePageErrors(pageErrors, where) }),
  };
}

export function renderFileRow(file: ManifestFile, defaults: RowDefaults): string {
  const fields: [string, JsonValue][] = [];
  if (file.block !== undefined) {
    fields.push(["bi", file.block.sizeBytes / BLOCK_UNIT_BYTES]);
    if (file.block.checksumSizeBytes !== BLOCK_CHECKSUM_SIZE_BYTES) fields.push(["bic", file.block.checksumSizeBytes]);
    if (file.block.mapSizeBytes > 0) fields.push(["bim", file.block.mapSizeBytes]);
  }
  if (file.bundle !== undefined) {
    fields.push(["bni", file.bundle.id]);
    if (file.bundle.offsetBytes > 0) fields.push(["bno", file.bundle.offsetBytes]);
  }
  if (file.sizeBytes > 0 && file.sha1 !== "") fields.push(["checksum", file.sha1]);
  if (file.checksumPage !== undefined) fields.push(["checksum-page", file.checksumPage]);
  if (file.pageErrors !== undefined && file.pageErrors.length > 0) fields.push(["checksum-page-error", file.pageErrors]);
  const owned = rowDifferences(file, defaults);
  const user = owned.at(-1)?.[0] === "user" ? owned.pop() : undefined;
  fields.push(...owned);
  if (file.sha1Repo !== undefined) fields.push(["rck", file.sha1Repo]);
  if (file.reference !== undefined) fields.push(["reference", file.reference]);
  if (file.sizeRepoBytes !== file.sizeBytes) fields.push(["repo-size", file.sizeRepoBytes]);
  fields.push(["size", file.sizeBytes]);
  if (file.sizeOriginalBytes !== undefined && file.sizeOriginalBytes !== file.sizeBytes) fields.push(["szo", file.sizeOriginalBytes]);
  fields.push(["timestamp", file.modifiedAtS]);
  if (user !== undefined) fields.push(user);
  return renderObject(fields);
}

function parseBlock(row: JsonObject, where: string): ManifestFile["block"] {
  const blocks = integer(row, "bi", where);
  if (blocks === undefined) return undefined;
  return {
    sizeBytes: blocks * BLOCK_UNIT_BYTES,
    checksumSizeBytes: integer(row, "bic", where) ?? BLOCK_CHECKSUM_SIZE_BYTES,
    mapSizeBytes: integer(row, "bim", where) ?? 0,
  };
}

function parseBundle(row: JsonObject, where: string): ManifestFile["bundle"] {
  const id = integer(row, "bni", where);
  return id === undefined ? undefined : { id, offsetBytes: integer(row, "bno", where) ?? 0 };
}

function parsePageErrors(value: JsonValue, where: string): PageErrors {
  const isBlock = (item: JsonValue): boolean => Number.isSafeInteger(item);
  if (isArray(value) && value.every((item) => isBlock(item) || (isArray(item) && item.length === 2 && item.every(isBlock))))
    return value as PageErrors;
  throw fail("format", `${where}: expected block numbers and ranges in 'checksum-page-error'`);
}

function integer(row: JsonObject, key: string, where: string, min = 0): number | undefined {
  const value = row[key];
  if (value === undefined) return undefined;
  if (!Number.isSafeInteger(value) || (value as number) < min) throw fail("format", `${where}: expected an integer in '${key}'`);
  return value as number;
}

function sha1(row: JsonObject, key: string, where: string): string | undefined {
  const value = row[key];
  if (value === undefined) return undefined;
  if (typeof value !== "string" || !SHA1.test(value)) throw fail("format", `${where}: expected 40 hexadecimal digits in '${key}'`);
  return value;
}

function missing(key: string, where: string): never {
  throw fail("format", `${where}: required '${key}' is missing`);
}
