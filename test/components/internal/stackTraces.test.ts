/** Stack traces of Pulumi's SDK are left out, and no other ones. */
import { join } from "node:path";
import { Script } from "node:vm";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { omitPromiseTraces, withoutStackTraces } from "../../../components/internal/stackTraces";

const SDK_FILE = join("/app", "node_modules", "@pulumi", "pulumi", "resource.js");
const PROMISES_FILE = join("/app", "node_modules", "@pulumi", "pulumi", "runtime", "debuggable.js");
/** As the SDK takes one. */
const tracerIn = (filename: string): (() => string) =>
  new Script("() => new Error('sdk').stack", { filename }).runInThisContext() as () => string;
const takeTrace = tracerIn(SDK_FILE);
const takePromiseTrace = tracerIn(PROMISES_FILE);
const { prepareStackTrace } = Error;
const format: typeof prepareStackTrace = (error, calls) =>
  [String(error), ...calls.map((call) => call.getFileName() ?? "")].join("\n");

// The package's index, which other tests import, omits those of promises.
beforeEach(() => {
  Error.prepareStackTrace = format;
});
afterEach(() => {
  vi.unstubAllEnvs();
  Error.prepareStackTrace = prepareStackTrace;
});

test("the SDK's are empty, and only meanwhile", () => {
  expect(withoutStackTraces(takeTrace)).toBe("");
  expect(withoutStackTraces(() => withoutStackTraces(takeTrace) + takeTrace())).toBe("");
  expect(takeTrace()).toContain(SDK_FILE);
  expect(Error.prepareStackTrace).toBe(format);
});

test("errors keep theirs", () => {
  const read = (): string | undefined => new Error("own").stack;
  expect(withoutStackTraces(read)).toMatch(/own[^]*stackTraces\.test\.ts/);
  const fail = (): never => {
    throw new Error("refused");
  };
  try {
    withoutStackTraces(fail);
  } catch (error) {
    expect((error as Error).stack).toMatch(/refused[^]*stackTraces\.test/);
  }
});

test("those of promises are empty from then on, and no others", () => {
  omitPromiseTraces();
  expect(takePromiseTrace()).toBe("");
  expect(takeTrace()).toContain(SDK_FILE);
  expect(new Error("own").stack).toMatch(/own[^]*stackTraces\.test\.ts/);
  expect(withoutStackTraces(takeTrace)).toBe("");
  expect(takePromiseTrace()).toBe("");
});

test("with PULUMI_DEBUG_PROMISE_LEAKS nothing is left out", () => {
  vi.stubEnv("PULUMI_DEBUG_PROMISE_LEAKS", "true");
  omitPromiseTraces();
  expect(withoutStackTraces(takeTrace)).toContain(SDK_FILE);
  expect(takePromiseTrace()).toContain(PROMISES_FILE);
});
