import { describe, expect, test } from "vitest";
import { addResults, formatReport, type JsonReport, NOTHING, readReport } from "../../../tools/test/report";

type File = JsonReport["testResults"][number];
const file = (name: string, seconds: number, more: Partial<File> = {}): File => ({
  name: `/project/test/${name}`,
  status: "passed",
  startTime: 1000,
  endTime: 1000 + seconds * 1000,
  message: "",
  assertionResults: [],
  ...more,
});
const report = (files: readonly File[], failed = 0): JsonReport => ({
  numPassedTests: 3,
  numFailedTests: failed,
  numPendingTests: 1,
  numTodoTests: 0,
  testResults: files,
});
const read = (result: JsonReport | null, exitCode: number, title = "unit", hookErrors = {}) =>
  readReport({ title, report: result, exitCode, root: "/project", hookErrors });
const FAILED = {
  status: "failed",
  fullName: "adds numbers",
  failureMessages: ["expected 2\n    at node_modules/x\n    at test/sums.test.ts"],
};

describe("the report of a run", () => {
  test("has counts, files and failures, without foreign lines in a stack", () => {
    const files = [file("sums.test.ts", 2, { status: "failed", assertionResults: [FAILED] })];
    expect(read(report(files, 1), 1)).toEqual({
      passed: 3,
      failed: 1,
      skipped: 1,
      files: [{ path: "test/sums.test.ts", seconds: 2 }],
      failures: ["test/sums.test.ts > adds numbers\n      expected 2\n          at test/sums.test.ts"],
    });
  });

  test("counts a file that failed to load", () => {
    const broken = file("sums.test.ts", 0, { status: "failed", message: "no such module" });
    expect(read(report([broken]), 1)).toMatchObject({
      failed: 1,
      failures: ["test/sums.test.ts\n      no such module"],
    });
  });

  test("says which hook failed, beside failed tests and without any", () => {
    const passed = file("sums.test.ts", 0, { status: "failed" });
    const hookErrors = { [passed.name]: "Error: ENOTEMPTY" };
    const reason = "test/sums.test.ts\n      Error: ENOTEMPTY";
    expect(read(report([passed]), 1, "unit", hookErrors)).toMatchObject({ failed: 1, failures: [reason] });
    const both = { ...passed, assertionResults: [FAILED] };
    const { failures } = read(report([both], 1), 1, "unit", hookErrors);
    expect(failures).toEqual([expect.stringContaining("adds numbers"), reason]);
  });

  test("is a failure when the runner crashed", () => {
    expect(read(null, 137)).toMatchObject({
      failed: 1,
      failures: ["unit: the runner ended with 137 and without a report"],
    });
    expect(read(report([]), 1)).toMatchObject({ passed: 3, failed: 1 });
    expect(read(report([]), 0)).toMatchObject({ passed: 3, failed: 0 });
  });
});

describe("the end of the output", () => {
  const result = {
    ...NOTHING,
    ...read(report([file("slow.test.ts", 71), file("quick.test.ts", 0.25)]), 0, "data"),
    seconds: 40,
  };

  test("names the ten slowest files of all tiers", () => {
    const many = Array.from({ length: 11 }, (_, index) => ({ path: `test/${index}.test.ts`, seconds: index + 1 }));
    const text = formatReport(
      [
        { ...NOTHING, files: many, name: "unit", about: "code" },
        { ...result, name: "data", about: "servers" },
      ],
      60,
    );
    const slowest = text.split("\n").filter((line) => line.includes(" s  test/"));
    expect(slowest).toHaveLength(10);
    expect(slowest[0]).toBe("    71.0 s  test/slow.test.ts");
    expect(slowest[1]).toBe("    11.0 s  test/10.test.ts");
    expect(text).not.toContain("quick.test.ts");
  });

  test("adds up a tier's runs, and ends with the plain line", () => {
    const both = addResults(result, { ...result, failed: 1, failures: ["test/alone.test.ts"] });
    const text = formatReport([{ ...both, name: "data", about: "servers" }], 90);
    expect(text).toMatch(/^\nfailed:\n {4}test\/alone.test.ts\n/);
    expect(text).toMatch(/ {2}data +6 +1 +2 +80 {2}servers\n/);
    expect(text).toMatch(/\n\n6 passed, 1 failed, 2 skipped\n$/);
  });
});
