/** The project's rules for single files: banned code with its replacement, lengths, paths, private machine names. */
import type ts from "typescript";
import { compiler, positionOf, type Source, type TextFile, walk } from "./sources";

interface Ban {
  /** The banned code, as written. */
  readonly text: string;
  readonly instead: string;
  /** Path prefixes in which it is banned. */
  readonly where: readonly string[];
  /** Files that may use it. */
  readonly except: readonly string[];
  readonly matches: (node: ts.Node) => boolean;
}

const PRODUCT = ["runtime", "components", "packages/migration/components", "packages/migration/runtime"];
const PURE = ["runtime", "components/plan", "components/render", "packages/migration/runtime"];
const EVERYWHERE = ["runtime", "components", "examples", "packages", "tools", "test"];
/** The readers of argv, clock and signals. */
const MAINS = ["runtime/main.ts", "packages/migration/runtime/runProgram.ts"];
/** Guards the process before the program, which may be damaged, is loaded. */
const HEAD = "runtime/start.ts";
const CLOCK = "runtime/base/clock.ts";

export const BANS: readonly Ban[] = [
  {
    text: "Date.now",
    instead: "ctx.clock.nowMs()",
    where: PURE,
    except: [CLOCK],
    matches: (node) => isMember(node, "Date", "now"),
  },
  { text: "new Date()", instead: "new Date(ctx.clock.nowMs())", where: PURE, except: [CLOCK], matches: isDateOfNow },
  {
    text: "performance.now",
    instead: "ctx.clock.monotonicMs()",
    where: PURE,
    except: [CLOCK],
    matches: (node) => isMember(node, "performance", "now"),
  },
  {
    text: "console",
    instead: "ctx.log or a result",
    where: PRODUCT,
    except: [...MAINS, "components/bin/"],
    matches: (node) => isMember(node, "console"),
  },
  {
    text: "process.env",
    instead: "config",
    where: PURE,
    except: [...MAINS, HEAD],
    matches: (node) => isMember(node, "process", "env"),
  },
  {
    text: "process.argv",
    instead: "arguments passed by main",
    where: PURE,
    except: [...MAINS, HEAD],
    matches: (node) => isMember(node, "process", "argv"),
  },
  {
    text: "process.exit",
    instead: "an error of a kind",
    where: PURE,
    except: MAINS,
    matches: (node) => isMember(node, "process", "exit"),
  },
  {
    text: "process.on",
    instead: "ctx.signal",
    where: PURE,
    except: [...MAINS, HEAD],
    matches: (node) => isMember(node, "process", "on"),
  },
  {
    text: "Math.random",
    instead: "ctx.random",
    where: [...PRODUCT, "tools"],
    except: [],
    matches: (node) => isMember(node, "Math", "random"),
  },
  {
    text: "new Promise(setTimeout)",
    instead: "ctx.clock.sleep",
    where: PURE,
    except: [CLOCK, ...MAINS],
    matches: (node) => isCall(node, "setTimeout"),
  },
  {
    text: "setInterval",
    instead: "a loop over ctx.clock.sleep",
    where: PURE,
    except: MAINS,
    matches: (node) => isCall(node, "setInterval"),
  },
  {
    text: "fetch",
    instead: "the storage driver's client",
    where: PURE,
    except: [],
    matches: (node) => isCall(node, "fetch"),
  },
  {
    text: "any",
    instead: "unknown and a check",
    where: EVERYWHERE,
    except: [],
    matches: (node) => node.kind === compiler.SyntaxKind.AnyKeyword,
  },
  {
    text: "as unknown as",
    instead: "a check or a better type",
    where: EVERYWHERE,
    except: [],
    matches: isDoubleAssertion,
  },
  {
    text: "export default",
    instead: "a named export",
    where: EVERYWHERE,
    // Vitest takes a reporter's file by its default export.
    except: ["tools/test/failureReporter.ts"],
    matches: isDefaultExport,
  },
  {
    text: "enum",
    instead: "const X = {…} as const",
    where: EVERYWHERE,
    except: [],
    matches: compiler.isEnumDeclaration,
  },
  {
    text: 'import "fast-check"',
    instead: "test/harness/properties.ts, which fixes the seed",
    where: EVERYWHERE,
    except: ["test/harness/properties.ts"],
    matches: (node) =>
      compiler.isImportDeclaration(node) &&
      compiler.isStringLiteral(node.moduleSpecifier) &&
      node.moduleSpecifier.text === "fast-check",
  },
  {
    text: 'import "node:fs"',
    instead: "runtime/local/nodeFiles.ts, whose names may hold any bytes",
    where: ["runtime"],
    except: ["runtime/local/nodeFiles.ts", HEAD, "runtime/stay/askStaying.ts", "runtime/stay/place.ts"],
    matches: (node) =>
      compiler.isImportDeclaration(node) &&
      compiler.isStringLiteral(node.moduleSpecifier) &&
      /^node:fs(\/promises)?$/.test(node.moduleSpecifier.text),
  },
  {
    text: 'import("node:…")',
    instead: "a static import: it loads at its first use, and the compiled program has no dynamic one",
    where: ["runtime", "packages/migration/runtime"],
    except: [],
    matches: (node) =>
      compiler.isCallExpression(node) &&
      node.expression.kind === compiler.SyntaxKind.ImportKeyword &&
      node.arguments.some((argument) => compiler.isStringLiteral(argument) && argument.text.startsWith("node:")),
  },
  { text: "namespace", instead: "a file", where: EVERYWHERE, except: [], matches: isNamespace },
];

/** Excludes type declarations of a package (`declare module "…"`). */
function isNamespace(node: ts.Node): boolean {
  return compiler.isModuleDeclaration(node) && !compiler.isStringLiteral(node.name);
}

/** Uses of banned words. */
export function checkBans(source: Source): string[] {
  const bans = BANS.filter(
    (ban) => startsWithAny(source.path, ban.where.map(asFolder)) && !startsWithAny(source.path, ban.except),
  );
  const result: string[] = [];
  walk(source, (node) => {
    // Half of all nodes, and no rule bans a name alone.
    if (node.kind === compiler.SyntaxKind.Identifier) return;
    for (const ban of bans)
      if (ban.matches(node)) result.push(`${positionOf(source, node)}: ${ban.text} is banned, use ${ban.instead}`);
  });
  return result;
}

/** Files without a line limit, because tables are data. */
export const TABLES: readonly string[] = ["runtime/config/options.ts"];
const SOURCE_LINES_MAX = 700;
const TEST_LINES_MAX = 1000;
/** Tables that a tool makes. */
const MADE = ["components/plan/arguments/argumentTypes.ts", "components/databases/cnpgSpec.ts"];
export const FUNCTION_LINES_MAX = 70;

export function checkFileLength(file: TextFile): string[] {
  if (MADE.includes(file.path)) return [];
  const limit = file.path.startsWith("test/") ? TEST_LINES_MAX : SOURCE_LINES_MAX;
  const lineCount = file.text.split("\n").length - 1;
  return TABLES.includes(file.path) || lineCount <= limit
    ? []
    : [`${file.path}: ${lineCount} lines, the limit is ${limit}`];
}

/** Folders whose files may share a name with files elsewhere, with the reason. */
const NAMESAKES: Readonly<Record<string, string>> = {
  "packages/migration": "a package calls its parts as the other one does",
  "runtime/commands": "a verb's command is called like its operation",
  "runtime/storage/sftp": "the driver has the same parts as that of S3",
  "components/bin": "a command is called like what it shows",
  "components/dynamic": "stacks remember these names",
  "components/plan/rules": "rules are called like what they judge",
  "components/render/hostEngines": "an engine on a host is called like the same in a cluster",
};

/** All folders and files in the lists of these rules. */
export function listedPaths(): string[] {
  return [...BANS.flatMap((ban) => ban.except), ...TABLES, ...Object.keys(NAMESAKES)];
}

/** Product sources that share a name without a reason in NAMESAKES. */
export function checkNames(paths: readonly string[]): string[] {
  const seen = new Map<string, string>();
  return paths.flatMap((path) => {
    if (!startsWithAny(path, PRODUCT.map(asFolder))) return [];
    const group = Object.keys(NAMESAKES).find((folder) => path.startsWith(`${folder}/`)) ?? "";
    const name = `${group}:${path.split("/").at(-1)?.toLowerCase()}`;
    const first = seen.get(name);
    seen.set(name, path);
    return first === undefined ? [] : [`${path}: ${first} has this name already, call each after what it holds`];
  });
}

/** Functions over the limit. `allowed` maps `path#name` to a higher limit. */
export function checkFunctionLength(source: Source, allowed: Readonly<Record<string, number>>): string[] {
  const result: string[] = [];
  walk(source, (node) => {
    if (!compiler.isFunctionLike(node) || !("body" in node) || node.body === undefined) return;
    const lineOf = (position: number): number => source.tree.getLineAndCharacterOfPosition(position).line;
    const lineCount = lineOf(node.getEnd()) - lineOf(node.getStart(source.tree)) + 1;
    const key = `${source.path}#${functionName(node)}`;
    if (lineCount > (allowed[key] ?? FUNCTION_LINES_MAX)) {
      result.push(
        `${positionOf(source, node)}: ${functionName(node)} has ${lineCount} lines, the limit is ${allowed[key] ?? FUNCTION_LINES_MAX}`,
      );
    }
  });
  return result;
}

/** Notes to do without an issue number. */
export function checkNotes(file: TextFile): string[] {
  const args = [
    ["TO", "DO"],
    ["FIX", "ME"],
    ["XX", "X"],
  ].map((pieces) => pieces.join(""));
  const text = new RegExp(`\\b(${args.join("|")})\\b(?! ?\\(?#\\d+)`);
  return linesMatching(file, text, (line) => `a note without an issue number: ${line}`);
}

/** In pieces, because this file is checked too. */
const REGISTRY_HOSTS = [
  ["registry", "npmjs", "org"],
  ["deb", "debian", "org"],
  ["snapshot", "debian", "org"],
  ["deb", "nodesource", "com"],
  ["proxy", "golang", "org"],
  ["sum", "golang", "org"],
  ["pypi", "org"],
  ["pythonhosted", "org"],
  ["crates", "io"],
  ["maven", "org"],
].map((args) => args.join("\\."));
const MACHINE_PATHS = [
  ["work", "main"],
  ["work", "shared"],
  ["root", "\\.cache"],
  ["root", "go"],
].map((args) => ["", ...args].join("/"));

/** Missing sources that a document or comment names. A name matches the end of a path. */
export function checkPaths(file: TextFile, ends: ReadonlySet<string>): string[] {
  const lines = file.text
    .split("\n")
    .map((line) => (file.path.endsWith(".md") || /^\s*(\/\*|\*|\/\/)/.test(line) ? line : ""));
  return lines.flatMap((line, position) =>
    [...line.matchAll(/(?<![\w./<@$*{-])(?:\.{1,2}\/)*((?:[\w.-]+\/)*\w[\w.-]*\.(?:ts|mjs))(?![\w/])/g)]
      .filter(([, path = ""]) => !ends.has(path))
      .map(([, path]) => `${file.path}:${position + 1}: ${path} is not in the project`),
  );
}

const FUNCTION = String.raw`\`(?!\w+\.ts\`)(?:\w+\.)*(\w+)\``;
const FILE = String.raw`\`([\w/.-]+\.ts)\``;
const NAMED = new RegExp(`${FILE}, ${FUNCTION}|${FUNCTION} (?:and \`\\w+\` )?(?:in|of) ${FILE}`, "g");

/** Functions that a document places in a file which does not have them. @param read null for a missing file */
export function checkFunctions({ path, text }: TextFile, read: (path: string) => string | null): string[] {
  return [...text.matchAll(NAMED)].flatMap(([, file, name = "", other = "", place = ""]) => {
    const [source, wanted] = file === undefined ? [place, other] : [file, name];
    const code = read(source);
    return code === null || new RegExp(`\\b${wanted}\\b`).test(code) ? [] : [`${path}: ${source} has no ${wanted}`];
  });
}

/** Missing paths in lists of tools and configurations. A pattern is checked up to its last plain folder. */
export function checkListed(file: TextFile, exists: (path: string) => boolean): string[] {
  const rooms = EVERYWHERE.join("|");
  return [...file.text.matchAll(new RegExp(`"!?(?:\\./)?((?:${rooms})/[^"\\s$]*?)!?"`, "g"))]
    .flatMap(([, pattern = ""]) => expandBraces(pattern))
    .map((path) => path.replace(/\/?[^/]*\*.*$/, ""))
    .filter((path) => !exists(path))
    .map((path) => `${file.path}: ${path} is not in the project`);
}

function expandBraces(pattern: string): string[] {
  const [, before = "", args = "", after = ""] = /^([^{]*)\{([^}]*)\}(.*)$/.exec(pattern) ?? [];
  return args === "" ? [pattern] : args.split(",").flatMap((text) => expandBraces(`${before}${text}${after}`));
}

/** All suffixes of each path, down to the file name. */
export function pathEnds(paths: readonly string[]): ReadonlySet<string> {
  return new Set(paths.flatMap((path) => path.split("/").map((_, index, parts) => parts.slice(index).join("/"))));
}

/** Host names of package registries and machine paths, which must not be in the project. */
export function checkPrivateNames(file: TextFile): string[] {
  const pattern = new RegExp(`\\b(?:${REGISTRY_HOSTS.join("|")})\\b|(?<![\\w.])(?:${MACHINE_PATHS.join("|")})`);
  return linesMatching(file, pattern, (_line, match) => `${match} does not belong into the project`);
}

function linesMatching(file: TextFile, pattern: RegExp, textOf: (line: string, match: string) => string): string[] {
  return file.text.split("\n").flatMap((line, position) => {
    const match = pattern.exec(line)?.[0];
    return match === undefined ? [] : [`${file.path}:${position + 1}: ${textOf(line.trim(), match)}`];
  });
}

function isMember(node: ts.Node, object: string, property?: string): boolean {
  if (
    !compiler.isPropertyAccessExpression(node) ||
    !compiler.isIdentifier(node.expression) ||
    node.expression.text !== object
  )
    return false;
  return property === undefined || node.name.text === property;
}

function isCall(node: ts.Node, name: string): boolean {
  return compiler.isCallExpression(node) && compiler.isIdentifier(node.expression) && node.expression.text === name;
}

function isDateOfNow(node: ts.Node): boolean {
  return (
    compiler.isNewExpression(node) &&
    compiler.isIdentifier(node.expression) &&
    node.expression.text === "Date" &&
    (node.arguments?.length ?? 0) === 0
  );
}

function isDoubleAssertion(node: ts.Node): boolean {
  return (
    compiler.isAsExpression(node) &&
    compiler.isAsExpression(node.expression) &&
    node.expression.type.kind === compiler.SyntaxKind.UnknownKeyword
  );
}

function isDefaultExport(node: ts.Node): boolean {
  if (compiler.isExportAssignment(node)) return true;
  return (
    compiler.canHaveModifiers(node) &&
    (compiler.getModifiers(node) ?? []).some((modifier) => modifier.kind === compiler.SyntaxKind.DefaultKeyword)
  );
}

function functionName(node: ts.SignatureDeclaration): string {
  if (node.name !== undefined) return node.name.getText();
  if (compiler.isConstructorDeclaration(node)) return "constructor";
  const parent = node.parent;
  if (compiler.isVariableDeclaration(parent) || compiler.isPropertyAssignment(parent)) return parent.name.getText();
  return "(function)";
}

function startsWithAny(path: string, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => path.startsWith(prefix));
}

function asFolder(path: string): string {
  return path.endsWith(".ts") ? path : `${path}/`;
}
