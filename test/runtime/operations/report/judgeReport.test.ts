import { describe, expect, test } from "vitest";
import {
  type ExpectedDocuments,
  judgeReport,
  type JudgedReport,
  needsAttention,
  NOTHING_EXPECTED,
} from "../../../../runtime/operations/report/judgeReport";
import type { ReportedDatabase } from "../../../../runtime/operations/report/reportFields";
import { DAY_S, NOW_S, reportedDatabase as database, reportedRepo as repo } from "./reported";

const DAILY: ExpectedDocuments = { databases: [], withinS: DAY_S };
const judge = (
  documents: Readonly<Record<string, readonly ReportedDatabase[]>>,
  expected = DAILY,
  nowS = NOW_S,
): JudgedReport =>
  judgeReport(
    Object.entries(documents).map(([path, databases]) => ({ path, file: { version: 1, databases } })),
    nowS,
    expected,
  );
/** Troubles as `orders repo1: the fact`. */
const factsIn = ({ databases, troubles }: JudgedReport): string[] => [
  ...troubles.map(({ message }) => message),
  ...databases.flatMap((each) =>
    each.troubles.map(
      ({ repo: key, trouble }) => `${each.database.stanza}${key === null ? "" : ` repo${key}`}: ${trouble.message}`,
    ),
  ),
];

// claim: docs/report.md: a document that is old, doubled, empty, missing or of a wrong clock needs attention
describe("a document", () => {
  test("that is new and complete needs no attention", () => {
    const report = judge({ "a.json": [database()] }, { databases: ["orders", "orders@db-1"], withinS: DAY_S });
    expect([factsIn(report), needsAttention(report), report.databases[0]?.isCurrent]).toEqual([[], false, true]);
  });

  test("is too old when the interval is over, and not a second earlier", () => {
    const documents = { "a.json": [database()] };
    expect(factsIn(judge(documents, DAILY, NOW_S + DAY_S))).toEqual([]);
    const report = judge(documents, DAILY, NOW_S + 3 * DAY_S);
    expect(factsIn(report)).toEqual([
      "orders: its document is of 2026-11-18 11:06:40 (3 days ago); expected is one every 24 hours",
    ]);
    expect(report.databases[0]?.isCurrent).toBe(false);
    const [trouble] = report.databases[0]?.troubles ?? [];
    expect(trouble?.trouble.hints).toEqual([
      "Write it again on db-1: pgbackstop --stanza=orders report --format=json",
      "If it is meant to come less often: report --expect-within=4d",
    ]);
    // The second remedy helps.
    expect(factsIn(judge(documents, { databases: [], withinS: 4 * DAY_S }, NOW_S + 3 * DAY_S))).toEqual([]);
    expect(factsIn(judge(documents, NOTHING_EXPECTED, NOW_S + 999 * DAY_S))).toEqual([]);
  });

  test("of a clock that is ahead says nothing about ages, also if only a repository's clock is", () => {
    const ahead = database({ stanza: "shop", repos: [repo({ newestWalS: NOW_S + 2 * DAY_S })] });
    const report = judge({ "a.json": [database({ atS: NOW_S + 5 * DAY_S })], "b.json": [ahead] });
    expect(factsIn(report).toSorted()).toEqual([
      "orders: the document has a time of the future, 2026-11-23 11:06:40 (in 5 days): its ages say nothing",
      "shop: the document has a time of the future, 2026-11-20 11:06:40 (in 2 days): its ages say nothing",
    ]);
    expect(factsIn(judge({ "a.json": [database({ atS: NOW_S + 60 })] }))).toEqual([]);
  });

  test("that describes a database once more is named with the other one, and both are shown", () => {
    const shop = database({ stanza: "shop" });
    const report = judge({
      "a.json": [database()],
      "b.json": [shop, database()],
      "c.json": [database({ host: "db-2" })],
    });
    expect(factsIn(report)).toEqual(["orders on db-1 is described 2 times, by a.json and b.json"]);
    expect(report.databases).toHaveLength(4);
  });

  test("without a database, and a database without a repository, are not well", () => {
    expect(factsIn(judge({ "a.json": [], "b.json": [database({ repos: [] })] }))).toEqual([
      "a.json describes no database",
      "orders: it has no repository",
    ]);
    expect(needsAttention(judge({ "a.json": [] }))).toBe(true);
  });

  test("that is expected and missing is named, by its database or its host's", () => {
    const expected = { databases: ["orders@db-2", "orders", "crm"], withinS: DAY_S };
    const report = judge({ "a.json": [database()] }, expected);
    expect(report.troubles).toEqual([
      {
        error: "FileMissingError",
        message: "no document describes orders@db-2, which is expected",
        hints: ["Write one on db-2: pgbackstop --stanza=orders report --format=json. Or omit --expect=orders@db-2."],
      },
      {
        error: "FileMissingError",
        message: "no document describes crm, which is expected",
        hints: ["Write one on its host: pgbackstop --stanza=crm report --format=json. Or omit --expect=crm."],
      },
    ]);
  });

  test("keeps what could not be read when documents were joined", () => {
    const lost = { error: "FileMissingError", message: "missing document 'c.json'", hints: [] };
    const file = { version: 1 as const, databases: [database()], troubles: [lost] };
    expect(judgeReport([{ path: "all.json", file }], NOW_S, DAILY).troubles).toEqual([lost]);
  });
});

describe("what the page would show beside well", () => {
  test("is missing WAL, once it can no longer be on its way", () => {
    const gap = { from: "A", to: "B", fromS: NOW_S - DAY_S, toS: NOW_S - 301 };
    const recent = { ...gap, from: "C", to: "C", toS: NOW_S - 299 };
    const repos = [repo(), repo({ key: 2, gaps: [gap, recent] })];
    expect(factsIn(judge({ "a.json": [database({ repos })] }))).toEqual([
      "orders repo2: WAL is missing, A to B: recovery from an earlier backup ends at 2026-11-17 11:06:40",
    ]);
  });

  test("is a repository from which nothing can be restored, unless its document says why", () => {
    const troubles = [{ error: "HostConnectError", message: "no answer", hints: [] }];
    const repos = [repo({ windows: [] }), repo({ key: 2, windows: [], troubles })];
    expect(factsIn(judge({ "a.json": [database({ repos })] }))).toEqual([
      "orders repo1: no moment can be restored from it",
      "orders repo2: no answer",
    ]);
  });
});

test("a restore proves more than an opened backup, and a failed drill nothing", () => {
  const drill = (id: string, more: object): ReportedDatabase["drills"][number] => {
    return { id, repo: 1, endedAtS: NOW_S - DAY_S, ok: true, ...more };
  };
  const proofOf = (...drills: ReportedDatabase["drills"]): string | undefined =>
    judge({ "a.json": [database({ drills })] }).databases[0]?.proof?.id;
  expect(proofOf(drill("restored", {}), drill("opened", { opened: true }), drill("failed", { ok: false }))).toBe(
    "restored",
  );
  expect(proofOf(drill("opened", { opened: true }), drill("failed", { ok: false }))).toBe("opened");
  expect(proofOf(drill("failed", { ok: false }))).toBeUndefined();
});

test("the worst database comes first", () => {
  const trouble = { error: "FileMissingError", message: "WAL is missing", hints: [] };
  const proven = (days: number): ReportedDatabase["drills"] => [
    { id: `${days}`, repo: 1, endedAtS: NOW_S - days * DAY_S, ok: true },
  ];
  const worstFirst = [
    database({ stanza: "lost", repos: [repo({ windows: [] })] }),
    database({ stanza: "one-copy", repos: [repo({ troubles: [trouble] })] }),
    database({ stanza: "half", repos: [repo(), repo({ key: 2, troubles: [trouble] })] }),
    database({ stanza: "never" }),
    database({ stanza: "long-ago", drills: proven(90) }),
    database({ stanza: "a", drills: proven(2) }),
    database({ stanza: "b", drills: proven(2) }),
  ];
  const stanzas = (databases: JudgedReport["databases"]): string[] =>
    databases.map(({ database: { stanza } }) => stanza);
  expect(stanzas(judge({ "a.json": worstFirst.toReversed() }).databases)).toEqual(
    worstFirst.map(({ stanza }) => stanza),
  );
});
