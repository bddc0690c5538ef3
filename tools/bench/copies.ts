/**
 * Many backups and WAL segments in seconds: copies of real ones in a repository of directories, by hard links under
 * other names. Manifests and backup.info are written by our own format code, as both programs read and write them.
 */
import { chownSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { utf8 } from "../../runtime/base/bytes";
import {
  type BackupInfo,
  type BackupInfoEntry,
  backupInfoEntryOf,
  parseBackupInfo,
  renderBackupInfo,
  withEntries,
} from "../../runtime/format/repository/backupInfo";
import { formatLabel } from "../../runtime/format/repository/label";
import { type Manifest, parseManifest, renderManifestBytes } from "../../runtime/format/repository/manifest";
import {
  archiveIdPath,
  archivePath,
  backupInfoPath,
  backupPath,
  copyOf,
  manifestHistoryPath,
  manifestPath,
  walPath,
} from "../../runtime/format/repository/repoPath";
import { nextSegment } from "../../runtime/format/wal/walSegment";

/** An unencrypted repository of directories, and the stanza in it. */
export interface Location {
  readonly root: string;
  readonly stanza: string;
}

/** Backups of a set: one full, the others incr, each on the one before. */
const SET_SIZE = 10;
/** More than a clock is set back at the end of summer: labels are in local time. */
const INTERVAL_S = 2 * 3600;
/** File systems allow some 65,000 names for a file. */
const LINKS_MAX = 30_000;
const WAL_SEGMENT_SIZE_BYTES = 16 * 1024 * 1024;

/**
 * Adds copies of the newest full backup and the first incr on it until there are `count` backups: sets with two hours
 * between two backups, all older than the two. They need the WAL of the two, and no other.
 */
export function copyBackups(location: Location, count: number): void {
  const { file: infoFile, info } = loadInfo(location);
  const full = info.backups.findLast(({ type }) => type === "full");
  const incr = info.backups.find(({ prior }) => prior === full?.label);
  if (full === undefined || incr === undefined) throw new Error("there is no incr on the newest full backup");
  const templates = { full: loadManifest(location, full.label), incr: loadManifest(location, incr.label) };
  const firstS = Math.min(...info.backups.map(({ startedAtS }) => startedAtS));
  const entries: BackupInfoEntry[] = [];
  const missing = count - info.backups.length;
  for (let setNo = 1; entries.length < missing; setNo++) {
    const beginS = firstS - setNo * SET_SIZE * INTERVAL_S;
    const labels: string[] = [];
    for (let index = 0; index < SET_SIZE && entries.length < missing; index++) {
      const template = index === 0 ? templates.full : templates.incr;
      const manifest = renamed(template, beginS + index * INTERVAL_S, labels);
      labels.push(manifest.label);
      storeCopy(location, template, manifest);
      entries.push(backupInfoEntryOf(manifest));
    }
  }
  for (const file of [infoFile, copyOf(infoFile)]) replace(file, utf8(renderBackupInfo(withEntries(info, entries))));
}

/** @param before labels of the set so far */
function renamed(template: Manifest, startedAtS: number, before: readonly string[]): Manifest {
  const [full] = before;
  const label = formatLabel(full === undefined ? "full" : "incr", startedAtS, full);
  const shiftS = startedAtS - template.startedAtS;
  const prior = before.at(-1);
  return {
    ...template,
    label,
    ...(prior === undefined ? {} : { prior }),
    references: [...before, label],
    startedAtS,
    copyStartedAtS: template.copyStartedAtS + shiftS,
    stoppedAtS: template.stoppedAtS + shiftS,
    files:
      full === undefined
        ? template.files
        : template.files.map((file) => (file.reference === undefined ? file : { ...file, reference: full })),
  };
}

function storeCopy({ root, stanza }: Location, template: Manifest, manifest: Manifest): void {
  const [from, to] = [template, manifest].map(({ label }) => join(root, backupPath(stanza, label))) as [string, string];
  makeFolder(to, from);
  for (const name of readdirSync(from))
    if (!name.startsWith("backup.manifest")) linkAll(join(from, name), join(to, name));
  const file = join(root, manifestPath(stanza, manifest.label));
  replace(file, renderManifestBytes(manifest), join(root, manifestPath(stanza, template.label)));
  linkSync(file, copyOf(file));
  linkAll(
    join(root, manifestHistoryPath(stanza, template.label)),
    join(root, manifestHistoryPath(stanza, manifest.label)),
  );
}

/** Adds copies of the newest segment under the names that follow it until there are `count`. */
export function copySegments({ root, stanza }: Location, count: number): void {
  const [archiveId = ""] = readdirSync(join(root, archivePath(stanza))).filter((name) => /^\d+-\d+$/.test(name));
  const files = readdirSync(join(root, archiveIdPath(stanza, archiveId)), { recursive: true, encoding: "utf8" })
    .map((path) => basename(path))
    .filter((name) => /^[0-9A-F]{24}-/.test(name))
    .sort();
  const newest = files.at(-1);
  if (newest === undefined) throw new Error("there is no segment to copy");
  const pathOf = (fileName: string): string => join(root, walPath(stanza, archiveId, fileName));
  const content = readFileSync(pathOf(newest));
  let [source, name] = [pathOf(newest), newest.slice(0, 24)];
  for (let made = files.length; made < count; made++) {
    name = nextSegment(name, WAL_SEGMENT_SIZE_BYTES);
    const file = pathOf(`${name}${newest.slice(24)}`);
    makeFolder(dirname(file), dirname(source));
    if (statSync(source).nlink < LINKS_MAX) linkSync(source, file);
    else {
      replace(file, content, source);
      source = file;
    }
  }
}

/** The same repository again, its files hard links: for a program that removes some. Both replace files as a whole. */
export function copyRepository(from: string, to: string): void {
  linkAll(from, to);
}

/** The label of the newest backup. */
export function newestIn(location: Location): string {
  return loadInfo(location).info.backups.at(-1)?.label ?? "";
}

function loadInfo({ root, stanza }: Location): { readonly file: string; readonly info: BackupInfo } {
  const file = join(root, backupInfoPath(stanza));
  return { file, info: parseBackupInfo(readFileSync(file, "utf8"), file) };
}

function loadManifest({ root, stanza }: Location, label: string): Manifest {
  const file = join(root, manifestPath(stanza, label));
  return parseManifest(readFileSync(file, "utf8"), file);
}

function linkAll(from: string, to: string): void {
  if (!statSync(from).isDirectory()) {
    makeFolder(dirname(to), dirname(from));
    return linkSync(from, to);
  }
  makeFolder(to, from);
  for (const name of readdirSync(from)) if (name !== "latest") linkAll(join(from, name), join(to, name));
}

/** Writes a file with the owner of `model`, its former self if omitted. */
function replace(file: string, bytes: Uint8Array, model = file): void {
  const { gid, mode, uid } = statSync(model);
  writeFileSync(file, bytes, { mode });
  own(file, uid, gid);
}

function makeFolder(path: string, model: string): void {
  const { gid, uid } = statSync(model);
  if (mkdirSync(path, { recursive: true, mode: 0o750 }) !== undefined) own(path, uid, gid);
}

function own(path: string, uid: number, gid: number): void {
  if (process.getuid?.() === 0) chownSync(path, uid, gid);
}
