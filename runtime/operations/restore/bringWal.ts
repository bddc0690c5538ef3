/**
 * Brings the WAL of a recovery into the restored pg_wal, for a server in a container: no restore_command of this
 * program could run there. PostgreSQL takes from pg_wal what `restore_command = 'false'` does not give it. Histories of
 * all timelines come too, so that the new timeline gets a free number.
 */
import type { AccountIds } from "../../local/actAs";
import { chown, existsSync, mkdir, readdir } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { mapParallel, perRepo } from "../../base/parallel";
import { formatSize } from "../../base/units";
import type { Manifest } from "../../format/repository/manifest";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import { nextSegment, parseLsn, segmentOfLsn, historyName, timelineOf } from "../../format/wal/walSegment";
import { syncDirectory } from "../../local/atomicWrite";
import type { Repository } from "../../repository/repository";
import { loadArchiveInfo } from "../../repository/infoStore";
import { listArchive } from "../../repository/expireStore";
import { archiveIdsOf, type ClusterIdentity } from "../shared/identity";
import { provenWithout } from "../archiveGet/absence";
import { archiveGetInTime, inDoubt, inTime, unreadableKeys } from "../archiveGet/archiveGet";
import { type Guarantee, mayEnd, remedyOf } from "../archiveGet/endOfRecovery";
import { findReplayPath, type ListedPath } from "../recover/recoverSource";
import { replayNames } from "../recover/replayPath";
import { findLongerParent, getLast, type PartialOptions } from "../stream/partial";
import type { RecoveryRequest } from "./recovery";
import type { TargetTimeline } from "./select";

export interface BringOptions extends Guarantee {
  readonly recovery: Pick<RecoveryRequest, "target" | "type">;
  /** The timeline that recovery follows; undefined stays on the backup's. */
  readonly followed: TargetTimeline | undefined;
  readonly dataDirectory: string;
  /** On this machine. */
  readonly walDirectory: string;
  /** Null does not change the owner. */
  readonly owner: AccountIds | null;
  /** How long a repository that does not answer is asked again. */
  readonly timeoutMs: number;
}

const FETCHED_AT_ONCE = 4;

/**
 * PostgreSQL takes the end of the brought WAL for the end of the archive. So every repository must answer, as in
 * {@link endOfRecovery}.
 * @throws backupSetInvalid (75) when WAL is missing that makes the backup consistent
 */
export async function bringWal(
  repos: readonly Repository[],
  manifest: Manifest,
  options: BringOptions,
  ctx: Context,
): Promise<void> {
  if (manifest.archiveStart === undefined) return;
  const { recovery, timeoutMs, walDirectory } = options;
  const { followed, histories, path } = await decided(
    () => inTime(() => listWalOf(repos, manifest, options, ctx), timeoutMs, ctx),
    () => listWalOf(repos, manifest, { ...options, mayLack: true }, ctx),
    options,
  );
  const { segmentSizeBytes } = followed;
  const { archiveStop } = manifest;
  if (archiveStop !== undefined && (path.last === null || path.last.slice(8) < archiveStop.slice(8)))
    throw fail("backupSetInvalid", `backup ${manifest.label} needs WAL up to ${archiveStop}, and none has it`, {
      hint: "Choose an older backup with --set, or another repository with --repo.",
    });
  const end = lastPosition(recovery, archiveStop, segmentSizeBytes);
  const isNeeded = (name: string): boolean => end === null || name.slice(8) <= end;
  const names = [...replayNames(path, followed)].filter(isNeeded);
  const cluster = { version: manifest.pg.version, systemId: manifest.pg.systemId };
  const request: RequestOf = (walName) => {
    return { walName, destination: `${walDirectory}/${walName}`, cluster, segmentSizeBytes };
  };
  ctx.log.info(
    `bring ${names.length} WAL segment(s) (${formatSize(names.length * segmentSizeBytes)}) to '${walDirectory}'`,
  );
  await mkdir(walDirectory, { recursive: true, mode: 0o700 });
  await mapParallel([...names, ...histories], FETCHED_AT_ONCE, async (name) => {
    if (!(await archiveGetInTime(repos, request(name), timeoutMs, ctx)))
      throw fail("fileMissing", `WAL file ${name} was listed and is gone`);
  });
  const brought = new Set(names);
  for (const name of replayNames({ ...path, segmentCount: Number.POSITIVE_INFINITY }, followed)) {
    if (!isNeeded(name)) break;
    if (brought.has(name) || (await bringNext(repos, request(name), options, ctx))) continue;
    // Without it PostgreSQL takes the segment of the timeline before.
    const parent = existsSync(`${walDirectory}/${name}`) ? null : await findLongerParent(repos, request(name), 0);
    if (parent !== null) await bringNext(repos, request(parent), options, ctx);
    break;
  }
  await finish(walDirectory, await readdir(walDirectory), options.owner);
}

type RequestOf = (walName: string) => Pick<PartialOptions, "walName" | "destination" | "cluster" | "segmentSizeBytes">;

/**
 * True when the segment is complete: then another may follow. The listing is older than the archive, and streamed WAL
 * may follow both.
 */
async function bringNext(
  repos: readonly Repository[],
  request: ReturnType<RequestOf>,
  options: BringOptions,
  ctx: Context,
): Promise<boolean> {
  const { dataDirectory, timeoutMs } = options;
  const get = (): Promise<boolean> => archiveGetInTime(repos, request, timeoutMs, ctx);
  const absent = async (): Promise<boolean> => false;
  if (await decided(get, absent, options)) return true;
  const server = { dataDirectory, exists: async (file: string) => file === "recovery.signal" };
  const isStreamed = await decided(
    () => getLast(repos, { ...request, timeoutMs }, server, get, ctx),
    () => getLast(repos, { ...request, timeoutMs: null }, server, absent, ctx),
    options,
  );
  if (isStreamed) ctx.log.info(`the start of ${request.walName} was streamed`);
  return false;
}

/** `work`, or `without` the repositories that could not be read, if the recovery may end without them. */
async function decided<T>(work: () => Promise<T>, without: () => Promise<T>, guarantee: Guarantee): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    const error = toBackupError(thrown);
    if (await mayEnd(error, guarantee)) return without();
    if (unreadableKeys(error) === null) throw error;
    throw fail(error.kind, error.message, {
      hint: [...error.hints, ...remedyOf(error, guarantee, "restore")],
      cause: error,
    });
  }
}

/** @throws `inDoubt` for a repository that cannot be listed, unless it `mayLack` */
async function listWalOf(
  repos: readonly Repository[],
  manifest: Manifest,
  { followed, mayLack }: Pick<BringOptions, "followed"> & { readonly mayLack?: boolean },
  ctx: Context,
): Promise<Omit<ListedPath, "unlisted"> & { readonly histories: readonly string[] }> {
  const archiveId = archiveIdOf({ id: manifest.pg.id, pgVersion: manifest.pg.version });
  const { unlisted, ...listed } = await findReplayPath(repos, manifest, followed, ctx);
  const results = await perRepo(repos, async (repo) => (await listArchive(repo, archiveId)).histories);
  const doubts = [...unlisted, ...results.flatMap((result) => (result.ok ? [] : [result]))];
  const histories = [...new Set(results.flatMap((result) => (result.ok ? result.value : [])))].sort();
  // A timeline that only this repository knows would be used again.
  if (doubts.length > 0 && mayLack !== true) {
    const readable = repos.filter(({ key }) => doubts.every(({ repoIndex }) => repoIndex !== key));
    throw inDoubt("the archive has more WAL", doubts, () => provenBeyond(readable, manifest, listed, histories));
  }
  return { ...listed, histories };
}

/** Repositories that never acknowledged the next segment, nor the history of a later timeline. */
async function provenBeyond(
  repos: readonly Repository[],
  manifest: Manifest,
  { followed, path }: Omit<ListedPath, "unlisted">,
  histories: readonly string[],
): Promise<number[]> {
  if (path.last === null) return [];
  const cluster = { version: manifest.pg.version, systemId: manifest.pg.systemId };
  const newest = Math.max(timelineOf(path.last), ...histories.map(timelineOf));
  const onPath = [...replayNames({ ...path, segmentCount: path.segmentCount + 1 }, followed)];
  const names = [...onPath.slice(-1), historyName(newest + 1)];
  const proven = await Promise.all(names.map((walName) => provenWithout(repos, { walName, cluster })));
  return repos.map(({ key }) => key).filter((key) => proven.every((keys) => keys.includes(key)));
}

/** Brings the histories of all timelines alone. */
export async function bringHistories(
  repos: readonly Repository[],
  cluster: ClusterIdentity,
  { owner, timeoutMs, walDirectory }: Pick<BringOptions, "walDirectory" | "owner" | "timeoutMs">,
  ctx: Context,
): Promise<void> {
  const results = await perRepo(repos, async (repo) => {
    const ids = archiveIdsOf(await loadArchiveInfo(repo), cluster).map(archiveIdOf);
    return (await Promise.all(ids.map((id) => listArchive(repo, id)))).flatMap(({ histories }) => histories);
  });
  const lost = results.flatMap((result) => (result.ok ? [] : [result]));
  // One that cannot be read must not keep the old data from their server.
  if (lost[0] !== undefined && lost.length === results.length) throw lost[0].error;
  for (const { error, repoIndex } of lost) ctx.log.warn(`repo${repoIndex} cannot be read: ${error.message}`);
  const readable = repos.filter(({ key }) => lost.every(({ repoIndex }) => repoIndex !== key));
  const brought: string[] = [];
  for (const walName of new Set(results.flatMap((result) => (result.ok ? result.value : [])))) {
    const destination = `${walDirectory}/${walName}`;
    if (await archiveGetInTime(readable, { walName, destination, cluster }, timeoutMs, ctx)) brought.push(walName);
  }
  await finish(walDirectory, brought, owner);
}

/** PostgreSQL would take a file that a crash of the machine has cut for the end of the archive. */
async function finish(walDirectory: string, names: readonly string[], owner: AccountIds | null): Promise<void> {
  for (const name of names) {
    const path = `${walDirectory}/${name}`;
    if (owner !== null) await chown(path, owner.uid, owner.gid);
    await syncDirectory(path);
  }
  await syncDirectory(walDirectory);
}

/** The position in segment names after which nothing is needed; null for targets whose position only WAL shows. */
function lastPosition(
  { target, type }: BringOptions["recovery"],
  archiveStop: string | undefined,
  segmentSizeBytes: number,
): string | null {
  if (type === "immediate" && archiveStop !== undefined) return archiveStop.slice(8);
  // The first record at the target or after it ends the recovery, and may lie in the next segment.
  if (type === "lsn" && target !== undefined)
    return nextSegment(segmentOfLsn(0, parseLsn(target), segmentSizeBytes), segmentSizeBytes).slice(8);
  return null;
}
