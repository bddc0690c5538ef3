/**
 * The last release, built from this repository's history: the skew tests run it alongside the present tree.
 *
 * The sources come from `git archive`, and the packages are this clone's. Its own build makes `dist`, once for each
 * commit and machine.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { type build } from "esbuild";
import { cached, cacheFolder, cloneCacheFolder, projectFolder } from "../cache";
import { run, type RunResult } from "../process";

/** What esbuild makes of one of its sources. */
const PROGRAM = { bundle: true, platform: "node", format: "cjs", packages: "external", logLevel: "silent" } as const;

export interface LastRelease {
  /** The tag. */
  readonly name: string;
  readonly commit: string;
}

export interface BuiltRelease extends LastRelease {
  /** Has `dist` and the sources. Packages are found from here. */
  readonly folder: string;
}

/**
 * The newest release before HEAD. Throws for a clone without history on a runner of GitHub, where a skipped test would
 * look like a passed one.
 */
export async function findLastRelease(
  root = projectFolder(),
  onRunner = process.env["GITHUB_ACTIONS"] === "true",
): Promise<{ readonly release: LastRelease } | { readonly missing: string }> {
  const result = await findTag(root);
  if ("release" in result) return result;
  if (onRunner && !result.isFirst) throw new Error(`the last release cannot be built: ${result.missing}`);
  return { missing: result.missing };
}

async function findTag(
  root: string,
): Promise<{ readonly release: LastRelease } | { readonly missing: string; readonly isFirst: boolean }> {
  const git = (...args: string[]): Promise<RunResult> => run("git", ["-C", root, ...args]);
  const repository = await git("rev-parse", "--git-dir").catch(() => null);
  if (repository?.exitCode !== 0) {
    const reason = repository?.stderr.trim() ?? "there is no git";
    return {
      missing: `there is no git repository here, so no earlier release can be built (${reason})`,
      isFirst: false,
    };
  }
  // HEAD itself may be the tag of the release under way.
  const tag = await git("describe", "--tags", "--abbrev=0", "--match=v[0-9]*", "HEAD^");
  if (tag.exitCode !== 0) {
    const isShallow = (await git("rev-parse", "--is-shallow-repository")).stdout.trim() === "true";
    return isShallow
      ? { missing: "this clone lacks the history: git fetch --unshallow --tags brings it", isFirst: false }
      : { missing: "there is no release yet", isFirst: true };
  }
  const name = tag.stdout.trim();
  const commit = await git("rev-parse", "--verify", `${name}^{commit}`);
  requireOk(name, commit);
  return { release: { name, commit: commit.stdout.trim() } };
}

/** The release, built; in a folder of this clone, so that its modules find packages. */
export async function buildLastRelease(release: LastRelease): Promise<BuiltRelease> {
  const built = await cached(join(cacheFolder(), `release-${release.commit}`), (scratch) => buildIn(scratch, release));
  const folder = join(cloneCacheFolder(), `release-${release.commit}`);
  await cached(folder, async (scratch) => cpSync(built, scratch, { recursive: true }));
  return { ...release, folder };
}

async function buildIn(scratch: string, { commit, name }: LastRelease): Promise<void> {
  const root = projectFolder();
  // The first releases have no packages besides their own.
  const paths = `package.json tsconfig.json tsconfig.build.json components runtime tools package-lock.json $(git -C "$1" ls-tree --name-only "$2" packages)`;
  const archive = `git -C "$1" archive "$2" ${paths} | tar -x -C "$3"`;
  requireOk(name, await run("/bin/sh", ["-c", archive, "sh", root, commit, scratch]));
  linkPackages(root, scratch);
  const { build: bundle } = createRequire(join(root, "package.json"))("esbuild") as { build: typeof build };
  const program = join(scratch, "build.cjs");
  await bundle({
    entryPoints: [join(scratch, "tools", "build.ts")],
    outfile: program,
    ...PROGRAM,
  });
  requireOk(name, await run(process.execPath, [program], { cwd: scratch }));
  for (const path of ["node_modules", "tools", "build.cjs"]) rmSync(join(scratch, path), { recursive: true });
}

/** One link for each package: the folder itself must not be this clone's, because the build keeps its cache there. */
function linkPackages(root: string, folder: string): void {
  const source = join(root, "node_modules");
  const target = join(folder, "node_modules");
  mkdirSync(target);
  symlinkSync("..", join(target, "pgbackstop"));
  for (const name of readdirSync(source)) {
    if (name.startsWith(".") || name.startsWith("pgbackstop")) continue;
    if (!name.startsWith("@")) {
      symlinkSync(join(source, name), join(target, name));
      continue;
    }
    mkdirSync(join(target, name));
    for (const scoped of readdirSync(join(source, name)))
      symlinkSync(join(source, name, scoped), join(target, name, scoped));
  }
}

function requireOk(name: string, { exitCode, stderr, stdout }: RunResult): void {
  if (exitCode === 0) return;
  throw new Error(`unable to build ${name}:\n${`${stdout}\n${stderr}`.trim().split("\n").slice(-30).join("\n")}`);
}

/** A module of a built release, compiled from its source. */
export async function loadOfRelease<T>({ folder }: BuiltRelease, source: string): Promise<T> {
  const require = createRequire(join(folder, "package.json"));
  const compiled = join(folder, "dist", source.replace(/\.ts$/, ".js"));
  if (existsSync(compiled)) return require(compiled) as T;
  const { build: bundle } = require("esbuild") as { build: typeof build };
  const outfile = join(folder, "loaded", source.replace(/\.ts$/, ".cjs"));
  if (!existsSync(outfile))
    await bundle({
      entryPoints: [join(folder, source)],
      outfile,
      ...PROGRAM,
    });
  return require(outfile) as T;
}
