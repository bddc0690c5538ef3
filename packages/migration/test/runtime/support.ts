/** Facts of small clusters. */
import type { ClusterFacts, DatabaseFacts, RoleFacts } from "../../runtime/facts";
import type { MigrationOptions, PlanInput } from "../../runtime/migrationPlan";

export function role(name: string, changes: Partial<RoleFacts> = {}): RoleFacts {
  return {
    name,
    isSuperuser: false,
    inherits: true,
    createsRoles: false,
    createsDatabases: false,
    canLogIn: true,
    replicates: false,
    bypassesRls: false,
    connectionLimit: -1,
    validUntil: null,
    comment: null,
    ...changes,
  };
}

export function database(name: string, changes: Partial<DatabaseFacts> = {}): DatabaseFacts {
  return {
    name,
    owner: "postgres",
    encoding: "UTF8",
    provider: "libc",
    collate: "C",
    ctype: "C",
    locale: null,
    icuRules: null,
    tablespace: "pg_default",
    connectionLimit: -1,
    isTemplate: false,
    allowsConnections: true,
    grants: [],
    comment: null,
    sizeBytes: 20 * 1024 * 1024,
    guard: null,
    guardMark: null,
    migration: null,
    isCopying: false,
    ...changes,
  };
}

export function cluster(changes: Partial<ClusterFacts> = {}): ClusterFacts {
  return {
    systemId: "1",
    version: "15",
    versionText: "15.4",
    inRecovery: false,
    isSuperuser: true,
    bootstrapRole: "postgres",
    preload: [],
    databases: [database("postgres"), database("template0", { allowsConnections: false }), database("template1")],
    roles: [role("postgres", { isSuperuser: true })],
    referencedRoles: [],
    memberships: [],
    settings: [],
    tablespaces: ["pg_default", "pg_global"],
    clients: [],
    prepared: [],
    slots: [],
    subscriptions: [],
    ...changes,
  };
}

const OPTIONS: MigrationOptions = {
  include: [],
  exclude: [],
  keepRoles: [],
  tablespaces: true,
  disconnect: false,
  processMax: 2,
};

export interface PlanChanges {
  readonly source?: Partial<ClusterFacts>;
  readonly target?: Partial<ClusterFacts>;
  readonly options?: Partial<MigrationOptions>;
  readonly rest?: Partial<PlanInput>;
}

export function planInput({ options, rest, source, target }: PlanChanges = {}): PlanInput {
  return {
    source: cluster(source),
    target: cluster({ systemId: "2", version: "17", versionText: "17.2", ...target }),
    contents: [],
    availableExtensions: ["plpgsql"],
    missingLocales: [],
    options: { ...OPTIONS, ...options },
    ...rest,
  };
}
