/**
 * The process that serves an opened backup: chooses and prepares it, or continues with what an earlier process left,
 * and answers the kernel until the directory is unmounted. It has no more rights than PostgreSQL's account.
 */
import type { LockFile } from "../../local/lockFile";
import { requireHoles } from "../../local/punchHoles";
import { untilAborted, withTimeTo } from "../../base/clock";
import type { ProgramEnd } from "../../local/program";
import { textIfThere } from "../../local/systemError";
import { rewrite } from "../../local/atomicWrite";
import { closeSync, fsyncSync, openSync, readFileSync, rm, statfs } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import type { Manifest } from "../../format/repository/manifest";
import { PG_CONTROL_READ_BYTES, type PgControl, parsePgControl } from "../../format/page/pgControl";
import { FuseDevice } from "../../fuse/device";
import type { Repository } from "../../repository/repository";
import { SharedPages } from "../clone/sharedPages";
import { moveOldWal, saveOldWal } from "../recover/oldWal";
import { withSettings } from "../recover/productionSettings";
import { given } from "../../base/given";
import type { ServerHistory } from "../../recoverability/followedTimeline";
import { openSources } from "../restore/openSources";
import { recoveryAlong } from "../restore/timelines";
import { AUTO_CONF } from "../restore/recoverySettings";
import { checkPages, clearSpool, restorable } from "../restore/restore";
import type { Sources } from "../restore/sources";
import { askingCommand } from "./askForWal";
import { findServer } from "./closeBackup";
import { Fetcher, isSmall } from "./fetch/fetcher";
import { Hydration, missingBytes } from "./hydration";
import { Journal } from "./journal";
import { type KernelMemoryParts, readIntoMemory } from "./kernelMemory";
import { type Fetch, OpenFiles } from "./openFiles";
import { PageCache } from "./pageCache";
import {
  bootOf,
  loadState,
  type OpenLocation,
  type OpenState,
  type ProcessId,
  type Production,
  saveProgress,
  saveState,
  syncFileSystem,
} from "./openLocation";
import { makeSkeleton, type SkeletonParts } from "./skeleton";
import { HIDDEN_CONTROL, pathInData } from "./tree";
import { shareWith } from "./storedFile";
import { isWhole, moveServerWal, openUpper, type Target, type UpperDirectory } from "./upperDirectory";

export interface ServeOptions {
  readonly location: OpenLocation;
  /** An opened /dev/fuse, which another process mounts. */
  readonly deviceFd: number;
  readonly set: string | undefined;
  /** For the plain data directory that it may become, whose server reads the repositories itself. */
  readonly restoreCommand: string;
  /** The program that asks for WAL. */
  readonly node: string;
  /** Spool of the stanza, with WAL that was fetched for the old data. */
  readonly walSpoolPath: string;
  /** Also what nobody reads is fetched. */
  readonly fetchesAll: boolean;
  /** Space for fetched pages; undefined keeps all of them. */
  readonly cacheBytesMax: number | undefined;
  /** A server runs in it, so that its WAL is better beside the mount. */
  readonly start: boolean;
  /** Directory of fetched pages that clones share; undefined shares none. */
  readonly share: string | undefined;
  /** This cluster's server on this machine; null if the machine has no such server. */
  readonly server: ServerHistory | null;
  readonly self: ProcessId;
  /** The right to serve the files. */
  readonly lock: LockFile;
  program(args: readonly string[]): Promise<ProgramEnd>;
  /** Memory that is free for this process. */
  availableBytes(): number;
  /** Serves WAL for the recovery of this cluster, which needs `firstWal` first. */
  offerWal(control: PgControl, firstWal: string | null): Promise<WalOffer>;
}

export interface WalOffer {
  /** Waits for running answers until the signal aborts. */
  close(enough: AbortSignal): Promise<void>;
}

/** Resolves when the directory was unmounted. */
export async function serveBackup(repos: readonly Repository[], options: ServeOptions, ctx: Context): Promise<void> {
  const { location, self } = options;
  const before = await loadState(location);
  if (before === null) throw fail("fileMissing", `nothing is prepared in '${location.folder}'`);
  const state = { ...before, fetchesAll: before.fetchesAll || options.fetchesAll };
  if (options.cacheBytesMax !== undefined) await requireHoles(location.folder);
  const isPrepared = state.phase !== "preparing";
  const served =
    isPrepared && isWhole(location)
      ? await servedAlone(state, options, ctx)
      : await servedFrom(repos, state, options, ctx);
  // Production's own restore_command reads the repositories.
  const wal = state.production === undefined ? await options.offerWal(controlOf(location), served.firstWal) : null;
  await saveState(location, { ...served.state, server: self });
  const ended = new AbortController();
  const device = FuseDevice.serve(options.deviceFd, served.files, ctx);
  const working = work(options, served, { ...ctx, signal: AbortSignal.any([ctx.signal, ended.signal]) });
  await device.ended;
  ctx.log.info("unmounted");
  ended.abort();
  // A repository that hangs must not delay a close.
  await withTimeTo(WORK_END_MS, ctx.clock, (enough) =>
    Promise.all([Promise.race([working, untilAborted(enough)]), wal?.close(enough)]),
  );
  served.upper.close();
}

const WORK_END_MS = 2000;

interface Served {
  readonly state: OpenState;
  /** No server has run in it. */
  readonly isFirst: boolean;
  readonly upper: UpperDirectory;
  readonly files: OpenFiles;
  /** Null if everything is there. */
  readonly fetcher: Fetcher | null;
  /** Null if the recovery may be over. */
  readonly firstWal: string | null;
}

/** What happens behind the readers. */
async function work(options: ServeOptions, served: Served, ctx: Context): Promise<void> {
  const { location } = options;
  const { fetcher, isFirst, state, upper } = served;
  const hydration = fetcher === null ? null : hydrationOf(options, upper, fetcher, ctx);
  let isDone = fetcher === null;
  const ahead = async (): Promise<void> => {
    if (isFirst) await fetcher?.prefetch(startTargets(upper.targets));
    if (hydration !== null) {
      if (!state.fetchesAll) return;
      await hydration.run();
      isDone = true;
    }
    // Production soon runs on the plain files.
    if (options.start && state.production === undefined) await readIntoMemory(memoryParts(options, served), ctx);
  };
  const report = async (): Promise<void> => {
    const totalBytes = state.backup?.sizeBytes ?? 0;
    for (let last = ""; ; await ctx.clock.sleep(REPORT_MS, ctx.signal)) {
      const trouble = hydration?.trouble ?? null;
      const progress = {
        totalBytes,
        missingBytes: missingBytes(upper.targets),
        isWhole: isDone,
        fetchesAll: state.fetchesAll,
        trouble: trouble === null ? null : `[${trouble.name}] ${trouble.message}`,
      };
      const text = JSON.stringify(progress);
      if (text === last) continue;
      try {
        await saveProgress(location, progress);
        last = text;
      } catch (error) {
        // It is due again; a full disk has space later.
        ctx.log.detail(`unable to write '${location.progress}': ${toBackupError(error).message}`);
      }
    }
  };
  const quietly = async (task: Promise<void>): Promise<void> => {
    try {
      await task;
    } catch (error) {
      // Readers are served all the same.
      if (!ctx.signal.aborted) ctx.log.warn(toBackupError(error).message);
    }
  };
  await Promise.all([quietly(ahead()), quietly(report())]);
}

const REPORT_MS = 1000;

function memoryParts({ availableBytes, location, program }: ServeOptions, { state, upper }: Served): KernelMemoryParts {
  const isRunning = (): boolean => findServer(location, state.account) !== null;
  return { at: location.at, root: upper.tree.root, isRunning, availableBytes, program };
}

function hydrationOf(
  { location, program }: ServeOptions,
  upper: UpperDirectory,
  fetcher: Fetcher,
  ctx: Context,
): Hydration {
  return new Hydration(
    {
      targets: upper.targets,
      journal: upper.journal,
      behind: (target, runs) => fetcher.behind(target, runs),
      isAwaited: () => fetcher.isAwaited,
      sync: () => syncFileSystem(location, { program }),
      freeBytes: async () => {
        const { bavail, bsize } = await statfs(location.upper);
        return bavail * bsize;
      },
    },
    ctx,
  );
}

/** Everything is there: no repository is asked. */
async function servedAlone(state: OpenState, { location, start }: ServeOptions, ctx: Context): Promise<Served> {
  await moveServerWal(location, start && state.production === undefined);
  const upper = openUpper(location, [], bootOf(location.folder), () => ctx.clock.nowMs());
  ctx.log.info("everything is here: no repository is asked");
  const none: Fetch = { pages: () => Promise.resolve(), readTo: () => {} };
  const files = filesOf(upper, state, none, ctx);
  return { state, isFirst: false, upper, files, fetcher: null, firstWal: null };
}

async function servedFrom(
  repos: readonly Repository[],
  state: OpenState,
  options: ServeOptions,
  ctx: Context,
): Promise<Served> {
  const { cacheBytesMax, location, lock, node, restoreCommand, server, set, share, start } = options;
  const asked = { ...state.recovery, restoreCommand };
  const { backup } = state;
  const choice = { set: backup?.label ?? set, recovery: asked, server };
  // The timeline of a backup that is open was chosen with it.
  const kept = { ...choice, recovery: { ...asked, targetTimeline: "current" } };
  const { followed, sources } = await openSources(repos, backup === undefined ? choice : kept, ctx);
  const recovery = recoveryAlong(asked, followed);
  const manifest = restorable(sources.manifest, false, ctx);
  sources.requireReadable(manifest.files);
  checkPages(manifest, { isZeroed: () => false }, false, ctx);
  const rows = identityOf(manifest);
  if (state.backup !== undefined && state.backup.rows !== rows)
    throw fail("backupMismatch", `backup ${manifest.label} in ${sources.repo.name} is not the one that was opened`, {
      hint: "Close it, and open it again.",
    });
  const repo = (key: number): Repository => repos.find((each) => each.key === key) as Repository;
  const asking = state.production === undefined ? askingCommand(location, node) : null;
  const parts = { upper: location.upper, restoredConf: location.restoredConf, asking, sources, manifest, repo };
  if (state.phase === "preparing") {
    await prepare(location, parts, recovery, ctx);
    if (state.production !== undefined) await prepareProduction(options, state, state.production);
  }
  // A backup with WAL of its own has pages there, which are fetched.
  const hasWal = manifest.files.some(({ name }) => name.startsWith("pg_data/pg_wal/"));
  await moveServerWal(location, start && state.production === undefined && !hasWal);
  const upper = openUpper(location, [...manifest.files], bootOf(location.folder), () => ctx.clock.nowMs());
  // What is shared does not outlast this process, but everything that was fetched has to.
  if (share !== undefined && !state.fetchesAll)
    shareAll(upper.targets, SharedPages.open({ directory: share, boot: bootOf(share), rows }));
  const control = controlOf(location);
  const fetcher = new Fetcher(
    { ...parts, pages: control, spoolPath: location.folder, cacheBytesMax },
    upper.targets,
    ctx,
  );
  const prepared = preparedState(state, sources, manifest, rows, control, recovery.targetTimeline);
  const cache =
    cacheBytesMax === undefined
      ? null
      : new PageCache({ ...upper, folder: location.folder, sizeBytesMax: cacheBytesMax, lock }, ctx);
  const files = filesOf(upper, state, cache === null ? fetcher : cache.around(fetcher), ctx);
  const isFirst = state.phase !== "used";
  const firstWal = isFirst ? (manifest.archiveStart ?? null) : null;
  return { state: prepared, isFirst, upper, files, fetcher, firstWal };
}

function shareAll(targets: readonly Target[], pages: SharedPages): void {
  for (const { file, origin } of targets) {
    shareWith(origin, pages.file(origin.index, origin.row.sizeBytes));
    // A start fetches many of these without a look at what others have.
    if (isSmall(origin.row)) file.missingIn(0, origin.row.sizeBytes);
  }
}

function filesOf({ journal, tree }: UpperDirectory, state: OpenState, fetch: Fetch, ctx: Context): OpenFiles {
  const report = (text: string, error: unknown): void => {
    const { message, name } = toBackupError(error);
    ctx.log.warn(`${text}: [${name}] ${message}`);
  };
  // In production a full disk must fail the write, and not the checkpoint, which would end the server.
  return new OpenFiles(tree, journal, state.account, fetch, report, state.production === undefined);
}

/** Begins again: what a killed preparation left holds no writes. */
async function prepare(
  location: OpenLocation,
  parts: Omit<SkeletonParts, "journal">,
  recovery: OpenState["recovery"] & { readonly restoreCommand: string },
  ctx: Context,
): Promise<void> {
  for (const path of [location.upper, location.serverWal, location.journal])
    await rm(path, { recursive: true, force: true });
  const fd = openSync(location.journal, "wx", 0o600);
  try {
    const journal = new Journal(fd);
    journal.append({ kind: "session", boot: bootOf(location.folder) });
    await makeSkeleton({ ...parts, journal }, recovery, ctx);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  ctx.log.info(`prepared ${parts.manifest.files.length} files`);
}

/**
 * What a restore leaves for production, before any server can start: WAL of the old data, and no WAL that was fetched
 * for it. All names are on the disk before a server writes its first page: no loss of power may take an acknowledged
 * commit because a name is missing.
 */
async function prepareProduction(
  { location, program, walSpoolPath }: ServeOptions,
  { account }: OpenState,
  { oldWal, settings }: Production,
): Promise<void> {
  const { upper } = location;
  await clearSpool(walSpoolPath);
  const autoConf = `${upper}/${AUTO_CONF}`;
  await rewrite(autoConf, withSettings((await textIfThere(autoConf)) ?? "", settings));
  if (oldWal !== null) {
    await saveOldWal(oldWal, upper, { ...account, mode: 0o700 });
    await moveOldWal(upper, `${upper}/pg_wal`);
  }
  await syncFileSystem(location, { program });
}

function preparedState(
  state: OpenState,
  { repo }: Sources,
  manifest: Manifest,
  rows: string,
  { dataChecksums }: PgControl,
  followed: string | undefined,
): OpenState {
  return {
    ...state,
    // Production may be started by anybody once it is mounted: its files may hold writes from then on.
    phase: state.production !== undefined ? "used" : state.phase === "preparing" ? "prepared" : state.phase,
    backup: {
      label: manifest.label,
      repo: repo.name,
      systemId: String(manifest.pg.systemId),
      pgVersion: manifest.pg.version,
      sizeBytes: manifest.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      rows,
      verified: verifiedText(manifest, dataChecksums),
      tablespaces: manifest.targets.filter(({ tablespaceId }) => tablespaceId !== undefined),
      ...given({ timeline: state.backup === undefined ? followed : state.backup.timeline }),
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
