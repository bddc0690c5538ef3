/**
 * Swaps the restored table with the current one in one transaction: the old table moves unchanged into a separate
 * schema, and foreign keys of other tables, parents, children and publications get the new one. Pure: the statements.
 */
import { publishSql, unpublishSql } from "./replication";
import type { Surroundings } from "./surroundings";
import {
  foreignKeySql,
  identifier,
  joinSql,
  leaveSql,
  type Link,
  literal,
  qualified,
  type Wanted,
} from "./tableObjects";

export interface SwapRequest {
  readonly wanted: Wanted;
  /** Schema with the restored tables. */
  readonly restored: string;
  /** Tables in it, including partitions, with the schema that each goes to. */
  readonly homes: ReadonlyMap<string, string>;
  readonly around: Surroundings;
  /** Schema that the old table moves to, or new name of the old schema. */
  readonly kept: string;
  readonly comment: string;
}

/** The longest that other sessions wait for the swap. */
const LOCK_TIMEOUT = "10s";

export function swapSql({ around, comment, homes, kept, restored, wanted }: SwapRequest): string[] {
  const head = ["BEGIN", `SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`];
  const { children, parents, references, replication } = around;
  const drops = [
    ...references.map(
      ({ name, schema, table }) => `ALTER TABLE ${qualified(schema, table)} DROP CONSTRAINT ${identifier(name)}`,
    ),
    ...[...parents, ...children].map(leaveSql),
    ...unpublishSql(replication, wanted.schema),
  ];
  const { joined } = rejoin(around, homes);
  const adds = [
    ...joined.map(joinSql),
    ...references.map((key) => foreignKeySql(key.schema, key).trim().replace(/;$/, "")),
    ...publishSql(replication, wanted.schema, (table) => homes.get(table)),
  ];
  if (wanted.table === null) {
    const old = !around.isThere ? [] : [`ALTER SCHEMA ${identifier(wanted.schema)} RENAME TO ${identifier(kept)}`];
    const rename = `ALTER SCHEMA ${identifier(restored)} RENAME TO ${identifier(wanted.schema)}`;
    return [
      ...head,
      ...drops,
      ...old,
      rename,
      ...(around.isThere ? [advanceSql(kept, [wanted.schema])] : []),
      `COMMENT ON SCHEMA ${identifier(wanted.schema)} IS NULL`,
      ...adds,
      "COMMIT",
    ];
  }
  const old =
    around.relations.length === 0
      ? []
      : [
          `CREATE SCHEMA ${identifier(kept)}`,
          `COMMENT ON SCHEMA ${identifier(kept)} IS ${literal(comment)}`,
          ...around.relations.map(
            ({ name, schema }) => `ALTER TABLE ${qualified(schema, name)} SET SCHEMA ${identifier(kept)}`,
          ),
        ];
  const back = [...homes].map(
    ([table, home]) => `ALTER TABLE ${qualified(restored, table)} SET SCHEMA ${identifier(home)}`,
  );
  const advance = old.length === 0 ? [] : [advanceSql(kept, [...new Set(homes.values())])];
  return [...head, ...drops, ...old, ...back, ...advance, `DROP SCHEMA ${identifier(restored)}`, ...adds, "COMMIT"];
}

/**
 * Sequences of the new tables go on where those of the old ones are, if that is further: other tables may have numbers
 * that were given out since the backup. `setval` stays after a rollback, and then only skips numbers.
 */
function advanceSql(kept: string, homes: readonly string[]): string {
  const last = (sequence: string): string => `pg_catalog.pg_sequence_last_value(${sequence}.oid)`;
  return [
    `SELECT pg_catalog.setval(new.oid, ${last("old")}) FROM pg_catalog.pg_class old`,
    `JOIN pg_catalog.pg_namespace was ON was.oid = old.relnamespace AND was.nspname = ${literal(kept)}`,
    "JOIN pg_catalog.pg_class new ON new.relname = old.relname AND new.relkind = 'S'",
    `JOIN pg_catalog.pg_namespace home ON home.oid = new.relnamespace AND home.nspname IN (${homes.map(literal).join(", ")})`,
    "JOIN pg_catalog.pg_sequence q ON q.seqrelid = new.oid",
    `WHERE old.relkind = 'S' AND NOT q.seqcycle AND ${last("old")} BETWEEN q.seqmin AND q.seqmax`,
    `AND (${last("new")} IS NULL OR CASE WHEN q.seqincrement > 0 THEN ${last("old")} > ${last("new")} ELSE ${last("old")} < ${last("new")} END)`,
  ].join(" ");
}

/** Tables that leave a parent for good, because either one did not exist at the target: `child of parent`. */
export function lostLinks({ around, homes }: Pick<SwapRequest, "around" | "homes">): string[] {
  return rejoin(around, homes).lost.map(
    ({ parentSchema, parentTable, schema, table }) => `${schema}.${table} of ${parentSchema}.${parentTable}`,
  );
}

function rejoin(
  { children, parents }: Surroundings,
  homes: ReadonlyMap<string, string>,
): { readonly joined: readonly Link[]; readonly lost: readonly Link[] } {
  const [joined, lost]: [Link[], Link[]] = [[], []];
  for (const link of parents) {
    const schema = homes.get(link.table);
    if (schema === undefined) lost.push(link);
    else joined.push({ ...link, schema });
  }
  for (const link of children) {
    const parentSchema = homes.get(link.parentTable);
    if (parentSchema === undefined) lost.push(link);
    else joined.push({ ...link, parentSchema });
  }
  return { joined, lost };
}
