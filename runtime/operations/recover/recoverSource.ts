/**
 * The source of a recovery: the backup that `restore` would choose, its content, and the WAL after it. Reads the
 * repositories and writes nothing. Plain data, because it is passed on as JSON: `recover` runs as root, and perhaps
 * only PostgreSQL's account may read a repository.
 */
import { WAL_SEGMENT_SIZE_BYTES } from "../../base/limits";
import type { Context } from "../../base/context";
import { perRepo } from "../../base/parallel";
import type { Manifest } from "../../format/repository/manifest";
import { SegmentPath } from "../../format/wal/segmentPath";
import {
  DIRECTORY_LENGTH,
  formatLsn,
  lsnOfSegment,
  parseWalName,
  segmentSizeOf,
  timelineOf,
} from "../../format/wal/walSegment";
import type { Repository } from "../../repository/repository";
import { isSegment, listFiles, listWal, type StoredWal } from "../../repository/walStore";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import { findNewestWal } from "../info/destinations";
import { type ChooseOptions, openSources } from "../restore/openSources";
import type { TargetTimeline } from "../restore/select";
import { timelineOption } from "../restore/timelines";
import { loadArchiveInfo, requirePresent } from "../../repository/infoStore";
import type { Doubt } from "../archiveGet/archiveGet";
import { type Guarantee, isAllHeldBy } from "../archiveGet/endOfRecovery";
import type { OldWal } from "./oldWal";
import { replayNames, type ReplayPath, replayPath } from "./replayPath";
import { archivedSegmentSize } from "../verify/archivedSize";

export interface RecoverSource {
  readonly repoIndex: number;
  /** `s3://bucket/prefix`, `/mnt/nas/backups` */
  readonly location: string;
  readonly label: string;
  readonly stoppedAtS: number;
  readonly pgVersion: string;
  readonly systemId: string;
  /** Location of the restored data directory and of each tablespace, by its path in the backup. */
  readonly targets: readonly SourceTarget[];
  /** Links besides those of tablespaces, as `pg_data/pg_wal`. */
  readonly links: readonly string[];
  readonly fileCount: number;
  /** The last segment that makes the backup consistent; null for a backup of a stopped server, which needs none. */
  readonly walStop: string | null;
  readonly wal: ReplayPath | null;
  /** Null if repositories and the server's pg_wal together have all WAL up to their last one. */
  readonly gap: WalGap | null;
  /** Segments that nobody but this pg_wal has, and that PostgreSQL may remove when it stops. */
  readonly leaving: readonly string[];
  /** The value of `--target-timeline` for the steps; undefined leaves it to the backup's own. */
  readonly targetTimeline: string | undefined;
  /** Keys of repositories whose WAL could not be listed. */
  readonly unlisted: readonly number[];
  /**
   * Why they have nothing that this recovery needs: the backup's repository and the old pg_wal have all WAL up to the
   * server's end, or the policy of acknowledgement says so. Null if they may have some, or if there is none.
   */
  readonly without: "alone" | "policy" | null;
  /** When a repository received its newest WAL; null without WAL. */
  readonly newestWalStoredAtS: number | null;
}

export interface WalGap {
  /** The first segment that nobody has, although there are later ones. */
  readonly missing: string;
  /** Where it begins. */
  readonly lsn: string;
  /** When the last one before it was stored; null if unknown. */
  readonly storedAtS: number | null;
}

export interface SourceTarget {
  /** `pg_data`, `pg_tblspc/16384` */
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
}

/** What the host knows of WAL that repositories may lack. */
export interface HostWal extends Guarantee {
  /** True if this server's pg_wal leads on from the newest archived segment to its end. */
  leadsOn(archived: Omit<OldWal, "directory">): Promise<boolean>;
  /** Names of the segments in its pg_wal. */
  segments(): Promise<readonly string[]>;
  /** Segments of them that PostgreSQL may remove at any checkpoint: none is written any more, or awaits an archiver. */
  removable(names: readonly string[], segmentSizeBytes: number): Promise<readonly string[]>;
}

export async function findRecoverSource(
  repos: readonly Repository[],
  options: ChooseOptions,
  host: HostWal,
  ctx: Context,
): Promise<RecoverSource> {
  const { followed, sources } = await openSources(repos, options, ctx);
  const { manifest, repo } = sources;
  const newest = await perRepo(repos, findNewestWal);
  const storedAtS = Math.max(0, ...newest.map((result) => (result.ok ? (result.value?.storedAtS ?? 0) : 0)));
  // Read before the archive: what has left pg_wal is in a listing that comes later.
  const own = await host.segments();
  const replay = manifest.archiveStart === undefined ? null : await findReplayPath(repos, manifest, followed, ctx);
  const { segmentSizeBytes = WAL_SEGMENT_SIZE_BYTES } = replay?.followed ?? {};
  return {
    repoIndex: repo.key,
    location: repo.storage.name,
    label: manifest.label,
    stoppedAtS: manifest.stoppedAtS,
    pgVersion: manifest.pg.version,
    systemId: String(manifest.pg.systemId),
    targets: targetsOf(manifest),
    links: manifest.targets.flatMap(({ name, tablespaceId, type }) =>
      type === "link" && tablespaceId === undefined ? [name] : [],
    ),
    fileCount: manifest.files.length,
    walStop: manifest.archiveStop ?? null,
    wal: replay?.path ?? null,
    gap: replay === null ? null : await findGap(repos, archiveIdOf(archiveEntry(manifest)), replay, own),
    leaving: await host.removable(replay === null ? [] : ownAlone(replay, own), segmentSizeBytes),
    targetTimeline: timelineOption(options.recovery, followed),
    unlisted: replay?.unlisted.map(({ repoIndex }) => repoIndex) ?? [],
    without: replay === null ? null : await reasonWithout(repos, repo.key, replay, host),
    newestWalStoredAtS: storedAtS === 0 ? null : storedAtS,
  };
}

/** Segments on the path that no listed repository has. */
function ownAlone({ followed, isStored, pathWith }: ListedPath, own: readonly string[]): string[] {
  return [...replayNames(pathWith(own), followed)].filter((name) => !isStored(name));
}

async function findGap(
  repos: readonly Repository[],
  archiveId: string,
  { followed: { segmentSizeBytes }, pathWith }: ListedPath,
  own: readonly string[],
): Promise<WalGap | null> {
  const { last, missing } = pathWith(own);
  if (missing === null) return null;
  const directory = (last ?? "").slice(0, DIRECTORY_LENGTH);
  const listed = last === null ? [] : await perRepo(repos, (repo) => listFiles(repo, archiveId, directory));
  const times = listed.flatMap((result) => (result.ok ? result.value : [])).filter(({ name }) => name === last);
  const storedAtMs = Math.max(0, ...times.map(({ modifiedAtMs }) => modifiedAtMs));
  const lsn = formatLsn(lsnOfSegment(missing, segmentSizeBytes));
  return { missing, lsn, storedAtS: storedAtMs === 0 ? null : Math.ceil(storedAtMs / 1000) };
}

/** The row of archive.info that a backup belongs to. */
function archiveEntry({ pg: { id, systemId, version: pgVersion } }: Manifest) {
  return { id, systemId, pgVersion };
}

async function reasonWithout(
  repos: readonly Repository[],
  key: number,
  { followed: { segmentSizeBytes }, path, pathOf, unlisted }: ListedPath,
  host: HostWal,
): Promise<RecoverSource["without"]> {
  const { last, timeline } = path;
  if (unlisted.length === 0) return null;
  if (last !== null && pathOf(key).last === last && (await host.leadsOn({ last, timeline, segmentSizeBytes })))
    return "alone";
  const listed = repos.flatMap((repo) => (unlisted.some(({ repoIndex }) => repoIndex === repo.key) ? [] : [repo.key]));
  return isAllHeldBy(listed, host) ? "policy" : null;
}

function targetsOf(manifest: Manifest): SourceTarget[] {
  const targets = manifest.targets.filter((target) => target.name === "pg_data" || target.tablespaceId !== undefined);
  const sizes = new Map(targets.map((target) => [target.name, 0]));
  for (const { name, sizeBytes } of manifest.files) {
    const owner =
      targets.find((target) => target.name !== "pg_data" && name.startsWith(`${target.name}/`))?.name ?? "pg_data";
    sizes.set(owner, (sizes.get(owner) ?? 0) + sizeBytes);
  }
  return targets.map(({ name, path }) => ({ name, path, sizeBytes: sizes.get(name) ?? 0 }));
}

export interface ListedPath {
  readonly path: ReplayPath;
  /** The path of one repository alone. */
  pathOf(key: number): ReplayPath;
  /** The path over all repositories and these segments. */
  pathWith(names: readonly string[]): ReplayPath;
  /** In one of the repositories. */
  isStored(name: string): boolean;
  readonly followed: SegmentPath;
  /** Repositories whose WAL could not be listed. */
  readonly unlisted: readonly Doubt[];
}

/** Over all repositories: one fills another's gaps. */
export async function findReplayPath(
  repos: readonly Repository[],
  manifest: Manifest,
  along: TargetTimeline | undefined,
  ctx: Context,
): Promise<ListedPath> {
  const entry = archiveEntry(manifest);
  const archiveId = archiveIdOf(entry);
  const first = manifest.archiveStart ?? "";
  const storedIn = new Map(repos.map(({ key }) => [key, new Map<string, number>()]));
  // A backup that begins in the first segment of 4 GiB fits several sizes; a segment tells.
  const shownSize = segmentSizeOf([manifest]);
  const listings = await perRepo(repos, async (repo) => {
    const { cipherPass = null } = await loadArchiveInfo(repo);
    const segments: StoredWal[] = [];
    for await (const wal of listWal(repo, archiveId)) {
      if (!isSegment(wal.name) || parseWalName(wal.name)?.kind !== "segment") continue;
      storedIn.get(repo.key)?.set(wal.name, wal.sizeRepoBytes);
      if (shownSize === null) segments.push(wal);
    }
    await requirePresent(repo);
    return archivedSegmentSize(repo, entry, segments, cipherPass);
  });
  const unlisted = listings.flatMap((result) => (result.ok ? [] : [result]));
  for (const { error, repoIndex } of unlisted) ctx.log.warn(`repo${repoIndex}: unable to list WAL: ${error.message}`);
  const storedSizes = listings.flatMap((result) => (result.ok && result.value !== null ? [result.value] : []));
  const segmentSizeBytes = shownSize ?? storedSizes[0] ?? WAL_SEGMENT_SIZE_BYTES;
  const ancestors = along?.ancestors ?? null;
  const own = { timeline: timelineOf(first), ancestors: [] };
  const goal = along === undefined || ancestors === null ? own : { timeline: along.timeline, ancestors };
  const followed = new SegmentPath(goal, segmentSizeBytes);
  const pathOf = (keys: readonly number[], more: readonly string[] = []): ReplayPath => {
    const stored = keys.flatMap((key) => [...(storedIn.get(key) ?? [])]);
    return replayPath(first, new Map([...more.map((name) => [name, 0] as const), ...stored]), followed);
  };
  const keys = [...storedIn.keys()];
  return {
    path: pathOf(keys),
    pathOf: (key) => pathOf([key]),
    pathWith: (names) => pathOf(keys, names),
    isStored: (name) => keys.some((key) => storedIn.get(key)?.has(name) === true),
    followed,
    unlisted,
  };
}
