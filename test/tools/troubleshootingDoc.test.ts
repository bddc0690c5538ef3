/** docs/troubleshooting.md: every entry is complete and has a test, and errors point to existing entries. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TROUBLESHOOTING_ANCHORS } from "../../runtime/base/troubleshooting";
import { projectFolder } from "../../tools/parts/cache";
import { fragmentsOf, type GuideEntry, parseGuide, readGuide } from "../harness/compare/troubleshootingGuide";

const ROOT = projectFolder();
const GUIDE = readGuide();
const REPRODUCED_BY = "test/interop/faults/troubleshooting.test.ts";

/** Entries that no error points to. Readers arrive from PostgreSQL's log, an alert, another program or a metric. */
const REACHED_OTHERWISE = [
  "pg-wal-full",
  "wal-dropped",
  "promoted-standby",
  "stolen-key",
  "checkpoint-wait",
  "stock-and-runtime",
  "second-repository-empty",
  "backup-kept",
  "wal-kept",
  "repository-grows",
  "slow-restore",
  "agent-missing",
];

function sourcesBelow(folder: string): string {
  return readdirSync(join(ROOT, folder), { recursive: true })
    .filter((name) => /(\.ts|pgbackrest-client)$/.test(String(name)))
    .map((name) => readFileSync(join(ROOT, folder, String(name)), "utf8"))
    .join("\n");
}

const SOURCES = ["runtime", "components"].map(sourcesBelow).join("\n");

/** Missing parts, files, titles and quotes of an entry. */
function missingOf({ anchor, labels, quotes, shownBy }: GuideEntry): string[] {
  const line = (what: string): string => `${anchor}: ${what}`;
  const wrong = labels.join() === "Symptom,Look,Cause,Fix,Shown by" ? [] : [line(`has ${labels.join()}`)];
  if (quotes.length === 0) wrong.push(line("quotes nothing"));
  if (shownBy.length === 0) wrong.push(line("is shown by nothing"));
  const texts = shownBy.map(({ file, titles }) => {
    const text = existsSync(join(ROOT, file)) ? readFileSync(join(ROOT, file), "utf8") : null;
    if (text === null) wrong.push(line(`${file} is gone`));
    else
      wrong.push(...titles.filter((title) => !text.includes(title)).map((title) => line(`${file} has no "${title}"`)));
    return text ?? "";
  });
  if (shownBy.some(({ file }) => file === REPRODUCED_BY)) return wrong;
  const printed = [SOURCES, ...texts].join("\n");
  const unknown = quotes
    .filter(({ by }) => by === "text")
    .flatMap(({ text }) => fragmentsOf(text).filter((fragment) => !knows(printed, fragment)));
  return [...wrong, ...unknown.map((fragment) => line(`nobody says "${fragment}"`))];
}

/** Sources build some messages from parts, so punctuation around a fragment may be elsewhere. */
function knows(printed: string, fragment: string): boolean {
  return printed.includes(fragment.replace(/^['.:\s]+|['.:\s]+$/g, ""));
}

// claim: docs/troubleshooting.md: every entry quotes the…
test("every entry is complete, and its tests exist", () => {
  expect(GUIDE.length).toBeGreaterThan(45);
  expect(GUIDE.flatMap(missingOf)).toEqual([]);
  expect(new Set(GUIDE.map(({ anchor }) => anchor)).size).toBe(GUIDE.length);
  expect(GUIDE.filter(({ anchor }) => !/^[a-z][a-z-]+$/.test(anchor))).toEqual([]);
});

// claim: docs/troubleshooting.md: every entry quotes the…
test("every pointer leads to an entry, and every entry is reachable", () => {
  const anchors = GUIDE.map(({ anchor }) => anchor);
  expect(TROUBLESHOOTING_ANCHORS.filter((anchor) => !anchors.includes(anchor))).toEqual([]);
  const others = GUIDE.filter(
    ({ anchor, section }) => section !== "CloudNativePG" && !TROUBLESHOOTING_ANCHORS.includes(anchor),
  );
  expect(others.map(({ anchor }) => anchor).sort()).toEqual([...REACHED_OTHERWISE].sort());
});

test("links within the guide lead to entries", () => {
  const text = readFileSync(join(ROOT, "docs", "troubleshooting.md"), "utf8");
  const anchors = new Set(GUIDE.map(({ anchor }) => anchor));
  expect(
    [...text.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor = ""]) => anchor).filter((anchor) => !anchors.has(anchor)),
  ).toEqual([]);
});

test("the check detects missing parts, files and quotes", () => {
  const entry =
    '## A\n### a-b\n**Symptom.** x\n```text\n[055]: never said by anybody <x>\n```\n**Fix.** y\n**Shown by** `nowhere.ts`: "t"\n';
  expect(parseGuide(entry).flatMap(missingOf)).toEqual([
    "a-b: has Symptom,Fix,Shown by",
    "a-b: nowhere.ts is gone",
    'a-b: nobody says "never said by anybody "',
  ]);
});
