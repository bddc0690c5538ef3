/**
 * `npm run release -- --dry-run [--output=FOLDER] [--tag=vX.Y.Z --repository=OWNER/NAME]`: makes the files of a release
 * in FOLDER (default: in node_modules/.cache), installs the tarball in a bare Debian and runs it. It publishes
 * nothing: the workflow `release` does, with these files. With a tag, what stands against publishing is an error, and
 * so is a missing image, or a missing Debian although this is root.
 */
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { AT_RELEASE } from "../docs/pages";
import { packTarballs } from "../parts/build/packTarball";
import { cloneCacheFolder, projectFolder } from "../parts/cache";
import type { Missing } from "../parts/debian/debian";
import { cleanUp, findOnPath, runOk } from "../parts/process";
import { createProgress, formatBytes, type Progress } from "../parts/progress";
import { BareDebian } from "./bareDebian";
import { buildImage, imageNotes, keepImage } from "./image";
import { findObstacles, firstCommands, type Manifest, mustHave, type ReleasePart, sectionOf } from "./notes";
import { makeSboms } from "./sbom";

const { values: options } = parseArgs({
  options: {
    "dry-run": { type: "boolean", default: false },
    output: { type: "string" },
    tag: { type: "string" },
    repository: { type: "string" },
  },
});
const root = projectFolder();
const read = (path: string): string => readFileSync(join(root, path), "utf8");

async function release(): Promise<void> {
  if (!options["dry-run"])
    throw new Error('a pushed tag publishes a release (CONTRIBUTING.md, "Releases"); --dry-run makes its files here');
  const progress = createProgress();
  const manifest = JSON.parse(read("package.json")) as Manifest;
  const { state, text } = sectionOf(read("CHANGELOG.md"), manifest.version);
  const stale = Object.entries(AT_RELEASE).filter(([path, render]) => read(path) !== render());
  const obstacles = [
    ...findObstacles(manifest, state, options),
    ...stale.map(([path]) => `${path} is stale: run npm run docs -- --all`),
  ];
  if (options.tag !== undefined && obstacles.length > 0) throw new Error(obstacles.join("\n"));
  const folder = options.output === undefined ? join(cloneCacheFolder(), "release") : resolve(root, options.output);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });

  const { pgbackstop: tarball } = await packTarballs(progress, folder);
  const sboms = await progress.step("lists of components", async (note) => {
    const made = Object.entries(await makeSboms(root));
    note(made.map(([name, { components }]) => `${name}: ${components.length} packages`).join(", "));
    return made;
  });
  for (const [name, sbom] of sboms)
    writeFileSync(join(folder, `${name}-${manifest.version}.cdx.json`), `${JSON.stringify(sbom, null, 2)}\n`);
  cpSync(join(root, "dist", "runtime.cjs"), join(folder, `pgbackstop-${manifest.version}.cjs`));
  const scratch = mkdtempSync(join(tmpdir(), "pgb-release-"));
  try {
    const debian = await progress.step("bare Debian", () => BareDebian.open(scratch));
    if ("missing" in debian) skip(progress, "a bare Debian", debian);
    const image = await progress.step("image", async (note) => {
      const built = await buildImage(tarball, manifest.version, scratch, debian);
      if (!("missing" in built)) note(`${built.answer}; ${built.how}`);
      return built;
    });
    if ("missing" in image) skip(progress, "the image", image);
    else if (options.tag === undefined) keepImage(image, folder, manifest.version);
    const imageText = "missing" in image || options.tag !== undefined ? "" : `\n${imageNotes(manifest.version, image)}`;
    writeFileSync(join(folder, "notes.md"), `${text}\n${imageText}`);
    const names = readdirSync(folder).filter((name) => name !== "notes.md");
    const sums = names.map((name) => `${sumOf(join(folder, name))}  ${name}\n`);
    writeFileSync(join(folder, "SHA256SUMS.txt"), sums.join(""));
    await tryFiles(progress, folder, join(scratch, "user"), debian, manifest.version);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  progress.line(`  ${folder}`);
  for (const name of readdirSync(folder))
    progress.line(`    ${name}  ${formatBytes(statSync(join(folder, name)).size)}`);
  for (const obstacle of obstacles) progress.loud(`before it is published: ${obstacle}`);
}

function sumOf(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}

/** @throws Error if a release with this tag must have it */
function skip(progress: Progress, part: ReleasePart, { missing }: Missing): void {
  if (mustHave(part, { tag: options.tag, isRoot: process.getuid?.() === 0 }))
    throw new Error(`unable to make ${part}: ${missing}`);
  progress.loud(`skipped, ${part}: ${missing}`);
}

/**
 * A stranger's first steps with the files: in a bare Debian, else on this machine without its environment. Both have
 * Node, npm with settings, and what the network needs from here.
 */
async function tryFiles(
  progress: Progress,
  folder: string,
  user: string,
  debian: BareDebian | Missing,
  version: string,
): Promise<void> {
  cpSync(folder, user, { recursive: true });
  const npm = dirname(dirname(realpathSync((await findOnPath("npm")) ?? "npm")));
  cpSync(npm, join(user, "tools", "npm"), { recursive: true });
  cpSync(process.execPath, join(user, "tools", "node"));
  const settings = (await runOk("npm", ["config", "get", "userconfig"])).trim();
  if (existsSync(settings)) cpSync(settings, join(user, "npmrc"));
  const script = `${firstCommands(read("README.md"), version)}
npm exec --offline --no -- pgbackstop version
node -e 'if (typeof require("pgbackstop").PostgresHost !== "function") process.exit(1)'
npm install ./pgbackstop-migration-${version}.tgz
npm exec --offline --no -- pgbackstop-migration version
node -e 'if (typeof require("pgbackstop-migration").Migration !== "function") process.exit(1)'`;
  const network = Object.entries(process.env).filter(([name]) => /proxy|cert/i.test(name));
  const where = "missing" in debian ? user : "/release";
  const env = { ...Object.fromEntries(network), HOME: where, npm_config_userconfig: `${where}/npmrc` };
  const steps = `sha256sum --check --quiet SHA256SUMS.txt
export PATH="$PWD/tools:$PATH"
npm() { node "$PWD/tools/npm/bin/npm-cli.js" "$@"; }
node pgbackstop-${version}.cjs version
${script}`;
  await progress.step("missing" in debian ? "install and run" : "install and run in the bare Debian", async (note) => {
    const answer = await ("missing" in debian ? runBare(user, steps, env) : debian.run(user, steps, env));
    if (answer.split(version).length < 3) throw new Error(`the installed package printed ${answer}`);
    note(answer.trim().split("\n").at(-1) ?? "");
  });
}

function runBare(folder: string, script: string, env: Readonly<Record<string, string | undefined>>): Promise<string> {
  const variables = Object.entries({ PATH: "/usr/bin:/bin", ...env }).map((pair) => pair.join("="));
  return runOk("env", ["-i", ...variables, "sh", "-ec", script], { cwd: folder });
}

void release()
  .catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  })
  .then(async () => {
    await cleanUp();
    process.exit();
  });
