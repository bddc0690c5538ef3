/**
 * How a standby is made from a repository: the command for PostgreSQL alone, and what Patroni's configuration says to have it done. Pure; no
 * secret: a password of the primary is in a file that libpq reads.
 *
 * Patroni's side: its documentation, "Replica imaging and bootstrap"; what it does with the words is in patroni/postgresql/bootstrap.py (4.1).
 */
import { shellWord } from "../../plan/host/hostCommand";

/** The server that a standby streams from; values as libpq takes them. */
export interface PrimaryPlan {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly passfile: string | undefined;
  readonly sslmode: string | undefined;
  readonly slot: string | undefined;
}

/** A shell line that makes, or renews, the data directory as a standby. @param primary null for a standby that reads the archive alone */
export function standbyCommand(argv: readonly string[], primary: PrimaryPlan | null): string {
  const options = primary === null ? [] : recoveryOptions(primary).map((option) => `--recovery-option=${option}`);
  return [...argv, "--delta", "--type=standby", ...options, "restore"].map(shellWord).join(" ");
}

/**
 * The part of a patroni.yml that lets a member come from the repository. Patroni streams from its leader by itself; the archive has what the leader
 * no longer has.
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

/** The part of a patroni.yml that makes a new cluster of Patroni out of the repository: once, and only while it has no cluster. */
export function patroniBootstrap(argv: readonly string[]): string {
  return [
    "# For patroni.yml of the first member, where the whole cluster is lost: its end of recovery is the newest state.",
    "bootstrap:",
    "  method: pgbackstop",
    "  pgbackstop:",
    `    command: ${yamlText([...argv, "--delta", "restore"].map(shellWord).join(" "))}`,
    "    no_params: true",
    "    # The settings of the recovery are those that the restore wrote.",
    "    keep_existing_recovery_conf: true",
    "",
  ].join("\n");
}

function recoveryOptions({ host, passfile, port, slot, sslmode, user }: PrimaryPlan): string[] {
  const parts = { host, port: String(port), user, passfile, sslmode };
  const words = Object.entries(parts).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${conninfoValue(value)}`]));
  return [`primary_conninfo=${words.join(" ")}`, ...(slot === undefined ? [] : [`primary_slot_name=${slot}`])];
}

/** A value of a connection string (libpq, "Keyword/Value Connection Strings"). */
function conninfoValue(value: string): string {
  return /^[A-Za-z0-9_.:/-]+$/.test(value) ? value : `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

/** PostgreSQL's restore_command: `%f` and `%p` are its own, a percent sign of ours is doubled. */
function archiveGet(argv: readonly string[]): string {
  const words = argv.map(shellWord).map((word) => word.replaceAll("%", "%%"));
  return `${words.join(" ")} archive-get %f "%p"`;
}

/** In double quotes YAML reads what JSON writes. */
function yamlText(text: string): string {
  return JSON.stringify(text);
}
