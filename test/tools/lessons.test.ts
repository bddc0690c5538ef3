/** docs/internals/lessons.md: every row names an answer, and every code, file and test title in it exists. */
// claim: docs/internals/lessons.md: lessons of published set-ups, with our answers (codes, files and titles exist)
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { RULES } from "../../components/plan/findings/ruleTable";
import { projectFolder } from "../../tools/parts/cache";

const ROOT = projectFolder();

interface Row {
  readonly lesson: string;
  readonly answer: string;
  readonly where: string;
}

function rowsOf(text: string): Row[] {
  return text.split("\n").flatMap((line) => {
    const [lesson, answer, where] = line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
    if (
      lesson === undefined ||
      answer === undefined ||
      where === undefined ||
      /^(-+|lesson|warning|advice)$/.test(lesson)
    )
      return [];
    return [{ lesson, answer, where }];
  });
}

/** `path` in backticks, optionally followed by `: "a title", "another"`. */
function namedBy(where: string): { file: string; titles: string[] }[] {
  return [...where.matchAll(/`([^`]+)`((?:(?:: |, )"[^"]*")*)/g)].map(([, file = "", titles = ""]) => ({
    file,
    titles: [...titles.matchAll(/"([^"]*)"/g)].map(([, title = ""]) => title),
  }));
}

/** Missing codes, files and titles of a row. */
function missingOf({ answer, lesson, where }: Row): string[] {
  const codes = [...answer.matchAll(/PB\d{3}/g)].map(([code]) => code);
  const unknown = codes.filter((code) => !Object.hasOwn(RULES, code));
  const named = namedBy(where);
  const nothing = named.length === 0 && !answer.startsWith("nothing to judge") ? ["names nothing"] : [];
  const gone = named.flatMap(({ file, titles }) => {
    if (!existsSync(join(ROOT, file))) return [file];
    const text = readFileSync(join(ROOT, file), "utf8");
    return titles.filter((title) => !text.includes(title)).map((title) => `${file}: ${title}`);
  });
  return [...unknown, ...nothing, ...gone].map((what) => `${lesson}: ${what}`);
}

const ROWS = rowsOf(readFileSync(join(ROOT, "docs", "internals", "lessons.md"), "utf8"));

test("every answer to a lesson exists", () => {
  expect(ROWS.length).toBeGreaterThan(75);
  expect(ROWS.flatMap(missingOf)).toEqual([]);
});

test("the check detects missing codes, files and titles", () => {
  const row = { lesson: "x", answer: "PB999", where: '`docs/internals/lessons.md`: "no such title", `nowhere.ts`' };
  expect(missingOf(row)).toEqual(["x: PB999", "x: docs/internals/lessons.md: no such title", "x: nowhere.ts"]);
  expect(missingOf({ lesson: "x", answer: "a behaviour", where: "none" })).toEqual(["x: names nothing"]);
});
