/** Every file and test title in docs/internals/claims.md exists, and claims.md mentions every document. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { projectFolder } from "../../tools/parts/cache";
import { TIERS } from "../../tools/parts/tiers";

const ROOT = projectFolder();
const CLAIMS = readFileSync(join(ROOT, "docs", "internals", "claims.md"), "utf8");

interface Named {
  readonly file: string;
  /** The start of a test's title, or null for the file itself. */
  readonly title: string | null;
}

/** `path` in backticks, each followed by `: "how a test begins", "another"`. */
function namedBy(text: string): Named[] {
  const named: Named[] = [];
  for (const match of text.matchAll(
    /`((?:test|runtime|tools|docs|components|examples)\/[^`\s]+)`((?::\s|,\s)?(?:"[^"]+"(?:,\s(?="))?)*)/g,
  )) {
    const file = match[1] ?? "";
    named.push({ file, title: null });
    for (const title of (match[2] ?? "").matchAll(/"([^"]+)"/g)) named.push({ file, title: title[1] ?? "" });
  }
  return named;
}

test("every file and title in the claims exists", () => {
  const named = namedBy(CLAIMS);
  expect(named.filter(({ title }) => title !== null).length).toBeGreaterThan(20);
  const gone = named.filter(({ file, title }) => {
    if (!existsSync(join(ROOT, file))) return true;
    return title !== null && !readFileSync(join(ROOT, file), "utf8").includes(title);
  });
  expect(gone).toEqual([]);
});

test("the check detects missing files and titles", () => {
  expect(namedBy('| `test/a.test.ts`: "one thing", "and another" | `docs/b.md`, "text" |')).toEqual([
    { file: "test/a.test.ts", title: null },
    { file: "test/a.test.ts", title: "one thing" },
    { file: "test/a.test.ts", title: "and another" },
    { file: "docs/b.md", title: null },
    { file: "docs/b.md", title: "text" },
  ]);
});

/** In a source, a title after `.runIf(…NIGHTLY…)(` belongs to the nightly form. */
function isNightlyTitle(source: string, title: string): boolean {
  const at = source.indexOf(title);
  return at !== -1 && /\.runIf\([^()]*\bNIGHTLY\)\(\s*["`]$/.test(source.slice(0, at));
}

test("a row that only the nightly form shows says so", () => {
  const nightly = new Set(TIERS.flatMap((tier) => Object.keys(tier.nightly ?? {})));
  const isNightly = ({ file, title }: Named): boolean =>
    nightly.has(file) || (title !== null && isNightlyTitle(readFileSync(join(ROOT, file), "utf8"), title));
  const unmarked = (text: string): string[] =>
    text.split("\n").filter((line) => {
      const tests = namedBy(line).filter(({ file }) => file.endsWith(".test.ts"));
      // A file beside titles of its own is named by them.
      const named = tests.filter(
        ({ file, title }) => title !== null || !tests.some((one) => one.file === file && one.title !== null),
      );
      return named.length > 0 && named.every(isNightly) && !line.includes("nightly");
    });
  expect(unmarked(CLAIMS)).toEqual([]);
  const [file = ""] = nightly;
  expect(unmarked(`| a | shown | \`${file}\` |\n| b | shown, nightly | \`${file}\` |`)).toHaveLength(1);
  expect(isNightlyTitle('test.runIf(NIGHTLY)(\n    "one", …\n  test("two", …', "one")).toBe(true);
  expect(isNightlyTitle('test.runIf(NIGHTLY)("one", …\n  test("two", …', "two")).toBe(false);
});

test("every row of promises names something, and every document is mentioned", () => {
  const promises = CLAIMS.split("\n").filter((line) => /^\| .* \| shown(?:, nightly)? \|/.test(line));
  expect(promises.filter((line) => namedBy(line).length === 0 && !/demo|on s3rver/.test(line))).toEqual([]);
  const documents = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".md"),
  );
  const spokenOf = new Set([
    // Lists of pages.
    "README.md",
    "hosts.md",
    "kubernetes.md",
    "internals/claims.md",
    ...namedBy(CLAIMS).map(({ file }) => file.replace(/^docs\//, "")),
  ]);
  expect(documents.filter((path) => !spokenOf.has(path))).toEqual([]);
});
