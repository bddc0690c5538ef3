/**
 * What a migration writes down in the clusters themselves, as settings of their databases that no program reads: they change in one transaction with
 * what they speak of, and are there for whoever goes on, from whatever machine. Pure.
 */

export const MARK_PREFIX = "pgbackstop.";
/** In the source: what was there before writing was stopped. */
export const GUARD_MARK = `${MARK_PREFIX}guard`;
/** In the target: an unfinished copy of ours. */
export const COPYING_MARK = `${MARK_PREFIX}copying`;
/** In the target: a finished one. */
export const MIGRATION_MARK = `${MARK_PREFIX}migration`;

export interface GuardMark {
  readonly connectionLimit: number;
  /** Value of `default_transaction_read_only` for the database; null when it had none. */
  readonly readOnly: string | null;
  readonly atS: number;
}

export interface MigrationMark {
  /** System identifier of the source. */
  readonly from: string;
  /** By the target's clock. */
  readonly copiedAtS: number;
  /** Null until the copy was compared and found equal. */
  readonly verifiedAtS: number | null;
  /** Whether it was ever found equal: applications may have used it since. */
  readonly wasEqual?: boolean;
  /** When the guard was set that the copy was made under: another one means that the source may have been written to since. */
  readonly guardAtS: number;
}

export function renderMark(mark: GuardMark | MigrationMark): string {
  return JSON.stringify(mark);
}

/** Null for what is none of ours. */
export function parseGuard(text: string | null): GuardMark | null {
  return parse(text) as GuardMark | null;
}

/** Null for what is none of ours. */
export function parseMigration(text: string | null): MigrationMark | null {
  return parse(text) as MigrationMark | null;
}

function parse(text: string | null): object | null {
  if (text === null) return null;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
