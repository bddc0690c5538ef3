/** The folder of a test's Pulumi program. */
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
