/**
 * `extract-table`: restores an earlier version of a table or schema into production, alongside the current one or in
 * its place; exit 0 also when the user declines the swap.
 */
import { fail } from "../../base/errors";
import { formatSize } from "../../base/units";
import { acquireLock } from "../../local/lockFile";
import { drillId } from "../../operations/drill/record";
import { cleanScratch, prepareRoot } from "../../operations/drill/scratch";
import { programsOfHost } from "../../operations/drill/drillPrograms";
import type { SideServerAccess } from "../../operations/extract/restoredSide";
import { loadState } from "../../operations/open/openLocation";
import { findPrograms, type Programs } from "../../postgres/programs";
import { extract, type ExtractDeps, type ExtractOptions } from "../../operations/extract/extract";
import { parseTableName } from "../../operations/extract/tableObjects";
import { agreed } from "./agree";
import { drillPathOf, programsOf, sideUser } from "./besideProduction";
import { serviceOf, withService } from "./throughService";
import { ownHistory } from "../ownHistory";
import { OWN_PORT, OwnOpened } from "./ownOpened";
import { findDatabase } from "./find";
import { asAccountArgs } from "./recoverTools";
import type { Command, CommandProcess } from "../../process/commandProcess";

export const extractTableCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const { stanza = "" } = config;
  const root = drillPathOf(proc, {});
  const options = optionsOf(proc, root, await ownHistory(proc));
  if (options.swap && !config.recover.yes && !config.dryRun && !proc.isInteractive)
    throw fail(
      "optionRequired",
      "extract-table --swap changes production and needs confirmation, but there is no terminal: nothing was changed",
      {
        hint: "--yes confirms the swap; it still requires that the copied rows are identical to those of the backup.",
      },
    );
  if (config.extract.open) return extractFromOpened(proc, options);
  const programs = programsOf(proc);
  const service = serviceOf(proc, "extract-table");
  await prepareRoot(root);
  const { execId, pid } = proc.process;
  // Drills use the same directory and port, and clean up.
  const lock = acquireLock({ lockPath: root, stanza, kind: "drill", execId, pid });
  try {
    await cleanScratch(root, stanza, programs, ctx);
    await withService(service, ctx, (production) =>
      extract({ ...depsOf(proc), programs, ...production }, options, ctx),
    );
    return 0;
  } finally {
    lock.release();
  }
};

/** As root: the server's programs run as its account. */
async function extractFromOpened(proc: CommandProcess, options: ExtractOptions): Promise<number> {
  const { config, container, ctx } = proc;
  if (container !== undefined)
    throw fail("optionInvalid", "extract-table has --open only for a server that runs on this machine", {
      hint: "Omit --open: the backup is restored into a container of the server's image.",
    });
  const opened = await OwnOpened.begin(proc, ["past"]);
  const { account, user } = opened;
  const find = (major: string): Promise<Programs> =>
    findPrograms(major, config.binPath, ctx.signal, asAccountArgs(account));
  const openSide = async (label: string): Promise<SideServerAccess> => {
    proc.print("opening the backup, and recovering to the target\n");
    const location = await opened.open("past", { set: label, restore: config.restore });
    return {
      programs: await find((await loadState(location))?.backup?.pgVersion ?? ""),
      socketDirectory: location.folder,
      port: OWN_PORT,
      connect: (database) => opened.connect(location, database),
      end: async () => {
        const { fetchedBytes, totalBytes } = await opened.fetched(location);
        proc.print(`fetched ${formatSize(fetchedBytes)} of ${formatSize(totalBytes)} of the backup\n`);
      },
    };
  };
  try {
    const programs = { ...programsOfHost(config.binPath, () => ""), find };
    const deps = { ...depsOf(proc), programs, openSide, openProduction: opened.production.bind(opened) };
    await extract(deps, { ...options, user }, ctx);
    return 0;
  } finally {
    await opened.end();
  }
}

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
function optionsOf(proc: CommandProcess, root: string, server: ExtractOptions["server"]): ExtractOptions {
  const { config, ctx } = proc;
  const { as, libraryPath, schema, swap } = config.extract;
  const { toFile } = config;
  const { table } = config.find;
  const database = findDatabase(config);
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
  if (config.extract.open && libraryPath !== undefined)
    throw fail("optionInvalid", "option 'library-path' is not valid together with 'open'");
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
    server,
    libraryPath,
    recovery: { ...config.restore, targetAction: "promote", archiveMode: "off", restoreCommand: "", options: {} },
    user: sideUser(proc),
    maxBytes: config.drill.maxBytes,
    archiveTimeoutMs: config.archive.timeoutMs,
  };
}
