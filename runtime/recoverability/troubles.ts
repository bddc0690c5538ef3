/**
 * What can be wrong with a stanza's backups, one row each. Messages, exit codes, the headline and the JSON of `status`
 * follow from the rows.
 */
import { BackupError, type ErrorDetails, type ErrorKind, fail } from "../base/errors";

interface TroubleRow {
  readonly kind: ErrorKind;
  /** Words of a headline. A trouble without them belongs to a repository, which the headline counts. */
  readonly title?: string;
}

const TROUBLES = {
  unserved: { kind: "execute", title: "production lacks files" },
  production: { kind: "fileMissing", title: "production lacks files" },
  stopped: { kind: "stop", title: "archiving and backups are stopped" },
  host: { kind: "execute", title: "this host needs attention" },
  foreign: { kind: "dbMismatch", title: "the data directory holds another cluster" },
  branches: { kind: "dbMismatch", title: "the archive has several living histories" },
  slot: { kind: "archiveDisabled", title: "nobody reads the replication slot" },
  waiting: { kind: "archiveTimeout", title: "WAL waits for too long" },
  unreadable: { kind: "repoInvalid" },
  infoFile: { kind: "fileMissing" },
  backupWal: { kind: "fileMissing" },
  gap: { kind: "fileMissing" },
  older: { kind: "fileMissing" },
  damage: { kind: "fileInvalid" },
  conflict: { kind: "archiveDuplicate" },
  full: { kind: "backupSetInvalid" },
  dropped: { kind: "fileMissing" },
  missing: { kind: "fileMissing" },
  behind: { kind: "fileMissing" },
  stream: { kind: "archiveTimeout" },
  dump: { kind: "fileMissing" },
  drill: { kind: "backupSetInvalid" },
  attack: { kind: "access" },
  lock: { kind: "access" },
  space: { kind: "fileWrite" },
} as const satisfies Readonly<Record<string, TroubleRow>>;

type TroubleCode = keyof typeof TROUBLES;

/** An error that needs attention, with the name of its row. */
export type Trouble = BackupError & { readonly code: TroubleCode };

export function troubleOf(code: TroubleCode, fact: string, details: ErrorDetails): Trouble {
  return asTrouble(code, fail(TROUBLES[code].kind, fact, details));
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
