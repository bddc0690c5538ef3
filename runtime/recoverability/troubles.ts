/**
 * What can be wrong with a stanza's backups, one row each. Messages, exit codes, the headline and the JSON of `status`,
 * the metric of troubles and its alerts follow from the rows.
 */
import { BackupError, type ErrorDetails, type ErrorKind, fail } from "../base/errors";

interface TroubleRow {
  readonly kind: ErrorKind;
  /** Words of a headline. A trouble without them belongs to a repository, which the headline counts. */
  readonly title?: string;
  /** Absent where a figure of its own has an alert: an age, a count, the result of a run. */
  readonly alert?: TroubleAlert;
}

export interface TroubleAlert {
  readonly severity: "critical" | "warning";
  /** Follows the name of the database, and of the repository if it belongs to one. */
  readonly summary: string;
}

const critical = (summary: string): TroubleAlert => ({ severity: "critical", summary });
const warning = (summary: string): TroubleAlert => ({ severity: "warning", summary });

const TROUBLES = {
  unserved: { kind: "execute", title: "production lacks files", alert: critical("nobody serves production's files") },
  production: { kind: "fileMissing", title: "production lacks files", alert: critical("production lacks files") },
  stopped: { kind: "stop", title: "archiving and backups are stopped" },
  host: {
    kind: "execute",
    title: "this host needs attention",
    alert: critical("units of the host or its server do not work as declared"),
  },
  foreign: {
    kind: "dbMismatch",
    title: "the data directory holds another cluster",
    alert: critical("the data directory holds another cluster"),
  },
  branches: {
    kind: "dbMismatch",
    title: "the archive has several living histories",
    alert: critical("a second server archives here, or did: the archive has several living histories"),
  },
  slot: { kind: "archiveDisabled", title: "nobody reads the replication slot" },
  waiting: { kind: "archiveTimeout", title: "WAL waits for too long" },
  unreadable: { kind: "repoInvalid" },
  infoFile: { kind: "fileMissing", alert: critical("an info file and its copy are missing") },
  backupWal: { kind: "fileMissing", alert: critical("WAL of the newest backup is missing: it cannot be restored") },
  gap: { kind: "fileMissing", alert: critical("WAL after the newest backup is missing: no recovery passes it") },
  older: { kind: "fileMissing", alert: critical("WAL that was archived is gone: this is an older copy") },
  damage: { kind: "fileInvalid" },
  conflict: { kind: "archiveDuplicate" },
  full: { kind: "backupSetInvalid" },
  dropped: { kind: "fileMissing" },
  missing: { kind: "fileMissing" },
  behind: { kind: "fileMissing" },
  stream: { kind: "archiveTimeout" },
  dump: { kind: "fileMissing", alert: warning("a logical dump cannot be used") },
  drill: { kind: "backupSetInvalid" },
  attack: { kind: "access" },
  lock: { kind: "access", alert: warning("backups have outlived their lock: this repository's key can delete them") },
  space: { kind: "fileWrite", alert: warning("its file system has no space for another week") },
} as const satisfies Readonly<Record<string, TroubleRow>>;

type TroubleCode = keyof typeof TROUBLES;

/** The alerts of troubles, by their codes. */
export const TROUBLE_ALERTS = Object.entries<TroubleRow>(TROUBLES).flatMap(([code, { alert, title }]) =>
  alert === undefined ? [] : [{ ...alert, code, ofRepository: title === undefined }],
);

/** An error that needs attention, with the name of its row. */
export type Trouble = BackupError & { readonly code: TroubleCode };

export function troubleOf(code: TroubleCode, fact: string, details: ErrorDetails): Trouble {
  return asTrouble(code, fail(TROUBLES[code].kind, fact, details));
}

/** What metrics say of a trouble. */
export interface CountedTrouble {
  readonly code: string;
  /** Null for one of no single repository. */
  readonly repoIndex: number | null;
}

/** Names an error that another part has found; one that has a name keeps it. */
export function asTrouble(code: TroubleCode, error: BackupError): Trouble {
  return Object.assign(error, { code: "code" in error ? (error.code as TroubleCode) : code });
}

/** The headline's words for troubles of no single repository, in the order of the rows. */
export function titlesOf(troubles: readonly Trouble[]): string[] {
  const codes = new Set<string>(troubles.map(({ code }) => code));
  const titles = Object.entries<TroubleRow>(TROUBLES).flatMap(([code, { title }]) =>
    codes.has(code) && title !== undefined ? [title] : [],
  );
  return [...new Set(titles)];
}
