/** What is wrong with where a container keeps its data, although it works today. Pure. */
import { fail } from "../../base/errors";
import { type ContainerFacts, type ContainerMount, isAnonymous } from "./inspect";
import { mountOf } from "./serverPaths";

/**
 * Warnings about the data directory of `container`.
 * @param running all containers that run
 * @throws pgRunning (38) if another one has the same files
 */
export function checkData(
  container: ContainerFacts,
  dataDirectory: string,
  running: readonly ContainerFacts[],
): string[] {
  const mount = mountOf(container, dataDirectory);
  if (mount === null || mount.kind === "tmpfs") return [];
  const others = running.filter(
    ({ id, mounts }) => id !== container.id && mounts.some(({ source }) => overlaps(source, mount.source)),
  );
  const servers = others.filter(
    (other) => other.image === container.image || other.environment["PGDATA"] !== undefined,
  );
  if (servers.length > 0)
    throw fail(
      "pgRunning",
      `containers '${container.name}' and '${servers.map(({ name }) => name).join("', '")}' have the same data, '${mount.source}'`,
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

function overlaps(left: string, right: string): boolean {
  return left !== "" && (left === right || left.startsWith(`${right}/`) || right.startsWith(`${left}/`));
}
