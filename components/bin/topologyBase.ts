/**
 * `pgbackstop topology base`: previews the stack as the branch had it before the change, for a comparison with the
 * change alone. Works in a temporary worktree of git, which it removes.
 */
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderTopologyDocument } from "../render/topology/topologyDocument";
import { readArguments, UsageError, writeOutput } from "./command";

interface BaseOrder {
  /** Folder of Pulumi.yaml, in the change. */
  readonly project: string;
  readonly stack: string;
  /** Branch or commit that the change goes into: `origin/main`. */
  readonly ref: string;
  /** Shell command that installs the base's packages in its folder. */
  readonly install: string | undefined;
  /** Further arguments of `pulumi preview`. */
  readonly previewArgs: readonly string[];
  /** For the JSON of the preview. */
  readonly output: string;
}

const OUTPUT_BYTES_MAX = 512 * 1024 * 1024;

/** Runs `base`, whose arguments follow; prints the commit. @throws UsageError */
export function runBase(argv: readonly string[]): number {
  const { files, options } = readArguments(argv, {
    stack: "string",
    project: "string",
    ref: "string",
    install: "string",
    output: "string",
  });
  const last = (name: string): string | undefined => options.findLast((option) => option.name === name)?.value;
  const required = (name: string): string => {
    const value = last(name);
    if (value === undefined) throw new UsageError(`topology base needs --${name}`);
    return value;
  };
  const commit = previewBase({
    project: last("project") ?? ".",
    stack: required("stack"),
    ref: required("ref"),
    install: last("install"),
    previewArgs: files,
    output: required("output"),
  });
  process.stdout.write(`${commit}\n`);
  return 0;
}

/**
 * Returns the commit that the change began at. A failed preview is an output too: `topology diff` reads why.
 * @throws UsageError if git or the installation fails
 */
function previewBase(order: BaseOrder): string {
  const prefix = git(order.project, "rev-parse", "--show-prefix");
  fetchHistory(order);
  // Also right for a merge commit that CI made: its base is the branch as it was merged.
  const commit = git(order.project, "merge-base", "HEAD", order.ref);
  const folder = mkdtempSync(join(tmpdir(), "pgbackstop-base-"));
  const tree = join(folder, "tree");
  try {
    git(order.project, "worktree", "add", "--quiet", "--detach", tree, commit);
    const project = join(tree, prefix);
    if (!existsSync(join(project, "Pulumi.yaml"))) {
      process.stderr.write(`pgbackstop topology: ${commit} has no ${join(prefix, "Pulumi.yaml")}: everything is new\n`);
      writeOutput(order.output, renderTopologyDocument(new Map()));
      return commit;
    }
    if (order.install !== undefined) checked("the base's installation", spawn("sh", ["-c", order.install], project));
    const argv = [
      "preview",
      "--json",
      "--show-sames",
      "--non-interactive",
      "--stack",
      order.stack,
      ...order.previewArgs,
    ];
    const preview = spawn("pulumi", argv, project);
    if (preview.error !== undefined) throw new UsageError(`pulumi did not start: ${preview.error.message}`);
    writeOutput(order.output, preview.stdout);
    return commit;
  } finally {
    spawn("git", ["worktree", "remove", "--force", tree], order.project);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** CI fetches one commit only; a merge base needs the history of both sides. */
function fetchHistory({ project, ref }: BaseOrder): void {
  const isShallow = git(project, "rev-parse", "--is-shallow-repository") === "true";
  const isThere = spawn("git", ["rev-parse", "--verify", "--quiet", `${ref}^{commit}`], project).status === 0;
  if (!isShallow && isThere) return;
  const [, branch] = /^origin\/(.+)$/.exec(ref) ?? [];
  const refspecs = branch === undefined ? [] : [`+refs/heads/${branch}:refs/remotes/origin/${branch}`];
  git(project, "fetch", "--quiet", "--no-tags", ...(isShallow ? ["--unshallow"] : []), "origin", ...refspecs);
}

function git(folder: string, ...args: readonly string[]): string {
  return checked(`git ${args[0]}`, spawn("git", args, folder)).trim();
}

/** What the program prints besides its result goes to this one's stderr. */
function spawn(program: string, args: readonly string[], cwd: string): SpawnSyncReturns<string> {
  return spawnSync(program, args, {
    cwd,
    encoding: "utf8",
    maxBuffer: OUTPUT_BYTES_MAX,
    stdio: ["ignore", "pipe", "inherit"],
  });
}

function checked(what: string, { error, signal, status, stdout }: SpawnSyncReturns<string>): string {
  if (error !== undefined) throw new UsageError(`${what} did not start: ${error.message}`);
  if (status !== 0) throw new UsageError(`${what} ended with ${status ?? signal}: its messages are above`);
  return stdout;
}
