/**
 * Claims: what README and docs promise, as comments of the tests that show it.
 *
 * `// claim: docs/page.md: what it promises` stands above a test, a `describe`, or the imports of a file.
 * Its further lines begin with three spaces. A second test of the same claim repeats its beginning:
 * `// claim: docs/page.md: what…`.
 */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { projectFolder } from "../parts/cache";
import { TIERS } from "../parts/tiers";

/** A comment. */
export interface Annotation {
  readonly pages: readonly string[];
  readonly text: string;
  readonly path: string;
  readonly line: number;
  /** Only the nightly form runs it. */
  readonly nightly: boolean;
}

export interface Claim {
  readonly pages: readonly string[];
  readonly text: string;
  readonly shownBy: readonly Annotation[];
}

const COMMENT = /^[ \t]*\/\/ claim: (.*(?:\n[ \t]*\/\/ {3}.*)*)/gm;

/** All annotations of the tests, and of the demo and benchmarks. */
export function readAnnotations(): Annotation[] {
  const root = projectFolder();
  return globSync(["test/**/*.ts", "packages/*/test/**/*.ts", "tools/{demo,bench}/*.ts"], { cwd: root })
    .sort()
    .flatMap((path) => annotationsOf(path, readFileSync(join(root, path), "utf8")));
}

export function annotationsOf(path: string, text: string): Annotation[] {
  const comments = [...text.matchAll(COMMENT)];
  if (comments.length === 0) return [];
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);
  return comments.map((comment) => {
    const line = tree.getLineAndCharacterOfPosition(comment.index).line + 1;
    const joined = (comment[1] ?? "").replace(/\n[ \t]*\/\/ +/g, " ");
    const [, pages, claim] = /^(\S+\.md(?:, \S+\.md)*): (\S.*)$/.exec(joined) ?? [];
    if (pages === undefined || claim === undefined)
      throw new Error(`${path}:${line}: a claim is "// claim: docs/page.md: what the page promises"`);
    const node = nodeBelow(tree, comment.index);
    if (!ts.isImportDeclaration(node) && !isTest(node))
      throw new Error(`${path}:${line}: this claim is neither above a test nor above the imports`);
    const nightly = TIERS.some((tier) => path in (tier.nightly ?? {})) || isNightly(node, tree);
    return { pages: pages.split(", "), text: claim, path, line, nightly };
  });
}

/** The statement below a comment. */
function nodeBelow(tree: ts.SourceFile, at: number): ts.Node {
  let node: ts.Node = tree;
  for (;;) {
    const next: ts.Node | undefined = ts.forEachChild(node, (child) =>
      child.getFullStart() <= at && at < child.end ? child : undefined,
    );
    if (next === undefined) throw new Error(`${tree.fileName}: nothing is below a claim`);
    node = next;
    if (at < node.getStart(tree)) return node;
  }
}

/** A call whose first argument is a title. */
function isTest(node: ts.Node): boolean {
  if (!ts.isExpressionStatement(node) || !ts.isCallExpression(node.expression)) return false;
  const [title] = node.expression.arguments;
  return title !== undefined && (ts.isStringLiteralLike(title) || ts.isTemplateExpression(title));
}

/** `test.runIf(NIGHTLY)("…")`, and whatever is in such a `describe`. */
function isNightly(node: ts.Node, tree: ts.SourceFile): boolean {
  for (let outer: ts.Node = node; outer !== tree; outer = outer.parent) {
    const call = ts.isExpressionStatement(outer) ? outer.expression : outer;
    if (ts.isCallExpression(call) && /\.runIf\((?!!NIGHTLY\))[^()]*\bNIGHTLY\)/.test(call.expression.getText(tree)))
      return true;
  }
  return false;
}

/** Joins the annotations of each claim. Throws if a shortened one begins no claim, or several. */
export function joinClaims(annotations: readonly Annotation[]): Claim[] {
  const claims: { pages: readonly string[]; text: string; shownBy: Annotation[] }[] = [];
  const whole = annotations.filter(({ text }) => !text.endsWith("…"));
  for (const one of whole) {
    const same = claims.find(({ text, pages }) => text === one.text && pages.join() === one.pages.join());
    if (same === undefined) claims.push({ pages: one.pages, text: one.text, shownBy: [one] });
    else same.shownBy.push(one);
  }
  for (const one of annotations.filter((annotation) => !whole.includes(annotation))) {
    const start = one.text.slice(0, -1);
    const meant = claims.filter(
      ({ text, pages }) => text.startsWith(start) && one.pages.every((page) => pages.includes(page)),
    );
    const [claim] = meant;
    if (claim === undefined || meant.length > 1)
      throw new Error(
        `${one.path}:${one.line}: ${meant.length} claims of ${one.pages.join(", ")} begin with "${start}"`,
      );
    claim.shownBy.push(one);
  }
  return claims;
}
