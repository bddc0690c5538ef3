/**
 * An agent's streaming progress for other processes of this machine: `<spool-path>/pgbackstop/<stanza>/stream.json`,
 * replaced every few seconds.
 *
 *     {"version":1,"repos":[{"key":1,"lsn":"0/3000148","position":50331976,"at":1795156859,"lost":0}]}
 *
 * `synchronous` is there if commits shall wait for repositories. For metrics and status only: no decision uses it.
 */
import { loadReport, replaceReport } from "./atomicWrite";

export interface StreamState {
  readonly key: number;
  /** Position up to which the repository has everything. */
  readonly lsn: string;
  /** The same as a number, exact for the first nine petabytes. */
  readonly positionBytes: number;
  /** Everything that the server had written by then is in the repository. */
  readonly atS: number;
  /** How often WAL was missing that had been stored. */
  readonly lostCount: number;
}

const VERSION = 1;

/** Whether commits wait for repositories. */
export interface SynchronousReport {
  readonly isWaiting: boolean;
  /** How long they have waited now. */
  readonly waitingS: number;
  /** Why not, or what is wrong; null if nothing is. */
  readonly trouble: string | null;
}

/** Null if that is not configured, or nothing was ever reported. */
export async function loadSynchronousReport(spoolPath: string, stanza: string): Promise<SynchronousReport | null> {
  const { synchronous } = await loadReport(pathOf(spoolPath, stanza));
  const { isWaiting, trouble, waitingS } = (synchronous ?? {}) as Partial<SynchronousReport>;
  if (typeof isWaiting !== "boolean") return null;
  return {
    isWaiting,
    waitingS: typeof waitingS === "number" ? waitingS : 0,
    trouble: typeof trouble === "string" ? trouble : null,
  };
}

/** Empty if nothing was ever streamed, or the file is unreadable. */
export async function loadStreamState(spoolPath: string, stanza: string): Promise<StreamState[]> {
  const { repos, version } = await loadReport(pathOf(spoolPath, stanza));
  return version === VERSION && Array.isArray(repos) ? repos.flatMap(stateOf) : [];
}

function stateOf(value: unknown): StreamState[] {
  const { at, key, lost, lsn, position } = (value ?? {}) as Record<string, unknown>;
  const isState =
    typeof key === "number" && typeof lsn === "string" && typeof position === "number" && typeof at === "number";
  return isState
    ? [{ key, lsn, positionBytes: position, atS: at, lostCount: typeof lost === "number" ? lost : 0 }]
    : [];
}

/** @throws the file system's errors */
export async function saveStreamState(
  spoolPath: string,
  stanza: string,
  states: readonly StreamState[],
  synchronous: SynchronousReport | null = null,
): Promise<void> {
  await replaceReport(pathOf(spoolPath, stanza), {
    version: VERSION,
    repos: states.map(({ atS, key, lostCount, lsn, positionBytes }) => {
      return { key, lsn, position: positionBytes, at: atS, lost: lostCount };
    }),
    ...(synchronous === null ? {} : { synchronous }),
  });
}

function pathOf(spoolPath: string, stanza: string): string {
  return `${spoolPath}/pgbackstop/${stanza}/stream.json`;
}
