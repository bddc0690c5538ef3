import { fail } from "../../base/errors";
import { findNewTablespace } from "../../format/wal/walTablespace";
import { readFile, rm } from "../../local/nodeFiles";

/**
 * For servers next to production: a drill's, an opened backup's.
 * @param path a fetched segment
 * @throws tablespaceMap (76) if the segment creates a tablespace; the file is gone then
 */
export async function refuseTablespace(path: string, walName: string, pgVersion: string): Promise<void> {
  const created = findNewTablespace(await readFile(path), Number(pgVersion));
  if (created === null) return;
  await rm(path, { force: true });
  const where = created.path === null ? "" : ` in '${created.path}'`;
  throw fail(
    "tablespaceMap",
    `${walName} creates a tablespace${where}: this server would use that directory, which may be production's`,
    { hint: "Take a backup, which has the tablespace, and use it. Or recover to a time before this WAL." },
  );
}
