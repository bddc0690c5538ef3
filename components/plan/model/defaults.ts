/** Defaults that the documentation of the arguments repeats, and the closed sets that arguments choose from. */
import { levelRangeOf } from "../../../runtime/config/settings";
import type { CompressType } from "../../../runtime/config/options";

/** Repository keys of pgBackRest. */
export const REPO_KEY_MAX = 256;

export const DEFAULTS = {
  stanza: "main",
  port: 5432,
  user: "postgres",
  engine: "runtime",
  repositoryPath: "/pgbackrest",
  compressType: "zst",
  s3Port: 443,
  sftpPort: 22,
  keyType: "shared",
  timeZone: "UTC",
  jitterSeconds: 0,
  deadlineSeconds: 24 * 3600,
  acknowledge: "all",
  processMax: 2,
  firstBackup: true,
  instances: 1,
  backupTarget: "prefer-standby",
  /** Seconds between two ships of a segment that is not full. */
  streamIntervalSeconds: 5,
  /** CloudNativePG's own `archive_timeout` (its operator sets 5min in every cluster). */
  clusterArchiveTimeoutSeconds: 300,
  compressedTo: 0.35,
  /** Share of the database that a day changes, where nobody says. */
  changedShare: 0.02,
  pgbackrestPath: "/usr/bin/pgbackrest",
  /** Where stock looks when nothing is said: its commands need no options then. */
  stockConfig: "/etc/pgbackrest",
  /** Spread over the hour and the week; the days and hours in which people look at what they find. */
  maintenance: {
    expire: { cron: "40 6 * * *", jitterSeconds: 600, deadlineSeconds: 6 * 3600 },
    verify: { cron: "20 7 * * 6", jitterSeconds: 3600, deadlineSeconds: 24 * 3600 },
    heal: { cron: "50 * * * *", jitterSeconds: 300, deadlineSeconds: 6 * 3600 },
    metrics: { cron: "*/5 * * * *", jitterSeconds: 60, deadlineSeconds: 240 },
  },
  verifySamplePercent: 10,
  /** On a host that is there for drills. */
  drillPath: "/var/lib/pgbackstop-drill",
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

/** Folders of administrators that systemd loads units from. */
export const SYSTEMD_DIRECTORIES: readonly string[] = ["/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system"];

/** Kinds of compression that the runtime writes. */
export const COMPRESS_TYPES: readonly CompressType[] = ["none", "gz", "lz4", "zst"];

/** The kind of that name, or null when it cannot be written. */
export function findCompressType(name: string): CompressType | null {
  return COMPRESS_TYPES.find((type) => type === name) ?? null;
}

/** Level of a kind of compression when none is given; 0 for a kind that is none. */
export function defaultLevel(compressType: string): number {
  const type = findCompressType(compressType);
  return type === null ? 0 : (levelRangeOf(type)?.fallback ?? 0);
}

/** The key of `repo1` … `repo256`, null for any other text. */
export function findRepoKey(name: string): number | null {
  const match = /^repo([1-9][0-9]{0,2})$/.exec(name);
  const key = Number(match?.[1]);
  return match !== null && key <= REPO_KEY_MAX ? key : null;
}
