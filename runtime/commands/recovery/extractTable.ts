/**
 * `extract-table`: restores an earlier version of a table or schema into production, alongside the current one or in
 * its place; exit 0 also when the user declines the swap.
 */
import { fail } from "../../base/errors";
import { acquireLock } from "../../local/lockFile";
import { drillId } from "../../operations/drill/record";
import { cleanScratch, prepareRoot } from "../../operations/drill/scratch";
import { extract, type ExtractDeps, type ExtractOptions } from "../../operations/extract/extract";
import { parseTableName } from "../../operations/extract/tableObjects";
import { agreed } from "./agree";
import { drillPathOf, programsOf, sideUser } from "./drill";
import type { Command, CommandProcess } from "../../process/commandProcess";

export const extractTableCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const { stanza = "" } = config;
  const programs = programsOf(proc);
  const root = drillPathOf(proc, {});
  const options = optionsOf(proc, root);
  if (options.swap && !config.recover.yes && !config.dryRun && !proc.isInteractive)
    throw fail(
      "optionRequired",
      "extract-table --swap changes production and needs confirmation, but there is no terminal: nothing was changed",
      {
        hint: "--yes confirms the swap; it still requires that the copied rows are identical to those of the backup.",
      },
    );
  await prepareRoot(root);
  const { execId, pid } = proc.process;
  // Drills use the same directory and port, and clean up.
  const lock = acquireLock({ lockPath: root, stanza, kind: "drill", execId, pid });
  try {
    await cleanScratch(root, stanza, programs, ctx);
    await extract({ ...depsOf(proc), programs }, options, ctx);
    return 0;
  } finally {
    lock.release();
  }
};

function depsOf(proc: CommandProcess): Omit<ExtractDeps, "programs"> {
  const { container } = proc;
  const pool = proc.pool();
  pool.warm?.();
  return {
    repos: proc.repositories(),
    pool,
    users: proc.users,
    self: proc.self,
    repoIndex: proc.config.repoIndex,
    psql: (side, args) => container?.command([`${side.directory}/psql`, ...args]) ?? side.command("psql", args),
    here: (path) => container?.view.here(path) ?? path,
    openProduction: (database) => proc.newSession(database),
    print: (text) => proc.print(text),
    agrees: (question) => agreed(proc, question),
  };
}

/** @throws optionInvalid, optionInvalidValue, optionRequired */
function optionsOf(proc: CommandProcess, root: string): ExtractOptions {
  const { config, ctx } = proc;
  const { as, schema, swap, toFile } = config.extract;
  const { database, table } = config.find;
  if (database === undefined) throw fail("optionRequired", "extract-table command requires option: database");
  const isWhole = table === undefined && schema === undefined && toFile !== undefined;
  if (!isWhole && (table === undefined) === (schema === undefined))
    throw fail("optionRequired", "extract-table command requires option: table, or else schema", {
      hint: "A whole database needs --to-file.",
    });
  const wanted = table === undefined ? { schema: schema ?? "", table: null } : parseTableName(table);
  if (toFile !== undefined && (swap || as !== undefined))
    throw fail(
      "optionInvalid",
      "option 'to-file' is not valid together with 'swap' or 'as': --to-file does not change production",
    );
  const restored = as ?? `${wanted.schema}_restored`;
  if (restored === wanted.schema)
    throw fail(
      "optionInvalidValue",
      `'${restored}' is not valid for 'as' option: the current version is in that schema`,
    );
  if (restored.startsWith("pg_") || Buffer.byteLength(restored) > 63)
    throw fail("optionInvalidValue", `'${restored}' is not valid for 'as' option`);
  const nowMs = ctx.clock.nowMs();
  const stamp = new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-:T]/g, "");
  return {
    stanza: config.stanza ?? "",
    id: drillId(nowMs, ctx.random.bytes(4)),
    root,
    wanted,
    isWhole,
    database,
    restored,
    swap,
    kept: `${(wanted.table ?? wanted.schema).slice(0, 30)}_before_${stamp}`,
    toFile,
    dryRun: config.dryRun,
    set: config.set,
    recovery: { ...config.restore, targetAction: "promote", archiveMode: "off", restoreCommand: "", options: {} },
    user: sideUser(proc),
    maxBytes: config.drill.maxBytes,
    archiveTimeoutMs: config.archive.timeoutMs,
  };
}
