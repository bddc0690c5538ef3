/** Names that the operator's side, the sidecars, their files and the components that deploy them agree on. Data only: components read it too. */

/** The plugin's name: in `spec.plugins`, the Service's label and the socket. */
export const PLUGIN_NAME = "pgbackstop";
/** The container in pods of instances and recovery jobs; the operator finds missing sidecars by it. */
export const SIDECAR_NAME = "plugin-pgbackstop";
/** Where the instance manager looks for sockets; every entry is a plugin of that name. */
export const SOCKET_DIRECTORY = "/plugins";
/** File in the ConfigMap of the runtime. */
export const BUNDLE_FILE = "runtime.cjs.gz";

/** The sidecar's own files. */
export const PLACES = {
  bundle: "/pgbackstop/bundle",
  config: "/pgbackstop/config",
  include: "/pgbackstop/conf.d",
  secrets: "/pgbackstop/secrets",
  claims: "/pgbackstop/claims",
  /** Beside an instance of a replica cluster: `config`, `conf.d` and `secrets` of what it follows. */
  source: "/pgbackstop/source",
  /** On the operator's side: the plugin's certificate with its key, and the one that the operator shows. */
  server: "/pgbackstop/server",
  client: "/pgbackstop/client",
  /** Of a drill: its settings, and what production is asked with. */
  drill: "/pgbackstop/drill",
  production: "/pgbackstop/production",
  notify: "/pgbackstop/notify",
  /** Of a migration: what is stopped and changed, the new values of Secrets, the words of its steps, and what servers are signed in to with. */
  migration: "/pgbackstop/migration",
  values: "/pgbackstop/values",
  words: "/pgbackstop/words",
  servers: "/pgbackstop/servers",
  /** Gone with the pod: the unpacked program, locks, the heartbeat. */
  run: "/pgbackstop/run",
} as const;

/** The same three of what a replica cluster follows, beside an instance; a recovery job has them where others have their own. */
export const SOURCE_PLACES = {
  config: `${PLACES.source}/config`,
  include: `${PLACES.source}/conf.d`,
  secrets: `${PLACES.source}/secrets`,
} as const;

/** What containers of the plugin run: the program is unpacked where nothing else can write, and takes the shell's place. */
export const START = `set -e; gzip -dc ${PLACES.bundle}/${BUNDLE_FILE} > ${PLACES.run}/runtime.cjs; exec node ${PLACES.run}/runtime.cjs "$@"`;

/** Written by the sidecar while calls on its socket are answered: seconds since 1970 of the last one. */
export const HEARTBEAT_FILE = `${PLACES.run}/alive`;
export const HEARTBEAT_AGE_MAX_S = 15;
/** Beside it, for people: the verbs with the sidecar's configuration. */
export const LAUNCHER_FILE = "pgbackstop";
/** Note of a backup: the Backup object that asked for it. */
export const BACKUP_UID_NOTE = "cnpg-backup-uid";

/** Kinds of objects that a migration stops and starts again. */
export const WORKLOAD_KINDS = ["Deployment", "StatefulSet", "CronJob"] as const;
