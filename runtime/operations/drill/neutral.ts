/**
 * Settings of a drill's server: pure texts. They copy only the production settings that the data directory needs to
 * start, so that no other setting can act.
 *
 * - Background workers have no slots (`max_worker_processes`): schedulers, logical replication and extensions that mail
 *   or call stay idle.
 * - It is no hot standby: the first connection comes after recovery, and only prepared transactions need settings as
 *   large as production's (PostgreSQL "xlogrecovery.c", CheckRequiredParameterValues; "twophase.c"). The other limits
 *   are copied because a dump of many tables needs many locks. If recovery ends because WAL raised a limit after the
 *   backup, the server starts again with what pg_control says then.
 * - It archives nothing. Its restore command knows no segment newer than the archive's newest at the start of the
 *   drill: WAL that production writes in the meantime would understate the loss of a disaster.
 */
import type { RecoveryLimits } from "../../format/page/pgControl";
import { settingLines } from "../shared/settingsText";

export interface NeutralRequest {
  readonly major: number;
  readonly path: string;
  readonly socketDirectory: string;
  readonly port: number;
  readonly limits: RecoveryLimits;
  readonly trackCommitTimestamp: boolean;
  readonly preload: readonly string[];
}

const CONNECTIONS_MIN = 20;
const LOCKS_MIN = 64;

/** For postgresql.auto.conf, before the recovery settings. */
export function neutralSettings(request: NeutralRequest): string {
  const { limits, major, path, port, preload, socketDirectory, trackCommitTimestamp } = request;
  const settings = {
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
    max_connections: Math.max(limits.max_connections, CONNECTIONS_MIN),
    superuser_reserved_connections: 3,
    max_prepared_transactions: limits.max_prepared_transactions,
    max_locks_per_transaction: Math.max(limits.max_locks_per_transaction, LOCKS_MIN),
    track_commit_timestamp: trackCommitTimestamp ? "on" : "off",
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
    // Texts of statements, with their passwords, neither come from the backup nor reach a clone's clients.
    "pg_stat_statements.save": "off",
    // They run a user's code at login.
    ...(major >= 17 ? { event_triggers: "off" } : {}),
  };
  return `${settingLines(settings).join("\n")}\n`;
}

/** Any role that reaches the socket may do anything: only the directory's owner does. */
export const HBA_TEXT = "local all all trust\n";

/** Restore command with `newest` as the end of the archive. It has no backslash: a setting would drop it. */
export function boundedRestoreCommand(command: string, newest: string | null): string {
  return newest === null ? command : `if [ "%f" ">" "${newest}" ]; then exit 1; fi; ${command}`;
}

/** The names in a list of libraries. */
export function librariesIn(value: string): string[] {
  return value
    .split(",")
    .map((name) => name.trim().replace(/^"(.*)"$/, "$1"))
    .filter((name) => name !== "");
}
