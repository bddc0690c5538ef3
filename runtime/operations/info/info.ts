/**
 * `info`: what every repository holds, as stock's JSON ("pgbackrest-format" 18) plus the missing WAL, which stock does
 * not know.
 *
 * An unreadable repository has its own status and hides nothing of the others.
 */
import { compareBytes } from "../../base/bytes";
import { type BackupError, isError } from "../../base/errors";
import { perRepo } from "../../base/parallel";
import { archiveIdOf, currentHistory } from "../../format/repository/archiveInfo";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import type { JsonValue } from "../../format/repository/json";
import type { BackupType } from "../../format/repository/label";
import type { Manifest, ManifestTarget } from "../../format/repository/manifest";
import type { LockState } from "../../local/lockState";
import type { MissingWalStore } from "../../local/missingWal";
import { openGapIn } from "../archivePush/dropWal";
import { type DumpSurvey, dumpsField, surveyDumps } from "../dump/surveyDumps";
import { holdOf } from "../expire/hold";
import { isOpenedOf, type OpenedBackup } from "../open/openLocation";
import { openedJson } from "./opened";
import { loadManifest } from "../../repository/backupStore";
import type { RepoFacts } from "../../recoverability/facts";
import { listNames, type Repository } from "../../repository/repository";
import { backupsPath } from "../../format/repository/repoPath";
import { type HeldStream, surveyStream } from "../stream/survey";

export const InfoStatus = {
  ok: { code: 0, message: "ok" },
  missingPath: { code: 1, message: "missing stanza path" },
  noBackup: { code: 2, message: "no valid backups" },
  missingData: { code: 3, message: "missing stanza data" },
  mixed: { code: 4, message: "different across repos" },
  mismatch: { code: 5, message: "database mismatch across repos" },
  missingBackup: { code: 6, message: "requested backup not found" },
  other: { code: 99, message: "other" },
} as const;

export interface InfoArchive {
  readonly id: string;
  readonly historyId: number;
  readonly min: string | null;
  readonly max: string | null;
}

export interface InfoRepo {
  readonly key: number;
  readonly cipherType: "none" | "aes-256-cbc";
  readonly status: { readonly code: number; readonly message: string };
  readonly error: BackupError | null;
  readonly info: BackupInfo | null;
  readonly archives: readonly InfoArchive[];
  readonly backups: readonly BackupInfoEntry[];
  /** Acknowledged WAL files that this repository lacks. */
  readonly missingWalCount: number;
  /** WAL files that `archive-push-queue-max` dropped and that the newest backup here would need. */
  readonly droppedCount: number;
  /** The newest streamed WAL; null without any. */
  readonly stream: HeldStream | null;
  /** Logical dumps; null if they were not read. */
  readonly dumps: DumpSurvey | null;
}

export interface InfoReport {
  readonly stanza: string;
  readonly status: { readonly code: number; readonly message: string };
  readonly repos: readonly InfoRepo[];
  readonly locks: InfoLocks;
  /** Backups that are open on this machine. */
  readonly opened: readonly OpenedBackup[];
  /** For `--set`: the manifest in each repository that has it. */
  readonly manifests: ReadonlyMap<number, Manifest>;
}

export interface InfoLocks {
  readonly backup: LockState;
  readonly restore: LockState;
}

export interface InfoOptions {
  readonly stanza: string;
  readonly set: string | undefined;
  readonly type: BackupType | undefined;
  /** True also reads streams and logical dumps: two listings per repository, a file, and each dump's manifest. */
  readonly extras: boolean;
  readonly locks: InfoLocks;
  readonly opened?: readonly OpenedBackup[];
}

/** Stanzas in any repository, ascending. A silent repository is skipped; its error shows in each report. */
export async function listStanzas(repos: readonly Repository[]): Promise<string[]> {
  const answers = await perRepo(repos, async (repo) => {
    const isStanza = (name: string, type: string): boolean => type === "directory" && !/^\.{0,2}$/.test(name);
    return [...(await listNames(repo, "archive", isStanza)), ...(await listNames(repo, "backup", isStanza))];
  });
  const names = new Set(answers.flatMap((result) => (result.ok ? result.value : [])));
  if (names.size === 0 && answers.some((result) => !result.ok)) return [UNKNOWN_STANZA];
  return [...names].sort(compareBytes);
}

/** Stock's name for the stanza of a repository that cannot be listed. */
const UNKNOWN_STANZA = "[invalid]";

export async function collectInfo(
  repos: readonly RepoFacts[],
  missingWal: MissingWalStore,
  options: InfoOptions,
): Promise<InfoReport> {
  const answers = await perRepo(repos, (facts) => inspect(facts, options));
  const manifests = new Map<number, Manifest>();
  const rows = answers.map((answer, index): InfoRepo => {
    const { repo } = repos[index] as RepoFacts;
    const info = answer.ok ? answer.value.info : null;
    const dropped =
      info === null ? missingWal.listDropped(repo.key) : openGapIn(repo.key, info, missingWal.listDropped);
    const base = {
      key: repo.key,
      cipherType: repo.cipherType,
      missingWalCount: missingWal.list(repo.key).length,
      droppedCount: dropped.length,
    };
    if (!answer.ok) {
      const status = { code: InfoStatus.other.code, message: `[${answer.error.name}] ${answer.error.message}` };
      const nothing = { info: null, archives: [], backups: [], stream: null, dumps: null };
      return { ...base, ...nothing, status, error: answer.error };
    }
    if (answer.value.manifest !== null) manifests.set(repo.key, answer.value.manifest);
    return { ...base, ...answer.value, error: null };
  });
  const { stanza, locks } = options;
  const opened = (options.opened ?? []).filter((each) =>
    rows.some(({ info, key }) => `repo${key}` === each.repo && info !== null && isOpenedOf(info, each)),
  );
  return { stanza, status: stanzaStatus(rows), repos: rows, locks, opened, manifests };
}

type Inspected = Pick<InfoRepo, "status" | "info" | "archives" | "backups" | "stream"> & {
  readonly manifest: Manifest | null;
};

async function inspect(
  facts: RepoFacts,
  options: InfoOptions,
): Promise<Inspected & { readonly dumps: DumpSurvey | null }> {
  // At the same time, so that dumps hardly cost any.
  const dumps = options.extras && options.set === undefined ? surveyDumps(facts.remembered) : null;
  // If both fail, the error of the backups counts.
  dumps?.catch(() => {});
  return { ...(await inspectBackups(facts, options)), dumps: await dumps };
}

async function inspectBackups(facts: RepoFacts, options: InfoOptions): Promise<Inspected> {
  const { repo } = facts;
  const nothing = { info: null, archives: [], backups: [], manifest: null, stream: null };
  let info: BackupInfo;
  try {
    info = await facts.backupInfo();
  } catch (error) {
    if (!isError(error, "fileMissing")) throw error;
    return { ...nothing, status: (await hasAnything(repo)) ? InfoStatus.missingData : InfoStatus.missingPath };
  }
  const archiveInfo = await facts.archiveInfo();
  const archives: InfoArchive[] = [];
  for (const entry of archiveInfo.history) {
    const range = await facts.walRange(archiveIdOf(entry));
    if (range.min !== null || entry.id === archiveInfo.currentId)
      archives.push({ id: archiveIdOf(entry), historyId: entry.id, ...range });
  }
  const { set, type } = options;
  const backups = info.backups.filter(
    (entry) => (set === undefined || entry.label === set) && (type === undefined || entry.type === type),
  );
  const wanted = options.set === undefined ? undefined : backups[0];
  const manifest = wanted === undefined ? null : await loadManifest(repo, wanted.label, info.cipherPass ?? null);
  if (set !== undefined && backups.length === 0) return { ...nothing, status: InfoStatus.missingBackup };
  const stream = options.extras && set === undefined ? await surveyStream(repo, () => facts.archiveInfo()) : null;
  return {
    info,
    archives,
    backups,
    manifest,
    stream,
    status: backups.length === 0 ? InfoStatus.noBackup : InfoStatus.ok,
  };
}

async function hasAnything(repo: Repository): Promise<boolean> {
  const path = backupsPath(repo.stanza);
  for await (const _entry of repo.storage.list(path)) return true;
  return repo.storage.features.directories && (await repo.storage.stat(path)) !== null;
}

function stanzaStatus(repos: readonly InfoRepo[]): { code: number; message: string } {
  const current = repos.flatMap((repo) => {
    const entry = repo.info === null ? null : currentHistory(repo.info);
    return entry === null ? [] : [`${entry.systemId}:${entry.pgVersion}`];
  });
  if (new Set(current).size > 1) return InfoStatus.mismatch;
  const codes = new Set(repos.map((repo) => repo.status.code));
  if (codes.size > 1) return InfoStatus.mixed;
  const [only] = repos;
  if (only === undefined) return InfoStatus.missingPath;
  return only.status.code === InfoStatus.other.code
    ? InfoStatus.other
    : { code: only.status.code, message: only.status.message };
}

/** For `--detail-level=progress`: the running work and its progress. */
export function progressJson(report: InfoReport): JsonValue {
  return { name: report.stanza, status: statusJson(report) };
}

function statusJson({ status, locks }: InfoReport): JsonValue {
  return {
    code: status.code,
    lock: { backup: lockJson(locks.backup), restore: lockJson(locks.restore) },
    message: status.message,
  };
}

function lockJson({ held, repos }: LockState): JsonValue {
  if (repos.length === 0) return { held };
  const { sizeBytes, sizeCompleteBytes } = progressOf({ held, repos });
  return {
    held,
    repo: repos.map((repo) => ({ key: repo.key, size: repo.sizeBytes, "size-cplt": repo.sizeCompleteBytes })),
    size: sizeBytes,
    "size-cplt": sizeCompleteBytes,
  };
}

/** Sum over all repositories. */
export function progressOf({ repos }: LockState): { readonly sizeBytes: number; readonly sizeCompleteBytes: number } {
  return {
    sizeBytes: repos.reduce((sum, repo) => sum + repo.sizeBytes, 0),
    sizeCompleteBytes: repos.reduce((sum, repo) => sum + repo.sizeCompleteBytes, 0),
  };
}

/**
 * One element of stock's array: keys ascending, backups by stop time. It adds `wal-missing`, `wal-dropped`,
 * `wal-stream` and `dumps` to a repository that has some.
 */
export function infoJson(report: InfoReport): JsonValue {
  const ciphers = new Set(report.repos.map((repo) => repo.cipherType));
  const backups = report.repos.flatMap((repo) => repo.backups.map((entry) => ({ repo, entry })));
  backups.sort((left, right) => left.entry.stoppedAtS - right.entry.stoppedAtS || left.repo.key - right.repo.key);
  const archives = report.repos.flatMap((repo) => repo.archives.map((archive) => ({ repo, archive })));
  archives.sort((left, right) => left.archive.historyId - right.archive.historyId || left.repo.key - right.repo.key);
  return {
    archive: archives.map(({ repo, archive }) => ({
      database: { id: archive.historyId, "repo-key": repo.key },
      id: archive.id,
      max: archive.max,
      min: archive.min,
    })),
    backup: backups.map(({ repo, entry }) => backupJson(repo, entry, report.manifests.get(repo.key))),
    cipher: ciphers.size > 1 ? "mixed" : ([...ciphers][0] ?? "none"),
    db: report.repos.flatMap((repo) =>
      (repo.info?.history ?? []).map((entry) => ({
        id: entry.id,
        "repo-key": repo.key,
        "system-id": entry.systemId,
        version: entry.pgVersion,
      })),
    ),
    name: report.stanza,
    ...(report.opened.length === 0 ? {} : { opened: report.opened.map(openedJson) }),
    repo: report.repos.map((repo) => ({
      cipher: repo.cipherType,
      key: repo.key,
      status: { code: repo.status.code, message: repo.status.message },
      ...(repo.missingWalCount === 0 ? {} : { "wal-missing": repo.missingWalCount }),
      ...(repo.droppedCount === 0 ? {} : { "wal-dropped": repo.droppedCount }),
      ...(repo.stream === null
        ? {}
        : { "wal-stream": { lsn: repo.stream.lsn, stop: repo.stream.storedAtS, wal: repo.stream.segment } }),
      ...dumpsField(repo.dumps),
    })),
    status: statusJson(report),
  };
}

function backupJson(repo: InfoRepo, entry: BackupInfoEntry, manifest: Manifest | undefined): JsonValue {
  const own = manifest?.label === entry.label ? manifest : undefined;
  return {
    ...(entry.annotations === undefined ? {} : { annotation: { ...entry.annotations } }),
    archive: { start: entry.archiveStart, stop: entry.archiveStop },
    backrest: { format: entry.format, version: entry.backrestVersion },
    database: { id: entry.dbId, "repo-key": repo.key },
    ...(own === undefined
      ? {}
      : {
          "database-ref": own.databases
            .filter((row) => !row.name.startsWith("template"))
            .map((row) => ({ name: row.name, oid: row.id })),
        }),
    ...(entry.error === undefined ? {} : { error: entry.error }),
    ...(own === undefined ? {} : errorList(own)),
    ...holdJson(entry),
    info: {
      delta: entry.sizeDeltaBytes,
      repository: {
        delta: entry.repoSizeDeltaBytes,
        ...(entry.repoSizeMapDeltaBytes === undefined ? {} : { "delta-map": entry.repoSizeMapDeltaBytes }),
        ...(entry.repoSizeMapBytes === undefined
          ? { size: entry.repoSizeBytes }
          : { "size-map": entry.repoSizeMapBytes }),
      },
      size: entry.sizeBytes,
    },
    label: entry.label,
    ...(own === undefined ? {} : { link: linkJson(own) }),
    ...(entry.lsnStart === undefined || entry.lsnStop === undefined
      ? {}
      : { lsn: { start: entry.lsnStart, stop: entry.lsnStop } }),
    prior: entry.prior ?? null,
    reference: entry.references === undefined ? null : [...entry.references],
    ...(own === undefined ? {} : { tablespace: tablespaceJson(own) }),
    timestamp: { start: entry.startedAtS, stop: entry.stoppedAtS },
    type: entry.type,
  };
}

/** Times are seconds since 1970, as of all of stock's fields. */
function holdJson(entry: BackupInfoEntry): { hold?: JsonValue } {
  const hold = holdOf(entry);
  return hold === null ? {} : { hold: { reason: hold.reason, until: hold.untilS } };
}

function errorList(manifest: Manifest): { "error-list"?: JsonValue } {
  const names = errorFiles(manifest);
  return names.length === 0 ? {} : { "error-list": names };
}

function linkJson(manifest: Manifest): JsonValue {
  const links = manifest.targets.filter((target) => target.type === "link" && target.tablespaceId === undefined);
  return links.length === 0
    ? null
    : links.map((target) => ({ destination: destinationOf(target), name: shortName(target.name) }));
}

/** Files with invalid pages, under their usual names. */
export function errorFiles(manifest: Manifest): string[] {
  return manifest.files.filter((file) => file.checksumPage === false).map((file) => shortName(file.name));
}

/** Relative to the data directory. */
export function shortName(name: string): string {
  return name.replace(/^pg_data\//, "");
}

/** Where a link leads. */
export function destinationOf(target: ManifestTarget): string {
  return target.file === undefined ? target.path : `${target.path}/${target.file}`;
}

function tablespaceJson(manifest: Manifest): JsonValue {
  const spaces = manifest.targets.filter((target) => target.tablespaceId !== undefined);
  return spaces.length === 0
    ? null
    : spaces.map((target) => ({
        destination: target.path,
        name: target.tablespaceName ?? "",
        oid: Number(target.tablespaceId),
      }));
}
