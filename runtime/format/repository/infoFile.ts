/**
 * The syntax shared by archive.info, backup.info and backup.manifest: a strict INI text with JSON values and a
 * checksum.
 *
 * `[section]`, `key=value` without spaces, one blank line between sections. The first section is `[backrest]` with
 * format and version, the last one `[backrest]` with `backrest-checksum` (SHA-1). A key is raw text and may contain
 * `=`. Sections and keys ascend by bytes, except that `[backrest]` comes first and `[db:history]` is numeric.
 * (pgBackRest 2.60 "info/info", "common/ini".)
 */
import { compareBytes, freeMemory, type TextPart, textOf, utf8, wholeText } from "../../base/bytes";
import { createHash } from "node:crypto";
import { fail } from "../../base/errors";
import { type JsonValue, renderJson, renderString, tryParseJson } from "./json";

/** The `backrest-version` that this program writes: the stock release whose files it matches. */
export const BACKREST_VERSION = "2.60.0";
/** The repository format that this program reads and writes. */
export const BACKREST_FORMAT = 5;

export interface InfoEntry {
  readonly section: string;
  readonly key: string;
  /** The JSON text exactly as in the file. */
  readonly valueText: string;
}

/** An entry as read, its value parsed. */
export interface ParsedEntry extends InfoEntry {
  readonly value: JsonValue;
}

/** Texts are assembled from pieces of this size. */
const CHUNK_CHARS = 65_536;
const OPENING_BRACE = 0x7b;
const FORMAT_HINT =
  "Repositories of another format (6 is a hidden option of pgBackRest 2.60) cannot be read or written by pgbackstop.";

/** Takes the rows of one large section as they arrive, so that the text itself is not kept. */
export interface RowReader {
  readonly section: string;
  /** Takes the row with its value at `begin` to `end` of `part`; false leaves it to the JSON parser. */
  read(key: string, part: TextPart, begin: number, end: number): boolean;
  /** Takes a row that `read` refused. */
  readParsed(entry: ParsedEntry): void;
}

/**
 * All entries in file order, except `backrest-checksum` and those that `rows` takes; those of `[backrest]` are format
 * and version. `name` is for messages.
 * @throws format (29) for broken syntax or another repository format, checksum (26) when the content does not match its
 * checksum.
 */
export function parseInfo(text: string, name: string, rows?: RowReader): ParsedEntry[] {
  const reader = new InfoReader(name, rows);
  reader.add(wholeText(text));
  return reader.finish();
}

/** {@link parseInfo} for a text in parts, without keeping them. */
export class InfoReader {
  readonly #name: string;
  readonly #rows: RowReader | undefined;
  readonly #entries: ParsedEntry[] = [];
  readonly #checksum = new InfoChecksum();
  #section: string | undefined;
  /** Keys by section, except those of taken rows. */
  readonly #keys = new Map<string, Set<string>>();
  #expected: JsonValue | undefined;
  #lineNo = 0;

  constructor(name: string, rows?: RowReader) {
    this.#name = name;
    this.#rows = rows;
  }

  /** Takes complete lines. @throws format */
  add(part: TextPart): void {
    const { text } = part;
    for (let begin = 0, next = 0; begin < text.length; begin = next) {
      const lineEnd = text.indexOf("\n", begin);
      const end = lineEnd === -1 ? text.length : lineEnd;
      next = end + 1;
      this.#lineNo++;
      if (end === begin) continue;
      const taker = this.#rows !== undefined && this.#section === this.#rows.section ? this.#rows : null;
      if (taker === null || !takeRow(taker, this.#checksum, part, begin, end))
        this.#addLine(part.cut(begin, end), taker);
    }
  }

  /** @throws format, checksum */
  finish(): ParsedEntry[] {
    checkChecksum(this.#checksum.hex(), this.#expected, this.#name);
    if (!this.#entries.some((entry) => entry.section === "backrest" && entry.key === "backrest-format")) {
      throw fail("format", `'${this.#name}' has no backrest-format`);
    }
    return this.#entries;
  }

  #addLine(line: string, taker: RowReader | null): void {
    if (line.startsWith("[") && line.endsWith("]")) {
      this.#section = line.slice(1, -1);
      return;
    }
    const section = this.#section;
    if (section === undefined) {
      throw fail("format", `'${this.#name}' line ${this.#lineNo}: key/value found outside of a section`, {
        hint: "Is or was the repository encrypted?",
      });
    }
    const entry = parseLine(line, section);
    if (entry === null)
      throw fail(
        "format",
        `'${this.#name}' line ${this.#lineNo}: expected 'key=value' with a JSON value in section '${section}'`,
      );
    if (section === "backrest" && entry.key === "backrest-checksum") {
      this.#expected = entry.value;
      return;
    }
    if (section === "backrest" && entry.key === "backrest-format") checkFormat(entry.value, this.#name);
    this.#checksum.add(entry);
    if (taker !== null) return taker.readParsed(entry);
    this.#requireNew(entry);
    this.#entries.push(entry);
  }

  /** With a duplicate key, different readers would use different values. @throws format */
  #requireNew({ section, key }: ParsedEntry): void {
    let keys = this.#keys.get(section);
    if (keys === undefined) this.#keys.set(section, (keys = new Set()));
    if (keys.has(key))
      throw fail("format", `'${this.#name}' line ${this.#lineNo}: key '${key}' is twice in section '${section}'`);
    keys.add(key);
  }
}

/** False for a row of unusual form. */
function takeRow(rows: RowReader, checksum: InfoChecksum, part: TextPart, begin: number, end: number): boolean {
  const { text } = part;
  for (let split = text.indexOf("=", begin); split > begin && split < end; split = text.indexOf("=", split + 1)) {
    const char = text.charCodeAt(split + 1);
    if (!mayBeginJson(char)) continue;
    const key = part.cut(begin, split);
    if (char !== OPENING_BRACE || !rows.read(key, part, split + 1, end)) return false;
    checksum.add({ section: rows.section, key, valueText: text.slice(split + 1, end) });
    return true;
  }
  return false;
}

/** The file's text: the entries in the given order and the checksum. Entries of one section must be adjacent. */
export function renderInfo(entries: Iterable<InfoEntry>): string {
  return textOf(renderInfoBytes(entries));
}

/**
 * The same as bytes, assembled outside V8's heap, where a text of 200,000 rows would exist three times. `sizeBytes` is
 * the approximate size.
 */
export function renderInfoBytes(entries: Iterable<InfoEntry>, sizeBytes = CHUNK_CHARS): Uint8Array {
  let whole = Buffer.allocUnsafeSlow(sizeBytes);
  let filledBytes = 0;
  for (const text of textsOf(entries)) {
    const bytes = utf8(text);
    const neededBytes = filledBytes + bytes.length;
    if (neededBytes > whole.length) {
      const grown = Buffer.allocUnsafeSlow(Math.ceil(neededBytes * 1.25));
      whole.copy(grown, 0, 0, filledBytes);
      whole = grown;
    }
    whole.set(bytes, filledBytes);
    filledBytes = neededBytes;
  }
  return whole.subarray(0, filledBytes);
}

/** The same in parts, without keeping them. */
export function* renderInfoParts(entries: Iterable<InfoEntry>): Iterable<Uint8Array> {
  for (const text of textsOf(entries)) yield utf8(text);
}

/** The file's text in larger pieces. */
function* textsOf(entries: Iterable<InfoEntry>): Iterable<string> {
  const checksum = new InfoChecksum();
  let pending = "";
  let section: string | undefined;
  let previousKey: string | undefined;
  for (const entry of entries) {
    const { key, valueText } = entry;
    if (entry.section !== section) {
      pending += section === undefined ? `[${entry.section}]\n` : `\n[${entry.section}]\n`;
      section = entry.section;
    } else if (key === previousKey) {
      throw fail("assert", `key '${key}' is twice in section '${section}'`);
    }
    if (key === "" || valueText.startsWith("[") || valueText.includes("\n"))
      throw fail("assert", `entry '${key}' cannot be written`);
    if (key.includes("\n"))
      throw fail(
        "format",
        `name ${JSON.stringify(key)} holds a line feed, which the repository format cannot express`,
        {
          hint: "Rename it, or leave its directory out with the option exclude.",
        },
      );
    pending += `${key}=${valueText}\n`;
    checksum.add(entry);
    previousKey = key;
    if (pending.length < CHUNK_CHARS) continue;
    yield pending;
    pending = "";
  }
  yield `${pending}\n[backrest]\nbackrest-checksum="${checksum.hex()}"\n`;
}

/** The two entries at the start of every info file. */
export function headEntries(backrestVersion: string): InfoEntry[] {
  return [
    { section: "backrest", key: "backrest-format", valueText: String(BACKREST_FORMAT) },
    { section: "backrest", key: "backrest-version", valueText: renderString(backrestVersion) },
  ];
}

/** `known` (in file order) with `other` at its position by byte order. `[backrest]` stays first. */
export function mergeEntries(known: readonly InfoEntry[], other: readonly InfoEntry[]): readonly InfoEntry[] {
  if (other.length === 0) return known;
  const sections = new Map<string, InfoEntry[]>();
  for (const entry of known) sectionOf(sections, entry.section).push(entry);
  for (const entry of other) sectionOf(sections, entry.section).push(entry);
  for (const section of new Set(other.map((entry) => entry.section))) {
    sections.get(section)?.sort((a, b) => compareBytes(a.key, b.key));
  }
  const names = [...sections.keys()].sort((a, b) =>
    a === "backrest" ? -1 : b === "backrest" ? 1 : compareBytes(a, b),
  );
  return names.flatMap((section) => sections.get(section) as InfoEntry[]);
}

/** SHA-1 over a JSON-like text of all entries (pgBackRest 2.60 "info/info": infoSaveSection, infoSaveValue). */
class InfoChecksum {
  readonly #hash = createHash("sha1");
  #pending = "{";
  #section: string | undefined;

  add({ section, key, valueText }: InfoEntry): void {
    if (section === this.#section) {
      this.#pending += ",";
    } else {
      this.#pending += `${this.#section === undefined ? "" : "},"}${renderString(section)}:{`;
      this.#section = section;
    }
    this.#pending += `${renderString(key)}:${valueText}`;
    if (this.#pending.length < CHUNK_CHARS) return;
    const bytes = utf8(this.#pending);
    this.#hash.update(bytes);
    freeMemory(bytes);
    this.#pending = "";
  }

  hex(): string {
    return this.#hash.update(utf8(`${this.#pending}}}`)).digest("hex");
  }
}

function checkFormat(format: JsonValue, name: string): void {
  if (format === BACKREST_FORMAT) return;
  throw fail("format", `'${name}': expected format ${BACKREST_FORMAT} but found ${renderJson(format)}`, {
    hint: FORMAT_HINT,
  });
}

function checkChecksum(actual: string, expected: JsonValue | undefined, name: string): void {
  if (expected === undefined)
    throw fail("checksum", `'${name}': invalid checksum, actual '${actual}' but no checksum present`);
  if (actual !== expected)
    throw fail(
      "checksum",
      `'${name}': invalid checksum, actual '${actual}' but expected '${typeof expected === "string" ? expected : renderJson(expected)}'`,
    );
}

/** The key ends at the first `=` that JSON follows. */
function parseLine(line: string, section: string): ParsedEntry | null {
  for (let split = line.indexOf("="); split !== -1; split = line.indexOf("=", split + 1)) {
    if (split === 0 || !mayBeginJson(line.charCodeAt(split + 1))) continue;
    const valueText = line.slice(split + 1);
    const value = tryParseJson(valueText);
    if (value !== undefined) return { section, key: line.slice(0, split), valueText, value };
  }
  return null;
}

/** True for `{`, `"`, `-`, digits, and the first letters of true, false, null. */
function mayBeginJson(char: number): boolean {
  return (
    char === OPENING_BRACE ||
    char === 0x22 ||
    char === 0x2d ||
    (char >= 0x30 && char <= 0x39) ||
    char === 0x74 ||
    char === 0x66 ||
    char === 0x6e
  );
}

function sectionOf(sections: Map<string, InfoEntry[]>, name: string): InfoEntry[] {
  let section = sections.get(name);
  if (section === undefined) {
    section = [];
    sections.set(name, section);
  }
  return section;
}
