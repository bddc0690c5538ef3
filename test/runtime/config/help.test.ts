import { describe, expect, test } from "vitest";
import { helpText } from "../../../runtime/config/help";
import { OPTIONS } from "../../../runtime/config/options";
import { COMMANDS } from "../../../runtime/config/commands";
import { failure } from "./support";

describe("help", () => {
  test("lists every command", () => {
    const text = helpText([]);
    for (const command of COMMANDS) expect(text).toMatch(new RegExp(`^    ${command} +[a-z]`, "m"));
    expect(
      text
        .replaceAll(/ {2,}(?=[a-z])/g, "  ")
        .split("\n")
        .slice(0, 7),
    ).toEqual([
      "pgbackstop - general help",
      "",
      "Usage:",
      "  pgbackstop [options] [command]",
      "",
      "Commands:",
      "  agent  serve archive_command and restore_command over a unix socket, push ahead and heal",
    ]);
  });

  test.each(COMMANDS)("lists every option of %s and says which have no effect", (command) => {
    const lines = helpText([command]).split("\n");
    const listed = lines.flatMap((line) => /^ {4}--([a-z0-9-]+) +/.exec(line)?.[1] ?? []);
    const rows = OPTIONS.filter((row) => row.commands.includes(command));
    expect(listed.toSorted()).toEqual(rows.map((row) => row.name).toSorted());
    for (const row of rows) {
      const line = lines.find((text) => text.startsWith(`    --${row.name} `)) ?? "";
      expect(/accepted, without effect|refused/.test(line)).toBe(!row.acted || row.refusedValues !== undefined);
    }
  });

  test("explains one option, by its name with or without key", () => {
    expect(helpText(["backup", "compress-level"])).toBe(
      [
        "pgbackstop - 'backup' command - 'compress-level' option help",
        "",
        "Compression level.",
        "",
        "type: integer",
        "when compress-type is bz2: default 9, allowed 1 to 9",
        "when compress-type is gz: default 6, allowed -1 to 9",
        "when compress-type is lz4: default 1, allowed -5 to 12",
        "when compress-type is zst: default 3, allowed -7 to 22",
        "only with: compress-type bz2 or gz or lz4 or zst",
        "where: command line, environment or configuration file",
        "",
      ].join("\n"),
    );
    expect(helpText(["restore", "repo2-s3-key"])).toContain(
      "where: configuration file or environment\nold names: repo-s3-key\n",
    );
    expect(helpText(["restore", "type"])).toContain("default: default\nallowed: default, preserve, immediate");
    expect(helpText(["backup", "type"])).toContain(
      "default: incr\nallowed: full, diff, incr\nwhere: command line or environment\n",
    );
    expect(helpText(["backup", "job-retry"])).toContain("\naccepted, without effect\n");
    expect(helpText(["info", "log-format"])).toContain("\nnot an option of pgBackRest\n");
    expect(helpText(["backup", "pg-host"])).toContain("\nrefused when set: run the command on that host\n");
  });

  test("fails on unknown names", () => {
    expect(failure(() => helpText(["nope"]))).toContain("commandInvalid: invalid command 'nope'");
    expect(failure(() => helpText(["backup", "target"]))).toBe(
      "optionInvalid: option 'target' is not valid for command 'backup'",
    );
    expect(failure(() => helpText(["backup", "--strat-fast"]))).toContain(
      "option '--strat-fast' is not valid for command 'backup'",
    );
    expect(failure(() => helpText(["backup", "type", "x"]))).toBe(
      "paramInvalid: only one option allowed for option help",
    );
  });
});
