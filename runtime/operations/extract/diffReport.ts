/** What `diff` says about a table; pure. */
import { printableValue } from "../../base/printable";
import type { RowValues, ShownRow, TableDiff } from "./tableDiff";

export interface DiffReport extends TableDiff {
  readonly database: string;
  /** What was compared, in words. */
  readonly from: string;
  readonly to: string;
}

const VALUE_CHARACTERS = 200;

/** For programs, in one line. Numbers of rows are exact; `shown` holds the first ones by their keys. */
export function diffJson({ columns, database, from, key, rows, shown, table, to }: DiffReport): string {
  return JSON.stringify({ columns, database, from, key, rows, shown, table, to });
}

export function diffText({ columns, database, from, key, rows, shown, table, to }: DiffReport): string {
  const { added, changed, removed, same } = rows;
  const hidden = added + changed + removed - shown.length;
  return [
    `table ${table} of database ${database}, ${key === null ? "whole rows, without a common primary key" : `by its key (${key.join(", ")})`}`,
    `  from  ${from}`,
    `  to    ${to}`,
    ...(columns.onlyFrom.length === 0 ? [] : [`  not compared, only before: ${columns.onlyFrom.join(", ")}`]),
    ...(columns.onlyTo.length === 0 ? [] : [`  not compared, only after: ${columns.onlyTo.join(", ")}`]),
    `rows: ${removed} removed, ${added} added, ${changed} changed, ${same} equal`,
    ...shown.flatMap((row) => rowLines(row, key)),
    ...(hidden > 0 ? [`and ${hidden} more; --limit shows more of them`] : []),
  ]
    .map((line) => `${printableValue(line)}\n`)
    .join("");
}

const SIGNS = { added: "+", changed: "~", removed: "-" } as const;

function rowLines({ after, before, kind }: ShownRow, key: readonly string[] | null): string[] {
  const [own, other] = [before ?? after ?? {}, after ?? before ?? {}];
  const isKey = (name: string): boolean => key?.includes(name) === true;
  const title = (key ?? []).map((name) => valueText(name, own)).join(", ");
  const names = Object.keys(own).filter((name) => !isKey(name));
  if (kind !== "changed")
    return [`${SIGNS[kind]} ${[title, ...names.map((name) => valueText(name, own))].filter(Boolean).join("  ")}`];
  const lines = names.filter((name) => own[name] !== other[name]);
  return [
    `${SIGNS[kind]} ${title}`,
    ...lines.map((name) => `    ${valueText(name, own)} -> ${shortened(other[name] ?? null)}`),
  ];
}

function valueText(name: string, values: RowValues): string {
  return `${name}: ${shortened(values[name] ?? null)}`;
}

/** Quoted where blanks, signs or the text NULL could be misread. */
function shortened(value: string | null): string {
  if (value === null) return "NULL";
  if (value.length > VALUE_CHARACTERS) return JSON.stringify(`${value.slice(0, VALUE_CHARACTERS)}…`);
  const isPlain = /^[\w.:+@-]+( [\w.:+@-]+)*$/.test(value) && value !== "NULL";
  return isPlain ? value : JSON.stringify(value);
}
