/**
 * The action for GitHub and the component for GitLab with the real engine, real git and the real command, from a pull
 * request to its comment. Doubles: the runners, the forges, and Pulumi's language host.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import { projectFolder } from "../../tools/parts/cache";
import { ensureNode } from "../../tools/parts/nodeBinary";
import { run } from "../../tools/parts/process";
import type { ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import {
  fillComponent,
  type JobResult,
  readAction,
  readComponent,
  runAction,
  runComponentJob,
} from "../harness/ciJobs";
import { ForgeDouble } from "../harness/doubles/forgeDouble";
import { installLanguageHost } from "../harness/doubles/languageHostDouble";
import { NIGHTLY } from "../../tools/parts/nightly";

const TOKEN = "planted-token";
const INSTALL = 'ln -sfn "$MODULES" node_modules';
/** @param keepDays of the NAS */
const program = (
  keepDays: number,
  cron = "30 2 * * 0",
): string => `const { PosixRepository, PostgresHost } = require("pgbackstop");
const nas = new PosixRepository("nas", { path: "/mnt/nas/pgbackrest", requireMount: true });
new PostgresHost("ledger", {
  connection: { local: {} }, dataDirectory: "/srv/pg/ledger",
  directories: { config: "/nowhere/etc", lib: "/nowhere/lib", units: "/nowhere/units" },
  repositories: { repo1: { at: nas.target, keepDays: ${keepDays} } }, schedules: { full: { cron: "${cron}" } },
});
`;

/** A second host, after `program`. */
const ORDERS = `new PostgresHost("orders", {
  connection: { local: {} }, dataDirectory: "/srv/pg/orders", stanza: "orders",
  directories: { config: "/nowhere/etc/orders", lib: "/nowhere/lib/orders", units: "/nowhere/units" },
  repositories: { repo1: { at: nas.target, keepDays: 14 } }, schedules: { full: { cron: "30 2 * * 0" } },
});
`;

let programFolder: ProgramFolder;
let forge: ForgeDouble;
let jobs = 0;

beforeAll(async () => {
  const nodePath = await ensureNode();
  const prepared = await makeProgramFolder();
  const modules = join(prepared.folder, "node_modules");
  await installLanguageHost(join(modules, "language"), nodePath);
  const command = join(projectFolder(), "dist", "components", "bin", "pgbackstop.js");
  chmodSync(command, 0o755);
  mkdirSync(join(modules, ".bin"));
  symlinkSync(command, join(modules, ".bin", "pgbackstop"));
  mkdirSync(join(prepared.folder, "origin", "infra"), { recursive: true });
  const env = {
    ...prepared.env,
    PATH: [join(modules, "language"), join(prepared.folder, "cli", "bin"), prepared.env["PATH"] ?? ""].join(delimiter),
    HOME: prepared.folder,
    MODULES: modules,
    ...Object.fromEntries(
      ["AUTHOR", "COMMITTER"].flatMap((who) => [
        [`GIT_${who}_NAME`, "a"],
        [`GIT_${who}_EMAIL`, "a@example.net"],
      ]),
    ),
  };
  programFolder = { ...prepared, env };
  git("origin", "init", "--quiet", "--initial-branch=main");
  write("Pulumi.yaml", "name: shop\nruntime:\n  name: nodejs\n  options: { typescript: false }\nmain: program.cjs\n");
  write("package.json", '{ "private": true }\n');
  push("main", program(14));
  git("origin", "branch", "change");
  push("main", `${program(14)}// Merged by others.\n`);
  for (const stack of ["prod", "test", "deployed"]) {
    const made = await run("pulumi", ["stack", "init", stack, "--non-interactive"], {
      cwd: join(prepared.folder, "origin", "infra"),
      env,
    });
    expect(made.exitCode, made.stderr).toBe(0);
  }
  git("origin", "checkout", "--quiet", "--", ".");
});
afterAll(() => removeProgramFolder(programFolder));
beforeEach(() => forge?.stop());
afterAll(() => forge?.stop());

function git(at: string, ...args: readonly string[]): string {
  const options = { cwd: join(programFolder.folder, at), env: programFolder.env, encoding: "utf8" } as const;
  return execFileSync("git", args, { ...options, stdio: ["ignore", "pipe", "pipe"] }).trim();
}

function write(name: string, text: string): void {
  writeFileSync(join(programFolder.folder, "origin", "infra", name), text);
}

/** A commit on a branch, and the merge commit that GitHub then makes of the pull request. */
function push(branch: string, text: string): void {
  if (branch !== "main") git("origin", "checkout", "--quiet", branch);
  write("program.cjs", text);
  git("origin", "add", "infra/Pulumi.yaml", "infra/package.json", "infra/program.cjs");
  git("origin", "commit", "--quiet", "--allow-empty", "-m", "change");
  if (branch === "main") return;
  git("origin", "checkout", "--quiet", "--detach", "main");
  git("origin", "merge", "--quiet", "--no-edit", "-X", "theirs", branch);
  git("origin", "update-ref", "refs/pull/7/merge", "HEAD");
  git("origin", "checkout", "--quiet", "main");
}

/** As actions/checkout does it: one commit, and no branch. */
async function checkout(ref: string): Promise<string> {
  jobs += 1;
  const name = `job-${jobs}/workspace`;
  mkdirSync(join(programFolder.folder, name), { recursive: true });
  git(name, "init", "--quiet");
  git(name, "remote", "add", "origin", `file://${programFolder.folder}/origin`);
  git(name, "fetch", "--quiet", "--no-tags", "--depth=1", "origin", `+${ref}:refs/remotes/checkout`);
  git(name, "checkout", "--quiet", "--force", "refs/remotes/checkout");
  const workspace = join(programFolder.folder, name);
  const installed = await run("sh", ["-c", INSTALL], { cwd: join(workspace, "infra"), env: programFolder.env });
  expect(installed.exitCode, installed.stderr).toBe(0);
  return workspace;
}

async function github(inputs: Readonly<Record<string, string>> = {}): Promise<JobResult> {
  const workspace = await checkout("refs/pull/7/merge");
  const event = join(workspace, "..", "event.json");
  writeFileSync(
    event,
    JSON.stringify({ pull_request: { number: 7, head: { sha: git("origin", "rev-parse", "change") } } }),
  );
  return runAction(readAction("topology"), {
    inputs: { stack: "prod", "work-dir": "infra", install: INSTALL, ...inputs },
    github: { token: TOKEN, base_ref: "main", event: { pull_request: { number: 7 } } },
    workspace,
    env: { ...programFolder.env, ...forge.environment(), GITHUB_EVENT_PATH: event },
  });
}

const bodies = (): string[] => forge.comments.map(({ body }) => body);

// claim: docs/ci.md: the action and the component, from a pull request to its comment; a failed preview leaves no
//   all-clear; another stack's comment stays
test.runIf(NIGHTLY)(
  "GitHub: a weaker change, its failed preview and its repair are one comment; another stack has its own",
  async () => {
    forge = await ForgeDouble.start({ kind: "github", token: TOKEN });
    push("change", program(7));
    const weaker = await github();
    expect(weaker, weaker.log).toMatchObject({ exitCode: 1, outputs: { "exit-code": "1" } });
    expect(bodies()).toEqual([expect.stringContaining("▼ Backup topology of shop/prod: 1 weakened\n")]);
    expect(bodies()[0]).toMatch(/<sub>compared with merge base [0-9a-f]{12}, commit [0-9a-f]{12}<\/sub>/);
    expect(weaker.log).toContain(
      "::error file=infra/Pulumi.yaml,line=1,title=weakened ledger repositories.repo1.keepDays::",
    );
    expect(weaker.summary).toBe(bodies()[0]);

    expect((await github({ stack: "test" })).exitCode).toBe(1);
    push("change", program(7, "0 3 * *"));
    const failed = await github();
    expect(failed, failed.log).toMatchObject({ exitCode: 3 });
    expect(bodies()).toEqual([
      expect.stringMatching(
        /✗ Backup topology of shop\/prod: not compared\n[^]*\| PB011 error \| ledger \| schedules\.full\.cron \(infra\/program\.cjs:3\) \|/,
      ),
      expect.stringContaining("▼ Backup topology of shop/test: 1 weakened\n"),
    ]);
    expect(failed.log).toContain("::error file=infra/program.cjs,line=3,title=PB011 ledger schedules.full.cron::");

    push("change", program(30));
    expect((await github({ "fail-on": "unknown" })).exitCode).toBe(0);
    expect(bodies()[0]).toContain("### Backup topology of shop/prod: 1 strengthened\n");
    expect(forge.comments).toHaveLength(2);
    expect(`${weaker.log}${failed.log}${bodies().join("")}`).not.toContain(TOKEN);
  },
);

// claim: docs/ci.md: the action compares with the merge base, also while that base is deployed
test("GitHub: a deployed merge base counts with its unchanged databases", async () => {
  forge = await ForgeDouble.start({ kind: "github", token: TOKEN });
  onTestFinished(() => push("main", `${program(14)}// Merged by others.\n`));
  push("main", `${program(60)}${ORDERS}`);
  const workspace = await checkout("refs/heads/main");
  // Creates only the components, so no host changes.
  const up = await run(
    "pulumi",
    ["up", "--yes", "--skip-preview", "--non-interactive", "--stack=deployed", "--target", "**PostgresHost::*"],
    { cwd: join(workspace, "infra"), env: programFolder.env },
  );
  expect(up.exitCode, up.stdout + up.stderr).toBe(0);
  git("origin", "branch", "--force", "deployed", "main");
  push("deployed", program(7));
  const weaker = await github({ stack: "deployed" });
  expect(weaker, weaker.log).toMatchObject({ exitCode: 1, outputs: { "exit-code": "1" } });
  for (const change of ["ledger repositories.repo1.keepDays", "orders database"])
    expect(weaker.log).toContain(`title=weakened ${change}::`);
  expect(bodies()).toEqual([expect.stringContaining("▼ Backup topology of shop/deployed: 2 weakened\n")]);
});

test.runIf(NIGHTLY)(
  "GitHub: the deployed state is another base, and a merge base that cannot be previewed is said",
  async () => {
    forge = await ForgeDouble.start({ kind: "github", token: TOKEN });
    push("change", program(7));
    expect((await github({ compare: "deployed" })).exitCode).toBe(0);
    expect(bodies()[0]).toMatch(/1 strengthened\n[^]*ledger is new[^]*compared with what is deployed/);
    expect((await github({ install: "exit 7" })).exitCode).toBe(2);
    expect(bodies()).toEqual([expect.stringContaining("there is nothing to compare with: unable to read")]);
  },
);

// claim: docs/ci.md: the action and the component, from…
test.runIf(NIGHTLY)("GitLab: a weaker change and its failed preview are one note", async () => {
  forge = await ForgeDouble.start({ kind: "gitlab", token: TOKEN });
  const play = async (): Promise<JobResult> => {
    const workspace = await checkout("refs/heads/change");
    return runComponentJob(
      fillComponent(readComponent("topology"), {
        stack: "prod",
        "work-dir": "infra",
        install: INSTALL,
        setup: "exit 9",
      }),
      {
        workspace,
        env: {
          ...programFolder.env,
          ...forge.environment(),
          GITLAB_TOKEN: TOKEN,
          CI_MERGE_REQUEST_TARGET_BRANCH_NAME: "main",
        },
      },
    );
  };
  push("change", program(7));
  const weaker = await play();
  expect(weaker.exitCode, weaker.log).toBe(1);
  expect(bodies()).toEqual([expect.stringContaining("▼ Backup topology of shop/prod: 1 weakened\n")]);
  push("change", program(7, "0 3 * *"));
  const failed = await play();
  expect(failed.exitCode, failed.log).toBe(3);
  expect(bodies()).toEqual([
    expect.stringContaining("| PB011 error | ledger | schedules.full.cron (infra/program.cjs:3) |"),
  ]);
});

/** A resource whose refresh reads `seen` (like a host's newest backup) and `state` (like its files) from files. */
const DRIFTING = (folder: string): string => `const { dynamic } = require("@pulumi/pulumi");
const read = (name) => require("node:fs").readFileSync("${folder}/" + name, "utf8");
new dynamic.Resource({
  check: async (_olds, news) => ({ inputs: news }),
  create: async (inputs) => ({ id: "one", outs: { ...inputs, seen: read("seen") } }),
  read: async (id, props) => ({ id, props: { ...props, state: read("declared"), seen: read("seen") } }),
  diff: async (_id, olds, news) => ({ changes: olds.state !== news.state }),
}, "drifting", { state: "declared" });
`;

// claim: docs/ci.md: the nightly job: a newer backup is no drift
test.runIf(NIGHTLY)(
  "the nightly job fails for drift and for backups that need attention, not for new backups",
  async () => {
    forge = await ForgeDouble.start({ kind: "github", token: TOKEN });
    const { folder } = programFolder;
    push("change", DRIFTING(folder));
    const set = (seen: string, state: string): void => {
      writeFileSync(join(folder, "seen"), seen);
      writeFileSync(join(folder, "declared"), state);
    };
    set("monday", "declared");
    const workspace = await checkout("refs/heads/change");
    const up = await run("pulumi", ["up", "--yes", "--skip-preview", "--non-interactive", "--stack=test"], {
      cwd: join(workspace, "infra"),
      env: programFolder.env,
    });
    expect(up.exitCode, up.stdout + up.stderr).toBe(0);
    const nightly = (status = ""): Promise<JobResult> =>
      runAction(readAction("drift"), {
        inputs: { stack: "test", "work-dir": "infra", status },
        github: {},
        workspace,
        env: programFolder.env,
      });
    const job = fillComponent(readComponent("drift"), {
      stack: "test",
      "work-dir": "infra",
      install: "",
      status: "echo checked; false",
    });
    set("tuesday", "declared");
    const quiet = await nightly("echo all is well");
    expect(quiet, quiet.log).toMatchObject({ exitCode: 0, log: expect.stringContaining("all is well") as string });
    const troubled = await nightly("echo checked\nfalse\necho hidden");
    expect(troubled).toMatchObject({ exitCode: 1, log: expect.stringContaining("::error title=Backups::") as string });
    expect(troubled.log).not.toMatch(/title=Drift|hidden/);
    expect(await runComponentJob(job, { workspace, env: programFolder.env })).toMatchObject({
      exitCode: 1,
      log: expect.stringMatching(/checked\nthe backups need attention/) as string,
    });
    set("tuesday", "changed by hand");
    const drifted = await nightly();
    expect(drifted, drifted.log).toMatchObject({
      exitCode: 1,
      log: expect.stringContaining("::error title=Drift::") as string,
    });
    expect(readFileSync(join(folder, "declared"), "utf8")).toBe("changed by hand");
  },
);
