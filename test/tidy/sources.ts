/** The project's files for the tidy test, parsed once by the TypeScript compiler. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

/**
 * Vitest gives each file a proxy of the package, whose lookups would take most of a walk over millions of nodes.
 */
export const compiler = ts;

/** A TypeScript file. `path` is relative to the project's folder. */
export interface Source {
  readonly path: string;
  readonly text: string;
  readonly tree: ts.SourceFile;
}

export interface TextFile {
  readonly path: string;
  readonly text: string;
}

const SKIPPED_FOLDERS = new Set(["node_modules", "dist", ".git", ".pulumi", "coverage", "vectors"]);
const TEXT_NAME =
  /\.(ts|as|mts|cts|mjs|cjs|js|json|md|yaml|yml|sh|txt|mod|sum)$|^(run|LICENSE|Dockerfile|\.npmrc|\.gitignore|\.oxlintrc\.json)$/;

/** Parses a source from text. */
export function sourceOf(path: string, text: string): Source {
  return { path, text, tree: compiler.createSourceFile(path, text, compiler.ScriptTarget.ES2023, true) };
}

/** All TypeScript files of the project. */
export function readSources(root: string): Source[] {
  return readTextFiles(root)
    .filter((file) => file.path.endsWith(".ts"))
    .map((file) => sourceOf(file.path, file.text));
}

/** All text files of the project, except generated, downloaded and recorded ones. */
export function readTextFiles(root: string): TextFile[] {
  const files: TextFile[] = [];
  const visit = (folder: string): void => {
    for (const name of readdirSync(join(root, folder))) {
      const path = folder === "" ? name : `${folder}/${name}`;
      if (!existsSync(join(root, path))) continue;
      if (statSync(join(root, path)).isDirectory()) {
        if (!SKIPPED_FOLDERS.has(name)) visit(path);
      } else if (TEXT_NAME.test(name)) {
        files.push({ path, text: readFileSync(join(root, path), "utf8") });
      }
    }
  };
  visit("");
  return files;
}

/** `path:line` of a node, for messages. */
export function positionOf(source: Source, node: ts.Node): string {
  return `${source.path}:${source.tree.getLineAndCharacterOfPosition(node.getStart(source.tree)).line + 1}`;
}

/** Calls `visit` for every node of a source. */
export function walk(source: Source, visit: (node: ts.Node) => void): void {
  const step = (node: ts.Node): void => {
    visit(node);
    compiler.forEachChild(node, step);
  };
  step(source.tree);
}
