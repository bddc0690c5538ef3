/**
 * Durable records of missing WAL: acknowledged files that a repository lacks, conflicts (the archive has other bytes
 * under a file's name), and deliberately dropped files.
 *
 * One file per repository, cluster and WAL file,
 * `<spool-path>/pgbackstop/<stanza>/missing/repo<N>/<version>-<system id>/<wal file name>`. It is durable before the
 * acknowledgement and removed once the repository holds the file. Its content is the SHA-1 of this server's bytes, so
 * that they stay known after PostgreSQL has removed them; it is empty where nobody had read them. The path contains the
 * cluster, because WAL file names start over after an upgrade. `conflict/` and `dropped/` have the same layout. Stock's
 * spool (`<spool-path>/archive/<stanza>`) is not used: stock removes all of it at restore.
 */
import {
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeSync,
} from "./nodeFiles";
import { syncDirectorySync } from "./atomicWrite";
import { dirname } from "node:path";
import { fail } from "../base/errors";
import { isMissing, systemError } from "./systemError";

/** Identifies a cluster in directory names. */
export interface MissingWalCluster {
  readonly version: string;
  readonly systemId: bigint;
}

export interface MissingWalStore {
  /** `sha1` of the acknowledged bytes, where they are known. Durable when it returns. */
  add(repoIndex: number, walName: string, cluster: MissingWalCluster, sha1?: string): void;
  /** Names, ascending: of one cluster, or of all. */
  list(repoIndex: number, cluster?: MissingWalCluster): string[];
  /** Clusters with missing WAL in the repository. */
  clusters(repoIndex: number): MissingWalCluster[];
  /** Keys of the repositories with missing WAL, ascending. */
  repoIndexes(): number[];
  /** SHA-1 of the server's bytes, from either record; null when unknown. */
  sha1Of(repoIndex: number, walName: string, cluster: MissingWalCluster): string | null;
  /**
   * The repository holds the server's bytes, or needs them no longer: ends both records. A stored name alone is no
   * reason.
   */
  remove(repoIndex: number, walName: string, cluster: MissingWalCluster): void;
  /**
   * Records that the archive has other bytes under the name of this server's file, whose SHA-1 is `sha1`. Durable when
   * it returns, and kept until {@link remove}.
   */
  addConflict(repoIndex: number, walName: string, cluster: MissingWalCluster, sha1: string): void;
  /** Like {@link list}, for conflicts. */
  listConflicts(repoIndex: number, cluster?: MissingWalCluster): string[];
  /** Clusters with conflicts in the repository. */
  conflictClusters(repoIndex: number): MissingWalCluster[];
  /** Records that PostgreSQL may remove a file that no repository holds. Durable when it returns. */
  addDropped(repoIndex: number, walName: string, cluster: MissingWalCluster): void;
  /** Like {@link list}, for dropped files. */
  listDropped(repoIndex: number, cluster?: MissingWalCluster): string[];
}

const { O_APPEND, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_TRUNC, O_WRONLY } = constants;
const SHA1 = /^[0-9a-f]{40}$/;
const CLUSTER_NAME = /^(\d+(?:\.\d+)?)-(\d+)$/;

export function openMissingWal(spoolPath: string, stanza: string): MissingWalStore {
  const base = `${spoolPath}/pgbackstop/${stanza}`;
  const missingWal = openNames(spoolPath, `${base}/missing`);
  const conflicts = openNames(spoolPath, `${base}/conflict`);
  const dropped = openNames(spoolPath, `${base}/dropped`);
  return {
    add: missingWal.add,
    list: missingWal.list,
    clusters: missingWal.clusters,
    repoIndexes: () =>
      namesIn(`${base}/missing`)
        .filter((name) => /^repo\d+$/.test(name))
        .map((name) => Number(name.slice("repo".length)))
        .filter((repoIndex) => missingWal.list(repoIndex).length > 0)
        .sort((left, right) => left - right),
    sha1Of: (...file) => missingWal.sha1Of(...file) ?? conflicts.sha1Of(...file),
    remove(...file) {
      missingWal.remove(...file);
      conflicts.remove(...file);
    },
    addConflict: conflicts.add,
    listConflicts: conflicts.list,
    conflictClusters: conflicts.clusters,
    addDropped: dropped.add,
    listDropped: dropped.list,
  };
}

type NameStore = Pick<MissingWalStore, "add" | "list" | "clusters" | "sha1Of" | "remove">;

function openNames(spoolPath: string, root: string): NameStore {
  const repoPath = (repoIndex: number): string => `${root}/repo${repoIndex}`;
  const clusterPath = (repoIndex: number, { version, systemId }: MissingWalCluster): string =>
    `${repoPath(repoIndex)}/${version}-${systemId}`;
  const clusters = (repoIndex: number): MissingWalCluster[] =>
    namesIn(repoPath(repoIndex)).flatMap((name) => {
      const match = CLUSTER_NAME.exec(name);
      const isDirectory = (): boolean =>
        lstatSync(`${repoPath(repoIndex)}/${name}`, { throwIfNoEntry: false })?.isDirectory() === true;
      return match !== null && isDirectory()
        ? [{ version: match[1] as string, systemId: BigInt(match[2] as string) }]
        : [];
    });
  return {
    clusters,
    add(repoIndex, walName, cluster, sha1 = "") {
      const directory = clusterPath(repoIndex, cluster);
      try {
        const made = mkdirSync(directory, { recursive: true, mode: 0o750 });
        writeRecord(directory, `${realpathSync(spoolPath)}${directory.slice(spoolPath.length)}`, walName, sha1);
        // Each new directory is a name in its parent; a directory that a killed process has made is synced here too.
        const top = made === undefined || made.length > root.length ? root : dirname(made);
        for (let path = directory; path.length >= top.length; path = dirname(path)) syncDirectorySync(path);
      } catch (error) {
        throw systemError(
          "fileWrite",
          `record in '${directory}' that repo${repoIndex} lacks ${walName}`,
          directory,
          error,
        );
      }
    },
    list(repoIndex, cluster) {
      const of = cluster === undefined ? clusters(repoIndex) : [cluster];
      const names = of.flatMap((each) => namesIn(clusterPath(repoIndex, each)));
      return names.sort();
    },
    sha1Of(repoIndex, walName, cluster) {
      const path = `${clusterPath(repoIndex, cluster)}/${walName}`;
      try {
        const text = readFileSync(path, "latin1");
        return SHA1.test(text) ? text : null;
      } catch (error) {
        if (isMissing(error)) return null;
        throw systemError("fileRead", `read '${path}'`, path, error);
      }
    },
    remove(repoIndex, walName, cluster) {
      rmSync(`${clusterPath(repoIndex, cluster)}/${walName}`, { force: true });
    },
  };
}

/**
 * An empty text leaves the content of an existing record. The spool is PostgreSQL's, and root may heal: it follows no
 * link there, also none that appears in the meantime.
 * @param expected the directory's path without links
 */
function writeRecord(directory: string, expected: string, name: string, text: string): void {
  const folder = openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    const held = `/proc/self/fd/${folder}`;
    if (readlinkSync(held) !== expected) throw fail("fileOwner", `'${directory}' leads to another directory`);
    const how = text === "" ? O_APPEND : O_TRUNC;
    const descriptor = openSync(`${held}/${name}`, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | how, 0o640);
    try {
      if (text === "") return;
      writeSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } finally {
    closeSync(folder);
  }
}

/** Not their types: where the file system tells none, Node fails when another process removes a record. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw systemError("pathOpen", `list '${directory}'`, directory, error);
  }
}
