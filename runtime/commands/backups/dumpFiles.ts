/** `dump-ls` shows the dumps in the repositories; `dump-get` writes one file of a dump, verified. */
import { dirname } from "node:path";
import { fail, isError } from "../../base/errors";
import { renderJson } from "../../format/repository/json";
import { dumpsJson, dumpsText } from "../../operations/dump/dumpReport";
import {
  chooseDump,
  type ChosenDump,
  fileOfDump,
  listDumps,
  readVerified,
  useFirst,
} from "../../operations/dump/readDump";
import { requireSpace } from "../../operations/extract/extractSpace";
import { requireNoFile, writeNewFile } from "../../operations/shared/newFile";
import { combinedError } from "../../operations/shared/results";
import type { Command, CommandProcess } from "../../process/commandProcess";
import { findDatabase } from "../recovery/find";

/** The output has the reason of another exit code: an error line would break the JSON. */
export const dumpLsCommand: Command = async (proc) => {
  const { output, stanza = "" } = proc.config;
  const results = await listDumps(proc.repositories());
  proc.print(output === "json" ? `${renderJson(dumpsJson(results))}\n` : dumpsText(stanza, results));
  return combinedError("dump-ls", results)?.exitCode ?? 0;
};

export const dumpGetCommand: Command = async (proc) => {
  const { dump, toFile } = proc.config;
  const database = wantedOf(proc);
  if (toFile !== undefined) await requireNoFile(toFile);
  const chosen = await chooseDump(proc.repositories(), dump.label);
  const { sizeBytes } = fileOfDump(chosen.manifest, database).content;
  if (toFile === undefined) await printFile(proc, chosen, database);
  else {
    await requireSpace(dirname(toFile), sizeBytes, "the dump", "Choose a file elsewhere with --to-file.");
    await saveFile(toFile, chosen, database);
  }
  return 0;
};

/** Null means roles and tablespaces. @throws optionInvalid, optionRequired */
function wantedOf({ config }: CommandProcess): string | null {
  const database = findDatabase(config);
  if (config.dump.globals && database !== undefined)
    throw fail("optionInvalid", "option 'globals' is not valid together with 'database'");
  if (database !== undefined) return database;
  if (config.dump.globals) return null;
  throw fail("optionRequired", "dump-get command requires option: database, or else globals");
}

/** Another repository replaces one that fails as long as nothing was printed. */
async function printFile(proc: CommandProcess, { copies }: ChosenDump, database: string | null): Promise<void> {
  let isPrinted = false;
  await useFirst(
    copies,
    async (copy) => {
      for await (const chunk of readVerified(copy, database)) {
        isPrinted = true;
        await proc.printBytes(chunk);
      }
    },
    (error) => !isPrinted && !isError(error, "term"),
  );
}

async function saveFile(path: string, { copies }: ChosenDump, database: string | null): Promise<void> {
  await useFirst(
    copies,
    (copy) =>
      writeNewFile(path, async (handle) => {
        for await (const chunk of readVerified(copy, database)) await handle.writeFile(chunk);
      }),
    (error) => isError(error, "checksum", "crypto", "fileMissing", "hostConnect", "service"),
  );
}
