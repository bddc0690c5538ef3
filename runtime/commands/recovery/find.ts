/** `find`: what was destroyed in a time range, and the recovery target just before it; exit 0 also without a result. */
import { fail, isError } from "../../base/errors";
import { renderJson } from "../../format/repository/json";
import { find } from "../../operations/find/find";
import type { FindOptions } from "../../operations/find/search";
import { parseTimeOrAge } from "../../operations/find/timeOrAge";
import { findJson, findText } from "../../operations/find/findReport";
import type { Config } from "../../config/types";
import type { Command, CommandProcess } from "../../process/commandProcess";
import { ownHistory } from "../ownHistory";

const HOUR_US = 3_600_000_000n;

export const findCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const deps = { repos: proc.repositories(), openProduction: (database?: string) => proc.newSession(database) };
  const result = await find(deps, optionsOf(proc, await ownHistory(proc)), ctx);
  proc.print(config.output === "json" ? `${renderJson(findJson(result))}\n` : findText(result, config.find.targetForm));
  return 0;
};

/** @throws optionInvalidValue for times that are invalid or in the wrong order */
function optionsOf(proc: CommandProcess, server: FindOptions["server"]): FindOptions {
  const { config, ctx } = proc;
  const { find: own, pgs, repoIndex } = config;
  const nowUs = BigInt(Math.ceil(ctx.clock.nowMs())) * 1000n;
  const toUs = own.to === undefined ? nowUs : timeUs("to", own.to, nowUs);
  const fromUs = own.from === undefined ? toUs - HOUR_US : timeUs("from", own.from, toUs);
  if (fromUs > toUs)
    throw fail("optionInvalidValue", `'${own.from}' is not valid for 'from' option: it is after the end`);
  const walDirectory = pgs.length === 0 ? null : proc.walDirectory;
  const { kind, limit, timeline } = own;
  const database = findDatabase(config);
  const table = own.table === undefined ? undefined : plainName(own.table);
  return { fromUs, toUs, database, kind, limit, table, timeline, server, repoIndex, walDirectory };
}

/** Undefined without the option. @throws optionInvalid (31) for several */
export function findDatabase({ command, databases }: Config): string | undefined {
  if (databases.length > 1)
    throw fail("optionInvalid", `option 'database' cannot be set multiple times for the ${command} command`);
  return databases[0];
}

/** @throws optionInvalidValue */
export function timeUs(option: string, text: string, beforeUs: bigint): bigint {
  try {
    return parseTimeOrAge(text, beforeUs);
  } catch (error) {
    if (!isError(error, "format")) throw error;
    throw fail("optionInvalidValue", `'${text}' is not valid for '${option}' option`, {
      hint: "A time is YYYY-MM-DD HH:MM:SS, with a zone such as +00 unless it is local; YYYY-MM-DD; or an age: 90m, 2h, 1d.",
    });
  }
}

/** Accepts a name quoted as in SQL, or as find prints it. */
function plainName(text: string): string {
  return text.replace(/"((?:[^"]|"")+)"/g, (_whole, name: string) => name.replaceAll('""', '"'));
}
