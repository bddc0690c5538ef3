/**
 * A vitest reporter that prints the reason of a failure immediately. Vitest itself prints it after all files of a tier,
 * and its JSON report has no errors of hooks.
 */
import { writeFileSync } from "node:fs";
import type { Reporter, SerializedError, TestCase, TestModule, TestSuite } from "vitest/node" with {
  "resolution-mode": "import",
};

/** Names the file for errors of hooks: a JSON object with the messages by test file. */
export const HOOK_ERRORS_VARIABLE = "PGBACKSTOP_HOOK_ERRORS";

export default class FailureReporter implements Reporter {
  readonly #hookErrors: Record<string, string> = {};

  onTestCaseResult(test: TestCase): void {
    print(`${test.module.relativeModuleId} > ${test.fullName}`, test.result().errors ?? []);
  }

  onTestSuiteResult(suite: TestSuite): void {
    const errors = suite.errors();
    print(`${suite.module.relativeModuleId} > ${suite.fullName}`, errors);
    if (errors.length > 0)
      this.#hookErrors[suite.module.moduleId] = errors.map(({ stack, message }) => stack ?? message).join("\n");
  }

  onTestRunEnd(): void {
    const file = process.env[HOOK_ERRORS_VARIABLE];
    if (file !== undefined) writeFileSync(file, JSON.stringify(this.#hookErrors));
  }

  onTestModuleEnd(module: TestModule): void {
    print(module.relativeModuleId, module.errors());
  }
}

function print(title: string, errors: readonly SerializedError[]): void {
  if (errors.length === 0) return;
  const reasons = errors.map(({ message, diff, stacks }) => {
    const positions = (stacks ?? []).map(({ file, line }) => `    ${file}:${line}\n`);
    return `${message}\n${typeof diff === "string" ? `${diff}\n` : ""}${positions.join("")}`;
  });
  process.stderr.write(`\n× ${title}\n${reasons.join("")}\n`);
}
