/** The rules for words report their own violations and nothing else. */
import { expect, test } from "vitest";
import { sourceOf } from "./sources";
import { checkPhrases, checkRetiredMetrics, checkRetiredNames, checkWidth, retiredWords } from "./words";

const GLOSSARY = `# Glossary

| Term | Meaning | From | Not |
| --- | --- | --- | --- |
| repository index | The N of repoN | pgBackRest | repo key |
| context | From outside | Go | scene |
| stanza | A configuration | pgBackRest | |
`;

test("the last column of the glossary holds the retired words", () => {
  expect(retiredWords(GLOSSARY)).toEqual([
    { parts: ["repo", "key"], term: "repository index" },
    { parts: ["scene"], term: "context" },
  ]);
});

test("a declared name with a retired word is refused, a use of it and other names are not", () => {
  const source = sourceOf(
    "runtime/x.ts",
    "const repoKeyList = [1];\nconst repo = { key: scenery };\ninterface SftpScene {}\nuse(scene.repoKey);\n",
  );
  expect(checkRetiredNames(source, retiredWords(GLOSSARY))).toEqual([
    "runtime/x.ts:1: repoKeyList has the retired word 'repo key': say repository index",
    "runtime/x.ts:3: SftpScene has the retired word 'scene': say context",
  ]);
});

test("a metric with a retired word is refused", () => {
  const names = ["pgbackstop_repo_up", "pgbackstop_scene_seconds"];
  expect(checkRetiredMetrics(names, retiredWords(GLOSSARY))).toEqual([
    "pgbackstop_scene_seconds has the retired word 'scene': say context",
  ]);
});

test("stiff phrases and retired jargon are refused in every line", () => {
  const text = [
    ["// It starts a", "new."].join(""),
    ["// The repository o", "wes a segment."].join(""),
    "// The repository is behind.",
  ].join("\n");
  expect(checkPhrases({ path: "runtime/x.ts", text }).map((problem) => problem.split(": ")[0])).toEqual([
    "runtime/x.ts:1",
    "runtime/x.ts:2",
  ]);
});

test("word-for-word translations are refused where users and developers read, not in tests", () => {
  const lines = [
    "/** Of the archive. */",
    "// null without one",
    "// It is removed meanwhile.",
    "// It reads a late value.",
    "// next to the file",
  ];
  const report = (path: string): string[] =>
    checkPhrases({ path, text: lines.join("\n") }).map((problem) => problem.split(": ")[0] ?? "");
  expect(report("runtime/x.ts")).toEqual([1, 2, 3, 4].map((line) => `runtime/x.ts:${line}`));
  expect(report("test/x.test.ts")).toEqual([]);
});

test("a wide comment is refused, a wide string is not", () => {
  const text = [`// ${"word ".repeat(30)}`, `const text = "${"word ".repeat(30)}";`].join("\n");
  expect(checkWidth({ path: "runtime/x.ts", text })).toEqual(["runtime/x.ts:1: 153 columns, the limit is 120"]);
});
