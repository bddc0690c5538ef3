/** Finds differences between two clusters and names the differing objects. Pure. */
import type { Contents } from "./contents";
import type { ClusterFacts, DatabaseFacts, Grant, Membership, RoleFacts, SettingFacts } from "./facts";
import type { InventoryLine } from "./inventory";
import {
  localeKey,
  movedMemberships,
  movedRoles,
  movedSettings,
  roleDifferences,
  unitedMemberships,
} from "./migrationPlan";

export interface Difference {
  /** Null is the cluster. */
  readonly database: string | null;
  /** `table`, `sequence`, `function`, `role` … */
  readonly kind: string;
  readonly name: string;
  readonly text: string;
}

/**
 * Kinds whose text a newer server may write differently with the same meaning: these are compared again in the target's
 * own form.
 */
export const REWRITTEN_KINDS: ReadonlySet<string> = new Set(["view", "function body"]);

const TEXT_SIZE_MAX = 400;

/** Compares by kind and name; both in any order. */
export function compareInventories(
  database: string,
  source: readonly InventoryLine[],
  target: readonly InventoryLine[],
): Difference[] {
  const key = ({ kind, name }: InventoryLine): string => `${kind}\0${name}`;
  const there = new Map(target.map((line) => [key(line), line]));
  const here = new Map(source.map((line) => [key(line), line]));
  const differences: Difference[] = [];
  for (const line of source) {
    const other = there.get(key(line));
    const { kind, name } = line;
    if (other === undefined) differences.push({ database, kind, name, text: "missing in the target" });
    else if (other.hash !== line.hash)
      differences.push({ database, kind, name, text: changed(line.definition, other.definition) });
  }
  for (const line of target)
    if (!here.has(key(line)))
      differences.push({ database, kind: line.kind, name: line.name, text: "only in the target" });
  return differences;
}

/** A newer version of the same extension comes with a newer server and is no difference. */
export function isNewerExtension(
  { kind }: Difference,
  source: InventoryLine | undefined,
  target: InventoryLine | undefined,
): boolean {
  if (kind !== "extension" || source === undefined || target === undefined) return false;
  const [[schema, from = ""], [otherSchema, to = ""]] = [
    source.definition.split(" | "),
    target.definition.split(" | "),
  ];
  return schema === otherSchema && from.localeCompare(to, "en", { numeric: true }) < 0;
}

/** Differences of contents, and harmless ones as notes. */
export function compareContents(
  database: string,
  source: Contents,
  target: Contents,
): { readonly differences: Difference[]; readonly notes: Difference[] } {
  const differences: Difference[] = [];
  const notes: Difference[] = [];
  const there = new Map(target.tables.map((table) => [table.name, table]));
  for (const { isView, name, rows, sum } of source.tables) {
    const other = there.get(name);
    if (other === undefined || (other.rows === rows && other.sum === sum)) continue;
    const text =
      other.rows === rows
        ? `${rows} rows on both sides, but different ones`
        : `${rows} rows in the source, ${other.rows} in the target`;
    if (isView) notes.push({ database, kind: "materialized view", name, text: `${text}: it was refreshed` });
    else differences.push({ database, kind: "table", name, text });
  }
  for (const [name, value] of source.sequences) {
    const other = target.sequences.get(name);
    if (other !== undefined && other !== value)
      differences.push({ database, kind: "sequence value", name, text: changed(value, other) });
  }
  return { differences, notes };
}

export function sameLargeObjects(source: Contents, target: Contents): boolean {
  const [a, b] = [source.largeObjects, target.largeObjects];
  return a.count === b.count && a.bytes === b.bytes && a.sum === b.sum && a.owners === b.owners;
}

export interface ClusterComparison {
  readonly source: ClusterFacts;
  readonly target: ClusterFacts;
  readonly databases: readonly string[];
  readonly keepRoles: readonly string[];
  readonly tablespaces: boolean;
  /** Names of roles with different passwords; null when passwords were not copied. */
  readonly otherPasswords: readonly string[] | null;
}

/** Databases, roles, memberships and settings. */
export function compareClusters(input: ClusterComparison): Difference[] {
  const { databases, keepRoles, otherPasswords, source, target } = input;
  const differences: Difference[] = [];
  const report = (kind: string, name: string, text: string): void =>
    void differences.push({ database: null, kind, name, text });
  for (const name of databases) {
    const [here, there] = [source, target].map((facts) => facts.databases.find((each) => each.name === name));
    if (there === undefined) report("database", name, "missing in the target");
    else if (here !== undefined)
      for (const text of databaseDifferences(here, there, input.tablespaces)) report("database", name, text);
  }
  const isKept = (name: string): boolean => keepRoles.includes(name);
  for (const role of movedRoles(source)) {
    const there = target.roles.find(({ name }) => name === role.name);
    if (there === undefined) report("role", role.name, "missing in the target");
    else if (!isKept(role.name))
      for (const text of [...roleDifferences(role, there), ...commentDifference(role, there)])
        report("role", role.name, text);
  }
  for (const name of otherPasswords ?? []) if (!isKept(name)) report("role", name, "different password");
  reportMissing(
    "membership",
    keyed(movedMemberships(source), membershipKey(source)),
    keyed(unitedMemberships(target.memberships), membershipKey(target)),
    report,
  );
  const moved = (facts: ClusterFacts): readonly SettingFacts[] =>
    movedSettings(facts, databases).filter(({ role }) => role === null || !isKept(role));
  reportMissing("setting", keyed(moved(source), settingKey), keyed(moved(target), settingKey), report);
  for (const each of extra(keyed(moved(target), settingKey), keyed(moved(source), settingKey)))
    report("setting", each, "only in the target");
  return differences;
}

function databaseDifferences(source: DatabaseFacts, target: DatabaseFacts, tablespaces: boolean): string[] {
  const compared: readonly (readonly [what: string, of: (facts: DatabaseFacts) => string])[] = [
    ["owner", ({ owner }) => owner],
    ["encoding", ({ encoding }) => encoding],
    ["locale", (facts) => localeKey(facts).replaceAll("_", "-")],
    ["connection limit", ({ connectionLimit }) => String(connectionLimit)],
    ["template", ({ isTemplate }) => String(isTemplate)],
    ["comment", ({ comment }) => comment ?? "none"],
    ["grants", ({ grants }) => grants.map(grantText).sort().join(", ")],
    ...(tablespaces ? ([["tablespace", ({ tablespace }: DatabaseFacts) => tablespace]] as const) : []),
  ];
  return compared.flatMap(([what, of]) =>
    of(source) === of(target) ? [] : [`${what}: ${changed(of(source), of(target))}`],
  );
}

function commentDifference(source: RoleFacts, target: RoleFacts): string[] {
  return source.comment === target.comment
    ? []
    : [`comment: ${changed(source.comment ?? "none", target.comment ?? "none")}`];
}

function grantText({ grantee, grantor, isGrantable, privilege }: Grant): string {
  return `${grantor} to ${grantee ?? "PUBLIC"}: ${privilege}${isGrantable ? "*" : ""}`;
}

/**
 * Before PostgreSQL 16 the member's own attribute decides inheritance. The grantor is not compared: a dump cannot
 * always keep it, and several grants of the same role count as one.
 */
function membershipKey({ roles }: ClusterFacts): (membership: Membership) => readonly [string, string] {
  const inherits = new Map(roles.map((role) => [role.name, role.inherits]));
  return ({ admin, inherit, member, role, set }) => {
    const options = [
      admin ? "admin" : "",
      (inherit ?? inherits.get(member)) === false ? "no inherit" : "",
      set === false ? "no set" : "",
    ];
    return [`${member} in ${role}`, options.filter((option) => option !== "").join(", ")];
  };
}

function settingKey({ database, name, role, value }: SettingFacts): readonly [string, string] {
  const whose = [
    ...(database === null ? [] : [`database ${database}`]),
    ...(role === null ? [] : [`role ${role}`]),
  ].join(", ");
  return [`${name} of ${whose === "" ? "all roles" : whose}`, value];
}

function keyed<T>(items: readonly T[], key: (item: T) => readonly [string, string]): ReadonlyMap<string, string> {
  return new Map(items.map(key));
}

function reportMissing(
  kind: string,
  source: ReadonlyMap<string, string>,
  target: ReadonlyMap<string, string>,
  report: (kind: string, name: string, text: string) => void,
): void {
  for (const [name, value] of source) {
    const other = target.get(name);
    if (other === undefined) report(kind, name, "missing in the target");
    else if (other !== value) report(kind, name, changed(value, other));
  }
}

function extra(more: ReadonlyMap<string, string>, fewer: ReadonlyMap<string, string>): string[] {
  return [...more.keys()].filter((key) => !fewer.has(key));
}

/** Long texts from their first difference on. */
function changed(source: string, target: string): string {
  let same = 0;
  while (same < source.length && source[same] === target[same]) same += 1;
  const from = source.length + target.length > TEXT_SIZE_MAX ? Math.max(0, same - 20) : 0;
  const cut = (text: string): string => {
    const rest = text.slice(from, from + TEXT_SIZE_MAX / 2);
    return `'${from > 0 ? "…" : ""}${rest}${from + rest.length < text.length ? "…" : ""}'`;
  };
  return `${cut(source)} in the source, ${cut(target)} in the target`;
}
