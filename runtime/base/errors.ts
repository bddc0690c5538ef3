/**
 * Every error of the runtime: one table of kinds with pgBackRest's exit codes and type names.
 *
 * Numbers and names are stock's ("build/error.yaml" of pgBackRest 2.60), so that existing scripts and habits keep
 * working. A new situation reuses the nearest kind; its message says what happened. Messages are lowercase without a
 * full stop, name both sides of a mismatch and never hold a secret. A hint is a sentence that tells the user what to
 * do.
 */
export const ERRORS = {
  assert: 25,
  checksum: 26,
  config: 27,
  fileInvalid: 28,
  format: 29,
  commandRequired: 30,
  optionInvalid: 31,
  optionInvalidValue: 32,
  optionRequired: 37,
  pgRunning: 38,
  protocol: 39,
  pathNotEmpty: 40,
  fileOpen: 41,
  fileRead: 42,
  paramRequired: 43,
  archiveMismatch: 44,
  archiveDuplicate: 45,
  versionNotSupported: 46,
  pathCreate: 47,
  commandInvalid: 48,
  hostConnect: 49,
  lockAcquire: 50,
  backupMismatch: 51,
  fileSync: 52,
  pathOpen: 53,
  pathSync: 54,
  fileMissing: 55,
  dbConnect: 56,
  dbQuery: 57,
  dbMismatch: 58,
  fileRemove: 60,
  pathRemove: 61,
  stop: 62,
  term: 63,
  fileWrite: 64,
  featureNotSupported: 67,
  archiveCommandInvalid: 68,
  linkExpected: 69,
  linkDestination: 70,
  hostInvalid: 72,
  pathMissing: 73,
  fileMove: 74,
  backupSetInvalid: 75,
  tablespaceMap: 76,
  linkMap: 78,
  fileClose: 79,
  dbMissing: 80,
  dbInvalid: 81,
  archiveTimeout: 82,
  fileMode: 83,
  archiveDisabled: 87,
  fileOwner: 88,
  userMissing: 89,
  fileExists: 93,
  memory: 94,
  crypto: 95,
  paramInvalid: 96,
  pathClose: 97,
  fileInfo: 98,
  jsonFormat: 99,
  kernel: 100,
  service: 101,
  execute: 102,
  repoInvalid: 103,
  command: 104,
  access: 105,
  clock: 106,
  runtime: 122,
  unhandled: 124,
} as const;

export type ErrorKind = keyof typeof ERRORS;

export interface ErrorDetails {
  /** One or more sentences that tell the user what to do, without the word HINT. */
  readonly hint?: string | readonly string[];
  /** Key of the affected repository (1 = repo1). */
  readonly repoIndex?: number;
  /** Path relative to the repository, or of a local file. */
  readonly path?: string | undefined;
  /** Names and positions that lead to the wrong field of that file. */
  readonly field?: readonly (string | number)[];
  readonly cause?: unknown;
  /** True when the same request may succeed later without intervention. */
  readonly retryable?: boolean;
  /** How long the service asks not to be called again. */
  readonly retryAfterMs?: number;
}

/** The one error class of the runtime; create it with {@link fail}. */
export class BackupError extends Error {
  readonly kind: ErrorKind;
  readonly exitCode: number;
  readonly hints: readonly string[];
  readonly repoIndex: number | undefined;
  readonly path: string | undefined;
  readonly field: readonly (string | number)[] | undefined;
  readonly retryable: boolean;
  readonly retryAfterMs: number;

  constructor(kind: ErrorKind, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = stockErrorName(kind);
    this.kind = kind;
    this.exitCode = ERRORS[kind];
    this.hints = details.hint === undefined ? [] : typeof details.hint === "string" ? [details.hint] : details.hint;
    this.repoIndex = details.repoIndex;
    this.path = details.path;
    this.field = details.field;
    this.retryable = details.retryable ?? false;
    this.retryAfterMs = details.retryAfterMs ?? 0;
  }
}

/** A {@link BackupError}, to be thrown or kept as a value: `throw fail("fileMissing", "unable to open …")`. */
export function fail(kind: ErrorKind, message: string, details: ErrorDetails = {}): BackupError {
  return new BackupError(kind, message, details);
}

/** True when `error` is a {@link BackupError} of one of `kinds` (of any kind without `kinds`). */
export function isError(error: unknown, ...kinds: readonly ErrorKind[]): error is BackupError {
  return error instanceof BackupError && (kinds.length === 0 || kinds.includes(error.kind));
}

/** The result of `work`, or null if it fails with an error of one of `kinds`. */
export async function nullOn<T>(work: Promise<T>, ...kinds: readonly [ErrorKind, ...ErrorKind[]]): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    if (isError(error, ...kinds)) return null;
    throw error;
  }
}

/** Any thrown value as a {@link BackupError}: system errors keep their text, the rest is `unhandled` (124). */
export function toBackupError(error: unknown, kind: ErrorKind = "unhandled"): BackupError {
  if (error instanceof BackupError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new BackupError(kind, message, { cause: error });
}

/** pgBackRest's type name of a kind as it appears in messages: `fileMissing` → `FileMissingError`. */
export function stockErrorName(kind: ErrorKind): string {
  return `${kind.charAt(0).toUpperCase()}${kind.slice(1)}Error`;
}

/** pgBackRest's type name of an exit code; null for a code without an error. */
export function nameOfCode(code: number): string | null {
  const entry = Object.entries(ERRORS).find(([, number]) => number === code);
  return entry === undefined ? null : stockErrorName(entry[0] as ErrorKind);
}

/** For our own bugs only (exit 25): a condition that no input can make false. */
export function assert(condition: unknown, text: string): asserts condition {
  if (!condition)
    throw new BackupError("assert", text, { hint: "This is a defect of pgbackstop: please report it with the stack." });
}
