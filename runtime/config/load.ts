/**
 * Makes one checked {@link Config} of the command line, the environment and the files. Pure: every input is a
 * parameter.
 *
 * Precedence as in stock: command line, environment, `[stanza:command]`, `[stanza]`, `[global:command]`, `[global]`,
 * default. The settings file holds what stock has no option for. `help` and `version` read the command line only: a
 * broken configuration does not stop them.
 */
import { posix } from "node:path";
import { findTimeMs, withOffset } from "../base/clock";
import { type BackupError, fail, toBackupError } from "../base/errors";
import { given } from "../base/given";
import { Secret } from "../base/secret";
import { parseCommandLine } from "./cli";
import { COMMAND_TABLE } from "./commands";
import { type Entries, entryId } from "./entry";
import { addEnvironment } from "./env";
import { addFiles, type ConfigFiles, type FileAccess, givenText, readConfigFiles } from "./files";
import { rowOf } from "./optionName";
import { beginLineOf, carriedOptionsOf } from "./optionArguments";
import { buildRepos } from "./repoConfig";
import { type Resolved, resolveOptions } from "./resolve";
import { ResolvedValues } from "./resolvedValues";
import { DEFAULT_SETTINGS, levelRangeOf, parseJson, SETTINGS_FILE_NAME, settingsOf } from "./settings";
import { type CompressType, OPTION_KEY_MAX } from "./options";
import type { Config, PgConfig, RepoConfig, Settings } from "./types";
import { type FileRule, usable } from "./usableFile";

export interface LoadInput extends FileAccess {
  /** Arguments after the program's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Values of `s3Quirks`. */
  readonly providers?: readonly string[];
  /** The account that decides what these files say, if this process is root's and that account is not root. */
  readonly fileAccount?: (paths: readonly string[]) => FileAccount | undefined;
}

export interface FileAccount {
  readonly uid: number;
  readonly gid: number;
  readonly name: string;
  readonly path: string;
}

export interface Loaded {
  /** Frozen in depth. */
  readonly config: Config;
  /** The account with whose rights root must obey this configuration. */
  readonly account?: FileAccount;
  /** For the caller's log, in order; `HINT: …` follows on a line of its own. */
  readonly warnings: readonly string[];
}

const DB_TIMEOUT_MARGIN_MS = 30_000;

/**
 * @throws BackupError: config, format, commandRequired, commandInvalid, optionInvalid, optionInvalidValue,
 * optionRequired, paramInvalid, fileMissing, pathMissing, featureNotSupported.
 */
export function loadConfig(input: LoadInput): Loaded {
  const warnings: string[] = [];
  const warn = (text: string): void => {
    warnings.push(text);
  };
  const { command, role, params, entries } = parseCommandLine(input.argv);
  let settingsFile: SettingsText | null = null;
  let account: FileAccount | undefined;
  if (command !== "help" && command !== "version") {
    addEnvironment(entries, input.env, command, warn);
    const files = readConfigFiles(entries, command, input);
    const stanza = givenText(entries, "stanza");
    if (stanza !== undefined) checkStanza(stanza);
    addFiles(entries, files.entries, stanza, command, warn);
    settingsFile = readSettings(entries, files, input);
    account = input.fileAccount?.([...files.deciding, ...(settingsFile === null ? [] : [settingsFile.path])]);
  }
  replaceCompress(entries, warn);
  const resolved = resolveOptions(command, entries, warn);
  const configWith = (settings: Settings): Config => {
    const made = buildConfig(resolved, role, params, settings, { entries, env: input.env });
    if (settingsFile !== null) checkSettings(settings, made.repos, settingsFile.path, input.providers);
    return made;
  };
  const config =
    settingsFile === null
      ? configWith(DEFAULT_SETTINGS)
      : withSettings(
          settingsFile,
          { ignores: COMMAND_TABLE[command].anySettings === true ? "all" : "newer", warn },
          configWith,
        );
  warnAboutRepos(resolved, config, entries, warn);
  return { config: freeze(config), ...given({ account }), warnings };
}

/** The name becomes part of paths in every repository. */
function checkStanza(stanza: string): void {
  if (stanza !== "." && stanza !== ".." && !/[/\0\n:[\]]/.test(stanza)) return;
  throw fail("optionInvalidValue", `'${stanza}' is not valid for 'stanza' option`, {
    hint: "A stanza is a name without slash, colon or bracket.",
  });
}

interface SettingsText {
  readonly path: string;
  readonly text: string;
}

function readSettings(entries: Entries, files: ConfigFiles, access: FileAccess): SettingsText | null {
  const named = givenText(entries, "settings");
  const path = named ?? (files.directory === undefined ? undefined : posix.join(files.directory, SETTINGS_FILE_NAME));
  const text = path === undefined ? null : access.readFile(path);
  if (path !== undefined && text !== null) return { path, text };
  if (named !== undefined) {
    throw fail("fileMissing", `unable to open missing file '${named}' for read`, {
      path: named,
      hint: "The option settings names this file.",
    });
  }
  return null;
}

/** @throws config for what the command does not ignore */
function withSettings<T>({ path, text }: SettingsText, rule: FileRule, use: (settings: Settings) => T): T {
  let value: unknown;
  try {
    value = parseJson(text, path);
  } catch (error) {
    if (rule.ignores !== "all") throw error;
    rule.warn(`${toBackupError(error).message}; ignored`);
    value = {};
  }
  return usable(value, { ...rule, instead: { "stream.synchronous": "all" } }, (file) => use(settingsOf(file, path)));
}

/** `compress=n`, the old option, becomes `compress-type=none`. */
function replaceCompress(entries: Entries, warn: (text: string) => void): void {
  const id = entryId(rowOf("compress"), undefined);
  const typeRow = rowOf("compress-type");
  const typeId = entryId(typeRow, undefined);
  const old = entries.get(id);
  if (old === undefined || old.reset) return;
  if (entries.has(typeId)) {
    warn(
      "'compress' and 'compress-type' options should not both be set\nHINT: 'compress-type' is preferred and 'compress' is deprecated.",
    );
  } else if (old.texts[0] === "n") {
    entries.set(typeId, { ...old, row: typeRow, texts: ["none"], negate: false });
    entries.delete(id);
  }
}

function buildConfig(
  resolved: Resolved,
  role: Config["role"],
  params: readonly string[],
  settings: Settings,
  surroundings: Pick<LoadInput, "env"> & { readonly entries: Entries },
): Config {
  const values = new ResolvedValues(resolved);
  const groups = values.groups();
  const compress = compressOf(values);
  const { command } = resolved;
  const isRestore = rowOf("target").commands.includes(command);
  const type = values.text("type");
  const set = values.text("set");
  const repoIndex = repoIndexOf(resolved, values);
  const from = sourceOf(values);
  const repos = buildRepos(
    values,
    resolved.repoIndexes,
    compress,
    settings,
    usableOthers(resolved, values),
    surroundings,
  );
  return {
    ...groups,
    command,
    role,
    params,
    stanza: values.text("stanza"),
    repoIndex,
    repos: asOfTime(asOfTime(repos, targetOf(values, repoIndex)), from),
    pgs: buildPgs(values, resolved.pgKeys),
    clusterPaths: clusterPathsOf(surroundings.entries),
    settings,
    compress,
    dbTimeoutMs: dbTimeoutOf(resolved, values),
    backup: {
      ...groups.backup,
      repoIndexes: repoIndexesOf(resolved, values, repoIndex),
      type: ((command === "backup" ? type : undefined) ?? "incr") as Config["backup"]["type"],
    },
    restore: {
      ...groups.restore,
      type: ((isRestore ? type : undefined) ?? "default") as Config["restore"]["type"],
      target: timeOrOther(groups.restore.target, type),
      typeIsDefault: isRestore && resolved.find("type")?.entry === undefined,
    },
    sync: { ...groups.sync, fromIndex: from?.key },
    info: { ...groups.info, type: (command === "info" ? type : undefined) as Config["info"]["type"] },
    drill: { ...groups.drill, given: { level: values.isGiven("level"), maxMinutes: values.isGiven("max-minutes") } },
    set: set === "latest" ? undefined : set,
    output: resolved.find("output")?.entry === undefined ? undefined : (values.text("output") as Config["output"]),
    carriedOptions: carriedOptionsOf(resolved, COMMAND_TABLE[command].serves === true ? "backup" : "archive-get"),
    beginLine: beginLineOf(resolved, params),
  };
}

/** The restored server may have another time zone than the process that chooses the backup. */
function timeOrOther(target: string | undefined, type: string | undefined): string | undefined {
  return target === undefined || type !== "time" ? target : withOffset(target);
}

/** Errors of repositories that lack something. @throws optionRequired when the command would have no other */
function usableOthers(resolved: Resolved, values: ResolvedValues): ReadonlyMap<number, BackupError> {
  const chosen = repoIndexOf(resolved, values);
  const keys = chosen === undefined ? (repoIndexesOf(resolved, values, chosen) ?? resolved.repoIndexes) : [chosen];
  const [first] = keys.flatMap((key) => resolved.unusable.get(key) ?? []);
  if (first !== undefined && keys.every((key) => resolved.unusable.has(key))) throw first;
  return resolved.unusable;
}

function compressOf(values: ResolvedValues): Config["compress"] {
  const type = values.text("compress-type") as CompressType;
  return { type, level: values.number("compress-level") ?? levelRangeOf(type)?.fallback ?? 0 };
}

/**
 * db-timeout, lowered below a protocol-timeout that the user set.
 * @throws optionInvalidValue when the user set both and they contradict
 */
function dbTimeoutOf(resolved: Resolved, values: ResolvedValues): number {
  const dbTimeoutMs = values.number("db-timeout") ?? 0;
  const protocolTimeoutMs = values.number("protocol-timeout") ?? 0;
  const protocol = resolved.find("protocol-timeout")?.entry;
  const db = resolved.find("db-timeout");
  if (db === null || protocol === undefined || protocolTimeoutMs > dbTimeoutMs) return dbTimeoutMs;
  if (db.entry === undefined) {
    const loweredMs = protocolTimeoutMs - DB_TIMEOUT_MARGIN_MS;
    return loweredMs >= DB_TIMEOUT_MARGIN_MS / 2 ? loweredMs : Math.floor(protocolTimeoutMs / 2);
  }
  const [protocolText, dbText] = [protocol.texts[0], db.entry.texts[0]];
  throw fail("optionInvalidValue", `'${protocolText}' is not valid for 'protocol-timeout' option`, {
    hint: `'protocol-timeout' option (${protocolText}) should be greater than 'db-timeout' option (${dbText}).`,
  });
}

function repoIndexOf(resolved: Resolved, values: ResolvedValues): number | undefined {
  const key = values.number("repo");
  // A command that opens no repository passes the key on to one that does.
  if (key === undefined || resolved.repoIndexes.length === 0) return key;
  requireConfigured(resolved, "repo", key);
  return key;
}

/** @throws optionInvalidValue */
function requireConfigured({ repoIndexes }: Resolved, option: string, key: number | string): void {
  if (repoIndexes.some((configured) => String(configured) === String(key))) return;
  throw fail("optionInvalidValue", `key '${key}' is not valid for '${option}' option`, {
    hint: `Configured repositories: ${repoIndexes.map((repoIndex) => `repo${repoIndex}`).join(", ")}.`,
  });
}

/** Repository indexes of `--repos`, in the configuration's order. @throws optionInvalid, optionInvalidValue */
function repoIndexesOf(
  resolved: Resolved,
  values: ResolvedValues,
  repoIndex: number | undefined,
): readonly number[] | undefined {
  const keys = values.text("repos")?.split(",");
  if (keys === undefined) return undefined;
  if (repoIndex !== undefined)
    throw fail("optionInvalid", "option 'repos' not valid with option 'repo'", {
      hint: "Name every repository of this run in one of them.",
    });
  // As with repo above.
  if (resolved.repoIndexes.length === 0) return keys.map(Number);
  for (const key of keys) requireConfigured(resolved, "repos", key);
  return resolved.repoIndexes.filter((key) => keys.includes(String(key)));
}

/** The repository to read, and as of which time. */
interface Source {
  readonly key: number | undefined;
  readonly targetTimeMs: number | undefined;
}

/** @throws optionInvalid without `--repo`, as in stock: which repository was damaged when is the user's decision */
function targetOf(values: ResolvedValues, repoIndex: number | undefined): Source {
  const text = values.text("repo-target-time");
  if (text === undefined) return { key: repoIndex, targetTimeMs: undefined };
  if (repoIndex === undefined)
    throw fail("optionInvalid", "option 'repo-target-time' not valid without option 'repo'", {
      hint: "Name the repository to read as of that time, for example --repo=1.",
    });
  return { key: repoIndex, targetTimeMs: parsePast(text) };
}

/** `--from-repo=1` or `--from-repo=1@TIME`; undefined for other commands. */
function sourceOf(values: ResolvedValues): Source | undefined {
  const text = values.text("from-repo");
  if (text === undefined) return undefined;
  const [, number, time] = /^([0-9]+)(?:@(.*))?$/.exec(text) ?? [];
  const key = Number(number);
  if (!(key >= 1 && key <= OPTION_KEY_MAX)) {
    throw fail("optionInvalidValue", `'${text}' is not allowed for 'from-repo' option`, {
      hint: "Use the index of a repository, with a time to copy it as it was: --from-repo='1@2026-11-20 06:40:59+00'.",
    });
  }
  return { key, targetTimeMs: time === undefined ? undefined : parsePast(time) };
}

/** @throws format (29) as stock does */
function parsePast(text: string): number {
  const timeMs = findTimeMs(text);
  if (timeMs !== null) return timeMs;
  throw fail("format", `invalid date/time ${text}`, {
    hint: "The format is YYYY-MM-DD HH:MM:SS with optional time zone (+/- HH or HHMM or HH:MM); without one it is local time.",
  });
}

function asOfTime(repos: readonly RepoConfig[], source: Source | undefined): readonly RepoConfig[] {
  if (source?.targetTimeMs === undefined) return repos;
  const { key, targetTimeMs } = source;
  return repos.map((repo) => (repo.key === key ? { ...repo, targetTimeMs } : repo));
}

function clusterPathsOf(entries: Entries): readonly string[] {
  return [...entries.values()].flatMap(({ row, texts }) => (row.name === "pg-path" ? texts : []));
}

function buildPgs(values: ResolvedValues, pgKeys: readonly number[]): readonly PgConfig[] {
  return pgKeys.flatMap((key): readonly PgConfig[] => {
    const path = values.text("pg-path", key);
    if (path === undefined) return [];
    return [
      {
        key,
        path: path.replace(/(?<=.)\/+$/, ""),
        port: values.number("pg-port", key) ?? 0,
        ...given({ socketPath: values.text("pg-socket-path", key), user: values.text("pg-user", key) }),
        database: values.text("pg-database", key) ?? "",
      },
    ];
  });
}

/** Settings may only name configured repositories, and providers of this version. */
function checkSettings(
  settings: Settings,
  repos: readonly RepoConfig[],
  path: string,
  providers: readonly string[] | undefined,
): void {
  if (repos.length === 0) return;
  const wrong = (name: string, key: number, field: readonly string[]): BackupError =>
    fail("config", `settings file '${path}' field '${name}' refers to repo${key}, which is not configured`, {
      hint: `Configured repositories: ${repos.map((repo) => `repo${repo.key}`).join(", ")}.`,
      field,
    });
  const isKnown = (key: number): boolean => repos.some((repo) => repo.key === key);
  for (const key of settings.acknowledge.repoIndexes)
    if (!isKnown(key)) throw wrong("acknowledge", key, ["acknowledge"]);
  for (const [name, { s3Quirks }] of Object.entries(settings.repos)) {
    const repo = `repo${name}`;
    if (!isKnown(Number(name))) throw wrong("repos", Number(name), ["repos", repo]);
    if (providers === undefined || s3Quirks === undefined || providers.includes(s3Quirks)) continue;
    throw fail("config", `settings file '${path}' field 'repos.${repo}.s3Quirks' names no provider: '${s3Quirks}'`, {
      hint: `providers are ${providers.join(", ")}.`,
      field: ["repos", repo, "s3Quirks"],
    });
  }
}

function warnAboutRepos(resolved: Resolved, config: Config, entries: Entries, warn: (text: string) => void): void {
  for (const repo of config.repos) {
    const name = `repo${repo.key}`;
    if (repo.cipherType === "none" && entries.has(entryId(rowOf("repo-cipher-pass"), repo.key))) {
      warn(
        `option '${name}-cipher-pass' is set but '${name}-cipher-type' is 'none'\nHINT: the repository is not encrypted; set ${name}-cipher-type=aes-256-cbc.`,
      );
    }
    if (resolved.command === "backup" || resolved.command === "expire") warnAboutRetention(repo, name, warn);
  }
  if (resolved.find("stop-auto")?.entry !== undefined)
    warn("option 'stop-auto' is deprecated\nHINT: all supported versions use non-exclusive backup.");
}

/** Without retention backups stay forever. */
function warnAboutRetention(repo: RepoConfig, name: string, warn: (text: string) => void): void {
  const { keep, retentionFull, retentionFullType, retentionDiff, retentionArchive, retentionArchiveType } = repo;
  if (retentionFull === undefined && keep !== undefined) {
    warn(
      `setting 'repos.${name}.keep' has no effect without option '${name}-retention-full': every backup is kept\n` +
        `HINT: set ${name}-retention-full to what must stay completely; the calendar keeps older backups.`,
    );
  } else if (retentionFull === undefined) {
    warn(
      `option '${name}-retention-full' is not set for '${name}-retention-full-type=${retentionFullType}', the repository may run out of space\n` +
        `HINT: to retain full backups indefinitely (without warning), set option '${name}-retention-full' to the maximum.`,
    );
  }
  const off = `WAL segments will not be expired: option '${name}-retention-archive-type=${retentionArchiveType}' but`;
  const archive = `option '${name}-retention-archive'`;
  if (retentionArchive !== undefined) {
    if (retentionArchiveType !== "diff" || retentionDiff !== undefined) return;
    warn(
      `option '${name}-retention-diff' is not set for '${name}-retention-archive-type=diff'\n` +
        `HINT: to retain differential backups indefinitely (without warning), set option '${name}-retention-diff' to the maximum.`,
    );
  } else if (retentionArchiveType === "diff" && retentionDiff === undefined) {
    warn(`${off} neither ${archive} nor option '${name}-retention-diff' is set`);
  } else if (retentionArchiveType === "incr") {
    warn(`${off} ${archive} is not set`);
  }
}

function freeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || value instanceof Secret) return value;
  for (const inner of Object.values(value)) freeze(inner);
  return Object.freeze(value);
}
