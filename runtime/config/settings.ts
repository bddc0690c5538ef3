/** Reads and writes the settings file `pgbackstop.json`. Pure, without file access: the components render it too. */
import { checkDeclared, inDeclaredOrder, type Keys, pathText, problemHint, problemText } from "../base/declaredTypes";
import { type BackupError, fail } from "../base/errors";
import { FILE_DECLARATIONS, FILE_SINCE } from "../base/fileDeclarations";
import { limitRateFault } from "./hours/limitRate";
import { isTimeZone } from "./timeZone";
import { rowOf } from "./optionName";
import type { CompressType } from "./options";
import type { ContainerFile, DrillFile, KeepCalendar, RepoName, SettingsFile, StreamFile } from "./settingsFields";
import type { AcknowledgePolicy, DrillSettings, Settings, StreamSettings } from "./types";
import { compareReleases } from "./usableFile";

/** Name of the file next to pgbackrest.conf. */
export const SETTINGS_FILE_NAME = "pgbackstop.json";
/** Where drills restore that have no data directory of this machine's server beside them. */
export const DRILL_PATH = "/var/lib/pgbackstop-drill";

export const DEFAULT_SETTINGS: Settings = {
  acknowledge: { mode: "all", repoIndexes: [], isDefault: true },
  archiveCommandContains: "pgbackrest",
  repos: {},
};

/** @throws config */
export function parseSettings(text: string, fileName: string): Settings {
  return settingsOf(parseJson(text, fileName), fileName);
}

/** @throws config */
export function parseJson(text: string, fileName: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const at = /at position (\d+)/.exec(error instanceof Error ? error.message : "")?.[1];
    throw wrongFile(fileName, `is not valid JSON${at === undefined ? "" : ` at position ${at}`}`);
  }
}

/**
 * The JSON text with keys in a fixed order and a line end, without what is default or empty.
 * @param writtenFor version of the runtime that reads it: fields that came later are omitted. A runtime of unknown
 * version gets the fields of the first release
 * @throws config for what {@link parseSettings} would refuse.
 */
export function renderSettings(settings: SettingsFile, writtenFor?: string, since = FILE_SINCE): string {
  settingsOf(settings, SETTINGS_FILE_NAME);
  const { acknowledge = "all", archive, archiveCommandContains, drill, firstBackup, repos = {}, stream } = settings;
  const isEmpty = (value: object | undefined): boolean => value !== undefined && Object.keys(value).length === 0;
  const file: Partial<Record<keyof SettingsFile, unknown>> = {
    ...settings,
    version: 1,
    package: writtenFor,
    acknowledge: inKeyOrder(acknowledge),
    archive: archive === "command" ? undefined : archive,
    archiveCommandContains:
      archiveCommandContains === DEFAULT_SETTINGS.archiveCommandContains ? undefined : archiveCommandContains,
    firstBackup: firstBackup === true ? true : undefined,
    drill: drill && Object.fromEntries(Object.entries(drill).filter(([, part]) => !isEmpty(part))),
    stream: stream && { ...stream, synchronous: stream.synchronous && inKeyOrder(stream.synchronous) },
    repos: isEmpty(repos)
      ? undefined
      : Object.fromEntries(Object.entries(repos).sort(([left], [right]) => keyOf(left) - keyOf(right))),
  };
  const newer = newerFields(writtenFor, since);
  const known = inDeclaredOrder("SettingsFile", file, FILE_DECLARATIONS, (field) => !newer.includes(field));
  return `${JSON.stringify(known, null, 2)}\n`;
}

/** Fields that the runtime of that version does not know, as `Type.field`. */
export function newerFields(version: string | undefined, since = FILE_SINCE): readonly string[] {
  return Object.keys(since).filter(
    (field) => version === undefined || compareReleases(since[field] ?? "", version) > 0,
  );
}

function inKeyOrder(policy: "all" | "any" | readonly RepoName[]): unknown {
  return typeof policy === "string" ? policy : policy.toSorted((left, right) => keyOf(left) - keyOf(right));
}

type Wrong = (field: Keys, fact: string) => BackupError;
type PolicyOf = (field: Keys, given: "all" | "any" | readonly RepoName[]) => AcknowledgePolicy;

/** @throws config with the first problem and its field */
export function settingsOf(value: unknown, fileName: string): Settings {
  const [problem] = checkDeclared("SettingsFile", value, FILE_DECLARATIONS, { owner: "the file" });
  if (problem !== undefined) throw wrongFile(fileName, problemText(problem), problemHint(problem), problem.keys);
  const file = value as SettingsFile;
  const wrong: Wrong = (field, fact) => wrongFile(fileName, `field '${pathText(field)}' ${fact}`, [], field);
  const policy: PolicyOf = (field, given) => {
    if (given === "all" || given === "any") return { mode: given, repoIndexes: [] };
    const repoIndexes = given.map(keyOf).toSorted((left, right) => left - right);
    if (new Set(repoIndexes).size < repoIndexes.length) throw wrong(field, "must have each repository once");
    return { mode: "named", repoIndexes };
  };
  const { acknowledge, archive, archiveCommandContains, container, drill, firstBackup, fullBackups, postgres } = file;
  const { archiveProcessSeconds, repos = {}, stream } = file;
  for (const [name, { compressLevel, compressType, keep, keepDumps, limitRate }] of Object.entries(repos)) {
    const fault = limitRate === undefined ? null : limitRateFault(limitRate);
    if (fault !== null) throw wrong(["repos", name, "limitRate", ...fault.keys], fault.fact);
    if (keep !== undefined) checkKeep(keep, (field, fact) => wrong(["repos", name, "keep", ...field], fact));
    if (keepDumps !== undefined && keepDumps.days === undefined && keepDumps.count === undefined)
      throw wrong(["repos", name, "keepDumps"], "keeps nothing: it must have days or count");
    const level = compressLevel ?? 0;
    const own = (allowed: string): BackupError =>
      wrong(["repos", name, "compressLevel"], `is ${level}, and must be ${allowed}`);
    if (!Number.isSafeInteger(level)) throw own("a whole number");
    // Without a type here, the configuration's type decides the range later.
    if (compressLevel !== undefined && compressType !== undefined) checkLevel(level, compressType, own);
  }
  if (archive === "standby" && stream !== undefined)
    throw wrong(["stream"], 'needs a primary, and archive is "standby"');
  return {
    acknowledge: acknowledge === undefined ? DEFAULT_SETTINGS.acknowledge : policy(["acknowledge"], acknowledge),
    ...(archive === undefined || archive === "command" ? {} : { archive }),
    archiveCommandContains: archiveCommandContains ?? DEFAULT_SETTINGS.archiveCommandContains,
    ...(archiveProcessSeconds === undefined ? {} : { archiveProcessSeconds }),
    ...(firstBackup === true ? { firstBackup } : {}),
    ...(fullBackups === undefined ? {} : { fullBackups }),
    ...(postgres === undefined ? {} : { postgres }),
    ...(drill === undefined ? {} : { drill: drillOf(drill) }),
    ...(stream === undefined ? {} : { stream: streamOf(stream, policy, wrong) }),
    ...(container === undefined ? {} : { container: containerOf(container, wrong) }),
    repos: Object.fromEntries(Object.entries(repos).map(([name, repo]) => [keyOf(name), repo])),
  };
}

function checkKeep({ daily, monthly, weekly, yearly, zone = "UTC" }: KeepCalendar, wrong: Wrong): void {
  if ([daily, weekly, monthly, yearly].every((count) => count === undefined))
    throw wrong([], "keeps nothing: it must have daily, weekly, monthly or yearly");
  if (!isTimeZone(zone)) throw wrong(["zone"], `is '${zone}', and must be UTC or a name such as Europe/Berlin`);
}

function streamOf(
  { intervalSeconds, synchronous, ...limits }: StreamFile,
  policy: PolicyOf,
  wrong: Wrong,
): StreamSettings {
  if (synchronous !== undefined)
    return { intervalSeconds, synchronous: { ...policy(["stream", "synchronous"], synchronous), ...limits } };
  const left = Object.entries(limits).find(([, limit]) => limit !== undefined)?.[0];
  if (left !== undefined) throw wrong(["stream", left], "has an effect only beside stream.synchronous");
  return { intervalSeconds };
}

function containerOf(container: ContainerFile, wrong: Wrong): ContainerFile {
  if (!namesContainer(container)) throw wrong(["container"], "must have either 'name', or 'compose' and 'service'");
  return container;
}

/** What a name of a container or service consists of, if this one does not; else null. */
export function containerNameFault(name: string): string | null {
  const [characters = "", pattern = ""] = FILE_DECLARATIONS.texts?.["ContainerName"] ?? [];
  return new RegExp(pattern).test(name) ? null : characters;
}

/** True with either a name, or a Compose file and its service. */
export function namesContainer({
  compose,
  name,
  service,
}: {
  readonly [Field in "compose" | "name" | "service"]?: string | undefined;
}): boolean {
  return name === undefined ? compose !== undefined && service !== undefined : (compose ?? service) === undefined;
}

function drillOf({ assertions = [], declared = {}, heartbeat, objectives = {} }: DrillFile): DrillSettings {
  const drills = Object.entries(declared).map(([name, { repos, ...drill }]) => {
    return [name, { ...(repos === undefined ? {} : { repoIndexes: repos.map(keyOf) }), ...drill }] as const;
  });
  return {
    objectives,
    ...(heartbeat === undefined ? {} : { heartbeat }),
    assertions,
    declared: Object.fromEntries(drills),
  };
}

function keyOf(name: RepoName): number {
  return Number(name.slice("repo".length));
}

function wrongFile(fileName: string, what: string, hint: readonly string[] = [], field?: Keys): BackupError {
  const where = field === undefined ? {} : { field };
  return fail("config", `settings file '${fileName}' ${what}`, { path: fileName, hint, ...where });
}

/** Null when the type has no level. */
export function levelRangeOf(type: CompressType): { least: number; most: number; fallback: number } | null {
  const rule = rowOf("compress-level").forDepend?.[type];
  if (rule?.range === undefined) return null;
  return { least: Number(rule.range[0]), most: Number(rule.range[1]), fallback: Number(rule.default) };
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
