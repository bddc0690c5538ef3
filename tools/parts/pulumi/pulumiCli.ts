/**
 * The Pulumi CLI: from PATH, from the cache, from Pulumi's installer if the internet is reachable, or built from
 * tools/go.mod.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { cached, cacheFolder } from "../cache";
import { buildPulumi, findBuiltPulumi, goVersion } from "../kubernetes/goTools";
import { findOnPath, run, runOk } from "../process";

export interface PulumiCli {
  /** The program; put its folder first on PATH. */
  readonly path: string;
  /** `3.250.0` */
  readonly version: string;
  /** True if the language host is next to it, as in official installations: `pulumi up` on a program folder works. */
  readonly hasLanguageHost: boolean;
  readonly source: "path" | "cache" | "installer" | "built";
}

/** First download of the Automation API's installer. */
const INSTALLER = "https://get.pulumi.com/install.sh";
/** Time limit for the internet before the build is chosen. */
const ANSWER_TIMEOUT_MS = 3_000;

/** The CLI if no work is needed, or null. */
export async function findPulumiCli(): Promise<PulumiCli | null> {
  const onPath = await findOnPath("pulumi");
  if (onPath !== null) return describe(onPath, "path");
  const installed = join(installFolder(), "bin", "pulumi");
  if (existsSync(installed)) return describe(installed, "cache");
  const built = findBuiltPulumi();
  return built === null ? null : describe(built, "cache");
}

/**
 * The CLI, installed or built if missing; the build takes a quarter of an hour on two cores.
 * @throws Error if neither works
 */
export async function ensurePulumiCli(note: (text: string) => void = () => {}): Promise<PulumiCli> {
  const installed = await findPulumiCli();
  if (installed !== null) return installed;
  if (await installerAnswers()) {
    note("official installer");
    try {
      return await install();
    } catch (error) {
      note(`installer failed (${error instanceof Error ? error.message.split("\n")[0] : String(error)}), building`);
    }
  }
  if ((await goVersion()) === null) {
    throw new Error(
      "there is no pulumi on PATH, its installer does not answer and there is no go to build it: install Pulumi or Go",
    );
  }
  return describe(await buildPulumi(note), "built");
}

async function install(): Promise<PulumiCli> {
  const { PulumiCommand } = await import("@pulumi/pulumi/automation/index.js");
  const folder = await cached(installFolder(), async (root) => {
    await PulumiCommand.install({ root, skipVersionCheck: true });
    await runOk(join(root, "bin", "pulumi"), ["version"]);
  });
  return describe(join(folder, "bin", "pulumi"), "installer");
}

function installFolder(): string {
  return join(cacheFolder(), "pulumi-installed");
}

/** Whether the installer's address answers quickly, so that nobody waits without internet. */
async function installerAnswers(): Promise<boolean> {
  try {
    return (await fetch(INSTALLER, { method: "HEAD", signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) })).ok;
  } catch {
    return false;
  }
}

async function describe(path: string, source: PulumiCli["source"]): Promise<PulumiCli> {
  const text = (await runOk(path, ["version"], { env: { PULUMI_SKIP_UPDATE_CHECK: "true" } })).trim();
  const host = await run("/bin/sh", ["-c", 'PATH="$1:$PATH" command -v pulumi-language-nodejs', "sh", dirname(path)]);
  return { path, version: text.replace(/^v/, ""), hasLanguageHost: host.exitCode === 0, source };
}
