/**
 * backup.info: a stanza's usable backups, its PostgreSQL clusters, and the passphrase of its manifests.
 *
 * Unknown keys of a backup's row and unknown sections are preserved on writing, at their position by byte order (stock
 * reads rows in that order). Errors: format (29), checksum (26). (pgBackRest 2.60 "info/infoBackup", "info/infoPg".)
 */
import { compareBytes } from "../../base/bytes";
import { fail } from "../../base/errors";
import { given } from "../../base/given";
import {
  type ArchiveHistoryEntry,
  type ArchiveInfo,
  cipherEntries,
  currentHistory,
  parseHead,
  parseHistory,
} from "./archiveInfo";
import { Fields, parseAnnotations, Sections, sectionEntries } from "./fields";
import {
  BACKREST_FORMAT,
  headEntries,
  type InfoEntry,
  mergeEntries,
  type ParsedEntry,
  parseInfo,
  renderInfo,
} from "./infoFile";
import { viewsOf } from "./fileRows";
import { isArray, type JsonValue, renderObject, renderString } from "./json";
import type { BackupType } from "./label";
import type { Manifest } from "./manifest";
import { checkBackupNames } from "./manifestNames";

export interface BackupHistoryEntry extends ArchiveHistoryEntry {
  readonly catalogVersion: number;
  readonly controlVersion: number;
}

export interface BackupInfoEntry {
  readonly label: string;
  readonly type: BackupType;
  /** The label that this backup depends on; absent for full. */
  readonly prior?: string;
  /** All other labels that hold data of this backup, ascending; absent for full. */
  readonly references?: readonly string[];
  readonly format: number;
  readonly backrestVersion: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** First WAL segment; null for an offline backup. */
  readonly archiveStart: string | null;
  /** Last WAL segment needed for consistency; null for an offline backup. */
  readonly archiveStop: string | null;
  /** True when a file has pages with a wrong checksum; absent in old files. */
  readonly error?: boolean;
  readonly sizeBytes: number;
  readonly sizeDeltaBytes: number;
  readonly repoSizeBytes: number;
  readonly repoSizeDeltaBytes: number;
  /** Bytes of block maps; only for block incremental backups. */
  readonly repoSizeMapBytes?: number;
  readonly repoSizeMapDeltaBytes?: number;
  readonly lsnStart?: string;
  readonly lsnStop?: string;
  readonly startedAtS: number;
  readonly stoppedAtS: number;
  /** History id. */
  readonly dbId: number;
  readonly optionArchiveCheck: boolean;
  readonly optionArchiveCopy: boolean;
  readonly optionBackupStandby: boolean;
  readonly optionChecksumPage: boolean;
  readonly optionCompress: boolean;
  readonly optionHardlink: boolean;
  readonly optionOnline: boolean;
  /** Unknown fields of the row. */
  readonly extra: Readonly<Record<string, JsonValue>>;
}

/** `cipherPass` is the manifests' passphrase. */
export interface BackupInfo extends Omit<ArchiveInfo, "history"> {
  /** Ascending by id. */
  readonly history: readonly BackupHistoryEntry[];
  /** Ascending by label. */
  readonly backups: readonly BackupInfoEntry[];
}

const DB_KEYS = new Set(["db-catalog-version", "db-control-version", "db-id", "db-system-id", "db-version"]);

/** @throws format, checksum */
export function parseBackupInfo(text: string, name: string): BackupInfo {
  const sections = new Sections(parseInfo(text, name), name);
  const head = parseHead(sections, DB_KEYS);
  const backups = sections.rows("backup:current").map((entry) => parseEntry(entry, name));
  backups.sort((a, b) => compareBytes(a.label, b.label));
  const history = parseHistory(sections, name, head.currentId, (fields) => ({
    systemId: fields.bigint("db-system-id"),
    pgVersion: fields.text("db-version"),
    catalogVersion: fields.integer("db-catalog-version"),
    controlVersion: fields.integer("db-control-version"),
  }));
  for (const backup of backups) checkBackupNames(backup, name);
  return {
    ...head,
    history,
    backups,
    other: sections.other(),
  };
}

export function renderBackupInfo(info: BackupInfo): string {
  const current = currentHistory(info);
  const backups = [...info.backups].sort((a, b) => compareBytes(a.label, b.label));
  const entries: InfoEntry[] = [
    ...headEntries(info.backrestVersion),
    ...backups.map((backup) => ({ section: "backup:current", key: backup.label, valueText: renderEntry(backup) })),
    ...cipherEntries(info),
    ...sectionEntries("db", [
      ["db-catalog-version", String(current.catalogVersion)],
      ["db-control-version", String(current.controlVersion)],
      ["db-id", String(current.id)],
      ["db-system-id", String(current.systemId)],
      ["db-version", renderString(current.pgVersion)],
    ]),
    ...info.history.map((entry) => ({
      section: "db:history",
      key: String(entry.id),
      valueText: renderObject([
        ["db-catalog-version", entry.catalogVersion],
        ["db-control-version", entry.controlVersion],
        ["db-system-id", entry.systemId],
        ["db-version", entry.pgVersion],
      ]),
    })),
  ];
  return renderInfo(mergeEntries(entries, info.other));
}

/** The list with these entries, each in the place of one with its label, ascending. */
export function withEntries(info: BackupInfo, entries: readonly BackupInfoEntry[]): BackupInfo {
  const labels = new Set(entries.map((entry) => entry.label));
  const backups = [...info.backups.filter((entry) => !labels.has(entry.label)), ...entries];
  return { ...info, backups: backups.sort((left, right) => (left.label < right.label ? -1 : 1)) };
}

/** False for two backups with one label: two hosts, each with a repository of its own, began in the same second. */
export function isSameBackup(left: BackupInfoEntry, right: BackupInfoEntry): boolean {
  return left.label === right.label && left.startedAtS === right.startedAtS && left.lsnStart === right.lsnStart;
}

/** The row of a finished backup. */
export function backupInfoEntryOf(manifest: Manifest): BackupInfoEntry {
  const { options } = manifest;
  let sizeBytes = 0;
  let sizeDeltaBytes = 0;
  let repoSizeBytes = 0;
  let repoSizeDeltaBytes = 0;
  let mapBytes = 0;
  let mapDeltaBytes = 0;
  let error = false;
  for (const file of viewsOf(manifest.files)) {
    const fileRepoBytes = file.sizeRepoBytes > 0 ? file.sizeRepoBytes : file.sizeBytes;
    const fileMapBytes = file.block?.mapSizeBytes ?? 0;
    sizeBytes += file.sizeBytes;
    repoSizeBytes += fileRepoBytes;
    mapBytes += fileMapBytes;
    if (file.reference === undefined) {
      sizeDeltaBytes += file.sizeBytes;
      repoSizeDeltaBytes += fileRepoBytes;
      mapDeltaBytes += fileMapBytes;
    }
    if (file.checksumPage === false) error = true;
  }
  const references = manifest.references.filter((label) => label !== manifest.label).sort(compareBytes);
  return {
    label: manifest.label,
    type: manifest.type,
    ...given({ prior: manifest.prior, lsnStart: manifest.lsnStart, lsnStop: manifest.lsnStop }),
    ...(manifest.type === "full" ? {} : { references }),
    format: BACKREST_FORMAT,
    backrestVersion: manifest.backrestVersion,
    ...(isEmpty(manifest.annotations) ? {} : { annotations: manifest.annotations }),
    archiveStart: manifest.archiveStart ?? null,
    archiveStop: manifest.archiveStop ?? null,
    error,
    sizeBytes,
    sizeDeltaBytes,
    repoSizeBytes,
    repoSizeDeltaBytes,
    ...(manifest.blockIncr ? { repoSizeMapBytes: mapBytes, repoSizeMapDeltaBytes: mapDeltaBytes } : {}),
    startedAtS: manifest.startedAtS,
    stoppedAtS: manifest.stoppedAtS,
    dbId: manifest.pg.id,
    optionArchiveCheck: options.archiveCheck,
    optionArchiveCopy: options.archiveCopy,
    optionBackupStandby: options.backupStandby ?? false,
    optionChecksumPage: options.checksumPage ?? false,
    optionCompress: options.compressType !== "none",
    optionHardlink: options.hardlink,
    optionOnline: options.online,
    extra: {},
  };
}

/** Keys of a row with their fields, in the order of the file. */
const COLUMNS: readonly (readonly [key: string, field: Exclude<keyof BackupInfoEntry, "label" | "extra">])[] = [
  ["backrest-format", "format"],
  ["backrest-version", "backrestVersion"],
  ["backup-annotation", "annotations"],
  ["backup-archive-start", "archiveStart"],
  ["backup-archive-stop", "archiveStop"],
  ["backup-error", "error"],
  ["backup-info-repo-size", "repoSizeBytes"],
  ["backup-info-repo-size-delta", "repoSizeDeltaBytes"],
  ["backup-info-repo-size-map", "repoSizeMapBytes"],
  ["backup-info-repo-size-map-delta", "repoSizeMapDeltaBytes"],
  ["backup-info-size", "sizeBytes"],
  ["backup-info-size-delta", "sizeDeltaBytes"],
  ["backup-lsn-start", "lsnStart"],
  ["backup-lsn-stop", "lsnStop"],
  ["backup-prior", "prior"],
  ["backup-reference", "references"],
  ["backup-timestamp-start", "startedAtS"],
  ["backup-timestamp-stop", "stoppedAtS"],
  ["backup-type", "type"],
  ["db-id", "dbId"],
  ["option-archive-check", "optionArchiveCheck"],
  ["option-archive-copy", "optionArchiveCopy"],
  ["option-backup-standby", "optionBackupStandby"],
  ["option-checksum-page", "optionChecksumPage"],
  ["option-compress", "optionCompress"],
  ["option-hardlink", "optionHardlink"],
  ["option-online", "optionOnline"],
];
const ROW_KEYS: ReadonlySet<string> = new Set(COLUMNS.map(([key]) => key));

function renderEntry(entry: BackupInfoEntry): string {
  const { annotations = {}, extra } = entry;
  const row = { ...entry, annotations: isEmpty(annotations) ? undefined : sortedObject(annotations) };
  const written = COLUMNS.flatMap(([key, field]): [string, JsonValue][] => {
    const value = row[field];
    return value === undefined ? [] : [[key, value]];
  });
  const others = Object.entries(extra);
  return renderObject(isEmpty(extra) ? written : [...written, ...others].sort((a, b) => compareBytes(a[0], b[0])));
}

function isEmpty(object: object): boolean {
  return Object.keys(object).length === 0;
}

function sortedObject(object: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(object).sort((a, b) => compareBytes(a[0], b[0])));
}

function parseEntry(entry: ParsedEntry, name: string): BackupInfoEntry {
  const fields = Fields.ofRow(entry, name);
  const type = fields.text("backup-type");
  if (type !== "full" && type !== "diff" && type !== "incr") {
    throw fail("format", `'${name}': backup '${entry.key}' has type '${type}', expected full, diff or incr`);
  }
  const annotation = fields.find("backup-annotation");
  return {
    label: entry.key,
    type,
    ...given({
      prior: fields.findText("backup-prior"),
      references: findTexts(fields.find("backup-reference"), entry.key, name),
      annotations:
        annotation === undefined ? undefined : parseAnnotations(annotation, `'${name}': backup '${entry.key}'`),
      error: fields.findBoolean("backup-error"),
      lsnStart: fields.findText("backup-lsn-start"),
      lsnStop: fields.findText("backup-lsn-stop"),
      repoSizeMapBytes: fields.findInteger("backup-info-repo-size-map"),
      repoSizeMapDeltaBytes: fields.findInteger("backup-info-repo-size-map-delta"),
    }),
    format: fields.integer("backrest-format"),
    backrestVersion: fields.text("backrest-version"),
    archiveStart: fields.findText("backup-archive-start") ?? null,
    archiveStop: fields.findText("backup-archive-stop") ?? null,
    sizeBytes: fields.integer("backup-info-size"),
    sizeDeltaBytes: fields.integer("backup-info-size-delta"),
    repoSizeBytes: fields.integer("backup-info-repo-size"),
    repoSizeDeltaBytes: fields.integer("backup-info-repo-size-delta"),
    startedAtS: fields.integer("backup-timestamp-start"),
    stoppedAtS: fields.integer("backup-timestamp-stop"),
    dbId: fields.integer("db-id"),
    optionArchiveCheck: fields.boolean("option-archive-check"),
    optionArchiveCopy: fields.boolean("option-archive-copy"),
    optionBackupStandby: fields.findBoolean("option-backup-standby") ?? false,
    optionChecksumPage: fields.findBoolean("option-checksum-page") ?? false,
    optionCompress: fields.boolean("option-compress"),
    optionHardlink: fields.boolean("option-hardlink"),
    optionOnline: fields.boolean("option-online"),
    extra: fields.rest(ROW_KEYS),
  };
}

function findTexts(value: JsonValue | undefined, label: string, name: string): readonly string[] | undefined {
  if (value === undefined) return undefined;
  if (isArray(value) && value.every((item): item is string => typeof item === "string")) return value;
  throw fail("format", `'${name}': backup '${label}': expected a list of labels in 'backup-reference'`);
}
