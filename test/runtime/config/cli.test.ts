import { describe, expect, test } from "vitest";
import { parseCommandLine } from "../../../runtime/config/cli";
import { COMMANDS } from "../../../runtime/config/commands";
import { failure } from "./support";

const EVERY_COMMAND = `Available commands: ${COMMANDS.join(", ")}.`;

function parsed(...argv: string[]): unknown {
  const { command, params, entries } = parseCommandLine(argv);
  return [
    command,
    params,
    Object.fromEntries(
      [...entries].map(([id, entry]) => [id.replace(/#0$/, ""), entry.reset ? "reset" : entry.texts.join("|")]),
    ),
  ];
}

describe("the command line", () => {
  test("takes options before and after the command, with = and without", () => {
    expect(
      parsed(
        "--stanza=main",
        "--repo1-path",
        "/a=b",
        "backup",
        "--type=full",
        "--start-fast",
        "--no-resume",
        "--reset-process-max",
      ),
    ).toEqual([
      "backup",
      [],
      { stanza: "main", "repo-path#1": "/a=b", type: "full", "start-fast": "y", resume: "n", "process-max": "reset" },
    ]);
    expect(parsed("restore", "--stanza", "--odd", "--compress-level", "-3")).toEqual([
      "restore",
      [],
      { stanza: "--odd", "compress-level": "-3" },
    ]);
  });

  test("accepts y and n after a boolean, and enums that resemble booleans", () => {
    expect(parsed("restore", "--archive-check=n", "--delta=y", "--force=n", "--backup-standby", "--no-config")).toEqual(
      ["restore", [], { "archive-check": "n", delta: "y", force: "n", "backup-standby": "y", config: "" }],
    );
    expect(parsed("backup", "--no-backup-standby")).toEqual(["backup", [], { "backup-standby": "n" }]);
    expect(parsed("backup", "--backup-standby=prefer")).toEqual(["backup", [], { "backup-standby": "prefer" }]);
  });

  test("accepts the background processes of two commands", () => {
    expect(parseCommandLine(["archive-push:async", "/pg_wal"])).toMatchObject({
      command: "archive-push",
      role: "async",
      params: ["/pg_wal"],
    });
    expect(parseCommandLine(["archive-get:async"])).toMatchObject({ command: "archive-get", role: "async" });
    expect(parseCommandLine(["archive-get"])).toMatchObject({ role: "main" });
  });

  test("accumulates lists and hashes", () => {
    expect(parsed("restore", "--tablespace-map=a=/1", "--tablespace-map=b=/2", "--link-map=x=/y")).toEqual([
      "restore",
      [],
      { "tablespace-map": "a=/1|b=/2", "link-map": "x=/y" },
    ]);
  });

  test("ends options at --, and passes parameters to commands that accept them", () => {
    expect(parsed("archive-push", "--stanza=main", "--", "--odd/path")).toEqual([
      "archive-push",
      ["--odd/path"],
      { stanza: "main" },
    ]);
    expect(parsed("archive-get", "0001", "pg_wal/RECOVERYXLOG")).toEqual([
      "archive-get",
      ["0001", "pg_wal/RECOVERYXLOG"],
      {},
    ]);
    expect(parsed("pg-settings", "archive_mode=on", "archive_command=")).toEqual([
      "pg-settings",
      ["archive_mode=on", "archive_command="],
      {},
    ]);
  });

  test.each([
    [[], ["help", [], {}]],
    [["--help"], ["help", [], {}]],
    [["-h"], ["help", [], {}]],
    [
      ["help", "backup", "type"],
      ["help", ["backup", "type"], {}],
    ],
    [
      ["backup", "--help"],
      ["help", ["backup"], {}],
    ],
    [
      ["-h", "heal", "extra"],
      ["help", ["heal"], {}],
    ],
    [
      ["--stanza=main", "find", "--limit=3", "--help"],
      ["help", ["find"], {}],
    ],
    [["--version"], ["version", [], {}]],
    [
      ["version", "--output=json"],
      ["version", [], { output: "json" }],
    ],
  ])("%j asks for help or the version", (argv, result) => expect(parsed(...argv)).toEqual(result));

  test.each([
    [["backup", "--nope"], "optionInvalid: invalid option '--nope'\nHINT: the command help lists the options."],
    [
      ["backup", "--nope=markerSecret"],
      "optionInvalid: invalid option '--nope'\nHINT: the command help lists the options.",
    ],
    [["backup", "--strat-fast"], "optionInvalid: invalid option '--strat-fast'\nHINT: did you mean --start-fast?"],
    [
      ["backup", "--log-level"],
      "optionInvalid: invalid option '--log-level'\nHINT: did you mean --log-level-console or --log-level-file?",
    ],
    [["backup", "-t=markerSecret"], "optionInvalid: option '-t' must begin with --"],
    [["backup", "--type"], "optionInvalid: option '--type' requires an argument"],
    [["backup", "--no-start-fast=y"], "optionInvalid: option 'no-start-fast' does not allow an argument"],
    [["backup", "--start-fast=yes"], "optionInvalidValue: boolean option '--start-fast' argument must be 'y' or 'n'"],
    [["backup", "--type=full", "--type=diff"], "optionInvalid: option 'type' cannot be set multiple times"],
    [
      ["backup", "--repo-path=/a", "--repo1-path=/b"],
      "optionInvalid: option 'repo1-path' cannot be set multiple times",
    ],
    [["backup", "--delta", "--delta"], "optionInvalid: option 'delta' cannot be set multiple times"],
    [["backup", "--no-delta", "--no-delta"], "optionInvalid: option 'delta' is negated multiple times"],
    [["backup", "--reset-delta", "--reset-delta"], "optionInvalid: option 'delta' is reset multiple times"],
    [["backup", "--delta", "--no-delta"], "optionInvalid: option 'delta' cannot be set and negated"],
    [["backup", "--delta", "--reset-delta"], "optionInvalid: option 'delta' cannot be set and reset"],
    [["backup", "--no-delta", "--reset-delta"], "optionInvalid: option 'delta' cannot be negated and reset"],
    [
      ["backup", "--repo2-s3-key-secret=markerSecret"],
      "optionInvalid: option 'repo2-s3-key-secret' is not allowed on the command-line\nHINT: this option could expose secrets in the process list.\nHINT: specify the option in a configuration file or an environment variable instead.",
    ],
    [["backup", "extra"], "paramInvalid: command does not allow parameters"],
    [["backup", "--version"], "optionInvalid: option 'version' not valid for command 'backup'"],
    [["--stanza=main"], `commandRequired: no command found\nHINT: ${EVERY_COMMAND}`],
    [["bakcup"], `commandInvalid: invalid command 'bakcup'\nHINT: ${EVERY_COMMAND}`],
    [
      ["server-ping"],
      "commandInvalid: invalid command 'server-ping'\nHINT: Run this command with pgbackrest, which works on the same repositories.",
    ],
    [["backup:async"], `commandInvalid: invalid command 'backup:async'\nHINT: ${EVERY_COMMAND}`],
  ])("%j fails", (argv, message) => expect(failure(() => parseCommandLine(argv))).toBe(message));
});

test("abbreviated names are completed as in stock, on the command line only", () => {
  const named = (...argv: readonly string[]): readonly string[] => [...parseCommandLine(argv).entries.keys()];
  const whole = ["--log-level-console=info", "--stanza=x", "--repo2-path=/r", "--no-log-timestamp", "--output=json"];
  const short = ["--log-level-consol=info", "--stanz=x", "--repo2-pat=/r", "--no-log-timest", "--out=json"];
  expect(named("info", ...short)).toEqual(named("info", ...whole));
  expect(() => named("info", "--repo1-cipher-pas=x")).toThrow(/'repo1-cipher-pass' is not allowed on the command-line/);
});
