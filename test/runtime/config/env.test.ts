import { describe, expect, test } from "vitest";
import type { Entries } from "../../../runtime/config/entry";
import { addEnvironment } from "../../../runtime/config/env";
import { failure } from "./support";

function added(env: Record<string, string>, entries: Entries = new Map()): { values: unknown; warnings: string[] } {
  const warnings: string[] = [];
  addEnvironment(entries, env, "backup", (text) => warnings.push(text));
  return {
    values: Object.fromEntries([...entries].map(([id, entry]) => [id, [entry.source, ...entry.texts]])),
    warnings,
  };
}

describe("options from the environment", () => {
  test("are named in upper case with underscores; lists and hashes are split at colons", () => {
    expect(
      added({
        HOME: "/root",
        PGBACKREST_REPO1_S3_KEY: "a:b",
        PGBACKREST_START_FAST: "y",
        PGBACKREST_EXCLUDE: "a:b",
        PGBACKREST_LINK_MAP: "x=/1:y=/2",
      }),
    ).toEqual({
      values: {
        "exclude#0": ["environment", "a", "b"],
        "link-map#0": ["environment", "x=/1", "y=/2"],
        "repo-s3-key#1": ["environment", "a:b"],
        "start-fast#0": ["environment", "y"],
      },
      warnings: [],
    });
  });

  test("never replace the command line", () => {
    const entries: Entries = new Map();
    added({ PGBACKREST_PROCESS_MAX: "2" }, entries);
    expect(added({ PGBACKREST_PROCESS_MAX: "3" }, entries).values).toEqual({ "process-max#0": ["environment", "2"] });
  });

  test("only warn when unknown, negated or reset", () => {
    expect(added({ PGBACKREST_NOPE: "1", PGBACKREST_NO_DELTA: "y", PGBACKREST_RESET_DELTA: "y" })).toEqual({
      values: {},
      warnings: [
        "environment contains invalid option 'nope'",
        "environment contains invalid negate option 'no-delta'",
        "environment contains invalid reset option 'reset-delta'",
      ],
    });
  });

  test.each([
    [
      { PGBACKREST_REPO1_S3_KEY: "" },
      "optionInvalidValue: environment variable 'repo1-s3-key' must have a value\nHINT: set or unset PGBACKREST_REPO1_S3_KEY.",
    ],
    [
      { PGBACKREST_DELTA: "true" },
      "optionInvalidValue: environment boolean option 'delta' must be 'y' or 'n'\nHINT: correct PGBACKREST_DELTA.",
    ],
    [
      { PGBACKREST_REPO_BUNDLE: "y" },
      "optionInvalid: option 'repo-bundle' requires an index\nHINT: add the required index, e.g. repo1-bundle.",
    ],
  ])("fail when wrong: %j", (env, message) => expect(failure(() => added(env))).toBe(message));
});
