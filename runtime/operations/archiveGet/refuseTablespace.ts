/**
 * Keeps a recovery from another server's tablespaces: PostgreSQL takes the directory that the WAL names, even if a
 * server of this machine has its files there, and overwrites them with older pages.
 */
import { fail, isError } from "../../base/errors";
import { SEGMENT_NAME } from "../../format/wal/walSegment";
import { findNewTablespace, type NewTablespace } from "../../format/wal/walTablespace";
import { open, readSync, rm } from "../../local/nodeFiles";
import { otherServers, resolved, tablespacesOf } from "../../postgres/runningServers";

export interface RecoveringServer {
  readonly dataDirectory: string;
  /** Next to production, as a drill's: no tablespace at all. */
  readonly refusesAll: boolean;
  /** True when a file of this name is in the data directory. */
  exists(name: string): Promise<boolean>;
  /** Default: /proc. */
  readonly processes?: string;
}

/**
 * Nothing is refused to a server that runs, which has such tablespaces already, nor in a file that is no segment.
 * @param path the fetched file
 * @throws tablespaceMap (76) if the segment creates a tablespace where another server has its own, or any if the server
 *   refuses all; versionNotSupported (83) if that cannot be seen; the file is gone then
 */
export async function refuseTablespace(path: string, walName: string, server: RecoveringServer): Promise<void> {
  if (!SEGMENT_NAME.test(walName)) return;
  const { exists, refusesAll } = server;
  if (!refusesAll && !(await exists("recovery.signal")) && !(await exists("standby.signal"))) return;
  let created: NewTablespace | null;
  try {
    created = await createdIn(path, refusesAll);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
  if (created === null) return;
  const owner = refusesAll ? null : await findOwner(created, server);
  if (owner === null && !refusesAll) return;
  await rm(path, { force: true });
  const where = created.path === null ? "" : ` in '${created.path}'`;
  const fact = owner === null ? "which may be production's" : `which the server of '${owner}' uses`;
  throw fail(
    "tablespaceMap",
    `${walName} creates a tablespace${where}: this server would use that directory, ${fact}`,
    {
      hint: "Take a backup, which has the tablespace, and use it. Or recover to a time before this WAL.",
    },
  );
}

/** @throws versionNotSupported for WAL that only a newer server can read, if all tablespaces are refused */
async function createdIn(path: string, refusesAll: boolean): Promise<NewTablespace | null> {
  const handle = await open(path, "r");
  try {
    const { size } = await handle.stat();
    let buffer = Buffer.alloc(0);
    const read = (offsetBytes: number, sizeBytes: number): Uint8Array => {
      if (buffer.length < sizeBytes) buffer = Buffer.allocUnsafeSlow(sizeBytes);
      return buffer.subarray(0, readSync(handle.fd, buffer, 0, sizeBytes, offsetBytes));
    };
    return findNewTablespace({ sizeBytes: size, read });
  } catch (error) {
    if (refusesAll && isError(error, "versionNotSupported")) throw error;
    // Damaged, or of a version to come: PostgreSQL refuses the first, and the guard must not keep it from the second.
    return null;
  } finally {
    await handle.close();
  }
}

/**
 * Data directory of another running server, of this account and version, with a tablespace there; else null. An unknown
 * path may be that of any tablespace.
 */
async function findOwner(
  { path, pgVersion }: NewTablespace,
  { dataDirectory, processes }: RecoveringServer,
): Promise<string | null> {
  const wanted = path === null ? null : await resolved(path);
  for (const server of await otherServers(dataDirectory, processes)) {
    if (server.pgVersion !== pgVersion) continue;
    const locations = await tablespacesOf(server);
    if (locations.some((location) => wanted === null || location === wanted)) return server.dataDirectory;
  }
  return null;
}
