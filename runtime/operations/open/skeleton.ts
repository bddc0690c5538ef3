/**
 * Makes the upper directory of a backup that is opened for the first time: all its names, sparse files of full size,
 * and what a restore changes: recovery settings, and a pg_control that no server accepts without backup_label.
 */
import {
  chmodSync,
  closeSync,
  constants,
  copyFile,
  existsSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "../../local/nodeFiles";
import { dirname } from "node:path";
import { utf8 } from "../../base/bytes";
import type { Context } from "../../base/context";
import { syncDirectory } from "../../local/atomicWrite";
import type { Manifest, ManifestFile } from "../../format/repository/manifest";
import { invalidateCheckpoint, recoveryLimitsOf } from "../../format/page/pgControl";
import type { Repository } from "../../repository/repository";
import { AUTO_CONF, writeSettings } from "../restore/recoverySettings";
import { CONTROL_FILE } from "../restore/restorePlan";
import type { RecoveryRequest } from "../restore/recovery";
import type { Sources } from "../restore/sources";
import { Fetcher } from "./fetch/fetcher";
import type { Journal } from "./journal";
import { originOf, StoredFile } from "./storedFile";
import { HIDDEN_CONTROL, pathInData } from "./tree";

export interface SkeletonParts {
  readonly upper: string;
  readonly restoredConf: string;
  /** The restore_command while it is opened; null keeps the restored one, for production. */
  readonly asking: string | null;
  readonly journal: Journal;
  readonly sources: Sources;
  /** Without files that are not restored. */
  readonly manifest: Manifest;
  repo(key: number): Repository;
}

/** Settings and their like are read by us too, before anything is mounted. */
const EAGER_BYTES_MAX = 1024 * 1024;

function isEager({ name, sizeBytes }: ManifestFile): boolean {
  const path = pathInData(name);
  if (name === CONTROL_FILE) return true;
  return sizeBytes <= EAGER_BYTES_MAX && (!path.includes("/") || path.endsWith(".conf"));
}

/** Names, sizes and modes; the rows whose content is fetched at once. */
export async function makeSkeleton(parts: SkeletonParts, recovery: RecoveryRequest, ctx: Context): Promise<void> {
  const { manifest, upper } = parts;
  mkdirSync(upper, { mode: 0o700 });
  const directories = [...manifest.paths].sort((left, right) => (left.name < right.name ? -1 : 1));
  for (const { mode, name } of directories) {
    if (name === "pg_data") chmodSync(upper, mode & 0o750);
    else makeDirectory(`${upper}/${pathInData(name)}`, mode);
  }
  const eager: { readonly index: number; readonly row: ManifestFile }[] = [];
  for (const [index, row] of [...manifest.files].entries()) {
    makeFile(upper, row);
    if (row.sizeBytes > 0 && isEager(row)) eager.push({ index, row });
  }
  await fetchEager(parts, eager, ctx);
  protectControl(upper, manifest.options.online);
  const base = manifest.paths.find(({ name }) => name === "pg_data");
  const mode = (base?.mode ?? 0o700) & 0o644;
  for (const name of ["standby.signal", "recovery.signal"]) rmSync(`${upper}/${name}`, { force: true });
  const limits = recoveryLimitsOf(readFileSync(`${upper}/${HIDDEN_CONTROL}`));
  await writeSettings(recovery, { dataDirectory: upper, mode, owner: null, limits }, ctx);
  const autoConf = `${upper}/${AUTO_CONF}`;
  if (existsSync(autoConf)) {
    await copyFile(autoConf, parts.restoredConf);
    const { asking } = parts;
    if (asking !== null) {
      const text = readFileSync(autoConf, "latin1");
      writeFileSync(
        autoConf,
        text.replace(`'${settingText(recovery.restoreCommand)}'`, () => `'${settingText(asking)}'`),
        "latin1",
      );
    }
  }
  await settle([`${upper}/${HIDDEN_CONTROL}`, autoConf, parts.restoredConf]);
}

/**
 * What is written here, and not fetched, is on the disk before anybody hears that the backup is prepared. The sparse
 * files have no content; whether their names have survived a loss of power shows when the directory is opened again.
 */
async function settle(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    if (!existsSync(path)) continue;
    const fd = openSync(path, "r");
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    await syncDirectory(dirname(path));
  }
}

function settingText(value: string): string {
  return Buffer.from(utf8(value)).toString("latin1").replaceAll("'", "''");
}

function makeDirectory(path: string, mode: number): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, (mode & 0o777) | 0o700);
}

function makeFile(upper: string, { mode, name, sizeBytes }: ManifestFile): void {
  const path = `${upper}/${pathInData(name)}`;
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const open = (): number => openSync(path, flags, 0o600);
  let fd: number;
  try {
    fd = open();
  } catch {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    fd = open();
  }
  try {
    ftruncateSync(fd, sizeBytes);
  } finally {
    closeSync(fd);
  }
  if (mode !== 0o600) chmodSync(path, (mode & 0o777) | 0o600);
}

async function fetchEager(
  { journal, repo, sources, upper }: SkeletonParts,
  eager: readonly { readonly index: number; readonly row: ManifestFile }[],
  ctx: Context,
): Promise<void> {
  const targets = eager.map(({ index, row }) => {
    const path = `${upper}/${pathInData(row.name)}`;
    const file = new StoredFile(() => path, row.sizeBytes, journal);
    const origin = originOf(index, row);
    file.bind(origin);
    return { file, origin };
  });
  // No page is believed by its own checksum yet: pg_control says whether there are any.
  const pages = { pageSizeBytes: 8192, dataChecksums: false };
  const fetcher = new Fetcher({ sources, repo, pages, spoolPath: dirname(upper) }, targets, ctx);
  for (const { file, origin } of targets) {
    await fetcher.pages(file, origin, origin.pages.allMissing());
    await file.own();
  }
}

/** Under the name that no server looks for. */
function protectControl(upper: string, isOnline: boolean): void {
  const path = `${upper}/${HIDDEN_CONTROL}`;
  renameSync(`${upper}/${pathInData(CONTROL_FILE)}`, path);
  // Of the same length: nothing of the old content stays.
  if (isOnline) writeFileSync(path, invalidateCheckpoint(readFileSync(path)), { flag: "r+" });
}
