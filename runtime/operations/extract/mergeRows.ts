/** Compares two streams of rows that are sorted by the same key. Pure. */

export interface KeyedRow {
  /** Its bytes decide the order, because collations of two servers may differ. */
  readonly key: Uint8Array;
  /** Over all compared values. */
  readonly hash: string;
}

export type ChangeKind = "added" | "changed" | "removed";

export interface RowCounts {
  readonly same: number;
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
}

/**
 * Calls `onChange` for each row that differs, in the order of the keys. Rows of one key pair up one by one, so tables
 * without a key compare as multisets. Holds one row of each side.
 */
export async function mergeRows<Row extends KeyedRow>(
  from: AsyncIterable<Row>,
  to: AsyncIterable<Row>,
  onChange: (kind: ChangeKind, before: Row | null, after: Row | null) => Promise<void>,
): Promise<RowCounts> {
  const counts = { same: 0, added: 0, changed: 0, removed: 0 };
  const [left, right] = [from[Symbol.asyncIterator](), to[Symbol.asyncIterator]()];
  const next = async (rows: AsyncIterator<Row>): Promise<Row | null> => {
    const { done, value } = await rows.next();
    return done === true ? null : value;
  };
  let [before, after] = [await next(left), await next(right)];
  while (before !== null || after !== null) {
    const order = orderOf(before, after);
    if (order === 0 && before?.hash === after?.hash) counts.same++;
    else {
      const kind = order < 0 ? "removed" : order > 0 ? "added" : "changed";
      counts[kind]++;
      await onChange(kind, order > 0 ? null : before, order < 0 ? null : after);
    }
    [before, after] = [order > 0 ? before : await next(left), order < 0 ? after : await next(right)];
  }
  return counts;
}

/** What is on one side only comes before the rest of the other. */
function orderOf(before: KeyedRow | null, after: KeyedRow | null): number {
  if (before === null) return 1;
  return after === null ? -1 : Buffer.compare(before.key, after.key);
}
