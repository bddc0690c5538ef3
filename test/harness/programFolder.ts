/** The folder of a test's Pulumi program. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PulumiCli } from "../../tools/parts/pulumi/pulumiCli";
import {
  prepareProgramFolder as prepare,
  type ProgramFolder,
  type ProgramFolderOptions,
} from "../../tools/parts/pulumi/pulumiEngine";
import { startKeyService } from "./doubles/keyService";

/** The key of its stacks comes from a double of Vault: Pulumi's own way costs 0.2 s for each command. */
export async function prepareProgramFolder(folder: string, options: ProgramFolderOptions): Promise<ProgramFolder> {
  return prepare(folder, { ...options, keyService: await startKeyService(options.passphrase) });
}

/** A new one for stacks of booted hosts. */
export function makeProgramFolder(cli: PulumiCli): Promise<ProgramFolder> {
  const folder = mkdtempSync(join(tmpdir(), "pgb-hosts-"));
  return prepareProgramFolder(folder, { cli, passphrase: "state passphrase of the test" });
}
