/** Every `// claim:` comment of the tests is complete, and every document has one. */
import { existsSync, globSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { projectFolder } from "../../../tools/parts/cache";
import { TIERS } from "../../../tools/parts/tiers";
import { annotationsOf, joinClaims, readAnnotations } from "../../../tools/docs/claims";
import { renderPages } from "../../../tools/docs/claimsPage";

/** Lists of pages, which promise nothing themselves. */
const LISTS = [
  "docs/README.md",
  "docs/hosts.md",
  "docs/kubernetes.md",
  "docs/internals/claims.md",
  "packages/migration/docs/reference.md",
];

describe("the claims", () => {
  const root = projectFolder();
  const pages = new Set(joinClaims(readAnnotations()).flatMap((claim) => claim.pages));

  test("name existing pages", () => {
    expect([...pages].filter((page) => !existsSync(join(root, page)))).toEqual([]);
  });

  test("say something about every page", () => {
    const documents = [
      "README.md",
      ...globSync(["docs/**/*.md", "packages/*/README.md", "packages/*/docs/*.md"], { cwd: root }),
    ];
    expect(documents.filter((page) => !pages.has(page) && !LISTS.includes(page))).toEqual([]);
  });
});

describe("a claim", () => {
  const read = (...lines: readonly string[]): unknown =>
    annotationsOf("test/a.test.ts", lines.join("\n")).map(({ pages, text, nightly }) => ({
      pages: pages.join(),
      text,
      nightly,
    }));

  test("belongs to the test or group below it, or to the file", () => {
    expect(
      read(
        "// claim: README.md: whole file",
        'import { test } from "vitest";',
        'describe("group", () => {',
        "  // claim: docs/a.md, docs/b.md: long",
        "  //   sentence",
        "  // A comment.",
        '  test.each([["row"]])("%s works", () => {});',
        "});",
        "// claim: docs/c.md: group",
        "describe(`of ${count}`, () => {});",
      ),
    ).toEqual([
      { pages: "README.md", text: "whole file", nightly: false },
      { pages: "docs/a.md,docs/b.md", text: "long sentence", nightly: false },
      { pages: "docs/c.md", text: "group", nightly: false },
    ]);
  });

  test("is refused without a page or a test", () => {
    expect(() => read("// claim: something", 'test("a", () => {});')).toThrow("test/a.test.ts:1: a claim is");
    expect(() => read("// claim: docs/a.md: b", "const a = 1;")).toThrow("test/a.test.ts:1: this claim is neither");
    expect(() => read('test("a", () => {', "  // claim: docs/a.md: b", "});")).toThrow("nothing is below");
  });

  test("is nightly if its test or file is", () => {
    const nightly = (...lines: readonly string[]): readonly boolean[] =>
      annotationsOf("test/a.test.ts", lines.join("\n")).map((annotation) => annotation.nightly);
    const claim = "// claim: docs/a.md: b";
    expect(nightly(claim, 'test.runIf(NIGHTLY)("a", f);', claim, 'test("b", f);')).toEqual([true, false]);
    expect(nightly(claim, 'test.runIf(has && NIGHTLY)("a", f);', claim, 'test.runIf(!NIGHTLY)("b", f);')).toEqual([
      true,
      false,
    ]);
    expect(nightly('describe.runIf(NIGHTLY)("a", () => {', claim, 'test("b", f);', "});")).toEqual([true]);
    const [file = ""] = TIERS.flatMap((tier) => Object.keys(tier.nightly ?? {}));
    expect(annotationsOf(file, `${claim}\ntest("a", f);`)[0]?.nightly).toBe(true);
  });

  test("is continued by its beginning, which is no other claim's", () => {
    const pageOf = (...texts: readonly string[]): string[] =>
      renderPages(
        joinClaims(
          texts.flatMap((text, at) =>
            annotationsOf(`test/${"abc".charAt(at)}.test.ts`, `// claim: docs/a.md: ${text}\ntest("a", f);`),
          ),
        ),
      );
    expect(pageOf("one thing", "one…", "other things")).toEqual([
      "",
      "## docs/a.md",
      "",
      "- One thing.",
      "  `test/a.test.ts`, `test/b.test.ts`",
      "- Other things.",
      "  `test/c.test.ts`",
    ]);
    expect(() => pageOf("one thing", "one more", "one…")).toThrow('2 claims of docs/a.md begin with "one"');
    expect(() => pageOf("one thing", "two…")).toThrow('0 claims of docs/a.md begin with "two"');
  });
});
