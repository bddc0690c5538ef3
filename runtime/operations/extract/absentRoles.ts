/** Roles of the restored objects that production does not have, or does not let this session name as owners. */
import { fail } from "../../base/errors";
import type { Session } from "../../postgres/session";
import { identifier, qualified } from "./tableObjects";

/**
 * Roles that objects of a schema depend on: owners, grants of any kind of object and of columns, default privileges,
 * and policies.
 */
export async function rolesOf(session: Session, schema: string): Promise<string[]> {
  const { rows } = await session.query(
    // A dependency on the role that initdb created is recorded nowhere but in the owner.
    "with space as (select oid from pg_namespace where nspname = $1), object as (" +
      "select 'pg_namespace'::regclass::oid as classid, oid as objid from space " +
      "union select d.classid, d.objid from pg_depend d join space s on d.refclassid = 'pg_namespace'::regclass and d.refobjid = s.oid " +
      "union select 'pg_policy'::regclass, p.oid from pg_policy p join pg_class c on c.oid = p.polrelid join space s on s.oid = c.relnamespace) " +
      "select pg_get_userbyid(r.refobjid) as name from pg_shdepend r join object o on o.classid = r.classid and o.objid = r.objid " +
      "where r.refclassid = 'pg_authid'::regclass and r.dbid = (select oid from pg_database where datname = current_database()) " +
      "union select pg_get_userbyid(c.relowner) from pg_class c join space s on s.oid = c.relnamespace order by 1",
    [schema],
  );
  return (rows as { name: string }[]).map(({ name }) => name);
}

export async function missingRoles(session: Session, roles: readonly string[]): Promise<string[]> {
  const { rows } = await session.query(
    "select name from unnest($1::text[]) name where name not in (select rolname from pg_roles)",
    [[...roles]],
  );
  return (rows as { name: string }[]).map(({ name }) => name);
}

/** @throws dbInvalid (81) for an owner that this session cannot give tables to, before anything is copied */
export async function requireOwners(side: Session, schema: string, production: Session): Promise<void> {
  const { rows } = await side.query(
    "select distinct pg_get_userbyid(c.relowner) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1",
    [schema],
  );
  const owners = (rows as { name: string }[]).map(({ name }) => name);
  const refused = await production.query(
    "select name, current_user as self from unnest($1::text[]) name where not pg_has_role(name, 'MEMBER') order by 1",
    [owners],
  );
  const [first] = refused.rows as { name: string; self: string }[];
  if (first === undefined) return;
  const names = (refused.rows as { name: string }[]).map(({ name }) => name).join(", ");
  throw fail("dbInvalid", `production's role ${first.self} may not create objects of ${names}: nothing was changed`, {
    hint: "Connect as a superuser (enableSuperuserAccess of a Cluster of CloudNativePG), or write a dump with --to-file.",
  });
}

/**
 * The schema on the side server belongs to its superuser. A session of another role can create it in production only as
 * its own.
 */
export async function giveSchema(side: Session, schema: string, production: Session): Promise<void> {
  const { rows } = await production.query(
    "select rolname as name from pg_roles where rolname = current_user and not rolsuper",
  );
  const own = (rows[0] as { name: string } | undefined)?.name;
  if (own === undefined || (await missingRoles(side, [own])).length > 0) return;
  await side.query(`alter schema ${identifier(schema)} owner to ${identifier(own)}`);
}

/**
 * Takes roles out of the policies of a schema, on the side server: pg_dump can omit owners and grants, but not these. A
 * policy for none but such roles applies to nobody, and is dropped. Returns the policies.
 */
export async function removeFromPolicies(side: Session, schema: string, roles: readonly string[]): Promise<string[]> {
  const { rows } = await side.query(
    "select p.polname as name, c.relname as table, array(select case o when 0 then null else pg_get_userbyid(o) end::text from unnest(p.polroles) o) as roles " +
      "from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 order by 2, 1",
    [schema],
  );
  const changed: string[] = [];
  for (const policy of rows as { name: string; table: string; roles: (string | null)[] }[]) {
    const left = policy.roles.filter((role) => role === null || !roles.includes(role));
    if (left.length === policy.roles.length) continue;
    const of = `policy ${identifier(policy.name)} on ${qualified(schema, policy.table)}`;
    const whom = left.map((role) => (role === null ? "public" : identifier(role))).join(", ");
    await side.query(left.length === 0 ? `drop ${of}` : `alter ${of} to ${whom}`);
    changed.push(`${policy.name} of ${policy.table}`);
  }
  return changed;
}
