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
  /** `optional`: it also works without `--stanza`. */
  readonly stanza?: "optional";
  /** pgBackRest has no such command. */
  readonly own?: true;
  /** A server: it finishes accepted requests before it ends, and never computes in the thread that answers. */
  readonly serves?: true;
  /** The command starts a background process, `archive-push:async`. */
  readonly background?: true;
  /** Standard output is its result, often JSON. */
  readonly prints?: true;
  /** As root it creates files that the account of PostgreSQL or of the repository needs afterwards. */
  readonly writes?: true;
  /** Stops PostgreSQL and moves its directory, so that launchers of hosts run it as root. */
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
  /** The main thread is mostly idle during jobs, so that it takes jobs too. */
  readonly idleMain?: true;
}

const ROWS = {
  agent: {
    doc: "serve archive_command and restore_command over a unix socket, push ahead and heal",
    uses: ["repositories", "cluster", "session", "copy", "write", "archive", "push"],
    own: true,
    serves: true,
    anySettings: true,
  },
  annotate: {
    doc: "add, change or remove notes of a backup",
    uses: ["repositories"],
    writes: true,
  },
  "archive-get": {
    doc: "get a WAL segment from the repositories",
    params: "SEGMENT DESTINATION",
    uses: ["repositories", "cluster", "copy", "archive"],
    background: true,
    writes: true,
    lenient: true,
    anySettings: true,
  },
  "archive-push": {
    doc: "push a WAL segment to all repositories",
    params: "PATH",
    uses: ["repositories", "cluster", "copy", "write", "archive", "push"],
    background: true,
    writes: true,
    anySettings: true,
  },
  backup: {
    doc: "back up the cluster once into all repositories",
    uses: ["repositories", "cluster", "session", "copy", "write"],
    writes: true,
    remembered: true,
    idleMain: true,
  },
  check: {
    doc: "check the configuration and that WAL arrives in every repository",
    uses: ["repositories", "cluster", "session"],
  },
  "cnpg-drill": {
    doc: "restore a backup into a throw-away Cluster of CloudNativePG, check and time it, and remove it",
    uses: ["repositories", "kubernetes"],
    own: true,
    everyRepository: true,
  },
  "cnpg-expire": {
    doc: "remove volume snapshots of a Cluster of CloudNativePG that retention no longer keeps",
    uses: ["kubernetes"],
    stanza: "optional",
    own: true,
  },
  "cnpg-instance": {
    doc: "serve the plugin of CloudNativePG alongside an instance: WAL, backups and metrics",
    uses: ["repositories", "cluster", "session", "copy", "write", "archive", "push", "kubernetes"],
    own: true,
    serves: true,
    anySettings: true,
  },
  "cnpg-operator": {
    doc: "serve the plugin of CloudNativePG to its operator: put the sidecar into pods",
    uses: [],
    stanza: "optional",
    own: true,
  },
  "cnpg-replace-archiver": {
    doc: "give a Cluster an archiver instead of its barmanObjectStore, in one request",
    uses: ["kubernetes"],
    stanza: "optional",
    own: true,
  },
  "cnpg-restore": {
    doc: "serve the plugin of CloudNativePG alongside a recovery: the data directory and WAL",
    uses: ["repositories", "cluster", "copy", "write", "archive", "push", "kubernetes"],
    own: true,
    serves: true,
    anySettings: true,
  },
  doctor: {
    doc: "try each repository and its key in a temporary directory of the repository",
    uses: ["repositories"],
    stanza: "optional",
    own: true,
    prints: true,
  },
  drill: {
    doc: "restore a backup alongside production, check and time it, and remove it",
    uses: ["repositories", "cluster", "session", "copy"],
    own: true,
    prints: true,
    remembered: true,
    everyRepository: true,
  },
  expire: {
    doc: "remove backups and WAL that retention no longer keeps",
    uses: ["repositories"],
    writes: true,
    remembered: true,
  },
  "extract-table": {
    doc: "restore one table or schema from a backup, alongside the current version or in its place",
    uses: ["repositories", "cluster", "session", "copy"],
    own: true,
    prints: true,
  },
  find: {
    doc: "find DROP, TRUNCATE, DELETE and UPDATE, and the recovery target just before each",
    uses: ["repositories", "cluster", "session"],
    own: true,
    prints: true,
  },
  heal: {
    doc: "copy missing WAL into each repository",
    uses: ["repositories", "cluster", "copy", "write", "archive", "push"],
    own: true,
    writes: true,
    remembered: true,
  },
  help: {
    doc: "this text",
    params: "[COMMAND [OPTION]]",
    uses: [],
  },
  info: {
    doc: "show backups and WAL in the repositories",
    uses: ["repositories"],
    stanza: "optional",
    prints: true,
    soon: true,
  },
  manifest: {
    doc: "show the files of a backup",
    uses: ["repositories"],
    prints: true,
  },
  metrics: {
    doc: "print the state of backups for Prometheus, or write it to a file for the textfile collector",
    uses: ["repositories"],
    own: true,
    prints: true,
    soon: true,
  },
  notify: {
    doc: "send the result of a unit or of a fire drill to people and services",
    uses: [],
    own: true,
  },
  "slot-drop": {
    doc: "drop the replication slot that archives this stanza's WAL, after its agent was stopped",
    uses: ["cluster", "session"],
    own: true,
  },
  "pg-settings": {
    doc: "show or set settings of the PostgreSQL server",
    params: "[NAME=VALUE …]",
    uses: ["cluster", "session"],
    own: true,
    prints: true,
  },
  recover: {
    doc: "recover this host's cluster from a backup: plan, stop, keep the old data, restore, start, check",
    uses: ["cluster"],
    own: true,
    root: true,
    anySettings: true,
  },
  "recover-step": {
    doc: "run a step of recover as PostgreSQL's account; only recover calls it",
    params: "STEP",
    uses: ["repositories", "cluster", "session"],
    own: true,
    prints: true,
  },
  "repo-get": {
    doc: "print a file of a repository",
    params: "FILE",
    uses: ["repositories"],
    stanza: "optional",
    prints: true,
  },
  "repo-ls": {
    doc: "list files of a repository",
    params: "[PATH]",
    uses: ["repositories"],
    stanza: "optional",
    prints: true,
  },
  restore: {
    doc: "restore the cluster from a backup",
    uses: ["repositories", "cluster", "copy"],
    lenient: true,
    idleMain: true,
    anySettings: true,
  },
  rollback: {
    doc: "return a cluster on ZFS to a snapshot of its file system, and keep its archive usable",
    uses: ["cluster"],
    own: true,
    root: true,
  },
  "stanza-create": {
    doc: "prepare the repositories for a cluster",
    uses: ["repositories", "cluster", "session"],
    writes: true,
  },
  "stanza-delete": {
    doc: "remove a stanza's backups and WAL from a repository",
    uses: ["repositories", "cluster", "session"],
  },
  "stanza-upgrade": {
    doc: "add the cluster's new version to the repositories after pg_upgrade",
    uses: ["repositories", "cluster", "session"],
    writes: true,
  },
  start: {
    doc: "allow commands that stop has forbidden",
    uses: [],
    stanza: "optional",
  },
  status: {
    doc: "show the state of backups on one screen, and what needs attention",
    uses: ["repositories"],
    own: true,
    prints: true,
    soon: true,
  },
  stop: {
    doc: "forbid commands that write, until start",
    uses: [],
    stanza: "optional",
  },
  sync: {
    doc: "copy backups and their WAL from one repository into another",
    uses: ["repositories", "copy", "write"],
    own: true,
    writes: true,
    remembered: true,
  },
  verify: {
    doc: "verify the content of the repositories",
    uses: ["repositories", "copy"],
    writes: true,
    remembered: true,
  },
  version: {
    doc: "show the version",
    uses: [],
  },
} as const satisfies Readonly<Record<string, CommandRow>>;

export type CommandName = keyof typeof ROWS;
/** The others only print a text. */
export type WorkingCommand = Exclude<CommandName, "help" | "version">;

export const COMMAND_TABLE: Readonly<Record<CommandName, CommandRow>> = ROWS;

/** In the order of the table. */
export const COMMANDS = Object.keys(ROWS) as readonly CommandName[];

export function commandsWith(isMeant: (row: CommandRow) => boolean): readonly CommandName[] {
  return COMMANDS.filter((command) => isMeant(COMMAND_TABLE[command]));
}
