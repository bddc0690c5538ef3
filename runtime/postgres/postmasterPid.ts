/** What a running server says of itself in postmaster.pid (PostgreSQL "utils/pidfile.h"). Pure. */

export interface PostmasterPid {
  /** Negative for a single-user server; 0 when it is missing. */
  readonly pid: number;
  /** Seconds since 1970. */
  readonly startedAtS: number;
  /** Empty if absent. */
  readonly socketPath: string;
  /** `starting`, `stopping`, `ready` or `standby`; empty before PostgreSQL 10. */
  readonly status: string;
}

export function parsePostmasterPid(text: string): PostmasterPid {
  const [pid, _directory, startedAtS, _port, socketPath = "", _address, _memory, status = ""] = text
    .split("\n")
    .map((line) => line.trim());
  return { pid: Number(pid), startedAtS: Number(startedAtS ?? 0), socketPath, status };
}
