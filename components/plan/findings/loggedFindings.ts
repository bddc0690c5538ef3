/**
 * Findings in the diagnostics of a preview: warnings and notes, and the errors that made it fail. Pure.
 *
 * The engine writes `warning: ` before the text, and colours into stack traces. An error is the text of an exception:
 * the component and the number of errors, a line for each finding, then the stack.
 */
import type { Severity } from "./ruleRow";
import { type RuleCode, RULE_CODES, RULES } from "./ruleTable";

export interface LoggedFinding {
  readonly database: string;
  readonly code: string;
  readonly path: string;
  /** Fact and remedy. Absent if part of the topology is secret: a message may repeat it. */
  readonly message?: string;
  /** Where the program creates the component, relative to the repository; only for errors of programs in JavaScript. */
  readonly file?: string;
  readonly line?: number;
}

/** A line of a stack trace; the file is absolute. */
export interface SourcePosition {
  readonly file: string;
  readonly line: number;
}

/** Findings of one exception, with its stack. */
interface FailedComponent {
  readonly findings: readonly LoggedFinding[];
  readonly trace: readonly SourcePosition[];
}

export interface PreviewErrors {
  readonly components: readonly FailedComponent[];
  /** Errors that are not findings. They go in the job log, never in a PR comment. */
  readonly others: readonly string[];
}

export type Diagnostic = Readonly<Record<string, unknown>>;

/** @param message of a warning or a note @returns null for any other text */
export function parseLogged(message: string): Omit<LoggedFinding, "database"> | null {
  const text = message.trim().replace(/^(?:warning|info|error): /, "");
  const [, code, path, rest] = /^(PB[0-9]{3}) ([^\s:]+): (.*)$/s.exec(text) ?? [];
  return code === undefined || path === undefined || rest === undefined ? null : { code, path, message: rest };
}

/** @param diagnostics of severity `error` */
export function parseErrors(diagnostics: readonly Diagnostic[]): PreviewErrors {
  const texts = diagnostics.map((diagnostic) => plainText(String(diagnostic["message"])));
  const parsed = texts.map((text) => ({ text, components: failedComponents(text) }));
  const unique = new Map(
    parsed.flatMap(({ components }) => components).map((each) => [JSON.stringify(each.findings), each]),
  );
  return {
    components: [...unique.values()],
    others: parsed.filter(({ components }) => components.length === 0).map(({ text }) => text),
  };
}

/** Where the findings are in the program: the innermost line of the trace below `root`, outside of packages. */
export function locatedFindings({ components }: PreviewErrors, root: string): LoggedFinding[] {
  const folder = root.endsWith("/") ? root : `${root}/`;
  return components.flatMap(({ findings, trace }) => {
    const own = trace.find(({ file }) => file.startsWith(folder) && !file.includes("/node_modules/"));
    if (own === undefined) return findings;
    return findings.map((finding) => ({ ...finding, file: own.file.slice(folder.length), line: own.line }));
  });
}

/** Unknown codes are of a newer package. */
export function severityOf(code: string): Severity {
  const known: RuleCode | undefined = RULE_CODES.find((each) => each === code);
  return known === undefined ? "warning" : RULES[known].severity;
}

function failedComponents(text: string): FailedComponent[] {
  const lines = text.split("\n");
  return lines.flatMap((line, index) => {
    // After the kind of exception, or the engine's own words for a component in a plugin.
    const [, database] = /(?:^|: )[A-Z][A-Za-z0-9]* (\S.*): (?:[0-9]+ )?errors? in the arguments$/.exec(line) ?? [];
    if (database === undefined) return [];
    const rest = lines.slice(index + 1);
    const end = rest.findIndex((each) => findingIn(each) === null);
    const own = (end === -1 ? rest : rest.slice(0, end)).flatMap((each) => findingIn(each) ?? []);
    if (own.length === 0) return [];
    const trace = rest.slice(own.length).flatMap((each) => positionIn(each) ?? []);
    return [{ findings: own.map((each) => ({ database, ...each })), trace }];
  });
}

/** `  PB011 schedules.full.cron: the fact; the remedy`, or the path first. */
function findingIn(line: string): Omit<LoggedFinding, "database"> | null {
  const [, path, code, message] = /^\s+([^\s:]+): (PB[0-9]{3}) (.*)$/.exec(line) ?? [];
  if (path !== undefined && code !== undefined && message !== undefined) return { code, path, message };
  return /^\s/.test(line) ? parseLogged(line) : null;
}

/** `    at host (/srv/shop/program.ts:11:44)`. */
function positionIn(line: string): SourcePosition | null {
  const [, file, number] = /^\s+at (?:.*\()?(?:file:\/\/)?(\/[^()]*):([0-9]+):[0-9]+\)?/.exec(line) ?? [];
  return file === undefined ? null : { file, line: Number(number) };
}

/** Without colours and markers of unknown values. */
function plainText(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/\u001b\[[0-9;]*m/g, "").replace(/\u0000unknown:[0-9]+\u0000/g, "not known yet");
}
