/**
 * Reads and writes a server's `synchronous_standby_names`. A writer reads it first; every agent would write the
 * same successor of a value.
 */
import { fail } from "../../base/errors";
import type { Session } from "../../postgres/session";
import { namesReceiver, withoutReceiver } from "./standbyNames";

export type NamesSession = Pick<Session, "query" | "alterSystem" | "reload">;

/** Removes the receiver from the setting, if it is there. @throws dbQuery */
export async function removeReceiver(session: NamesSession): Promise<boolean> {
  if (!namesReceiver(await readNames(session))) return false;
  await changeNames(session, withoutReceiver);
  return true;
}

/** Writes the changed value where it differs, and has the server read it. @throws dbQuery */
export async function changeNames(session: NamesSession, change: (value: string) => string): Promise<void> {
  const value = await readNames(session);
  const next = change(value);
  if (next === value) return;
  await session.alterSystem("synchronous_standby_names", next === (await elsewhere(session)) ? null : next);
  await session.reload();
}

/** The present value. @throws dbQuery */
export async function readNames(session: Pick<Session, "query">): Promise<string> {
  const { rows } = await session.query("select current_setting('synchronous_standby_names') as value");
  return firstText(rows) ?? "";
}

/**
 * Commits with `remote_apply` would wait forever, because a repository applies nothing.
 * @throws featureNotSupported
 */
export async function requireNoApply(session: Pick<Session, "query">): Promise<void> {
  const { rows } = await session.query(
    "select 'the server' as value where current_setting('synchronous_commit') = 'remote_apply' union all " +
      "select coalesce('role ' || setrole::regrole, 'database ' || (select datname from pg_catalog.pg_database d where d.oid = setdatabase)) " +
      "from (select nullif(setrole, 0) as setrole, setdatabase, setconfig from pg_catalog.pg_db_role_setting) s " +
      "where 'synchronous_commit=remote_apply' = any(setconfig)",
  );
  const owner = firstText(rows);
  if (owner === null) return;
  throw fail("featureNotSupported", `synchronous_commit is remote_apply for ${owner}`, {
    hint: "A repository applies no WAL, so such a commit would wait forever. Set synchronous_commit = on.",
  });
}

/** The value of other files than ALTER SYSTEM's; empty where the role may not see them. */
async function elsewhere(session: Pick<Session, "query">): Promise<string> {
  const { rows } = await session
    .query(
      "select setting as value from pg_catalog.pg_file_settings where name = 'synchronous_standby_names' " +
        "and sourcefile not like '%postgresql.auto.conf' order by seqno desc limit 1",
    )
    .catch(() => ({ rows: [] }));
  return firstText(rows) ?? "";
}

function firstText(rows: readonly unknown[]): string | null {
  const [first] = rows as readonly { readonly value?: unknown }[];
  return typeof first?.value === "string" ? first.value : null;
}
