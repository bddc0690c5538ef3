/** Each rule reports its own violations and nothing else. */
import { describe, expect, test } from "vitest";
import {
  BANS,
  checkBans,
  checkFileLength,
  checkFunctionLength,
  checkFunctions,
  checkListed,
  checkNames,
  checkNotes,
  checkPaths,
  checkPrivateNames,
  pathEnds,
} from "./rules";
import { sourceOf } from "./sources";

/** One use of each banned word, in a file where it is banned. */
const USES: Readonly<Record<string, string>> = {
  "Date.now": "const now = Date.now();",
  "new Date()": "const now = new Date();",
  "performance.now": "const now = performance.now();",
  console: 'console.log("x");',
  "process.env": "const home = process.env.HOME;",
  "process.argv": "const name = process.argv[2];",
  "process.exit": "process.exit(1);",
  "process.on": 'process.on("SIGTERM", () => {});',
  "Math.random": "const dice = Math.random();",
  "new Promise(setTimeout)": "const wait = new Promise((resolve) => setTimeout(resolve, 10));",
  setInterval: "setInterval(() => {}, 10);",
  fetch: 'const answer = fetch("http://localhost");',
  any: "const value: any = 1;",
  "as unknown as": "const value = 1 as unknown as string;",
  "export default": "export default 1;",
  enum: "enum Color { red }",
  'import "fast-check"': 'import * as fc from "fast-check";',
  'import "node:fs"': 'import { readFile } from "node:fs/promises";',
  'import("node:…")': 'await import("node:os");',
  namespace: "namespace Words {}",
};

describe("banned words", () => {
  test.each(BANS.map((ban) => [ban.text] as const))("%s is found", (arg) => {
    const result = checkBans(sourceOf("runtime/operations/x.ts", `\n${USES[arg] ?? ""}\n`));
    expect(result).toEqual([expect.stringContaining(`runtime/operations/x.ts:2: ${arg} is banned, use `)]);
  });

  test("words in comments and texts are allowed", () => {
    expect(
      checkBans(sourceOf("runtime/operations/x.ts", '// console.log(Date.now())\nconst text = "any console.log";\n')),
    ).toEqual([]);
  });

  test("a word's own file may use it", () => {
    expect(checkBans(sourceOf("runtime/base/clock.ts", "export const now = () => Date.now();"))).toEqual([]);
    expect(checkBans(sourceOf("runtime/main.ts", 'process.on("SIGTERM", () => {});'))).toEqual([]);
  });

  test("the tools may read the clock", () => {
    expect(checkBans(sourceOf("tools/x.ts", "const now = Date.now();"))).toEqual([]);
  });
});

describe("lengths", () => {
  const lines = (count: number): string => "x;\n".repeat(count);

  test("a source of 701 lines is too long, one of 700 is not", () => {
    expect(checkFileLength({ path: "runtime/x.ts", text: lines(701) })).toEqual([
      "runtime/x.ts: 701 lines, the limit is 700",
    ]);
    expect(checkFileLength({ path: "runtime/x.ts", text: lines(700) })).toEqual([]);
  });

  test("a test of 1001 lines is too long, one of 1000 is not", () => {
    expect(checkFileLength({ path: "test/x.test.ts", text: lines(1001) })).toEqual([
      "test/x.test.ts: 1001 lines, the limit is 1000",
    ]);
    expect(checkFileLength({ path: "test/x.test.ts", text: lines(1000) })).toEqual([]);
  });

  test("a table may have any number of lines", () => {
    expect(checkFileLength({ path: "runtime/config/options.ts", text: lines(2000) })).toEqual([]);
  });

  test("a function of 71 lines is too long unless it is listed with its length", () => {
    const source = sourceOf(
      "runtime/x.ts",
      `function long() {\n${lines(69)}}\nconst short = () => {\n${lines(68)}};\n`,
    );
    expect(checkFunctionLength(source, {})).toEqual(["runtime/x.ts:1: long has 71 lines, the limit is 70"]);
    expect(checkFunctionLength(source, { "runtime/x.ts#long": 71 })).toEqual([]);
    expect(checkFunctionLength(source, { "runtime/x.ts#long": 70 })).toHaveLength(1);
  });
});

describe("names of files", () => {
  test("mean one thing", () => {
    expect(checkNames(["runtime/operations/backup/plan.ts", "runtime/operations/restore/plan.ts"])).toEqual([
      "runtime/operations/restore/plan.ts: runtime/operations/backup/plan.ts has this name already, call each after what it holds",
    ]);
  });

  test("may repeat once, in a folder with a reason", () => {
    const paths = ["runtime/operations/backup/backup.ts", "runtime/commands/backup.ts"];
    expect(checkNames([...paths, "test/x/backup.ts"])).toEqual([]);
    expect(checkNames([...paths, "runtime/commands/more/backup.ts"])).toHaveLength(1);
  });
});

describe("paths", () => {
  const ends = pathEnds(["runtime/base/clock.ts", "test/a.test.ts"]);

  test("in comments and documents are ends of a project's path", () => {
    const text =
      '/** As base/clock.ts and ../base/clock.ts have it, not base/watch.ts. */\n  // see test/b.test.ts\nconst x = "no.ts";\n';
    expect(checkPaths({ path: "runtime/x.ts", text }, ends)).toEqual([
      "runtime/x.ts:1: base/watch.ts is not in the project",
      "runtime/x.ts:2: test/b.test.ts is not in the project",
    ]);
    expect(checkPaths({ path: "A.md", text: "`clock.ts`, `watch.ts`, `test/*.test.ts`\n" }, ends)).toEqual([
      "A.md:1: watch.ts is not in the project",
    ]);
  });

  test("have the functions that documents place there", () => {
    const text = "`a/x.ts`, `Some.made`, then `made` and `b` in `a/x.ts`, `gone` of `a/x.ts`, `y` in `b.ts`.";
    const read = (path: string): string | null => (path === "a/x.ts" ? "function made() {}" : null);
    expect(checkFunctions({ path: "A.md", text }, read)).toEqual(["A.md: a/x.ts has no gone"]);
  });

  test("in lists exist, up to the last folder that they name", () => {
    const text = '["runtime/{a,b}/**/*.ts!", "!test/c", "tools/x.ts", "dist/d", "test/${e}"]';
    expect(checkListed({ path: "knip.json", text }, (path) => path === "runtime/a")).toEqual([
      "knip.json: runtime/b is not in the project",
      "knip.json: test/c is not in the project",
      "knip.json: tools/x.ts is not in the project",
    ]);
  });
});

describe("texts", () => {
  test("a note to do needs a number", () => {
    const note = ["TO", "DO"].join("");
    expect(checkNotes({ path: "a.ts", text: `x\n// ${note}: later\n` })).toEqual([
      `a.ts:2: a note without an issue number: // ${note}: later`,
    ]);
    expect(checkNotes({ path: "a.ts", text: `// ${note} #12: later\n` })).toEqual([]);
  });

  test("registry hosts and machine paths are detected", () => {
    const host = ["registry", "npmjs", "org"].join(".");
    const path = ["", "work", "main"].join("/");
    expect(
      checkPrivateNames({ path: "a.md", text: `https://${host}/x\n${path}/x\nhttps://example.com/work/x\n` }),
    ).toEqual([`a.md:1: ${host} does not belong into the project`, `a.md:2: ${path} does not belong into the project`]);
  });
});
