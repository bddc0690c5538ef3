/** `pgbackstop topology diff` in CI: failed previews, unknown parts, another base, and comments. */
// claim: docs/ci.md: what each kind of failed preview leaves; text only; the limit; the token
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { topologyMain } from "../../../components/bin/topology";
import { ForgeDouble } from "../../harness/doubles/forgeDouble";
import { temporaryFolder } from "../../runtime/repository/support";
import { NAS } from "../plans";
import { topology } from "../topologies";
import { captureTexts } from "./shownTexts";

const TYPE = "pgbackstop:index:PostgresHost";
const TOKEN = "planted-token";
const weaker = topology({ repositories: { repo1: { ...NAS, keepDays: 3 } } });
const stronger = topology({ repositories: { repo1: { ...NAS, keepDays: 30 } } });

let folder: string;
let forge: ForgeDouble;
const { errors, printed } = captureTexts();

beforeEach(async () => {
  folder = temporaryFolder();
  forge = await ForgeDouble.start({ kind: "github", token: TOKEN });
  mkdirSync(join(folder, "infra"));
  writeFileSync(join(folder, "infra", "Pulumi.yaml"), "# the shop\nname: shop # not this\nruntime: nodejs\n");
  for (const [name, value] of Object.entries({
    ...forge.environment(),
    GITHUB_TOKEN: TOKEN,
    GITHUB_WORKSPACE: folder,
    GITHUB_SHA: "0123456789abcdef",
  }))
    vi.stubEnv(name, value);
  for (const name of ["GITHUB_EVENT_PATH", "CI_PROJECT_DIR", "GH_TOKEN"]) vi.stubEnv(name, "");
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await forge.stop();
});

function preview(before: unknown, after: unknown, diagnostics: readonly object[] = []): string {
  const state = (inputs: unknown): object => ({ type: TYPE, inputs: { topology: inputs } });
  const step = {
    op: "update",
    urn: `urn:pulumi:prod::shop::${TYPE}::ledger`,
    oldState: state(before),
    newState: state(after),
  };
  const file = join(folder, `preview-${Math.trunc(performance.now() * 1000)}.json`);
  writeFileSync(file, JSON.stringify({ steps: [step], diagnostics }));
  return file;
}
const failing = (): string =>
  preview(weaker, weaker, [
    {
      severity: "error",
      message: `error: InputPropertiesError: PostgresHost ledger: 1 error in the arguments\n  PB011 schedules.full.cron: "0 3 * *" has 4 fields; write "30 2 * * 0"\n    at host (${folder}/infra/program.ts:11:4)\n`,
    },
    { severity: "error", message: "error: planted-detail of another resource\n::error::x" },
  ]);
const commented = (file: string, ...more: readonly string[]): number | Promise<number> =>
  topologyMain([
    "diff",
    file,
    "--comment=github",
    "--pull-request=7",
    "--stack=prod",
    `--project=${folder}/infra`,
    ...more,
  ]);
const onlyComment = (): string => {
  expect(forge.comments).toHaveLength(1);
  return forge.comments[0]?.body ?? "";
};

test("a failed preview replaces the all-clear with its findings", async () => {
  expect(await commented(preview(weaker, stronger))).toBe(0);
  expect(onlyComment()).toMatch(
    /^<!-- pgbackstop topology diff shop\/prod -->\n### Backup topology of shop\/prod: 1 strengthened\n/,
  );
  expect(onlyComment()).toMatch(/<sub>compared with what is deployed, commit 0123456789ab<\/sub>\n$/);
  expect(await commented(failing())).toBe(3);
  expect(onlyComment()).toMatch(
    /^<!-- pgbackstop topology diff shop\/prod -->\n### ✗ Backup topology of shop\/prod: not compared\n/,
  );
  expect(onlyComment()).toContain("| PB011 error | ledger | schedules.full.cron (infra/program.ts:11) |");
  expect(onlyComment()).toContain("1 more error of the preview: see the log of the job.");
  expect(onlyComment()).not.toMatch(/strengthened|planted-detail/);
  expect(errors.join("")).toContain("  | error: planted-detail of another resource\n  | ::error::x\n");
  expect(`${printed.join("")}${errors.join("")}${onlyComment()}`).not.toContain(TOKEN);
});

test("a preview that wrote nothing replaces the all-clear too", async () => {
  await commented(preview(weaker, stronger));
  const empty = join(folder, "empty.json");
  writeFileSync(empty, "");
  expect(await commented(empty)).toBe(2);
  expect(onlyComment()).toMatch(/not compared\n\nNothing was compared: [^\n]*the file is empty\.\n/);
});

test("a preview that failed without an error in its JSON is no all-clear", async () => {
  expect(await commented(preview(weaker, stronger), "--preview-exit=255")).toBe(3);
  expect(onlyComment()).toContain("pulumi preview ended with 255");
  expect(await commented(preview(weaker, stronger), "--preview-exit=0")).toBe(0);
});

test("stacks of one pull request do not overwrite each other's comments", async () => {
  for (const stack of ["prod", "acme/prod", "acme/other/prod", "prod"])
    await commented(preview(weaker, weaker), `--stack=${stack}`);
  expect(forge.comments.map(({ body }) => body.split("\n")[0])).toEqual([
    "<!-- pgbackstop topology diff shop/prod -->",
    "<!-- pgbackstop topology diff acme/shop/prod -->",
    "<!-- pgbackstop topology diff acme/other/prod -->",
  ]);
});

test("the base is what two files compare with, and its failure is not the change's", async () => {
  const [base, change] = [preview(stronger, stronger), preview(weaker, weaker)];
  expect(topologyMain(["diff", change])).toBe(0);
  expect(await commented(base, change, "--base=merge base 123abc")).toBe(1);
  expect(onlyComment()).toContain("▼ Backup topology of shop/prod: 1 weakened");
  expect(onlyComment()).toContain("compared with merge base 123abc");
  expect(await commented(failing(), change)).toBe(3);
  expect(onlyComment()).toContain("there is nothing to compare with: the preview failed");
  expect(onlyComment()).not.toContain("PB011");
});

test("unknown parts fail the job only if asked to, and are named", () => {
  const [repository] = weaker.repositories;
  const unknown = {
    ...weaker,
    repositories: [{ ...repository, failureDomain: "04da6b54-80e4-46f7-96ec-b56ff0331ba9" }],
  };
  const file = preview(unknown, unknown);
  expect([topologyMain(["diff", file]), topologyMain(["diff", file, "--fail-on=unknown"])]).toEqual([0, 1]);
  expect(printed.join("")).toContain("- ledger: repositories.repo1.failureDomain\n");
  const whole = preview(weaker, "04da6b54-80e4-46f7-96ec-b56ff0331ba9");
  expect(topologyMain(["diff", whole, "--fail-on=unknown", "--format=annotations"])).toBe(1);
  expect(printed.at(-1)).toContain("title=unknown ledger::");
  const secret = { ...weaker, repositories: [{ ...repository, failureDomain: "[secret]" }] };
  expect(topologyMain(["diff", preview(secret, secret), "--fail-on=unknown"])).toBe(0);
});

test("a failed preview has an output in every format", () => {
  const names = ["markdown", "json", "html", "svg", "sarif", "annotations"];
  const file = failing();
  expect(
    topologyMain(["diff", file, ...names.flatMap((name) => [`--format=${name}`, `--output=${join(folder, name)}`])]),
  ).toBe(3);
  const texts = names.map((name) => readFileSync(join(folder, name), "utf8"));
  expect(texts.map((text) => text.slice(0, 5))).toEqual(["<!-- ", '{\n  "', "<!doc", "<svg ", '{\n  "', "::err"]);
  expect(JSON.parse(texts[1] ?? "")).toMatchObject({
    version: 1,
    failure: { otherErrors: 1, findings: [{ code: "PB011" }] },
  });
  expect(texts[5]).toContain("::error file=infra/program.ts,line=11,title=PB011 ledger schedules.full.cron::");
});

test("a comment that the forge refuses fails a job that would pass, and keeps other verdicts", async () => {
  forge.failure = 403;
  expect(await commented(preview(weaker, weaker))).toBe(2);
  expect(errors.join("")).toContain("unable to comment: ");
  expect(await commented(preview(stronger, weaker))).toBe(1);
});

test.each([
  [["show", "FILE", "--comment=github"], "--comment is for diff only"],
  [["diff", "FILE", "--comment=github"], "--comment needs --stack"],
  [["diff", "FILE", "--comment=gitea", "--stack=a"], "--comment takes github or gitlab, found 'gitea'"],
  [["diff", "FILE", "--fail-on=all"], "--fail-on takes unknown"],
  [["diff", "FILE", "--preview-exit=x"], "--preview-exit takes an exit code, found 'x'"],
  [["diff", "FILE", "--stack=prod", "--project=/nowhere"], "unable to read /nowhere/Pulumi.yaml"],
  [["show", "FILE", "--format=sarif"], "sarif and annotations are for a comparison only"],
])("wrong arguments exit with 2 before anything is sent: %j", (argv, message) => {
  const file = preview(weaker, weaker);
  expect(topologyMain(argv.map((each) => (each === "FILE" ? file : each)))).toBe(2);
  expect(errors.join("")).toContain(message);
  expect(forge.requests).toEqual([]);
});
