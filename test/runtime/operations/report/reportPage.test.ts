import { describe, expect, test } from "vitest";
import { DAY_S, NOW_S, reportedDatabase as database, reportedRepo as repo } from "./reported";
import { judgeReport, NOTHING_EXPECTED } from "../../../../runtime/operations/report/judgeReport";
import type { ReportedRepo, ReportFile } from "../../../../runtime/operations/report/reportFields";
import { renderReportPage } from "../../../../runtime/operations/report/reportPage";

const pageOf = (file: Pick<ReportFile, "databases">, nowS = NOW_S): string =>
  renderReportPage(judgeReport([{ path: "a.json", file: { version: 1, ...file } }], nowS, NOTHING_EXPECTED));
const HOSTILE = `"><script>alert(1)</script>\u202e&'`;

describe("the page of a report", () => {
  test("asks for nothing outside, and runs nothing", () => {
    const page = pageOf({ databases: [database()] });
    expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`);
    expect(page).not.toMatch(/<(script|link|img|iframe)|url\(|@import|https?:(?!\/\/www\.w3\.org\/2000\/svg)/);
  });

  test("text of a repository or of another host's document stays text", () => {
    const trouble = { error: HOSTILE, message: HOSTILE, hints: [HOSTILE] };
    const [own] = repo().backups;
    if (own === undefined) throw new Error("no backup");
    const hostile = repo({
      location: HOSTILE,
      troubles: [trouble],
      backups: [{ ...own, label: HOSTILE }],
      gaps: [{ from: HOSTILE, to: "x", fromS: NOW_S - DAY_S, toS: NOW_S }],
      dumps: { complete: 1, newest: { label: HOSTILE, stoppedAtS: NOW_S, databases: [HOSTILE] } },
    });
    const drill = { id: HOSTILE, repo: 1, endedAtS: NOW_S - 60, ok: false, rtoSeconds: 9, failure: HOSTILE };
    const page = pageOf({
      databases: [database({ host: HOSTILE, stanza: HOSTILE, repos: [hostile], drills: [drill], troubles: [trouble] })],
    });
    expect(page).not.toContain("<script>");
    expect(page).not.toContain("\u202e");
    // Attributes too: no quote of the text ends one.
    const tag = /<style>[^]*?<\/style>|<\/?[a-z0-9]+(?: [A-Za-z-]+="[^"<>]*")*(?: ?\/)?>|<!doctype html>/g;
    expect(page.replaceAll(tag, "")).not.toMatch(/[<>"]/);
  });

  test("what needs attention comes first, with its way out", () => {
    const hints = ["They are copied automatically. To copy them now: pgbackstop heal"];
    const troubles = [{ error: "FileMissingError", message: "3 acknowledged WAL file(s) are missing here", hints }];
    const databases = [database(), database({ stanza: "shop", repos: [repo(), repo({ key: 2, troubles })] })];
    const page = pageOf({ databases });
    expect(page).toContain("1 of 2 databases needs attention");
    const first = page.indexOf("What needs attention");
    expect(first).toBeLessThan(page.indexOf('id="databases"'));
    expect(page.slice(first)).toMatch(/shop on db-1<\/a>[^]*<strong>repo2<\/strong> 3 acknowledged[^]*pgbackstop heal/);
    expect(pageOf({ databases: [database()] })).not.toContain("What needs attention");
  });

  // claim: docs/report.md: ages count from the moment the page is made, beside absolute times
  test("ages count from when the page was made, and absolute times stand beside them", () => {
    const drills = [{ id: "1", repo: 1, endedAtS: NOW_S - DAY_S, ok: true, rtoSeconds: 9 }];
    const page = pageOf({ databases: [database({ drills }), database({ stanza: "shop" })] }, NOW_S + 5 * DAY_S);
    expect(page).toContain("looked at 2026-11-18 11:06:40 (5 days ago)");
    expect(page).toContain("<td>2026-11-15 11:06:40 (8 days ago)</td>");
    expect(page).toContain("<td>2026-11-17 11:06:40 (6 days ago), open after 9 seconds</td>");
    expect(page).toContain(">newest WAL 2026-11-18 11:05:40 (5 days ago), encrypted<");
    expect(page).toContain("ages count from 2026-11-23 11:06:40");
    // By a clock that is ahead.
    expect(pageOf({ databases: [database()] }, NOW_S - DAY_S)).toContain("looked at 2026-11-18 11:06:40 (in 24 hours)");
  });

  // claim: docs/report.md: the headline says whether the backups are current, and which restore has proven them
  test("the headline says whether all is current, and what proves it", () => {
    const drill = { id: "20261117-1a", repo: 1, endedAtS: NOW_S - DAY_S, ok: true };
    const headOf = (...databases: ReportFile["databases"]): string[] =>
      [...pageOf({ databases }).matchAll(/<p class="headline.*?">(.*)<\/p>/g)].map(([, text = ""]) => text);
    expect(headOf(database())).toEqual(["the backups are current", "never proven: no drill has restored them"]);
    expect(headOf(database({ drills: [drill, { ...drill, id: "20261118-1b", endedAtS: NOW_S, ok: false }] }))).toEqual([
      "the backups are current",
      "proven: repo1 was restored 2026-11-17 11:06:40 (24 hours ago) by drill 20261117-1a; " +
        "drill 20261118-1b failed 2026-11-18 11:06:40 (0 seconds ago)",
    ]);
    const proven = [drill, { ...drill, id: "20261116-1c", endedAtS: NOW_S - 2 * DAY_S, opened: true }].map((each) =>
      database({ stanza: `of-${each.id}`, drills: [each] }),
    );
    expect(headOf(...proven)).toEqual([
      "the backups of all 2 databases are current",
      "all proven; the oldest proof is of of-20261116-1c on db-1: " +
        "repo1 was opened 2026-11-16 11:06:40 (2 days ago) by drill 20261116-1c",
    ]);
    const empty = database({ stanza: "empty", repos: [repo({ windows: [] })] });
    expect(headOf(...proven, empty)).toEqual([
      "1 of 3 databases needs attention",
      "never proven by a restore: 1 of 3 databases",
    ]);
  });

  test("a repository whose document is too old is not called well", () => {
    const file = { version: 1 as const, databases: [database()] };
    const old = judgeReport([{ path: "a.json", file }], NOW_S + 2 * DAY_S, { databases: [], withinS: DAY_S });
    expect(renderReportPage(old)).not.toContain("✓ well");
    expect(renderReportPage(old)).toContain("was well then");
    expect(pageOf(file)).toContain("✓ well");
  });

  // claim: docs/report.md: a page of 200 databases has less than 2 MB, with the worst ones in full
  test("of 200 large databases the page is below 2 MB, the worst come first, and none is lost", () => {
    const long = (name: string): string => `${name}-${"x".repeat(200)}-${name}`;
    const bytes = { databaseBytes: 2 ** 40, storedBytes: 2 ** 38 };
    const backupsOf = (count: number): ReportedRepo["backups"] =>
      Array.from({ length: count }, (_, index) => {
        const stoppedAtS = NOW_S - index * 3600;
        return { label: `${index}F`, type: "full", startedAtS: stoppedAtS, stoppedAtS, ...bytes };
      });
    const backups = backupsOf(120);
    const trouble = { error: "FileMissingError", message: "m".repeat(500), hints: ["h".repeat(300)] };
    const databases = Array.from({ length: 200 }, (_, index) => {
      const count = index === 150 ? 20 : 3;
      const troubles = Array.from({ length: count }, () => trouble);
      const repos = [1, 2, 3].map((key) => repo({ key, location: long("bucket"), backups, troubles }));
      return database({ stanza: long(`stanza-${index}`), host: long(`host-${index}`), repos, drills: [] });
    });
    const documents = databases.map((each, index) => {
      return { path: `${index}.json`, file: { version: 1 as const, databases: [each] } };
    });
    const page = renderReportPage(judgeReport(documents, NOW_S, NOTHING_EXPECTED));
    expect(Buffer.byteLength(page)).toBeLessThan(2_000_000);
    expect(page.indexOf(">stanza-150-")).toBeLessThan(page.indexOf(">stanza-0-"));
    expect(page.match(/id="database-\d+">stanza-/g)).toHaveLength(200);
    expect(/>stanza-7-x+…x+-stanza-7 on host-7-x+…x+-host-7<\/a>/.test(page)).toBe(true);
    // The worst is shown in full.
    const short = /<p>This page has no room for more: .*<\/p>/g;
    expect(page.match(short)?.at(-1)).toBe(
      "<p>This page has no room for more: <code>pgbackstop report 99.json</code> has all of it.</p>",
    );
    expect(page.indexOf("Backups in repo3 of stanza-150-")).toBeGreaterThan(0);
    expect(pageOf({ databases }).match(short)?.[0]).toContain("a page of fewer databases has it.");
    // A single database always has room.
    const large = database({ repos: [repo({ backups: backupsOf(4000) })] });
    expect(pageOf({ databases: [large] }).includes("<code>3999F</code>")).toBe(true);
  });

  test("a repository with a price has its costs, with the day of the price", () => {
    const priced = repo({ cost: { usdPerMonth: 1.5, asOf: "2026-11-20" } });
    const page = pageOf({ databases: [database({ repos: [priced, repo({ key: 2 })] })] });
    expect(page).toMatch(/storage a month<[^]*<td>\$1\.50<\/td>[^]*<td><\/td>[^]*list prices of 2026-11-20/);
    expect(pageOf({ databases: [database()] })).not.toContain("storage a month");
  });

  test("a repository without backups, and an empty document, are pages too", () => {
    const empty = repo({ backups: [], windows: [], walBytes: 0 });
    const page = pageOf({ databases: [database({ repos: [empty] })] });
    expect(page).toContain("There is no backup.");
    expect(page).toContain("repo1 can restore nothing.");
    expect(page).not.toContain("recover --repo");
    expect(pageOf({ databases: [] })).toContain("no database was looked at, 1 document needs attention");
  });

  // claim: docs/report.md: the page has a line for the logical dumps of each repository
  test("a repository with dumps has a line of them", () => {
    const newest = { label: "20261121-020000Z-1a2b3c4d", stoppedAtS: Date.UTC(2026, 10, 21, 2) / 1000 };
    const repos = [
      repo({ dumps: { complete: 7, newest: { ...newest, databases: ["crm", "shop"] } } }),
      repo({ key: 2, dumps: { complete: 0 } }),
      repo({ key: 3 }),
    ];
    const page = pageOf({ databases: [database({ repos })] });
    expect(page.match(/repo\d has .* dumps?.*\./g)?.map((line) => line.replace(/<.*/, ""))).toEqual([
      "repo1 has 7 complete logical dumps, the newest of 2026-11-21 02:00:00: crm, shop.",
      "repo2 has 0 complete logical dumps.",
    ]);
  });

  // claim: docs/report.md: the commands recover to the end of the stored WAL, which every recovery reaches
  test("commands quote the stanza, and name no target, which recovery may not reach", () => {
    const repos = [repo({ windows: [{ fromS: NOW_S - DAY_S, toS: NOW_S - 60 }] }), repo({ key: 2 })];
    const page = pageOf({ databases: [database({ stanza: "a b", repos })] });
    const program = "<code>pgbackstop --stanza=&#39;a b&#39;";
    for (const command of ["drill --repo=1", "open --repo=1 --at=/mnt/past", "recover --repo=1"])
      expect(page).toContain(`${program} ${command}</code>`);
    expect(page).not.toContain("--target=");
  });

  test("drills are drawn with their objective, and failures by another shape", () => {
    const drills = [1, 2, 3].map((days) => {
      return {
        id: `${days}`,
        repo: 1,
        endedAtS: NOW_S - days * DAY_S,
        ok: days !== 2,
        rtoSeconds: 100 * days,
        rpoSeconds: 5,
      };
    });
    const page = pageOf({ databases: [database({ drills, rtoSeconds: 900 })] });
    expect(page).toContain("3 drills, 1 failed.");
    expect(page.match(/class="passed"/g)).toHaveLength(4);
    expect(page.match(/class="failed"/g)).toHaveLength(2);
    expect(page).toContain("Objective 15 minutes.");
  });
});
