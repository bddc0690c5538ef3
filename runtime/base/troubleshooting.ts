/**
 * Finds the entry of docs/troubleshooting.md for an error. Pure.
 *
 * The lookup uses the error's text, because errors travel as text through spools, threads, the agent's socket and the
 * summary of several repositories, and each must end with the same pointer. `pgbackstop explain <anchor>` of the
 * package prints the entry.
 */
import { type BackupError, stockErrorName } from "./errors";

/** Precedes the anchor in a hint. */
const POINTER = "see troubleshooting: ";

/** The first matching row wins: causes come before their consequences. Matched against `[KindError] message`. */
const ENTRIES: readonly (readonly [anchor: string, pattern: RegExp])[] = [
  ["stop-file", /\[StopError\]/],
  ["lock-held", /unable to acquire (lock on file '|the advisory backup lock)|another agent serves '/],
  ["lease-held", /the lease of stanza '|cannot continue: its attempt file /],
  ["clock-skew", /RequestTimeTooSkewed/],
  ["passphrase-missing", /requires option: repo\d+-cipher-pass\b/],
  ["wrong-passphrase", /\bCryptoError\b/],
  ["bucket-missing", /bucket '[^']*' does not exist/],
  ["certificate-refused", /: its certificate /],
  ["host-key-changed", /host key of '/],
  ["disk-full", /\[28\] No space left on device/],
  ["permission-denied", /\[13\] Permission denied/],
  ["wrong-keys", /\bAccessError\b/],
  ["repository-unreachable", /\bHostConnectError\b/],
  ["nas-not-mounted", /was there a moment ago and is gone|nothing is mounted at or above '/],
  ["stanza-missing", /unable to load info file [^]*\bFileMissingError\b/],
  ["two-writers", /\bArchiveDuplicateError\b/],
  [
    "wrong-timeline",
    /the archive has \d+ histories|target timeline [0-9A-F]+ (forked from|has no history)|not in the history of target timeline/,
  ],
  ["wrong-stanza", /\b(ArchiveMismatchError|BackupMismatchError)\b|do not match repo\d+ stanza/],
  ["slot-not-read", /the (server has no )?replication slot \S+/],
  ["container-gone", /there is no container |container '[^']*' does not run/],
  ["container-data-shared", /^\[PgRunningError\] containers '/],
  ["unit-not-running", /\] pgbackstop-\S+\.(service|socket|timer) (cannot be|has|is|runs|starts|was) /],
  ["archive-command-foreign", /\bArchiveCommandInvalidError\b/],
  ["archiving-off", /\bArchiveDisabledError\b/],
  ["archive-failing", /\bArchiveTimeoutError\b/],
  ["postgres-down", /unable to connect to host '[^']*' port \d+ database/],
  ["postgres-running", /\bPgRunningError\b/],
  ["path-not-empty", /\bPathNotEmptyError\b/],
  ["no-such-backup", /\bBackupSetInvalidError\b/],
  ["metrics-stale", /unable to write '[^']*': its directory does not exist/],
  ["zfs-rollback", /there is no snapshot '|is not in file system '/],
  ["repository-damaged", /is damaged or cut short|verify found errors in/],
  ["recovery-aborted", /unable to determine whether [0-9A-F]{8}\S* (is in the archive|was streamed further)/],
];

/** Every anchor that an error can point at. */
export const TROUBLESHOOTING_ANCHORS: readonly string[] = ENTRIES.map(([anchor]) => anchor);

/** Anchor of this error's entry; null if absent. */
export function troubleshootingAnchor(error: BackupError): string | null {
  const text = `[${stockErrorName(error.kind)}] ${error.message}`;
  return ENTRIES.find(([, pattern]) => pattern.test(text))?.[0] ?? null;
}

/** An error's hints as lines, `HINT: …`, the pointer last. */
export function hintLines(error: BackupError): string[] {
  const anchor = troubleshootingAnchor(error);
  return [...error.hints, ...(anchor === null ? [] : [`${POINTER}${anchor}`])].map((hint) => `HINT: ${hint}`);
}
