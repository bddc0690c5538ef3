/**
 * `pgbackstop topology`: shows a stack's backups, and the effect of a change on them. Reads files or stdin, needs no
 * engine, and no network but for `--comment`. Exit codes: 0, 1 for an unacknowledged weakening or a stale runbook, 2
 * for invalid arguments and unreadable files, 3 for a failed preview.
 */
import { readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { diffTopologies } from "../plan/diff";
import { StackFileError } from "../plan/topology/stackFiles";
import { renderTopologyDocument } from "../render/topology/topologyDocument";
import { type About, commentMark } from "../render/topology/topologyMarkdown";
import { renderPage } from "../render/topology/topologyPage";
import { bandsOf, renderPicture } from "../render/topology/picture";
import { renderShown } from "../render/topology/show";
import { MeasuredError } from "../plan/runbook/measured";
import { renderRunbook } from "../render/runbook/runbookMarkdown";
import { DEFAULT_PEOPLE } from "../render/runbook/people";
import { renderRunbookPage } from "../render/runbook/runbookPage";
import { type Arguments, nameOf, readArguments, readText, runCommand, UsageError, writeOutput } from "./command";
import { commitOf, FORGES, ForgeError, type ForgeName, openForge, putComment } from "./comment";
import { checkRunbook, originOf, runbooksOf } from "./runbook";
import { runBase } from "./topologyBase";
import { readFile, runDiff } from "./topologyDiff";

const HELP = `pgbackstop topology: the backups of a Pulumi stack, and the effect of a change on them

  pgbackstop topology diff PREVIEW             what a preview changes
  pgbackstop topology diff BEFORE AFTER        what differs between two files
  pgbackstop topology show FILE                what the stack declares
  pgbackstop topology runbook FILE             how to recover lost data, with the commands for each host and cluster (markdown, html)
  pgbackstop topology base --stack=NAME --ref=origin/main --output=FILE [--install=COMMAND] [-- ARGUMENTS OF PREVIEW]
                                               previews the merge base in a worktree of git, prints its commit: BEFORE of diff

Files are recognized by their shape; - is stdin:
  pulumi preview --json --show-sames > preview.json
  pulumi stack export > stack.json             (--show-secrets is not needed)
  pgbackstop topology show --format=json ...   a document saved earlier
  pulumi stack output topology                 the output of one database
Of two files, a preview counts as the state after its update.

  --format=markdown|json|html|svg   markdown is meant for a pull request (default)
  --format=sarif|annotations        diff: results for code scanning, or for the log of a GitHub job
  --output=FILE                     instead of stdout; repeatable with another format: --format=html --output=a.html --format=json --output=a.json
  --measured=[NAME=]FILE            runbook: results of drills, as the host prints them: pgbackstop status --output=json
                                    (or drill --output=json); repeatable for each database
  --check=RUNBOOK                   runbook: tells whether the file RUNBOOK (markdown or html) is up to date; writes a new one only
                                    with --output
  --help                            this text

In CI, for diff:
  --fail-on=unknown                 also fails if part of a topology is known only after the update
  --preview-exit=CODE               exit code of pulumi preview: not 0 means that it failed (a policy pack leaves no error in its JSON)
  --stack=NAME                      of the preview; each stack of a pull request has its own comment
  --project=FOLDER                  with Pulumi.yaml (default: .)
  --base=TEXT                       what BEFORE is, for the comment: a commit or a branch
  --comment=github|gitlab           creates or updates the comment; the token is in GITHUB_TOKEN or GITLAB_TOKEN
  --pull-request=NUMBER             to comment on (default: that of the job)

Marks: ▲ strengthened, ▼ weakened, ▽ weakened and acknowledged, • neutral, ? not known yet.
Acknowledge a weakened change in the arguments of its database; the entry counts for this change only:
  acknowledgeWeaker: { "repositories.repo1.keepDays=7": "the NAS is full until the new disks come" }

Exit codes: 0; 1 for an unacknowledged weakened change (diff) or a stale runbook (--check); 2 for invalid options, unreadable files
or a refused comment; 3 for a failed preview. With 2 and 3 the outputs of diff say that nothing was compared.
`;
const FORMATS = ["markdown", "json", "html", "svg", "sarif", "annotations"] as const;
type Format = (typeof FORMATS)[number];

interface Order {
  readonly verb: "diff" | "show" | "runbook";
  readonly files: readonly string[];
  /** As given: `NAME=FILE` or `FILE`. */
  readonly measured: readonly string[];
  /** An existing runbook. */
  readonly check: string | null;
  readonly outputs: readonly { readonly format: Format; readonly file: string | null }[];
  readonly ci: CiOrder;
}

/** Options of a comparison in CI. */
interface CiOrder {
  readonly failsOnUnknown: boolean;
  readonly previewExit: number | null;
  readonly stack: string | undefined;
  /** Folder of Pulumi.yaml. */
  readonly project: string;
  readonly base: string | undefined;
  readonly comment: ForgeName | undefined;
  readonly pullRequest: string | undefined;
}

/**
 * Runs the command; returns the exit code, later if it comments.
 * @public loaded on demand by pgbackstop.ts
 */
export function topologyMain(argv: readonly string[]): number | Promise<number> {
  let comment: (() => Promise<string>) | null = null;
  const exitCode = runCommand("topology", argv, HELP, [UsageError, StackFileError, MeasuredError], () => {
    if (argv[0] === "base") return runBase(argv.slice(1));
    const order = readOrder(argv);
    if (order.verb !== "diff") return VERBS[order.verb](order);
    const result = diff(order);
    comment = result.comment;
    return result.exitCode;
  });
  return comment === null ? exitCode : finishComment(comment, exitCode);
}

const VERBS: Readonly<Record<"show" | "runbook", (order: Order) => number>> = { show, runbook };

async function finishComment(comment: () => Promise<string>, exitCode: number): Promise<number> {
  try {
    process.stderr.write(`pgbackstop topology: ${await comment()}\n`);
    return exitCode;
  } catch (error) {
    if (!(error instanceof ForgeError)) throw error;
    process.stderr.write(`pgbackstop topology: unable to comment: ${error.message}\n`);
    return exitCode === 0 ? 2 : exitCode;
  }
}

function show({ files, outputs }: Order): number {
  const { after, findings } = readFile(files[0] ?? "-");
  const bands = bandsOf(after, after, []);
  write(outputs, {
    markdown: () => renderShown(after),
    json: () => renderTopologyDocument(after),
    html: () => renderPage({ bands, diff: diffTopologies(after, after), findings, compares: false }),
    svg: () => renderPicture(bands),
    ...CHECKS,
  });
  return 0;
}

/** Formats for results of a check. */
const CHECKS = { sarif: refuseCheck, annotations: refuseCheck } as const;

function refuseCheck(): never {
  throw new UsageError("sarif and annotations are for a comparison only");
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
    sarif: none,
    annotations: none,
  });
  if (check === null) return 0;
  const result = checkRunbook(readText(check), books);
  if (result === null) throw new UsageError(`${nameOf(check)} is not a runbook of this program`);
  process.stdout.write(`${result.lines.join("\n")}\n`);
  return result.isStale ? 1 : 0;
}

interface Diffed {
  readonly exitCode: number;
  readonly comment: (() => Promise<string>) | null;
}

/** Everything that can be wrong with the arguments is wrong before anything is compared. */
function diff({ ci, files, outputs }: Order): Diffed {
  const root = process.env["GITHUB_WORKSPACE"] || process.env["CI_PROJECT_DIR"] || process.cwd();
  const forge = ci.comment === undefined ? null : openForge(ci.comment, ci.pullRequest, process.env);
  const about = aboutOf(ci, files);
  const result = runDiff({
    files,
    previewExit: ci.previewExit,
    failsOnUnknown: ci.failsOnUnknown,
    root: resolve(root),
    projectFile: relative(root, resolve(ci.project, "Pulumi.yaml")),
    about,
  });
  write(outputs, result.render);
  if (forge === null) return { exitCode: result.exitCode, comment: null };
  const text = result.render.markdown();
  const comment = async (): Promise<string> =>
    `the comment is ${await putComment(forge, commentMark(about.stack), text)}`;
  return { exitCode: result.exitCode, comment };
}

function aboutOf({ base, comment, project, stack }: CiOrder, files: readonly string[]): About {
  if (stack === undefined) return {};
  const commit = comment === undefined ? undefined : commitOf(comment, process.env);
  return {
    stack: stackName(project, stack),
    base: base ?? (files.length === 1 ? "what is deployed" : nameOf(files[0] ?? "-")),
    ...(commit === undefined ? {} : { commit }),
  };
}

/** `organization/project/stack`, as far as it is known: the same for every form of the stack's name. */
function stackName(project: string, stack: string): string {
  const parts = stack.split("/");
  if (parts.length > 2) return stack;
  return [...parts.slice(0, -1), projectName(project), ...parts.slice(-1)].join("/");
}

/** @throws UsageError */
function projectName(folder: string): string {
  const file = join(folder, "Pulumi.yaml");
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(
      `unable to read ${file}: ${error instanceof Error ? error.message : String(error)}; name its folder with --project, or the stack as organization/project/stack`,
    );
  }
  const [, quoted, plain] = /^name:[ \t]*(?:["']([^"']*)["']|([^\s#]+))/m.exec(text) ?? [];
  const name = quoted ?? plain;
  if (name === undefined) throw new UsageError(`${file} has no name`);
  return name;
}

function write(outputs: Order["outputs"], render: Readonly<Record<Format, () => string>>): void {
  for (const { file, format } of outputs) writeOutput(file, render[format]());
}

const CI_OPTIONS = ["fail-on", "preview-exit", "stack", "project", "base", "comment", "pull-request"] as const;

function readOrder(argv: readonly string[]): Order {
  const given = readArguments(argv, {
    format: "string",
    output: "string",
    measured: "string",
    check: "string",
    ...Object.fromEntries(CI_OPTIONS.map((name) => [name, "string" as const])),
  });
  const valuesOf = (name: string): string[] =>
    given.options.filter((option) => option.name === name).map(({ value }) => value);
  const [verb = "", ...files] = given.files;
  const measured = valuesOf("measured");
  const check = valuesOf("check").at(-1) ?? null;
  if (verb !== "diff" && verb !== "show" && verb !== "runbook")
    throw new UsageError(`'${verb}' is not one of diff, show, runbook, base: see pgbackstop topology --help`);
  const most = verb === "diff" ? 2 : 1;
  if (files.length < 1 || files.length > most)
    throw new UsageError(
      `topology ${verb} takes ${most === 1 ? "one file" : "one file or two"}, found ${files.length}`,
    );
  if (measured.length > 0 && verb !== "runbook") throw new UsageError("--measured is for a runbook only");
  if (check !== null && verb !== "runbook") throw new UsageError("--check is for a runbook only");
  const misplaced = CI_OPTIONS.find((name) => verb !== "diff" && valuesOf(name).length > 0);
  if (misplaced !== undefined) throw new UsageError(`--${misplaced} is for diff only`);
  if ([...files, ...measured, check].filter((file) => file === "-").length > 1)
    throw new UsageError("only one of the files can be stdin");
  const ci = readCi(valuesOf);
  const outputs = outputsOf(given.options, check === null && ci.comment === undefined);
  return { verb, files, measured, check, outputs, ci };
}

/** @throws UsageError */
function readCi(valuesOf: (name: string) => string[]): CiOrder {
  const failOn = valuesOf("fail-on");
  const wrong = failOn.find((value) => value !== "unknown" && value !== "weakened");
  if (wrong !== undefined)
    throw new UsageError(`--fail-on takes unknown, or weakened which always holds, found '${wrong}'`);
  const exit = valuesOf("preview-exit").at(-1);
  if (exit !== undefined && !/^[0-9]{1,3}$/.test(exit))
    throw new UsageError(`--preview-exit takes an exit code, found '${exit}'`);
  const named = valuesOf("comment").at(-1);
  const comment = FORGES.find((name) => name === named);
  if (comment !== named) throw new UsageError(`--comment takes ${FORGES.join(" or ")}, found '${named}'`);
  const stack = valuesOf("stack").at(-1);
  if (comment !== undefined && stack === undefined)
    throw new UsageError("--comment needs --stack: each stack has its own comment");
  return {
    failsOnUnknown: failOn.includes("unknown"),
    previewExit: exit === undefined ? null : Number(exit),
    stack,
    project: valuesOf("project").at(-1) ?? ".",
    base: valuesOf("base").at(-1),
    comment,
    pullRequest: valuesOf("pull-request").at(-1),
  };
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
