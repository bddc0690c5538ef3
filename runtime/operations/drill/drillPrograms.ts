/**
 * Whose programs a drill's server has: those of this machine, or those of the image if production runs in a container.
 */
import type { AccountIds } from "../../local/actAs";
import { readFile } from "../../local/nodeFiles";
import { nullIfMissing } from "../../local/systemError";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import type { ContainerServer } from "../../postgres/container/serverContainer";
import { findPrograms, type Programs } from "../../postgres/programs";
import { loadControlFile } from "../../postgres/controlFile";
import type { Repository } from "../../repository/repository";
import { archiveGetInTime } from "../archiveGet/archiveGet";
import type { Scratch } from "./scratch";
import { offerWal, type WalOffer } from "./walOffer";

export interface DrillPrograms {
  /** Account of the server; null is this process's. */
  readonly account: AccountIds | null;
  /** Programs of a major version that see the drill's directory. @throws fileMissing */
  find(major: string, directory: string, signal: AbortSignal): Promise<Programs>;
  /** Stops the server that a killed drill left in its directory. @throws pgRunning (38) */
  endLeft(directory: string, ctx: Context): Promise<void>;
  /** WAL for the server: of one repository, or of all. */
  offerWal(scratch: Scratch, repoIndex: number | undefined, ctx: Context): Promise<WalOffer>;
}

/** @param restoreCommand takes a repository key, or undefined for all, and a data directory */
export function programsOfHost(
  binPath: string | undefined,
  restoreCommand: (repoIndex: number | undefined, dataDirectory: string) => string,
): DrillPrograms {
  return {
    account: null,
    find: (major, _directory, signal) => findPrograms(major, binPath, signal),
    endLeft: (directory, ctx) => endServer(`${directory}/data`, binPath, ctx),
    offerWal: async ({ dataDirectory }, repoIndex) => ({
      restoreCommand: restoreCommand(repoIndex, dataDirectory),
      stop: async () => {},
    }),
  };
}

export interface WalSource {
  readonly repos: readonly Repository[];
  /** How long a repository that does not answer is asked again. */
  readonly timeoutMs: number;
}

/** @param account owner of the container's data directory */
export function programsOfImage(
  container: Pick<ContainerServer, "endPrograms" | "findPrograms">,
  account: AccountIds,
  { repos, timeoutMs }: WalSource,
): DrillPrograms {
  return {
    account,
    find: (major, directory, signal) => container.findPrograms(major, account, directory, signal),
    endLeft: (directory) => container.endPrograms(directory),
    async offerWal({ dataDirectory, path }, repoIndex, ctx) {
      const { control } = await loadControlFile(dataDirectory, ctx);
      const cluster = { version: control.pgVersion, systemId: control.systemId };
      const chosen = repos.filter(({ key }) => repoIndex === undefined || key === repoIndex);
      const get = (walName: string, destination: string): Promise<boolean> => {
        const options = { walName, destination, cluster, segmentSizeBytes: control.walSegmentSizeBytes };
        return archiveGetInTime(chosen, options, timeoutMs, ctx);
      };
      return offerWal(path, account, get, ctx);
    },
  };
}

/** pg_ctl knows whether the server of a data directory runs. @throws pgRunning when it cannot be stopped */
async function endServer(dataDirectory: string, binPath: string | undefined, ctx: Context): Promise<void> {
  const version = await nullIfMissing(readFile(`${dataDirectory}/PG_VERSION`, "utf8"));
  const pid = await nullIfMissing(readFile(`${dataDirectory}/postmaster.pid`, "utf8"));
  if (version === null || pid === null) return;
  try {
    const programs = await findPrograms(version.trim(), binPath, ctx.signal);
    const status = await programs.run("pg_ctl", ["status", "-D", dataDirectory], { signal: ctx.signal });
    if (status.code !== 0) return;
    const stop = await programs.run("pg_ctl", ["stop", "-D", dataDirectory, "-m", "immediate", "-w"], {
      signal: ctx.signal,
    });
    if (stop.code !== 0) throw fail("pgRunning", stop.stderr.trim());
  } catch (error) {
    throw fail(
      "pgRunning",
      `unable to stop the server of a killed drill in '${dataDirectory}': ${toBackupError(error).message}`,
      {
        path: dataDirectory,
      },
    );
  }
}
