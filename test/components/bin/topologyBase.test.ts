/** `pgbackstop topology base` in real repositories of git; `pulumi` is a double that prints a file of the project. */
// claim: docs/ci.md: the merge base: its own packages, a merge commit, a new project
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { topologyMain } from "../../../components/bin/topology";
import { captureTexts } from "./shownTexts";

let folder: string;
const { errors, printed } = captureTexts();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pgb-base-test-"));
  mkdirSync(join(folder, "bin"));
  mkdirSync(join(folder, "tmp"));
  writeFileSync(
    join(folder, "bin", "pulumi"),
    '#!/bin/sh\necho "$@" > called\npwd >> called\ncp called "$CALLED"\ncat preview.json\nexit 255\n',
    {
      mode: 0o755,
    },
  );
  vi.stubEnv("PATH", `${folder}/bin${delimiter}${process.env["PATH"] ?? ""}`);
  vi.stubEnv("TMPDIR", join(folder, "tmp"));
  vi.stubEnv("CALLED", join(folder, "called"));
  for (const name of ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"]) vi.stubEnv(name, undefined);
  for (const [name, value] of Object.entries({
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_AUTHOR_NAME: "a",
    GIT_AUTHOR_EMAIL: "a@b",
    GIT_COMMITTER_NAME: "a",
    GIT_COMMITTER_EMAIL: "a@b",
  }))
    vi.stubEnv(name, value);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const git = (at: string, ...args: readonly string[]): string =>
  execFileSync("git", args, { cwd: join(folder, at), encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();

function commit(at: string, files: Readonly<Record<string, string>>): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(folder, at, path, ".."), { recursive: true });
    writeFileSync(join(folder, at, path), text);
  }
  git(at, "add", "--all");
  git(at, "commit", "--quiet", "-m", "change");
  return git(at, "rev-parse", "HEAD");
}

/** `main` has two commits after the one that the branch `change` began at. */
function origin(files: Readonly<Record<string, string>>): { readonly base: string } {
  mkdirSync(join(folder, "origin"));
  git("origin", "init", "--quiet", "--initial-branch=main");
  const base = commit("origin", files);
  git("origin", "checkout", "--quiet", "-b", "change");
  commit("origin", { "infra/Pulumi.yaml": "name: shop\n", "infra/preview.json": '{"of":"change"}' });
  git("origin", "checkout", "--quiet", "main");
  commit("origin", { "infra/preview.json": '{"of":"main"}' });
  commit("origin", { more: "" });
  return { base };
}

const preview = (...more: readonly string[]): number | Promise<number> =>
  topologyMain([
    "base",
    "--stack=prod",
    "--ref=origin/main",
    `--project=${folder}/clone/infra`,
    `--output=${folder}/base.json`,
    ...more,
  ]);

test("the merge base is previewed, with its own packages, from a clone of one commit", () => {
  const { base } = origin({ "infra/Pulumi.yaml": "name: shop\n", "infra/preview.json": '{"of":"base"}' });
  git(
    ".",
    "clone",
    "--quiet",
    "--depth=1",
    "--branch=change",
    "--no-single-branch",
    `file://${folder}/origin`,
    "clone",
  );
  expect(preview("--install=echo noise; pwd > installed", "--", "--config", "a=b")).toBe(0);
  expect(printed.join("")).toBe(`${base}\n`);
  expect(readFileSync(join(folder, "base.json"), "utf8")).toBe('{"of":"base"}');
  const [argv, at] = readFileSync(join(folder, "called"), "utf8").split("\n");
  expect(argv).toBe("preview --json --show-sames --non-interactive --stack prod --config a=b");
  expect(at).toMatch(/\/tmp\/pgbackstop-base-[^/]+\/tree\/infra$/);
  expect(readdirSync(join(folder, "tmp"))).toEqual([]);
  expect(git("clone", "worktree", "list").split("\n")).toHaveLength(1);
  expect(git("clone", "status", "--porcelain")).toBe("");
});

test("the base of a merge commit is the branch as it was merged", () => {
  origin({ "infra/Pulumi.yaml": "name: shop\n", "infra/preview.json": '{"of":"base"}' });
  const merged = git("origin", "rev-parse", "main");
  git("origin", "checkout", "--quiet", "--detach", "main");
  git("origin", "merge", "--quiet", "-X", "theirs", "-m", "merge", "change");
  git("origin", "update-ref", "refs/pull/7/merge", "HEAD");
  git("origin", "checkout", "--quiet", "main");
  commit("origin", { afterwards: "" });
  mkdirSync(join(folder, "clone"));
  git("clone", "init", "--quiet");
  git("clone", "remote", "add", "origin", `file://${folder}/origin`);
  git("clone", "fetch", "--quiet", "--no-tags", "--depth=1", "origin", "+refs/pull/7/merge:refs/remotes/pull/7/merge");
  git("clone", "checkout", "--quiet", "--force", "refs/remotes/pull/7/merge");
  expect(preview()).toBe(0);
  expect(printed.join("")).toBe(`${merged}\n`);
  expect(readFileSync(join(folder, "base.json"), "utf8")).toBe('{"of":"main"}');
});

test("everything is new where the base has no project", () => {
  origin({ readme: "" });
  git(".", "clone", "--quiet", "--branch=change", `file://${folder}/origin`, "clone");
  expect(preview()).toBe(0);
  expect(JSON.parse(readFileSync(join(folder, "base.json"), "utf8"))).toEqual({ version: 1, topologies: {} });
  expect(errors.join("")).toContain("has no infra/Pulumi.yaml: everything is new");
});

test("a failing git or installation has no output, and leaves no worktree", () => {
  origin({ "infra/Pulumi.yaml": "name: shop\n", "infra/preview.json": "{}" });
  git(".", "clone", "--quiet", "--branch=change", `file://${folder}/origin`, "clone");
  expect(preview("--install=exit 7")).toBe(2);
  expect(preview("--ref=origin/gone")).toBe(2);
  expect(errors.join("")).toMatch(/the base's installation ended with 7[^]*git fetch ended with 128/);
  expect([existsSync(join(folder, "base.json")), readdirSync(join(folder, "tmp"))]).toEqual([false, []]);
  expect(git("clone", "worktree", "list").split("\n")).toHaveLength(1);
});

test.each([
  [["--ref=main", "--output=a"], "topology base needs --stack"],
  [["--stack=a", "--output=a"], "topology base needs --ref"],
  [["--stack=a", "--ref=main"], "topology base needs --output"],
])("a missing option is reported: %j", (argv, message) => {
  expect(topologyMain(["base", ...argv])).toBe(2);
  expect(errors.join("")).toContain(message);
});
