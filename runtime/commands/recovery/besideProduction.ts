/** A server next to production: where its files are, as whom and with which programs it runs. */
import { fail } from "../../base/errors";
import { given } from "../../base/given";
import { DRILL_PATH } from "../../config/settings";
import type { AskedDrill } from "../../operations/drill/askedDrill";
import { type DrillPrograms, programsOfHost, programsOfImage } from "../../operations/drill/drillPrograms";
import { serverAccount } from "../../operations/recover/hostFacts";
import type { ClusterAccess, CommandProcess, Invocation, ProgramAccess } from "../../process/commandProcess";
import { ownArchiveGet } from "./restore";

/**
 * Programs for a server next to production: this machine's, or those of its container's image.
 * @throws runtime as root without a container; userMissing (89)
 */
export function programsOf(proc: CommandProcess): DrillPrograms {
  const { config, container, users } = proc;
  if (container === undefined) {
    if (proc.self.uid === 0)
      throw fail("runtime", `${config.command} cannot run as root, because PostgreSQL refuses root`, {
        hint: "Run it as PostgreSQL's account.",
      });
    return programsOfHost(config.binPath, (key, dataDirectory) => restoreCommandLine(proc, key, dataDirectory));
  }
  const account = serverAccount(null, users.findUid, users.findGid);
  if (account === null)
    throw fail("userMissing", "the owner of the container's data directory is unknown, because the directory is gone", {
      hint: "Restore production first: pgbackstop recover.",
    });
  const source = { repos: proc.repositories(), timeoutMs: config.archive.timeoutMs };
  return programsOfImage(container, account, source);
}

/** Role of a server next to production: the superuser. */
export function sideUser({ config, container, self, users }: CommandProcess): string {
  const [pg] = config.pgs;
  return pg?.user ?? container?.superuser ?? users.userName(self.uid) ?? "postgres";
}

/** @throws optionInvalidValue for a path in a data directory */
export function requireOutsideData(
  proc: Invocation & Pick<ClusterAccess, "container" | "dataDirectory">,
  option: string,
  path: string,
  hint?: string,
): void {
  const directories = proc.container === undefined ? proc.config.pgs.map((pg) => pg.path) : [proc.dataDirectory];
  const inside = directories.find((directory) => `${path}/`.startsWith(`${directory}/`));
  if (inside === undefined) return;
  const fact = `'${path}' is not valid for '${option}' option: it is in the data directory '${inside}'`;
  throw fail("optionInvalidValue", fact, given({ hint }));
}

/**
 * The file system of the data directory most likely has space for a copy. Beside a container's there may be a folder of
 * its engine.
 */
function usualPath(proc: Invocation & Pick<ClusterAccess, "container" | "dataDirectory">): string | undefined {
  if (proc.config.pgs.length === 0) return undefined;
  return proc.container === undefined ? `${proc.dataDirectory}-drill` : DRILL_PATH;
}

export function drillPathOf(
  proc: Invocation & Pick<ClusterAccess, "container" | "dataDirectory">,
  asked: Pick<AskedDrill, "path">,
): string {
  const { config } = proc;
  const path = config.drill.path ?? asked.path ?? usualPath(proc);
  if (path === undefined)
    throw fail("optionRequired", "drill command requires option: drill-path", { hint: "Its default needs pg1-path." });
  requireOutsideData(proc, "drill-path", path, "Choose a directory beside it.");
  return path.length > 1 ? path.replace(/\/+$/, "") : path;
}

/**
 * From one repository, or from all when none is named; at this process's clock, without production's spool. A
 * tablespace that the WAL creates would be production's.
 */
export function restoreCommandLine(
  proc: Invocation & ProgramAccess,
  repoIndex: number | undefined,
  dataDirectory: string,
): string {
  const { config } = proc;
  const carried = config.carriedOptions.filter(
    (arg) => !/^--(pg1-path|repo|archive-async|no-archive-async|log-level-file)(=|$)/.test(arg),
  );
  const own = [
    `--pg1-path=${dataDirectory}`,
    ...(repoIndex === undefined ? [] : [`--repo=${repoIndex}`]),
    `--stanza=${config.stanza ?? ""}`,
    "--no-archive-async",
    "--log-level-file=off",
    "--log-level-console=warn",
    "--refuse-tablespace",
  ];
  return ownArchiveGet(proc, [...carried, ...own]);
}
