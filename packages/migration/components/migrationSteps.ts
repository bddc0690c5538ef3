/**
 * Plans a migration as a list of steps, from plain values: which command runs where, what is stopped, repointed and
 * started around it, in which order. Pure.
 *
 * Steps are resources that run once: an update that goes further creates the next ones and does not repeat earlier
 * ones. Settings may be deferred: which steps there are follows from known ones.
 */
import { fields, PATHS } from "pgbackstop/kit";

/** How far an update goes; `release` returns to the source. */
export const STAGES = ["plan", "copy", "switch", "retire", "release"] as const;
type Stage = (typeof STAGES)[number];

export interface ServerSettings {
  /** `server` is only reachable over the network. */
  readonly kind: "host" | "cluster" | "server";
  /** False for a host or cluster whose engine is not our runtime and lacks its verbs. */
  readonly hasRuntime: boolean;
  /** True if this cluster's Secrets are known to be in another namespace than the Jobs'. */
  readonly isElsewhere: boolean;
  /** A password or certificate is in a Kubernetes Secret, which only a Job can read. */
  readonly isInSecret: boolean;
  readonly address?: string | undefined;
  readonly port?: number | undefined;
  readonly user?: string | undefined;
  readonly database?: string | undefined;
  readonly sslMode?: string | undefined;
  /** True for a cluster without a superuser Secret, if none is named either. */
  readonly lacksSuperuser?: boolean;
  readonly hasPassword: boolean;
  readonly hasCa: boolean;
}

export interface WorkloadSettings {
  readonly kind: string;
  readonly name: string;
  /** Default: the Jobs' namespace. */
  readonly namespace?: string | undefined;
}

export interface SecretSettings {
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly keys: readonly string[];
}

export interface MigrationSettings {
  /** Start of the names of Kubernetes objects. */
  readonly name: string;
  readonly until: string;
  readonly source: ServerSettings;
  readonly target: ServerSettings;
  readonly workloads: readonly WorkloadSettings[];
  readonly secrets: readonly SecretSettings[];
  readonly units: readonly (readonly string[])[];
  /** True if Jobs have a namespace, given or a cluster's. */
  readonly hasNamespace: boolean;
  readonly databases: readonly string[];
  readonly excludedDatabases: readonly string[];
  readonly keepRoles: readonly string[];
  readonly rolePasswords: boolean;
  readonly tablespaces: boolean;
  readonly disconnect: boolean;
  readonly replace: boolean;
  readonly sourceStopped: boolean;
  readonly processMax: number;
  /** PostgreSQL's programs on the migration's host; undefined to search for them. */
  readonly binDirectory?: string | undefined;
  /** The target cluster's drill to run immediately. */
  readonly drill?: string | undefined;
  readonly drills: readonly string[];
}

/** Like findings, but without a code: a migration ends before anyone would silence one. */
export interface MigrationFinding {
  readonly path: string;
  readonly fact: string;
  readonly rule: string;
  readonly remedy: string;
}

export type StepAction =
  | "migrate"
  | "stop-units"
  | "start-units"
  | "stop-workloads"
  | "start-workloads"
  | "repoint-secrets"
  | "restore-secrets"
  | "backup"
  | "drill";

export interface MigrationStep {
  /** Part of the child's name; it differs if a later stage repeats the action. */
  readonly role: string;
  readonly action: StepAction;
  readonly verb?: "plan" | "copy" | "verify" | "release" | "finish";
  readonly unitsIndex?: number;
  /** Shown before the step runs. */
  readonly text: string;
}

interface Sides {
  readonly source: Pick<ServerSettings, "kind">;
  readonly target: Pick<ServerSettings, "kind">;
}

/** The side on whose machine or in whose namespace `pgbackstop-migration` runs; null if neither has one. */
export function runnerOf({ source, target }: Sides): "source" | "target" | null {
  if (target.kind !== "server") return "target";
  return source.kind === "server" ? null : "source";
}

export function planSteps(settings: MigrationSettings): MigrationStep[] {
  const reaches = (stage: Stage): boolean => STAGES.indexOf(settings.until as Stage) >= STAGES.indexOf(stage);
  if (settings.until === "release") return releaseSteps(settings);
  return [
    migrate("plan", "show what would move, who is connected and what prevents it"),
    ...(reaches("copy") ? copySteps(settings) : []),
    ...(reaches("switch") ? switchSteps(settings) : []),
    ...(reaches("retire") ? retireSteps(settings) : []),
  ];
}

function copySteps(settings: MigrationSettings): MigrationStep[] {
  return [
    ...unitSteps(settings, "stop", ""),
    ...workloadSteps(settings, "stop", ""),
    migrate("copy", "make the source read-only, copy roles and databases"),
    migrate("verify", "compare both sides row by row"),
  ];
}

function switchSteps(settings: MigrationSettings): MigrationStep[] {
  return [
    ...secretSteps(settings, "repoint", "write the new values into, and remember the old ones of"),
    ...workloadSteps(settings, "start", ""),
    ...unitSteps(settings, "start", ""),
  ];
}

function retireSteps(settings: MigrationSettings): MigrationStep[] {
  const { drill, target } = settings;
  return [
    { role: "first-backup", action: "backup", text: "take a full backup of the target into every repository" },
    {
      role: "first-drill",
      action: "drill",
      text:
        target.kind === "cluster" ? `run the target's drill '${drill}'` : "run a drill with the target's newest backup",
    },
    migrate("finish", "say whether the source may be removed"),
  ];
}

/** Returns to the source: without a plan, which would refuse because the migration has begun. */
function releaseSteps(settings: MigrationSettings): MigrationStep[] {
  return [
    migrate("release", "make the source writable again"),
    ...secretSteps(settings, "restore", "write the remembered values back into"),
    ...workloadSteps(settings, "start", "-again"),
    ...unitSteps(settings, "start", "-again"),
  ];
}

function migrate(verb: NonNullable<MigrationStep["verb"]>, text: string): MigrationStep {
  return { role: verb, action: "migrate", verb, text };
}

function unitSteps({ units }: MigrationSettings, verb: "start" | "stop", suffix: string): MigrationStep[] {
  return units.map((names, index) => ({
    role: `${verb}-units${units.length === 1 ? "" : `-${index + 1}`}${suffix}`,
    action: `${verb}-units`,
    unitsIndex: index,
    text: `${verb} ${names.join(", ")}`,
  }));
}

const WORKLOAD_TEXTS = {
  stop: { scaled: "scale to 0, and remember the replicas of", cron: "suspend, and wait for the runs of" },
  start: { scaled: "scale to the remembered replicas", cron: "resume" },
} as const;

function workloadSteps({ workloads }: MigrationSettings, verb: "start" | "stop", suffix: string): MigrationStep[] {
  const named = (isCron: boolean): string[] => {
    const chosen = workloads.filter(({ kind }) => (kind === "CronJob") === isCron);
    const names = chosen.map(
      ({ kind, name, namespace }) => `${kind} ${namespace === undefined ? "" : `${namespace}/`}${name}`,
    );
    return names.length === 0 ? [] : [`${WORKLOAD_TEXTS[verb][isCron ? "cron" : "scaled"]} ${names.join(", ")}`];
  };
  if (workloads.length === 0) return [];
  return [
    fields<MigrationStep>({
      role: () => `${verb}-workloads${suffix}`,
      action: () => `${verb}-workloads`,
      text: () => [...named(false), ...named(true)].join("; "),
    }),
  ];
}

function secretSteps({ secrets }: MigrationSettings, verb: "repoint" | "restore", what: string): MigrationStep[] {
  if (secrets.length === 0) return [];
  const named = (): string[] =>
    secrets.map(
      ({ keys, name, namespace }) => `${namespace === undefined ? "" : `${namespace}/`}${name} (${keys.join(", ")})`,
    );
  return [
    fields<MigrationStep>({
      role: () => `${verb}-secrets`,
      action: () => `${verb}-secrets`,
      text: () => `${what} Secret ${named().join(", ")}`,
    }),
  ];
}

/** A server's arguments and files, all known. */
export interface KnownServer {
  readonly address: string;
  readonly settings: ServerSettings;
}

/** Names of files next to the arguments: password and CA certificate. */
export const SERVER_FILES = {
  source: { password: "from-password", ca: "from-ca.pem" },
  target: { password: "to-password", ca: "to-ca.pem" },
} as const;

/** Answers of the backup program, which `finish` reads. */
export const EVIDENCE_FILES = { info: "info.json", status: "status.json" } as const;

/** @param directory of {@link SERVER_FILES} @param evidence directory of {@link EVIDENCE_FILES} */
export function migrateArgs(
  settings: MigrationSettings,
  verb: NonNullable<MigrationStep["verb"]>,
  { source, target }: { readonly source: KnownServer; readonly target: KnownServer },
  directory: string,
  evidence: string = PATHS.run,
): string[] {
  const isCopying = verb === "copy" || verb === "plan" || verb === "verify";
  return [
    ...(verb === "finish" && settings.sourceStopped
      ? ["--source-stopped"]
      : serverArgs("from", source, SERVER_FILES.source, directory)),
    ...(verb === "release" ? [] : serverArgs("to", target, SERVER_FILES.target, directory)),
    ...(isCopying || verb === "finish"
      ? [
          ...settings.databases.map((name) => `--db-include=${name}`),
          ...settings.excludedDatabases.map((name) => `--db-exclude=${name}`),
        ]
      : []),
    ...(isCopying
      ? [
          ...settings.keepRoles.map((name) => `--keep-role=${name}`),
          ...(settings.rolePasswords ? [] : ["--no-role-passwords"]),
          ...(settings.tablespaces ? [] : ["--no-tablespaces"]),
          ...(settings.disconnect ? ["--disconnect"] : []),
          ...(settings.replace ? ["--replace"] : []),
          `--process-max=${settings.processMax}`,
          ...binPathArgs(settings),
        ]
      : []),
    ...(verb === "finish" ? Object.values(EVIDENCE_FILES).map((name) => `--backup-report=${evidence}/${name}`) : []),
    "--output=json",
    "--log-level=info",
    verb,
  ];
}

/** For verbs on a host that start PostgreSQL programs. */
export function binPathArgs({ binDirectory }: Pick<MigrationSettings, "binDirectory">): string[] {
  return binDirectory === undefined ? [] : [`--bin-path=${binDirectory}`];
}

function serverArgs(
  option: "from" | "to",
  { address, settings }: KnownServer,
  files: { password: string; ca: string },
  directory: string,
): string[] {
  const isSocket = address.startsWith("/");
  const parameters: Record<string, string | undefined> = {
    host: address,
    port: settings.port === undefined ? undefined : String(settings.port),
    user: settings.user ?? "postgres",
    dbname: settings.database,
    sslmode: isSocket ? settings.sslMode : (settings.sslMode ?? (settings.hasCa ? "verify-full" : "require")),
    sslrootcert: settings.hasCa ? `${directory}/${files.ca}` : undefined,
  };
  const text = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${libpqValue(value)}`],
  );
  return [
    `--${option}-server=${text.join(" ")}`,
    ...(settings.hasPassword ? [`--${option}-password-file=${directory}/${files.password}`] : []),
  ];
}

/** Quoted for libpq. */
function libpqValue(value: string): string {
  return /^[^\s'\\]+$/.test(value) ? value : `'${value.replaceAll(/['\\]/g, "\\$&")}'`;
}
