/**
 * `pgbackstop topology diff`: compares two states, in every format. A comparison that cannot be made has an output too,
 * which replaces an earlier result.
 */
import {
  diffTopologies,
  type TopologyDiff,
  type TopologySet,
  type UnknownPart,
  unknownPartsOf,
  weakenedOf,
} from "../plan/diff";
import { type LoggedFinding, locatedFindings } from "../plan/findings/loggedFindings";
import { FailedPreviewError, parseStackFile, type StackFile, StackFileError } from "../plan/topology/stackFiles";
import { checkResults, failureResults, renderAnnotations, renderSarif } from "../render/topology/checkResults";
import { bySeverity, type Failure, renderFailure, renderFailurePage } from "../render/topology/failedComparison";
import { bandsOf, renderPicture } from "../render/topology/picture";
import { renderDiffDocument, renderFailedDocument } from "../render/topology/topologyDocument";
import { oneLine } from "../../runtime/base/html";
import { type About, renderMarkdown } from "../render/topology/topologyMarkdown";
import { renderPage } from "../render/topology/topologyPage";
import { nameOf, readText, UsageError } from "./command";

export interface DiffOrder {
  /** One preview, or the state before and after. */
  readonly files: readonly string[];
  /** Exit code of `pulumi preview`; null if not given. */
  readonly previewExit: number | null;
  readonly failsOnUnknown: boolean;
  /** Folder of the repository, for positions in sources. */
  readonly root: string;
  /** Shown for results without a position. */
  readonly projectFile: string;
  readonly about: About;
}

export type DiffRenderers = Readonly<
  Record<"markdown" | "json" | "html" | "svg" | "sarif" | "annotations", () => string>
>;

export interface DiffResult {
  /** 0; 1 for a change that must not pass; 2 for unreadable files; 3 for a failed preview. */
  readonly exitCode: 0 | 1 | 2 | 3;
  readonly render: DiffRenderers;
}

interface Sides {
  readonly before: TopologySet;
  readonly after: TopologySet;
  readonly findings: readonly LoggedFinding[];
}

/** Compares; reports errors of files and previews on stderr. @throws UsageError if one file has one state only */
export function runDiff(order: DiffOrder): DiffResult {
  const sides = readSides(order);
  return "failure" in sides ? failed(order, sides) : compared(order, sides);
}

/** @throws StackFileError with the file's name */
export function readFile(file: string): StackFile {
  const text = readText(file);
  try {
    return parseStackFile(text);
  } catch (error) {
    if (error instanceof StackFileError && !(error instanceof FailedPreviewError))
      throw new StackFileError(`${nameOf(file)}: ${error.message}`);
    throw error;
  }
}

function compared(order: DiffOrder, { after, before, findings }: Sides): DiffResult {
  const diff: TopologyDiff = diffTopologies(before, after);
  const bands = bandsOf(before, after, diff.changes);
  const unknown = unknownPartsOf(after);
  const refused: readonly UnknownPart[] = order.failsOnUnknown ? unknown : [];
  const isRefused = weakenedOf(diff).length > 0 || refused.length > 0;
  const results = checkResults(diff, findings, refused);
  return {
    exitCode: isRefused ? 1 : 0,
    render: {
      markdown: () => renderMarkdown(diff, findings, unknown, order.about),
      json: () => renderDiffDocument(diff, findings, unknown),
      html: () => renderPage({ bands, diff, findings, compares: true }),
      svg: () => renderPicture(bands),
      sarif: () => renderSarif(results, order.projectFile),
      annotations: () => renderAnnotations(results, order.projectFile),
    },
  };
}

interface FailedSides {
  readonly exitCode: 2 | 3;
  readonly failure: Failure;
}

function failed(order: DiffOrder, { exitCode, failure }: FailedSides): DiffResult {
  return {
    exitCode,
    render: {
      markdown: () => renderFailure(failure, order.about),
      json: () => renderFailedDocument(failure),
      html: () => renderFailurePage(failure),
      svg: () => renderPicture([]),
      sarif: () => renderSarif(failureResults(failure), order.projectFile),
      annotations: () => renderAnnotations(failureResults(failure), order.projectFile),
    },
  };
}

function readSides(order: DiffOrder): Sides | FailedSides {
  const [first = "-", second] = order.files;
  const now = attempt(second ?? first, order);
  if ("failure" in now) return now;
  if (order.previewExit !== null && order.previewExit !== 0) {
    const reason = `pulumi preview ended with ${order.previewExit}, although its JSON names no error: a policy pack may refuse the change`;
    report(reason);
    return { exitCode: 3, failure: { reason, findings: bySeverity(now.findings), otherErrors: 0 } };
  }
  if (second === undefined) return sidesOfPreview(first, now);
  const old = attempt(first, order);
  if (!("failure" in old)) return { before: old.after, after: now.after, findings: now.findings };
  // Its findings are not the change's.
  const reason = `there is nothing to compare with: ${old.failure.reason}`;
  return { exitCode: old.exitCode, failure: { reason, findings: bySeverity(now.findings), otherErrors: 0 } };
}

function sidesOfPreview(file: string, { after, before, findings, kind }: StackFile): Sides {
  if (before === null)
    throw new UsageError(
      `${nameOf(file)} is a ${kind === "export" ? "stack export" : kind} and shows one state only: give the state before it too`,
    );
  return { before, after, findings };
}

function attempt(file: string, order: DiffOrder): StackFile | FailedSides {
  try {
    return readFile(file);
  } catch (error) {
    if (error instanceof FailedPreviewError) {
      const findings = [...locatedFindings(error.errors, order.root), ...error.findings];
      const reason = `${nameOf(file)}: ${error.message}`;
      report(reason, [
        ...findings.map(({ code, database, message, path }) => `${code} ${database} ${path}: ${message ?? "secret"}`),
        ...error.errors.others,
      ]);
      const failure = {
        reason: "the preview failed, so it is incomplete",
        findings: bySeverity(findings),
        otherErrors: error.errors.others.length,
      };
      return { exitCode: 3, failure };
    }
    if (!(error instanceof StackFileError || error instanceof UsageError)) throw error;
    report(error.message);
    return { exitCode: 2, failure: { reason: error.message, findings: [], otherErrors: 0 } };
  }
}

/** A line of a log that begins with `::` would be a command to GitHub's runner. */
function report(reason: string, details: readonly string[] = []): void {
  const lines = details.flatMap((text) => text.trimEnd().split("\n")).map((line) => `  | ${oneLine(line)}\n`);
  process.stderr.write(`pgbackstop topology: ${oneLine(reason)}\n${lines.join("")}`);
}
