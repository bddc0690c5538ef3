/** What is wrong with where a container keeps its data, although it works today. Pure. */
import { fail } from "../../base/errors";
import type { Postmaster } from "../runningServers";
import { type ContainerFacts, type ContainerMount, isAnonymous } from "./inspect";
import { mountOf } from "./serverPaths";

/**
 * Warnings about the data directory of `container`.
 * @param others where other servers run on that very directory
 * @throws pgRunning (38) if there are some
 */
export function checkData(container: ContainerFacts, dataDirectory: string, others: readonly string[]): string[] {
  const mount = mountOf(container, dataDirectory);
  if (mount === null || mount.kind === "tmpfs") return [];
  if (others.length > 0)
    throw fail(
      "pgRunning",
      `servers in container '${container.name}' and in ${others.join(", ")} have the same data, '${mount.source}'`,
      { hint: "Two servers destroy one data directory. Stop the one that does not belong there." },
    );
  const { driver = "local", source, volume = "" } = mount;
  return [
    ...(isAnonymous(mount)
      ? [
          `the data of container '${container.name}' are in a volume without a name (${volume.slice(0, 12)}…), which 'down --volumes' and 'rm --volumes' remove: give it a name in the Compose file`,
        ]
      : []),
    ...(driver === "local"
      ? []
      : [`volume '${volume}' is one of driver '${driver}': backups need its files on this machine, at '${source}'`]),
  ];
}

/**
 * Postmasters of one directory besides the container's own, by container or by process.
 * @param own namespace of the container
 * @param containers other running ones
 */
export function otherServersOf(
  own: string,
  postmasters: readonly Postmaster[],
  containers: readonly { readonly name: string; readonly namespace: string }[],
): string[] {
  const mine = postmasters.find(({ namespace }) => namespace === own);
  return postmasters
    .filter((postmaster) => postmaster !== mine)
    .map(({ namespace, pid }) => {
      const container = containers.find((each) => each.namespace === namespace);
      return container === undefined ? `process ${pid}` : `container '${container.name}'`;
    });
}

/** The key of pgsodium and of Vault in Supabase's images. */
export const ROOT_KEY = "/etc/postgresql-custom/pgsodium_root.key";

/** What a restored server needs besides its backups, if a container has {@link ROOT_KEY}. */
export function keyWarning(container: ContainerFacts): string {
  const kind = mountOf(container, ROOT_KEY)?.kind ?? "tmpfs";
  return (
    `'${ROOT_KEY}' of container '${container.name}' is in no backup: without it, a restored server cannot decrypt what pgsodium or Vault has encrypted. ` +
    `Keep a copy of it elsewhere${kind === "tmpfs" ? "; it is in no volume, and lost with the container" : ""}`
  );
}

/**
 * Why a container does not start, and the way out, if its image is of another major version than its data.
 * @param major of the data
 */
export function versionFault({ environment, image }: ContainerFacts, major: string): readonly [string, string] | null {
  const own = environment["PG_MAJOR"] ?? "";
  if (!/^\d+$/.test(own) || !/^\d+$/.test(major) || own === major) return null;
  return [
    `its image ${image} has PostgreSQL ${own}, its data are of PostgreSQL ${major}`,
    `Go back to an image of PostgreSQL ${major}: nothing is lost, and backups go on. To upgrade, see docs/hosts/containers.md.`,
  ];
}

/** Names of other running containers that may write into the data directory of `container`. */
export function writersOf(
  container: ContainerFacts,
  dataDirectory: string,
  running: readonly ContainerFacts[],
): string[] {
  const data = mountOf(container, dataDirectory)?.source ?? "";
  // One that has a directory above it has much of this machine, and is its administrator's tool.
  const writes = ({ readOnly, source }: ContainerMount): boolean =>
    data !== "" && readOnly !== true && (source === data || source.startsWith(`${data}/`));
  return running.filter(({ id, mounts }) => id !== container.id && mounts.some(writes)).map(({ name }) => name);
}
