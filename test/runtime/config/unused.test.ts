/** A mistake in each option of the table, for the commands that must work in a disaster. */
// claim: README.md: a mistake in an option that `restore` or `archive-get` does not use never stops them (each option
//   of the table)
import { expect, test } from "vitest";
import type { CommandName } from "../../../runtime/config/commands";
import { optionName } from "../../../runtime/config/optionName";
import { OPTIONS, type OptionRow } from "../../../runtime/config/options";
import { failure, load, type Machine, MAIN_FILE } from "./support";

const ARGV: Readonly<Partial<Record<CommandName, readonly string[]>>> = {
  "archive-get": ["archive-get", "000000010000000000000001", "pg_wal/RECOVERYXLOG"],
  restore: ["restore"],
};
const WRONG = ["", "\u0001/no//such", "-9"];

function machines(command: CommandName, row: OptionRow): Machine[] {
  const name = optionName(row, row.group === undefined ? undefined : 1);
  const argv = [...(ARGV[command] ?? []), "--stanza=main", "--pg1-path=/pg"];
  const file = (lines: readonly string[]): Machine => ({
    argv,
    files: { [MAIN_FILE]: `[main]\n${lines.map((line) => `${line}\n`).join("")}` },
  });
  const variable = `PGBACKREST_${name.toUpperCase().replaceAll("-", "_")}`;
  return [
    ...WRONG.flatMap((value) => [file([`${name}=${value}`]), { argv, env: { [variable]: value } }]),
    file([`${name}=1`, `${name}=2`]),
  ];
}

/** Options without effect on the command, as the table says. */
function isUnused(command: CommandName, row: OptionRow): boolean {
  const isWithoutEffect = !row.acted && row.refused === undefined && row.refusedValues === undefined;
  // What the chosen configuration files say about themselves is needed to find them.
  return row.section !== "command-line" && (isWithoutEffect || !row.commands.includes(command));
}

test.each(Object.keys(ARGV) as CommandName[])("no mistake in an option that %s does not use stops it", (command) => {
  const stopped = OPTIONS.filter((row) => isUnused(command, row)).flatMap((row) =>
    machines(command, row).flatMap((machine) => {
      const text = failure(() => load(machine));
      return text === "no error" ? [] : [`${row.name}: ${text}`];
    }),
  );
  expect(stopped).toEqual([]);
});

test("the mistake is a warning with its place, and an error for other commands", () => {
  const files = { [MAIN_FILE]: "[main]\npg1-path=/pg\nstart-fast=maybe\n" };
  const { warnings } = load({ argv: [...(ARGV["archive-get"] ?? []), "--stanza=main"], files });
  expect(warnings).toEqual([
    "boolean option 'start-fast' must be 'y' or 'n'\n" +
      `HINT: the value comes from section [main] of ${MAIN_FILE} (line 3).\n` +
      "HINT: archive-get does not use this option and continues; other commands fail.",
  ]);
  for (const command of ["backup", "check"])
    expect(failure(() => load({ argv: [command, "--stanza=main"], files }))).toMatch(
      /^optionInvalidValue: boolean option/,
    );
});

test("an option that stops every command because ignoring it is dangerous stops these too", () => {
  const files = { [MAIN_FILE]: "[main]\npg1-path=/pg\npg1-host=a\npg1-host=b\n" };
  expect(failure(() => load({ argv: ["restore", "--stanza=main"], files }))).not.toBe("no error");
});
