/** Results of vitest runs by tier: counts, failures with their reasons, and the slowest files. */
import { relative } from "node:path";
import { formatTable } from "../parts/progress";

/** Lines of each failure's reason repeated at the end. */
const FAILURE_LINES = 12;
/** Files listed at the end with their seconds. */
const SLOWEST_FILES = 10;

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface RunResult extends Counts {
  readonly seconds: number;
  /** Each failure and its reason, a few lines each. */
  readonly failures: readonly string[];
  readonly files: readonly TestFile[];
}

interface TestFile {
  readonly path: string;
  /** Time of its tests, without the set-up before the first one. */
  readonly seconds: number;
}

export interface TierResult extends RunResult {
  readonly name: string;
  readonly about: string;
}

export const NOTHING: RunResult = { passed: 0, failed: 0, skipped: 0, seconds: 0, failures: [], files: [] };

/** The part of vitest's format that is used here. */
export interface JsonReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    /** Milliseconds since 1970. */
    readonly startTime: number;
    readonly endTime: number;
    /** Error of a file that failed to load. */
    readonly message: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

export interface FinishedRun {
  readonly title: string;
  /** Null if the runner left none. */
  readonly report: JsonReport | null;
  /** Errors of hooks by test file, which the report lacks. */
  readonly hookErrors: Readonly<Record<string, string>>;
  readonly exitCode: number;
  /** Paths are relative to this folder. */
  readonly root: string;
}

/** The result of a run. Never green by accident. */
export function readReport(run: FinishedRun): Omit<RunResult, "seconds"> {
  const { title, report, exitCode, root } = run;
  const broken = (failures: string): Pick<RunResult, "failed" | "failures"> => ({
    failed: 1,
    failures: [`${title}: ${failures}`],
  });
  if (report === null) return { ...NOTHING, ...broken(`the runner ended with ${exitCode} and without a report`) };
  const result = {
    ...countTests(report),
    failures: listFailures(report, root, run.hookErrors),
    files: listFiles(report, root),
  };
  // The runner crashed, or an error occurred outside any test.
  return exitCode === 0 || result.failed > 0
    ? result
    : { ...result, ...broken(`the runner ended with ${exitCode}, and no test of it failed`) };
}

/** Two runs of one tier as one. */
export function addResults(left: RunResult, right: RunResult): RunResult {
  return {
    passed: left.passed + right.passed,
    failed: left.failed + right.failed,
    skipped: left.skipped + right.skipped,
    seconds: left.seconds + right.seconds,
    failures: [...left.failures, ...right.failures],
    files: [...left.files, ...right.files],
  };
}

/** The end of the output: failures, slowest files, the table, and one plain line `N passed, N failed, N skipped`. */
export function formatReport(results: readonly TierResult[], totalSeconds: number): string {
  const sum = (field: keyof Counts): number => results.reduce((total, result) => total + result[field], 0);
  const total = { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
  const table = [
    ["tier", "passed", "failed", "skipped", "seconds", "what is real"],
    ...results.map((result) => [result.name, ...numbers(result), result.seconds.toFixed(0), result.about]),
    ["all", ...numbers(total), totalSeconds.toFixed(0), ""],
  ];
  const failures = results.flatMap((result) => result.failures).map((failure) => `    ${failure}\n`);
  const slowest = results
    .flatMap((result) => result.files)
    .toSorted((left, right) => right.seconds - left.seconds)
    .slice(0, SLOWEST_FILES)
    .map((file) => `  ${file.seconds.toFixed(1).padStart(6)} s  ${file.path}\n`);
  return [
    failures.length === 0 ? "" : `\nfailed:\n${failures.join("")}`,
    slowest.length === 0 ? "" : `\nslowest files:\n${slowest.join("")}`,
    `\n${formatTable(table, [1, 2, 3, 4])}\n\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`,
  ].join("");
}

function numbers(counts: Counts): string[] {
  return [String(counts.passed), String(counts.failed), String(counts.skipped)];
}

function listFiles({ testResults }: JsonReport, root: string): readonly TestFile[] {
  return testResults.map((file) => ({
    path: relative(root, file.name),
    seconds: (file.endTime - file.startTime) / 1000,
  }));
}

/**
 * Each failure with its file, name and the first lines of its reason, for readers who have only the end of a long
 * output.
 */
function listFailures(
  { testResults }: JsonReport,
  root: string,
  hookErrors: FinishedRun["hookErrors"],
): readonly string[] {
  const ours = (line: string): boolean => !/^\s+at .*(node_modules|node:internal|new Promise)/.test(line);
  const text = (file: string, title: string, reason: string): string =>
    [`${relative(root, file)}${title}`, ...reason.split("\n").filter(ours).slice(0, FAILURE_LINES)].join("\n      ");
  return testResults
    .filter((file) => file.status === "failed")
    .flatMap((file) => {
      const failed = file.assertionResults.filter((test) => test.status === "failed");
      const reasons = failed.map((test) => text(file.name, ` > ${test.fullName}`, test.failureMessages.join("\n")));
      const outside = hookErrors[file.name] ?? file.message;
      return outside !== "" || failed.length === 0 ? [...reasons, text(file.name, "", outside)] : reasons;
    });
}

function countTests(report: JsonReport): Counts {
  // A file that failed to load, or whose hook failed, has no failed test.
  const broken = report.testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
  ).length;
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}
