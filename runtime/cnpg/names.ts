/**
 * Names shared by the operator side, the sidecars, their files and the components that deploy them. Data only:
 * components read it too.
 */
import { RECEIVER_NAME } from "../operations/stream/standbyNames";

/** The plugin's name: in `spec.plugins`, the Service's label and the socket. */
export const PLUGIN_NAME = "pgbackstop";
/** Commits wait for the primary's sidecar under this name. */
export const SYNCHRONOUS_NAME = RECEIVER_NAME;
/** The container in pods of instances and recovery jobs; the operator detects missing sidecars by it. */
export const SIDECAR_NAME = "plugin-pgbackstop";
/** The instance manager's socket directory; every entry is a plugin of that name. */
export const SOCKET_DIRECTORY = "/plugins";
/** File in the ConfigMap of the runtime, or in the same directory of an image that contains it. */
export const BUNDLE_FILE = "runtime.cjs.gz";

/** Options of a program in a pod. Kubernetes sets the address, which works without DNS. */
export const API_SERVER_OPTIONS = [
  "--kubernetes-host=$(KUBERNETES_SERVICE_HOST)",
  "--kubernetes-port=$(KUBERNETES_SERVICE_PORT)",
] as const;

/** Annotation of a Cluster: with `enabled` no plugin checks its archive before it writes there. */
export const SKIP_ANNOTATION = "cnpg.io/skipEmptyWalArchiveCheck";

/** The sidecar's own files. */
export const PATHS = {
  bundle: "/pgbackstop/bundle",
  config: "/pgbackstop/config",
  include: "/pgbackstop/conf.d",
  secrets: "/pgbackstop/secrets",
  claims: "/pgbackstop/claims",
  /** Alongside an instance of a replica cluster: `config`, `conf.d` and `secrets` of its source. */
  source: "/pgbackstop/source",
  /** On the operator side: the plugin's certificate with its key, and the operator's certificate. */
  server: "/pgbackstop/server",
  client: "/pgbackstop/client",
  /** For a drill: its settings and the credentials for production. */
  drill: "/pgbackstop/drill",
  production: "/pgbackstop/production",
  notify: "/pgbackstop/notify",
  /** Alongside an instance: the password of the report. */
  report: "/pgbackstop/report",
  /** For a Job that extracts tables: what it restores. */
  scratch: "/pgbackstop/scratch",
  /** Lost with the pod: the unpacked program, locks, the heartbeat. */
  run: "/pgbackstop/run",
} as const;

/**
 * The same three for a replica cluster's source, alongside an instance. In a recovery job the source takes the usual
 * directories.
 */
export const SOURCE_PATHS = {
  config: `${PATHS.source}/config`,
  include: `${PATHS.source}/conf.d`,
  secrets: `${PATHS.source}/secrets`,
} as const;

/** The sidecar writes it while its socket answers calls: time of the last answer, in seconds since 1970. */
export const HEARTBEAT_FILE = `${PATHS.run}/alive`;
export const HEARTBEAT_AGE_MAX_S = 15;
/** File of the report's password, and where the sidecar serves the report: inside the pod only. */
export const REPORT_PASSWORD_FILE = `${PATHS.report}/password`;
export const REPORT_ADDRESS = { address: "127.0.0.1", port: 9854 } as const;
/** In the same directory, for people: the verbs with the sidecar's configuration. */
export const LAUNCHER_FILE = "pgbackstop";
/** Note of a backup: the Backup object that requested it. */
export const BACKUP_UID_NOTE = "cnpg-backup-uid";

/** An argument of a container, where Kubernetes replaces `$(NAME)` and takes `$$` for `$`. */
export function literalArg(text: string): string {
  return text.split("$").join("$$");
}

/** Names of Kubernetes objects. */
export const OBJECT_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
/** `minio/AWS_ACCESS_KEY_ID` */
const SECRET_KEY = /^([a-z0-9][-a-z0-9.]*)\/([-._a-zA-Z0-9]+)$/;

/** A Secret and its key, as a parameter names them; null for another text. */
export function secretKeyOf(text: string): { readonly name: string; readonly key: string } | null {
  const [, name = "", key = ""] = SECRET_KEY.exec(text) ?? [];
  return OBJECT_NAME.test(name) ? { name, key } : null;
}

/** Name of the pod that dumps a Cluster, and of what starts it. */
export function dumpPodName(cluster: string): string {
  return `${cluster}-dump`;
}

/** Data of the ConfigMap that reports full backups: a text, and JSON of `info --detail-level=destinations`. */
export const REPORT_KEYS = { state: "fullBackups", destinations: "destinations" } as const;

/** The state for which an update waits. @param locations digest of what the repositories are */
export function completeText(locations: string): string {
  return `in every repository of ${locations}`;
}
