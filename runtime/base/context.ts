/** What every operation gets from its caller instead of reaching for it. */
import type { Clock } from "./clock";
import type { Log } from "./log";
import type { Random } from "./random";

export interface Context {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Aborted on SIGTERM, SIGINT and SIGHUP, or by a caller that lost interest. */
  readonly signal: AbortSignal;
}
