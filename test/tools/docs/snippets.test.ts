/** Every TypeScript block in README.md and docs/ compiles in a strict project. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkSnippets, type Snippet, snippetsOf } from "../../../tools/docs/snippets";
import { projectFolder } from "../../../tools/parts/cache";

const ROOT = projectFolder();

function documents(): readonly Snippet[] {
  const pages = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".md"),
  );
  return ["README.md", ...pages.map((path) => `docs/${path}`)].flatMap((path) =>
    snippetsOf(path, readFileSync(join(ROOT, path), "utf8")),
  );
}

test("each block compiles", () => {
  const snippets = documents();
  expect(snippets.length).toBeGreaterThan(15);
  expect(checkSnippets(ROOT, snippets)).toEqual([]);
}, 120_000);

test("a mistake is detected, with its line in the document", () => {
  const page =
    '# T\n\n```ts\nconst nas = new PosixRepository("nas", {\n  pth: "/mnt",\n});\n```\n\n```ts\nb2.target.name = undefined;\n```\n';
  expect(checkSnippets(ROOT, snippetsOf("docs/T.md", page))).toEqual([
    expect.stringMatching(/^docs\/T\.md:5: Object literal may only specify known properties, .*'pth' does not exist/),
    expect.stringMatching(/^docs\/T\.md:10: Type 'undefined' is not assignable to type 'string'/),
  ]);
}, 120_000);
