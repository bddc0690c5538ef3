/**
 * `pgbackstop topology` on output of the real engine: a preview of a changed stack, stack exports, unknown values and
 * secrets.
 */
import { writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { projectFolder } from "../../tools/parts/cache";
import { ensureNode } from "../../tools/parts/nodeBinary";
import { type RunResult, run } from "../../tools/parts/process";
import type { ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { installLanguageHost } from "../harness/doubles/languageHostDouble";

const SECRETS = ["planted-access-key", "planted-secret-key", "planted-bucket"];
/** The program up to its databases. `late` below is a text that is unknown before the update. */
const HEAD = `
const pulumi = require("@pulumi/pulumi");
const { CipherPassphrase, PosixRepository, PostgresHost, S3CompatibleRepository } = require("pgbackstop");
const key = new CipherPassphrase("key", {}, { protect: false });
const nas = new PosixRepository("nas", { path: "/mnt/nas/pgbackrest", requireMount: true });
const credentials = { accessKeyId: pulumi.secret("planted-access-key"), secretAccessKey: pulumi.secret("planted-secret-key") };
const s3 = (name, endpoint, bucket) =>
  new S3CompatibleRepository(name, { endpoint, region: "eu-central-003", bucket: { existing: { name: bucket, credentials } }, cipher: key.ref });
const b2 = s3("b2", "s3.eu-central-003.backblazeb2.com", "ledger");
const hidden = s3("hidden", "s3.eu-central-003.backblazeb2.com", pulumi.secret("planted-bucket"));
const host = (name, repositories, more) => new PostgresHost(name, { connection: { local: {} }, dataDirectory: "/srv/pg/" + name, stanza: name, repositories,
  directories: { config: "/nowhere/etc/" + name, lib: "/nowhere/lib/" + name, units: "/nowhere/units" },
  schedules: { full: { cron: "30 2 * * 0" } }, sizing: { databaseGiB: 100, walGiBPerDay: 2 }, archiveTimeoutSeconds: 60, ...more });
`;
const BEFORE = `${HEAD}
host("ledger", { repo1: { at: nas.target, keepDays: 14 }, repo2: { at: b2.target, keepDays: 60 } });
host("orders", { repo1: { at: nas.target, keepDays: 14 }, repo2: { at: hidden.target, keepDays: 60 } });
`;
const AFTER = `${HEAD}
const other = new CipherPassphrase("other", {}, { protect: false });
const late = s3("late", pulumi.unsecret(other.passphrase.apply((text) => "s3-" + text.length + ".example.net")), "audit");
host("ledger", { repo1: { at: nas.target, keepDays: 7 }, repo2: { at: b2.target, keepDays: 90 } },
  { acknowledgeWeaker: { "repositories.repo1.keepDays=7": "the NAS is full" } });
host("orders", { repo1: { at: nas.target, keepDays: 14 }, repo3: { at: late.target, keepDays: 60 } });
host("audit", { repo1: { at: late.target, keepDays: 30 } });
`;
const WRONG = `${HEAD}\nhost("ledger", { repo1: { at: nas.target, keepDays: 14 } }, { schedules: { full: { cron: "0 3 * *" } } });\n`;

let programFolder: ProgramFolder;
let env: Record<string, string>;
let nodePath: string;
/** All output of the command, printed or written. */
const printed: string[] = [];

beforeAll(async () => {
  nodePath = await ensureNode();
  programFolder = await makeProgramFolder();
  const language = join(programFolder.folder, "node_modules", "language");
  await installLanguageHost(language, nodePath);
  env = {
    ...programFolder.env,
    PATH: [language, join(programFolder.folder, "cli", "bin"), programFolder.env.PATH].join(delimiter),
  };
  writeFileSync(
    file("Pulumi.yaml"),
    "name: shop\nruntime:\n  name: nodejs\n  options: { typescript: false }\nmain: program.cjs\n",
  );
  writeFileSync(file("package.json"), '{ "private": true }\n');
  await pulumi(BEFORE, "stack", "init", "prod");
  // Creates only components, so no host changes.
  const targets = ["**CipherPassphrase**", "**PostgresHost::*"].flatMap((urn) => ["--target", urn]);
  const made = await pulumi(BEFORE, "up", "--yes", "--skip-preview", ...targets);
  expect(made.exitCode, made.stdout).toBe(0);
  writeFileSync(file("before.json"), (await pulumi(BEFORE, "stack", "export")).stdout);
  writeFileSync(file("preview.json"), (await pulumi(AFTER, "preview", "--json", "--show-sames")).stdout);
});
afterAll(() => removeProgramFolder(programFolder));

const file = (name: string): string => join(programFolder.folder, name);

async function pulumi(program: string, ...args: string[]): Promise<RunResult> {
  writeFileSync(file("program.cjs"), program);
  return run(file("cli/bin/pulumi"), [...args, "--non-interactive", "--color=never"], {
    cwd: programFolder.folder,
    env,
  });
}

async function topology(...args: string[]): Promise<RunResult> {
  const result = await run(
    nodePath,
    [join(projectFolder(), "dist", "components", "bin", "pgbackstop.js"), "topology", ...args],
    {
      cwd: programFolder.folder,
    },
  );
  printed.push(result.stdout, result.stderr);
  return result;
}

interface Printed {
  readonly summary: Record<string, number>;
  readonly databases: readonly {
    readonly name: string;
    readonly copiesBefore: string | null;
    readonly copiesAfter: string | null;
  }[];
  readonly changes: readonly {
    readonly database: string;
    readonly path: string;
    readonly effect: string;
    readonly uncertain: boolean;
    readonly after: string;
  }[];
}

test("a preview of a changed stack: weakened, strengthened, acknowledged, unknown and secret", async () => {
  const { exitCode, stdout } = await topology("diff", "preview.json", "--format=json");
  expect(exitCode).toBe(1);
  const reported = JSON.parse(stdout) as Printed;
  const lines = reported.changes.map(
    ({ after, database, effect, path, uncertain }) =>
      `${database} ${uncertain ? "uncertain" : effect} ${path}: ${after}`,
  );
  expect(lines).toEqual([
    "audit strengthened database: 2-1-0+",
    "ledger weakened repositories.repo1.keepDays: 7",
    "ledger strengthened repositories.repo2.keepDays: 90",
    "orders uncertain copies.providers: 1 to 2",
    "orders uncertain copies.offSite: 0 to 1",
    "orders weakened repositories.repo2: removed",
    "orders strengthened repositories.repo3: s3://audit/pgbackrest",
  ]);
  expect(reported.summary).toEqual({ weakened: 1, acknowledged: 1, strengthened: 3, neutral: 0, uncertain: 2 });
});

test("two exports, or a saved document, show the same as the preview", async () => {
  const known = (text: string): string[] =>
    (JSON.parse(text) as Printed).changes.map(({ database, effect, path }) => `${database} ${effect} ${path}`);
  const fromPreview = known((await topology("diff", "preview.json", "--format=json")).stdout);
  expect(known((await topology("diff", "before.json", "preview.json", "--format=json")).stdout)).toEqual(fromPreview);
  const shown = await topology("show", "before.json", "--format=json", "--output=saved.json");
  expect(shown).toMatchObject({ exitCode: 0, stdout: "" });
  expect(known((await topology("diff", "saved.json", "preview.json", "--format=json")).stdout)).toEqual(fromPreview);
  expect(await topology("diff", "saved.json", "before.json")).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining("nothing changes") as string,
  });
  expect((await topology("show", "before.json")).stdout).toContain("copies-places-off-site: **3-2-1**");
});

// claim: docs/topology.md: comparable files, exit codes…
test("a failed preview has its findings and exit code 3, a missing file and wrong arguments have 2", async () => {
  const failed = await pulumi(WRONG, "preview", "--json", "--show-sames");
  writeFileSync(file("failed.json"), failed.stdout);
  expect(await topology("diff", "failed.json")).toMatchObject({
    exitCode: 3,
    stdout: expect.stringContaining("| PB011 error | ledger | schedules.full.cron (program.cjs:") as string,
    stderr: expect.stringContaining("failed.json: the preview failed") as string,
  });
  expect(await topology("show", "failed.json")).toMatchObject({ exitCode: 2, stdout: "" });
  expect(await topology("diff", "gone.json")).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("unable to read gone.json") as string,
  });
  expect(await topology("diff", "before.json")).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("shows one state") as string,
  });
  expect(await topology("diff", "preview.json", "--format=pdf")).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("found 'pdf'") as string,
  });
  expect((await topology("--help")).stdout).toContain("pgbackstop topology diff BEFORE AFTER");
});

// claim: docs/topology.md: comparable files, exit codes…
test("neither output nor files contain a secret", async () => {
  for (const format of ["markdown", "json", "html", "svg"]) {
    await topology("diff", "preview.json", `--format=${format}`);
    await topology("show", "preview.json", `--format=${format}`);
  }
  const plain = await pulumi(AFTER, "stack", "export", "--show-secrets");
  expect(plain.stdout).toContain("planted-bucket");
  writeFileSync(file("plain.json"), plain.stdout);
  for (const format of ["markdown", "json", "html", "svg"])
    await topology("diff", "plain.json", "preview.json", `--format=${format}`);
  expect(printed.join("\n").length).toBeGreaterThan(10_000);
  for (const secret of SECRETS) expect(printed.join("\n").includes(secret), secret).toBe(false);
});
