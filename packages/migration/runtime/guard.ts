/**
 * Keeps everyone from writing to the source during the copy: its databases are read-only for new sessions and accept
 * only superusers. The previous settings are recorded in the same transaction, and restored when a run fails or by
 * `migrate release`.
 */
import type { Context } from "../../../runtime/base/context";
import { fail } from "../../../runtime/base/errors";
import type { Session } from "../../../runtime/postgres/session";
import {
  type ClientFacts,
  CLIENTS,
  type DatabaseFacts,
  PREPARED,
  type PreparedFacts,
  preparedText,
  type SettingFacts,
  WORKER,
} from "./facts";
import { GUARD_CONNECTION_LIMIT, GUARD_MARK, GUARD_READ_ONLY, type GuardMark, READ_ONLY, renderMark } from "./marks";
import { identifier, literal } from "./statements";

const POLL_MS = 200;
/** How long sessions of just-stopped programs may linger. */
const LINGER_MS = 3000;
/** How long terminated sessions may take to disappear. */
const GONE_MS = 30_000;

/** One migration at a time works on a server. Advisory locks are per database: that of the session's start. */
const ADVISORY_LOCK = "7162539048211367";
/** How long the server may keep a killed run's session. */
const LOCK_WAIT_MS = 3000;

/**
 * Holds until the session ends. Two copies would remove each other's databases, and the first to fail would lift the
 * other's guard.
 * @throws lockAcquire (50)
 */
export async function lockServers(sessions: readonly Session[], ctx: Context): Promise<void> {
  const deadlineMs = ctx.clock.monotonicMs() + LOCK_WAIT_MS;
  for (const session of sessions) {
    for (;;) {
      const { rows } = await session.query(`select pg_try_advisory_lock(${ADVISORY_LOCK}) as locked`);
      if ((rows as { locked: boolean }[])[0]?.locked === true) break;
      if (ctx.clock.monotonicMs() > deadlineMs)
        throw fail("lockAcquire", "another step of a migration is running on one of these servers", {
          hint: "Wait for it to finish; pg_stat_activity shows it as 'pgbackstop migrate'.",
        });
      await ctx.clock.sleep(POLL_MS, ctx.signal);
    }
  }
}

/**
 * Sets it where it is missing or was lifted by hand, for all databases at once. Resolves with the marks by database.
 */
export async function setGuard(
  session: Session,
  databases: readonly DatabaseFacts[],
  settings: readonly SettingFacts[],
): Promise<ReadonlyMap<string, GuardMark>> {
  // In milliseconds, so that a later guard always has another mark.
  const atS = (await session.nowMs()) / 1000;
  const marks = new Map<string, GuardMark>();
  const statements = databases.flatMap(({ connectionLimit, guard, name }) => {
    const mark = guard ?? { connectionLimit, readOnly: readOnlyOf(settings, name), atS };
    marks.set(name, mark);
    const database = `ALTER DATABASE ${identifier(name)}`;
    if (guard !== null) return [];
    return [
      `${database} SET ${GUARD_MARK} TO ${literal(renderMark(mark))}`,
      `${database} SET ${READ_ONLY} TO ${literal(GUARD_READ_ONLY)}`,
      `${database} CONNECTION LIMIT ${GUARD_CONNECTION_LIMIT}`,
    ];
  });
  await inTransaction(session, statements);
  return marks;
}

/**
 * Restores the previous settings, except those that somebody has changed since; does nothing without a mark of ours.
 * Returns the names.
 */
export async function liftGuard(
  session: Session,
  databases: readonly DatabaseFacts[],
  settings: readonly SettingFacts[],
): Promise<readonly string[]> {
  const marked = databases.filter(({ guardMark }) => guardMark !== null);
  const statements = marked.flatMap(({ connectionLimit, name }) => {
    const database = `ALTER DATABASE ${identifier(name)}`;
    const readOnly = readOnlyOf(settings, name);
    return [
      readOnly === null ? `${database} RESET ${READ_ONLY}` : `${database} SET ${READ_ONLY} TO ${literal(readOnly)}`,
      `${database} CONNECTION LIMIT ${connectionLimit}`,
      `${database} RESET ${GUARD_MARK}`,
    ];
  });
  await inTransaction(session, statements);
  return marked.map(({ name }) => name);
}

/** Of the database itself, before our guard. */
function readOnlyOf(settings: readonly SettingFacts[], database: string): string | null {
  return (
    settings.find((each) => each.database === database && each.role === null && each.name === READ_ONLY)?.value ?? null
  );
}

/** Clients of `databases` only. */
export async function listClients(session: Session, databases: readonly string[]): Promise<readonly ClientFacts[]> {
  const { rows } = await session.query(CLIENTS);
  return (rows as ClientFacts[]).filter(({ database }) => databases.includes(database));
}

/**
 * A session may have prepared one after the plan, and left. No copy and no comparison sees its rows, and it can still
 * be committed. @throws dbInvalid (81)
 */
export async function requireNonePrepared(session: Session, databases: readonly string[]): Promise<void> {
  const { rows } = await session.query(PREPARED);
  const prepared = (rows as PreparedFacts[]).filter(({ database }) => databases.includes(database));
  if (prepared.length === 0) return;
  throw fail("dbInvalid", prepared.map(preparedText).join("\n"), {
    hint: "Decide it in the source: COMMIT PREPARED, or ROLLBACK PREPARED.",
  });
}

/**
 * Requires that no session from before the guard is connected: the guard's settings do not reach it.
 * @throws dbInvalid (81) with the clients, unless they may be terminated
 */
export async function requireNobody(
  session: Session,
  databases: readonly string[],
  mayEnd: boolean,
  ctx: Context,
): Promise<void> {
  const deadlineMs = ctx.clock.monotonicMs() + (mayEnd ? GONE_MS : LINGER_MS);
  for (;;) {
    const clients = await listClients(session, databases);
    if (clients.length === 0) return;
    if (ctx.clock.monotonicMs() > deadlineMs) {
      const lines = clients.map((client) => `  ${clientText(client)}`);
      throw fail(
        "dbInvalid",
        [
          `${mayEnd ? "unable to end all connections: " : ""}clients are connected to databases that will be copied`,
          ...lines,
        ].join("\n"),
        {
          hint: [
            "Stop these programs first; --disconnect ends their connections immediately.",
            ...(clients.some(({ application }) => application.startsWith(WORKER))
              ? ["ALTER SUBSCRIPTION … DISABLE ends the workers of a subscription."]
              : []),
          ],
        },
      );
    }
    if (mayEnd)
      await session.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() " +
          "and application_name not like 'pgbackstop migrate%' and datname = any($1)",
        [[...databases]],
      );
    await ctx.clock.sleep(POLL_MS, ctx.signal);
  }
}

export function clientText({ address, application, count, database, user }: ClientFacts): string {
  return `${database}: ${user}${application === "" ? "" : ` (${application})`} from ${address}, ${count} ${count === 1 ? "connection" : "connections"}`;
}

/** All statements or none. */
export async function inTransaction(session: Session, statements: readonly string[]): Promise<void> {
  if (statements.length === 0) return;
  await session.query("BEGIN");
  try {
    for (const statement of statements) await session.query(statement);
    await session.query("COMMIT");
  } catch (error) {
    await session.query("ROLLBACK").catch(() => {});
    throw error;
  }
}
