/**
 * The start of a backup in every repository: earlier attempts, the label, the manifest, and the files to copy.
 *
 * One repository may resume an interrupted backup, another may build on a prior, a third may need everything. Each gets
 * its own plan over the one scan.
 */
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { mapParallel } from "../../base/parallel";
import { formatSize } from "../../base/units";
import type { SourceIdentity } from "../../format/repository/attemptFile";
import type { CompressSpec } from "../../format/codec/compress";
import { type BackupType, fullLabelOf } from "../../format/repository/label";
import type { Manifest, ManifestFile } from "../../format/repository/manifest";
import { checkNames } from "../../format/repository/manifestNames";
import type { PgControl } from "../../format/page/pgControl";
import type { Scan } from "../../postgres/dataDirectory";
import type { BackupStart } from "../../postgres/session";
import { findAttempt, saveAttempt } from "../../repository/attempt";
import {
  findNewestHistoryLabel,
  hasManifest,
  listLabels,
  removeUnfinished,
  saveManifestCopy,
} from "../../repository/backupStore";
import { isUnfinishedCopy, leaveTombstone } from "../../repository/expireStore";
import { newSubPass, type Repository } from "../../repository/repository";
import { isHeldAt } from "../expire/hold";
import { loadHolds } from "../expire/holdRecord";
import type { JobPool } from "../shared/jobs";
import { storedAt } from "../restore/restorePlan";
import { chooseFiles, type DeltaInput, findDeltaReason, findFutureReason } from "./fileChoices";
import { type BlockSpec, chooseLabels, type LabelChoice, newManifest } from "./backupPlan";
import type { PlannedFiles } from "./plannedFiles";
import type { Prior } from "./prior";
import { overwritesInOneStep } from "../../repository/publish";
import { cleanResumed, findResumable, type Resumable, rowsToKeep, withResumed } from "./resume";
import type { BackupRun, OpenBackup } from "./run";
import { sharersOf, withSharers } from "./sharers";

export interface BeginOptions {
  readonly archiveCheck: boolean;
  readonly archiveCopy: boolean;
  readonly delta: boolean;
  readonly resume: boolean;
  readonly checksumPage: boolean | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  readonly bufferSizeBytes: number;
  readonly processMax: number;
}

export interface Begin {
  readonly scan: Scan;
  readonly source: SourceIdentity;
  readonly startedAtS: number;
  /** When the wait for the copy's first second began. */
  readonly scannedAtS: number;
  readonly secondOver: Promise<void>;
  /** Null for a backup of a server that is down. */
  readonly begun: BackupStart | null;
  readonly control: PgControl;
  readonly databases: Manifest["databases"];
  readonly times: DeltaInput["times"];
  /**
   * Prior manifests by repository key; full backups have none. Each is removed after its comparison with the scan,
   * because it has as many rows as there are files.
   */
  readonly priors: Map<number, Manifest>;
  readonly options: BeginOptions;
}

const SECOND_MS = 1000;
/** Stock's default; nothing of ours is compressed for a network protocol. */
const COMPRESS_LEVEL_NETWORK = 1;

/** Loads the manifests that backups build on, by repository. Says why a repository gets a full backup instead. */
export async function findPriors(
  run: BackupRun,
  type: BackupType,
  find: (open: OpenBackup) => Promise<Prior>,
  ctx: Context,
): Promise<Map<number, Manifest>> {
  const priors = new Map<number, Manifest>();
  if (type === "full") return priors;
  await run.forEach(async (open) => {
    const prior = await find(open);
    if (prior.manifest === null) {
      ctx.log.warn(`${open.repo.name}: ${prior.reason}, ${type} backup has been changed to full`);
      return;
    }
    ctx.log.info(
      `${open.repo.name}: last backup label = ${prior.manifest.label}, version = ${prior.manifest.backrestVersion}`,
    );
    priors.set(open.repo.key, prior.manifest);
  });
  run.requireOne();
  return priors;
}

/** Gives every repository its label, plan and manifest in progress. */
export async function beginInRepositories(
  run: BackupRun,
  begin: Begin,
  type: BackupType,
  pool: JobPool,
  ctx: Context,
): Promise<void> {
  const { labels, resumed } = await settleLabels(run, begin, type, ctx);
  if (labels.waitSeconds > 0) {
    await begin.secondOver;
    await ctx.clock.sleep(labels.waitSeconds * SECOND_MS, ctx.signal);
  }
  const future = begin.options.delta ? null : findFutureReason(begin.scan.files, begin.scannedAtS);
  if (future !== null) ctx.log.warn(`${future}, enabling delta checksum`);
  const sharers = run.alive.map(({ repo }) => repo.key);
  await run.forEach(async (open) => {
    const label = labels.labels.get(open.repo.key);
    if (label === undefined) return;
    await beginOne(
      run,
      open,
      begin,
      {
        label,
        type,
        waitSeconds: labels.waitSeconds,
        delta: begin.options.delta || future !== null,
        resumed,
        sharers,
        pool,
      },
      ctx,
    );
  });
  run.requireOne();
}

interface One {
  readonly label: string;
  readonly type: BackupType;
  readonly waitSeconds: number;
  readonly delta: boolean;
  readonly resumed: ReadonlyMap<number, Resumable>;
  readonly sharers: readonly number[];
  readonly pool: JobPool;
}

async function beginOne(run: BackupRun, open: OpenBackup, begin: Begin, one: One, ctx: Context): Promise<void> {
  const { repo, historyId, infoPass, lease } = open;
  const { scan, source, begun, options } = begin;
  const { prior, type, delta, checkPages, files, block } = compareWithPrior(repo, begin, one, ctx);
  const resumable = one.resumed.get(repo.key) ?? null;
  const resumed = resumable?.manifest ?? null;
  await lease.check();
  await saveAttempt(repo, one.label, { lease, source, pass: infoPass }, ctx);
  // A host that has taken over since the first check may not have seen the file, and may use this label.
  await lease.check();
  if (resumable !== null && resumed !== null) {
    const isCompared = delta || !resumable.isSameSource;
    const rows = rowsToKeep(scan.files, resumed, isCompared);
    if (!overwritesInOneStep(repo)) await cleanResumed(repo, resumed, rows, lease, ctx);
    withResumed(files, await goodRows(repo, resumed, [...rows.values()], one.pool, ctx), isCompared);
  }
  const fresh = newManifest({
    label: one.label,
    prior,
    type,
    scan,
    files: [],
    startedAtS: begin.startedAtS + one.waitSeconds,
    copyStartedAtS: begin.scannedAtS + 1 + one.waitSeconds,
    begun,
    pg: manifestPg(historyId, begin.control),
    databases: begin.databases,
    options: manifestOptions(repo, begin, checkPages, delta),
    compress: compressFor(repo, prior, type, ctx),
    cipherPass: infoPass === null ? null : (prior?.cipherPass ?? resumed?.cipherPass ?? newSubPass(ctx)),
    bundle: repo.bundle !== null,
    blockIncr: block !== null,
    annotations: options.annotations,
  });
  const manifest = withSharers(fresh, one.sharers);
  await lease.keep();
  const planned = { ...manifest, files: files.list(new Set()) };
  // Before anything is copied.
  requireNames(planned);
  await saveManifestCopy(repo, planned, infoPass, ctx);
  run.begin(repo.key, { manifest, files, bundle: repo.bundle, block });
}

interface Compared {
  /** Without its rows. */
  readonly prior: Manifest | null;
  readonly type: BackupType;
  readonly delta: boolean;
  readonly checkPages: boolean;
  readonly files: PlannedFiles;
  readonly block: BlockSpec | null;
}

/** Compares the scan with the repository's prior backup, then releases the prior. */
function compareWithPrior(repo: Repository, begin: Begin, one: One, ctx: Context): Compared {
  const { scan, begun, times } = begin;
  const prior = begin.priors.get(repo.key) ?? null;
  begin.priors.delete(repo.key);
  const type = prior === null ? "full" : one.type;
  const reason =
    one.delta || prior === null
      ? null
      : findDeltaReason({
          files: scan.files,
          prior,
          ...(begun === null ? {} : { archiveStart: begun.walName }),
          times,
        });
  if (reason !== null) ctx.log.warn(`${repo.name}: ${reason}, enabling delta checksum`);
  const delta = one.delta || reason !== null;
  const checkPages = checksPages(repo, prior, type, begin, ctx);
  const files = chooseFiles({ files: scan.files, prior, delta, bundle: repo.bundle !== null, checkPages });
  return {
    prior: prior === null ? null : { ...prior, files: [] },
    type,
    delta,
    checkPages,
    files,
    block: blockSpecOf(repo, prior),
  };
}

interface Labels {
  readonly labels: LabelChoice;
  /** The attempts to resume, by repository. */
  readonly resumed: ReadonlyMap<number, Resumable>;
}

/**
 * One run has one full label. An attempt is resumed only under that label: its label is later than all labels of this
 * run's repositories, and every repository that began the attempt is in this run. Otherwise two repositories would list
 * different backups under one name.
 */
async function settleLabels(run: BackupRun, begin: Begin, type: BackupType, ctx: Context): Promise<Labels> {
  const known = new Map<number, readonly string[]>();
  const attempts = new Map<number, Resumable>();
  const taken = new Set<string>();
  await run.forEach(async (open) => {
    const left = await sortOut(open, begin, ctx);
    known.set(open.repo.key, left.finished);
    for (const label of left.taken) taken.add(label);
    if (left.attempt !== null) attempts.set(open.repo.key, left.attempt);
  });
  // After a sleep the labels may be those of another host, which has taken a repository over. Only that one leaves.
  await run.keepLeases();

  const asked = new Set(run.alive.map(({ repo }) => repo.key));
  await run.forEach(async (open) => {
    const { repo } = open;
    const attempt = attempts.get(repo.key)?.manifest;
    const absent = attempt === undefined ? [] : sharersOf(attempt).filter((key) => !asked.has(key));
    if (attempt === undefined || absent.length === 0) return;
    attempts.delete(repo.key);
    await removeAttempt(
      open,
      attempt.label,
      `${absent.map((key) => `repo${key}`).join(", ")} may have the complete backup and is not part of this run`,
      ctx,
    );
  });
  const newest = [...known.values()].flat().reduce((max, label) => (label > max ? label : max), "");
  const labels = [...attempts.values()].map(({ manifest }) => manifest.label).filter((label) => label > newest);
  const chosen = labels.sort().at(-1);
  await run.forEach(async (open) => {
    const { repo } = open;
    const attempt = attempts.get(repo.key)?.manifest;
    if (attempt === undefined) return;
    if (attempt.label === chosen) {
      const note = "of same type exists -- invalid files will be removed then the backup will resume";
      ctx.log.warn(`${repo.name}: resumable backup ${attempt.label} ${note}`);
    } else {
      attempts.delete(repo.key);
      await removeAttempt(open, attempt.label, "another repository of this run has a newer backup", ctx);
    }
  });
  const needs = run.alive.map(({ repo }) => {
    const prior = begin.priors.get(repo.key);
    const base = { repoIndex: repo.key, known: known.get(repo.key) ?? [] };
    return prior === undefined
      ? { ...base, type: "full" as const, fullLabel: null }
      : { ...base, type, fullLabel: fullLabelOf(prior.label) };
  });
  const choice = chooseLabels(
    begin.startedAtS,
    chosen === undefined ? needs : needs.filter((need) => need.fullLabel !== null),
    taken,
  );
  if (chosen === undefined) return { labels: choice, resumed: attempts };
  const full = needs.filter((need) => need.fullLabel === null).map((need) => [need.repoIndex, chosen] as const);
  return { labels: { ...choice, labels: new Map([...choice.labels, ...full]) }, resumed: attempts };
}

interface LeftBehind {
  /** Labels of existing and expired backups. */
  readonly finished: readonly string[];
  /** Labels of another host's attempts, because that host may wake and write there again, and of interrupted copies. */
  readonly taken: readonly string[];
  readonly attempt: Resumable | null;
}

/** Removes attempts that cannot be resumed. */
async function sortOut(open: OpenBackup, begin: Begin, ctx: Context): Promise<LeftBehind> {
  const { lost, repo, infoPass, lease } = open;
  const listed = new Set([...lost, ...open.backups.map((entry) => entry.label)]);
  const finished: string[] = [];
  const taken: string[] = [];
  let resumable: Resumable | null = null;
  let held: readonly string[] | undefined;
  const all = await listLabels(repo);
  for (const label of all) {
    // A listed backup may have lost its manifest. Its files are nobody's attempt, and later backups may refer to them.
    if (listed.has(label) || (await hasManifest(repo, label))) {
      finished.push(label);
      continue;
    }
    held ??= await heldLabels(repo, ctx);
    // As expire leaves a held backup that lost its manifest and its place in the list, and what it may refer to.
    if (held.some((other) => fullLabelOf(other) === fullLabelOf(label) && other >= label)) {
      finished.push(label);
      ctx.log.warn(`${repo.name}: backup ${label} is not listed and has no manifest, and its files stay for a hold`);
      continue;
    }
    if (await isUnfinishedCopy(repo, label, { lease, listed, nowMs: ctx.clock.nowMs(), pass: infoPass })) {
      taken.push(label);
      ctx.log.info(`${repo.name}: keep backup '${label}', which the next sync completes`);
      continue;
    }
    const attempt = await findAttempt(repo, label, infoPass);
    if (attempt !== null && !lease.isOver(attempt.domain)) {
      taken.push(label);
      await leaveTombstone(repo, label);
    }
    if (label !== all.at(-1)) {
      await removeAttempt(open, label, "it is not the newest", ctx);
      continue;
    }
    const request = { resume: begin.options.resume, isFull: !begin.priors.has(repo.key), source: begin.source };
    const outcome = await findResumable(open, label, attempt, request);
    if ("manifest" in outcome) resumable = outcome;
    else await removeAttempt(open, label, outcome.reason, ctx);
  }
  const expired = await findNewestHistoryLabel(repo);
  return { finished: expired === null ? finished : [...finished, expired], taken, attempt: resumable };
}

async function heldLabels(repo: Repository, { clock }: Context): Promise<readonly string[]> {
  return [...(await loadHolds(repo))].flatMap(([label, hold]) => (isHeldAt(hold, clock.nowMs()) ? [label] : []));
}

/** Safe under the lease: no one else may write there. */
async function removeAttempt({ repo, lease }: OpenBackup, label: string, reason: string, ctx: Context): Promise<void> {
  ctx.log.warn(`${repo.name}: backup '${label}' cannot be resumed: ${reason}`);
  await lease.check();
  await removeUnfinished(repo, label);
}

/** The rows of an earlier attempt whose stored bytes match the row. */
async function goodRows(
  repo: Repository,
  resumed: Manifest,
  rows: readonly ManifestFile[],
  pool: JobPool,
  ctx: Context,
): Promise<ManifestFile[]> {
  const good: ManifestFile[] = [];
  await mapParallel(rows, pool.slots * LIMITS.filesPerWorker, async (row) => {
    const { repoIndex, path, cipherPass, compressType, raw } = storedAt(repo.key, repo.stanza, resumed, row);
    const base = { kind: "verifyFile", repoIndex, path, range: null } as const;
    const result = await pool.run(
      row.sha1Repo === undefined
        ? { ...base, unpack: { cipherPass, compressType, raw }, sizeBytes: row.sizeBytes, sha1: row.sha1 }
        : { ...base, unpack: null, sizeBytes: row.sizeRepoBytes, sha1: row.sha1Repo },
    );
    if (result.status === "ok") {
      good.push(row);
      ctx.log.detail(
        `${repo.name}: checksum resumed file ${row.name} (${formatSize(row.sizeBytes)}) checksum ${row.sha1}`,
      );
    } else if (result.status !== "missing") {
      ctx.log.warn(
        `${repo.name}: resumed backup file ${row.name} did not have expected checksum ${row.sha1}. The file was recopied and backup will continue but this may be an issue unless the resumed backup path in the repository is known to be corrupted.`,
      );
    }
  });
  return good;
}

/** All backups of a set use the compression that its first backup chose. */
function compressFor(repo: Repository, prior: Manifest | null, type: BackupType, ctx: Context): CompressSpec {
  if (prior === null || prior.options.compressType === repo.compress.type) return repo.compress;
  ctx.log.warn(
    `${repo.name}: ${type} backup cannot alter compress-type option to '${repo.compress.type}', reset to value in ${prior.label}`,
  );
  return { type: prior.options.compressType, level: prior.options.compressLevel ?? 0 };
}

function blockSpecOf(repo: Repository, prior: Manifest | null): BlockSpec | null {
  if (repo.block === null) return null;
  if (prior === null) return { settings: repo.block, prior: null };
  const rows = new Map<string, ManifestFile>();
  for (const file of prior.files)
    if (file.block !== undefined && file.block.mapSizeBytes > 0) rows.set(file.name, file);
  return { settings: repo.block, prior: { manifest: { ...prior, files: [] }, rows } };
}

/** Without data checksums each page would count as damaged, also after `pg_checksums --disable`. */
function checksPages(
  repo: Repository,
  prior: Manifest | null,
  type: BackupType,
  { begun, control, options }: Begin,
  ctx: Context,
): boolean {
  const held = prior?.options.checksumPage;
  if (!control.dataChecksums) {
    if (options.checksumPage === true || held === true)
      ctx.log.warn(
        `${repo.name}: checksum-page option set to true but checksums are not enabled on the cluster, resetting to false`,
      );
    return false;
  }
  const wanted = options.checksumPage ?? begun !== null;
  if (held === undefined || held === wanted) return wanted;
  ctx.log.warn(
    `${repo.name}: ${type} backup cannot alter 'checksum-page' option to '${wanted}', reset to '${held}' from ${prior?.label}`,
  );
  return held;
}

function manifestPg(historyId: number, control: PgControl): Manifest["pg"] {
  const { pgVersion: version, systemId, catalogVersion, controlVersion } = control;
  return { id: historyId, version, systemId, catalogVersion, controlVersion };
}

function manifestOptions(
  repo: Repository,
  begin: Begin,
  checksumPage: boolean,
  delta: boolean,
): Omit<Manifest["options"], "compressType" | "compressLevel"> {
  const { archiveCheck, archiveCopy, bufferSizeBytes, processMax } = begin.options;
  return {
    archiveCheck,
    archiveCopy,
    backupStandby: begin.times !== "primary",
    bufferSizeBytes,
    checksumPage,
    compressLevelNetwork: COMPRESS_LEVEL_NETWORK,
    delta,
    hardlink: repo.hardLinks && repo.bundle === null && repo.storage.hardLink !== undefined,
    online: begin.begun !== null,
    processMax,
  };
}

/** A manifest that no program reads is no backup. @throws format (29) */
export function requireNames(manifest: Manifest): void {
  try {
    checkNames(manifest, manifest.label);
  } catch (error) {
    throw fail("format", toBackupError(error).message, {
      hint: "No program could restore it. Move it out of the data directory, or leave it out with --exclude.",
      cause: error,
    });
  }
}
