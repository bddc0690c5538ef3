/** The server that `dump` reads: a configured one of this machine, or a Cluster of CloudNativePG behind its Service. */
import { type DumpPrograms, findPrograms } from "../../postgres/programs";
import { loadControlFile } from "../../postgres/controlFile";
import { openThroughService, type ServiceRequest } from "../../postgres/clusterService";
import { majorVersion } from "../../postgres/versions";
import { chooseServers } from "../../operations/backup/chooseServers";
import { slotArchivingOf } from "../../operations/slot/readyDirectory";
import type { DumpedServer } from "../../operations/dump/logicalDump";
import type { CommandProcess } from "../../process/commandProcess";
import type { ProgramLogin } from "../recovery/throughService";

/** @throws dbConnect; fileMissing without its programs */
export async function localServer(proc: CommandProcess): Promise<DumpedServer> {
  const { config, container, ctx } = proc;
  // Programs in a container reach only its own server.
  const mode = container === undefined ? config.backup.standby : "n";
  const choice = { mode, standbyAlone: slotArchivingOf(config)?.onStandby === true };
  const { main, standby } = await chooseServers(proc.servers(), choice, ctx);
  const { dataDirectory, facts, session } = standby ?? main;
  const { control } = await loadControlFile(dataDirectory, ctx);
  return {
    session,
    address: container === undefined ? session.address : await session.ownAddress(),
    programs: await serverPrograms(proc, control.pgVersion),
    cluster: { version: control.pgVersion, systemId: control.systemId },
    versionNum: facts.versionNum,
    isSuperuser: true,
  };
}

/** Programs of the configured server's version, or of its container. @throws fileMissing (55) */
export async function serverPrograms(
  { config, container, ctx }: CommandProcess,
  version: string,
): Promise<DumpPrograms> {
  return (await container?.findOwnPrograms(version, ctx.signal)) ?? findPrograms(version, config.binPath, ctx.signal);
}

/** The caller closes its session. @throws dbConnect; fileMissing without its programs */
export async function serviceServer(
  { config, ctx }: CommandProcess,
  service: ServiceRequest,
  { environment, isSuperuser, user }: ProgramLogin,
): Promise<DumpedServer> {
  const session = await openThroughService(service, undefined);
  try {
    // Where its data are is no business of an application's role.
    const { rows } = await session.query(
      "select current_setting('server_version_num')::int4 as version_num, system_identifier::text as system_id from pg_catalog.pg_control_system()",
    );
    const { system_id, version_num } = rows[0] as { system_id: string; version_num: number };
    const version = majorVersion(version_num);
    const programs = await findPrograms(version, config.binPath, ctx.signal);
    ctx.log.info(`production: ${service.host} as ${user}`);
    if (!isSuperuser)
      ctx.log.warn(
        `${user} is no superuser: the dump has no passwords of roles, and by default only the databases that ${user} owns. ` +
          "enableSuperuserAccess of the Cluster changes that",
      );
    return {
      session,
      address: session.address,
      programs: {
        directory: programs.directory,
        has: (name) => programs.has(name),
        command: (name, args) => [...environment, ...programs.command(name, args)],
      },
      cluster: { version, systemId: BigInt(system_id) },
      versionNum: version_num,
      isSuperuser,
    };
  } catch (error) {
    await session.close();
    throw error;
  }
}
