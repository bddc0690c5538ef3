/** How a table differs between two moments: row by row, on two servers. */
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import type { Session } from "../../postgres/session";
import { keyOf, ROW, SAME_TEXT } from "./compareRows";
import { type ChangeKind, type KeyedRow, mergeRows, type RowCounts } from "./mergeRows";
import { identifier, ownRows, parseTableName, tablesOf, wantedText } from "./tableObjects";

export interface DiffSide {
  readonly session: Session;
  /** For messages: `backup 20261120-020000F of repo1, at 2026-11-20T06:39:58.000Z`. */
  readonly text: string;
}

export interface TableDiff {
  readonly table: string;
  /** Columns of the primary key; null compares whole rows. */
  readonly key: readonly string[] | null;
  /** They are not compared. */
  readonly columns: { readonly onlyFrom: readonly string[]; readonly onlyTo: readonly string[] };
  readonly rows: RowCounts;
  /** The first ones by their keys. */
  readonly shown: readonly ShownRow[];
}

export type RowValues = Readonly<Record<string, string | null>>;

export interface ShownRow {
  readonly kind: ChangeKind;
  readonly before: RowValues | null;
  readonly after: RowValues | null;
}

interface StoredRow extends KeyedRow {
  readonly tableOid: string;
  readonly rowId: string;
}

const CURSOR = '"pgbackstop rows"';
const BATCH_ROWS = 2000;

/**
 * Each side reads from one snapshot. Its server sorts the rows by their keys, in temporary files of about the size of
 * the table's keys, or of the table without a key.
 * @throws optionInvalidValue when a side lacks the table, or both have no column in common
 */
export async function diffTable(
  from: DiffSide,
  to: DiffSide,
  { shownMax, table }: { readonly shownMax: number; readonly table: string },
  ctx: Context,
): Promise<TableDiff> {
  const [left, right] = [await Side.open(from, table), await Side.open(to, table)];
  const columns = left.columns.filter((name) => right.columns.includes(name));
  if (columns.length === 0)
    throw fail(
      "optionInvalidValue",
      `table ${table} has other columns then and now: ${left.columns.join(", ")}; ${right.columns.join(", ")}`,
    );
  const isSameKey = left.key.length > 0 && left.key.join("\0") === right.key.join("\0");
  const key = isSameKey ? left.key : columns;
  const shown: ShownRow[] = [];
  const rows = await mergeRows(
    left.rows(key, columns, ctx),
    right.rows(key, columns, ctx),
    async (kind, before, after) => {
      if (shown.length >= shownMax) return;
      shown.push({
        kind,
        before: before === null ? null : await left.valuesOf(before, columns),
        after: after === null ? null : await right.valuesOf(after, columns),
      });
    },
  );
  return {
    table,
    key: isSameKey ? key : null,
    columns: {
      onlyFrom: left.columns.filter((name) => !columns.includes(name)),
      onlyTo: right.columns.filter((name) => !columns.includes(name)),
    },
    rows,
    shown,
  };
}

class Side {
  readonly columns: readonly string[];
  readonly key: readonly string[];
  readonly #session: Session;
  readonly #from: string;

  private constructor(session: Session, from: string, { columns, key }: Pick<Side, "columns" | "key">) {
    this.#session = session;
    this.#from = from;
    this.columns = columns;
    this.key = key;
  }

  static async open({ session, text }: DiffSide, name: string): Promise<Side> {
    const wanted = parseTableName(name);
    await session.query(SAME_TEXT);
    await session.query("begin transaction isolation level repeatable read, read only");
    const own = (await tablesOf(session, wanted)).find(
      (table) => table.schema === wanted.schema && table.name === wanted.table,
    );
    if (own === undefined) throw fail("optionInvalidValue", `${wantedText(wanted)} does not exist in ${text}`);
    const { rows } = await session.query(
      "select attname as name from pg_attribute where attrelid = $1 and attnum > 0 and not attisdropped order by attnum",
      [own.oid],
    );
    const columns = (rows as { name: string }[]).map((row) => row.name);
    const key = await keyOf(session, own.schema, own.name);
    return new Side(session, ownRows(own.schema, own.name, own.isPartitioned), { columns, key });
  }

  async *rows(key: readonly string[], columns: readonly string[], ctx: Context): AsyncGenerator<StoredRow> {
    const session = this.#session;
    await session.query(
      `declare ${CURSOR} no scroll cursor for select convert_to(${textsOf(key)}::text, 'UTF8') as key, ` +
        `hashtextextended(${textsOf(columns)}::text, 0)::text as hash, ` +
        `${ROW}.tableoid::int8::text as "tableOid", ${ROW}.ctid::text as "rowId" from ${this.#from} ${ROW} order by 1`,
    );
    for (;;) {
      ctx.signal.throwIfAborted();
      const { rows } = await session.query(`fetch forward ${BATCH_ROWS} from ${CURSOR}`);
      if (rows.length === 0) return;
      yield* rows as StoredRow[];
    }
  }

  /** The snapshot keeps a row where it was. */
  async valuesOf({ rowId, tableOid }: StoredRow, columns: readonly string[]): Promise<RowValues> {
    const { rows } = await this.#session.query(
      `select ${textsOf(columns)} as values from ${this.#from} ${ROW} where ${ROW}.ctid = $1::tid and ${ROW}.tableoid = $2::int8::oid`,
      [rowId, tableOid],
    );
    const { values } = rows[0] as { values: readonly (string | null)[] };
    return Object.fromEntries(columns.map((name, index) => [name, values[index] ?? null]));
  }
}

function textsOf(columns: readonly string[]): string {
  return `array[${columns.map((name) => `${ROW}.${identifier(name)}::text`).join(", ")}]`;
}
