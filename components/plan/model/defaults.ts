/** Defaults, which the arguments' documentation repeats, and closed sets of values. */
import { DRILL_PATH, levelRangeOf } from "../../../runtime/config/settings";
import { type CompressType, GCS_ENDPOINT } from "../../../runtime/config/options";

export const REPO_INDEX_MAX = 256;

export const DEFAULTS = {
  stanza: "main",
  port: 5432,
  user: "postgres",
  engine: "runtime",
  repositoryPath: "/pgbackrest",
  compressType: "zst",
  s3Port: 443,
  sftpPort: 22,
  gcsEndpoint: GCS_ENDPOINT,
  gcsKeyType: "service",
  azurePort: 443,
  azureEndpoint: "blob.core.windows.net",
  keyType: "shared",
  timeZone: "UTC",
  jitterSeconds: 0,
  deadlineSeconds: 24 * 3600,
  acknowledge: "all",
  processMax: 2,
  firstBackup: true,
  instances: 1,
  backupTarget: "prefer-standby",
  /** Interval of streaming an incomplete segment. */
  streamIntervalSeconds: 5,
  /** CloudNativePG's default `archive_timeout` (the operator sets 5min in every cluster). */
  clusterArchiveTimeoutSeconds: 300,
  compressedTo: 0.35,
  /** Share of the database that changes in a day, if not declared. */
  changedShare: 0.02,
  pgbackrestPath: "/usr/bin/pgbackrest",
  /** Stock's default path: its commands then need no options. */
  stockConfig: "/etc/pgbackrest",
  /** Spread over the hour and the week, at times when people look at the results. */
  maintenance: {
    expire: { cron: "40 6 * * *", jitterSeconds: 600, deadlineSeconds: 6 * 3600 },
    verify: { cron: "20 7 * * 6", jitterSeconds: 3600, deadlineSeconds: 24 * 3600 },
    heal: { cron: "50 * * * *", jitterSeconds: 300, deadlineSeconds: 6 * 3600 },
    metrics: { cron: "*/5 * * * *", jitterSeconds: 60, deadlineSeconds: 240 },
    stale: { cron: "20 * * * *", jitterSeconds: 300, deadlineSeconds: 1800 },
  },
  /** Everything that runs on a schedule of a host has it, unless an argument changes it. */
  priority: { cpuNice: 10, ioClass: "idle" },
  verifySamplePercent: 10,
  dumpKeepDays: 30,
  /** For a host used only for drills, or one of a container. */
  drillPath: DRILL_PATH,
  directories: {
    config: "/etc/pgbackstop",
    lib: "/usr/local/lib/pgbackstop",
    units: "/etc/systemd/system",
    bin: "/usr/local/bin",
    metrics: "/var/lib/node_exporter/textfile_collector",
    // Stock's own paths.
    spool: "/var/spool/pgbackrest",
    log: "/var/log/pgbackrest",
  },
} as const;

/** True for an administrator's folder that systemd loads units from. */
export function isUnitDirectory(directory: string): boolean {
  return ["/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system"].includes(directory);
}

export const COMPRESS_TYPES: readonly CompressType[] = ["none", "gz", "lz4", "zst"];

/** Null for a kind that the runtime cannot write. */
export function findCompressType(name: string): CompressType | null {
  return COMPRESS_TYPES.find((type) => type === name) ?? null;
}

/** Default level; 0 for an unknown kind. */
export function defaultLevel(compressType: string): number {
  const type = findCompressType(compressType);
  return type === null ? 0 : (levelRangeOf(type)?.fallback ?? 0);
}

/** The key of `repo1` … `repo256`, null for any other text. */
export function findRepoIndex(name: string): number | null {
  const match = /^repo([1-9][0-9]{0,2})$/.exec(name);
  const key = Number(match?.[1]);
  return match !== null && key <= REPO_INDEX_MAX ? key : null;
}
