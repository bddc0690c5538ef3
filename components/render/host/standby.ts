/**
 * Creates a standby from a repository: the command for PostgreSQL alone, and Patroni's configuration for the same.
 * Pure; no secret: libpq reads the primary's password from a file.
 *
 * Patroni's documentation: "Replica imaging and bootstrap"; patroni/postgresql/bootstrap.py (4.1) uses the settings.
 */
import { guardedArchiveGet } from "../../../runtime/base/recoveryExit";
import { shellArgument } from "../../plan/host/hostCommand";

/** The server that a standby streams from; values in libpq's form. */
export interface PrimaryPlan {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly passfile: string | undefined;
  readonly sslmode: string | undefined;
  readonly slot: string | undefined;
}

/**
 * A shell line that creates or renews the data directory of a standby.
 * @param primary null for a standby that reads only the archive
 */
export function standbyCommand(argv: readonly string[], primary: PrimaryPlan | null): string {
  const options = primary === null ? [] : recoveryOptions(primary).map((option) => `--recovery-option=${option}`);
  return [...argv, "--delta", "--type=standby", ...options, "restore"].map(shellArgument).join(" ");
}

/**
 * The part of patroni.yml that restores a member from the repository. Patroni configures streaming from its leader; the
 * archive has WAL that the leader has removed.
 */
export function patroniReplica(argv: readonly string[]): string {
  return [
    "# For patroni.yml of this member: it comes from the repository, and from its leader where that fails.",
    "postgresql:",
    "  create_replica_methods:",
    "    - pgbackstop",
    "    - basebackup",
    "  pgbackstop:",
    `    command: ${yamlText(standbyCommand(argv, null))}`,
    "    # What is there already is compared, not fetched again.",
    "    keep_data: true",
    "    no_params: true",
    "    # The repository is there while no member leads.",
    "    no_leader: true",
    "  recovery_conf:",
    `    restore_command: ${yamlText(archiveGet(argv))}`,
    "",
  ].join("\n");
}

/**
 * The part of patroni.yml that creates a new Patroni cluster from the repository: once, and only while it has no
 * cluster.
 */
export function patroniBootstrap(argv: readonly string[]): string {
  return [
    "# For patroni.yml of the first member, where the whole cluster is lost: its end of recovery is the newest state.",
    "bootstrap:",
    "  method: pgbackstop",
    "  pgbackstop:",
    `    command: ${yamlText([...argv, "--delta", "restore"].map(shellArgument).join(" "))}`,
    "    no_params: true",
    "    # The settings of the recovery are those that the restore wrote.",
    "    keep_existing_recovery_conf: true",
    "",
  ].join("\n");
}

function recoveryOptions({ host, passfile, port, slot, sslmode, user }: PrimaryPlan): string[] {
  const parts = { host, port: String(port), user, passfile, sslmode };
  const quoted = Object.entries(parts).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${conninfoValue(value)}`],
  );
  return [`primary_conninfo=${quoted.join(" ")}`, ...(slot === undefined ? [] : [`primary_slot_name=${slot}`])];
}

/** A value of a connection string (libpq, "Keyword/Value Connection Strings"). */
function conninfoValue(value: string): string {
  return /^[A-Za-z0-9_.:/-]+$/.test(value) ? value : `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

/** PostgreSQL's restore_command: `%f` and `%p` are its own; other percent signs are doubled. */
function archiveGet(argv: readonly string[]): string {
  const quoted = argv.map(shellArgument).map((argument) => argument.replaceAll("%", "%%"));
  return guardedArchiveGet(`${quoted.join(" ")} archive-get %f "%p"`);
}

/** A JSON string is valid YAML in double quotes. */
function yamlText(text: string): string {
  return JSON.stringify(text);
}
