/** Rules for words: names that docs/glossary.md retires, phrases that read as translated, and line width. */
import type ts from "typescript";
import { compiler, positionOf, type Source, type TextFile, walk } from "./sources";

/** A retired word, split into the parts of a name, and the term that replaces it. */
export interface RetiredWord {
  readonly parts: readonly string[];
  readonly term: string;
}

/** Names that users, stacks or other programs use. */
const PUBLIC_NAMES: ReadonlySet<string> = new Set([
  // Terms of HTTP, gRPC and Kubernetes.
  "NOT_FOUND",
  "NotFound",
  "parameterNotFoundAction",
  // Arguments, topologies, metric labels, resource state, and the runtime's files.
  "Moment",
  "repoKeys",
  "toRepoKeys",
  "repo_key",
  "foundOwner",
  "wayOut",
]);

/** Stiff phrases. The pattern is written so that it does not match itself. */
const STIFF =
  /\b(a[n]ew|whoe[v]er|(?<!there )(is|are) no[n]e|that wh[i]ch|lets? g[o] of|g[o](es|ne) on with|of its o[w]n accord)\b/i;
/** Jargon that is refused in sentences as well as names. In quotes it is a file or a key. */
const JARGON = /(?<!["'`/=.-])\b(de[b]ts?|ow(es|ed|ing)|la[n]es?)\b(?!["'`/=])/i;
/** Phrases of a word-for-word translation, and docstrings that do not say what a value is. */
const TRANSLATED = new RegExp(
  [
    "\\b(?:by sudo|waits? for its end|so many (?:days|seconds|bytes|past)|[a-z]+ of yours|left out (?:if|for)|leaves out",
    "(?:null|undefined|empty|zero|false|0) without one|mak(?:e|es|ing) (?:a )?drills?|meanwhile|(?:fails?|ends?) at once",
    "late (?:values?|fields?|arguments?)|values? that comes? later",
    "former (?:one|version|runtime|directory|name|configuration|cluster|options)",
    "beside (?:production|an instance|a recovery|the (?:file|program|data directory|backups|configuration|uploads)))\\b",
    "/\\*\\* (?:Of|By) ",
  ].join("|"),
  "i",
);
const SPEAKING = /^(runtime|components|tools|examples|docs(?!\/internals\/repository-format))\b/;

export const LINE_WIDTH_MAX = 120;

/** Words in the glossary's last column. */
export function retiredWords(glossary: string): RetiredWord[] {
  return glossary.split("\n").flatMap((line) => {
    const [, term = "", , , retired = ""] = line.split("|").map((cell) => cell.trim());
    if (!line.startsWith("|") || term === "Term" || term.startsWith("---")) return [];
    return retired.split(", ").flatMap((word) => (word === "" ? [] : [{ parts: word.split(" "), term }]));
  });
}

/** Declared names that contain a retired word. */
export function checkRetiredNames(source: Source, retired: readonly RetiredWord[]): string[] {
  // These rules need the words themselves.
  if (source.path.startsWith("test/tidy/")) return [];
  const problems: string[] = [];
  walk(source, (node) => {
    if (!compiler.isIdentifier(node) || !isDeclared(node) || PUBLIC_NAMES.has(node.text)) return;
    const problem = retiredIn(node.text, retired);
    if (problem !== null) problems.push(`${positionOf(source, node)}: ${problem}`);
  });
  return problems;
}

/** Metrics whose name contains a retired word. */
export function checkRetiredMetrics(names: readonly string[], retired: readonly RetiredWord[]): string[] {
  return names.flatMap((name) => retiredIn(name, retired) ?? []);
}

/** Verdicts on names, most of which are declared many times. */
const verdicts = new WeakMap<readonly RetiredWord[], Map<string, string | null>>();

function retiredIn(name: string, retired: readonly RetiredWord[]): string | null {
  const known = verdicts.get(retired) ?? new Map<string, string | null>();
  verdicts.set(retired, known);
  const verdict = known.get(name);
  if (verdict !== undefined) return verdict;
  const made = judge(name, retired);
  known.set(name, made);
  return made;
}

function judge(name: string, retired: readonly RetiredWord[]): string | null {
  const parts = partsOf(name);
  const word = retired.find((candidate) =>
    parts.some((_, start) => candidate.parts.every((part, at) => isForm(parts[start + at], part))),
  );
  return word === undefined ? null : `${name} has the retired word '${word.parts.join(" ")}': say ${word.term}`;
}

/** Comments, messages and prose that read as translated, or use jargon that the glossary retires. */
export function checkPhrases(file: TextFile): string[] {
  return linesOf(file).flatMap(([line, number]) => {
    const spoken = SPEAKING.test(file.path) ? (JARGON.exec(line) ?? TRANSLATED.exec(line)) : null;
    const phrase = (STIFF.exec(line) ?? spoken)?.[0];
    return phrase === undefined
      ? []
      : [`${file.path}:${number}: '${phrase}': use plain words, and those of docs/glossary.md`];
  });
}

/** Comments that are too wide. The formatter breaks code; strings and links cannot be broken. */
export function checkWidth(file: TextFile): string[] {
  return linesOf(file).flatMap(([line, number]) => {
    if (line.length <= LINE_WIDTH_MAX || !/^\s*(\/\/|\/\*|\*\s)/.test(line) || /https?:/.test(line)) return [];
    return [`${file.path}:${number}: ${line.length} columns, the limit is ${LINE_WIDTH_MAX}`];
  });
}

function isDeclared(node: ts.Identifier): boolean {
  const { parent } = node;
  return (
    "name" in parent &&
    parent.name === node &&
    !compiler.isPropertyAccessExpression(parent) &&
    !compiler.isImportSpecifier(parent) &&
    !compiler.isMetaProperty(parent)
  );
}

function partsOf(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .split(/[ _]+/);
}

function isForm(part: string | undefined, word: string): boolean {
  return part === word || part === `${word}s` || part === `${word}es`;
}

function linesOf(file: TextFile): [line: string, number: number][] {
  return file.text.split("\n").map((line, index) => [line, index + 1]);
}
