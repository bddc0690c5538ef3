/**
 * Arguments of a host, as plain values, to a complete plan: every default filled in here and nowhere else. Pure.
 *
 * Values that other resources have yet to produce come as the markers of unknown.ts and are carried through. What is wrong with the
 * values is not said here but by rules.ts; resolving never throws.
 */
import { levelRangeOf } from "../../runtime/config/settings";
import type { CompressType } from "../../runtime/config/types";
import { findQuirks } from "../../runtime/storage/s3/quirks";
import type { Schedule } from "./schedule";

/** Repository keys of pgBackRest. */
export const REPO_KEY_MAX = 256;

export interface TargetSettings {
  readonly name: string;
  readonly kind: string;
  /** Directory, or key prefix with a leading slash. */
  readonly path?: string | undefined;
  readonly requireMount?: boolean | undefined;
  readonly s3?: S3Settings | undefined;
  /** True when a cipher passphrase was given; the passphrase itself never comes here. */
  readonly encrypted: boolean;
}

export interface S3Settings {
  readonly bucket: string;
  readonly endpoint: string;
  readonly region: string;
  readonly port?: number | undefined;
  readonly uriStyle?: string | undefined;
  readonly caFile?: string | undefined;
  readonly quirks?: string | undefined;
}

export interface RepositorySettings {
  readonly at: TargetSettings;
  readonly keepFullCount?: number | undefined;
  readonly keepDays?: number | undefined;
  readonly compress?: { readonly type?: string | undefined; readonly level?: number | undefined } | undefined;
}

export interface ScheduleSettings {
  readonly cron: string;
  readonly timeZone?: string | undefined;
  readonly jitterSeconds?: number | undefined;
  readonly deadlineSeconds?: number | undefined;
}

export interface DirectorySettings {
  readonly config?: string | undefined;
  readonly lib?: string | undefined;
  readonly units?: string | undefined;
  readonly lock?: string | undefined;
  readonly spool?: string | undefined;
  readonly log?: string | undefined;
}

export interface HostSettings {
  readonly stanza?: string | undefined;
  readonly dataDirectory: string;
  readonly port?: number | undefined;
  readonly socketDirectory?: string | undefined;
  readonly databaseUser?: string | undefined;
  readonly user?: string | undefined;
  readonly engine?: string | undefined;
  readonly connection: { readonly local?: object | undefined };
  readonly repositories: Readonly<Record<string, RepositorySettings>>;
  readonly schedules?: { readonly full?: ScheduleSettings | undefined } | undefined;
  readonly acknowledge?: { readonly mode: string; readonly repositories?: readonly string[] | undefined } | undefined;
  readonly directories?: DirectorySettings | undefined;
  readonly nodePath?: string | undefined;
  readonly processMax?: number | undefined;
  readonly firstBackup?: boolean | undefined;
  readonly allowRestart?: boolean | undefined;
  readonly restartCommand?: readonly string[] | undefined;
}

export interface RepositoryPlan {
  /** 1 for repo1; 0 when the name is not one (a finding says so). */
  readonly key: number;
  /** `repo1`. */
  readonly name: string;
  readonly kind: "posix" | "s3";
  readonly path: string;
  readonly requireMount: boolean;
  readonly s3: S3Plan | undefined;
  readonly encrypted: boolean;
  readonly keepFullCount: number | undefined;
  readonly keepDays: number | undefined;
  readonly compressType: string;
  readonly compressLevel: number;
}

export interface S3Plan {
  readonly bucket: string;
  readonly endpoint: string;
  readonly region: string;
  readonly port: number;
  readonly uriStyle: string;
  readonly caFile: string | undefined;
  readonly quirks: string | undefined;
}

export interface Directories {
  readonly config: string;
  readonly lib: string;
  readonly units: string;
  readonly lock: string;
  readonly spool: string;
  readonly log: string;
}

export interface HostPlan {
  readonly name: string;
  readonly stanza: string;
  readonly dataDirectory: string;
  readonly port: number;
  readonly socketDirectory: string | undefined;
  readonly databaseUser: string | undefined;
  /** Operating system account of PostgreSQL. */
  readonly user: string;
  readonly engine: string;
  /** Names of the connection alternatives that were given; exactly one is right. */
  readonly connections: readonly string[];
  /** Ascending by key. */
  readonly repositories: readonly RepositoryPlan[];
  readonly schedules: readonly Schedule[];
  readonly acknowledge: { readonly mode: string; readonly repositories: readonly string[]; readonly repoKeys: readonly number[] };
  readonly directories: Directories;
  readonly nodePath: string;
  readonly processMax: number;
  readonly firstBackup: boolean;
  readonly allowRestart: boolean;
  readonly restartCommand: readonly string[];
}

/** Defaults that the documentation of the arguments repeats. */
export const DEFAULTS = {
  stanza: "main",
  port: 5432,
  user: "postgres",
  engine: "runtime",
  repositoryPath: "/pgbackrest",
  compressType: "zst",
  s3Port: 443,
  timeZone: "UTC",
  jitterSeconds: 0,
  deadlineSeconds: 24 * 3600,
  acknowledge: "all",
  processMax: 2,
  firstBackup: true,
  allowRestart: false,
  directories: {
    config: "/etc/pgbackstop",
    lib: "/usr/local/lib/pgbackstop",
    units: "/etc/systemd/system",
    // Stock's own paths: locks must collide with those of a stock pgbackrest on the same host.
    lock: "/tmp/pgbackrest",
    spool: "/var/spool/pgbackrest",
    log: "/var/log/pgbackrest",
  },
} as const;

/** Kinds of compression that the runtime writes. */
export const COMPRESS_TYPES: readonly CompressType[] = ["none", "gz", "lz4", "zst"];

/** The kind of that name, or null when it cannot be written. */
export function findCompressType(name: string): CompressType | null {
  return COMPRESS_TYPES.find((type) => type === name) ?? null;
}

/** The key of `repo1` … `repo256`, null for any other text. */
export function findRepoKey(name: string): number | null {
  const match = /^repo([1-9][0-9]{0,2})$/.exec(name);
  const key = Number(match?.[1]);
  return match !== null && key <= REPO_KEY_MAX ? key : null;
}

/** The complete plan of the host `name`. `defaultNodePath` is the Node.js of this program, for a host reached locally. */
export function resolveHost(name: string, settings: HostSettings, defaultNodePath: string): HostPlan {
  const repositories = Object.entries(settings.repositories)
    .map(([repositoryName, repository]) => resolveRepository(repositoryName, repository))
    .sort((left, right) => left.key - right.key || (left.name < right.name ? -1 : 1));
  const acknowledge = settings.acknowledge ?? { mode: DEFAULTS.acknowledge };
  const named = acknowledge.repositories ?? [];
  return {
    name,
    stanza: settings.stanza ?? DEFAULTS.stanza,
    dataDirectory: settings.dataDirectory,
    port: settings.port ?? DEFAULTS.port,
    socketDirectory: settings.socketDirectory,
    databaseUser: settings.databaseUser,
    user: settings.user ?? DEFAULTS.user,
    engine: settings.engine ?? DEFAULTS.engine,
    connections: Object.entries(settings.connection)
      .filter(([, value]) => value !== undefined)
      .map(([key]) => key),
    repositories,
    schedules: resolveSchedules(settings, repositories),
    acknowledge: { mode: acknowledge.mode, repositories: named, repoKeys: named.map((repository) => findRepoKey(repository) ?? 0) },
    directories: resolveDirectories(settings.directories ?? {}),
    nodePath: settings.nodePath ?? defaultNodePath,
    processMax: settings.processMax ?? DEFAULTS.processMax,
    firstBackup: settings.firstBackup ?? DEFAULTS.firstBackup,
    allowRestart: settings.allowRestart ?? DEFAULTS.allowRestart,
    restartCommand: settings.restartCommand ?? [],
  };
}

function resolveRepository(name: string, settings: RepositorySettings): RepositoryPlan {
  const { at } = settings;
  const compressType = settings.compress?.type ?? DEFAULTS.compressType;
  return {
    key: findRepoKey(name) ?? 0,
    name,
    kind: at.s3 === undefined ? "posix" : "s3",
    path: at.path ?? DEFAULTS.repositoryPath,
    requireMount: at.requireMount ?? false,
    s3:
      at.s3 === undefined
        ? undefined
        : {
            bucket: at.s3.bucket,
            endpoint: at.s3.endpoint,
            region: at.s3.region,
            port: at.s3.port ?? DEFAULTS.s3Port,
            uriStyle: at.s3.uriStyle ?? findQuirks(at.s3.quirks ?? "auto", at.s3.endpoint)?.uriStyle ?? "path",
            caFile: at.s3.caFile,
            quirks: at.s3.quirks,
          },
    encrypted: at.encrypted,
    keepFullCount: settings.keepFullCount,
    keepDays: settings.keepDays,
    compressType,
    compressLevel: settings.compress?.level ?? defaultLevel(compressType),
  };
}

function defaultLevel(compressType: string): number {
  const type = findCompressType(compressType);
  return type === null ? 0 : (levelRangeOf(type)?.fallback ?? 0);
}

function resolveSchedules(settings: HostSettings, repositories: readonly RepositoryPlan[]): Schedule[] {
  const full = settings.schedules?.full;
  if (full === undefined) return [];
  return [
    {
      name: "full",
      cron: full.cron,
      timeZone: full.timeZone ?? DEFAULTS.timeZone,
      type: "full",
      repoKeys: repositories.map((repository) => repository.key),
      jitterSeconds: full.jitterSeconds ?? DEFAULTS.jitterSeconds,
      deadlineSeconds: full.deadlineSeconds ?? DEFAULTS.deadlineSeconds,
    },
  ];
}

function resolveDirectories(settings: DirectorySettings): Directories {
  return {
    config: settings.config ?? DEFAULTS.directories.config,
    lib: settings.lib ?? DEFAULTS.directories.lib,
    units: settings.units ?? DEFAULTS.directories.units,
    lock: settings.lock ?? DEFAULTS.directories.lock,
    spool: settings.spool ?? DEFAULTS.directories.spool,
    log: settings.log ?? DEFAULTS.directories.log,
  };
}
