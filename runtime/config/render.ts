/**
 * Renders structured options as the text of pgbackrest.conf. Pure, no file access: the components use it, and whatever
 * loading would refuse, warn about or silently change fails here. Property: loading the text gives the values again.
 */
import { type BackupError, fail } from "../base/errors";
import { isMultiple } from "./entry";
import { isGlobalSection } from "./files";
import { trimBlanks } from "./ini";
import { findOption, optionName, similarNames } from "./optionName";
import type { OptionRow } from "./options";
import { widestRule } from "./resolve";
import { parseValue } from "./values";

export interface ConfOption {
  /** With its key: `repo1-path`. Old names are not accepted. */
  readonly name: string;
  /**
   * Sizes are bytes as a number; times are seconds as a number, or a text with its unit; several values for lists and
   * hashes (`key=value`).
   */
  readonly value: string | boolean | number | readonly string[];
}

export interface ConfSection {
  /** `global`, `global:archive-push`, `main`, `main:backup`. */
  readonly name: string;
  readonly options: readonly ConfOption[];
}

/** Keeps the order of sections and options. @throws optionInvalid, optionInvalidValue with option and section */
export function renderConf(sections: readonly ConfSection[], comment?: string): string {
  const names = new Set<string>();
  const blocks = sections.map((section) => {
    if (!/^[^\s[\]:]+(:[a-z-]+)?$/.test(section.name))
      throw fail("optionInvalidValue", `'${section.name}' is not valid as the name of a section`);
    if (names.has(section.name)) throw fail("optionInvalid", `section '[${section.name}]' is given twice`);
    names.add(section.name);
    return `[${section.name}]\n${renderSection(section)}`;
  });
  const head = comment === undefined ? [] : [commentLines(comment)];
  return [...head, ...blocks].join("\n");
}

function renderSection(section: ConfSection): string {
  const seen = new Set<string>();
  const lines = section.options.flatMap(({ name, value }) => {
    const row = checkedRow(name, section.name);
    if (seen.has(name)) throw fail("optionInvalid", `option '${name}' is given twice in section '[${section.name}]'`);
    seen.add(name);
    const texts = checkedTexts(row, name, section.name, value);
    return texts.map((text) => `${name}=${text}\n`);
  });
  return lines.join("");
}

function commentLines(comment: string): string {
  return comment
    .split(/\r?\n/)
    .map((line) => `# ${line}`.trimEnd())
    .map((line) => `${line}\n`)
    .join("");
}

function checkedRow(name: string, section: string): OptionRow {
  const option = findOption(name);
  if (option === null || option.negate || option.reset || optionName(option.row, option.key) !== name) {
    const other = option === null ? similarNames(name).join(" or ") : optionName(option.row, option.key);
    throw fail(
      "optionInvalid",
      `invalid option '${name}' in section '[${section}]'`,
      other === "" ? {} : { hint: `did you mean ${other}?` },
    );
  }
  const { row } = option;
  if (row.section === "command-line")
    throw fail("optionInvalid", `command-line only option '${name}' in section '[${section}]'`);
  if (row.section === "stanza" && isGlobalSection(section)) {
    throw fail("optionInvalid", `stanza-only option '${name}' in global section '[${section}]'`);
  }
  return row;
}

function checkedTexts(row: OptionRow, name: string, section: string, value: ConfOption["value"]): readonly string[] {
  const texts = textsOf(value);
  const origin = `the value is for section [${section}].`;
  const wrong = (what: string): BackupError => fail("optionInvalidValue", `option '${name}' ${what}`, { hint: origin });
  if (texts.length === 0) throw wrong("needs at least one value");
  if (typeof value === "object" && !isMultiple(row)) throw wrong("takes one value, not a list");
  if (typeof value === "boolean" && row.type !== "boolean" && row.booleanLike !== true) throw wrong("is no boolean");
  if (typeof value === "number" && !["integer", "size", "time"].includes(row.type)) throw wrong("is no number");
  for (const text of texts) {
    const fault = findLineFault(text);
    if (fault !== null) throw wrong(`cannot have a value that ${fault}`);
  }
  parseValue({ name, row, rule: widestRule(row), origin }, texts, (text) => {
    throw wrong(`has a key twice: ${text}`);
  });
  return texts;
}

/** Why a text cannot be the value of an option in a file; null if it can. The text is not part of the answer. */
export function findLineFault(text: string): string | null {
  if (text === "") return "is empty";
  if (/[\n\r]/.test(text)) return "has a line break";
  if (text !== trimBlanks(text)) return "has a blank at its beginning or end";
  return text.includes("\0") ? "has a zero byte" : null;
}

function textsOf(value: ConfOption["value"]): readonly string[] {
  if (typeof value === "boolean") return [value ? "y" : "n"];
  if (typeof value === "number") return [String(value)];
  return typeof value === "string" ? [value] : value;
}
