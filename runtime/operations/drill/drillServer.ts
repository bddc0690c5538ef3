/** Makes an isolated, harmless server from restored files, and starts it. */
import { chown, mkdir, readFile, rm, writeFile } from "../../local/nodeFiles";
import { nullIfMissing } from "../../local/systemError";
import { formatLocalSeconds } from "../../base/clock";
import { utf8 } from "../../base/bytes";
import type { Context } from "../../base/context";
import {
  type PgControl,
  type RecoveryLimits,
  recoveryLimitsOf,
  tracksCommitTimestamp,
} from "../../format/page/pgControl";
import { atomicWrite } from "../../local/atomicWrite";
import { loadControlFile, loadRecoveryLimits } from "../../postgres/controlFile";
import type { Programs } from "../../postgres/programs";
import { SideServer } from "../../postgres/sideServer";
import { readConfig } from "../shared/configFiles";
import { type RecoveryRequest, recoveryFiles } from "../restore/recovery";
import { higherLimits, withLimits } from "../restore/recoveryGuards";
import { changeAutoConf } from "../restore/recoverySettings";
import { settingIn } from "../shared/settingsText";
import { HBA_TEXT, librariesIn, neutralSettings } from "./neutral";
import type { Scratch } from "./scratch";
import type { Repository } from "../../repository/repository";
import { type RestoreDeps, type RestoreOptions, type RestoreOutcome, restore } from "../restore/restore";

export interface ServerRequest {
  readonly scratch: Scratch;
  /** They have the backup's version. */
  readonly programs: Programs;
  readonly user: string;
  readonly database: string;
  readonly recovery: RecoveryRequest;
  /** Production's value of `shared_preload_libraries`; undefined reads the restored configuration. */
  readonly preload: string | undefined;
  readonly port: number;
  /** What lets clients in; undefined lets nobody in but the account and root. */
  readonly clients?: { readonly settings: string; readonly access: string } | undefined;
}

export interface PreparedServer {
  readonly server: SideServer;
  readonly programs: Programs;
  readonly control: PgControl;
  readonly dataDirectory: string;
  readonly socketDirectory: string;
}

/** No query of a drill takes longer than a day; the drill's own limit is shorter. */
const QUERY_TIMEOUT_MS = 86_400_000;

export async function prepareServer(request: ServerRequest, ctx: Context): Promise<PreparedServer> {
  const { clients, port, programs, scratch } = request;
  const { account, dataDirectory, path, socketDirectory } = scratch;
  const { control, header } = await loadControlFile(dataDirectory, ctx);
  const limits = recoveryLimitsOf(header);
  const trackCommitTimestamp = tracksCommitTimestamp(header);
  const preload = await usableLibraries(request.preload ?? (await restoredPreload(dataDirectory)), programs, ctx);
  const major = Number(control.pgVersion);
  const neutral = neutralSettings({ major, path, socketDirectory, port, limits, trackCommitTimestamp, preload });
  const recovery = recoveryFiles(request.recovery, "", formatLocalSeconds(ctx.clock.nowMs())).autoConf ?? "";
  // The restored file is replaced completely: production's settings do not apply here.
  const autoConf = `${dataDirectory}/postgresql.auto.conf`;
  await atomicWrite(autoConf, utf8(`${neutral}${clients?.settings ?? ""}${recovery}`), { mode: 0o600 });
  await rm(`${dataDirectory}/standby.signal`, { force: true });
  const configFile = `${path}/postgresql.conf`;
  for (const [name, text] of [
    [configFile, ""],
    [`${path}/hba.conf`, clients?.access ?? HBA_TEXT],
    [`${path}/ident.conf`, ""],
  ] as const)
    await writeFile(name, text, { mode: 0o600 });
  // Backups exclude these directories, and PostgreSQL does not create all of them.
  const archiveStatus = `${dataDirectory}/pg_wal/archive_status`;
  await mkdir(archiveStatus, { recursive: true, mode: 0o700 });
  if (account !== null)
    for (const made of [autoConf, configFile, `${path}/hba.conf`, `${path}/ident.conf`, archiveStatus])
      await chown(made, account.uid, account.gid);
  const options = {
    programs,
    dataDirectory,
    configFile,
    socketDirectory,
    port,
    logFile: scratch.logFile,
    queryTimeoutMs: QUERY_TIMEOUT_MS,
    raiseLimits: limitRaiser(scratch, limits, ctx),
  };
  const server = SideServer.start({ ...options, user: request.user, database: request.database });
  return { server, programs, control, dataDirectory, socketDirectory };
}

/** Restores a backup into the scratch directory; the server's recovery is set by {@link prepareServer}. */
export function restoreScratch(
  repos: readonly Repository[],
  scratch: Scratch,
  { self, ...deps }: RestoreDeps & Pick<RestoreOptions, "self">,
  options: Pick<RestoreOptions, "set" | "recovery"> & Partial<RestoreOptions>,
  ctx: Context,
): Promise<RestoreOutcome> {
  const { dataDirectory, spool: spoolPath, tablespaces: tablespaceMapAll } = scratch;
  const maps = { dataDirectory, tablespaceMap: {}, tablespaceMapAll, linkMap: {}, linkAll: false };
  const choices = {
    delta: false,
    force: false,
    databaseInclude: [],
    databaseExclude: [],
    checksumPageError: true,
    server: null,
    ...options,
  };
  return restore(repos, deps, { ...maps, ...choices, spoolPath, self }, ctx);
}

/** Limits that replay has raised since the last start. The server's other two are 0, so that no worker runs. */
function limitRaiser({ account, dataDirectory }: Scratch, begun: RecoveryLimits, ctx: Context): () => Promise<boolean> {
  let given = begun;
  return async () => {
    const needed = await loadRecoveryLimits(dataDirectory, ctx);
    const { max_worker_processes: _, max_wal_senders: __, ...higher } = higherLimits(needed, given);
    if (Object.keys(higher).length === 0) return false;
    given = { ...given, ...higher };
    await changeAutoConf(dataDirectory, (text) => withLimits(text, higher), account);
    return true;
  };
}

async function restoredPreload(dataDirectory: string): Promise<string> {
  const files = await readConfig(`${dataDirectory}/postgresql.conf`, "settings");
  const auto = (await nullIfMissing(readFile(`${dataDirectory}/postgresql.auto.conf`, "utf8"))) ?? "";
  const texts = [...files.map(({ content }) => Buffer.from(content).toString("utf8")), auto];
  return settingIn("shared_preload_libraries", texts) ?? "";
}

/** A server does not start with a missing library; its data may be readable without it. */
async function usableLibraries(value: string, programs: Programs, ctx: Context): Promise<string[]> {
  const usable: string[] = [];
  for (const name of librariesIn(value))
    if (await programs.hasLibrary(name)) usable.push(name);
    else
      ctx.log.info(
        `drill: library ${name} of shared_preload_libraries is not installed here; the server starts without it`,
      );
  return usable;
}
