/**
 * `migrate verify`: checks that the target holds all that the source holds, down to each row. Reads both, and marks the
 * target as compared.
 */
import type { Context } from "../../../runtime/base/context";
import { mapParallel } from "../../../runtime/base/parallel";
import type { Session } from "../../../runtime/postgres/session";
import {
  compareClusters,
  compareContents,
  compareInventories,
  type Difference,
  isNewerExtension,
  REWRITTEN_KINDS,
  sameLargeObjects,
} from "./compareClusters";
import { beginLooking, differingLargeObjects, loadDatabaseContents } from "./contents";
import { type ClientFacts, type ClusterFacts, loadFacts } from "./facts";
import { inTransaction, listClients, lockServers } from "./guard";
import { type InventoryLine, inventorySql } from "./inventory";
import { type GuardMark, MIGRATION_MARK, renderMark } from "./marks";
import { movedRoles } from "./migrationPlan";
import { type Servers, withSession } from "./serverSessions";
import { identifier, literal } from "./statements";

export interface VerifyOptions {
  readonly databases: readonly string[];
  readonly keepRoles: readonly string[];
  readonly rolePasswords: boolean;
  readonly tablespaces: boolean;
  readonly processMax: number;
}

export interface DatabaseReport {
  readonly name: string;
  /** Number of compared objects: relations, columns, functions, grants … */
  readonly objects: number;
  readonly tables: number;
  readonly rows: number;
  readonly sequences: number;
  readonly largeObjects: number;
  readonly elapsedMs: number;
}

/** Fields are only added: readers ignore unknown ones. */
export interface VerifyReport {
  readonly version: 1;
  readonly ok: boolean;
  readonly source: { readonly systemId: string; readonly version: string };
  readonly target: { readonly systemId: string; readonly version: string };
  readonly databases: readonly DatabaseReport[];
  readonly roles: number;
  /** The first {@link DIFFERENCES_MAX} of them. */
  readonly differences: readonly Difference[];
  readonly differenceCount: number;
  /** Expected differences. */
  readonly notes: readonly Difference[];
  /** Clients of the source's compared databases at the end. */
  readonly clients: readonly ClientFacts[];
  /** True when writing to the source was stopped the whole time. */
  readonly guarded: boolean;
}

export const DIFFERENCES_MAX = 1000;
const OBJECTS_SHOWN_MAX = 20;
const MAINTAIN_SINCE = 17;

interface Compared {
  readonly report: DatabaseReport;
  readonly differences: readonly Difference[];
  readonly notes: readonly Difference[];
}

export function verifyMigration(servers: Servers, options: VerifyOptions, ctx: Context): Promise<VerifyReport> {
  return withSession(servers, servers.source, undefined, (source) =>
    withSession(servers, servers.target, undefined, async (target) => {
      await lockServers([source, target], ctx);
      const [here, there] = await Promise.all([loadFacts(source), loadFacts(target)]);
      const guardOf = await findGuards(source, [here, there], options.databases);
      const otherPasswords = options.rolePasswords ? await comparePasswords(source, target, here) : null;
      const differences: Difference[] = compareClusters({ source: here, target: there, ...options, otherPasswords });
      for (const { database, name } of here.prepared)
        if (options.databases.includes(database))
          differences.push({ database, kind: "prepared transaction", name, text: "not decided in the source" });
      const present = options.databases.filter((name) => there.databases.some((each) => each.name === name));
      const compared = await mapParallel(present, options.processMax, (name) =>
        compareDatabase(servers, name, [here, there], ctx),
      );
      const notes = compared.flatMap((each) => each.notes);
      differences.push(...compared.flatMap((each) => each.differences));
      const report: VerifyReport = {
        version: 1,
        ok: differences.length === 0,
        source: { systemId: here.systemId, version: here.versionText },
        target: { systemId: there.systemId, version: there.versionText },
        databases: compared.map((each) => each.report),
        roles: movedRoles(here).length,
        differences: differences.slice(0, DIFFERENCES_MAX),
        differenceCount: differences.length,
        notes: notes.slice(0, DIFFERENCES_MAX),
        clients: await listClients(source, options.databases),
        guarded: options.databases.every((name) => guardOf(name) !== null),
      };
      const differing = new Set(differences.map(({ database }) => database));
      await markVerified(target, there, present, {
        isEqual: (name) => !differing.has(null) && !differing.has(name),
        guardOf,
        statesOf: (name) =>
          here.subscriptions.flatMap(({ database, state }) => (database === name && state !== null ? [state] : [])),
      });
      return report;
    }),
  );
}

/**
 * The guard of each database that keeps everyone from writing. It does not reach sessions from before it: `copy` has
 * looked for them under the guard that the target's mark knows, and under another one no client may be connected.
 */
async function findGuards(
  source: Session,
  [here, there]: readonly [ClusterFacts, ClusterFacts],
  databases: readonly string[],
): Promise<Verdicts["guardOf"]> {
  const clients = await listClients(source, databases);
  return (name) => {
    const guard = here.databases.find((each) => each.name === name)?.guard ?? null;
    const known = there.databases.find((each) => each.name === name)?.migration?.guardAtS;
    return guard?.atS !== known && clients.some(({ database }) => database === name) ? null : guard;
  };
}

/** Compares one database; also used by `copy` for an existing one. */
export async function compareDatabase(
  servers: Servers,
  name: string,
  [here, there]: readonly [Pick<ClusterFacts, "version">, Pick<ClusterFacts, "version">],
  ctx: Context,
): Promise<Compared> {
  const beganMs = ctx.clock.monotonicMs();
  const stop = (): void => ctx.signal.throwIfAborted();
  const sql = inventorySql(Math.min(Number(here.version), Number(there.version)) >= MAINTAIN_SINCE);
  return withSession(servers, servers.source, name, (source) =>
    withSession(servers, servers.target, name, async (target) => {
      const look = async (session: Session) => {
        await beginLooking(session);
        const inventory = (await session.query(sql)).rows as InventoryLine[];
        return { inventory, contents: await loadDatabaseContents(session, stop) };
      };
      const [left, right] = await Promise.all([look(source), look(target)]);
      const { differences, notes } = compareContents(name, left.contents, right.contents);
      if (!sameLargeObjects(left.contents, right.contents))
        differences.push(...(await nameLargeObjects(name, source, target)));
      await target.query("ROLLBACK");
      for (const difference of compareInventories(name, left.inventory, right.inventory)) {
        const [from, to] = [left.inventory, right.inventory].map((lines) =>
          lines.find(({ kind, name: own }) => kind === difference.kind && own === difference.name),
        );
        if (isNewerExtension(difference, from, to))
          notes.push({ ...difference, text: `${difference.text}: part of the newer server version` });
        else if (
          here.version !== there.version &&
          from !== undefined &&
          to !== undefined &&
          (await meansTheSame(target, from, to))
        )
          continue;
        else differences.push(difference);
      }
      const report: DatabaseReport = {
        name,
        objects: left.inventory.length,
        tables: left.contents.tables.length,
        rows: left.contents.tables.reduce((sum, { rows }) => sum + Number(rows), 0),
        sequences: left.contents.sequences.size,
        largeObjects: Number(left.contents.largeObjects.count),
        elapsedMs: Math.round(ctx.clock.monotonicMs() - beganMs),
      };
      ctx.log.info(
        `${name}: ${report.rows} rows and ${report.objects} objects compared, ${differences.length} differences`,
      );
      return { report, differences, notes };
    }),
  );
}

async function nameLargeObjects(database: string, source: Session, target: Session): Promise<Difference[]> {
  const oids = await differingLargeObjects(source, target, OBJECTS_SHOWN_MAX);
  const names = oids.length === 0 ? ["one of them"] : oids;
  return names.map((name) => ({
    database,
    kind: "large object",
    name,
    text: "not the same contents, owner or grants",
  }));
}

/**
 * Lets the target parse and print the source's definition: it may omit what the older version printed. Nothing stays.
 */
async function meansTheSame(target: Session, source: InventoryLine, own: InventoryLine): Promise<boolean> {
  if (!REWRITTEN_KINDS.has(source.kind)) return false;
  await target.query("BEGIN");
  try {
    // No event trigger may fire.
    await target.query("SET LOCAL session_replication_role TO 'replica'");
    await target.query("SET LOCAL default_transaction_read_only TO 'off'");
    if (source.kind === "view") {
      await target.query(`CREATE TEMPORARY VIEW "pgbackstop same" AS ${source.definition}`);
      const { rows } = await target.query(`select pg_get_viewdef('pg_temp."pgbackstop same"'::regclass) as text`);
      return (rows as { text: string }[])[0]?.text === own.definition;
    }
    await target.query(source.definition);
    const { rows } = await target.query(
      "select pg_get_functiondef(p.oid) as text from pg_proc p join pg_namespace n on n.oid = p.pronamespace where quote_ident(n.nspname) || '.' || " +
        "quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')' = $1",
      [source.name],
    );
    return (rows as { text: string }[])[0]?.text === own.definition;
  } catch {
    // A definition that the target cannot parse differs.
    return false;
  } finally {
    await target.query("ROLLBACK");
  }
}

/** Names only: hashes are compared here and never reported. */
async function comparePasswords(source: Session, target: Session, facts: ClusterFacts): Promise<string[]> {
  const names = movedRoles(facts).map(({ name }) => name);
  const load = async (session: Session): Promise<ReadonlyMap<string, string | null>> => {
    const { rows } = await session.query(
      "select rolname as name, rolpassword as password from pg_authid where rolname = any($1)",
      [names],
    );
    return new Map((rows as { name: string; password: string | null }[]).map(({ name, password }) => [name, password]));
  };
  const [here, there] = await Promise.all([load(source), load(target)]);
  return names.filter((name) => there.has(name) && here.get(name) !== there.get(name));
}

interface Verdicts {
  isEqual(database: string): boolean;
  /** Null: the source may have more when the mark is read. */
  guardOf(database: string): GuardMark | null;
  /** Of the database's subscriptions in the source. */
  statesOf(database: string): readonly string[];
}

/** A copy that was once equal and no longer is loses its mark. */
async function markVerified(
  target: Session,
  facts: ClusterFacts,
  databases: readonly string[],
  { guardOf, isEqual, statesOf }: Verdicts,
): Promise<void> {
  const nowS = await target.nowS();
  await inTransaction(
    target,
    databases.flatMap((name) => {
      const mark = facts.databases.find((each) => each.name === name)?.migration;
      if (mark === undefined || mark === null) return [];
      const guard = isEqual(name) ? guardOf(name) : null;
      const verifiedAtS = guard === null ? null : nowS;
      // A killed copy sets another guard before it compares: under that one the target is as good as copied.
      const since = guard === null || guard.atS === mark.guardAtS ? {} : { copiedAtS: nowS, guardAtS: guard.atS };
      const seen = { ...mark, ...since, verifiedAtS, subscriptions: statesOf(name) };
      return [`ALTER DATABASE ${identifier(name)} SET ${MIGRATION_MARK} TO ${literal(renderMark(seen))}`];
    }),
  );
}
