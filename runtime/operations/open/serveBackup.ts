/**
 * The process that serves an opened backup: chooses and prepares it, or continues with what an earlier process left,
 * and answers the kernel until the directory is unmounted. It has no more rights than PostgreSQL's account.
 */
import { bootId } from "../../local/lockDomain";
import { closeSync, fsyncSync, openSync, readFileSync, rm, writeSync } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import type { Manifest } from "../../format/repository/manifest";
import { PG_CONTROL_READ_BYTES, type PgControl, parsePgControl } from "../../format/page/pgControl";
import { FuseDevice } from "../../fuse/device";
import type { Repository } from "../../repository/repository";
import { openSources } from "../restore/openSources";
import { checkPages, restorable } from "../restore/restore";
import type { Sources } from "../restore/sources";
import { Fetcher, isSmall } from "./fetcher";
import { Journal, renderEntry } from "./journal";
import { OpenFiles } from "./openFiles";
import { loadState, type OpenLocation, type OpenState, type ProcessId, saveState } from "./openLocation";
import { makeSkeleton } from "./skeleton";
import { HIDDEN_CONTROL, pathInData } from "./tree";
import { openUpper, type Target, type UpperDirectory } from "./upperDirectory";

export interface ServeOptions {
  readonly location: OpenLocation;
  /** An opened /dev/fuse, which another process mounts. */
  readonly deviceFd: number;
  readonly set: string | undefined;
  readonly restoreCommand: string;
  readonly self: ProcessId;
}

/** Resolves when the directory was unmounted. */
export async function serveBackup(repos: readonly Repository[], options: ServeOptions, ctx: Context): Promise<void> {
  const { location, self } = options;
  const state = await loadState(location);
  if (state === null) throw fail("fileMissing", `nothing is prepared in '${location.folder}'`);
  const recovery = { ...state.recovery, restoreCommand: options.restoreCommand };
  const set = state.backup?.label ?? options.set;
  const sources = await openSources(repos, { set, recovery }, ctx);
  const manifest = restorable(sources.manifest, false, ctx);
  sources.requireReadable(manifest.files);
  checkPages(manifest, { isZeroed: () => false }, false, ctx);
  const rows = identityOf(manifest);
  if (state.backup !== undefined && state.backup.rows !== rows)
    throw fail("backupMismatch", `backup ${manifest.label} in ${sources.repo.name} is not the one that was opened`, {
      hint: "Close it, and open it again.",
    });
  const repo = (key: number): Repository => repos.find((each) => each.key === key) as Repository;
  const parts = { upper: location.upper, sources, manifest, repo };
  if (state.phase === "preparing") await prepare(location, parts, recovery, ctx);
  const served = servable(location, parts, state, ctx);
  await saveState(location, { ...preparedState(state, sources, manifest, rows, served.control), server: self });
  const device = FuseDevice.serve(options.deviceFd, served.files, ctx);
  if (state.phase !== "used") void served.fetcher.prefetch(startTargets(served.upper.targets));
  await device.ended;
  ctx.log.info("unmounted");
  served.upper.close();
}

interface Parts {
  readonly upper: string;
  readonly sources: Sources;
  readonly manifest: Manifest;
  repo(key: number): Repository;
}

/** Begins again: what a killed preparation left holds no writes. */
async function prepare(
  location: OpenLocation,
  parts: Parts,
  recovery: OpenState["recovery"] & { readonly restoreCommand: string },
  ctx: Context,
): Promise<void> {
  await rm(location.upper, { recursive: true, force: true });
  await rm(location.journal, { force: true });
  const fd = openSync(location.journal, "wx", 0o600);
  try {
    writeSync(fd, renderEntry({ kind: "session", boot: bootId() }));
    await makeSkeleton({ ...parts, journal: new Journal(fd) }, recovery, ctx);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  ctx.log.info(`prepared ${parts.manifest.files.length} files`);
}

function preparedState(
  state: OpenState,
  { repo }: Sources,
  manifest: Manifest,
  rows: string,
  { dataChecksums }: PgControl,
): OpenState {
  return {
    ...state,
    phase: state.phase === "preparing" ? "prepared" : state.phase,
    backup: {
      label: manifest.label,
      repo: repo.name,
      pgVersion: manifest.pg.version,
      sizeBytes: manifest.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      rows,
      verified: verifiedText(manifest, dataChecksums),
    },
  };
}

/** What the user may believe when. */
function verifiedText({ files }: Manifest, dataChecksums: boolean): string {
  const large = files.filter((row) => row.block === undefined && !isSmall(row)).length;
  if (large === 0) return "each block and file by its checksum, before it is read";
  return dataChecksums
    ? `each block and small file by its checksum, pages of ${large} large files by their page checksums, before they are read`
    : `each block and small file by its checksum; ${large} large files are read only when all of each has proved right`;
}

interface Served {
  readonly upper: UpperDirectory;
  readonly files: OpenFiles;
  readonly fetcher: Fetcher;
  readonly control: PgControl;
}

/** The upper directory with what the journal knows, after unfinished steps were carried out. */
function servable(location: OpenLocation, parts: Parts, { account }: OpenState, ctx: Context): Served {
  const upper = openUpper(location, parts.manifest.files, bootId(), () => ctx.clock.nowMs());
  const control = controlOf(location);
  const fetcher = new Fetcher({ ...parts, pages: control, spoolPath: location.folder }, upper.targets, ctx);
  const report = (text: string, error: unknown): void => {
    const { message, name } = toBackupError(error);
    ctx.log.warn(`${text}: [${name}] ${message}`);
  };
  return { upper, files: new OpenFiles(upper.tree, upper.journal, account, fetcher, report), fetcher, control };
}

function controlOf({ upper }: OpenLocation): PgControl {
  return parsePgControl(readFileSync(`${upper}/${HIDDEN_CONTROL}`).subarray(0, PG_CONTROL_READ_BYTES));
}

/** Shared files and the catalogs of all databases: system catalogs have the first numbers. */
function startTargets(targets: readonly Target[]): Target[] {
  const FIRST_USER_OID = 16_384;
  let sizeBytes = 0;
  return targets.filter(({ origin: { row } }) => {
    const path = pathInData(row.name);
    const [, number] = /^base\/\d+\/(\d+)/.exec(path) ?? [];
    const isNeeded =
      /^(global|pg_xact|pg_multixact|pg_commit_ts|pg_subtrans)\//.test(path) ||
      /^base\/\d+\/(pg_filenode\.map|PG_VERSION)$/.test(path) ||
      (number !== undefined && Number(number) < FIRST_USER_OID);
    if (!isNeeded || !isSmall(row) || sizeBytes > START_BYTES_MAX) return false;
    sizeBytes += row.sizeRepoBytes;
    return true;
  });
}

const START_BYTES_MAX = 64 * 1024 * 1024;

/** The same for the same rows in the same order. */
function identityOf({ files, label }: Manifest): string {
  const rows = files.map(({ name, sha1, sizeBytes }) => `${name}\0${sizeBytes}\0${sha1}\n`);
  return sha1Hex(Buffer.from(`${label}\n${rows.join("")}`));
}
