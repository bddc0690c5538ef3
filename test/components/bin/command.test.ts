/** Arguments of the package's commands, and the outputs of `pgbackstop topology`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { intendedCommand, readArguments, UsageError } from "../../../components/bin/command";
import { topologyMain } from "../../../components/bin/topology";
import { COMMANDS } from "../../../runtime/config/commands";
import { renderTopology } from "../../../components/plan/topology/topology";
import { temporaryFolder } from "../../runtime/repository/support";
import { topology } from "../topologies";
import { captureTexts } from "./shownTexts";

const TYPES = { format: "string", output: "string", plain: "boolean" } as const;

let folder: string;
let file: string;
const { all: printed } = captureTexts();
beforeEach(() => {
  folder = temporaryFolder();
  file = join(folder, "topology.json");
  writeFileSync(file, renderTopology(topology()));
});

test("a mistyped command gets this package's nearest one, not the runtime's", () => {
  const names = ["rendr", "topolgy", "alert", "restore", "backup", "expire", "sync", "x"];
  expect(names.map(intendedCommand)).toEqual(["render", "topology", "alerts", ...Array(5).fill(undefined)]);
  expect(COMMANDS.filter((name) => intendedCommand(name) !== undefined)).toEqual([]);
});

test("values are joined or apart, options keep their order, and - is a file", () => {
  expect(readArguments(["show", "--output=a", "-", "--format", "json", "--plain", "--output", "-"], TYPES)).toEqual({
    files: ["show", "-"],
    options: [
      { name: "output", value: "a" },
      { name: "format", value: "json" },
      { name: "plain", value: "" },
      { name: "output", value: "-" },
    ],
  });
});

test.each([
  [["--toString=1"], "unknown option '--toString': use one of --format, --output, --plain, --help"],
  [["-x"], "unknown option '-x'"],
  [["--format"], "--format takes a value"],
  [["--format="], "--format takes a value"],
  [["--plain=yes"], "--plain takes no value"],
])("wrong arguments are a usage error: %j", (argv, message) => {
  expect(() => readArguments(argv, TYPES)).toThrow(UsageError);
  expect(() => readArguments(argv, TYPES)).toThrow(message);
});

test("each output of a topology takes the format before it, and the last format alone goes to stdout", () => {
  const [page, document] = [join(folder, "a.html"), join(folder, "a.json")];
  expect(
    topologyMain([
      "show",
      file,
      "--format=html",
      `--output=${page}`,
      "--format=json",
      `--output=${document}`,
      "--format",
      "svg",
    ]),
  ).toBe(0);
  expect(
    [readFileSync(page, "utf8"), readFileSync(document, "utf8"), printed.join("")].map((text) => text.slice(0, 4)),
  ).toEqual(["<!do", "{\n  ", "<svg"]);
});

test.each([
  [["shown", "FILE"], "'shown' is not one of diff, show, runbook, base"],
  [["show", "FILE", "FILE"], "topology show takes one file, found 2"],
  [["show", "FILE", "--check=a"], "--check is for a runbook only"],
  [["diff", "-", "-"], "only one of the files can be stdin"],
  [["show", "FILE", "--format=pdf"], "--format takes markdown, json, html, svg, sarif, annotations, found 'pdf'"],
])("wrong arguments of topology exit with 2: %j", (argv, message) => {
  expect(topologyMain(argv.map((arg) => (arg === "FILE" ? file : arg)))).toBe(2);
  expect(printed.join("")).toContain(`pgbackstop topology: ${message}`);
});
