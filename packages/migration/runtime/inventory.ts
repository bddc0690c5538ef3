/**
 * Builds the single query that lists everything in a database except rows, as (kind, name, definition) lines. Different
 * server versions produce identical lines. Pure.
 *
 * It omits PostgreSQL's own objects (by oid) and those of extensions, which are compared by name and version. Grants
 * include default ones. Columns that only some versions have are read through JSON.
 */

export interface InventoryLine {
  readonly kind: string;
  readonly name: string;
  readonly definition: string;
  /** Hash of the definition. The server computes it, so bytes that are not valid text for us count too. */
  readonly hash: string;
}

/** Smaller oids are PostgreSQL's own (PostgreSQL "System Catalog Initial Data", FirstNormalObjectId). */
const FIRST_OWN_OID = 16_384;

/** `withMaintain` is false unless both servers know that privilege (17). */
export function inventorySql(withMaintain: boolean): string {
  const parts = lines(withMaintain).map(
    ([kind, from, name, definition]) =>
      `select '${kind}' as kind, ${name} as name, coalesce(${definition}, '') as definition ${from}`,
  );
  return `
    with member as (select classid, objid from pg_depend where deptype = 'e'),
      space as (select oid, nspname from pg_namespace where nspname !~ '^pg_(toast|temp)' and nspname not in ('pg_catalog', 'information_schema')),
      relation as (select c.*, quote_ident(s.nspname) || '.' || quote_ident(c.relname) as qualified from pg_class c join space s on s.oid = c.relnamespace
        where c.relpersistence <> 't' and not exists (select from member m where m.classid = 'pg_class'::regclass and m.objid = c.oid)),
      routine as (select p.*, quote_ident(s.nspname) || '.' || quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')' as qualified
        from pg_proc p join space s on s.oid = p.pronamespace where not exists (select from member m where m.classid = 'pg_proc'::regclass and m.objid = p.oid))
    select kind, name, definition, md5(definition) as hash from (${parts.join("\n    union all ")}) lines
    order by kind collate "C", name collate "C"`;
}

/**
 * Schema-qualified, quoted names of tables and filled materialized views whose rows are compared; leaves of partitioned
 * ones.
 */
export const ROW_TABLES = `
  select c.oid::int8::text as oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name, c.relkind = 'm' as "isView"
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'm') and c.relpersistence <> 't' and (c.relkind = 'r' or c.relispopulated)
    and n.nspname !~ '^pg_(toast|temp)' and n.nspname not in ('pg_catalog', 'information_schema')
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
  order by (n.nspname || '.' || c.relname) collate "C"`;

export const SEQUENCES = `
  select quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'S' and c.relpersistence <> 't' and not exists
    (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
  order by (n.nspname || '.' || c.relname) collate "C"`;

type Line = readonly [kind: string, from: string, name: string, definition: string];

function lines(withMaintain: boolean): Line[] {
  const acl = (list: string, type: string, owner: string): string =>
    aclText(`coalesce(${list}, acldefault('${type}', ${owner}))`, withMaintain);
  const owner = (column: string): string => `pg_get_userbyid(${column})`;
  return [
    [
      "schema",
      "from pg_namespace n join space s on s.oid = n.oid where not exists (select from member m where m.classid = 'pg_namespace'::regclass and m.objid = n.oid)",
      "quote_ident(n.nspname)",
      together(owner("n.nspowner"), acl("n.nspacl", "n", "n.nspowner")),
    ],
    [
      "extension",
      "from pg_extension e join pg_namespace n on n.oid = e.extnamespace",
      "quote_ident(e.extname)",
      together("n.nspname", "e.extversion"),
    ],
    ...relationLines(acl, owner, withMaintain),
    ...attachedLines(owner),
    ...routineLines(acl, owner),
    ...typeLines(acl, owner),
    ...otherLines(acl, owner, withMaintain),
  ];
}

type Acl = (list: string, type: string, owner: string) => string;
type Owner = (column: string) => string;

function relationLines(acl: Acl, owner: Owner, withMaintain: boolean): Line[] {
  const parents =
    "(select string_agg(i.inhparent::regclass::text, ',' order by i.inhseqno) from pg_inherits i where i.inhrelid = r.oid)";
  const columns =
    "pg_attribute a join relation r on r.oid = a.attrelid left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum";
  return [
    [
      "relation",
      "from relation r left join pg_am am on am.oid = r.relam left join pg_tablespace t on t.oid = r.reltablespace where r.relkind not in ('i', 'I', 't')",
      "r.qualified",
      together(
        "r.relkind",
        owner("r.relowner"),
        "r.relpersistence",
        "r.reloptions::text",
        "am.amname",
        "r.relrowsecurity",
        "r.relforcerowsecurity",
        "r.relreplident",
        "r.relispopulated",
        "pg_get_partkeydef(r.oid)",
        "pg_get_expr(r.relpartbound, r.oid)",
        parents,
        "case when r.reloftype <> 0 then r.reloftype::regtype::text end",
      ),
    ],
    [
      "grants of relation",
      "from relation r where r.relkind not in ('i', 'I', 't', 'c')",
      "r.qualified",
      `case r.relkind when 'S' then ${acl("r.relacl", "s", "r.relowner")} else ${acl("r.relacl", "r", "r.relowner")} end`,
    ],
    [
      "column",
      `from ${columns} where a.attnum > 0 and not a.attisdropped and r.relkind in ('r', 'p', 'v', 'm', 'f', 'c')`,
      "r.qualified || '.' || quote_ident(a.attname)",
      together(
        "(select count(*) from pg_attribute b where b.attrelid = a.attrelid and b.attnum > 0 and b.attnum <= a.attnum and not b.attisdropped)",
        "format_type(a.atttypid, a.atttypmod)",
        "a.attnotnull",
        "a.attidentity",
        "a.attgenerated",
        "case when a.attcollation <> 0 then a.attcollation::regcollation::text end",
        "a.attstorage",
        "a.attcompression",
        "coalesce(a.attstattarget, -1)",
        // A number of the server's own since the minor releases of November 2026. pg_dump leaves it out too.
        sorted("a.attoptions", "substr(o, 1, 10) <> 'pg_attver='"),
        sorted("a.attfdwoptions"),
        "a.attislocal",
      ),
    ],
    [
      "column default",
      `from ${columns} where a.attnum > 0 and d.oid is not null`,
      "r.qualified || '.' || quote_ident(a.attname)",
      "pg_get_expr(d.adbin, d.adrelid)",
    ],
    [
      "grants of column",
      "from pg_attribute a join relation r on r.oid = a.attrelid where a.attacl is not null and not a.attisdropped",
      "r.qualified || '.' || quote_ident(a.attname)",
      aclText("a.attacl", withMaintain),
    ],
    ["view", "from relation r where r.relkind in ('v', 'm')", "r.qualified", "pg_get_viewdef(r.oid)"],
  ];
}

/** Objects that belong to a relation. */
function attachedLines(owner: Owner): Line[] {
  return [
    [
      "constraint",
      "from pg_constraint c left join relation r on r.oid = c.conrelid left join pg_type t on t.oid = c.contypid left join space s on s.oid = t.typnamespace where c.contype not in ('n', 't') and (r.oid is not null or s.oid is not null)",
      "coalesce(r.qualified, quote_ident(s.nspname) || '.' || quote_ident(t.typname)) || ' ' || quote_ident(c.conname)",
      together("pg_get_constraintdef(c.oid)", "c.convalidated", "c.conislocal"),
    ],
    [
      "index",
      "from pg_index i join relation r on r.oid = i.indexrelid",
      "r.qualified",
      together(
        "pg_get_indexdef(i.indexrelid)",
        "i.indisvalid",
        "i.indisclustered",
        "i.indisreplident",
        owner("r.relowner"),
      ),
    ],
    [
      "trigger",
      "from pg_trigger t join relation r on r.oid = t.tgrelid where not t.tgisinternal",
      "r.qualified || ' ' || quote_ident(t.tgname)",
      together("pg_get_triggerdef(t.oid)", "t.tgenabled"),
    ],
    [
      "rule",
      "from pg_rewrite w join relation r on r.oid = w.ev_class where w.rulename <> '_RETURN'",
      "r.qualified || ' ' || quote_ident(w.rulename)",
      together("pg_get_ruledef(w.oid)", "w.ev_enabled"),
    ],
    [
      "policy",
      "from pg_policy p join relation r on r.oid = p.polrelid",
      "r.qualified || ' ' || quote_ident(p.polname)",
      together(
        "p.polcmd",
        "p.polpermissive",
        "(select string_agg(case o when 0 then 'PUBLIC' else pg_get_userbyid(o) end, ',' order by 1) from unnest(p.polroles) o)",
        "pg_get_expr(p.polqual, p.polrelid)",
        "pg_get_expr(p.polwithcheck, p.polrelid)",
      ),
    ],
    [
      "sequence",
      "from pg_sequence q join relation r on r.oid = q.seqrelid",
      "r.qualified",
      together(
        "format_type(q.seqtypid, null)",
        "q.seqstart",
        "q.seqincrement",
        "q.seqmin",
        "q.seqmax",
        "q.seqcache",
        "q.seqcycle",
        "(select d.refobjid::regclass::text || '.' || d.refobjsubid::text from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = q.seqrelid and d.deptype in ('a', 'i') and d.refobjsubid > 0 limit 1)",
      ),
    ],
    [
      "statistics",
      `from pg_statistic_ext x join space s on s.oid = x.stxnamespace where x.oid >= ${FIRST_OWN_OID}`,
      "quote_ident(s.nspname) || '.' || quote_ident(x.stxname)",
      together("pg_get_statisticsobjdef(x.oid)", owner("x.stxowner")),
    ],
  ];
}

function routineLines(acl: Acl, owner: Owner): Line[] {
  return [
    [
      "function",
      "from routine p join pg_language l on l.oid = p.prolang",
      "p.qualified",
      together(
        "p.prokind",
        "l.lanname",
        "pg_get_function_result(p.oid)",
        "pg_get_function_arguments(p.oid)",
        "p.provolatile",
        "p.proparallel",
        "p.proisstrict",
        "p.prosecdef",
        "p.proleakproof",
        "p.procost",
        "p.prorows",
        "p.proconfig::text",
        owner("p.proowner"),
        "md5(p.prosrc)",
        "p.probin",
      ),
    ],
    [
      "function body",
      "from routine p where p.prokind <> 'a' and pg_get_function_sqlbody(p.oid) is not null",
      "p.qualified",
      "pg_get_functiondef(p.oid)",
    ],
    ["grants of function", "from routine p", "p.qualified", acl("p.proacl", "f", "p.proowner")],
    [
      "aggregate",
      "from pg_aggregate g join routine p on p.oid = g.aggfnoid",
      "p.qualified",
      together(
        "g.aggkind",
        "g.aggtransfn::text",
        "g.aggfinalfn::text",
        "g.aggcombinefn::text",
        "format_type(g.aggtranstype, null)",
        "g.agginitval",
      ),
    ],
    [
      "event trigger",
      `from pg_event_trigger e where e.oid >= ${FIRST_OWN_OID} and ${notMember("pg_event_trigger", "e")}`,
      "quote_ident(e.evtname)",
      together("e.evtevent", "e.evtfoid::regproc::text", "e.evtenabled", "e.evttags::text", owner("e.evtowner")),
    ],
  ];
}

function typeLines(acl: Acl, owner: Owner): Line[] {
  const types = `from pg_type t join space s on s.oid = t.typnamespace where t.oid >= ${FIRST_OWN_OID} and ${notMember("pg_type", "t")} and t.typelem = 0 and not exists (select from pg_class c where c.oid = t.typrelid and c.relkind <> 'c')`;
  const name = "quote_ident(s.nspname) || '.' || quote_ident(t.typname)";
  return [
    [
      "type",
      types,
      name,
      together(
        "t.typtype",
        owner("t.typowner"),
        "t.typnotnull",
        "t.typdefault",
        "case when t.typbasetype <> 0 then format_type(t.typbasetype, t.typtypmod) end",
        "(select string_agg(quote_literal(e.enumlabel), ',' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid)",
        "(select format_type(g.rngsubtype, null) from pg_range g where g.rngtypid = t.oid)",
      ),
    ],
    ["grants of type", types, name, acl("t.typacl", "T", "t.typowner")],
  ];
}

type Plain = readonly [kind: string, catalog: string, definition: string];

/** Defined by PostgreSQL's own description functions. */
function plainLines(acl: Acl, owner: Owner): Plain[] {
  return [
    [
      "collation",
      "pg_collation",
      together(
        "to_jsonb(x) ->> 'collprovider'",
        "x.collisdeterministic",
        "replace(coalesce(to_jsonb(x) ->> 'colllocale', to_jsonb(x) ->> 'colliculocale', x.collcollate), '_', '-')",
        owner("x.collowner"),
      ),
    ],
    ["conversion", "pg_conversion", together("x.conproc::text", owner("x.conowner"))],
    ["operator", "pg_operator", together("x.oprcode::text", "x.oprcanmerge", "x.oprcanhash", owner("x.oprowner"))],
    ["operator class", "pg_opclass", together("x.opcintype::regtype::text", "x.opcdefault", owner("x.opcowner"))],
    ["operator family", "pg_opfamily", owner("x.opfowner")],
    [
      "cast",
      "pg_cast",
      together("case when x.castfunc <> 0 then x.castfunc::regprocedure::text end", "x.castcontext", "x.castmethod"),
    ],
    [
      "text search configuration",
      "pg_ts_config",
      together(
        owner("x.cfgowner"),
        "(select string_agg(m.maptokentype::text || ':' || m.mapdict::regdictionary::text, ',' order by m.maptokentype, m.mapseqno) from pg_ts_config_map m where m.mapcfg = x.oid)",
      ),
    ],
    ["text search dictionary", "pg_ts_dict", together(owner("x.dictowner"), "x.dictinitoption")],
    ["language", "pg_language", together(owner("x.lanowner"), acl("x.lanacl", "l", "x.lanowner"))],
    ["transform", "pg_transform", together("x.trffromsql::text", "x.trftosql::text")],
    ["access method", "pg_am", together("x.amhandler::text", "x.amtype")],
    [
      "foreign data wrapper",
      "pg_foreign_data_wrapper",
      together(owner("x.fdwowner"), sorted("x.fdwoptions"), acl("x.fdwacl", "F", "x.fdwowner")),
    ],
    [
      "foreign server",
      "pg_foreign_server",
      together(
        owner("x.srvowner"),
        "x.srvtype",
        "x.srvversion",
        `md5(${sorted("x.srvoptions")})`,
        acl("x.srvacl", "S", "x.srvowner"),
      ),
    ],
    [
      "publication",
      "pg_publication",
      together(
        owner("x.pubowner"),
        "x.puballtables",
        "x.pubinsert",
        "x.pubupdate",
        "x.pubdelete",
        "x.pubtruncate",
        "x.pubviaroot",
        "(select string_agg(quote_ident(p.schemaname) || '.' || quote_ident(p.tablename), ',' order by p.schemaname, p.tablename) from pg_publication_tables p where p.pubname = x.pubname and not x.puballtables)",
      ),
    ],
  ];
}

function otherLines(acl: Acl, owner: Owner, withMaintain: boolean): Line[] {
  const identity = (catalog: string, alias: string): string =>
    `(select identity from pg_identify_object('${catalog}'::regclass, ${alias}.oid, 0))`;
  const own = (catalog: string, alias: string): string =>
    `from ${catalog} ${alias} where ${alias}.oid >= ${FIRST_OWN_OID} and ${notMember(catalog, alias)}`;
  return [
    ...plainLines(acl, owner).map(
      ([kind, catalog, definition]): Line => [kind, own(catalog, "x"), identity(catalog, "x"), definition],
    ),
    // A user mapping holds a password: only its hash is compared.
    [
      "user mapping",
      "from pg_user_mappings u",
      "u.srvname || ' ' || coalesce(u.usename, 'PUBLIC')",
      `md5(${sorted("u.umoptions")})`,
    ],
    [
      "subscription",
      "from pg_subscription u join pg_database d on d.oid = u.subdbid where d.datname = current_database()",
      "quote_ident(u.subname)",
      together(owner("u.subowner"), "u.subpublications::text"),
    ],
    [
      "default grants",
      "from pg_default_acl x left join pg_namespace n on n.oid = x.defaclnamespace",
      "pg_get_userbyid(x.defaclrole) || ' ' || coalesce(n.nspname, '') || ' ' || x.defaclobjtype::text",
      aclText("x.defaclacl", withMaintain),
    ],
    [
      "comment",
      "from pg_description x cross join lateral pg_identify_object(x.classoid, x.objoid, x.objsubid) i where (x.objoid >= 16384 or x.classoid = 'pg_namespace'::regclass and x.objoid = 2200) and not exists (select from member m where m.classid = x.classoid and m.objid = x.objoid)",
      "i.type || ' ' || i.identity",
      "x.description",
    ],
  ];
}

/** A dump writes options sorted by name. */
function sorted(options: string, wanted = "true"): string {
  return `(select string_agg(o, ', ' order by o collate "C") from unnest(${options}) o where ${wanted})`;
}

function notMember(catalog: string, alias: string): string {
  return `not exists (select from member m where m.classid = '${catalog}'::regclass and m.objid = ${alias}.oid)`;
}

function together(...columns: readonly string[]): string {
  return `concat_ws(' | ', ${columns.map((column) => `coalesce((${column})::text, '-')`).join(", ")})`;
}

function aclText(list: string, withMaintain: boolean): string {
  return (
    "(select string_agg(pg_get_userbyid(a.grantor) || ' to ' || case a.grantee when 0 then 'PUBLIC' else pg_get_userbyid(a.grantee) end || ': ' || a.privilege_type || " +
    "case when a.is_grantable then '*' else '' end, ', ' order by (pg_get_userbyid(a.grantor) || ' ' || case a.grantee when 0 then '' else pg_get_userbyid(a.grantee) end || ' ' || a.privilege_type) collate \"C\") " +
    `from aclexplode(${list}) a${withMaintain ? "" : " where a.privilege_type <> 'MAINTAIN'"})`
  );
}
