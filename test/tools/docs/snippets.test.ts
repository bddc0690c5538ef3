/** The TypeScript of README.md, docs/, examples/ and the components' docstrings compiles in a strict project. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readPublicTypes } from "../../../tools/docs/componentTypes";
import {
  checkSnippets,
  docstringSnippets,
  exampleSnippets,
  type Snippet,
  snippetsOf,
} from "../../../tools/docs/snippets";
import { projectFolder } from "../../../tools/parts/cache";

const ROOT = projectFolder();
/** Folders with documents. */
const MIGRATION = ["packages/migration/docs", "packages/migration/example"];

function read<T>(folder: string, extension: string, parse: (path: string, text: string) => readonly T[]): readonly T[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(extension) && !path.includes("node_modules"))
    .flatMap((path) => parse(`${folder}/${path}`, readFileSync(join(ROOT, folder, path), "utf8")));
}

const inDocuments = (): readonly Snippet[] => [
  ...["README.md", "packages/migration/README.md"].flatMap((path) =>
    snippetsOf(path, readFileSync(join(ROOT, path), "utf8")),
  ),
  ...read("docs", ".md", snippetsOf),
  ...read("examples", ".md", snippetsOf),
  ...MIGRATION.flatMap((path) => read(path, ".md", snippetsOf)),
];

// claim: README.md: each block of TypeScript compiles in a strict project against the built package, in every document
test("each block of a document, each block and statement of a docstring, and each @example compiles", () => {
  const components = "packages/migration/components";
  const docstrings = ["components", components].flatMap((folder) => read(folder, ".ts", docstringSnippets));
  const documents = inDocuments();
  const types = [...readPublicTypes(ROOT), ...readPublicTypes(ROOT, `${components}/index.ts`)];
  const examples = exampleSnippets(types);
  expect(documents.length).toBeGreaterThan(40);
  expect(docstrings.length).toBeGreaterThan(20);
  expect(examples.length).toBeGreaterThan(60);
  expect(checkSnippets(ROOT, [...documents, ...docstrings, ...examples])).toEqual([]);
}, 120_000);

test("a mistake is detected, with its line in the document", () => {
  const page =
    '# T\n\n```ts\nconst nas = new PosixRepository("nas", {\n  pth: "/mnt",\n});\n```\n\n```ts\nb2.target.name = undefined;\n```\n';
  expect(checkSnippets(ROOT, snippetsOf("docs/T.md", page))).toEqual([
    expect.stringMatching(/^docs\/T\.md:5: Object literal may only specify known properties, .*'pth' does not exist/),
    expect.stringMatching(/^docs\/T\.md:10: Type 'undefined' is not assignable to type 'string'/),
  ]);
}, 120_000);

test("a mistake in a docstring is detected, with its line in the source", () => {
  const source = `/** A store. */
/**
 * Use it:
 *
 * \`\`\`ts
 * b2.readerTarget.name;
 * \`\`\`
 *
 * Or \`new PosixRepository("nas", { pth: "/mnt" });\`, without an instance.
 */
export class Store {}
`;
  expect(checkSnippets(ROOT, docstringSnippets("components/store.ts", source))).toEqual([
    expect.stringMatching(/^components\/store\.ts:6: 'b2\.readerTarget' is possibly 'undefined'/),
    expect.stringMatching(/^components\/store\.ts:9: .*'pth' does not exist/),
  ]);
  const field = {
    name: "cron",
    type: "string",
    optional: false,
    doc: "",
    fallback: null,
    plain: null,
    range: null,
    items: null,
    kinds: null,
    since: null,
    isInherited: false,
    examples: ["30"],
  };
  const type = { kind: "fields", name: "BackupScheduleArgs", isOperators: false, doc: "", fields: [field] } as const;
  expect(checkSnippets(ROOT, exampleSnippets([type]))).toEqual([
    "@example of BackupScheduleArgs.cron:1: Type 'number' is not assignable to type 'NonNullable<Input<string>>'.",
  ]);
}, 120_000);
