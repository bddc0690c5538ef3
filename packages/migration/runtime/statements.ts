/** SQL that recreates roles and databases of one cluster in another. Pure: every name and value is quoted here. */
import type { DatabaseFacts, Grant, Membership, RoleFacts, SettingFacts } from "./facts";

/** "weird ""name""" */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll("\\", "\\\\")}'`;
  return text.includes("\\") ? `E${quoted}` : quoted;
}

/** Settings with a list of separately quoted names (GUC_LIST_QUOTE of PostgreSQL's "guc_tables"). */
const LISTS = new Set([
  "local_preload_libraries",
  "search_path",
  "session_preload_libraries",
  "shared_preload_libraries",
  "temp_tablespaces",
  "unix_socket_directories",
]);

/** Without its password: statements may be logged. */
export function createRole(role: RoleFacts): string[] {
  const flag = (name: string, isSet: boolean): string => (isSet ? name : `NO${name}`);
  const clauses = [
    flag("SUPERUSER", role.isSuperuser),
    flag("INHERIT", role.inherits),
    flag("CREATEROLE", role.createsRoles),
    flag("CREATEDB", role.createsDatabases),
    flag("LOGIN", role.canLogIn),
    flag("REPLICATION", role.replicates),
    flag("BYPASSRLS", role.bypassesRls),
    `CONNECTION LIMIT ${role.connectionLimit}`,
    ...(role.validUntil === null ? [] : [`VALID UNTIL ${literal(role.validUntil)}`]),
  ];
  const name = identifier(role.name);
  return [
    `CREATE ROLE ${name} WITH ${clauses.join(" ")}`,
    ...(role.comment === null ? [] : [`COMMENT ON ROLE ${name} IS ${literal(role.comment)}`]),
  ];
}

/** `targetVersion` is the major version of the executing server: options of a membership exist since 16. */
export function grantMembership({ admin, inherit, member, role, set }: Membership, targetVersion: string): string {
  const options =
    Number(targetVersion) < 16
      ? admin
        ? " WITH ADMIN OPTION"
        : ""
      : ` WITH ${[`ADMIN ${admin}`, ...(inherit === null ? [] : [`INHERIT ${inherit}`]), ...(set === null ? [] : [`SET ${set}`])].join(", ").toUpperCase()}`;
  return `GRANT ${identifier(role)} TO ${identifier(member)}${options}`;
}

/** `database` is its name in the target, which differs from its own during the copy. */
export function alterSetting({ name, role, value }: SettingFacts, database: string | null): string {
  const [parameter, whose] = [name.split(".").map(identifier).join("."), database === null ? "" : identifier(database)];
  const subject =
    role === null
      ? database === null
        ? "ROLE ALL"
        : `DATABASE ${whose}`
      : `ROLE ${identifier(role)}${database === null ? "" : ` IN DATABASE ${whose}`}`;
  const text = LISTS.has(name) ? splitNames(value).map(literal).join(", ") : literal(value);
  return `ALTER ${subject} SET ${parameter} TO ${text === "" ? "''" : text}`;
}

/** An empty database under a temporary name until it is complete. */
export function createDatabase(facts: DatabaseFacts, name: string, withTablespace: boolean): string {
  const clauses = [
    `OWNER ${identifier(facts.owner)}`,
    "TEMPLATE template0",
    `ENCODING ${literal(facts.encoding)}`,
    `LC_COLLATE ${literal(facts.collate)}`,
    `LC_CTYPE ${literal(facts.ctype)}`,
    ...(facts.provider === "icu" ? [`LOCALE_PROVIDER icu ICU_LOCALE ${literal(facts.locale ?? "und")}`] : []),
    ...(facts.provider === "builtin" ? [`LOCALE_PROVIDER builtin BUILTIN_LOCALE ${literal(facts.locale ?? "C")}`] : []),
    ...(facts.icuRules === null ? [] : [`ICU_RULES ${literal(facts.icuRules)}`]),
    ...(withTablespace && facts.tablespace !== "pg_default" ? [`TABLESPACE ${identifier(facts.tablespace)}`] : []),
  ];
  return `CREATE DATABASE ${identifier(name)} WITH ${clauses.join(" ")}`;
}

/** Grants of a database as in the source: revokes all, then grants each. */
export function grantDatabase(facts: DatabaseFacts, name: string): string[] {
  const database = identifier(name);
  const grantees = [...new Set([null, facts.owner, ...facts.grants.map(({ grantee }) => grantee)])];
  const ofOwner = facts.grants.filter(({ grantor }) => grantor === facts.owner);
  const ofOthers = facts.grants.filter(({ grantor }) => grantor !== facts.owner);
  const grant = ({ grantee, isGrantable, privilege }: Grant): string =>
    `GRANT ${privilege} ON DATABASE ${database} TO ${whom(grantee)}${isGrantable && grantee !== facts.owner ? " WITH GRANT OPTION" : ""}`;
  return [
    ...grantees.map((grantee) => `REVOKE ALL ON DATABASE ${database} FROM ${whom(grantee)}`),
    ...ofOwner.map(grant),
    ...ofOthers.flatMap((each) => [`SET LOCAL ROLE ${identifier(each.grantor)}`, grant(each), "RESET ROLE"]),
  ];
}

function whom(grantee: string | null): string {
  return grantee === null ? "PUBLIC" : identifier(grantee);
}

/** The names in a stored list: `"$user", public`. */
function splitNames(value: string): string[] {
  return [...value.matchAll(/"((?:[^"]|"")*)"|([^,\s][^,]*)/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? (plain ?? "").trim(),
  );
}
