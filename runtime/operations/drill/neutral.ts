/**
 * Settings of a drill's server: pure texts. They copy only the production settings that the data directory needs to
 * start, so that no other setting can act.
 *
 * - Background workers have no slots (`max_worker_processes`): schedulers, logical replication and extensions that mail
 *   or call stay idle.
 * - It is no hot standby: the first connection comes after recovery, and only prepared transactions need settings as
 *   large as production's (PostgreSQL "xlogrecovery.c", CheckRequiredParameterValues; "twophase.c"). The other limits
 *   are copied because a dump of many tables needs many locks.
 * - It archives nothing. Its restore command knows no segment newer than the archive's newest at the start of the
 *   drill: WAL that production writes in the meantime would understate the loss of a disaster.
 */

/** pg_controldata's values of the source server. */
export interface ControlLimits {
  readonly maxConnections: number;
  readonly maxPreparedTransactions: number;
  readonly maxLocksPerTransaction: number;
  readonly trackCommitTimestamp: boolean;
}

export interface NeutralRequest {
  readonly major: number;
  readonly path: string;
  readonly socketDirectory: string;
  readonly port: number;
  readonly limits: ControlLimits;
  readonly preload: readonly string[];
}

const CONNECTIONS_MIN = 20;
const LOCKS_MIN = 64;

/** For postgresql.auto.conf, before the recovery settings. */
export function neutralSettings({ limits, major, path, port, preload, socketDirectory }: NeutralRequest): string {
  const settings: Readonly<Record<string, string | number>> = {
    archive_mode: "off",
    port,
    listen_addresses: "",
    unix_socket_directories: socketDirectory,
    unix_socket_permissions: "0700",
    hba_file: `${path}/hba.conf`,
    ident_file: `${path}/ident.conf`,
    ssl: "off",
    hot_standby: "off",
    max_wal_senders: 0,
    max_worker_processes: 0,
    max_logical_replication_workers: 0,
    max_connections: Math.max(limits.maxConnections, CONNECTIONS_MIN),
    superuser_reserved_connections: 3,
    max_prepared_transactions: limits.maxPreparedTransactions,
    max_locks_per_transaction: Math.max(limits.maxLocksPerTransaction, LOCKS_MIN),
    track_commit_timestamp: limits.trackCommitTimestamp ? "on" : "off",
    shared_preload_libraries: preload.join(","),
    shared_buffers: "128MB",
    maintenance_work_mem: "64MB",
    huge_pages: "off",
    autovacuum: "off",
    jit: "off",
    restart_after_crash: "off",
    logging_collector: "off",
    log_destination: "stderr",
    log_line_prefix: "",
    lc_messages: "C",
    cluster_name: "pgbackstop drill",
    // They run a user's code at login.
    ...(major >= 17 ? { event_triggers: "off" } : {}),
  };
  return `${Object.entries(settings)
    .map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'`)
    .join("\n")}\n`;
}

/** Any role that reaches the socket may do anything: only the directory's owner does. */
export const HBA_TEXT = "local all all trust\n";

/** Restore command with `newest` as the end of the archive. It has no backslash: a setting would drop it. */
export function boundedRestoreCommand(command: string, newest: string | null): string {
  return newest === null ? command : `if [ "%f" ">" "${newest}" ]; then exit 1; fi; ${command}`;
}

/** From pg_controldata's output. Missing rows count as zero. */
export function parseControlData(text: string): ControlLimits & { readonly state: string } {
  const rows = new Map(text.split("\n").flatMap((line) => (line.includes(":") ? [splitRow(line)] : [])));
  const number = (name: string): number => Number(rows.get(`${name} setting`) ?? 0);
  return {
    state: rows.get("Database cluster state") ?? "",
    maxConnections: number("max_connections"),
    maxPreparedTransactions: number("max_prepared_xacts"),
    maxLocksPerTransaction: number("max_locks_per_xact"),
    trackCommitTimestamp: rows.get("track_commit_timestamp setting") === "on",
  };
}

function splitRow(line: string): [string, string] {
  const at = line.indexOf(":");
  return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
}

/** The value of `shared_preload_libraries` in configuration files (the last one wins); "" if absent. */
export function preloadIn(texts: readonly string[]): string {
  let value = "";
  for (const text of texts) {
    for (const line of text.split("\n")) {
      const match = /^[ \t]*shared_preload_libraries[ \t]*=?[ \t]*(?:'((?:[^']|'')*)'|([^\s#']+))/i.exec(line);
      if (match !== null) value = (match[1] ?? match[2] ?? "").replaceAll("''", "'");
    }
  }
  return value;
}

/** The names in a list of libraries. */
export function librariesIn(value: string): string[] {
  return value
    .split(",")
    .map((name) => name.trim().replace(/^"(.*)"$/, "$1"))
    .filter((name) => name !== "");
}
