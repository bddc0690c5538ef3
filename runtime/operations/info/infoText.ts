/**
 * `info` as text in stock's layout ("pgbackrest-format" vectors, info.txt of 2.60); times are local with their offset.
 */
import { formatLocalSeconds } from "../../base/clock";
import { printableValue } from "../../base/printable";
import { formatSize } from "../../base/units";
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import { labelType } from "../../format/repository/label";
import type { LockState } from "../../local/lockState";
import { databasesText, hasDumps } from "../dump/surveyDumps";
import { holdOf, holdText } from "../expire/hold";
import { openedText } from "./opened";
import { destinationOf, errorFiles, type InfoRepo, type InfoReport, InfoStatus, progressOf, shortName } from "./info";

/** For `--detail-level=progress`: only the status. */
export function progressText(report: InfoReport): string {
  return `stanza: ${report.stanza}\n${statusLines(report).join("\n")}\n`;
}

export function infoText(report: InfoReport): string {
  const opened = report.opened.map((each) => `    open: ${openedText(each)}`);
  const lines = [`stanza: ${report.stanza}`, ...statusLines(report), ...opened];
  if (report.status.code === InfoStatus.missingPath.code) return `${lines.join("\n")}\n`;
  lines.push(...cipherLines(report), ...report.repos.flatMap(dumpLines));
  for (const database of databases(report).filter(({ historyId }) => isShown(report, historyId)))
    lines.push("", ...databaseLines(report, database));
  return `${lines.join("\n")}\n`;
}

function statusLines(report: InfoReport): string[] {
  const walLines = report.repos.flatMap(({ key, missingWalCount, droppedCount, stream }) => [
    ...(stream === null
      ? []
      : [`    repo${key} wal stream: up to ${stream.lsn}, stored ${formatLocalSeconds(stream.storedAtS * 1000)}`]),
    ...(missingWalCount === 0
      ? []
      : [`    repo${key} wal missing: ${missingWalCount} segment(s) acknowledged but not stored here`]),
    ...(droppedCount === 0
      ? []
      : [`    repo${key} wal dropped: ${droppedCount} segment(s) that no repository has: take a new full backup`]),
  ]);
  const { code, message } = report.status;
  const running = runningText(report.locks);
  const beside = running === "" ? "" : ` (${running})`;
  if (code === InfoStatus.ok.code) return [`    status: ok${beside}`, ...walLines];
  const error = `error (${running === "" ? message : `${message}, ${running}`})`;
  const title = code === InfoStatus.mixed.code ? `mixed${beside}` : error;
  const [only, ...others] = report.repos;
  if (only !== undefined && others.length === 0)
    return [`    status: ${title}`, ...errorLines(only, " ".repeat(12)), ...walLines];
  const differ = code === InfoStatus.mixed.code || code === InfoStatus.mismatch.code || code === InfoStatus.other.code;
  const repos = report.repos.flatMap((repo) => [
    `        repo${repo.key}: ${repoStatus(repo)}`,
    ...errorLines(repo, " ".repeat(15)),
  ]);
  return [`    status: ${title}`, ...(differ ? repos : []), ...walLines];
}

function runningText({ backup, restore }: InfoReport["locks"]): string {
  return [
    ...(backup.held ? [`backup/expire running${percentText(backup)}`] : []),
    ...(restore.held ? [`restore running${percentText(restore)}`] : []),
  ].join(", ");
}

function percentText(lock: LockState): string {
  if (lock.repos.length === 0) return "";
  const { sizeBytes, sizeCompleteBytes } = progressOf(lock);
  return ` - ${(sizeBytes === 0 ? 100 : Math.floor((sizeCompleteBytes / sizeBytes) * 10_000) / 100).toFixed(2)}% complete`;
}

function repoStatus(repo: InfoRepo): string {
  if (repo.status.code === InfoStatus.ok.code) return "ok";
  return repo.error === null ? `error (${repo.status.message})` : "error (other)";
}

function errorLines(repo: InfoRepo, indent: string): string[] {
  if (repo.error === null) return [];
  return [...repo.status.message.split("\n"), ...repo.error.hints.map((hint) => `HINT: ${hint}`)].map(
    (line) => `${indent}${line}`,
  );
}

function cipherLines(report: InfoReport): string[] {
  const kinds = new Set(report.repos.map((repo) => repo.cipherType));
  if (kinds.size === 1) return [`    cipher: ${[...kinds][0]}`];
  return ["    cipher: mixed", ...report.repos.map((repo) => `        repo${repo.key}: ${repo.cipherType}`)];
}

function dumpLines({ dumps, key }: InfoRepo): string[] {
  if (dumps === null || !hasDumps(dumps)) return [];
  const { completeCount, faulty, newest } = dumps;
  const last = newest === null ? "" : `, newest ${newest.label}, stored ${withOffset(newest.stoppedAtS)}`;
  return [
    `    repo${key} dumps: ${completeCount} complete${last}`,
    ...(newest === null ? [] : [`        database list: ${printableValue(databasesText(newest))}`]),
    ...faulty.map(({ fault, label }) => `        dump ${label}: ${printableValue(fault)}`),
  ];
}

/** `--set` shows only that backup's cluster. */
function isShown(report: InfoReport, historyId: number): boolean {
  if (report.manifests.size === 0) return report.status.code !== InfoStatus.missingBackup.code;
  return report.repos.some((repo) => repo.backups.some((entry) => entry.dbId === historyId));
}

interface Database {
  readonly historyId: number;
  readonly version: string;
  readonly current: boolean;
}

function databases(report: InfoReport): Database[] {
  const byId = new Map<number, Database>();
  for (const repo of report.repos) {
    for (const entry of repo.info?.history ?? [])
      byId.set(entry.id, { historyId: entry.id, version: entry.pgVersion, current: entry.id === repo.info?.currentId });
  }
  return [...byId.values()].sort(
    (left, right) => Number(left.current) - Number(right.current) || left.historyId - right.historyId,
  );
}

function databaseLines(report: InfoReport, database: Database): string[] {
  const archives = report.repos.flatMap((repo) =>
    repo.archives.filter((archive) => archive.historyId === database.historyId && archive.min !== null),
  );
  const lowest = archives.map((archive) => archive.min as string).sort()[0];
  const highest = archives
    .map((archive) => archive.max as string)
    .sort()
    .at(-1);
  const range = lowest === undefined ? "none present" : `${lowest}/${highest}`;
  const lines = [
    `    db (${database.current ? "current" : "prior"})`,
    `        wal archive min/max (${database.version}): ${range}`,
  ];
  const backups = report.repos.flatMap((repo) =>
    repo.backups.filter((entry) => entry.dbId === database.historyId).map((entry) => ({ repo, entry })),
  );
  backups.sort((left, right) => left.entry.stoppedAtS - right.entry.stoppedAtS || left.repo.key - right.repo.key);
  for (const { repo, entry } of backups) lines.push("", ...backupLines(report, repo, entry));
  return lines;
}

function backupLines(report: InfoReport, repo: InfoRepo, entry: BackupInfoEntry): string[] {
  const repoSizes =
    entry.repoSizeMapBytes === undefined
      ? `backup set size: ${formatSize(entry.repoSizeBytes)}, backup size: ${formatSize(entry.repoSizeDeltaBytes)}`
      : `backup size: ${formatSize(entry.repoSizeDeltaBytes)}`;
  const lines = [
    `        ${entry.type} backup: ${entry.label}`,
    `            timestamp start/stop: ${withOffset(entry.startedAtS)} / ${withOffset(entry.stoppedAtS)}`,
    `            wal start/stop: ${entry.archiveStart === null ? "n/a" : `${entry.archiveStart} / ${entry.archiveStop}`}`,
  ];
  const manifest = report.manifests.get(repo.key);
  if (manifest !== undefined && entry.lsnStart !== undefined)
    lines.push(`            lsn start/stop: ${entry.lsnStart} / ${entry.lsnStop}`);
  lines.push(
    `            database size: ${formatSize(entry.sizeBytes)}, database backup size: ${formatSize(entry.sizeDeltaBytes)}`,
    `            repo${repo.key}: ${repoSizes}`,
  );
  if (entry.references !== undefined)
    lines.push(`            backup reference ${referencesText(entry.references, manifest !== undefined)}`);
  if (manifest !== undefined) {
    const names = manifest.databases
      .filter((row) => !row.name.startsWith("template"))
      .map((row) => `${row.name} (${row.id})`);
    lines.push(`            database list: ${names.length === 0 ? "none" : names.join(", ")}`);
    const links = manifest.targets.filter((target) => target.type === "link" && target.tablespaceId === undefined);
    if (links.length > 0)
      lines.push(
        "            symlinks:",
        ...links.map((row) => `                ${printableValue(`${shortName(row.name)} => ${destinationOf(row)}`)}`),
      );
    const spaces = manifest.targets.filter((target) => target.tablespaceId !== undefined);
    if (spaces.length > 0)
      lines.push(
        "            tablespaces:",
        ...spaces.map((row) => `                ${row.tablespaceName} (${row.tablespaceId}) => ${row.path}`),
      );
  }
  const damaged = manifest === undefined ? [] : errorFiles(manifest);
  if (damaged.length > 0) lines.push(`            error list: ${damaged.join(", ")}`);
  else if (entry.error === true) lines.push("            error(s) detected during backup");
  const hold = holdOf(entry);
  if (hold !== null) lines.push(`            ${printableValue(holdText(hold))}`);
  const notes = manifest === undefined ? [] : Object.entries(entry.annotations ?? {});
  if (notes.length > 0)
    lines.push(
      "            annotation(s)",
      ...notes.map(([name, value]) => `                ${printableValue(`${name}: ${value}`)}`),
    );
  return lines;
}

/** `--set` shows all labels, otherwise the number of each type. */
function referencesText(references: readonly string[], whole: boolean): string {
  if (whole) return `list: ${references.join(", ")}`;
  const counts = BACKUP_TYPES.map((type) => ({
    type,
    count: references.filter((label) => labelType(label) === type).length,
  }));
  return `total: ${counts
    .filter(({ count }) => count > 0)
    .map(({ type, count }) => `${count} ${type}`)
    .join(", ")}`;
}

const BACKUP_TYPES = ["full", "diff", "incr"] as const;

function withOffset(timeS: number): string {
  const offsetMinutes = -new Date(timeS * 1000).getTimezoneOffset();
  const sign = offsetMinutes < 0 ? "-" : "+";
  const hours = String(Math.floor(Math.abs(offsetMinutes) / 60)).padStart(2, "0");
  const minutes = Math.abs(offsetMinutes) % 60;
  return `${formatLocalSeconds(timeS * 1000)}${sign}${hours}${minutes === 0 ? "" : `:${String(minutes).padStart(2, "0")}`}`;
}
