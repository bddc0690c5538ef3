/**
 * Records of a migration inside the clusters, as database settings that no program reads. They change in one
 * transaction with what they describe, and any machine that continues the migration can read them. Pure.
 */

export const MARK_PREFIX = "pgbackstop.";
/** In the source: the settings before writing was stopped. */
export const GUARD_MARK = `${MARK_PREFIX}guard`;
/** What the guard sets. */
export const READ_ONLY = "default_transaction_read_only";
export const GUARD_READ_ONLY = "on";
export const GUARD_CONNECTION_LIMIT = 0;
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
  /** Time by the target's clock. */
  readonly copiedAtS: number;
  /** Null until a comparison found the copy equal. */
  readonly verifiedAtS: number | null;
  /** When the guard of this copy, or of its comparison, was set. Another time: the source may have changed since. */
  readonly guardAtS: number;
  /** The `state` of each subscription of the source's database when the comparison began; absent without one. */
  readonly subscriptions?: readonly string[];
}

export function renderMark(mark: GuardMark | MigrationMark): string {
  return JSON.stringify(mark);
}

/** Null for a foreign value. */
export function parseGuard(text: string | null): GuardMark | null {
  return parse(text) as GuardMark | null;
}

/** Null for a foreign value. */
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
