/**
 * Where files are in a repository: paths relative to the repository's base, without a leading slash.
 *
 * ```
 * archive/<stanza>/archive.info(.copy)                    archive/<stanza>/<archive id>/<first 16 of the name>/<name>
 * backup/<stanza>/backup.info(.copy)                      archive/<stanza>/<archive id>/<timeline>.history
 * backup/<stanza>/<label>/backup.manifest(.copy)          backup/<stanza>/backup.history/<year>/<label>.manifest.gz
 * backup/<stanza>/<label>/pgbackstop.attempt              (ours, until the backup is listed)
 * backup/<stanza>/<label>/<manifest name><extension>      backup/<stanza>/<label>/bundle/<id>
 * pgbackstop/<stanza>/<label>/server-files.json.gz        (ours; stock reads only archive and backup)
 * pgbackstop/<stanza>/tombstones/<label>                  (ours, for a day)
 * pgbackstop/<stanza>/holds/<label>                       (ours, until the backup goes)
 * pgbackstop/<stanza>/reserve/<number>                    (ours: space that a full file system gives to expire)
 * pgbackstop/<stanza>/dump/<label>/dump.manifest          (ours: logical dumps, format/repository/dumpManifest)
 * ```
 * (pgBackRest 2.60 "storage/helper", "command/archive/common", "command/backup/common".)
 */
import { assert } from "../../base/errors";
import { type CompressType, extensionOf } from "../codec/compress";
import { DUMP_MANIFEST, isDumpDirectory } from "./dumpManifest";
import { isLabel } from "./label";

export function archivePath(stanza: string): string {
  return `archive/${segment(stanza)}`;
}

export function backupsPath(stanza: string): string {
  return `backup/${segment(stanza)}`;
}

export function archiveInfoPath(stanza: string): string {
  return `${archivePath(stanza)}/archive.info`;
}

export function backupInfoPath(stanza: string): string {
  return `${backupsPath(stanza)}/backup.info`;
}

/** The twin of an info file or manifest. */
export function copyOf(path: string): string {
  return `${path}.copy`;
}

export function archiveIdPath(stanza: string, archiveId: string): string {
  return `${archivePath(stanza)}/${segment(archiveId)}`;
}

/**
 * Names with 24 leading hexadecimal digits have a directory of their first 16; timeline histories are next to those
 * directories.
 */
export function walPath(stanza: string, archiveId: string, fileName: string): string {
  const directory = /^[0-9A-F]{24}/.test(fileName) ? `/${fileName.slice(0, 16)}` : "";
  return `${archiveIdPath(stanza, archiveId)}${directory}/${segment(fileName)}`;
}

export function backupPath(stanza: string, label: string): string {
  assert(isLabel(label), `'${label}' is not a backup label`);
  return `${backupsPath(stanza)}/${label}`;
}

export function manifestPath(stanza: string, label: string): string {
  return `${backupPath(stanza, label)}/backup.manifest`;
}

/** The process that may write into the directory of an unlisted backup; see `format/repository/attemptFile.ts`. */
export function attemptPath(stanza: string, label: string): string {
  return `${backupPath(stanza, label)}/pgbackstop.attempt`;
}

/** Exists once expire has decided to remove the backup: it is never listed again. */
export function expiredMarkPath(stanza: string, label: string): string {
  return `${backupPath(stanza, label)}/pgbackstop.expired`;
}

/** The directory is the label's first year, so a backup set stays together. */
export function manifestHistoryPath(stanza: string, label: string): string {
  assert(isLabel(label), `'${label}' is not a backup label`);
  return `${backupHistoryPath(stanza)}/${label.slice(0, 4)}/${label}.manifest.gz`;
}

export function backupHistoryPath(stanza: string): string {
  return `${backupsPath(stanza)}/backup.history`;
}

/** A file outside a bundle. `label` is the backup with the data: the row's reference, else the backup's own. */
export function dataFilePath(
  stanza: string,
  label: string,
  file: { readonly name: string; readonly block?: { readonly mapSizeBytes: number } | undefined },
  compressType: CompressType,
): string {
  const blocks = file.block !== undefined && file.block.mapSizeBytes > 0;
  return `${backupPath(stanza, label)}/${file.name}${blocks ? ".pgbi" : extensionOf(compressType)}`;
}

/** Parent of the files that are kept next to a stanza's backups. */
export function serverFilesRoot(stanza: string): string {
  return `pgbackstop/${segment(stanza)}`;
}

/** The server's configuration files from outside its data directory. */
export function serverFilesPath(stanza: string, label: string): string {
  assert(isLabel(label), `'${label}' is not a backup label`);
  return `${serverFilesRoot(stanza)}/${label}/server-files.json.gz`;
}

export function bundlePath(stanza: string, label: string, id: number): string {
  assert(Number.isSafeInteger(id) && id > 0, `bundle id ${id} is not a number above 0`);
  return `${backupPath(stanza, label)}/bundle/${id}`;
}

function segment(name: string): string {
  assert(name !== "" && name !== "." && name !== ".." && !name.includes("/"), `'${name}' is not a file name`);
  return name;
}

/** The history of fire drills, next to the server files: stock reads only `archive` and `backup`. */
export function drillsPath(stanza: string): string {
  return `${serverFilesRoot(stanza)}/drills`;
}

/** Directories of drills that attack a bucket, one each; empty between drills. */
export function attacksPath(stanza: string): string {
  return `${serverFilesRoot(stanza)}/attack`;
}

/** Exists for a day after the removal of an unfinished backup of another host, which may be asleep and write again. */
export function tombstonePath(stanza: string, label: string): string {
  assert(isLabel(label), `'${label}' is not a backup label`);
  return `${tombstonesPath(stanza)}/${label}`;
}

export function tombstonesPath(stanza: string): string {
  return `${serverFilesRoot(stanza)}/tombstones`;
}

/** What `hold` and `release` last said of a backup, apart from backup.info (operations/expire/holdRecord). */
export function holdPath(stanza: string, label: string): string {
  assert(isLabel(label), `'${label}' is not a backup label`);
  return `${holdsPath(stanza)}/${label}`;
}

export function holdsPath(stanza: string): string {
  return `${serverFilesRoot(stanza)}/holds`;
}

/** WAL of incomplete segments that an agent streams. */
export function streamPath(stanza: string, archiveId: string): string {
  return `${streamRoot(stanza)}/${segment(archiveId)}`;
}

/** What a lease allows to write. */
export type LeaseWork = "backups" | "dumps";

/** The process that may write a stanza's backups, or its dumps, into this repository (repository/lease). */
export function leasePath(stanza: string, work: LeaseWork = "backups"): string {
  return `${serverFilesRoot(stanza)}/${work === "backups" ? "lease" : "dump-lease"}`;
}

/** Random bytes (repository/reserve). */
export function reservePath(stanza: string): string {
  return `${serverFilesRoot(stanza)}/reserve`;
}

export function streamRoot(stanza: string): string {
  return `${serverFilesRoot(stanza)}/stream`;
}

/** Logical dumps, a directory for each. */
export function dumpsPath(stanza: string): string {
  return `${serverFilesRoot(stanza)}/dump`;
}

export function dumpPath(stanza: string, directory: string): string {
  assert(isDumpDirectory(directory), `'${directory}' is not the directory of a dump`);
  return `${dumpsPath(stanza)}/${directory}`;
}

export function dumpManifestPath(stanza: string, directory: string): string {
  return `${dumpPath(stanza, directory)}/${DUMP_MANIFEST}`;
}
