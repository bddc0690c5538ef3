/** What a migration would do, what must stop for it, and why it must not begin. Pure. */
import {
  type ClientFacts,
  type ClusterFacts,
  type DatabaseContents,
  type DatabaseFacts,
  DROPPED_CONNECTION_LIMIT,
  type Membership,
  preparedText,
  type RoleFacts,
  type SettingFacts,
} from "./facts";

/** `--db-include` and `--db-exclude`. */
export interface DatabaseChoice {
  /** Names of databases; empty means all. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

export function isChosen(name: string, { exclude, include }: DatabaseChoice): boolean {
  return !exclude.includes(name) && (include.length === 0 || include.includes(name));
}

export interface MigrationOptions extends DatabaseChoice {
  /** Roles of the target that stay unchanged. */
  readonly keepRoles: readonly string[];
  readonly tablespaces: boolean;
  /** Terminate the source's client sessions. */
  readonly disconnect: boolean;
  /** Databases at a time. */
  readonly processMax: number;
}

export interface PlanInput {
  readonly source: ClusterFacts;
  readonly target: ClusterFacts;
  /** For each database of the source that accepts connections. */
  readonly contents: readonly DatabaseContents[];
  /** Extensions that the target could install. */
  readonly availableExtensions: readonly string[];
  /** Locales ({@link localeKey}) that the target's machine lacks. */
  readonly missingLocales: readonly string[];
  readonly options: MigrationOptions;
}

/** A fact, the broken rule and the remedy. */
export interface PlanFinding {
  readonly fact: string;
  readonly rule: string;
  readonly wayOut: string;
}

export interface PlannedDatabase {
  readonly name: string;
  readonly sizeBytes: number;
  /**
   * `done`: an earlier run has copied it under the guard that is still set; `stale`: that guard was lifted since, so it
   * is compared first.
   */
  readonly state: "copy" | "stale" | "done";
}

export interface MigrationPlan {
  readonly version: 1;
  readonly source: { readonly systemId: string; readonly version: string };
  readonly target: { readonly systemId: string; readonly version: string };
  readonly databases: readonly PlannedDatabase[];
  /** Roles to create in the target. */
  readonly roles: readonly string[];
  /** Roles that are neither created nor changed. */
  readonly keptRoles: readonly string[];
  /** Clients connected at the time of the plan. */
  readonly clients: readonly ClientFacts[];
  readonly refusals: readonly PlanFinding[];
  readonly warnings: readonly PlanFinding[];
  readonly sizeBytes: number;
  /** An estimate from sizes. */
  readonly estimateSeconds: number;
}

/** Dump, transfer and index builds of one database; measured rates are of this order, without a promise. */
const BYTES_PER_SECOND = 20 * 1024 * 1024;
const SECONDS_PER_DATABASE = 1;
/** Roles of CloudNativePG and of PostgreSQL itself. */
const FILTERED = /^(postgres|streaming_replica|cnpg_.*|pg_.*)$/;

export function planMigration(input: PlanInput): MigrationPlan {
  const { options, source, target } = input;
  const refusals: PlanFinding[] = [];
  const warnings: PlanFinding[] = [];
  const refuse = (fact: string, rule: string, wayOut: string): void => void refusals.push({ fact, rule, wayOut });
  const warn = (fact: string, rule: string, wayOut: string): void => void warnings.push({ fact, rule, wayOut });
  judgeServers(source, target, refuse);
  const chosen = chooseDatabases(input, refuse, warn);
  judgeDatabases(chosen, input, refuse);
  const roles = judgeRoles(input, refuse);
  judgeSettings(source, target, refuse);
  judgeContents(chosen, input, refuse, warn);
  const names = new Set(chosen.map(({ name }) => name));
  const clients = source.clients.filter(({ database }) => names.has(database));
  const databases = chosen.map(
    (facts): PlannedDatabase => ({
      name: facts.name,
      sizeBytes: facts.sizeBytes,
      state: stateOf(facts, source.systemId, target),
    }),
  );
  const sizeBytes = chosen.reduce((sum, each) => sum + each.sizeBytes, 0);
  const seconds = databases
    .filter(({ state }) => state === "copy")
    .map((each) => SECONDS_PER_DATABASE + each.sizeBytes / BYTES_PER_SECOND);
  const longest = Math.max(0, ...seconds);
  return {
    version: 1,
    source: { systemId: source.systemId, version: source.versionText },
    target: { systemId: target.systemId, version: target.versionText },
    databases,
    roles: roles.map(({ name }) => name),
    keptRoles: movedRoles(source).flatMap(({ name }) => (roles.some((role) => role.name === name) ? [] : [name])),
    clients,
    refusals,
    warnings,
    sizeBytes,
    estimateSeconds: Math.ceil(Math.max(longest, seconds.reduce((sum, each) => sum + each, 0) / options.processMax)),
  };
}

export function movedRoles(source: ClusterFacts): readonly RoleFacts[] {
  return source.roles.filter(({ name }) => isMoved(name, source));
}

/** One for each role and member. Since PostgreSQL 16 each grantor has its own, and what they allow adds up. */
export function unitedMemberships(memberships: readonly Membership[]): readonly Membership[] {
  const united = new Map<string, Membership>();
  const either = (left: boolean | null, right: boolean | null): boolean | null =>
    left === null ? right : left || right === true;
  for (const each of memberships) {
    const key = JSON.stringify([each.role, each.member]);
    const { admin, inherit, set } = united.get(key) ?? { admin: false, inherit: null, set: null };
    united.set(key, {
      ...each,
      admin: admin || each.admin,
      inherit: either(inherit, each.inherit),
      set: either(set, each.set),
    });
  }
  return [...united.values()];
}

/** Memberships of migrated roles, in migrated roles or in those of every cluster. */
export function movedMemberships(source: ClusterFacts): readonly Membership[] {
  return unitedMemberships(source.memberships).filter(
    ({ member, role }) => isMoved(member, source) && (isMoved(role, source) || role.startsWith("pg_")),
  );
}

/** Of these databases, of migrated roles, and of all roles. */
export function movedSettings(source: ClusterFacts, databases: readonly string[]): readonly SettingFacts[] {
  return source.settings.filter(
    ({ database, role }) =>
      (database === null || databases.includes(database)) && (role === null || isMoved(role, source)),
  );
}

/** `ALTER ROLE ALL SET`. */
export function isForAll({ database, role }: SettingFacts): boolean {
  return database === null && role === null;
}

function isMoved(name: string, source: ClusterFacts): boolean {
  return !FILTERED.test(name) && name !== source.bootstrapRole;
}

/** Readable, and also used as a key. */
export function localeKey({ collate, ctype, locale, provider }: DatabaseFacts): string {
  return provider === "libc"
    ? collate === ctype
      ? `libc ${collate}`
      : `libc ${collate} / ${ctype}`
    : `${provider} ${locale ?? ""}`;
}

/** Empty when they are equal. */
export function roleDifferences(source: RoleFacts, target: RoleFacts): string[] {
  const compared: readonly (keyof RoleFacts)[] = [
    "isSuperuser",
    "inherits",
    "createsRoles",
    "createsDatabases",
    "canLogIn",
    "replicates",
    "bypassesRls",
    "connectionLimit",
    "validUntil",
  ];
  return compared.flatMap((name) =>
    source[name] === target[name] ? [] : [`${name} ${String(source[name])}, there ${String(target[name])}`],
  );
}

type AddFinding = (fact: string, rule: string, wayOut: string) => void;

function judgeServers(source: ClusterFacts, target: ClusterFacts, refuse: AddFinding): void {
  if (source.systemId === target.systemId)
    refuse(
      "source and target are the same cluster",
      "a migration copies databases from one cluster into another",
      "set the target to the new cluster",
    );
  if (Number(target.version) < Number(source.version))
    refuse(
      `the source is PostgreSQL ${source.version}, the target ${target.version}`,
      "a dump can only be loaded into the same or a newer version",
      "create the target with the same or a newer version",
    );
  for (const [facts, side] of [
    [source, "source"],
    [target, "target"],
  ] as const) {
    if (facts.inRecovery)
      refuse(
        `the ${side} is a standby`,
        "a standby is read-only, so a migration can neither copy into it nor block writes",
        "use its primary",
      );
    if (!facts.isSuperuser)
      refuse(
        `the role of the ${side} is not a superuser`,
        "a migration copies roles, owners, grants and large objects of all roles",
        `connect to the ${side} as a superuser (CloudNativePG: enableSuperuserAccess)`,
      );
  }
  for (const { database, name } of source.prepared)
    refuse(
      preparedText({ database, name }),
      "a dump does not contain it, and it keeps its locks",
      "commit or roll it back in the source: COMMIT PREPARED, ROLLBACK PREPARED",
    );
}

function chooseDatabases(
  { contents, options, source }: PlanInput,
  refuse: AddFinding,
  warn: AddFinding,
): readonly DatabaseFacts[] {
  const { exclude, include } = options;
  const known = new Set(source.databases.map(({ name }) => name));
  for (const name of [...include, ...exclude])
    if (!known.has(name))
      refuse(
        `the source has no database '${name}'`,
        "every listed database must exist",
        "check its spelling; case matters",
      );
  const objects = (name: string): number => contents.find((each) => each.name === name)?.objectCount ?? 0;
  return source.databases.filter((each) => {
    const { allowsConnections, connectionLimit, name } = each;
    if (!isChosen(name, options)) return false;
    if (name === "template0") return false;
    if (name === "postgres" || name === "template1") {
      if (objects(name) > 0)
        (name === "postgres" ? refuse : warn)(
          `database '${name}' has ${objects(name)} objects of its own`,
          "every cluster has a database of that name, so it is not replaced",
          name === "postgres"
            ? "move them into another database, or leave them out with --db-exclude=postgres"
            : "create them in the target by hand",
        );
      return false;
    }
    const isDropped = connectionLimit === DROPPED_CONNECTION_LIMIT;
    const remedy = isDropped
      ? "repeat its DROP DATABASE, which was interrupted"
      : "allow it (ALTER DATABASE … ALLOW_CONNECTIONS true)";
    if (!allowsConnections)
      refuse(
        `database '${name}' allows no connections`,
        "a dump needs a connection",
        `${remedy}, or leave it out with --db-exclude=${name}`,
      );
    return true;
  });
}

function judgeDatabases(
  chosen: readonly DatabaseFacts[],
  { missingLocales, options, source, target }: PlanInput,
  refuse: AddFinding,
): void {
  for (const facts of chosen) {
    const there = target.databases.find(({ name }) => name === facts.name);
    if (there !== undefined && there.migration?.from !== source.systemId)
      refuse(
        `the target already has a database '${facts.name}'`,
        "a migration replaces only databases that it created",
        `drop it there, or leave it out with --db-exclude=${facts.name}`,
      );
    const key = localeKey(facts);
    if (missingLocales.includes(key))
      refuse(
        `database '${facts.name}' has the locale ${key}, which the target's machine does not have`,
        "a database keeps its collation",
        "install the locale there (Debian: locale-gen; CloudNativePG: the standard image), and restart the server",
      );
    if (options.tablespaces && !target.tablespaces.includes(facts.tablespace))
      refuse(
        `database '${facts.name}' is in tablespace '${facts.tablespace}', which the target does not have`,
        "a database keeps its tablespace",
        "create it there, or put everything into the default tablespace with --no-tablespaces",
      );
  }
}

function judgeRoles({ options, source, target }: PlanInput, refuse: AddFinding): readonly RoleFacts[] {
  const isThere = new Map(target.roles.map((role) => [role.name, role]));
  for (const name of options.keepRoles)
    if (!isThere.has(name))
      refuse(
        `the target has no role '${name}' to keep`,
        "a kept role must exist",
        "create it, or let the migration copy it",
      );
  if (!isThere.has(source.bootstrapRole))
    refuse(
      `the target has no role '${source.bootstrapRole}'`,
      "it owns the source's built-in objects",
      "create it there as a superuser",
    );
  for (const name of source.referencedRoles)
    if (!isMoved(name, source) && !isThere.has(name))
      refuse(
        `role '${name}' has objects or grants in the source, is not copied and does not exist in the target`,
        "a migration does not copy roles of PostgreSQL or of an operator",
        "create it there, or remove its objects and grants in the source",
      );
  return movedRoles(source).filter((role) => {
    const there = isThere.get(role.name);
    if (there === undefined) return true;
    const differences = roleDifferences(role, there);
    if (differences.length > 0 && !options.keepRoles.includes(role.name))
      refuse(
        `role '${role.name}' differs in the target: ${differences.join("; ")}`,
        "a migration does not change existing roles",
        `make both equal, or keep the target's role with --keep-role=${role.name}`,
      );
    return false;
  });
}

/** They would change how the target's other databases work. */
function judgeSettings(source: ClusterFacts, target: ClusterFacts, refuse: AddFinding): void {
  const wanted = new Map(source.settings.filter(isForAll).map(({ name, value }) => [name, value]));
  for (const { name, value } of target.settings.filter(isForAll))
    if (wanted.get(name) !== value)
      refuse(
        `${name} of all roles is '${value}' in the target, ${wanted.has(name) ? `'${wanted.get(name)}'` : "not set"} in the source`,
        "a migration does not change existing settings of all roles",
        "make both equal: ALTER ROLE ALL SET, ALTER ROLE ALL RESET",
      );
}

function judgeContents(chosen: readonly DatabaseFacts[], input: PlanInput, refuse: AddFinding, warn: AddFinding): void {
  const { availableExtensions, contents, source, target } = input;
  const names = new Set(chosen.map(({ name }) => name));
  const available = new Set(availableExtensions);
  const missing = new Map<string, string[]>();
  for (const { extensions, name } of contents.filter((each) => names.has(each.name)))
    for (const extension of extensions.filter((each) => !available.has(each)))
      missing.set(extension, [...(missing.get(extension) ?? []), name]);
  for (const [extension, databases] of missing)
    refuse(
      `the target cannot install extension '${extension}' of ${databases.map((name) => `'${name}'`).join(", ")}`,
      "a dump names an extension, but the server must have its files",
      "install its package there (CloudNativePG: an image that has it)",
    );
  const libraries = source.preload.filter((name) => !target.preload.includes(name));
  if (libraries.length > 0)
    warn(
      `the source preloads ${libraries.join(", ")}, the target does not`,
      "some extensions must be preloaded",
      "set shared_preload_libraries there, and restart it",
    );
  for (const { database, name, type } of source.slots)
    if (type === "logical" && database !== null && names.has(database))
      warn(
        `the logical slot '${name}' of '${database}' is not copied`,
        "a dump contains no slots",
        "let its reader catch up before writes stop, and create it again in the target",
      );
  for (const { database, isEnabled, name } of source.subscriptions.filter((each) => names.has(each.database)))
    if (isEnabled)
      refuse(
        `the subscription '${name}' of '${database}' is enabled`,
        "its workers write into the source even while that is read-only, so the target would lack rows",
        "disable it in the source: ALTER SUBSCRIPTION … DISABLE",
      );
    else
      warn(
        `the subscription '${name}' of '${database}' is disabled in the target`,
        "two subscribers of one slot would share its changes",
        "drop it in the source first (its slot set to NONE), then ALTER SUBSCRIPTION … ENABLE in the target",
      );
}

/** What an earlier run has done for this database of the source. */
export function stateOf(
  { guard, name }: DatabaseFacts,
  sourceId: string,
  target: Pick<ClusterFacts, "databases">,
): PlannedDatabase["state"] {
  const mark = target.databases.find((each) => each.name === name)?.migration;
  if (mark === undefined || mark === null || mark.from !== sourceId) return "copy";
  return guard !== null && guard.atS === mark.guardAtS ? "done" : "stale";
}
