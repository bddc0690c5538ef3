import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import ts from "typescript";
import { lazyExports } from "../../../../tools/parts/build/lazyExports";

function compiled(source: string): string {
  const compilerOptions = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 };
  return ts.transpileModule(source, { compilerOptions }).outputText;
}

const INDEX = `
import { start } from "./eager";
export { one } from "./one";
export { two, deux as zwei } from "./two";
start();
`;

test("a module is loaded at the first use of one of its names, which import finds too", () => {
  const folder = mkdtempSync(join(tmpdir(), "lazy-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  write("index.js", lazyExports(compiled(INDEX)));
  write("eager.js", `exports.start = () => console.log("started");`);
  write("one.js", `console.log("load one"); exports.one = 1;`);
  write("two.js", `console.log("load two"); exports.two = 2; exports.deux = "zwei";`);
  const run = (name: string, text: string): string => {
    write(name, text);
    return spawnSync(process.execPath, [join(folder, name)], { encoding: "utf8" }).stdout;
  };
  const used = `const all = require("./index"); console.log("declared"); console.log(all.two, all.zwei, Object.keys(all).join());`;
  expect(run("uses.js", used)).toBe("started\ndeclared\nload two\n2 zwei one,two,zwei\n");
  expect(run("imports.mjs", `import { zwei, one } from "./index.js"; console.log(zwei, one);`)).toMatch(/\nzwei 1\n$/);
});

test("a module that is used otherwise is refused", () => {
  const text = compiled(INDEX).replace("eager_1.start", "one_1.one");
  expect(() => lazyExports(text)).toThrow("the module one_1 is not only re-exported");
});
