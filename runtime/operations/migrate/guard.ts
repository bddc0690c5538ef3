/**
 * Nobody writes to the source while it is copied: its databases are read-only for new sessions and take no connection but a superuser's. What was set
 * before is written down in the same transaction, and put back when a run fails or `migrate release` asks for it.
 */
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import type { Session } from "../../postgres/session";
import { type ClientFacts, CLIENTS, type DatabaseFacts } from "./facts";
import { GUARD_MARK, type GuardMark, renderMark } from "./marks";
import { identifier, literal } from "./statements";

const POLL_MS = 200;
/** How long sessions of programs that have just been stopped may be there still. */
const LINGER_MS = 3000;
/** How long ended sessions may take to go. */
const GONE_MS = 30_000;

/** One migration at a time works on a server; per database that sessions begin in, as all advisory locks are. */
const ADVISORY_LOCK = "7162539048211367";
/** How long a killed run's session may be known to the server. */
const LOCK_WAIT_MS = 3000;

/** Until the session ends. Two copies would take each other's databases away, and the first to fail would lift the guard of the other. @throws lockAcquire (50) */
export async function lockServers(sessions: readonly Session[], ctx: Context): Promise<void> {
  const deadlineMs = ctx.clock.monotonicMs() + LOCK_WAIT_MS;
  for (const session of sessions) {
    for (;;) {
      const { rows } = await session.query(`select pg_try_advisory_lock(${ADVISORY_LOCK}) as locked`);
      if ((rows as { locked: boolean }[])[0]?.locked === true) break;
      if (ctx.clock.monotonicMs() > deadlineMs)
        throw fail("lockAcquire", "another step of a migration is working on one of these servers", {
          hint: "wait until it has ended; pg_stat_activity shows it as 'pgbackstop migrate'.",
        });
      await ctx.clock.sleep(POLL_MS, ctx.signal);
    }
  }
}

/** Sets it where it is not set, for all databases at once. Resolves with the marks by database. */
export async function setGuard(
  session: Session,
  databases: readonly DatabaseFacts[],
  readOnlyOf: (database: string) => string | null,
): Promise<ReadonlyMap<string, GuardMark>> {
  // To the millisecond: another guard is another mark, however soon it follows.
  const atS = (await session.nowMs()) / 1000;
  const marks = new Map<string, GuardMark>();
  const statements = databases.flatMap(({ connectionLimit, guard, name }) => {
    const mark = guard ?? { connectionLimit, readOnly: readOnlyOf(name), atS };
    marks.set(name, mark);
    const database = `ALTER DATABASE ${identifier(name)}`;
    if (guard !== null) return [];
    return [
      `${database} SET ${GUARD_MARK} TO ${literal(renderMark(mark))}`,
      `${database} SET default_transaction_read_only TO 'on'`,
      `${database} CONNECTION LIMIT 0`,
    ];
  });
  await inTransaction(session, statements);
  return marks;
}

/** Puts back what was there before; nothing where no guard of ours is set. Tells the names. */
export async function liftGuard(session: Session, databases: readonly DatabaseFacts[]): Promise<readonly string[]> {
  const guarded = databases.filter(({ guard }) => guard !== null);
  const statements = guarded.flatMap(({ guard, name }) => {
    const database = `ALTER DATABASE ${identifier(name)}`;
    const { connectionLimit = -1, readOnly = null } = guard ?? {};
    return [
      readOnly === null ? `${database} RESET default_transaction_read_only` : `${database} SET default_transaction_read_only TO ${literal(readOnly)}`,
      `${database} CONNECTION LIMIT ${connectionLimit}`,
      `${database} RESET ${GUARD_MARK}`,
    ];
  });
  await inTransaction(session, statements);
  return guarded.map(({ name }) => name);
}

/** Those of `databases` alone. */
export async function listClients(session: Session, databases: readonly string[]): Promise<readonly ClientFacts[]> {
  const { rows } = await session.query(CLIENTS);
  return (rows as ClientFacts[]).filter(({ database }) => databases.includes(database));
}

/**
 * Makes sure that nobody is connected who was so before the guard: its settings do not reach them.
 * @throws dbInvalid (81) with who it is, unless they may be ended
 */
export async function requireNobody(session: Session, databases: readonly string[], mayEnd: boolean, ctx: Context): Promise<void> {
  const deadlineMs = ctx.clock.monotonicMs() + (mayEnd ? GONE_MS : LINGER_MS);
  for (;;) {
    const clients = await listClients(session, databases);
    if (clients.length === 0) return;
    if (ctx.clock.monotonicMs() > deadlineMs) {
      const lines = clients.map((client) => `  ${clientText(client)}`);
      throw fail("dbInvalid", [`${mayEnd ? "they do not go: " : ""}somebody is connected to databases that shall be copied`, ...lines].join("\n"), {
        hint: "stop these programs first; --disconnect ends the connections, whatever they are doing.",
      });
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

/** All of them or none. */
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
