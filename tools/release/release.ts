/**
 * `npm run release -- --dry-run [--output=FOLDER] [--tag=vX.Y.Z --repository=OWNER/NAME]`: makes the files of a release
 * in FOLDER (default: in node_modules/.cache), installs the tarball in a bare environment and runs it. It publishes
 * nothing: the workflow `release` does, with these files. With a tag, what stands against publishing is an error.
 */
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { AT_RELEASE } from "../docs/pages";
import { packTarball } from "../parts/build/packTarball";
import { cloneCacheFolder, projectFolder } from "../parts/cache";
import { cleanUp, findOnPath, run, runOk } from "../parts/process";
import { createProgress, formatBytes, type Progress } from "../parts/progress";
import { findObstacles, type Manifest, sectionOf } from "./notes";
import { makeSbom } from "./sbom";

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

  const tarball = await packTarball(progress, folder);
  const sbom = await progress.step("list of components", async (note) => {
    const made = await makeSbom(root);
    note(`${made.components.length} packages`);
    return made;
  });
  writeFileSync(join(folder, `pgbackstop-${manifest.version}.cdx.json`), `${JSON.stringify(sbom, null, 2)}\n`);
  cpSync(join(root, "dist", "runtime.cjs"), join(folder, `pgbackstop-${manifest.version}.cjs`));
  writeFileSync(join(folder, "notes.md"), `${text}\n`);
  const names = readdirSync(folder).filter((name) => name !== "notes.md");
  const sums = names.map((name) => `${sumOf(join(folder, name))}  ${name}\n`);
  writeFileSync(join(folder, "SHA256SUMS.txt"), sums.join(""));

  const scratch = mkdtempSync(join(tmpdir(), "pgb-release-"));
  try {
    await tryTarball(progress, tarball, join(scratch, "bare"), manifest.version);
    await tryImage(progress, tarball, join(scratch, "image"), manifest.version);
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

/** Nothing of this machine but its Node, its npm with settings and cache, and what its network needs. */
async function tryTarball(progress: Progress, tarball: string, folder: string, version: string): Promise<void> {
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  const setting = async (name: string): Promise<string> => (await runOk("npm", ["config", "get", name])).trim();
  const variables = [
    ...Object.entries(process.env).flatMap(([name, value]) => (/proxy|cert/i.test(name) ? [`${name}=${value}`] : [])),
    `PATH=${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ""}`,
    `HOME=${folder}`,
    `npm_config_userconfig=${await setting("userconfig")}`,
    `npm_config_cache=${await setting("cache")}`,
  ];
  const bare = (...command: readonly string[]): Promise<string> =>
    runOk("env", ["-i", ...variables, ...command], { cwd: folder });
  await progress.step("install the tarball", () =>
    bare("npm", "install", "--prefer-offline", "--no-audit", "--no-fund", tarball),
  );
  await progress.step("run it", async (note) => {
    const answer = (await bare("npm", "exec", "--offline", "--no", "--", "pgbackstop", "version")).trim();
    if (!answer.includes(version)) throw new Error(`pgbackstop version printed ${answer} instead of ${version}`);
    await bare("node", "-e", 'if (typeof require("pgbackstop").PostgresHost !== "function") process.exit(1)');
    note(answer);
  });
}

/** Builds the image by the tarball's own Dockerfile for this processor, and runs the runtime in it. */
async function tryImage(progress: Progress, tarball: string, folder: string, version: string): Promise<void> {
  const tool = await findImageTool();
  if ("missing" in tool) return progress.loud(`the image is not built: ${tool.missing}`);
  await progress.step(`image (${basename(tool.path)})`, async (note) => {
    mkdirSync(folder);
    await runOk("tar", ["-xzf", tarball, "-C", folder]);
    const image = `pgbackstop:${version}`;
    await runOk(tool.path, ["build", "--tag", image, join(folder, "package")]);
    const script = "gunzip -c /pgbackstop/bundle/runtime.cjs.gz > /tmp/runtime.cjs && node /tmp/runtime.cjs version";
    note((await runOk(tool.path, ["run", "--rm", "--network=none", image, "sh", "-c", script])).trim());
  });
}

async function findImageTool(): Promise<{ readonly path: string } | { readonly missing: string }> {
  const reasons: string[] = [];
  for (const name of ["docker", "podman"]) {
    const path = await findOnPath(name);
    if (path === null) {
      reasons.push(`there is no ${name} on PATH`);
      continue;
    }
    const { exitCode, stderr } = await run(path, ["info"], { timeoutMs: 30_000 });
    if (exitCode === 0) return { path };
    reasons.push(`${name} info: ${stderr.trim().split("\n").at(-1) ?? ""}`);
  }
  return { missing: reasons.join("; ") };
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
