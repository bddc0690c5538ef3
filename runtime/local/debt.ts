/**
 * Durable records of missing WAL: acknowledged files that a repository lacks, and deliberately dropped files.
 *
 * One empty file per repository, cluster and WAL file,
 * `<spool-path>/pgbackstop/<stanza>/debt/repo<N>/<version>-<system id>/<wal file name>`. It is durable before the
 * acknowledgement and removed once the repository holds the file. The path contains the cluster, because WAL file names
 * start over after an upgrade. `dropped/` has the same layout. Stock's spool (`<spool-path>/archive/<stanza>`) is not
 * used: stock removes all of it at restore.
 */
import { closeSync, type Dirent, fsyncSync, mkdirSync, openSync, readdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { isMissing, systemError } from "./systemError";

/** Identifies a cluster in directory names. */
export interface DebtCluster {
  readonly version: string;
  readonly systemId: bigint;
}

export interface DebtStore {
  /** Durable when it returns. */
  add(repoKey: number, walName: string, cluster: DebtCluster): void;
  /** Names, ascending: of one cluster, or of all. */
  list(repoKey: number, cluster?: DebtCluster): string[];
  /** Clusters with missing WAL in the repository. */
  clusters(repoKey: number): DebtCluster[];
  /** Keys of the repositories with missing WAL, ascending. */
  repoKeys(): number[];
  remove(repoKey: number, walName: string, cluster: DebtCluster): void;
  /** Records that PostgreSQL may remove a file that no repository holds. Durable when it returns. */
  addDropped(repoKey: number, walName: string, cluster: DebtCluster): void;
  /** Like {@link list}, for dropped files. */
  listDropped(repoKey: number, cluster?: DebtCluster): string[];
}

const CLUSTER_NAME = /^(\d+(?:\.\d+)?)-(\d+)$/;

export function openDebt(spoolPath: string, stanza: string): DebtStore {
  const base = `${spoolPath}/pgbackstop/${stanza}`;
  const debt = openNames(`${base}/debt`);
  const dropped = openNames(`${base}/dropped`);
  return {
    add: debt.add,
    list: debt.list,
    clusters: debt.clusters,
    repoKeys: () =>
      readEntries(`${base}/debt`)
        .filter((entry) => /^repo\d+$/.test(entry.name))
        .map((entry) => Number(entry.name.slice("repo".length)))
        .filter((repoKey) => debt.list(repoKey).length > 0)
        .sort((left, right) => left - right),
    remove: debt.remove,
    addDropped: dropped.add,
    listDropped: dropped.list,
  };
}

type NameStore = Pick<DebtStore, "add" | "list" | "clusters" | "remove">;

function openNames(root: string): NameStore {
  const repoPath = (repoKey: number): string => `${root}/repo${repoKey}`;
  const clusterPath = (repoKey: number, { version, systemId }: DebtCluster): string => `${repoPath(repoKey)}/${version}-${systemId}`;
  const clusters = (repoKey: number): DebtCluster[] =>
    readEntries(repoPath(repoKey)).flatMap((entry) => {
      const match = CLUSTER_NAME.exec(entry.name);
      return entry.isDirectory() && match !== null ? [{ version: match[1] as string, systemId: BigInt(match[2] as string) }] : [];
    });
  return {
    clusters,
    add(repoKey, walName, cluster) {
      const directory = clusterPath(repoKey, cluster);
      try {
        const made = mkdirSync(directory, { recursive: true, mode: 0o750 });
        closeSync(openSync(`${directory}/${walName}`, "w", 0o640));
        // Each new directory is a name in its parent; a directory that a killed process has made is synced here too.
        const top = made === undefined || made.length > root.length ? root : dirname(made);
        for (let path = directory; path.length >= top.length; path = dirname(path)) syncDirectory(path);
      } catch (error) {
        throw systemError("fileWrite", `record in '${directory}' that repo${repoKey} lacks ${walName}`, directory, error);
      }
    },
    list(repoKey, cluster) {
      const of = cluster === undefined ? clusters(repoKey) : [cluster];
      const names = of.flatMap((each) => readEntries(clusterPath(repoKey, each)).map((entry) => entry.name));
      return names.sort();
    },
    remove(repoKey, walName, cluster) {
      rmSync(`${clusterPath(repoKey, cluster)}/${walName}`, { force: true });
    },
  };
}

function syncDirectory(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function readEntries(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw systemError("pathOpen", `list '${directory}'`, directory, error);
  }
}
