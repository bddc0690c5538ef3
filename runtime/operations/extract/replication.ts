/**
 * Logical replication of the tables that a swap replaces. Publications and subscriptions know tables by oid: without
 * care they would keep to the old table, and changes of the new one would go nowhere, without an error.
 */
import { fail } from "../../base/errors";
import type { Session } from "../../postgres/session";
import { identifier, qualified, type Wanted, wantedText } from "./tableObjects";

/** A table of a publication. */
export interface Published {
  readonly publication: string;
  readonly schema: string;
  readonly table: string;
  /** Null means all. */
  readonly columns: readonly string[] | null;
  /** Condition for rows; null means all. */
  readonly filter: string | null;
}

export interface Replication {
  readonly published: readonly Published[];
  /** Publications of all tables of the wanted schema. */
  readonly schemaPublications: readonly string[];
  /** They write into the current tables. */
  readonly subscriptions: readonly string[];
}

/** As `server_version_num`, which every role may read. */
const FILTERS_SINCE = 150_000;

export async function loadReplication(session: Session, wanted: Wanted, oids: readonly number[]): Promise<Replication> {
  const rows = async <T>(sql: string, parameter: unknown): Promise<T[]> =>
    (await session.query(sql, [parameter])).rows as T[];
  const [version] = (await session.query("select current_setting('server_version_num')::int4 as number")).rows;
  const hasFilters = (version as { number: number }).number >= FILTERS_SINCE;
  const columns =
    "(select array_agg(a.attname::text order by a.attnum) from pg_attribute a where a.attrelid = r.prrelid and a.attnum = any(r.prattrs))";
  return {
    published: await rows(
      `select p.pubname as publication, n.nspname as schema, c.relname as table, ${hasFilters ? columns : "null"} as columns, ${hasFilters ? "pg_get_expr(r.prqual, r.prrelid)" : "null"} as filter ` +
        "from pg_publication_rel r join pg_publication p on p.oid = r.prpubid join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace " +
        "where r.prrelid = any($1::oid[]) order by 1, 2, 3",
      oids,
    ),
    schemaPublications:
      !hasFilters || wanted.table !== null
        ? []
        : (
            await rows<{ name: string }>(
              "select p.pubname as name from pg_publication_namespace s join pg_publication p on p.oid = s.pnpubid join pg_namespace n on n.oid = s.pnnspid where n.nspname = $1 order by 1",
              wanted.schema,
            )
          ).map(({ name }) => name),
    subscriptions: (
      await rows<{ name: string }>(
        "select distinct s.subname as name from pg_subscription_rel r join pg_subscription s on s.oid = r.srsubid where r.srrelid = any($1::oid[]) order by 1",
        oids,
      )
    ).map(({ name }) => name),
  };
}

/** Publications of all tables, also of those to come. */
export async function loadFullPublications(session: Session): Promise<string[]> {
  const { rows } = await session.query("select pubname as name from pg_publication where puballtables order by 1");
  return (rows as { name: string }[]).map(({ name }) => name);
}

/** A subscription would have to copy the whole table again to take a new one. @throws dbInvalid (81) */
export function requireNoSubscription({ subscriptions }: Replication, wanted: Wanted): void {
  if (subscriptions.length === 0) return;
  throw fail("dbInvalid", `${wantedText(wanted)} gets rows by the subscription ${subscriptions.join(", ")}`, {
    hint: "A replaced table would get none. Without --swap the restored version stays beside it, with the SQL that adds its missing rows.",
  });
}

export function unpublishSql({ published, schemaPublications }: Replication, schema: string): string[] {
  return [
    ...published.map((each) => `${alter(each.publication)} DROP TABLE ONLY ${qualified(each.schema, each.table)}`),
    ...schemaPublications.map((name) => `${alter(name)} DROP TABLES IN SCHEMA ${identifier(schema)}`),
  ];
}

/** For tables that came back. */
export function publishSql(
  { published, schemaPublications }: Replication,
  schema: string,
  homeOf: (table: string) => string | undefined,
): string[] {
  return [
    ...published.flatMap(({ columns, filter, publication, table }) => {
      const home = homeOf(table);
      if (home === undefined) return [];
      const some = columns === null ? "" : ` (${columns.map(identifier).join(", ")})`;
      const where = filter === null ? "" : ` WHERE (${filter})`;
      return [`${alter(publication)} ADD TABLE ONLY ${qualified(home, table)}${some}${where}`];
    }),
    ...schemaPublications.map((name) => `${alter(name)} ADD TABLES IN SCHEMA ${identifier(schema)}`),
  ];
}

/** Null without publications. */
export function publicationText({ published, schemaPublications }: Replication): string | null {
  const names = [...new Set([...published.map(({ publication }) => publication), ...schemaPublications])];
  return names.length === 0
    ? null
    : `${names.join(", ")} publish${names.length === 1 ? "es" : ""} the restored version from then on; subscribers keep the rows that they have`;
}

function alter(publication: string): string {
  return `ALTER PUBLICATION ${identifier(publication)}`;
}
