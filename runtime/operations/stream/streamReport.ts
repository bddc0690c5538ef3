/** The state that this host's agent reports about its streams, for other processes: status and metrics. */
import type { Config } from "../../config/types";
import {
  loadStreamState,
  loadSynchronousReport,
  type StreamState,
  type SynchronousReport,
} from "../../local/streamState";

export interface ReportedStreams {
  readonly intervalSeconds: number;
  /** One for each repository with streamed WAL. */
  readonly states: readonly StreamState[];
  /** Null unless commits shall wait for repositories. */
  readonly synchronous: SynchronousReport | null;
}

const UNKNOWN: SynchronousReport = { isWaiting: false, waitingS: 0, trouble: "the agent has not reported yet" };

/** The minimum age at which a missing report counts as bad news, for short intervals. */
const BEHIND_S_MIN = 300;
const BEHIND_INTERVALS = 3;

/**
 * Null where nothing should be streamed: not configured, no cluster here, or a standby, whose primary's agent streams.
 * `exists` checks for a file of this path.
 */
export async function loadStreams(
  { pgs, settings, spoolPath, stanza = "" }: Pick<Config, "pgs" | "settings" | "spoolPath" | "stanza">,
  exists: (path: string) => Promise<boolean>,
): Promise<ReportedStreams | null> {
  const [pg] = pgs;
  if (settings.stream === undefined || pg === undefined) return null;
  // An account that may not look there has no standby of its own.
  if (await exists(`${pg.path}/standby.signal`).catch(() => false)) return null;
  const { intervalSeconds, synchronous } = settings.stream;
  const report = synchronous === undefined ? null : ((await loadSynchronousReport(spoolPath, stanza)) ?? UNKNOWN);
  return { intervalSeconds, states: await loadStreamState(spoolPath, stanza), synchronous: report };
}

/** Maximum age of the newest report. */
export function behindAfterS(intervalSeconds: number): number {
  return Math.max(BEHIND_S_MIN, BEHIND_INTERVALS * intervalSeconds);
}
