/**
 * The one command table: parser, help text, option table, process and documents read a command's row.
 * `runtime/commands/table.ts` names the file that runs it, because this room imports no other.
 */

/** What a command works with; decides which shared options it takes. */
export type Use =
  /** Opens repositories: `repo-*`. */
  | "repositories"
  /** Knows the cluster's data directory: `pg-*`. */
  | "cluster"
  /** Connects to the server: `db-timeout`. */
  | "session"
  /** Compresses and transfers files: `process-max`. */
  | "copy"
  /** Stores new files in repositories: `compress-type`. */
  | "write"
  /** Gets or pushes WAL while PostgreSQL waits: `archive-async`. */
  | "archive"
  /** Pushes WAL: `archive-timeout`, `archive-push-queue-max`. */
  | "push"
  /** Calls the API server of Kubernetes: `kubernetes-*`. */
  | "kubernetes";

export interface CommandRow {
  /** One sentence without the full stop. */
  readonly doc: string;
  /** Parameters, as `help` shows them; a command without them refuses any. */
  readonly params?: string;
  readonly uses: readonly Use[];
  /** It also works without `--stanza`. */
  readonly optionalStanza?: true;
  /** pgBackRest has no such command. */
  readonly own?: true;
  /** A server: it finishes accepted requests before it ends, and never computes in the thread that answers. */
  readonly serves?: true;
  /** After an abort it removes what it made, which may take minutes: a server with its files, a Cluster, a pod. */
  readonly removes?: true;
  /** The command starts a background process, `archive-push:async`. */
  readonly background?: true;
  /** Standard output is its result, often JSON. */
  readonly prints?: true;
  /** Root would leave files or remove some that the account of PostgreSQL or of the repository needs: it is refused. */
  readonly writes?: true;
  /** Mounts, or stops PostgreSQL and moves its directory: launchers of hosts run it as root. */
  readonly root?: true;
  /** Metrics report how its last run ended. */
  readonly remembered?: true;
  /** A person or a scrape waits: a repository that does not answer soon is shown as such. */
  readonly soon?: true;
  /** Opens every repository, whatever `--repo` says: a drill restores from one and writes its history into all. */
  readonly everyRepository?: true;
  /** It must work in a disaster: a mistake in an option that it does not use only warns. */
  readonly lenient?: true;
  /** WAL or a restore depends on it: a field of `pgbackstop.json` that it cannot use only warns. */
  readonly anySettings?: true;
  /** Its pod's arguments name the include directory, which is mounted only if the configuration has secrets. */
  readonly optionalInclude?: true;
  /** The main thread is mostly idle during jobs, so that it takes jobs too. */
  readonly idleMain?: true;
  /** It moves backups or old WAL, which the repositories' `limitRate` holds back. */
  readonly limited?: true;
}

type Mark = Exclude<keyof CommandRow, "doc" | "params" | "uses">;

/** @param params as `help` shows them */
function row(doc: string, uses: readonly Use[], marks: readonly Mark[] = [], params?: string): CommandRow {
  const marked = Object.fromEntries(marks.map((mark) => [mark, true]));
  return { doc, uses, ...marked, ...(params === undefined ? {} : { params }) };
}

const ROWS = {
  agent: row(
    "serve archive_command and restore_command over a unix socket, push ahead and heal",
    ["repositories", "cluster", "session", "copy", "write", "archive", "push"],
    ["own", "serves", "anySettings"],
  ),
  annotate: row("add, change or remove notes of a backup", ["repositories"], ["writes"]),
  "archive-get": row(
    "get a WAL segment from the repositories",
    ["repositories", "cluster", "copy", "archive"],
    ["background", "writes", "lenient", "anySettings"],
    "SEGMENT DESTINATION",
  ),
  "archive-push": row(
    "push a WAL segment to all repositories",
    ["repositories", "cluster", "copy", "write", "archive", "push"],
    ["background", "writes", "anySettings"],
    "PATH",
  ),
  backup: row(
    "back up the cluster once into all repositories",
    ["repositories", "cluster", "session", "copy", "write"],
    ["writes", "remembered", "idleMain", "limited"],
  ),
  check: row("check the configuration and that WAL arrives in every repository", [
    "repositories",
    "cluster",
    "session",
  ]),
  clone: row(
    "open a backup as a masked copy that clients may use, and that ends by itself",
    ["repositories", "cluster", "copy"],
    ["own", "root", "prints", "removes"],
  ),
  close: row(
    "unmount a backup that open has opened, and remove its local pages",
    ["cluster"],
    ["optionalStanza", "own", "root", "prints"],
  ),
  "cnpg-drill": row(
    "restore a backup into a throw-away Cluster of CloudNativePG, check and time it, and remove it",
    ["repositories", "kubernetes"],
    ["own", "everyRepository", "removes"],
  ),
  "cnpg-dump": row(
    "run dump for a Cluster of CloudNativePG in a pod with its image, and report how it ended",
    ["kubernetes"],
    ["optionalStanza", "own", "removes"],
  ),
  "cnpg-expire": row(
    "remove volume snapshots of a Cluster of CloudNativePG that retention no longer keeps",
    ["kubernetes"],
    ["optionalStanza", "own"],
  ),
  "cnpg-instance": row(
    "serve the plugin of CloudNativePG alongside an instance: WAL, backups and metrics",
    ["repositories", "cluster", "session", "copy", "write", "archive", "push", "kubernetes"],
    ["own", "serves", "anySettings", "optionalInclude"],
  ),
  "cnpg-job": row(
    "print a Job of Kubernetes in which extract-table and find run, for the Cluster on standard input",
    [],
    ["optionalStanza", "own", "prints"],
  ),
  "cnpg-operator": row(
    "serve the plugin of CloudNativePG to its operator: put the sidecar into pods",
    [],
    ["optionalStanza", "own"],
  ),
  "cnpg-replace-archiver": row(
    "give a Cluster an archiver instead of its barmanObjectStore, in one request",
    ["kubernetes"],
    ["optionalStanza", "own"],
  ),
  "cnpg-restore": row(
    "serve the plugin of CloudNativePG alongside a recovery: the data directory and WAL",
    ["repositories", "cluster", "copy", "write", "archive", "push", "kubernetes"],
    ["own", "serves", "anySettings", "optionalInclude"],
  ),
  diff: row(
    "compare a table of a past moment with that of another one, or with production",
    ["repositories", "cluster", "session", "copy"],
    ["own", "root", "prints", "removes"],
  ),
  doctor: row(
    "try each repository and its key in a temporary directory of the repository",
    ["repositories"],
    ["optionalStanza", "own", "prints", "writes"],
  ),
  drill: row(
    "restore a backup alongside production, check and time it, and remove it",
    ["repositories", "cluster", "session", "copy"],
    ["own", "prints", "remembered", "everyRepository", "limited", "removes"],
  ),
  dump: row(
    "dump each database with pg_dump once into all repositories",
    ["repositories", "cluster", "session"],
    ["own", "writes", "remembered", "limited"],
  ),
  "dump-get": row(
    "write one database of a dump to standard output or a file, verified",
    ["repositories"],
    ["own", "prints", "limited"],
  ),
  "dump-ls": row("list the dumps in the repositories", ["repositories"], ["own", "prints", "soon"]),
  expire: row("remove backups and WAL that retention no longer keeps", ["repositories"], ["writes", "remembered"]),
  "extract-table": row(
    "restore one table or schema from a backup, alongside the current version or in its place",
    ["repositories", "cluster", "session", "copy"],
    ["own", "prints", "limited", "removes"],
  ),
  find: row(
    "find DROP, TRUNCATE, DELETE and UPDATE, and the recovery target just before each",
    ["repositories", "cluster", "session"],
    ["own", "prints"],
  ),
  heal: row(
    "copy missing WAL into each repository",
    ["repositories", "cluster", "copy", "write", "archive", "push"],
    ["own", "writes", "remembered", "limited"],
  ),
  help: row("this text", [], [], "[COMMAND [OPTION]]"),
  hold: row(
    "keep a backup, and what it needs, from retention, expire and stanza-delete",
    ["repositories"],
    ["own", "writes"],
  ),
  info: row("show backups and WAL in the repositories", ["repositories"], ["optionalStanza", "prints", "soon"]),
  manifest: row("show the files of a backup", ["repositories"], ["prints"]),
  metrics: row(
    "print the state of backups for Prometheus, or write it to a file for the textfile collector",
    ["repositories"],
    ["own", "prints", "soon"],
  ),
  notify: row("send the result of a unit or of a fire drill to people and services", [], ["own"]),
  open: row(
    "mount a backup and start a server on it; pages are fetched when they are read",
    ["repositories", "cluster", "copy"],
    ["own", "root", "background", "prints", "anySettings"],
  ),
  "slot-drop": row(
    "drop the replication slot that archives this stanza's WAL, after its agent was stopped",
    ["cluster", "session"],
    ["own"],
  ),
  "synchronous-drop": row(
    "remove pgbackstop from synchronous_standby_names, after its agent was stopped",
    ["cluster", "session"],
    ["own"],
  ),
  "pg-settings": row(
    "show or set settings of the PostgreSQL server",
    ["cluster", "session"],
    ["own", "prints"],
    "[NAME=VALUE … | stdin]",
  ),
  recover: row(
    "recover this host's cluster from a backup: plan, stop, keep the old data, restore, start, check",
    ["cluster"],
    ["own", "root", "anySettings"],
  ),
  "recover-step": row(
    "run a step of recover as PostgreSQL's account; only recover calls it",
    ["repositories", "cluster", "session"],
    ["own", "prints"],
    "STEP",
  ),
  report: row(
    "make a page about the backups of this host, or of the hosts whose documents it reads",
    ["repositories"],
    ["optionalStanza", "own", "prints"],
    "[FILE …]",
  ),
  release: row("let retention remove a backup again that hold has kept", ["repositories"], ["own", "writes"]),
  "repo-get": row("print a file of a repository", ["repositories"], ["optionalStanza", "prints"], "FILE"),
  "repo-ls": row("list files of a repository", ["repositories"], ["optionalStanza", "prints"], "[PATH]"),
  restore: row(
    "restore the cluster from a backup",
    ["repositories", "cluster", "copy"],
    ["lenient", "idleMain", "anySettings", "limited"],
  ),
  rollback: row(
    "return a cluster on ZFS to a snapshot of its file system, and keep its archive usable",
    ["cluster"],
    ["own", "root"],
  ),
  "stanza-create": row("prepare the repositories for a cluster", ["repositories", "cluster", "session"], ["writes"]),
  "stanza-delete": row(
    "remove a stanza's backups and WAL from a repository",
    ["repositories", "cluster", "session"],
    ["writes"],
  ),
  "stanza-upgrade": row(
    "add the cluster's new version to the repositories after pg_upgrade",
    ["repositories", "cluster", "session"],
    ["writes"],
  ),
  start: row("allow commands that stop has forbidden", [], ["optionalStanza", "writes"]),
  status: row(
    "show the state of backups on one screen, and what needs attention",
    ["repositories"],
    ["own", "prints", "soon"],
  ),
  stop: row("forbid commands that write, until start", [], ["optionalStanza", "writes"]),
  sync: row(
    "copy backups and their WAL from one repository into another",
    ["repositories", "copy", "write"],
    ["own", "writes", "remembered", "limited"],
  ),
  verify: row(
    "verify the content of the repositories",
    ["repositories", "copy"],
    ["writes", "remembered", "idleMain", "limited"],
  ),
  version: row("show the version", []),
} satisfies Readonly<Record<string, CommandRow>>;

export type CommandName = keyof typeof ROWS;
/** The others only print a text. */
export type WorkingCommand = Exclude<CommandName, "help" | "version">;

export const COMMAND_TABLE: Readonly<Record<CommandName, CommandRow>> = ROWS;

/** In the order of the table. */
export const COMMANDS = Object.keys(ROWS) as readonly CommandName[];

export function commandsWith(isMeant: (row: CommandRow) => boolean): readonly CommandName[] {
  return COMMANDS.filter((command) => isMeant(COMMAND_TABLE[command]));
}
