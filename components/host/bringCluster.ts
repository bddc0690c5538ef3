/**
 * The cluster of a host without one: a new one only if no repository has the stanza. A rebuilt host has lost its
 * cluster, and an empty one in its place would serve clients before the stanza refuses it.
 */
import { shellArgument } from "../plan/host/hostCommand";
import type { Account, Connection, LogLine } from "./connection";
import { type Destination, destinationText } from "./hostDestinations";
import type { HostIdentity } from "./hostIdentity";
import type { LiveSettings } from "./postgresSettings";
import { createCluster, emptyClusterCommand, isUnfinished, type PostgresInput } from "./postgresInstall";
import { readDestinations, type RuntimeOnHost } from "./runtimeVerbs";

type Wanted = Pick<
  HostIdentity,
  "container" | "dataDirectory" | "directories" | "launcher" | "runtimeArgv" | "stanza"
> & { readonly postgres?: PostgresInput };

/** @throws Error if a repository has the stanza, or cannot say so; CommandFailed */
export async function bringCluster(runtime: RuntimeOnHost, wanted: Wanted, log: LogLine): Promise<void> {
  const { account, connection } = runtime;
  const { container, dataDirectory, directories, postgres } = wanted;
  if (container !== undefined) return;
  const creates = postgres?.install === true;
  if (
    (await hasCluster(connection, account, dataDirectory)) &&
    !(creates && (await isUnfinished(connection, directories.config)))
  )
    return;
  requireNoStanza(await readDestinations(runtime), wanted, connection.name);
  if (creates) await createCluster(connection, postgres, wanted, log);
}

/** Asked as PostgreSQL's account: root may not look into a file system of the network. */
async function hasCluster(connection: Connection, account: Account, dataDirectory: string): Promise<boolean> {
  return (await connection.exec(["test", "-e", `${dataDirectory}/PG_VERSION`], { account })).exitCode === 0;
}

/** @throws Error with the command that recovers the stanza there */
function requireNoStanza(destinations: readonly Destination[], wanted: Wanted, hostName: string): void {
  const { dataDirectory, postgres, stanza } = wanted;
  const holding = destinations.filter(({ cluster }) => cluster !== undefined);
  const best = holding.find(({ newestFull }) => newestFull !== null) ?? holding[0];
  if (best?.cluster !== undefined) {
    const { version } = best.cluster;
    const remedy =
      best.newestFull === null
        ? "No repository that can be read has a backup to recover it from."
        : postgres === undefined || version === String(postgres.version)
          ? `To recover it, run as root on ${hostName}, and then the update again:\n  ${recoverCommand(wanted)}`
          : `To recover it, set postgres.version to ${version}, and run the update again for the command.`;
    throw new Error(
      `${dataDirectory} on ${hostName} has no cluster, but stanza ${stanza} is that of a cluster of PostgreSQL ${version} (${destinationText(best)}): ` +
        `no cluster was created or started.\n${remedy}\nTo begin with an empty cluster, set stanza to another name.`,
    );
  }
  const unread = destinations.filter(({ error }) => error !== undefined);
  if (postgres?.install !== true || unread.length === 0) return;
  throw new Error(
    `${unread.map(destinationText).join("; ")}: whether a cluster is to be recovered from there is unknown, so none was created in ${dataDirectory} on ${hostName}: ` +
      "make it readable, or remove it from the program, and run the update again",
  );
}

/** Before any setting names the stanza. One that cannot be read is left to stanza-create. @throws Error */
export function requireOwnStanza(
  destinations: readonly Destination[],
  { systemId }: Pick<LiveSettings, "systemId">,
  wanted: Wanted,
): void {
  const { dataDirectory, stanza } = wanted;
  const other = destinations.find(({ cluster }) => cluster !== undefined && cluster.systemId !== systemId);
  if (other === undefined) return;
  throw new Error(
    `the server of ${dataDirectory} (system-id ${systemId}) is not the one of stanza ${stanza} (system-id ${other.cluster?.systemId}; ${destinationText(other)}): ` +
      `no setting was changed.\nTo recover the stanza's cluster in its place, stop the server, move its data directory away, and run as root:\n` +
      `  ${recoverArgv(wanted)}\nTo archive this server, set stanza to another name.`,
  );
}

function recoverArgv({ launcher, runtimeArgv }: Wanted): string {
  return [...(launcher === undefined ? runtimeArgv : [launcher]), "recover"].map(shellArgument).join(" ");
}

function recoverCommand(wanted: Wanted): string {
  const { dataDirectory, postgres } = wanted;
  if (postgres?.install !== true) return recoverArgv(wanted);
  return `${emptyClusterCommand(postgres, dataDirectory)} && ${recoverArgv(wanted)}`;
}
