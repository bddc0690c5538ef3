/** Applies the house rules to every file. The other tests of this folder show that each rule can fail. */
// claim: docs/glossary.md: one word for each thing (in names)
// claim: docs/internals/repository-format.md: stock's files and behaviour…
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { DEFINITIONS } from "../../runtime/metrics/definitions";
import { BUNDLE_SIZE_BYTES_MAX } from "../../tools/parts/build/build";
import { projectFolder } from "../../tools/parts/cache";
import { TIERS } from "../../tools/parts/tiers";
import { withFolders } from "../../tools/foldersDoc";
import { checkCitations, checkDocument } from "./documents";
import { checkImports, checkTable, findCircles, importsOf, packagesOf, ROOMS } from "./imports";
import {
  checkBans,
  checkFileLength,
  checkFunctionLength,
  checkFunctions,
  checkListed,
  checkNames,
  checkNotes,
  checkPaths,
  checkPrivateNames,
  listedPaths,
  pathEnds,
} from "./rules";
import { readSources, readTextFiles } from "./sources";
import { checkPhrases, checkRetiredMetrics, checkRetiredNames, checkWidth, retiredWords } from "./words";

/** Longer functions with their length. No entry may grow; each should go. */
const LONG_FUNCTIONS: Readonly<Record<string, number>> = {};
/** Longer pages, each with the reason. */
const LONG_PAGES: Readonly<Record<string, string>> = {
  "docs/architecture.md": "one map of the house, searched by the name of a part",
  "docs/internals/concurrency.md": "one set of rules, which refer to each other",
  "docs/internals/repository-format.md": "a specification, which the code cites by section",
  "docs/troubleshooting.md": "`pgbackstop explain` prints one entry of it",
};
/** Generated lists of modules and versions, and of tests, which only a release updates. */
const GENERATED = new Set(["package-lock.json", "tools/go.mod", "tools/go.sum", "docs/internals/claims.md"]);

const root = projectFolder();
const files = readTextFiles(root).filter((file) => !GENERATED.has(file.path));
const sources = readSources(root);
const paths = sources.map((source) => source.path);
const linesOf = (text: string): number => text.split("\n").length - 1;
const isThere = (path: string): boolean => existsSync(join(root, path));
const PACKAGE = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { exports: object };
const imports = sources.flatMap((source) => importsOf(source, root));

describe("the house", () => {
  // claim: docs/architecture.md: the rooms, and who…
  test("every room imports only what the house plan allows", () => {
    expect(checkImports(imports)).toEqual([]);
  });

  test("every room and every allowed import of the house plan exists", () => {
    expect(checkTable(imports, paths)).toEqual([]);
  });

  test("lists name only existing things", () => {
    const lists = files.filter(({ path }) => path.startsWith("tools/") || !/\/|\.md$/.test(path));
    expect(lists.flatMap((file) => checkListed(file, (path) => isThere(path) || isThere(`${path}.ts`)))).toEqual([]);
    const listed = [
      ...listedPaths(),
      ...Object.keys(LONG_FUNCTIONS).map((key) => key.split("#")[0] ?? ""),
      ...GENERATED,
    ];
    expect(listed.filter((path) => !isThere(path))).toEqual([]);
  });

  test("imports form no circle", () => {
    expect(findCircles(imports)).toEqual([]);
  });

  test("methods of dynamic resources load without Pulumi", () => {
    // Its start would cost their process more than all methods of an update.
    const methods = Object.keys(PACKAGE.exports).filter((name) => name.startsWith("./dynamic/"));
    expect(methods.length).toBeGreaterThan(0);
    const loading = methods.filter((name) =>
      packagesOf(`components/${name.slice(2)}.ts`, imports).some((to) => to.startsWith("@pulumi/")),
    );
    expect(loading).toEqual([]);
  });

  test("no two files share a name that means different things", () => {
    expect(checkNames(paths)).toEqual([]);
  });

  test("every test file belongs to a tier", () => {
    const tests = paths.filter((path) => path.endsWith(".test.ts"));
    const lost = tests.filter(
      (path) => !TIERS.some((tier) => tier.folders.some((folder) => path.startsWith(`${folder}/`))),
    );
    expect(lost).toEqual([]);
    expect(tests.length).toBeGreaterThan(0);
  });

  test("a test that replaces modules shares no process", () => {
    const replacing = files.filter(
      ({ path, text }) => path.endsWith(".test.ts") && /\bvi\.(mock|doMock|resetModules)\(/.test(text),
    );
    const sharing = replacing.filter(({ path }) => !TIERS.some(({ isolated }) => isolated?.includes(path)));
    expect(replacing.length).toBeGreaterThan(0);
    expect(sharing.map(({ path }) => path)).toEqual([]);
  });
});

describe("every file", () => {
  test("uses no banned word", () => {
    expect(sources.flatMap(checkBans)).toEqual([]);
  });

  test("stays below the limit of lines", () => {
    expect(
      files.filter((file) => file.path.endsWith(".ts") || file.path.endsWith(".mjs")).flatMap(checkFileLength),
    ).toEqual([]);
  });

  test("has functions that fit on a screen", () => {
    const product = sources.filter((source) => !/(^|\/)test\//.test(source.path));
    expect(product.flatMap((source) => checkFunctionLength(source, LONG_FUNCTIONS))).toEqual([]);
  });

  test("holds no note without an issue", () => {
    expect(files.flatMap(checkNotes)).toEqual([]);
  });

  test("uses the words of docs/glossary.md in names", () => {
    const retired = retiredWords(readFileSync(join(root, "docs", "glossary.md"), "utf8"));
    expect(sources.flatMap((source) => checkRetiredNames(source, retired))).toEqual([]);
    const metrics = DEFINITIONS.map(({ name }) => name);
    expect(checkRetiredMetrics(metrics, retired)).toEqual([]);
  });

  test("is in plain words", () => {
    const written = files.filter(({ path }) => /\.(ts|mjs|md)$/.test(path) && path !== "docs/glossary.md");
    expect(written.flatMap(checkPhrases)).toEqual([]);
  });

  test("has comments that fit into a line", () => {
    expect(sources.flatMap(checkWidth)).toEqual([]);
  });

  test("names no missing source", () => {
    const ends = pathEnds(files.map((file) => file.path));
    expect(
      files.filter((file) => /\.(ts|mjs|as|md)$/.test(file.path)).flatMap((file) => checkPaths(file, ends)),
    ).toEqual([]);
  });

  test("names no package registry and no machine's path", () => {
    expect(files.flatMap(checkPrivateNames)).toEqual([]);
  });
});

describe("every document", () => {
  const documents = files.filter((file) => file.path.endsWith(".md"));
  const read = (path: string): string | null => {
    if (!isThere(path)) return null;
    return statSync(join(root, path)).isDirectory() ? "" : readFileSync(join(root, path), "utf8");
  };

  test("has one title and links that lead somewhere", () => {
    expect(documents.flatMap((file) => checkDocument(file, read))).toEqual([]);
  });

  test("answers one question on each page", () => {
    const long = documents.filter(
      ({ path, text }) => /^docs\/(?!reference\/)/.test(path) && linesOf(text) > 200 && !(path in LONG_PAGES),
    );
    expect(long.map(({ path, text }) => `${path}: ${linesOf(text)} lines, the limit is 200`)).toEqual([]);
    const short = documents.filter(({ path, text }) => path in LONG_PAGES && linesOf(text) <= 200);
    expect(short.map(({ path }) => path)).toEqual([]);
  });

  test("places functions in files that have them", () => {
    expect(documents.flatMap((file) => checkFunctions(file, read))).toEqual([]);
  });
});

test("docs/internals/repository-format.md has every section that the code cites", () => {
  const specification = readFileSync(join(root, "docs", "internals", "repository-format.md"), "utf8");
  expect(
    sources
      .filter(({ path }) => !path.startsWith("test/tidy/"))
      .flatMap((source) => checkCitations(source, specification)),
  ).toEqual([]);
});

// claim: docs/architecture.md: the rooms, and who may import whom
test("docs/architecture.md shows the house plan", async () => {
  const page = join(root, "docs", "architecture.md");
  const rooms = ROOMS.flatMap(({ about, ...room }) => (about === undefined ? [] : [{ ...room, about }]));
  await expect(withFolders(readFileSync(page, "utf8"), rooms)).toMatchFileSnapshot(page);
});

describe("the bundle", () => {
  const bundle = join(root, "dist", "runtime.cjs");
  test.skipIf(!existsSync(bundle))("fits into a ConfigMap when compressed", () => {
    const packed = readFileSync(`${bundle}.br`);
    expect(packed.length).toBeLessThan(BUNDLE_SIZE_BYTES_MAX);
    expect(brotliDecompressSync(packed).equals(readFileSync(bundle))).toBe(true);
    // The start of pods tells both compressions apart by it.
    expect(packed[0]).not.toBe(gzipSync("")[0]);
  });

  test.skipIf(!existsSync(bundle))("contains nothing of Pulumi", () => {
    expect(readFileSync(bundle, "utf8")).not.toMatch(/@pulumi\/|pulumi\.Output/);
  });
});
