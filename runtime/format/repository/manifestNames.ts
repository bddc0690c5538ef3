/**
 * The names that a manifest may contain. Any writer of a repository can write manifests, and a restore as root creates,
 * empties and chowns what they name. So each name is checked before it is used.
 *
 * A name is `pg_data/…` or `pg_tblspc/<oid>/PG_<version>_<catalog>/…`, without empty, `.` and `..` parts; its parent is
 * a row of `[target:path]`. `pg_data/pg_tblspc` holds only links. Any other name that a file system allows is valid:
 * spaces, `=`, `[`, `#`, backslashes. Names are unique, and nothing is below a file. Errors: format (29).
 */
import { countBefore } from "../../base/bytes";
import { fail } from "../../base/errors";
import { nameAt, viewsOf } from "./fileRows";
import { isLabel, labelType } from "./label";
import type { FileList, ManifestLink, ManifestPath, ManifestTarget } from "./manifestRows";
import { parseLsn, parseWalName } from "../wal/walSegment";

/** The rows to check; targets are those of `[backup:target]`. */
export interface NamedRows {
  readonly pg: { readonly version: string; readonly catalogVersion: number };
  readonly references: readonly string[];
  readonly targets: readonly ManifestTarget[];
  readonly files: FileList;
  readonly paths: readonly ManifestPath[];
  readonly links: readonly ManifestLink[];
}

const DATA = "pg_data";
const TABLESPACES = "pg_tblspc";
/** Linux' PATH_MAX. */
const NAME_LENGTH_MAX = 4096;
const TABLESPACE_NAME = /^pg_tblspc\/[1-9]\d{0,9}$/;
const PG_VERSION = /^\d{1,3}(\.\d{1,3})?$/;

/** @throws format */
export function checkNames(rows: NamedRows, where: string): void {
  checkPgVersion(rows.pg.version, where);
  const targets = new Map(rows.targets.map((target) => [target.name, target]));
  if (targets.size < rows.targets.length) throw fail("format", `'${where}': a target occurs twice`);
  const content = `PG_${rows.pg.version}_${rows.pg.catalogVersion}`;
  const paths = new Set<string>();
  for (const { name } of rows.paths) paths.add(name);
  if (paths.size < rows.paths.length) throw fail("format", `'${where}': a path occurs twice`);
  for (const path of paths) if (!isPathName(path, paths, targets, content)) throw wrong("path", path, where);
  const files = checkFiles(rows, paths, where);
  for (const path of paths) if (files.has(path)) throw fail("format", `'${where}': '${path}' is a file and a path`);
  for (const link of rows.links) checkLink(link, paths, where);
  if (new Set(rows.links.map((link) => link.name)).size < rows.links.length)
    throw fail("format", `'${where}': a link occurs twice`);
  for (const target of targets.values()) checkTarget(target, paths, files, where);
}

/** @throws format unless it is "9.6", "10" … "19": directories are named after it */
export function checkPgVersion(version: string, where: string): void {
  if (!PG_VERSION.test(version)) throw fail("format", `'${where}': '${version}' is not a version of PostgreSQL`);
}

export interface NamedBackup {
  readonly label: string;
  readonly type: string;
  readonly prior?: string | undefined;
  readonly references?: readonly string[] | undefined;
  readonly archiveStart?: string | null | undefined;
  readonly archiveStop?: string | null | undefined;
  readonly lsnStart?: string | undefined;
  readonly lsnStop?: string | undefined;
}

/** The names that manifest and backup.info share: labels, WAL segments and positions. @throws format */
export function checkBackupNames(backup: NamedBackup, where: string): void {
  const { label, type, prior, references = [], archiveStart, archiveStop, lsnStart, lsnStop } = backup;
  for (const each of [label, ...(prior === undefined ? [] : [prior]), ...references])
    if (!isLabel(each)) throw fail("format", `'${where}': '${each}' is not a backup label`);
  if (labelType(label) !== type) throw fail("format", `'${where}': backup '${label}' has type '${type}'`);
  if (new Set(references).size < references.length)
    throw fail("format", `'${where}': backup '${label}' has a reference twice`);
  for (const wal of [archiveStart, archiveStop])
    if (wal !== undefined && wal !== null && parseWalName(wal)?.kind !== "segment")
      throw fail("format", `'${where}': '${wal}' is not the name of a WAL segment`);
  for (const lsn of [lsnStart, lsnStop]) if (lsn !== undefined) parseLsn(lsn);
}

function wrong(what: string, name: string, where: string): Error {
  return fail("format", `'${where}': '${name}' is not the name of a ${what} in a backup`, {
    hint: "Nothing was changed. Neither pgBackRest nor pgbackstop writes such a name: the manifest may be forged.",
  });
}

/** Checks the last part of a name with a known parent: not empty, `.` or `..`, and not too long. */
function isPlain(name: string, begin: number): boolean {
  const length = name.length - begin;
  if (length === 0 || name.length > NAME_LENGTH_MAX || name.includes("\0", begin)) return false;
  return name[begin] !== "." || !(length === 1 || (length === 2 && name[begin + 1] === "."));
}

function isPathName(
  name: string,
  paths: ReadonlySet<string>,
  targets: ReadonlyMap<string, unknown>,
  content: string,
): boolean {
  if (name === DATA || name === TABLESPACES) return true;
  const slash = name.lastIndexOf("/");
  if (slash === -1 || !isPlain(name, slash + 1)) return false;
  const parent = name.slice(0, slash);
  if (!paths.has(parent)) return false;
  if (parent === TABLESPACES) return TABLESPACE_NAME.test(name) && targets.has(name);
  if (TABLESPACE_NAME.test(parent)) return name.slice(slash + 1) === content;
  return !isBelowLinks(parent);
}

/** Other directories next to a tablespace's directory of this version are not the cluster's. */
function mayHoldFiles(path: string, paths: ReadonlySet<string>): boolean {
  return paths.has(path) && path !== TABLESPACES && !TABLESPACE_NAME.test(path) && !isBelowLinks(path);
}

function isBelowLinks(path: string): boolean {
  return path === `${DATA}/${TABLESPACES}`;
}

/** Files are sorted, with many per directory: a parent is looked up only when it differs from the previous row's. */
function checkFiles(
  { files, references }: NamedRows,
  paths: ReadonlySet<string>,
  where: string,
): { has(name: string): boolean } {
  const labels = new Set(references);
  let parent: string | null = null;
  let previous = "";
  let isSorted = true;
  for (const { name, reference, bundle } of viewsOf(files)) {
    const slash = name.lastIndexOf("/");
    if (parent === null || slash !== parent.length || !name.startsWith(parent)) {
      parent = name.slice(0, Math.max(slash, 0));
      if (!mayHoldFiles(parent, paths)) throw wrong("file", name, where);
    }
    if (!isPlain(name, slash + 1)) throw wrong("file", name, where);
    if (previous >= name) isSorted = false;
    previous = name;
    if (reference !== undefined && !labels.has(reference))
      throw fail("format", `'${where}': file '${name}' refers to unknown backup '${reference}'`);
    if (bundle !== undefined && bundle.id < 1)
      throw fail("format", `'${where}': file '${name}' is in bundle ${bundle.id}`);
  }
  if (isSorted) return { has: (name) => findSorted(files, name) };
  const names = new Set<string>();
  for (const { name } of viewsOf(files)) names.add(name);
  if (names.size < files.length) throw fail("format", `'${where}': a file occurs twice`);
  return names;
}

/** A set of a million names would cost more than these few lookups. */
function findSorted(files: FileList, name: string): boolean {
  const index = countBefore(files.length, (at) => nameAt(files, at) < name);
  return index < files.length && nameAt(files, index) === name;
}

function checkLink({ name, destination }: ManifestLink, paths: ReadonlySet<string>, where: string): void {
  const slash = name.lastIndexOf("/");
  const parent = name.slice(0, Math.max(slash, 0));
  const isLinkName = isBelowLinks(parent) ? /^[1-9]\d{0,9}$/.test(name.slice(slash + 1)) : mayHoldFiles(parent, paths);
  if (!isLinkName || !isPlain(name, slash + 1)) throw wrong("link", name, where);
  if (!isDestination(destination)) throw fail("format", `'${where}': link '${name}' leads to '${destination}'`);
}

function isDestination(path: string): boolean {
  return path !== "" && path.length <= NAME_LENGTH_MAX && !path.includes("\0");
}

function checkTarget(
  target: ManifestTarget,
  paths: ReadonlySet<string>,
  files: { has(name: string): boolean },
  where: string,
): void {
  const { name, type, path, file, tablespaceId } = target;
  if (!isDestination(path)) throw fail("format", `'${where}': target '${name}' has path '${path}'`);
  if (name === DATA && type === "path" && tablespaceId === undefined && file === undefined) return;
  if (tablespaceId !== undefined || TABLESPACE_NAME.test(name)) {
    if (
      type === "link" &&
      file === undefined &&
      name === `${TABLESPACES}/${tablespaceId}` &&
      TABLESPACE_NAME.test(name)
    )
      return;
    throw wrong("tablespace", name, where);
  }
  // Of a link to a file the backup holds the file, of one to a directory the directory's content.
  const isFile = file !== undefined;
  const slash = name.lastIndexOf("/");
  const isLinkName =
    type === "link" && mayHoldFiles(name.slice(0, Math.max(slash, 0)), paths) && isPlain(name, slash + 1);
  if (!isLinkName || (isFile ? paths.has(name) : files.has(name))) throw wrong("link", name, where);
  if (isFile && (file.includes("/") || !isPlain(file, 0)))
    throw fail("format", `'${where}': link '${name}' leads to file '${file}'`);
}
