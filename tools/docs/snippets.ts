/**
 * Compiles the TypeScript of documents and docstrings like a strict project that has installed the package: blocks,
 * statements between backticks in docstrings, and the `@example` of each public field, as a value of that field.
 *
 * A block with an import is a whole program. Any other block is part of one: names of the package and of
 * snippetContext.ts that it does not declare are imported for it.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import type { PublicType } from "./componentTypes";

export interface Snippet {
  readonly path: string;
  /** Line of the document before the first line of the block. */
  readonly line: number;
  readonly text: string;
}

const STRICT: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ["lib.es2023.d.ts"],
  module: ts.ModuleKind.Node16,
  moduleResolution: ts.ModuleResolutionKind.Node16,
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  noImplicitOverride: true,
  noPropertyAccessFromIndexSignature: true,
  isolatedModules: true,
  skipLibCheck: true,
  noEmit: true,
  types: ["node"],
};
const CONTEXT = "tools/docs/snippetContext.ts";

export function snippetsOf(path: string, text: string): readonly Snippet[] {
  return [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].map((match) => ({
    path,
    line: text.slice(0, match.index).split("\n").length,
    text: match[1] ?? "",
  }));
}

/** Blocks and statements in the docstrings of a source. */
export function docstringSnippets(path: string, source: string): readonly Snippet[] {
  // Line by line, so that line numbers stay.
  const text = source
    .split("\n")
    .map((line) => /^\s*\* ?(?!\/)(.*)$/.exec(line)?.[1] ?? "")
    .join("\n");
  const statements = [...text.matchAll(/`((?:const|export|new) [^`\n]*;)`/g)].map((match) => ({
    path,
    // The block of a document begins one line below its fence; a statement has no fence.
    line: text.slice(0, match.index).split("\n").length - 1,
    text: match[1] ?? "",
  }));
  return [...snippetsOf(path, text), ...statements];
}

/** The `@example` of each public field that an argument can have. */
export function exampleSnippets(types: readonly PublicType[]): readonly Snippet[] {
  return types.flatMap((type) =>
    type.kind === "fields"
      ? type.fields.flatMap(({ examples, name }) =>
          examples.map((example) => ({
            path: `@example of ${type.name}.${name}`,
            line: 0,
            text: `export const example: NonNullable<${type.name}[${JSON.stringify(name)}]> = ${example};\n`,
          })),
        )
      : [],
  );
}

/** `path:line: message` for every mistake. Uses the built package if it exists, else its sources. */
export function checkSnippets(root: string, snippets: readonly Snippet[]): readonly string[] {
  const fileOf = (module: string, folder = root): string => {
    const built = join(folder, "dist", "components", `${module}.d.ts`);
    return existsSync(built) ? built : join(folder, "components", `${module}.ts`);
  };
  const entry = fileOf("index");
  const migration = fileOf("index", join(root, "packages", "migration"));
  const paths = {
    pgbackstop: [entry],
    "pgbackstop/kit": [fileOf("kit")],
    "pgbackstop/policy": [fileOf("policy/policyPack")],
    "pgbackstop-migration": [migration],
  };
  const options = { ...STRICT, paths };
  const files = new Map(snippets.map((snippet, position) => [join(root, "docs", `snippet-${position}.ts`), snippet]));
  const host = ts.createCompilerHost(options, true);
  const names = {
    pgbackstop: exportsOf(entry),
    "pgbackstop-migration": exportsOf(migration),
    [join(root, CONTEXT.replace(/\.ts$/, ""))]: exportsOf(join(root, CONTEXT)),
  };
  const { fileExists, readFile, getSourceFile } = host;
  const textOf = (snippet: Snippet): string => `${importsFor(snippet, names)}\n${snippet.text}`;
  host.fileExists = (file) => files.has(file) || fileExists(file);
  host.readFile = (file) => readFile(file);
  host.getSourceFile = (file, target, ...rest) => {
    const snippet = files.get(file);
    return snippet === undefined
      ? getSourceFile(file, target, ...rest)
      : ts.createSourceFile(file, textOf(snippet), target, true);
  };
  const program = ts.createProgram([...files.keys()], options, host);
  return [...files].flatMap(([file, snippet]) =>
    ts.getPreEmitDiagnostics(program, program.getSourceFile(file)).map(({ file: source, start, messageText }) => {
      const line = source?.getLineAndCharacterOfPosition(start ?? 0).line ?? 0;
      return `${snippet.path}:${snippet.line + line}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
    }),
  );
}

/** On one line, so that the block's line numbers keep their offset. */
function importsFor({ text }: Snippet, modules: Readonly<Record<string, ReadonlySet<string>>>): string {
  if (/^import /m.test(text)) return "";
  const { used, declared } = namesOf(text);
  const imports = Object.entries(modules).flatMap(([module, exported]) => {
    const names = [...used].filter((name) => exported.has(name) && !declared.has(name));
    for (const name of names) declared.add(name);
    return names.length === 0 ? [] : [`import { ${names.join(", ")} } from ${JSON.stringify(module)};`];
  });
  return [...imports, "export {};"].join(" ");
}

function namesOf(text: string): { readonly used: ReadonlySet<string>; readonly declared: Set<string> } {
  const used = new Set<string>();
  const declared = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) used.add(node.text);
    if (ts.isVariableDeclaration(node) && ts.isIdentifier(node.name)) declared.add(node.name.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile("snippet.ts", text, ts.ScriptTarget.ES2023, true));
  return { used, declared };
}

/** Names that a file exports by `export { … } from` and `export declare const`. */
function exportsOf(file: string): ReadonlySet<string> {
  const { statements } = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ES2023);
  const names = statements.flatMap((statement): readonly ts.Node[] => {
    if (ts.isVariableStatement(statement)) return statement.declarationList.declarations.map(({ name }) => name);
    const clause = ts.isExportDeclaration(statement) ? statement.exportClause : undefined;
    return clause !== undefined && ts.isNamedExports(clause) ? clause.elements.map(({ name }) => name) : [];
  });
  return new Set(names.filter((name) => ts.isIdentifier(name)).map(({ text }) => text));
}
