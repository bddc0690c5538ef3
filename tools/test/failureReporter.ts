/**
 * A vitest reporter that prints the reason of a failure immediately. Vitest itself prints it after all files of a tier.
 */
import type { Reporter, SerializedError, TestCase, TestModule, TestSuite } from "vitest/node" with {
  "resolution-mode": "import",
};

export default class FailureReporter implements Reporter {
  onTestCaseResult(test: TestCase): void {
    print(`${test.module.relativeModuleId} > ${test.fullName}`, test.result().errors ?? []);
  }

  onTestSuiteResult(suite: TestSuite): void {
    print(`${suite.module.relativeModuleId} > ${suite.fullName}`, suite.errors());
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
