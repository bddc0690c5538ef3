/**
 * Chooses configuration files and reads their sections for one stanza and command. Rules of pgBackRest 2.60
 * "config/parse": `--config` alone omits the include directory; `--config-path` moves both; the default file and
 * include directory may be missing, named ones may not.
 */
import { posix } from "node:path";
import { fail } from "../base/errors";
import { COMMAND_TABLE, type CommandName } from "./commands";
import { type Entries, entryId, isMultiple } from "./entry";
import { type IniEntry, parseIni } from "./ini";
import { findOption, type NamedOption, optionName, rowOf } from "./optionName";
import { ifUnused } from "./unused";
import { parseValue } from "./values";

/** Stock's location before its files had a directory of their own. */
const OLD_DEFAULT_FILE = "/etc/pgbackrest.conf";
const GLOBAL = "global";

export interface FileAccess {
  /** Null when the file is missing. */
  readonly readFile: (path: string) => string | null;
  /** Names in a directory; null when it is missing. */
  readonly listDirectory: (path: string) => readonly string[] | null;
}

export interface ConfigFiles {
  readonly entries: readonly IniEntry[];
  /** Paths of the files that say more than secrets. */
  readonly deciding: readonly string[];
  /** Default directory of the settings file; undefined with `--no-config` and no `--config-path`. */
  readonly directory: string | undefined;
}

/**
 * Reads the files that `entries` ask for. Removes a named include directory from them that is missing and may be.
 * @throws fileMissing, pathMissing, format, optionInvalidValue
 */
export function readConfigFiles(entries: Entries, command: CommandName, files: FileAccess): ConfigFiles {
  const config = givenText(entries, "config");
  const configPath = givenText(entries, "config-path");
  const includePath = givenText(entries, "config-include-path");
  const noConfig = entries.get(entryId(rowOf("config"), undefined))?.negate === true;

  const base = configPath ?? defaultOf("config-path");
  const fileName = config ?? `${base}/pgbackrest.conf`;
  const mainFile = noConfig ? undefined : readMain(fileName, config !== undefined, configPath === undefined, files);
  const parts: IniEntry[] = mainFile === undefined ? [] : [...parseIni(mainFile.text, mainFile.fileName)];

  const asked = configPath !== undefined || includePath !== undefined;
  if (asked || (config === undefined && !noConfig)) {
    const directory = includePath ?? `${base}/conf.d`;
    const names = files.listDirectory(directory);
    if (names === null && includePath !== undefined) leaveOutInclude(entries, command, directory);
    for (const name of [...(names ?? [])].sort()) {
      if (!/.\.conf$/s.test(name)) continue;
      const path = `${directory}/${name}`;
      const text = files.readFile(path);
      if (text !== null) parts.push(...parseIni(text, path));
    }
  }
  const directory = noConfig ? configPath : posix.dirname(mainFile?.fileName ?? fileName);
  const deciding = parts.filter((entry) => !isSecretLine(entry)).map(({ fileName: path }) => path);
  return { entries: parts, deciding: [...new Set(deciding)], directory };
}

/**
 * True for a line that only gives root a key. Components let PostgreSQL's account own a file of such lines. The key of
 * a Google service account may be a path.
 */
function isSecretLine({ key, value }: IniEntry): boolean {
  const row = findOption(key)?.row;
  return row?.secret === true && !(row.name === "repo-gcs-key" && value.startsWith("/"));
}

function readMain(
  fileName: string,
  required: boolean,
  mayBeOld: boolean,
  files: FileAccess,
): { fileName: string; text: string } | undefined {
  for (const name of required || !mayBeOld ? [fileName] : [fileName, OLD_DEFAULT_FILE]) {
    const text = files.readFile(name);
    if (text !== null) return { fileName: name, text };
  }
  if (required) {
    throw fail("fileMissing", `unable to open missing file '${fileName}' for read`, {
      path: fileName,
      hint: "The option config names this file.",
    });
  }
  return undefined;
}

/** What the directory holds may be a repository or a key: a command that continues without it archives less. */
function leaveOutInclude(entries: Entries, command: CommandName, directory: string): void {
  if (COMMAND_TABLE[command].optionalInclude !== true) {
    throw fail("pathMissing", `unable to list file info for missing path '${directory}'`, {
      path: directory,
      hint: "The option config-include-path names this directory.",
    });
  }
  // The commands that it starts get its options, and may not name a missing one.
  entries.delete(entryId(rowOf("config-include-path"), undefined));
}

/** The checked value of a string or path option from the command line or environment. */
export function givenText(entries: Entries, name: string): string | undefined {
  const row = rowOf(name);
  const entry = entries.get(entryId(row, undefined));
  if (entry === undefined || entry.negate) return undefined;
  const value = parseValue({ name, row, rule: row, origin: entry.origin }, entry.texts, () => undefined);
  return typeof value === "string" ? value : undefined;
}

function defaultOf(name: string): string {
  return rowOf(name).default ?? "";
}

/** Sections that a command reads, highest precedence first. */
export function sectionsOf(stanza: string | undefined, command: CommandName): readonly string[] {
  return [...(stanza === undefined ? [] : [`${stanza}:${command}`, stanza]), `${GLOBAL}:${command}`, GLOBAL];
}

/** What servers do for PostgreSQL in the place of these commands, with their own options. */
export const SERVED: readonly CommandName[] = ["archive-push", "archive-get"];

/** A server reads no section of a command that it serves: says which of its options would have an effect here. */
function warnOfServed(
  ini: readonly IniEntry[],
  stanza: string | undefined,
  command: CommandName,
  warn: (text: string) => void,
): void {
  if (COMMAND_TABLE[command].serves !== true) return;
  for (const level of [...(stanza === undefined ? [] : [stanza]), GLOBAL]) {
    const own = `${level}:${command}`;
    const linesOf = (section: string): IniEntry[] => ini.filter((entry) => entry.section === section);
    const known = linesOf(own).map(({ key }) => key);
    for (const served of SERVED) {
      const section = `${level}:${served}`;
      const lacking = linesOf(section).filter(({ key }) => !known.includes(key));
      if (lacking.length === 0) continue;
      const names = [...new Set(lacking.map((line) => shownKey(line.key, [line])))].join(", ");
      warn(
        `section [${section}] has no effect on ${command}: ${names}\n` +
          `HINT: ${command} serves ${served}; write these options in [${own}].`,
      );
    }
  }
}

/** True for `global` and `global:backup`. */
export function isGlobalSection(section: string): boolean {
  return section === GLOBAL || section.startsWith(`${GLOBAL}:`);
}

/** Adds the files' options to `entries`, without replacing any. @throws optionInvalid, optionInvalidValue */
export function addFiles(
  entries: Entries,
  ini: readonly IniEntry[],
  stanza: string | undefined,
  command: CommandName,
  warn: (text: string) => void,
): void {
  for (const section of sectionsOf(stanza, command)) {
    const byKey = new Map<string, IniEntry[]>();
    for (const entry of ini)
      if (entry.section === section) byKey.set(entry.key, [...(byKey.get(entry.key) ?? []), entry]);
    const names = new Map<string, string>();
    const reading = { entries, names, section, command, warn };
    for (const [key, lines] of byKey) addFileOption(reading, key, lines);
  }
  warnOfServed(ini, stanza, command, warn);
}

/** One section as a command reads it. */
interface Reading {
  readonly entries: Entries;
  /** The section's option ids, each with the name as written. */
  readonly names: Map<string, string>;
  readonly section: string;
  readonly command: CommandName;
  readonly warn: (text: string) => void;
}

function addFileOption(reading: Reading, key: string, lines: readonly IniEntry[]): void {
  const { command, warn } = reading;
  const option = findOption(key);
  if (option === null) return warn(`configuration file contains invalid option ${shownKey(key, lines)}`);
  if (option.negate) return warn(`configuration file contains negate option '${key}'`);
  if (option.reset) return warn(`configuration file contains reset option '${key}'`);
  const { row } = option;
  if (row.section === "command-line") return warn(`configuration file contains command-line only option '${key}'`);
  ifUnused({ command, source: "file", warn }, row, () => addKnown(reading, key, lines, option));
}

function addKnown(
  { command, entries, names, section, warn }: Reading,
  key: string,
  lines: readonly IniEntry[],
  option: NamedOption,
): void {
  const { row } = option;
  const origin = originOf(section, lines);
  const id = entryId(row, option.key);
  const other = names.get(id);
  if (other !== undefined) {
    throw fail(
      "optionInvalid",
      `configuration file contains duplicate options ('${key}', '${other}') in section '[${section}]'`,
      { hint: origin },
    );
  }
  names.set(id, key);
  if (!row.commands.includes(command) && section.includes(":")) {
    warn(`configuration file contains option '${key}' invalid for section '${section}'`);
  }
  if (row.section === "stanza" && isGlobalSection(section)) {
    return warn(`configuration file contains stanza-only option '${key}' in global section '${section}'`);
  }
  if (entries.has(id)) return;

  if (lines.length > 1 && !isMultiple(row)) {
    throw fail("optionInvalid", `option '${optionName(row, option.key)}' cannot be set multiple times`, {
      hint: origin,
    });
  }
  const texts = lines.map((line) => line.value);
  if (texts.includes(""))
    throw fail("optionInvalidValue", `section '${section}', key '${key}' must have a value`, { hint: origin });
  entries.set(id, { row, key: option.key, texts, negate: false, reset: false, source: "file", origin });
}

function originOf(section: string, lines: readonly IniEntry[]): string {
  const where = [...new Set(lines.map((line) => `${line.fileName} (line ${line.lineNo})`))].join(" and ");
  return `the value comes from section [${section}] of ${where}.`;
}

/** A key that is no option name may be the wrapped second line of a secret: messages omit it. */
function shownKey(key: string, lines: readonly IniEntry[]): string {
  if (/^[a-z][a-z0-9_-]{0,63}$/.test(key)) return `'${key}'`;
  return `at ${lines.map((line) => `line ${line.lineNo} of '${line.fileName}'`).join(" and ")}`;
}
