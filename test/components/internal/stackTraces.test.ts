/** Stack traces of Pulumi's SDK are left out, and no other ones. */
import { join } from "node:path";
import { Script } from "node:vm";
import { afterEach, expect, test, vi } from "vitest";
import { withoutStackTraces } from "../../../components/internal/stackTraces";

const SDK_FILE = join("/app", "node_modules", "@pulumi", "pulumi", "resource.js");
/** As the SDK takes one. */
const takeTrace = new Script("() => new Error('sdk').stack", { filename: SDK_FILE }).runInThisContext() as () => string;
const { prepareStackTrace } = Error;

afterEach(() => {
  vi.unstubAllEnvs();
  expect(Error.prepareStackTrace).toBe(prepareStackTrace);
});

test("the SDK's are empty, and only meanwhile", () => {
  expect(withoutStackTraces(takeTrace)).toBe("");
  expect(withoutStackTraces(() => withoutStackTraces(takeTrace) + takeTrace())).toBe("");
  expect(takeTrace()).toContain(SDK_FILE);
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

test("with PULUMI_DEBUG_PROMISE_LEAKS nothing is left out", () => {
  vi.stubEnv("PULUMI_DEBUG_PROMISE_LEAKS", "true");
  expect(withoutStackTraces(takeTrace)).toContain(SDK_FILE);
});
