import { describe, expect, test } from "vitest";
import type { Entries } from "../../../runtime/config/entry";
import { addEnvironment } from "../../../runtime/config/env";
import { COMMANDS } from "../../../runtime/config/commands";
import { rowOf } from "../../../runtime/config/optionName";
import { failure, load } from "./support";

function added(env: Record<string, string>, entries: Entries = new Map()): { values: unknown; warnings: string[] } {
  const warnings: string[] = [];
  addEnvironment(entries, env, "backup", (text) => warnings.push(text));
  return {
    values: Object.fromEntries([...entries].map(([id, entry]) => [id, [entry.source, ...entry.texts]])),
    warnings,
  };
}

/** What Kubernetes sets in each pod for a Service of that name. */
function serviceVariables(service: string): Record<string, string> {
  const prefix = service.toUpperCase().replaceAll("-", "_");
  return {
    [`${prefix}_SERVICE_HOST`]: "10.96.0.9",
    [`${prefix}_SERVICE_PORT`]: "8432",
    [`${prefix}_PORT`]: "tcp://10.96.0.9:8432",
    [`${prefix}_PORT_8432_TCP`]: "tcp://10.96.0.9:8432",
    [`${prefix}_PORT_8432_TCP_ADDR`]: "10.96.0.9",
  };
}

describe("a Service named like the prefix", () => {
  const env = { ...serviceVariables("pgbackrest"), ...serviceVariables("pgbackrest-tls-server") };
  const argvOf = (command: string): string[] => [
    ...(rowOf("stanza").commands.some((name) => name === command) ? ["--stanza=main"] : []),
    command,
  ];
  const messageOf = (command: string, more: Record<string, string>): string =>
    failure(() => load({ argv: argvOf(command), env: { PGBACKREST_PG1_PATH: "/pg", ...more } }));

  test.each(COMMANDS.filter((command) => command !== "open"))("changes nothing for %s", (command) => {
    expect(messageOf(command, env)).toBe(messageOf(command, {}));
  });

  // As in stock for an option that the command uses.
  test("fails open, which has an option of that name, and says which variable", () => {
    expect(messageOf("open", env)).toContain(
      "'tcp://10.96.0.9:8432' is not valid for 'port' option\nHINT: allowed range is",
    );
    expect(messageOf("open", env)).toContain("environment variable PGBACKREST_PORT");
  });

  test("is only warned of where the option's dependency is not met, or nothing acts on it", () => {
    const { warnings } = load({
      argv: ["backup", "--stanza=main"],
      env: {
        PGBACKREST_PG1_PATH: "/pg",
        PGBACKREST_REPO1_STORAGE_PORT: "tcp://1:2",
        PGBACKREST_PG1_HOST_PORT: "tcp://1:2",
      },
    });
    expect(warnings.filter((text) => text.includes("tcp:"))).toEqual(
      ["repo1-storage-port", "pg1-host-port"].map((name) => expect.stringContaining(`not valid for '${name}' option`)),
    );
  });
});

describe("options from the environment", () => {
  test("are named in upper case with underscores; lists and hashes are split at colons", () => {
    expect(
      added({
        HOME: "/root",
        PGBACKREST_REPO1_S3_KEY: "a:b",
        PGBACKREST_START_FAST: "y",
        PGBACKREST_EXCLUDE: "a:b",
        PGBACKREST_ANNOTATION: "x=/1:y=/2",
      }),
    ).toEqual({
      values: {
        "annotation#0": ["environment", "x=/1", "y=/2"],
        "exclude#0": ["environment", "a", "b"],
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
