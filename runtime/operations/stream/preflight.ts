/**
 * Checks whether an agent or a sidecar can receive WAL from this server. Each obstacle is reported with its fix;
 * archiving never depends on it.
 *
 * Sources: PostgreSQL "Streaming Replication Protocol" and "Replication" (settings `wal_level`, `max_wal_senders`; the
 * role's REPLICATION).
 */
import { type BackupError, fail, toBackupError } from "../../base/errors";
import type { Session } from "../../postgres/session";
import type { WalStream } from "../../postgres/walStream";
import { RECEIVER_NAME } from "./standbyNames";

export interface StreamCheck {
  /** Why WAL cannot be streamed; null when it can. */
  readonly error: BackupError | null;
  /** Agents and sidecars that receive WAL now. */
  readonly agentCount: number;
  /** A standby: the primary's agent streams. */
  readonly inRecovery: boolean;
}

/** PostgreSQL 15 has rights on single parameters. */
const PARAMETER_RIGHTS_SINCE = 150_000;
/** Application names of an agent's connection, of one that commits wait for, and of a sidecar's. */
const AGENT_NAMES = ["pgBackRest [agent]", RECEIVER_NAME, "pgBackRest [cnpg-instance]"];

/**
 * Queries the server, and tries a connection like the agent's if no agent is connected. Never throws for an obstacle.
 */
export async function checkStreaming(session: Session, open: () => Promise<WalStream>): Promise<StreamCheck> {
  const { rows } = await session.query(
    "select current_setting('wal_level') as wal_level, current_setting('max_wal_senders')::int4 as max_wal_senders, current_user::text as role, " +
      "(select rolsuper or rolreplication from pg_catalog.pg_roles where rolname = current_user) as may_stream, pg_catalog.pg_is_in_recovery() as in_recovery, " +
      "(select count(*)::int4 from pg_catalog.pg_stat_get_wal_senders() s join pg_catalog.pg_stat_get_activity(null) a on a.pid = s.pid " +
      "where lower(a.application_name) = any(select lower(n) from unnest($1::text[]) n)) as agents",
    [AGENT_NAMES],
  );
  const facts = rows[0] as ServerAnswer;
  const common = { agentCount: facts.agents, inRecovery: facts.in_recovery };
  const error = settingError(facts);
  if (error !== null || facts.agents > 0 || facts.in_recovery) return { ...common, error };
  return { ...common, error: await connectionError(open) };
}

/** Null if the role may make commits wait: it changes `synchronous_standby_names` and has the server read it. */
export async function requireError(session: Session): Promise<BackupError | null> {
  const { versionNum } = await session.facts();
  const granted =
    versionNum < PARAMETER_RIGHTS_SINCE
      ? "false"
      : "has_parameter_privilege('synchronous_standby_names', 'alter system') and has_function_privilege('pg_catalog.pg_reload_conf()', 'execute')";
  const { rows } = await session.query(
    `select current_user::text as role, rolsuper or (${granted}) as may from pg_catalog.pg_roles where rolname = current_user`,
  );
  const [facts] = rows as { readonly role: string; readonly may: boolean }[];
  if (facts?.may !== false) return null;
  const hint =
    versionNum < PARAMETER_RIGHTS_SINCE
      ? "Before PostgreSQL 15 the role must be a superuser."
      : `GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO "${facts.role}"; GRANT EXECUTE ON FUNCTION pg_reload_conf() TO "${facts.role}";`;
  return fail(
    "dbConnect",
    `commits cannot wait for repositories: the role '${facts.role}' may not set synchronous_standby_names`,
    { hint },
  );
}

interface ServerAnswer {
  readonly wal_level: string;
  readonly max_wal_senders: number;
  readonly role: string;
  readonly may_stream: boolean;
  readonly in_recovery: boolean;
  readonly agents: number;
}

function settingError({
  max_wal_senders: senders,
  may_stream: mayStream,
  role,
  wal_level: level,
}: ServerAnswer): BackupError | null {
  if (level === "minimal") {
    const hint = "set wal_level = replica in postgresql.conf and restart PostgreSQL.";
    return fail("featureNotSupported", "WAL cannot be streamed: wal_level is minimal", { hint });
  }
  if (senders === 0) {
    const hint = "set max_wal_senders = 10 (PostgreSQL's default) in postgresql.conf and restart PostgreSQL.";
    return fail("featureNotSupported", "WAL cannot be streamed: max_wal_senders is 0", { hint });
  }
  if (!mayStream) {
    const hint = `ALTER ROLE "${role}" REPLICATION; or name a role that has it as pg1-user.`;
    return fail("dbConnect", `WAL cannot be streamed: the role '${role}' is neither a superuser nor has REPLICATION`, {
      hint,
    });
  }
  return null;
}

async function connectionError(open: () => Promise<WalStream>): Promise<BackupError | null> {
  try {
    const stream = await open();
    try {
      await stream.identify();
    } finally {
      await stream.close();
    }
    return null;
  } catch (error) {
    return toBackupError(error);
  }
}
