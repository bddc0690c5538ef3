/**
 * `dump.manifest`: what a logical dump consists of. A dump exists once this file does, so it is written last.
 *
 * ```
 * pgbackstop/<stanza>/dump/<label>/globals.sql        roles and tablespaces, of pg_dumpall
 * pgbackstop/<stanza>/dump/<label>/<database>.dump    of pg_dump --format=custom, which compresses
 * pgbackstop/<stanza>/dump/<label>/<database>.dump.2  the next part of a large one
 * pgbackstop/<stanza>/dump/<label>/dump.manifest
 * pgbackstop/<stanza>/dump/<label>.<digits>/…         the same of a copy by sync
 * ```
 * In an encrypted repository the passphrase of the other files is random, and only in this file, which the repository's
 * own passphrase encrypts. Fields are only added, so that readers can ignore unknown ones.
 */
import { compareBytes, textOf, utf8 } from "../../base/bytes";
import { isFields } from "../../base/declaredTypes";
import { fail } from "../../base/errors";
import { isArray, type JsonObject, type JsonValue, parseJson, renderJson } from "./json";

/** The content of one stream. */
export interface DumpContent {
  /** Size and hash of the plain stream. */
  readonly sizeBytes: number;
  readonly sha256: string;
  /** Stored sizes of the parts, in their order. */
  readonly partSizesBytes: readonly number[];
}

export interface DumpedDatabase extends DumpContent {
  /** May hold any bytes (base/bytes). */
  readonly name: string;
  readonly encoding: string;
}

export interface DumpManifest {
  readonly label: string;
  readonly startedAtS: number;
  readonly stoppedAtS: number;
  /** Major version, such as `18`. */
  readonly pgVersion: string;
  /** Such as 180001. */
  readonly versionNum: number;
  readonly systemId: bigint;
  /** Format of the databases' files. */
  readonly format: "custom";
  /** Ascending by name. */
  readonly databases: readonly DumpedDatabase[];
  readonly globals: DumpContent;
  /** Passphrase of the other files; null without encryption. */
  readonly cipherPass: string | null;
}

export const DUMP_MANIFEST = "dump.manifest";
export const GLOBALS_FILE = "globals.sql";

const VERSION = 1;
/** The start, and random digits: no two runs write one directory, whatever their clocks say. */
const LABEL = /^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)Z-[0-9a-f]{8}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/** Sorts by start: `20261121-051347Z-1a2b3c4d`. */
export function isDumpLabel(text: string): boolean {
  return LABEL.test(text);
}

/** A dump's directory has its label for a name, a copy's also digits of the run that made it: `LABEL.9f8e7d6c`. */
export function isDumpDirectory(text: string): boolean {
  return isDumpLabel(dumpLabelOf(text)) && /^[^.]+(\.[0-9a-f]{8})?$/.test(text);
}

export function dumpLabelOf(directory: string): string {
  return directory.split(".", 1)[0] ?? "";
}

/** Milliseconds since 1970; null for a text that is no label, or no time. */
export function dumpTimeMs(label: string): number | null {
  const [, year, month, day, hours, minutes, seconds] = LABEL.exec(label) ?? [];
  const timeMs = Date.parse(`${year}-${month}-${day}T${hours}:${minutes}:${seconds}Z`);
  return Number.isNaN(timeMs) ? null : timeMs;
}

/**
 * File name of a database's dump. Bytes other than small letters, digits, `_` and `-` are written as `=2f`: the name
 * cannot leave its directory, and two databases have two names where a file system ignores case.
 */
export function dumpFileName(database: string): string {
  const plain = Buffer.from(utf8(database)).toString("latin1");
  const escaped = plain.replace(/[^a-z0-9_-]/g, (byte) => `=${byte.charCodeAt(0).toString(16).padStart(2, "0")}`);
  return `${escaped}.dump`;
}

/** `part` begins at 1. */
export function dumpPartName(fileName: string, part: number): string {
  return part === 1 ? fileName : `${fileName}.${part}`;
}

/** One stream, stored in one file or in parts. */
export interface DumpFile {
  readonly fileName: string;
  readonly content: DumpContent;
}

export function dumpFiles({ databases, globals }: DumpManifest): readonly DumpFile[] {
  const ofDatabases = databases.map((content) => ({ fileName: dumpFileName(content.name), content }));
  return [{ fileName: GLOBALS_FILE, content: globals }, ...ofDatabases];
}

/** Names and stored sizes of all files besides the manifest. */
export function dumpParts(manifest: DumpManifest): ReadonlyMap<string, number> {
  return new Map(
    dumpFiles(manifest).flatMap(({ fileName, content }) =>
      content.partSizesBytes.map((sizeBytes, index) => [dumpPartName(fileName, index + 1), sizeBytes] as const),
    ),
  );
}

export function renderDumpManifest(manifest: DumpManifest): Uint8Array {
  const { cipherPass, databases, format, globals, label, pgVersion, startedAtS, stoppedAtS, systemId, versionNum } =
    manifest;
  const value: JsonObject = {
    version: VERSION,
    label,
    startedAtS,
    stoppedAtS,
    pgVersion,
    versionNum,
    systemId,
    format,
    databases: databases
      .toSorted((left, right) => compareBytes(left.name, right.name))
      .map(({ encoding, name, ...content }) => ({ name, encoding, ...contentJson(content) })),
    globals: contentJson(globals),
    ...(cipherPass === null ? {} : { cipherPass }),
  };
  return utf8(`${renderJson(value)}\n`);
}

/** @throws format (29) for another file or version, jsonFormat (99) */
export function parseDumpManifest(bytes: Uint8Array, fileName: string): DumpManifest {
  const wrong = (what: string): Error => fail("format", `'${fileName}' ${what}`, { path: fileName });
  const value = parseJson(textOf(bytes).trimEnd());
  if (!isFields(value) || value["version"] !== VERSION)
    throw wrong(`is not the manifest of a dump of version ${VERSION}`);
  const { cipherPass = null, databases, format, globals, label, pgVersion, systemId } = value;
  if (typeof label !== "string" || !isDumpLabel(label)) throw wrong("has no label");
  if (format !== "custom") throw wrong("is of an unknown format");
  if (typeof pgVersion !== "string" || (typeof systemId !== "bigint" && !isCount(systemId)))
    throw wrong("lacks the server's version or identifier");
  if (cipherPass !== null && (typeof cipherPass !== "string" || cipherPass === ""))
    throw wrong("has an empty passphrase");
  const count = (field: string): number => {
    const number = value[field];
    if (!isCount(number)) throw wrong(`lacks ${field}`);
    return number;
  };
  if (!isArray(databases)) throw wrong("lacks its databases");
  const names = new Set<string>();
  const dumped = databases.map((database): DumpedDatabase => {
    const { encoding, name } = isFields(database) ? database : {};
    if (typeof name !== "string" || name === "" || typeof encoding !== "string" || names.has(name))
      throw wrong("has a database without a name of its own");
    names.add(name);
    return { name, encoding, ...contentOf(database, wrong) };
  });
  return {
    label,
    startedAtS: count("startedAtS"),
    stoppedAtS: count("stoppedAtS"),
    pgVersion,
    versionNum: count("versionNum"),
    systemId: BigInt(systemId),
    format,
    databases: dumped,
    globals: contentOf(globals, wrong),
    cipherPass,
  };
}

function contentJson({ partSizesBytes, sha256, sizeBytes }: DumpContent): JsonObject {
  return { sizeBytes, sha256, partSizesBytes };
}

function contentOf(value: JsonValue | undefined, wrong: (what: string) => Error): DumpContent {
  const { partSizesBytes, sha256, sizeBytes } = isFields(value) ? value : {};
  const isWhole = isCount(sizeBytes) && typeof sha256 === "string" && SHA256.test(sha256) && isArray(partSizesBytes);
  if (!isWhole || partSizesBytes.length === 0 || !partSizesBytes.every(isCount))
    throw wrong("has a file without its size and hash");
  return { sizeBytes, sha256, partSizesBytes };
}

function isCount(value: JsonValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
