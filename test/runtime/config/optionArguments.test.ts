/** Compares the first log line of a command with stock 2.45 and 2.60 for the same options. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { findOption } from "../../../runtime/config/optionName";
import { COMMANDS } from "../../../runtime/config/commands";
import { load } from "./support";

const VECTORS = join(__dirname, "../../vectors");
const CONFIG = "/var/lib/pgbr-vec/pgbackrest.conf";

interface Recorded {
  readonly command: string;
  readonly line: string;
}

function recorded(): readonly Recorded[] {
  const lines = ["v2.45", "v2.60"].flatMap((version) =>
    readdirSync(join(VECTORS, version, "output"))
      .filter((name) => name.endsWith(".log.txt"))
      .flatMap((name) => readFileSync(join(VECTORS, version, "output", name), "utf8").split("\n")),
  );
  return lines.flatMap((text) => {
    const match = / INFO: ([a-z-]+) command begin [0-9.]+: (.*)$/.exec(text);
    const [, command = "", line = ""] = match ?? [];
    return COMMANDS.some((name) => name === command) ? [{ command, line: line.replace(/--exec-id=\S+ /, "") }] : [];
  });
}

/** Loads the same options: from the file if it may hold them, else from the command line. */
function replay({ command, line }: Recorded): string {
  const [head = "", ...args] = ` ${line}`.split(/ (?=--[a-z])/);
  const params = head.trim() === "" ? [] : head.trim().slice(1, -1).split(", ");
  const argv = [command, ...params];
  const lines: string[] = [];
  let config = CONFIG;
  for (const arg of args) {
    const [, name = "", value] = /^--([a-z0-9-]+)(?:=(.*))?$/.exec(arg) ?? [];
    const plain = value?.replace(/^"(.*)"$/, "$1");
    const row = findOption(name)?.row;
    if (name === "config") config = plain ?? config;
    if (row?.section === "command-line" || name === "annotation" || line.startsWith("--no-config"))
      argv.push(plain === undefined ? `--${name}` : `--${name}=${plain}`);
    else lines.push(`${name}=${row?.secret === true ? "markerSecret" : (plain ?? "y")}`);
  }
  return load({ argv, files: { [config]: `[demo]\n${lines.join("\n")}\n` } }).config.beginLine;
}

describe("the first log line of a command", () => {
  const lines = recorded();

  test("is recorded for enough commands", () => {
    expect(new Set(lines.map(({ command }) => command)).size).toBeGreaterThanOrEqual(7);
  });

  test.each(lines)("of $command is stock's", (one) => expect(replay(one)).toBe(one.line));

  test("shows negated and reset options", () => {
    const argv = ["check", "--stanza=main", "--pg1-path=/pg", "--no-config", "--no-archive-check", "--reset-lock-path"];
    expect(load({ argv }).config.beginLine).toBe(
      "--no-archive-check --no-config --reset-lock-path --pg1-path=/pg --stanza=main",
    );
  });
});

describe("arguments for restore_command", () => {
  test("equal the command line of archive-get, in order, without the stanza and without secrets", () => {
    const argv = [
      "--stanza=main",
      "--config-path=/c",
      "--pg1-path=/r 1",
      "--repo=1",
      "--process-max=8",
      "--log-level-console=info",
      "--type=none",
      "--delta",
      "restore",
    ];
    const env = {
      PGBACKREST_SETTINGS: "/s.json",
      PGBACKREST_REPO1_PATH: "/repo",
      PGBACKREST_REPO1_CIPHER_PASS: "markerSecret",
      PGBACKREST_REPO1_CIPHER_TYPE: "aes-256-cbc",
    };
    expect(load({ argv, env, files: { "/s.json": "{}" } }).config.carriedOptions).toEqual([
      "--config-path=/c",
      "--pg1-path=/r 1",
      "--repo=1",
      "--settings=/s.json",
    ]);
    expect(load({ argv: ["restore", "--stanza=main", "--no-config", "--pg1-path=/r"] }).config.carriedOptions).toEqual([
      "--no-config",
      "--pg1-path=/r",
    ]);
  });
});
