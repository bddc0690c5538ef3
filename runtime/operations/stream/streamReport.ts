/** What the agent of this host has told of its streams, for other processes: status and metrics. */
import type { Config } from "../../config/types";
import { loadStreamState, type StreamState } from "../../local/streamState";

export interface ToldStreams {
  readonly intervalSeconds: number;
  /** One for each repository that something was streamed into. */
  readonly states: readonly StreamState[];
}

/** No news for so long is bad news, where the interval is not longer. */
const BEHIND_S_MIN = 300;
const BEHIND_INTERVALS = 3;

/**
 * Null where nothing is to be streamed: not configured, no cluster here, or a standby, whose primary's agent does it. `exists` answers for a file
 * of this path.
 */
export async function loadStreams(
  { pgs, settings, spoolPath, stanza = "" }: Pick<Config, "pgs" | "settings" | "spoolPath" | "stanza">,
  exists: (path: string) => Promise<boolean>,
): Promise<ToldStreams | null> {
  const [pg] = pgs;
  if (settings.stream === undefined || pg === undefined) return null;
  // Who may not look there has no standby of his own.
  if (await exists(`${pg.path}/standby.signal`).catch(() => false)) return null;
  return { intervalSeconds: settings.stream.intervalSeconds, states: await loadStreamState(spoolPath, stanza) };
}

/** How old the newest word may be. */
export function behindAfterS(intervalSeconds: number): number {
  return Math.max(BEHIND_S_MIN, BEHIND_INTERVALS * intervalSeconds);
}
