/**
 * The syntax of pgbackrest.conf: `[section]` lines and `key=value` lines. `#` begins a comment only as a line's first
 * character other than blanks; blanks around names and values do not count; values are taken literally (pgBackRest 2.60
 * "common/ini").
 *
 * Messages name file and line but never show the line: a malformed file of secrets must not end up in a log.
 */
import { type BackupError, fail } from "../base/errors";

export interface IniEntry {
  readonly section: string;
  readonly key: string;
  readonly value: string;
  readonly fileName: string;
  /** From 1. */
  readonly lineNo: number;
}

/** @throws format with file and line. */
export function parseIni(text: string, fileName: string): readonly IniEntry[] {
  const entries: IniEntry[] = [];
  let section: string | undefined;
  for (const [index, rawLine] of text.split("\n").entries()) {
    const line = trimBlanks(rawLine);
    const lineNo = index + 1;
    if (line === "" || line.startsWith("#")) continue;
    if (line.startsWith("[")) {
      if (!line.endsWith("]")) throw broken("ini section should end with ]", fileName, lineNo);
      section = line.slice(1, -1);
      if (section === "") throw broken("invalid empty section", fileName, lineNo);
      continue;
    }
    if (section === undefined) throw broken("key/value found outside of section", fileName, lineNo);
    const at = line.indexOf("=");
    if (at === -1) throw broken("missing '=' in key/value", fileName, lineNo);
    const key = trimBlanks(line.slice(0, at));
    if (key === "") throw broken("key is zero-length", fileName, lineNo);
    entries.push({ section, key, value: trimBlanks(line.slice(at + 1)), fileName, lineNo });
  }
  return entries;
}

/** Trims only the characters that stock trims, so that a value may end with another kind of space. */
export function trimBlanks(text: string): string {
  return text.replace(/^[ \t\r\n]+/, "").replace(/[ \t\r\n]+$/, "");
}

function broken(what: string, fileName: string, lineNo: number): BackupError {
  return fail("format", `${what} at line ${lineNo} of '${fileName}'`, { path: fileName });
}
