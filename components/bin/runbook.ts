/** The runbook of a stack's file: its databases, their drills' measurements, and the state of the stack. */
import { runbookOf } from "../plan/runbook/databaseRunbook";
import type { DatabaseRunbook } from "../plan/runbook/runbookDocument";
import { joinMeasured, type Measured, MeasuredError, parseMeasured } from "../plan/runbook/measured";
import type { StackFile } from "../plan/topology/stackFiles";
import type { Topology } from "../plan/topology/topology";

/** One file of `--measured`. */
export interface MeasuredFile {
  readonly name: string;
  readonly text: string;
}

/**
 * @param measured `ledger=FILE` belongs to the database ledger, FILE to the database with its stanza
 * @throws MeasuredError for measurements of no database here, or of an ambiguous one
 */
export function runbooksOf({ after }: StackFile, measured: readonly MeasuredFile[]): DatabaseRunbook[] {
  const databases = [...after]
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .flatMap(([, topology]) => (topology === null || topology.databases[0] === undefined ? [] : [topology]));
  const drills = new Map<Topology, Measured[]>();
  for (const { name, text } of measured) {
    const [topology, one] = belongsTo(databases, name, text);
    drills.set(topology, [...(drills.get(topology) ?? []), one]);
  }
  return databases.flatMap((topology) => runbookOf(topology, joinMeasured(drills.get(topology) ?? [])) ?? []);
}

function belongsTo(databases: readonly Topology[], name: string, text: string): readonly [Topology, Measured] {
  const named = databases.find(({ databases: [database] }) => name.startsWith(`${database?.name}=`));
  const file = named === undefined ? name : name.slice((named.databases[0]?.name.length ?? 0) + 1);
  let one: Measured;
  try {
    one = parseMeasured(text);
  } catch (error) {
    throw error instanceof MeasuredError ? new MeasuredError(`${file}: ${error.message}`) : error;
  }
  const fitting = databases.filter(({ databases: [database] }) => database?.stanza === one.stanza);
  if (named !== undefined && !fitting.includes(named))
    throw new MeasuredError(`${file} is from stanza ${one.stanza}, which is not that of ${named.databases[0]?.name}`);
  const [first, second] = named === undefined ? fitting : [named];
  if (first === undefined) throw new MeasuredError(`${file} is from stanza ${one.stanza}, which no database here has`);
  if (second !== undefined)
    throw new MeasuredError(
      `${file} is from stanza ${one.stanza}, which several databases have: name the database with --measured=NAME=FILE`,
    );
  return [first, one];
}

/** Comparison of an existing runbook with today's. */
export interface RunbookCheck {
  readonly isStale: boolean;
  /** One line for each database, including removed ones. */
  readonly lines: readonly string[];
}

/** @param written Markdown or HTML, of any age @returns null for any other text */
export function checkRunbook(written: string, books: readonly DatabaseRunbook[]): RunbookCheck | null {
  const states = [...written.matchAll(/State of this runbook: (?:`|<code>)([0-9a-f]{12})\b/g)].map(
    ([, state]) => state ?? "",
  );
  if (states.length === 0) return null;
  const old = books.filter(({ state }) => !states.includes(state));
  const gone = states.filter((state) => books.every((book) => book.state !== state)).length - old.length;
  return {
    isStale: old.length > 0 || gone > 0,
    lines: [
      ...books.map(
        (book) =>
          `${book.name}: ${old.includes(book) ? "stale, its commands or locations have changed: generate it again" : "up to date"}`,
      ),
      ...(gone > 0 ? [`${gone} database(s) in it no longer exist: generate it again`] : []),
    ],
  };
}

/** The stack's state of a runbook, in a sentence. */
export function originOf({ madeAt, kind }: StackFile): string {
  switch (kind) {
    case "export":
      return madeAt === undefined
        ? "Generated from a stack export without a time."
        : `Generated from the stack after its update of ${madeAt}.`;
    case "preview":
      return "Generated from a preview: valid only after that update.";
    default:
      return "Generated from a saved topology without a time.";
  }
}
