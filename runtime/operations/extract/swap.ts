/**
 * Swaps the restored table with the current one in one transaction: the old table moves unchanged into a separate
 * schema, and foreign keys of other tables, parents, children and publications get the new one. Pure: the statements.
 */
import { publishSql, unpublishSql } from "./replication";
import type { Surroundings } from "./surroundings";
import { foreignKeySql, identifier, joinSql, leaveSql, literal, qualified, type Wanted } from "./tableObjects";

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
  const joined = [
    ...parents.map((link) => ({ ...link, schema: homes.get(link.table) })),
    ...children.map((link) => ({ ...link, parentSchema: homes.get(link.parentTable) })),
  ];
  const adds = [
    ...joined.flatMap(({ parentSchema, schema, ...link }) =>
      schema === undefined || parentSchema === undefined ? [] : [joinSql({ ...link, parentSchema, schema })],
    ),
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
  return [...head, ...drops, ...old, ...back, `DROP SCHEMA ${identifier(restored)}`, ...adds, "COMMIT"];
}
