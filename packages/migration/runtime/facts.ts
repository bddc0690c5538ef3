/**
 * What a migration must know about a cluster before it changes anything: plain data and the queries for it. Changes
 * nothing.
 */
import type { Session } from "../../../runtime/postgres/session";
import { majorVersion } from "../../../runtime/postgres/versions";
import {
  GUARD_CONNECTION_LIMIT,
  GUARD_MARK,
  GUARD_READ_ONLY,
  MARK_PREFIX,
  type GuardMark,
  MIGRATION_MARK,
  type MigrationMark,
  parseGuard,
  parseMigration,
  READ_ONLY,
} from "./marks";

/** Of a database whose DROP DATABASE was interrupted. */
export const DROPPED_CONNECTION_LIMIT = -2;

export interface Grant {
  readonly grantor: string;
  /** Null is PUBLIC. */
  readonly grantee: string | null;
  readonly privilege: string;
  readonly isGrantable: boolean;
}

export interface DatabaseFacts {
  readonly name: string;
  readonly owner: string;
  readonly encoding: string;
  readonly provider: "libc" | "icu" | "builtin";
  readonly collate: string;
  readonly ctype: string;
  /** Locale of ICU or the built-in provider. */
  readonly locale: string | null;
  readonly icuRules: string | null;
  readonly tablespace: string;
  /** Before our guard was set. */
  readonly connectionLimit: number;
  readonly isTemplate: boolean;
  readonly allowsConnections: boolean;
  readonly grants: readonly Grant[];
  readonly comment: string | null;
  readonly sizeBytes: number;
  /**
   * Our guard, only while it is in force: nobody but a superuser connects, new sessions are read-only, and no
   * subscription is enabled.
   */
  readonly guard: GuardMark | null;
  /** Its record in the cluster, which stays when somebody changes the settings by hand. */
  readonly guardMark: GuardMark | null;
  readonly migration: MigrationMark | null;
  readonly isCopying: boolean;
}

export interface RoleFacts {
  readonly name: string;
  readonly isSuperuser: boolean;
  readonly inherits: boolean;
  readonly createsRoles: boolean;
  readonly createsDatabases: boolean;
  readonly canLogIn: boolean;
  readonly replicates: boolean;
  readonly bypassesRls: boolean;
  readonly connectionLimit: number;
  /** In UTC; null means forever. */
  readonly validUntil: string | null;
  readonly comment: string | null;
}

export interface PreparedFacts {
  readonly database: string;
  readonly name: string;
}

export function preparedText({ database, name }: PreparedFacts): string {
  return `database '${database}' has a prepared transaction '${name}'`;
}

export interface Membership {
  readonly role: string;
  readonly member: string;
  readonly grantor: string;
  readonly admin: boolean;
  /** Null before PostgreSQL 16, where the member's own attribute decides. */
  readonly inherit: boolean | null;
  readonly set: boolean | null;
}

/** A line of `ALTER DATABASE … SET`, `ALTER ROLE … SET`, or both. Without either: `ALTER ROLE ALL SET`. */
export interface SettingFacts {
  readonly database: string | null;
  readonly role: string | null;
  readonly name: string;
  readonly value: string;
}

/** Connected clients, and workers of subscriptions, counted. */
export interface ClientFacts {
  readonly database: string;
  readonly user: string;
  readonly application: string;
  /** Address, or `local`. */
  readonly address: string;
  readonly count: number;
}

export interface SubscriptionFacts {
  readonly database: string;
  readonly name: string;
  /** Its workers write even into a read-only database: they run no statements. */
  readonly isEnabled: boolean;
  /** Another text after each ALTER: ENABLE and DISABLE leave no other trace. Null for a role that cannot see it. */
  readonly state: string | null;
}

export interface ClusterFacts {
  readonly systemId: string;
  readonly version: string;
  readonly versionText: string;
  readonly inRecovery: boolean;
  readonly isSuperuser: boolean;
  /** The role that `initdb` created. */
  readonly bootstrapRole: string;
  readonly preload: readonly string[];
  readonly databases: readonly DatabaseFacts[];
  readonly roles: readonly RoleFacts[];
  /** Roles that own an object or hold a grant. */
  readonly referencedRoles: readonly string[];
  readonly memberships: readonly Membership[];
  readonly settings: readonly SettingFacts[];
  readonly tablespaces: readonly string[];
  readonly clients: readonly ClientFacts[];
  readonly prepared: readonly PreparedFacts[];
  readonly slots: readonly { readonly name: string; readonly type: string; readonly database: string | null }[];
  readonly subscriptions: readonly SubscriptionFacts[];
}

/** Facts that can be read only inside a database. */
export interface DatabaseContents {
  readonly name: string;
  readonly extensions: readonly string[];
  /** User-defined relations, functions, types and schemas, and large objects. */
  readonly objectCount: number;
}

/** Rows as JSON: a column that only one version has is then simply absent in the other. */
const DATABASES = `
  select to_jsonb(d) - 'datacl' as row, pg_get_userbyid(d.datdba) as owner, pg_encoding_to_char(d.encoding) as encoding, t.spcname as tablespace,
    shobj_description(d.oid, 'pg_database') as comment,
    case when has_database_privilege(d.oid, 'connect') or d.datallowconn then pg_database_size(d.oid) else 0 end::text as size,
    (select jsonb_agg(jsonb_build_object('grantor', pg_get_userbyid(a.grantor), 'grantee', case a.grantee when 0 then null else pg_get_userbyid(a.grantee) end,
      'privilege', a.privilege_type, 'isGrantable', a.is_grantable)) from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a) as grants
  from pg_database d join pg_tablespace t on t.oid = d.dattablespace order by d.datname collate "C"`;

const ROLES = `
  select rolname as name, rolsuper as "isSuperuser", rolinherit as inherits, rolcreaterole as "createsRoles", rolcreatedb as "createsDatabases",
    rolcanlogin as "canLogIn", rolreplication as replicates, rolbypassrls as "bypassesRls", rolconnlimit as "connectionLimit",
    case when rolvaliduntil = 'infinity' then 'infinity' else to_char(rolvaliduntil at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00' end as "validUntil",
    shobj_description(oid, 'pg_authid') as comment from pg_roles order by rolname collate "C"`;

const MEMBERSHIPS = `
  select pg_get_userbyid(m.roleid) as role, pg_get_userbyid(m.member) as member, pg_get_userbyid(m.grantor) as grantor, m.admin_option as admin,
    (to_jsonb(m) ->> 'inherit_option')::bool as inherit, (to_jsonb(m) ->> 'set_option')::bool as set
  from pg_auth_members m order by 1, 2, 3`;

const SETTINGS = `
  select d.datname as database, r.rolname as role, split_part(c, '=', 1) as name, substr(c, strpos(c, '=') + 1) as value
  from pg_db_role_setting s left join pg_database d on d.oid = s.setdatabase left join pg_roles r on r.oid = s.setrole, unnest(s.setconfig) c
  where (s.setdatabase = 0 or d.oid is not null) and (s.setrole = 0 or r.oid is not null) order by 1, 2, 3`;

/** How PostgreSQL calls the workers of subscriptions. */
export const WORKER = "logical replication";

/** Without this program's own sessions. A worker is called by its type. */
export const PREPARED = "select database, gid as name from pg_prepared_xacts order by 1, 2";

export const CLIENTS = `
  select datname as database, coalesce(usename, '') as user,
    case backend_type when 'client backend' then coalesce(application_name, '') else backend_type end as application,
    coalesce(host(client_addr), 'local') as address, count(*)::int as count
  from pg_stat_activity where (backend_type = 'client backend' or backend_type like '${WORKER}%') and datname is not null and pid <> pg_backend_pid()
    and application_name not like 'pgbackstop migrate%' group by 1, 2, 3, 4 order by 1, 2, 3, 4`;

const REFERENCED = `
  select distinct r.rolname as name from pg_shdepend s join pg_roles r on r.oid = s.refobjid where s.refclassid = 'pg_authid'::regclass order by 1`;

/** @throws dbQuery */
export async function loadFacts(session: Session): Promise<ClusterFacts> {
  const rows = async <T>(sql: string): Promise<T[]> => (await session.query(sql)).rows as T[];
  const [base] = await rows<Record<string, string | boolean | number>>(
    "select (select system_identifier::text from pg_control_system()) as id, current_setting('server_version_num')::int as num, " +
      "current_setting('server_version') as version, pg_is_in_recovery() as recovery, (select rolsuper from pg_roles where rolname = current_user) as super, " +
      "pg_get_userbyid(10) as bootstrap, current_setting('shared_preload_libraries') as preload",
  );
  const settings = await rows<SettingFacts>(SETTINGS);
  const state = base?.["super"] === true ? "s.oid::text || ':' || s.xmin::text" : "null";
  const subscriptions = await rows<SubscriptionFacts>(
    `select d.datname as database, s.subname as name, s.subenabled as "isEnabled", ${state} as state from pg_subscription s join pg_database d on d.oid = s.subdbid order by 1, 2`,
  );
  return {
    systemId: String(base?.["id"]),
    version: majorVersion(Number(base?.["num"])),
    versionText: String(base?.["version"]),
    inRecovery: base?.["recovery"] === true,
    isSuperuser: base?.["super"] === true,
    bootstrapRole: String(base?.["bootstrap"]),
    preload: String(base?.["preload"])
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== ""),
    databases: (await rows<DatabaseRow>(DATABASES)).map((row) => databaseOf(row, settings, subscriptions)),
    roles: await rows<RoleFacts>(ROLES),
    referencedRoles: (await rows<{ name: string }>(REFERENCED)).map(({ name }) => name),
    memberships: await rows<Membership>(MEMBERSHIPS),
    settings: withoutOurs(settings),
    tablespaces: (await rows<{ name: string }>("select spcname as name from pg_tablespace order by 1")).map(
      ({ name }) => name,
    ),
    clients: await rows<ClientFacts>(CLIENTS),
    prepared: await rows(PREPARED),
    slots: await rows("select slot_name as name, slot_type as type, database from pg_replication_slots order by 1"),
    subscriptions,
  };
}

/** Queried in the database itself. */
export async function loadContents(session: Session, name: string): Promise<DatabaseContents> {
  const { rows } = await session.query(`
    select (select coalesce(array_agg(extname::text order by extname), '{}') from pg_extension) as extensions,
      ((select count(*) from pg_class where oid >= 16384 and relnamespace not in (select oid from pg_namespace where nspname like 'pg\\_%'))
      + (select count(*) from pg_proc where oid >= 16384) + (select count(*) from pg_namespace where oid >= 16384 and nspname not like 'pg\\_%')
      + (select count(*) from pg_largeobject_metadata))::int
      - (select count(*) from pg_depend where deptype = 'e' and objid >= 16384 and classid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass))::int
      as objects`);
  const [row] = rows as { extensions: string[]; objects: number }[];
  return { name, extensions: row?.extensions ?? [], objectCount: Math.max(0, row?.objects ?? 0) };
}

interface DatabaseRow {
  readonly row: Readonly<Record<string, string | number | boolean | null>>;
  readonly owner: string;
  readonly encoding: string;
  readonly tablespace: string;
  readonly comment: string | null;
  readonly size: string;
  readonly grants: readonly Grant[] | null;
}

function databaseOf(
  { row, comment, encoding, grants, owner, size, tablespace }: DatabaseRow,
  settings: readonly SettingFacts[],
  subscriptions: readonly SubscriptionFacts[],
): DatabaseFacts {
  const name = String(row["datname"]);
  const markOf = (mark: string): string | null =>
    settings.find((setting) => setting.database === name && setting.role === null && setting.name === mark)?.value ??
    null;
  const guardMark = parseGuard(markOf(GUARD_MARK));
  const isClosed = Number(row["datconnlimit"]) === GUARD_CONNECTION_LIMIT;
  const isFed = subscriptions.some(({ database, isEnabled }) => isEnabled && database === name);
  const isGuarded = isClosed && !isFed && markOf(READ_ONLY) === GUARD_READ_ONLY;
  const text = (...columns: readonly string[]): string | null => {
    for (const column of columns) if (typeof row[column] === "string") return row[column];
    return null;
  };
  const provider = PROVIDERS[text("datlocprovider") ?? "c"] ?? "libc";
  return {
    name,
    owner,
    encoding,
    provider,
    collate: text("datcollate") ?? "C",
    ctype: text("datctype") ?? "C",
    locale: provider === "libc" ? null : text("datlocale", "daticulocale"),
    icuRules: text("daticurules"),
    tablespace,
    connectionLimit: isClosed && guardMark !== null ? guardMark.connectionLimit : Number(row["datconnlimit"]),
    isTemplate: row["datistemplate"] === true,
    allowsConnections: row["datallowconn"] === true && Number(row["datconnlimit"]) !== DROPPED_CONNECTION_LIMIT,
    grants: grants ?? [],
    comment,
    sizeBytes: Number(size),
    guard: isGuarded ? guardMark : null,
    guardMark,
    migration: parseMigration(markOf(MIGRATION_MARK)),
    isCopying: markOf(`${MARK_PREFIX}copying`) !== null,
  };
}

const PROVIDERS: Readonly<Record<string, DatabaseFacts["provider"]>> = { c: "libc", i: "icu", b: "builtin" };

/** As before our guard. What somebody has changed since is theirs. */
function withoutOurs(settings: readonly SettingFacts[]): SettingFacts[] {
  const guards = new Map(
    settings.flatMap(({ database, name, value }) =>
      database !== null && name === GUARD_MARK ? [[database, parseGuard(value)] as const] : [],
    ),
  );
  return settings.flatMap((setting) => {
    if (setting.name.startsWith(MARK_PREFIX)) return [];
    const guard = setting.database === null || setting.role !== null ? undefined : guards.get(setting.database);
    if (guard === undefined || guard === null || setting.name !== READ_ONLY || setting.value !== GUARD_READ_ONLY)
      return [setting];
    return guard.readOnly === null ? [] : [{ ...setting, value: guard.readOnly }];
  });
}
