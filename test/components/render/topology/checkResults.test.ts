/** Results for code scanning and logs, and what replaces a comparison that could not be made. */
import type { Log } from "sarif";
import { expect, test } from "vitest";
import { diffTopologies } from "../../../../components/plan/diff";
import type { LoggedFinding } from "../../../../components/plan/findings/loggedFindings";
import {
  checkResults,
  failureResults,
  renderAnnotations,
  renderSarif,
} from "../../../../components/render/topology/checkResults";
import {
  type Failure,
  renderFailure,
  renderFailurePage,
} from "../../../../components/render/topology/failedComparison";
import { MARKDOWN_CHARACTERS_MAX } from "../../../../components/render/topology/topologyMarkdown";
import { NAS } from "../../plans";
import { topology } from "../../topologies";

const HOSTILE = "a|b\r\n::error::x --> </details><script>alert(1)</script> [x](https://evil.example) @all `c`, 100%";
const WEAKER = diffTopologies(
  new Map([["ledger", topology({ repositories: { repo1: NAS } })]]),
  new Map([["ledger", topology({ repositories: { repo1: { ...NAS, keepDays: 3 } } })]]),
);
const FINDINGS: readonly LoggedFinding[] = [
  { database: "ledger", code: "PB003", path: "repositories", message: "there is one: only; add one, 100% sure" },
  { database: "ledger", code: "PB042", path: "drills" },
];
const FAILURE: Failure = {
  reason: "the preview failed, so it is incomplete",
  findings: [
    {
      database: "ledger",
      code: "PB011",
      path: "schedules.full.cron",
      message: '"0 3 * *" has 4 fields; write "30 2 * * 0"',
      file: "infra/program.ts",
      line: 11,
    },
    { database: "ledger", code: "PB042", path: "drills", message: "no drill restores these backups" },
  ],
  otherErrors: 2,
};

test("SARIF has a rule and a result for each finding and each weakened change", () => {
  const log = JSON.parse(renderSarif(checkResults(WEAKER, FINDINGS, []), "infra/Pulumi.yaml")) as Log;
  const [run] = log.runs;
  expect([log.version, run?.tool.driver.name, log.runs.length]).toEqual(["2.1.0", "pgbackstop", 1]);
  expect(run?.tool.driver.rules?.map(({ id }) => id)).toEqual(["weakened", "PB003", "PB042"]);
  expect(run?.results?.map(({ level, ruleId, ruleIndex }) => `${ruleIndex} ${ruleId} ${level}`)).toEqual([
    "0 weakened error",
    "1 PB003 warning",
    "2 PB042 note",
  ]);
  expect(run?.results?.map(({ message }) => message.text)).toEqual([
    expect.stringContaining("ledger repositories.repo1.keepDays: repo1 keeps 3 days"),
    "ledger repositories: there is one: only; add one, 100% sure",
    // Its own text may repeat a secret.
    expect.stringMatching(/^ledger drills: /),
  ]);
  expect(run?.results?.[0]?.locations?.[0]?.physicalLocation).toEqual({
    artifactLocation: { uri: "infra/Pulumi.yaml", uriBaseId: "%SRCROOT%" },
    region: { startLine: 1 },
  });
});

test("SARIF and annotations of a failed preview point at the program's line", () => {
  const results = failureResults(FAILURE);
  const log = JSON.parse(renderSarif(results, "infra/Pulumi.yaml")) as Log;
  expect(log.runs[0]?.results?.map(({ locations }) => locations?.[0]?.physicalLocation?.artifactLocation?.uri)).toEqual(
    ["infra/Pulumi.yaml", "infra/program.ts", "infra/Pulumi.yaml"],
  );
  expect(renderAnnotations(results, "infra/Pulumi.yaml")).toBe(
    [
      "::error file=infra/Pulumi.yaml,line=1,title=not-compared::the preview failed, so it is incomplete (errors without a finding: 2)",
      '::error file=infra/program.ts,line=11,title=PB011 ledger schedules.full.cron::"0 3 * *" has 4 fields; write "30 2 * * 0"',
      "::notice file=infra/Pulumi.yaml,line=1,title=PB042 ledger drills::no drill restores these backups",
      "",
    ].join("\n"),
  );
});

// claim: docs/ci.md: what each kind of…
test("no value starts a workflow command, adds a property, or ends a comment", () => {
  const hostile = { database: HOSTILE, code: "PB003", path: "x", message: HOSTILE, file: "a,b:c\n.ts" };
  const lines = renderAnnotations(checkResults(WEAKER, [hostile], []), "p")
    .trimEnd()
    .split("\n");
  expect(lines).toHaveLength(2);
  expect(lines[1]).toMatch(
    /^::warning file=a%2Cb%3Ac .ts,line=1,title=PB003 a\|b %3A%3Aerror%3A%3Ax [^:]*::a\|b ::error/,
  );
  expect(lines[1]).toContain("100%25");
  const text = renderFailure(
    { ...FAILURE, reason: HOSTILE, findings: [hostile] },
    { stack: HOSTILE, commit: HOSTILE, base: HOSTILE },
  );
  const [mark = "", ...rest] = text.split("\n");
  expect(mark).toMatch(/^<!-- pgbackstop topology diff [\w%./!'()*~-]+ -->$/);
  expect(rest.join("\n")).not.toMatch(/<script|<\/details>|[^\\]\]\(|https?:\/\/|@all|-->/);
  expect(rest.filter((line) => /^[/:]/.test(line))).toEqual([]);
  expect(renderFailurePage({ ...FAILURE, reason: HOSTILE, findings: [hostile] })).not.toContain("<script");
});

test("a log gets fifty annotations and the number of the others", () => {
  const many = Array.from({ length: 60 }, (_, index) => ({
    database: `d${index}`,
    code: "PB003",
    path: "x",
    message: "m",
  }));
  const lines = renderAnnotations(checkResults(diffTopologies(new Map(), new Map()), many, []), "p")
    .trimEnd()
    .split("\n");
  expect([lines.length, lines.at(-1)]).toEqual([51, "::notice::10 more results are in the other outputs"]);
});

test("the comment of a failed preview has fact, rule and remedy, and voids an earlier result", () => {
  expect(
    renderFailure(FAILURE, { stack: "shop/prod", commit: "0123456789abcdef", base: "what is deployed" }),
  ).toMatchInlineSnapshot(`
    "<!-- pgbackstop topology diff shop/prod -->
    ### ✗ Backup topology of shop/prod: not compared

    Nothing was compared: the preview failed, so it is incomplete.
    An earlier result no longer counts.

    | | database | argument | fact and remedy | rule |
    | --- | --- | --- | --- | --- |
    | PB011 error | ledger | schedules.full.cron (infra/program.ts:11) | "0 3 \\* \\*" has 4 fields; write "30 2 \\* \\* 0" | an invalid schedule or time zone: a guess would take backups at the wrong time |
    | PB042 note | ledger | drills | no drill restores these backups | no drill: nobody knows whether backups can be restored, and how fast |

    2 more errors of the preview: see the log of the job.

    <sub>commit 0123456789ab</sub>
    "
  `);
});

test("a failed preview with many findings stays below the forges' limit", () => {
  const finding = { database: "ledger", code: "PB011", path: "schedules.full.cron", message: "x".repeat(900) };
  const findings = Array.from({ length: 900 }, () => finding);
  const text = renderFailure({ ...FAILURE, findings }, { stack: "shop/prod" });
  expect(text.length).toBeLessThanOrEqual(MARKDOWN_CHARACTERS_MAX + 500);
  expect(text).toMatch(/[0-9]+ more findings do not fit here/);
});

test("parts that are known only after the update are results if they fail the check", () => {
  const results = checkResults(diffTopologies(new Map(), new Map()), [], [{ database: "audit", path: "" }]);
  expect(renderAnnotations(results, "Pulumi.yaml")).toBe(
    "::error file=Pulumi.yaml,line=1,title=unknown audit::known only after the update, so it cannot be compared\n",
  );
});
