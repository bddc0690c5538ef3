/**
 * A comparison that could not be made: a failed preview with its findings, or a file that cannot be read. Replaces the
 * result of an earlier comparison, so that no old all-clear stands. Pure.
 */
import { type LoggedFinding, severityOf } from "../../plan/findings/loggedFindings";
import { findRule } from "../../plan/findings/ruleTable";
import { escapeText } from "../../../runtime/base/html";
import { type About, cell, fitRows, footer, headOf } from "./topologyMarkdown";

export interface Failure {
  /** Why nothing was compared. */
  readonly reason: string;
  /** Errors first. */
  readonly findings: readonly LoggedFinding[];
  /** Errors of the preview that are no finding: the log of the job shows them. */
  readonly otherErrors: number;
}

const HEADERS = "| | database | argument | fact and remedy | rule |\n| --- | --- | --- | --- | --- |";

/** Markdown for a pull request; ends with a newline. */
export function renderFailure(failure: Failure, about: About): string {
  const { findings, reason } = failure;
  const table = findings.length === 0 ? "" : `${HEADERS}\n${fitRows(findings.map(findingRow), "findings")}`;
  const blocks = [
    headOf(about, `✗ Backup topology${about.stack === undefined ? "" : ` of ${cell(about.stack)}`}: not compared`),
    // No line begins with a value: GitLab runs lines that begin with a slash.
    `Nothing was compared: ${cell(reason)}.\nAn earlier result no longer counts.\n`,
    table,
    othersText(failure),
    footer(about.commit === undefined ? {} : { commit: about.commit }),
  ];
  return blocks.filter((block) => block !== "").join("\n");
}

/** A page without script and network. */
export function renderFailurePage(failure: Failure): string {
  const { findings, reason } = failure;
  const items = findings.map(
    ({ code, database, message, path }) =>
      `<li><strong>${escapeText(code)}</strong> ${escapeText(database)} <code>${escapeText(path)}</code>: ${escapeText(message ?? ruleText(code))}</li>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'">
<title>Backup topology: not compared</title>
</head>
<body>
<h1>Backup topology: not compared</h1>
<p>${escapeText(reason)}.</p>
<ul>
${items.join("\n")}
</ul>
<p>${escapeText(othersText(failure).trim())}</p>
</body>
</html>
`;
}

/** Errors first. */
export function bySeverity(findings: readonly LoggedFinding[]): LoggedFinding[] {
  const rank = { error: 0, warning: 1, note: 2 } as const;
  return [...findings].sort((left, right) => rank[severityOf(left.code)] - rank[severityOf(right.code)]);
}

function findingRow({ code, database, file, line, message, path }: LoggedFinding): string {
  const position = file === undefined ? "" : ` (${file}:${line ?? 1})`;
  const cells = [`${code} ${severityOf(code)}`, database, `${path}${position}`, message ?? "secret", ruleText(code)];
  return `| ${cells.map(cell).join(" | ")} |`;
}

function ruleText(code: string): string {
  const rule = findRule(code);
  return rule === null ? code : `${rule.what}: ${rule.why}`.replaceAll("`", "");
}

function othersText({ findings, otherErrors }: Failure): string {
  if (otherErrors === 0) return "";
  const more = findings.length === 0 ? "" : "more ";
  return `${otherErrors} ${more}${otherErrors === 1 ? "error" : "errors"} of the preview: see the log of the job.\n`;
}
