/**
 * One row of `[target:file]`, the part of a manifest that grows with the database.
 *
 * Keys in file order: bi bic bim bni bno checksum checksum-page checksum-page-error group mode rck reference repo-size
 * size szo timestamp user. `bi` is in units of 8 KiB, `bic` is omitted when 6. Rows in this order are read without a
 * JSON parser, in half the time for a whole manifest. Errors: format (29). (pgBackRest 2.60 "info/manifest".)
 */
import { isFields } from "../../base/declaredTypes";
import { type TextPart, wholeText } from "../../base/bytes";
import { fail } from "../../base/errors";
import { SHA1_EMPTY } from "../../base/hash";
import type { ParsedEntry } from "./infoFile";
import { isArray, type JsonObject, type JsonValue, renderJson, renderString } from "./json";
import {
  defaultMode,
  type FileView,
  type ManifestFile,
  NO_OWNER,
  type OwnerName,
  type PageErrors,
  parseMode,
  parseOwner,
  type RowDefaults,
  renderMode,
} from "./manifestRows";

const BLOCK_UNIT_BYTES = 8192;
const BLOCK_CHECKSUM_SIZE_BYTES = 6;
const SHA1 = /^[0-9a-f]{40}$/;
const MODE = /^[0-7]{4}$/;
/** Escapes, and characters that JSON requires escaped. */
const UNUSUAL = /[\\\u0000-\u001f]/;
const SHA1_DIGITS = 40;
const DIGITS_MAX = 15;
const QUOTE = 0x22;
const COMMA = 0x2c;
const ZERO = 0x30;
const LETTER_A = 0x61;
const LETTER_F = 0x66;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** A row as in the file: the default section, which comes later, may supply the rest. */
export interface FileRow extends Omit<ManifestFile, "mode" | "user" | "group"> {
  mode: number | undefined;
  user: OwnerName | undefined;
  group: OwnerName | undefined;
}

/** The same row, completed with the defaults. `name` is for messages. @throws format */
export function completeRow(row: FileRow, defaults: RowDefaults, name: string): ManifestFile {
  row.mode ??= defaults.mode ?? defaultMode(defaults, `'${name}': file '${row.name}'`);
  if (row.user === undefined) row.user = defaults.user;
  if (row.group === undefined) row.group = defaults.group;
  if (row.user === undefined || row.group === undefined)
    throw fail("format", `'${name}': file '${row.name}': ${NO_OWNER}`);
  return row as ManifestFile;
}

/**
 * Reads rows with keys in stock's order; null for any other row, valid or not, which {@link parseFileRow} decides. For
 * one manifest.
 */
export class FileRowReader {
  #part: TextPart = wholeText("");
  #text = "";
  #at = 0;
  /** The text before the next key: a brace before the first one. */
  #before = OPENING_BRACE;
  #isRead = true;
  /** Most rows of an increment name the same backup. */
  #reference = "";

  /** The row `name` with its value at `begin` to `end` of `part`. */
  read(name: string, part: TextPart, begin: number, end: number): FileRow | null {
    const { text } = part;
    this.#part = part;
    this.#text = text;
    this.#at = begin;
    this.#before = OPENING_BRACE;
    this.#isRead = true;
    const blocks = this.#has('"bi":') ? this.#number() : null;
    const checksumSizeBytes = this.#has('"bic":') ? this.#number() : BLOCK_CHECKSUM_SIZE_BYTES;
    const mapSizeBytes = this.#has('"bim":') ? this.#number() : 0;
    const bundleId = this.#has('"bni":') ? this.#number() : null;
    const offsetBytes = this.#has('"bno":') ? this.#number() : 0;
    const checksum = this.#has('"checksum":"') ? this.#sha1() : "";
    const checksumPage = this.#has('"checksum-page":') ? this.#boolean() : null;
    const group = this.#has('"group":"') ? this.#string() : undefined;
    const mode = this.#has('"mode":"') ? this.#mode() : undefined;
    const sha1Repo = this.#has('"rck":"') ? this.#sha1() : null;
    const reference = this.#has('"reference":"') ? this.#label() : null;
    const sizeRepoBytes = this.#has('"repo-size":') ? this.#number() : null;
    const sizeBytes = this.#has('"size":') ? this.#number() : null;
    const sizeOriginalBytes = this.#has('"szo":') ? this.#number() : null;
    const modifiedAtS = this.#has('"timestamp":') ? this.#number() : null;
    const user = this.#has('"user":"') ? this.#string() : undefined;
    if (!this.#isRead || text.charCodeAt(this.#at) !== CLOSING_BRACE || this.#at + 1 !== end) return null;
    if (sizeBytes === null || modifiedAtS === null) return null;
    const file: Mutable<FileRow> = {
      name,
      sizeBytes,
      sizeRepoBytes: sizeRepoBytes ?? sizeBytes,
      sha1: sizeBytes === 0 ? SHA1_EMPTY : checksum,
      modifiedAtS,
      mode,
      user,
      group,
    };
    if (sizeOriginalBytes !== null) file.sizeOriginalBytes = sizeOriginalBytes;
    if (sha1Repo !== null) file.sha1Repo = sha1Repo;
    if (reference !== null) file.reference = reference;
    if (bundleId !== null) file.bundle = { id: bundleId, offsetBytes };
    if (blocks !== null) file.block = { sizeBytes: blocks * BLOCK_UNIT_BYTES, checksumSizeBytes, mapSizeBytes };
    if (checksumPage !== null) file.checksumPage = checksumPage;
    return file;
  }

  /** Skips the key if it is the next one. */
  #has(key: string): boolean {
    if (this.#text.charCodeAt(this.#at) !== this.#before || !this.#text.startsWith(key, this.#at + 1)) return false;
    this.#at += key.length + 1;
    this.#before = COMMA;
    return true;
  }

  /** A number that a double holds exactly. */
  #number(): number {
    const text = this.#text;
    const begin = this.#at;
    let value = 0;
    let at = begin;
    for (let char = text.charCodeAt(at); char >= ZERO && char <= ZERO + 9; char = text.charCodeAt(++at))
      value = value * 10 + (char - ZERO);
    const digits = at - begin;
    if (digits === 0 || digits > DIGITS_MAX || (digits > 1 && text.charCodeAt(begin) === ZERO)) this.#isRead = false;
    return this.#end(at, value);
  }

  /** After its opening quote, like every text. */
  #sha1(): string {
    const begin = this.#at;
    for (let at = begin; at < begin + SHA1_DIGITS; at++) {
      const char = this.#text.charCodeAt(at);
      if (!((char >= ZERO && char <= ZERO + 9) || (char >= LETTER_A && char <= LETTER_F))) this.#isRead = false;
    }
    return this.#quoted(begin + SHA1_DIGITS);
  }

  #mode(): number {
    const text = this.#string();
    if (MODE.test(text)) return Number.parseInt(text, 8);
    this.#isRead = false;
    return 0;
  }

  #label(): string {
    const known = this.#reference;
    const end = this.#at + known.length;
    if (known === "" || this.#text.charCodeAt(end) !== QUOTE || !this.#text.startsWith(known, this.#at))
      return (this.#reference = this.#string());
    return this.#end(end + 1, known);
  }

  #string(): string {
    const end = this.#text.indexOf('"', this.#at);
    const value = this.#quoted(end);
    if (UNUSUAL.test(value)) this.#isRead = false;
    return value;
  }

  #boolean(): boolean {
    const value = this.#text.startsWith("true", this.#at);
    if (!value && !this.#text.startsWith("false", this.#at)) this.#isRead = false;
    return this.#end(this.#at + (value ? 4 : 5), value);
  }

  /** The text up to its closing quote at `end`. */
  #quoted(end: number): string {
    if (this.#text.charCodeAt(end) !== QUOTE) this.#isRead = false;
    return this.#end(end + 1, this.#part.cut(this.#at, end));
  }

  #end<T>(at: number, value: T): T {
    this.#at = at;
    return value;
  }
}

/** @throws format */
export function parseFileRow(entry: ParsedEntry, defaults: RowDefaults, name: string): ManifestFile {
  const row = entry.value;
  const where = `'${name}': file '${entry.key}'`;
  if (!isFields(row)) throw fail("format", `${where}: expected an object`);
  const sizeBytes = integer(row, "size", where) ?? missing("size", where);
  const sizeOriginalBytes = integer(row, "szo", where);
  const sha1Repo = sha1(row, "rck", where);
  const reference = row.reference;
  if (reference !== undefined && typeof reference !== "string")
    throw fail("format", `${where}: expected a label in 'reference'`);
  const checksumPage = row["checksum-page"];
  if (checksumPage !== undefined && typeof checksumPage !== "boolean")
    throw fail("format", `${where}: expected true or false in 'checksum-page'`);
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

/** A row's JSON text, built by hand: there may be a million rows. */
export function renderFileRow(file: FileView, defaults: RowDefaults): string {
  const { block, bundle, pageErrors, sha1Repo, reference, sizeBytes, sizeOriginalBytes, sizeRepoBytes } = file;
  let text = "{";
  if (block !== undefined) {
    text += `"bi":${block.sizeBytes / BLOCK_UNIT_BYTES},`;
    if (block.checksumSizeBytes !== BLOCK_CHECKSUM_SIZE_BYTES) text += `"bic":${block.checksumSizeBytes},`;
    if (block.mapSizeBytes > 0) text += `"bim":${block.mapSizeBytes},`;
  }
  if (bundle !== undefined) {
    text += `"bni":${bundle.id},`;
    if (bundle.offsetBytes > 0) text += `"bno":${bundle.offsetBytes},`;
  }
  const checksum = sizeBytes > 0 ? file.sha1 : "";
  if (checksum !== "") text += `"checksum":"${checksum}",`;
  if (file.checksumPage !== undefined) text += `"checksum-page":${file.checksumPage},`;
  if (pageErrors !== undefined && pageErrors.length > 0) text += `"checksum-page-error":${renderJson(pageErrors)},`;
  if (file.group !== defaults.group) text += `"group":${renderJson(file.group ?? false)},`;
  if (file.mode !== defaults.mode) text += `"mode":"${renderMode(file.mode)}",`;
  if (sha1Repo !== undefined) text += `"rck":"${sha1Repo}",`;
  if (reference !== undefined) text += `"reference":${renderString(reference)},`;
  if (sizeRepoBytes !== sizeBytes) text += `"repo-size":${sizeRepoBytes},`;
  text += `"size":${sizeBytes},`;
  if (sizeOriginalBytes !== undefined && sizeOriginalBytes !== sizeBytes) text += `"szo":${sizeOriginalBytes},`;
  text += `"timestamp":${file.modifiedAtS}`;
  return file.user === defaults.user ? `${text}}` : `${text},"user":${renderJson(file.user ?? false)}}`;
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
  if (
    isArray(value) &&
    value.every((item) => isBlock(item) || (isArray(item) && item.length === 2 && item.every(isBlock)))
  )
    return value as PageErrors;
  throw fail("format", `${where}: expected block numbers and ranges in 'checksum-page-error'`);
}

function integer(row: JsonObject, key: string, where: string, min = 0): number | undefined {
  const value = row[key];
  if (value === undefined) return undefined;
  if (!Number.isSafeInteger(value) || (value as number) < min)
    throw fail("format", `${where}: expected an integer in '${key}'`);
  return value as number;
}

function sha1(row: JsonObject, key: string, where: string): string | undefined {
  const value = row[key];
  if (value === undefined) return undefined;
  if (typeof value !== "string" || !SHA1.test(value))
    throw fail("format", `${where}: expected 40 hexadecimal digits in '${key}'`);
  return value;
}

function missing(key: string, where: string): never {
  throw fail("format", `${where}: required '${key}' is missing`);
}
