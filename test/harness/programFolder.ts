/** The folder of a test's Pulumi program. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOk } from "../../tools/parts/process";
import { findPulumiCli } from "../../tools/parts/pulumi/pulumiCli";
import {
  prepareProgramFolder as prepare,
  type ProgramFolder,
  type ProgramFolderOptions,
} from "../../tools/parts/pulumi/pulumiEngine";
import { startKeyService } from "./doubles/keyService";
import { engineEnvironment, type ProviderDouble } from "./doubles/providerDouble";

export const STATE_PASSPHRASE = "state passphrase of the test";

/** The key of its stacks comes from a double of Vault: Pulumi's own way costs 0.2 s for each command. */
export async function prepareProgramFolder(folder: string, options: ProgramFolderOptions): Promise<ProgramFolder> {
  return prepare(folder, { ...options, keyService: await startKeyService(options.passphrase) });
}

/** A new one. @param doubles which the engine uses instead of plugins @throws Error without a Pulumi CLI */
export async function makeProgramFolder(doubles: readonly ProviderDouble[] = []): Promise<ProgramFolder> {
  const cli = await findPulumiCli();
  if (cli === null) throw new Error("there is no Pulumi CLI: npm test -- --all builds it");
  const folder = mkdtempSync(join(tmpdir(), "pgb-engine-"));
  const prepared = await prepareProgramFolder(folder, { cli, passphrase: STATE_PASSPHRASE });
  return { ...prepared, env: { ...prepared.env, ...(doubles.length === 0 ? {} : engineEnvironment(doubles)) } };
}

/** By npm: what the folder's package.json names, and `packages`. */
export async function installPackages(folder: string, ...packages: readonly string[]): Promise<void> {
  const quiet = ["--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
  await runOk("npm", ["install", ...quiet, ...packages], { cwd: folder });
}

/** Undefined if it was not made: a part before it failed. */
export function removeProgramFolder(made: ProgramFolder | undefined): void {
  if (made !== undefined) rmSync(made.folder, { recursive: true, force: true });
}
