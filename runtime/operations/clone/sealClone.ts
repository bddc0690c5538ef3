/**
 * Makes a clone of an opened backup before anybody may connect: nothing in it reaches another server or this machine,
 * databases that are not wanted are gone, the mask has run, and one role can sign in.
 *
 * Everything runs as the superuser on a socket that only its account and root reach. Whatever fails, the caller throws
 * the clone away.
 */
import { toBackupError, fail } from "../../base/errors";
import type { Session } from "../../postgres/session";
import { identifier, literal } from "../extract/tableObjects";

export interface SealRequest {
  /** Databases to keep; none keeps all but the templates and `maintenance`. */
  readonly databases: readonly string[];
  /** Run as one transaction in each kept database; null without a mask. */
  readonly mask: string | null;
  /** Where statements about the cluster run; clients reach it only if it is named. */
  readonly maintenance: string;
  readonly role: string;
  /** Its password as PostgreSQL stores it. */
  readonly verifier: string;
  connect(database: string): Promise<Session>;
  warn(text: string): void;
}

/** The superuser that initdb made. */
const BOOTSTRAP_OID = 10;
const USER_OID_MIN = 16_384;
/**
 * Extensions whose functions call other servers or run programs, besides those with untrusted languages, and those that
 * read files, WAL or deleted rows.
 */
const REACHING = [
  "adminpack",
  "aws_lambda",
  "aws_s3",
  "dblink",
  "file_fdw",
  "http",
  "pageinspect",
  "pg_background",
  "pg_cron",
  "pg_dirtyread",
  "pg_net",
  "pg_surgery",
  "pg_walinspect",
  "plproxy",
  "postgres_fdw",
];

/** Returns the databases that clients may reach. @throws dbMissing, dbQuery */
export async function sealClone(request: SealRequest): Promise<readonly string[]> {
  const { connect, maintenance, mask } = request;
  const chosen = await inDatabase(connect, maintenance, (session) => chooseDatabases(session, request));
  const { names, others, staying } = chosen;
  for (const name of await inDatabase(connect, maintenance, holdingPrepared))
    await inDatabase(connect, name, endPrepared);
  for (const name of [...staying, ...others]) await inDatabase(connect, name, cutOff);
  await inDatabase(connect, maintenance, async (session) => {
    for (const name of others) await session.query(`drop database ${identifier(name)}`);
  });
  if (mask !== null) for (const name of names) await runMask(name, mask, connect);
  await inDatabase(connect, maintenance, (session) => lockRoles(session, request, names));
  for (const name of names) await inDatabase(connect, name, (session) => dropRights(session, request.role));
  if (mask !== null)
    for (const name of names) await inDatabase(connect, name, (session) => refreshViews(session, name, request));
  // Last: the mask may have analyzed them.
  for (const name of staying) await inDatabase(connect, name, forgetCatalogs);
  await inDatabase(connect, maintenance, (session) => session.checkpoint());
  return names;
}

async function inDatabase<T>(
  connect: SealRequest["connect"],
  name: string,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await connect(name);
  try {
    // No trigger and no event trigger of the database runs for these statements.
    await session.query("set session_replication_role = replica");
    return await work(session);
  } finally {
    await session.close();
  }
}

interface Databases {
  /** Clients reach them. */
  readonly names: readonly string[];
  /** They are dropped. */
  readonly others: readonly string[];
  /** All but {@link others} and template0, which nobody can copy or reach. */
  readonly staying: readonly string[];
}

/** Makes every database that is to be changed accept connections, and takes away what cannot be opened. */
async function chooseDatabases(
  session: Session,
  { databases: wanted, maintenance }: Pick<SealRequest, "databases" | "maintenance">,
): Promise<Databases> {
  const { rows } = await session.query(
    "select datname as name, datallowconn as open, datistemplate as template, datconnlimit as limit from pg_database where datname <> 'template0' order by datname",
  );
  const inBackup = rows as { name: string; open: boolean; template: boolean; limit: number }[];
  const missing = wanted.find((name) => !inBackup.some((row) => row.name === name));
  if (missing !== undefined)
    throw fail("dbMissing", `database '${missing}' is not in the backup`, {
      hint: `It has: ${inBackup.map(({ name }) => name).join(", ")}.`,
    });
  const userRows = inBackup.filter(({ limit, name, template }) => name !== maintenance && !template && limit !== -2);
  const all = userRows.length === 0 ? [maintenance] : userRows.map(({ name }) => name);
  const names = wanted.length === 0 ? all : wanted;
  const others = inBackup.filter(({ name }) => name !== maintenance && name !== "template1" && !names.includes(name));
  for (const { limit, name, open, template } of inBackup) {
    // Of a DROP DATABASE that was interrupted.
    if (limit === -2) {
      if (names.includes(name)) throw fail("dbInvalid", `database '${name}' was being dropped, and cannot be opened`);
      await session.query(`drop database ${identifier(name)}`);
      continue;
    }
    if (template && name !== "template1") await session.query(`alter database ${identifier(name)} is_template false`);
    if (!open) await session.query(`alter database ${identifier(name)} allow_connections true`);
  }
  const staying = inBackup.filter((row) => row.limit !== -2 && !others.includes(row)).map(({ name }) => name);
  return { names, others: others.filter(({ limit }) => limit !== -2).map(({ name }) => name), staying };
}

async function holdingPrepared(session: Session): Promise<readonly string[]> {
  const { rows } = await session.query("select distinct database as name from pg_prepared_xacts order by database");
  return (rows as { name: string }[]).map(({ name }) => name);
}

/**
 * Recovery restores prepared transactions with their locks, and only a session of their own database ends them. Their
 * rows are hidden from the mask: a client that commits one would show them.
 */
async function endPrepared(session: Session): Promise<void> {
  await each(
    session,
    "select format('rollback prepared %L', gid) as statement from pg_prepared_xacts where database = current_database()",
  );
}

/** Removes what reaches other servers or files, with the keys to them. */
async function cutOff(session: Session): Promise<void> {
  // So that no statement below can call the publisher.
  await session.query(
    "update pg_subscription set subenabled = false, subslotname = null, subconninfo = 'host=/nonexistent' where subdbid = (select oid from pg_database where datname = current_database())",
  );
  await session.query(
    "delete from pg_subscription_rel where srsubid in (select oid from pg_subscription where subdbid = (select oid from pg_database where datname = current_database()))",
  );
  await each(
    session,
    "select format('drop subscription %I', subname) as statement from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())",
  );
  await each(session, "select format('drop server if exists %I cascade', srvname) as statement from pg_foreign_server");
  // Its library may be missing here, which a drop does not need.
  await each(
    session,
    `select format('drop extension if exists %I cascade', e.extname) as statement from pg_extension e
     where e.extname = any($1) or exists (
       select from pg_depend d join pg_language l on d.classid = 'pg_language'::regclass and d.objid = l.oid
       where d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and not l.lanpltrusted)`,
    [REACHING],
  );
  await each(
    session,
    "select format('drop language if exists %I cascade', lanname) as statement from pg_language where not lanpltrusted and lanname not in ('internal', 'c')",
  );
  // Wrappers of extensions that stay, such as one that holds tables: no key, and no right to make a server.
  await each(
    session,
    `select format('alter foreign data wrapper %I owner to %s', fdwname, ${BOOTSTRAP_OID}::regrole) as statement from pg_foreign_data_wrapper`,
  );
  await session.query("update pg_foreign_data_wrapper set fdwoptions = null, fdwacl = null");
  // A function of PostgreSQL that only superusers may call has no such limit under another name.
  await session.query(
    `update pg_proc p set proowner = ${BOOTSTRAP_OID}, proacl = array[makeaclitem(${BOOTSTRAP_OID}, ${BOOTSTRAP_OID}, 'EXECUTE', false)]
     where p.oid >= ${USER_OID_MIN} and p.prolang = (select oid from pg_language where lanname = 'internal') and exists (
       select from pg_proc own join pg_init_privs i on i.classoid = 'pg_proc'::regclass and i.objoid = own.oid and i.objsubid = 0
       where own.oid < ${USER_OID_MIN} and own.prosrc = p.prosrc
         and not exists (select from aclexplode(i.initprivs) first where first.grantee = 0))`,
  );
}

/** Values that the mask hides are in samples of columns too. The mask may run ANALYZE for new ones. */
async function forgetTables(session: Session): Promise<void> {
  await session.query(`delete from pg_statistic where starelid >= ${USER_OID_MIN}`);
  await session.query("delete from pg_statistic_ext_data");
}

/** Samples of catalogs hold passwords, connections and large objects that are no longer in the catalogs. */
async function forgetCatalogs(session: Session): Promise<void> {
  await session.query(`delete from pg_statistic where starelid < ${USER_OID_MIN}`);
}

/**
 * Materialized views hold rows from before the mask. One that reads another one fails until that one is filled: each
 * round fills those that can be. @param name the session's database
 */
async function refreshViews(session: Session, name: string, { warn }: Pick<SealRequest, "warn">): Promise<void> {
  const { rows } = await session.query(
    "select oid::regclass::text as view from pg_class where relkind = 'm' and relispopulated order by oid",
  );
  let left = (rows as { view: string }[]).map(({ view }) => ({ view, reason: "" }));
  await session.query("reset search_path");
  for (const { view } of left) await session.query(`refresh materialized view ${view} with no data`);
  for (let before = Number.POSITIVE_INFINITY; left.length > 0 && left.length < before; ) {
    before = left.length;
    const failed: typeof left = [];
    for (const { view } of left)
      try {
        await session.query(`refresh materialized view ${view}`);
      } catch (error) {
        failed.push({ view, reason: causeOf(error) });
      }
    left = failed;
  }
  for (const { reason, view } of left)
    warn(`materialized view ${view} of database '${name}' is empty in the clone: REFRESH fails: ${reason}`);
  await session.query(
    "delete from pg_catalog.pg_statistic where starelid in (select oid from pg_catalog.pg_class where relkind = 'm' union all select indexrelid from pg_catalog.pg_index join pg_catalog.pg_class c on c.oid = indrelid where c.relkind = 'm')",
  );
}

/** Runs the statements that a query makes. */
async function each(session: Session, query: string, values: readonly unknown[] = []): Promise<void> {
  const { rows } = await session.query(query, values);
  for (const { statement } of rows as { statement: string }[]) await session.query(statement);
}

/** @throws dbQuery without the statement, which may be long */
async function runMask(name: string, mask: string, connect: SealRequest["connect"]): Promise<void> {
  await inDatabase(connect, name, forgetTables);
  const session = await connect(name);
  try {
    await session.query("reset search_path");
    await session.query(mask);
  } catch (error) {
    throw fail("dbQuery", `the mask failed in database '${name}': ${causeOf(error)}`, {
      hint: "Nobody could connect, and the clone is removed. Correct the SQL, and try again.",
    });
  } finally {
    await session.close();
  }
}

/** PostgreSQL's message without the statement. */
function causeOf(error: unknown): string {
  const { cause } = toBackupError(error);
  return toBackupError(cause ?? error).message;
}

/**
 * Nobody signs in but the role, and nobody gets further than SQL. The bootstrap superuser keeps its rights for the
 * private socket.
 */
async function lockRoles(
  session: Session,
  { role, verifier }: SealRequest,
  databases: readonly string[],
): Promise<void> {
  const { rows } = await session.query("select oid::int8::int as id from pg_roles where rolname = $1", [role]);
  const [existing] = rows as { id: number }[];
  if (existing?.id === BOOTSTRAP_OID)
    throw fail(
      "optionInvalidValue",
      `role '${role}' is the superuser of the backup's cluster, and cannot be the clone's`,
      {
        hint: "Choose another one with --role.",
      },
    );
  // Members of these run programs and read files of this machine as its account.
  await session.query(
    `delete from pg_auth_members where roleid = ${BOOTSTRAP_OID} or roleid in (select oid from pg_authid where rolname in ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files', 'pg_create_subscription'))`,
  );
  await each(
    session,
    `select format('alter role %I with nosuperuser nocreaterole nocreatedb noreplication nologin password null', rolname) as statement
     from pg_authid where oid <> ${BOOTSTRAP_OID} and oid >= ${USER_OID_MIN}`,
  );
  await each(
    session,
    `select format('alter role %I password null', rolname) as statement from pg_authid where oid = ${BOOTSTRAP_OID}`,
  );
  const name = identifier(role);
  if (existing === undefined) await session.query(`create role ${name}`);
  // A verifier is no password, but nothing should log it either.
  await session.query("set log_min_error_statement = panic");
  await session.query("set log_statement = 'none'");
  await session.query(`alter role ${name} with login inherit connection limit -1 valid until 'infinity'`);
  await session.query(`alter role ${name} password ${literal(verifier)}`);
  await each(
    session,
    `select format('grant %I to %I', r.rolname, $1::text) as statement from pg_roles r
     where r.rolname <> $1 and not pg_has_role(r.oid, (select oid from pg_roles where rolname = $1), 'member')
       and (r.oid >= ${USER_OID_MIN} or r.rolname in ('pg_read_all_data', 'pg_write_all_data'))`,
    [role],
  );
  await dropParameters(session);
  // Of databases that clients do not reach.
  await session.query(
    "delete from pg_db_role_setting where setdatabase <> 0 and setdatabase not in (select oid from pg_database where datname = any($1))",
    [databases],
  );
  // The owner may create schemas, and extensions that are trusted.
  for (const database of databases) await session.query(`alter database ${identifier(database)} owner to ${name}`);
}

/** No role sets what a superuser has to, such as commands that the server runs. */
async function dropParameters(session: Session): Promise<void> {
  // From PostgreSQL 15 on.
  const { rows } = await session.query("select to_regclass('pg_parameter_acl') is not null as there");
  if (!(rows as { there: boolean }[])[0]?.there) return;
  await each(
    session,
    `select distinct format('revoke all on parameter %s from %s cascade', p.parname, coalesce(r.oid::regrole::text, 'public')) as statement
     from pg_parameter_acl p cross join aclexplode(p.paracl) a left join pg_roles r on r.oid = a.grantee
     where a.grantee <> ${BOOTSTRAP_OID}`,
  );
}

/**
 * Functions that a superuser made run with the rights of their caller. Those of PostgreSQL have no grants but a new
 * server's: programs such as pg_rewind have some that read files, and the role is a member of every other one. No table
 * stays the superuser's: the owner of the database may analyze it, which runs functions of its indexes as its owner.
 */
async function dropRights(session: Session, role: string): Promise<void> {
  await each(
    session,
    `select distinct format('revoke all on routine %s from %s cascade', p.oid::regprocedure, coalesce(r.oid::regrole::text, 'public')) as statement
     from pg_proc p join pg_init_privs i on i.classoid = 'pg_proc'::regclass and i.objoid = p.oid and i.objsubid = 0
     cross join aclexplode(p.proacl) a left join pg_roles r on r.oid = a.grantee
     where p.oid < ${USER_OID_MIN} and a.grantee <> p.proowner and (a.grantee = 0 or r.oid is not null)
       and not exists (select from aclexplode(i.initprivs) first where first.grantee = a.grantee)`,
  );
  await session.query(
    `update pg_proc set prosecdef = false where prosecdef and proowner = ${BOOTSTRAP_OID} and oid >= ${USER_OID_MIN}`,
  );
  await each(
    session,
    `select format('alter table %s owner to %I', c.oid::regclass, $1::text) as statement from pg_class c
     where c.relowner = ${BOOTSTRAP_OID} and c.oid >= ${USER_OID_MIN} and c.relkind in ('r', 'p', 'm', 'v', 'S', 'f') and c.relpersistence <> 't'
       and not exists (
         select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
           and (d.deptype = 'e' or c.relkind = 'S' and d.deptype in ('a', 'i') and d.refclassid = 'pg_class'::regclass))`,
    [role],
  );
}
