/** What every operation gets from its caller instead of accessing it directly. */
import type { Clock } from "./clock";
import type { Log } from "./log";
import type { Random } from "./random";

export interface Context {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Aborted on SIGTERM, SIGINT and SIGHUP, or by a caller that no longer needs the result. */
  readonly signal: AbortSignal;
}
