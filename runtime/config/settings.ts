/**
 * The settings file `pgbackstop.json`: settings without an option of pgBackRest, in a file that stock does not read.
 *
 *     {"version":1,"acknowledge":"all"|"any"|["repo1"],"archiveCommandWord":"pgbackrest",
 *      "repos":{"repo2":{"compressType":"zst","compressLevel":3,"s3Quirks":"minio"}}}
 *
 * Every field is optional. Strict: an unknown field or a wrong value is a config error (27) with file, field, value and
 * allowed values. Pure, without file access: the components render the file too.
 */
import { type BackupError, fail } from "../base/errors";
import { meantHint } from "../base/nearNames";
import { rowOf } from "./optionName";
import { OPTION_KEY_MAX } from "./options";
import { COMPRESS_TYPES, type CompressType } from "./options";
import type {
  AcknowledgePolicy,
  DeclaredDrill,
  DrillLevelName,
  DrillPickName,
  DrillSettings,
  FullBackupReport,
  RepoSettings,
  Settings,
  StreamSettings,
} from "./types";

/** Name of the file beside pgbackrest.conf. */
export const SETTINGS_FILE_NAME = "pgbackstop.json";

/** The options of the command line, with `repo1`, `repo2` instead of keys. */
export type SettingsFileDrill = Omit<DeclaredDrill, "repoIndexes"> & { readonly repos?: readonly string[] };

export interface SettingsFile {
  readonly version?: 1;
  readonly acknowledge?: "all" | "any" | readonly string[];
  /** Default `pgbackrest`, as stock requires; empty allows any `archive_command`. */
  readonly archiveCommandWord?: string;
  /** True when the cluster's sidecar takes a repository's first full backup. Default false. */
  readonly firstBackup?: boolean;
  /** The ConfigMap to which the cluster's sidecar reports full backups; absent none. */
  readonly fullBackups?: FullBackupReport;
  /** Commands (argv) that stop and start the server, for `recover` and `rollback`; absent detects them. */
  readonly postgres?: { readonly stop: readonly string[]; readonly start: readonly string[] };
  /** Objectives and checks of fire drills. */
  readonly drill?: Partial<Omit<DrillSettings, "declared">> & {
    readonly declared?: Readonly<Record<string, SettingsFileDrill>>;
  };
  /** How WAL of unfinished segments is shipped; absent ships only whole segments. */
  readonly stream?: SettingsFileStream;
  /** By `repo1`, `repo2`, … */
  readonly repos?: Readonly<Record<string, RepoSettings>>;
}

export interface SettingsFileStream {
  readonly intervalSeconds: number;
  /** Repositories that must hold a commit before the server acknowledges it. Default none. */
  readonly synchronous?: "all" | "any" | readonly string[];
  /** Commits wait no longer than this for repositories that do not answer. Default forever. */
  readonly degradeAfterSeconds?: number;
  /** Minimum time between the starts of two uploads to a repository. Default 0. */
  readonly groupMilliseconds?: number;
}

/** For longer intervals `archive_timeout` suffices and costs less. */
export const STREAM_INTERVAL_S_MAX = 3600;
/** Limits of `degradeAfterSeconds` and `groupMilliseconds`. */
export const DEGRADE_S_MAX = 86_400;
export const GROUP_MS_MAX = 10_000;

export const DEFAULT_SETTINGS: Settings = {
  acknowledge: { mode: "all", repoIndexes: [] },
  archiveCommandWord: "pgbackrest",
  repos: {},
};

type Repos = Record<number, Settings["repos"][number]>;

/** @throws config */
export function parseSettings(text: string, fileName: string): Settings {
  const reader = new Reader(fileName);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const at = /at position (\d+)/.exec(error instanceof Error ? error.message : "")?.[1];
    throw reader.fail(`is not valid JSON${at === undefined ? "" : ` at position ${at}`}`);
  }
  return reader.settings(value);
}

/**
 * The JSON text with keys in a fixed order and a line end.
 * @throws config for what {@link parseSettings} would refuse.
 */
export function renderSettings(settings: SettingsFile): string {
  const checked = new Reader(SETTINGS_FILE_NAME).settings(settings);
  const acknowledge = policyText(checked.acknowledge);
  const required =
    checked.archiveCommandWord === DEFAULT_SETTINGS.archiveCommandWord
      ? {}
      : { archiveCommandWord: checked.archiveCommandWord };
  const first = checked.firstBackup === true ? { firstBackup: true } : {};
  const full = checked.fullBackups === undefined ? {} : { fullBackups: checked.fullBackups };
  const postgres = checked.postgres === undefined ? {} : { postgres: checked.postgres };
  const keys = Object.keys(checked.repos).sort((left, right) => Number(left) - Number(right));
  const repos = Object.fromEntries(keys.map((key) => [`repo${key}`, checked.repos[Number(key)]]));
  const drill = checked.drill === undefined ? {} : { drill: drillText(checked.drill) };
  const stream = checked.stream === undefined ? {} : { stream: streamText(checked.stream) };
  return `${JSON.stringify({ version: 1, acknowledge, ...required, ...first, ...full, ...drill, ...postgres, ...stream, ...(keys.length > 0 ? { repos } : {}) }, null, 2)}\n`;
}

function policyText({ mode, repoIndexes }: AcknowledgePolicy): "all" | "any" | string[] {
  return mode === "named" ? repoIndexes.map((key) => `repo${key}`) : mode;
}

function streamText({ intervalSeconds, synchronous }: StreamSettings): SettingsFileStream {
  if (synchronous === undefined) return { intervalSeconds };
  const { degradeAfterSeconds, groupMilliseconds } = synchronous;
  return {
    intervalSeconds,
    synchronous: policyText(synchronous),
    ...(degradeAfterSeconds === undefined ? {} : { degradeAfterSeconds }),
    ...(groupMilliseconds === undefined ? {} : { groupMilliseconds }),
  };
}

function drillText({ assertions, declared, heartbeat, objectives }: DrillSettings): SettingsFile["drill"] {
  const drills = Object.entries(declared).map(([name, { repoIndexes, ...drill }]) => {
    const repos = repoIndexes === undefined ? {} : { repos: repoIndexes.map((key) => `repo${key}`) };
    return [name, { ...repos, ...drill }] as const;
  });
  return {
    ...(Object.keys(objectives).length === 0 ? {} : { objectives }),
    ...(heartbeat === undefined ? {} : { heartbeat }),
    ...(assertions.length === 0 ? {} : { assertions }),
    ...(drills.length === 0 ? {} : { declared: Object.fromEntries(drills) }),
  };
}

/** Null when the type has no level. */
export function levelRangeOf(type: CompressType): { least: number; most: number; fallback: number } | null {
  const rule = rowOf("compress-level").forDepend?.[type];
  if (rule?.range === undefined) return null;
  return { least: Number(rule.range[0]), most: Number(rule.range[1]), fallback: Number(rule.default) };
}

class Reader {
  readonly #fileName: string;

  constructor(fileName: string) {
    this.#fileName = fileName;
  }

  fail(what: string, hint: string | readonly string[] = []): BackupError {
    return fail("config", `settings file '${this.#fileName}' ${what}`, { path: this.#fileName, hint });
  }

  settings(value: unknown): Settings {
    const fields = this.#object("", value, [
      "version",
      "acknowledge",
      "archiveCommandWord",
      "drill",
      "firstBackup",
      "fullBackups",
      "postgres",
      "stream",
      "repos",
    ]);
    if (fields.version !== undefined && fields.version !== 1) throw this.#wrong("version", fields.version, "1");
    const repos: Repos = {};
    const named = fields.repos === undefined ? {} : this.#object("repos", fields.repos, null);
    for (const [name, repo] of Object.entries(named))
      repos[this.#repoIndex(`repos.${name}`, name)] = this.#repo(`repos.${name}`, repo);
    const { firstBackup } = fields;
    if (firstBackup !== undefined && typeof firstBackup !== "boolean")
      throw this.#wrong("firstBackup", firstBackup, "true or false");
    return {
      acknowledge: this.#acknowledge(fields.acknowledge),
      archiveCommandWord: this.#requiredText(fields.archiveCommandWord),
      ...(firstBackup === true ? { firstBackup } : {}),
      ...(fields.fullBackups === undefined ? {} : { fullBackups: this.#fullBackups(fields.fullBackups) }),
      ...(fields.postgres === undefined ? {} : { postgres: this.#postgres(fields.postgres) }),
      ...(fields.drill === undefined ? {} : { drill: this.#drill(fields.drill) }),
      ...(fields.stream === undefined ? {} : { stream: this.#stream(fields.stream) }),
      repos,
    };
  }

  #fullBackups(value: unknown): FullBackupReport {
    const fields = this.#object("fullBackups", value, ["configMap", "locations"]);
    const text = (name: keyof FullBackupReport): string => {
      const given = fields[name];
      if (typeof given !== "string" || given === "") throw this.#wrong(`fullBackups.${name}`, given, "a text");
      return given;
    };
    return { configMap: text("configMap"), locations: text("locations") };
  }

  #stream(value: unknown): NonNullable<Settings["stream"]> {
    const fields = this.#object("stream", value, [
      "intervalSeconds",
      "synchronous",
      "degradeAfterSeconds",
      "groupMilliseconds",
    ]);
    const whole = (name: keyof SettingsFileStream, unit: string, max: number): number => {
      const given = fields[name];
      if (typeof given !== "number" || !Number.isSafeInteger(given) || given < 1 || given > max)
        throw this.#wrong(`stream.${name}`, given, `a whole number of ${unit} from 1 to ${max}`);
      return given;
    };
    const intervalSeconds = whole("intervalSeconds", "seconds", STREAM_INTERVAL_S_MAX);
    const { degradeAfterSeconds, groupMilliseconds, synchronous } = fields;
    if (synchronous === undefined) {
      const left = degradeAfterSeconds === undefined ? "groupMilliseconds" : "degradeAfterSeconds";
      if (fields[left] !== undefined)
        throw this.#wrong(`stream.${left}`, fields[left], "left out, or beside stream.synchronous");
      return { intervalSeconds };
    }
    const degrade = degradeAfterSeconds === undefined ? null : whole("degradeAfterSeconds", "seconds", DEGRADE_S_MAX);
    const group = groupMilliseconds === undefined ? null : whole("groupMilliseconds", "milliseconds", GROUP_MS_MAX);
    return {
      intervalSeconds,
      synchronous: {
        ...this.#policy("stream.synchronous", synchronous),
        ...(degrade === null ? {} : { degradeAfterSeconds: degrade }),
        ...(group === null ? {} : { groupMilliseconds: group }),
      },
    };
  }

  #drill(value: unknown): DrillSettings {
    const fields = this.#object("drill", value, ["objectives", "heartbeat", "assertions", "declared"]);
    const objectives = this.#object("drill.objectives", fields.objectives ?? {}, [
      "rtoSeconds",
      "pitrRtoSeconds",
      "rpoSeconds",
      "backupAgeSeconds",
    ]);
    for (const [name, promised] of Object.entries(objectives))
      if (!(typeof promised === "number" && Number.isSafeInteger(promised) && promised > 0))
        throw this.#wrong(`drill.objectives.${name}`, promised, "a whole number of seconds");
    const { assertions = [], heartbeat } = fields;
    if (!Array.isArray(assertions)) throw this.#wrong("drill.assertions", assertions, "a list of statements");
    const list = assertions.map((each: unknown, index) => {
      const { database, name, sql } = this.#statement(`drill.assertions[${index}]`, each, ["name", "database", "sql"]);
      if (name === undefined) throw this.#wrong(`drill.assertions[${index}].name`, name, "a text on one line");
      return { name, ...(database === undefined ? {} : { database }), sql };
    });
    return {
      objectives,
      ...(heartbeat === undefined
        ? {}
        : { heartbeat: this.#statement("drill.heartbeat", heartbeat, ["database", "sql"]) }),
      assertions: list,
      declared: this.#declared(fields.declared ?? {}),
    };
  }

  #declared(value: unknown): DrillSettings["declared"] {
    const named = this.#object("drill.declared", value, null);
    return Object.fromEntries(
      Object.entries(named).map(([name, each]) => [name, this.#declaredDrill(`drill.declared.${name}`, each)]),
    );
  }

  #declaredDrill(field: string, value: unknown): DeclaredDrill {
    const fields = this.#object(field, value, ["repos", "pick", "level", "maxMinutes", "maxBytes", "path"]);
    const { path, repos } = fields;
    if (repos !== undefined && (!Array.isArray(repos) || repos.length === 0))
      throw this.#wrong(`${field}.repos`, repos, 'a list of repositories such as ["repo1"]');
    if (path !== undefined && (typeof path !== "string" || !path.startsWith("/")))
      throw this.#wrong(`${field}.path`, path, "an absolute path");
    const choice = (name: string, option: string): string | undefined => {
      const { allowed = [] } = rowOf(option);
      const text = fields[name];
      if (text !== undefined && !allowed.some((each) => each === text))
        throw this.#wrong(`${field}.${name}`, text, oneOf(allowed));
      return text as string | undefined;
    };
    const amount = (name: string): number | undefined => {
      const number = fields[name];
      if (number === undefined || (typeof number === "number" && Number.isSafeInteger(number) && number > 0))
        return number;
      throw this.#wrong(`${field}.${name}`, number, "a whole number above 0");
    };
    const drill = {
      repoIndexes: (repos as unknown[] | undefined)?.map((name) => this.#repoIndex(`${field}.repos`, name)),
      pick: choice("pick", "pick") as DrillPickName | undefined,
      level: choice("level", "level") as DrillLevelName | undefined,
      maxMinutes: amount("maxMinutes"),
      maxBytes: amount("maxBytes"),
      path,
    };
    return Object.fromEntries(Object.entries(drill).filter(([, each]) => each !== undefined)) as DeclaredDrill;
  }

  #statement(
    field: string,
    value: unknown,
    allowed: readonly string[],
  ): { readonly name?: string; readonly database?: string; readonly sql: string } {
    const fields = this.#object(field, value, allowed);
    const texts: Record<string, string> = {};
    for (const name of allowed) {
      const text = fields[name];
      if (text === undefined && name !== "sql") continue;
      if (typeof text !== "string" || text.trim() === "" || (name !== "sql" && /[\0-\x1f]/.test(text)))
        throw this.#wrong(`${field}.${name}`, text, name === "sql" ? "a statement" : "a text on one line");
      texts[name] = text;
    }
    return { sql: "", ...texts };
  }

  #acknowledge(value: unknown): Settings["acknowledge"] {
    return value === undefined ? DEFAULT_SETTINGS.acknowledge : this.#policy("acknowledge", value);
  }

  #policy(field: string, value: unknown): AcknowledgePolicy {
    if (value === "all" || value === "any") return { mode: value, repoIndexes: [] };
    const allowed = '"all", "any" or a list of repositories such as ["repo1"]';
    if (!Array.isArray(value) || value.length === 0) throw this.#wrong(field, value, allowed);
    const keys = value.map((name: unknown) => this.#repoIndex(field, name));
    if (new Set(keys).size !== keys.length) throw this.#wrong(field, value, "each repository once");
    return { mode: "named", repoIndexes: keys.toSorted((left, right) => left - right) };
  }

  #postgres(value: unknown): NonNullable<Settings["postgres"]> {
    const fields = this.#object("postgres", value, ["stop", "start"]);
    const commandOf = (name: "stop" | "start"): readonly string[] => {
      const list = fields[name];
      const isCommand =
        Array.isArray(list) && list.length > 0 && list.every((arg) => typeof arg === "string" && arg !== "");
      if (!isCommand)
        throw this.#wrong(`postgres.${name}`, list, 'a list of arguments such as ["systemctl","stop","postgresql"]');
      return list as string[];
    };
    return { stop: commandOf("stop"), start: commandOf("start") };
  }

  #requiredText(value: unknown): string {
    if (value === undefined) return DEFAULT_SETTINGS.archiveCommandWord;
    if (typeof value !== "string" || /[\0-\x1f]/.test(value))
      throw this.#wrong("archiveCommandWord", value, "a text on one line");
    return value;
  }

  #repo(field: string, value: unknown): Settings["repos"][number] {
    const fields = this.#object(field, value, [
      "compressType",
      "compressLevel",
      "s3Quirks",
      "expectFullWithinS",
      "expectBackupWithinS",
      "expectWalWithinS",
    ]);
    const { compressType, compressLevel, s3Quirks, expectFullWithinS } = fields;
    const type = COMPRESS_TYPES.find((name) => name === compressType);
    if (compressType !== undefined && type === undefined)
      throw this.#wrong(`${field}.compressType`, compressType, oneOf(COMPRESS_TYPES));
    if (type === "bz2")
      throw this.#wrong(
        `${field}.compressType`,
        type,
        `${oneOf(["none", "gz", "lz4", "zst"])} (bz2 is read but not written)`,
      );
    if (compressLevel !== undefined) this.#checkLevel(`${field}.compressLevel`, compressLevel, type);
    if (s3Quirks !== undefined && (typeof s3Quirks !== "string" || !/^[a-z0-9][a-z0-9-]*$/.test(s3Quirks))) {
      throw this.#wrong(`${field}.s3Quirks`, s3Quirks, '"auto" or the name of a provider in lower case');
    }
    const isAge = (age: unknown): age is number => typeof age === "number" && Number.isSafeInteger(age) && age > 0;
    if (expectFullWithinS !== undefined && expectFullWithinS !== "ever" && !isAge(expectFullWithinS)) {
      throw this.#wrong(`${field}.expectFullWithinS`, expectFullWithinS, 'a whole number of seconds or "ever"');
    }
    const { expectBackupWithinS, expectWalWithinS } = fields;
    for (const [name, age] of Object.entries({ expectBackupWithinS, expectWalWithinS }))
      if (age !== undefined && !isAge(age)) throw this.#wrong(`${field}.${name}`, age, "a whole number of seconds");
    return {
      ...(type === undefined ? {} : { compressType: type }),
      ...(typeof compressLevel === "number" ? { compressLevel } : {}),
      ...(typeof s3Quirks === "string" ? { s3Quirks } : {}),
      ...(expectFullWithinS === "ever" || isAge(expectFullWithinS) ? { expectFullWithinS } : {}),
      ...(isAge(expectBackupWithinS) ? { expectBackupWithinS } : {}),
      ...(isAge(expectWalWithinS) ? { expectWalWithinS } : {}),
    };
  }

  /** Without a type here, the configuration's type decides the range later. */
  #checkLevel(field: string, level: unknown, type: CompressType | undefined): void {
    if (typeof level !== "number" || !Number.isSafeInteger(level)) throw this.#wrong(field, level, "a whole number");
    if (type !== undefined) checkLevel(level, type, (allowed) => this.#wrong(field, level, allowed));
  }

  #repoIndex(field: string, name: unknown): number {
    const key = typeof name === "string" ? Number(/^repo([1-9]\d{0,2})$/.exec(name)?.[1]) : Number.NaN;
    if (!(key >= 1 && key <= OPTION_KEY_MAX)) throw this.#wrong(field, name, `"repo1" to "repo${OPTION_KEY_MAX}"`);
    return key;
  }

  #object(field: string, value: unknown, allowed: readonly string[] | null): Readonly<Record<string, unknown>> {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw this.#wrong(field, value, "an object");
    const fields: Record<string, unknown> = { ...value };
    for (const name of Object.keys(fields)) {
      if (allowed === null || allowed.includes(name)) continue;
      throw this.fail(
        `has an unknown field '${field === "" ? name : `${field}.${name}`}'; allowed are ${oneOf(allowed)}`,
        meantHint(name, allowed),
      );
    }
    return fields;
  }

  #wrong(field: string, value: unknown, allowed: string): BackupError {
    const text = (JSON.stringify(value) ?? "nothing").slice(0, 100);
    return this.fail(`${field === "" ? "" : `field '${field}' `}must be ${allowed}, not ${text}`);
  }
}

/** @throws the error that `wrong` makes of the allowed values */
export function checkLevel(level: number, type: CompressType, wrong: (allowed: string) => BackupError): void {
  const range = levelRangeOf(type);
  if (range === null) {
    if (level !== 0) throw wrong(`0 for compression type ${type}`);
  } else if (level < range.least || level > range.most) {
    throw wrong(`${range.least} to ${range.most} for compression type ${type}`);
  }
}

function oneOf(values: readonly string[]): string {
  return values.map((value) => JSON.stringify(value)).join(", ");
}
