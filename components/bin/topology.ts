/**
 * `pgbackstop topology`: shows a stack's backups, and the effect of a change on them. Reads files or stdin, needs no
 * engine and no network. Exit codes: 0, 1 for an unacknowledged weakening or a stale runbook, 2 for invalid arguments
 * and unreadable files.
 */
import { diffTopologies, type TopologySet, weakenedOf } from "../plan/diff";
import { parseStackFile, type StackFile, StackFileError } from "../plan/topology/stackFiles";
import { renderDiffDocument, renderTopologyDocument } from "../render/topology/topologyDocument";
import { renderMarkdown } from "../render/topology/topologyMarkdown";
import { renderPage } from "../render/topology/topologyPage";
import { bandsOf, renderPicture } from "../render/topology/picture";
import { renderShown } from "../render/topology/show";
import { MeasuredError } from "../plan/runbook/measured";
import { renderRunbook } from "../render/runbook/runbookMarkdown";
import { DEFAULT_PEOPLE } from "../render/runbook/people";
import { renderRunbookPage } from "../render/runbook/runbookPage";
import { type Arguments, nameOf, readArguments, readText, runCommand, UsageError, writeOutput } from "./command";
import { checkRunbook, originOf, runbooksOf } from "./runbook";

const HELP = `pgbackstop topology: the backups of a Pulumi stack, and the effect of a change on them

  pgbackstop topology diff PREVIEW             what a preview changes
  pgbackstop topology diff BEFORE AFTER        what differs between two files
  pgbackstop topology show FILE                what the stack declares
  pgbackstop topology runbook FILE             how to recover lost data, with the commands for each host and cluster (markdown, html)

Files are recognized by their shape; - is stdin:
  pulumi preview --json > preview.json
  pulumi stack export > stack.json             (--show-secrets is not needed)
  pgbackstop topology show --format=json ...   a document saved earlier
  pulumi stack output topology                 the output of one database
Of two files, a preview counts as the state after its update.

  --format=markdown|json|html|svg   markdown is meant for a pull request (default)
  --output=FILE                     instead of stdout; repeatable with another format: --format=html --output=a.html --format=json --output=a.json
  --measured=[NAME=]FILE            runbook: results of drills, as the host prints them: pgbackstop status --output=json
                                    (or drill --output=json); repeatable for each database
  --check=RUNBOOK                   runbook: tells whether the file RUNBOOK (markdown or html) is up to date; writes a new one only
                                    with --output
  --help                            this text

Marks: ▲ strengthened, ▼ weakened, ▽ weakened and acknowledged, • neutral, ? not known yet.
Acknowledge a weakened change in the arguments of its database; the entry counts for this change only:
  acknowledgeWeaker: { "repositories.repo1.keepDays=7": "the NAS is full until the new disks come" }

Exit codes: 0; 1 for an unacknowledged weakened change (diff) or a stale runbook (--check); 2 for invalid options or unreadable files.
`;
const FORMATS = ["markdown", "json", "html", "svg"] as const;
type Format = (typeof FORMATS)[number];

interface Order {
  readonly verb: "diff" | "show" | "runbook";
  readonly files: readonly string[];
  /** As given: `NAME=FILE` or `FILE`. */
  readonly measured: readonly string[];
  /** An existing runbook. */
  readonly check: string | null;
  readonly outputs: readonly { readonly format: Format; readonly file: string | null }[];
}

/**
 * Runs the command; returns the exit code.
 * @public loaded on demand by pgbackstop.ts
 */
export function topologyMain(argv: readonly string[]): number {
  return runCommand("topology", argv, HELP, [UsageError, StackFileError, MeasuredError], () => {
    const order = readOrder(argv);
    return VERBS[order.verb](order);
  });
}

const VERBS: Readonly<Record<Order["verb"], (order: Order) => number>> = { diff, show, runbook };

function show({ files, outputs }: Order): number {
  const { after, findings } = readFile(files[0] ?? "-");
  const bands = bandsOf(after, after, []);
  write(outputs, {
    markdown: () => renderShown(after),
    json: () => renderTopologyDocument(after),
    html: () => renderPage({ bands, diff: diffTopologies(after, after), findings, compares: false }),
    svg: () => renderPicture(bands),
  });
  return 0;
}

function runbook({ check, files, measured, outputs }: Order): number {
  const file = readFile(files[0] ?? "-");
  const names = [...file.after.keys()];
  const drills = measured.map((name) => {
    const prefix = names.find((each) => name.startsWith(`${each}=`));
    return { name, text: readText(prefix === undefined ? name : name.slice(prefix.length + 1)) };
  });
  const books = runbooksOf(file, drills);
  if (books.length === 0)
    throw new UsageError(`${nameOf(files[0] ?? "-")} has no database with a known topology to write a runbook for`);
  const none = (): never => {
    throw new UsageError("a runbook can be markdown or html only");
  };
  write(outputs, {
    markdown: () => renderRunbook(books, DEFAULT_PEOPLE, originOf(file)),
    html: () => renderRunbookPage(books, DEFAULT_PEOPLE, originOf(file)),
    json: none,
    svg: none,
  });
  if (check === null) return 0;
  const result = checkRunbook(readText(check), books);
  if (result === null) throw new UsageError(`${nameOf(check)} is not a runbook of this program`);
  process.stdout.write(`${result.lines.join("\n")}\n`);
  return result.isStale ? 1 : 0;
}

function diff({ files, outputs }: Order): number {
  const { after, before, findings } = sidesOf(files);
  const result = diffTopologies(before, after);
  const bands = bandsOf(before, after, result.changes);
  write(outputs, {
    markdown: () => renderMarkdown(result, findings),
    json: () => renderDiffDocument(result, findings),
    html: () => renderPage({ bands, diff: result, findings, compares: true }),
    svg: () => renderPicture(bands),
  });
  return weakenedOf(result).length > 0 ? 1 : 0;
}

function sidesOf(files: readonly string[]): {
  readonly before: TopologySet;
  readonly after: TopologySet;
  readonly findings: StackFile["findings"];
} {
  const [first = "-", second] = files;
  if (second === undefined) {
    const { after, before, findings, kind } = readFile(first);
    if (before === null)
      throw new UsageError(
        `${nameOf(first)} is a ${kind === "export" ? "stack export" : kind} and shows one state only: give the state before it too`,
      );
    return { before, after, findings };
  }
  const [old, now] = [readFile(first), readFile(second)];
  return { before: old.after, after: now.after, findings: now.findings };
}

function readFile(file: string): StackFile {
  const text = readText(file);
  try {
    return parseStackFile(text);
  } catch (error) {
    if (error instanceof StackFileError) throw new StackFileError(`${nameOf(file)}: ${error.message}`);
    throw error;
  }
}

function write(outputs: Order["outputs"], render: Readonly<Record<Format, () => string>>): void {
  for (const { file, format } of outputs) writeOutput(file, render[format]());
}

function readOrder(argv: readonly string[]): Order {
  const given = readArguments(argv, { format: "string", output: "string", measured: "string", check: "string" });
  const valuesOf = (name: string): string[] =>
    given.options.filter((option) => option.name === name).map(({ value }) => value);
  const [verb = "", ...files] = given.files;
  const measured = valuesOf("measured");
  const check = valuesOf("check").at(-1) ?? null;
  const outputs = outputsOf(given.options, check === null);
  if (verb !== "diff" && verb !== "show" && verb !== "runbook")
    throw new UsageError(`'${verb}' is not one of diff, show, runbook: see pgbackstop topology --help`);
  const most = verb === "diff" ? 2 : 1;
  if (files.length < 1 || files.length > most)
    throw new UsageError(
      `topology ${verb} takes ${most === 1 ? "one file" : "one file or two"}, found ${files.length}`,
    );
  if (measured.length > 0 && verb !== "runbook") throw new UsageError("--measured is for a runbook only");
  if (check !== null && verb !== "runbook") throw new UsageError("--check is for a runbook only");
  if ([...files, ...measured, check].filter((file) => file === "-").length > 1)
    throw new UsageError("only one of the files can be stdin");
  return { verb, files, measured, check, outputs };
}

/**
 * Each `--output` takes the format before it; a last format without one goes to stdout, and so does the default format.
 */
function outputsOf(options: Arguments["options"], hasDefault: boolean): Order["outputs"] {
  const outputs: { format: Format; file: string | null }[] = [];
  let format: Format = "markdown";
  let isPending = true;
  for (const { name, value } of options) {
    if (name === "output") outputs.push({ format, file: value === "-" ? null : value });
    if (name === "format") format = formatOf(value);
    if (name === "output" || name === "format") isPending = name === "format";
  }
  if (isPending && hasDefault) outputs.push({ format, file: null });
  return outputs;
}

function formatOf(text: string): Format {
  const format = FORMATS.find((each) => each === text);
  if (format === undefined) throw new UsageError(`--format takes ${FORMATS.join(", ")}, found '${text}'`);
  return format;
}
