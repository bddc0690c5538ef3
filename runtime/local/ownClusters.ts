/**
 * Clusters whose WAL this volume has put into the stanza, oldest first, in
 * `<spool-path>/pgbackstop/<stanza>/clusters.json`.
 *
 *     {"version":1,"clusters":[{"version":"17","systemId":"7396…","position":"50331976"}]}
 *
 * `pg_upgrade` in place replaces the data directory and leaves the rest of the volume. So this file proves afterwards
 * that the volume held the stanza's cluster, which a new cluster of the same name cannot show.
 */
import { readFile } from "./nodeFiles";
import { atomicWrite } from "./atomicWrite";
import { nullIfMissing } from "./systemError";

export interface OwnCluster {
  readonly version: string;
  readonly systemId: bigint;
  /** Its checkpoint when it was recorded: later ones, and those of the upgraded cluster, are after it. */
  readonly lsn: bigint;
}

const FILE_NAME = "clusters.json";
const VERSION = 1;
const CLUSTERS_MAX = 20;

/** Empty without a valid file: nothing is proven then. @throws the file system's errors */
export async function loadOwnClusters(spoolPath: string, stanza: string): Promise<OwnCluster[]> {
  const text = await nullIfMissing(readFile(fileOf(spoolPath, stanza), "utf8"));
  if (text === null) return [];
  try {
    const value = JSON.parse(text) as {
      readonly version?: unknown;
      readonly clusters?: unknown;
    };
    return value.version === VERSION && Array.isArray(value.clusters) ? value.clusters.map(clusterOf) : [];
  } catch {
    return [];
  }
}

function clusterOf(value: unknown): OwnCluster {
  const { position, systemId, version } = (value ?? {}) as Record<string, unknown>;
  if (typeof version !== "string") throw new TypeError("a cluster has no version");
  return { version, systemId: BigInt(String(systemId)), lsn: BigInt(String(position)) };
}

/** Durable when it resolves. A cluster that is recorded gets its new position. @throws the file system's errors */
export async function saveOwnCluster(spoolPath: string, stanza: string, cluster: OwnCluster): Promise<void> {
  const known = await loadOwnClusters(spoolPath, stanza);
  const others = known.filter(({ systemId, version }) => systemId !== cluster.systemId || version !== cluster.version);
  const clusters = [...others, cluster].slice(-CLUSTERS_MAX).map(({ lsn, systemId, version }) => ({
    version,
    systemId: String(systemId),
    position: String(lsn),
  }));
  await atomicWrite(fileOf(spoolPath, stanza), Buffer.from(`${JSON.stringify({ version: VERSION, clusters })}\n`));
}

function fileOf(spoolPath: string, stanza: string): string {
  return `${spoolPath}/pgbackstop/${stanza}/${FILE_NAME}`;
}
