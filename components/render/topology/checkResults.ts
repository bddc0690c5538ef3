/**
 * A comparison as results of a check: SARIF 2.1.0 for code scanning, and workflow commands that GitHub shows alongside
 * the code. Pure.
 */
import { type TopologyDiff, type UnknownPart, weakenedOf } from "../../plan/diff";
import { type LoggedFinding, severityOf } from "../../plan/findings/loggedFindings";
import type { Severity } from "../../plan/findings/ruleRow";
import { findRule } from "../../plan/findings/ruleTable";
import type { Failure } from "./failedComparison";
import { oneLine } from "../../../runtime/base/html";
import { wellFormed } from "./topologyMarkdown";

/** GitHub shows ten annotations of a level; a log of thousands hides the rest. */
const ANNOTATIONS_MAX = 50;

interface CheckResult {
  /** A code, or a name of {@link OWN_RULES}. */
  readonly rule: string;
  readonly level: Severity;
  readonly database: string;
  readonly path: string;
  readonly message: string;
  readonly file?: string;
  readonly line?: number;
}

/** Results that are no findings. */
const OWN_RULES: Readonly<Record<string, string>> = {
  weakened: "a change weakens the backups and is not acknowledged",
  unknown: "a part of the topology is known only after the update",
  "not-compared": "nothing was compared",
};

/** @param unknown parts that fail the check */
export function checkResults(
  diff: TopologyDiff,
  findings: readonly LoggedFinding[],
  unknown: readonly UnknownPart[],
): CheckResult[] {
  return [
    ...weakenedOf(diff).map(
      ({ acknowledgeAs, database, path, text }): CheckResult => ({
        rule: "weakened",
        level: "error",
        database,
        path,
        message: `${text}; mend it, or acknowledge it as ${acknowledgeAs}`,
      }),
    ),
    ...unknown.map(
      ({ database, path }): CheckResult => ({
        rule: "unknown",
        level: "error",
        database,
        path,
        message: "known only after the update, so it cannot be compared",
      }),
    ),
    ...findings.map(resultOf),
  ];
}

export function failureResults({ findings, otherErrors, reason }: Failure): CheckResult[] {
  const others = otherErrors === 0 ? "" : ` (errors without a finding: ${otherErrors})`;
  const failed: CheckResult = {
    rule: "not-compared",
    level: "error",
    database: "",
    path: "",
    message: `${reason}${others}`,
  };
  return [failed, ...findings.map(resultOf)];
}

/** @param file where a result is shown that has no position of its own; relative to the repository */
export function renderSarif(results: readonly CheckResult[], file: string): string {
  const codes = [...new Set(results.map(({ rule }) => rule))];
  const log = {
    $schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: { driver: { name: "pgbackstop", rules: codes.map(sarifRule) } },
        results: results.map((result) => ({
          ruleId: result.rule,
          ruleIndex: codes.indexOf(result.rule),
          level: result.level,
          message: { text: textOf(result) },
          locations: [
            {
              physicalLocation: {
                artifactLocation: { uri: encodeURI(wellFormed(result.file ?? file)), uriBaseId: "%SRCROOT%" },
                region: { startLine: result.line ?? 1 },
              },
              ...(result.database === ""
                ? {}
                : { logicalLocations: [{ fullyQualifiedName: subjectOf(result), kind: "object" }] }),
            },
          ],
          // Code scanning follows a result over commits by this.
          partialFingerprints: { "databaseAndPath/v1": `${result.rule} ${subjectOf(result)}` },
        })),
      },
    ],
  };
  return `${JSON.stringify(log, undefined, 2)}\n`;
}

/** One line for each result; empty without results. */
export function renderAnnotations(results: readonly CheckResult[], file: string): string {
  const lines = results.slice(0, ANNOTATIONS_MAX).map((result) => {
    const title = [result.rule, subjectOf(result)].filter((each) => each !== "").join(" ");
    const properties = [
      `file=${propertyText(result.file ?? file)}`,
      `line=${result.line ?? 1}`,
      `title=${propertyText(title)}`,
    ];
    const command = result.level === "note" ? "notice" : result.level;
    return `::${command} ${properties.join(",")}::${commandText(result.message)}\n`;
  });
  const rest = results.length - lines.length;
  return lines.join("") + (rest > 0 ? `::notice::${rest} more results are in the other outputs\n` : "");
}

function resultOf({ code, database, file, line, message, path }: LoggedFinding): CheckResult {
  return {
    rule: code,
    level: severityOf(code),
    database,
    path,
    message: message ?? findRule(code)?.what ?? code,
    ...(file === undefined ? {} : { file, line: line ?? 1 }),
  };
}

function sarifRule(code: string): object {
  const rule = findRule(code);
  if (rule === null) return { id: code, shortDescription: { text: OWN_RULES[code] ?? code } };
  return {
    id: code,
    shortDescription: { text: rule.what },
    fullDescription: { text: `${rule.what}: ${rule.why}` },
    help: { text: rule.remedy },
    defaultConfiguration: { level: rule.severity },
  };
}

function textOf(result: CheckResult): string {
  const subject = subjectOf(result);
  return oneLine(subject === "" ? result.message : `${subject}: ${result.message}`);
}

function subjectOf({ database, path }: CheckResult): string {
  return [database, path].filter((each) => each !== "").join(" ");
}

/** The runner's own escapes (`@actions/core`). */
function commandText(text: string): string {
  return oneLine(text).replaceAll("%", "%25");
}

function propertyText(text: string): string {
  return commandText(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}
