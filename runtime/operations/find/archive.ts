/**
 * One cluster's WAL along one timeline, from all repositories together: each segment from the first repository with the
 * right bytes, and unarchived segments from pg_wal if it is on this machine.
 */
import { readdir, readFile } from "../../local/nodeFiles";
import { collect } from "../../base/bytes";
import type { Context } from "../../base/context";
import { LIMITS, WAL_SEGMENT_SIZE_BYTES } from "../../base/limits";
import { fail, isError, toBackupError } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import { mapParallel, perRepo } from "../../base/parallel";
import { archiveIdOf, currentHistory } from "../../format/repository/archiveInfo";
import { SegmentPath, type TimelinePath } from "../../format/wal/segmentPath";
import { parseWalHeader, type WalHeader } from "../../format/wal/walHeader";
import { lsnOfSegment, parseWalName, segmentOfLsn, historyName, timelineOf } from "../../format/wal/walSegment";
import { isMissing, namesIfThere } from "../../local/systemError";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { findWal, openWal, type StoredWal } from "../../repository/walStore";
import { follow, type ServerHistory } from "../../recoverability/followedTimeline";
import { RepoFacts } from "../../recoverability/facts";
import { loadHistory, readAncestors, type RepoArchive } from "../../recoverability/loadHistory";
import { withWrittenTimes } from "../../recoverability/writtenTimes";
import { archiveIdsOf, type ClusterIdentity } from "../shared/identity";
import { hasOwnHeader } from "../shared/localWal";
import { segmentDirectories, segmentsIn } from "../shared/archivedSegments";

/** A repository and its opened archive. */
export interface Holder {
  readonly repo: Repository;
  readonly archiveId: string;
  readonly pass: string | null;
  readonly directories: ReadonlySet<string>;
}

export interface Segment {
  readonly name: string;
  /** Position of its first byte. */
  readonly lsn: bigint;
  /** Empty for a segment that is only in pg_wal. */
  readonly copies: readonly { readonly holder: Holder; readonly stored: StoredWal }[];
}

export type SegmentRead =
  | { readonly bytes: Uint8Array; readonly problem: null }
  | { readonly bytes: null; readonly problem: string };

export interface ArchiveOptions {
  /** Undefined follows the one that a restore follows. */
  readonly timeline: number | undefined;
  /** This cluster's server on this machine; null if the machine has no such server. */
  readonly server: ServerHistory | null;
  /** pg_wal of the running cluster; null when it is not on this machine. */
  readonly walDirectory: string | null;
  /** Undefined is the present one. Previous ones are from before a `stanza-upgrade`. */
  readonly cluster?: ClusterIdentity | undefined;
}

const DIRECTORIES_AT_ONCE = 8;

export class WalArchive {
  readonly version: string;
  readonly systemId: bigint;
  /** The followed timeline, and what recovery to it reads. */
  readonly path: SegmentPath;
  /** Directories on the timeline's path, ascending. */
  readonly directories: readonly string[];
  readonly holders: readonly Holder[];
  /** True once {@link readLocal} has seen this cluster's pg_wal here. */
  isLocalThere = false;
  readonly #walDirectory: string | null;

  private constructor(header: WalHeader, path: TimelinePath, holders: readonly Holder[], walDirectory: string | null) {
    this.version = header.pgVersion;
    this.systemId = header.systemId;
    this.path = new SegmentPath(path, header.segmentSizeBytes);
    this.holders = holders;
    this.#walDirectory = walDirectory;
    const all = new Set(holders.flatMap(({ directories }) => [...directories]));
    // On a path, names ascend with positions.
    this.directories = [...all]
      .filter((name) => this.path.runs([[`${name}00000000`, `${name}FFFFFFFF`]]).length > 0)
      .sort();
  }

  /** @throws repoInvalid when no repository can be read; fileMissing when none holds any WAL of the timeline */
  static async open(repos: readonly Repository[], options: ArchiveOptions, ctx: Context): Promise<WalArchive> {
    const holders: Holder[] = [];
    const problems: string[] = [];
    for (const repo of repos) {
      try {
        const holder = await openHolder(repo, options.cluster);
        if (holder !== null) holders.push(holder);
      } catch (error) {
        const { message, name } = toBackupError(error);
        problems.push(`${repo.name}: [${name}] ${message}`);
        ctx.log.warn(`${repo.name}: [${name}] ${message}`);
      }
    }
    if (holders.length === 0) throw fail("repoInvalid", ["unable to find a valid repository", ...problems].join("\n"));
    const path = await findTimelinePath(holders, options, ctx);
    const header = await findHeader(holders, [path.timeline, ...path.ancestors.map((ancestor) => ancestor.timeline)]);
    return new WalArchive(header, path, holders, options.walDirectory);
  }

  /** Segments of one directory on the timeline's path, ascending. */
  async list(directory: string): Promise<Segment[]> {
    const byName = new Map<string, { holder: Holder; stored: StoredWal }[]>();
    for (const holder of this.holders.filter(({ directories }) => directories.has(directory))) {
      for (const stored of await segmentsIn(holder.repo, holder.archiveId, directory)) {
        const copies = byName.get(stored.name);
        if (copies === undefined) byName.set(stored.name, [{ holder, stored }]);
        else copies.push({ holder, stored });
      }
    }
    return [...byName]
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .flatMap(([name, copies]): Segment[] => {
        const lsn = lsnOfSegment(name, this.segmentSizeBytes);
        return this.path.has(name) ? [{ name, lsn, copies }] : [];
      });
  }

  async listAll(directories: readonly string[]): Promise<Segment[]> {
    return (await mapParallel(directories, DIRECTORIES_AT_ONCE, (directory) => this.list(directory))).flat();
  }

  get timeline(): number {
    return this.path.timeline;
  }

  get segmentSizeBytes(): number {
    return this.path.segmentSizeBytes;
  }

  after({ lsn }: Segment): Segment {
    return this.#segmentAt(lsn + BigInt(this.segmentSizeBytes));
  }

  before({ lsn }: Segment): Segment {
    return this.#segmentAt(lsn - BigInt(this.segmentSizeBytes));
  }

  #segmentAt(lsn: bigint): Segment {
    return { name: this.path.at(segmentOfLsn(this.timeline, lsn, this.segmentSizeBytes)), lsn, copies: [] };
  }

  /** The complete segment with a verified checksum; a damaged copy is replaced by the next repository's. */
  async read(segment: Segment): Promise<SegmentRead> {
    const problems: string[] = [];
    for (const { holder, stored } of segment.copies) {
      try {
        const bytes = await collect(
          await openWal(holder.repo, holder.archiveId, stored, holder.pass),
          LIMITS.walSegmentSizeBytesMax,
        );
        if (sha1Hex(bytes) !== stored.sha1) throw fail("checksum", `'${stored.fileName}' does not match its checksum`);
        const { systemId } = parseWalHeader(bytes.subarray(0, 512));
        if (systemId !== this.systemId)
          throw fail("archiveMismatch", `'${stored.fileName}' is of system ${systemId}, not ${this.systemId}`);
        return { bytes, problem: null };
      } catch (error) {
        const { message, name } = toBackupError(error);
        problems.push(`${holder.repo.name}: [${name}] ${message}`);
      }
    }
    return { bytes: null, problem: problems.join("; ") };
  }

  /** A segment that was archived after the listing; null if absent. */
  async look({ lsn, name }: Segment): Promise<Segment | null> {
    const copies: { readonly holder: Holder; readonly stored: StoredWal }[] = [];
    for (const holder of this.holders) {
      try {
        for (const stored of await findWal(holder.repo, holder.archiveId, name)) copies.push({ holder, stored });
      } catch {
        // Its failed listing was already reported, and another repository may answer.
      }
    }
    return copies.length === 0 ? null : { name, lsn, copies };
  }

  /** From pg_wal; null without such a segment of this cluster. */
  async readLocal({ lsn, name }: Segment): Promise<Uint8Array | null> {
    if (this.#walDirectory === null) return null;
    try {
      const bytes = await readFile(`${this.#walDirectory}/${name}`);
      const header = parseWalHeader(bytes.subarray(0, 512));
      this.isLocalThere ||= header.systemId === this.systemId;
      // A recycled file still has its old position.
      return header.systemId === this.systemId && header.lsn === lsn ? bytes : null;
    } catch (error) {
      if (isError(error, "fileInvalid", "versionNotSupported", "format")) return null;
      if (!isMissing(error)) throw error;
      // There may be none yet after its newest segment.
      this.isLocalThere ||= (await this.#localHeader()) === this.systemId;
      return null;
    }
  }

  /**
   * Segments of the path in pg_wal after this one, ascending. Each began when the one before it was whole, so a segment
   * that is missing or ends early before one of them is a gap.
   */
  async listLocalAfter({ lsn: after }: Segment): Promise<Segment[]> {
    if (this.#walDirectory === null) return [];
    const segments: Segment[] = [];
    for (const name of (await namesIfThere(this.#walDirectory)) ?? []) {
      const parsed = parseWalName(name);
      if (parsed?.kind !== "segment") continue;
      const lsn = lsnOfSegment(name, this.segmentSizeBytes);
      // Of a recycled file the header shows the previous position.
      if (lsn > after && this.path.has(name) && (await this.#isOwn(name))) segments.push({ name, lsn, copies: [] });
    }
    return segments.sort(byLsn);
  }

  #isOwn(name: string): Promise<boolean> {
    return hasOwnHeader(`${this.#walDirectory}/${name}`, name, this);
  }

  /** System id of any segment in pg_wal; null without segments. */
  async #localHeader(): Promise<bigint | null> {
    const names = await readdir(this.#walDirectory ?? "").catch(() => []);
    const name = names.filter((each) => parseWalName(each)?.kind === "segment").sort()[0];
    if (name === undefined) return null;
    try {
      return parseWalHeader((await readFile(`${this.#walDirectory}/${name}`)).subarray(0, 512)).systemId;
    } catch {
      return null;
    }
  }
}

function byLsn(left: Segment, right: Segment): number {
  return left.lsn < right.lsn ? -1 : 1;
}

/**
 * Clusters of the stanza, the present one first: each `stanza-upgrade` added one. A repository that cannot be read adds
 * none; {@link WalArchive.open} reports it.
 */
export async function listClusters(repos: readonly Repository[]): Promise<ClusterIdentity[]> {
  const clusters = new Map<string, ClusterIdentity>();
  for (const info of await perRepo(repos, loadArchiveInfo)) {
    if (!info.ok) continue;
    for (const { pgVersion, systemId } of info.value.history.toSorted((left, right) => right.id - left.id))
      clusters.set(`${pgVersion} ${systemId}`, { version: pgVersion, systemId });
  }
  return [...clusters.values()];
}

/** Null when the repository never had this cluster. */
async function openHolder(repo: Repository, cluster: ClusterIdentity | undefined): Promise<Holder | null> {
  const info = await loadArchiveInfo(repo);
  const entry = cluster === undefined ? currentHistory(info) : archiveIdsOf(info, cluster)[0];
  if (entry === undefined) return null;
  const archiveId = archiveIdOf(entry);
  const directories = new Set(await segmentDirectories(repo, archiveId));
  return { repo, archiveId, pass: info.cipherPass ?? null, directories };
}

/** @throws dbMismatch (58) when several timelines could be followed */
async function findTimelinePath(
  holders: readonly Holder[],
  { server, timeline: wanted }: ArchiveOptions,
  ctx: Context,
): Promise<TimelinePath> {
  const timeline = wanted ?? (await followedBy(holders, server, ctx));
  const ancestors =
    timeline === 1 ? [] : await readAncestors(archivesOf(holders), timeline, (text) => ctx.log.warn(text));
  if (ancestors !== null) return { timeline, ancestors };
  ctx.log.warn(`${historyName(timeline)} does not exist: WAL before timeline ${timeline} is not read`);
  return { timeline, ancestors: [] };
}

function archivesOf(holders: readonly Holder[]): RepoArchive[] {
  return holders.map(({ archiveId, repo }) => ({ facts: new RepoFacts(repo), archiveId }));
}

/** The timeline that a restore follows. Without any archived WAL it is the first: pg_wal may have some. */
async function followedBy(holders: readonly Holder[], server: ServerHistory | null, ctx: Context): Promise<number> {
  const timelines = [...new Set(holders.flatMap(({ directories }) => [...directories].map(timelineOf)))];
  // A single timeline has no fork to measure.
  const header = timelines.length < 2 ? null : await findHeader(holders, timelines);
  const warn = (text: string): void => ctx.log.warn(text);
  const archives = archivesOf(holders);
  const listed = await loadHistory(archives, header?.segmentSizeBytes ?? WAL_SEGMENT_SIZE_BYTES, warn);
  const history = await withWrittenTimes(listed, archives, warn);
  const isOwn = header === null || server?.systemId === header.systemId;
  return follow(history, { server: isOwn ? server : null, option: "timeline" })?.timeline ?? 1;
}

/** Header of the newest readable segment. @throws fileMissing if no segment is readable */
async function findHeader(holders: readonly Holder[], timelines: readonly number[]): Promise<WalHeader> {
  let problem = "";
  for (const holder of holders) {
    const { archiveId, directories, pass, repo } = holder;
    const names = [...directories]
      .filter((name) => timelines.includes(timelineOf(name)))
      .sort()
      .reverse();
    for (const directory of names) {
      for (const stored of (await segmentsIn(repo, archiveId, directory)).reverse()) {
        try {
          return await headerOf(holder, stored);
        } catch (error) {
          problem = `; ${repo.name}: ${toBackupError(error).message}`;
        }
        if (pass !== null && /crypto/i.test(problem)) break;
      }
    }
  }
  throw fail("fileMissing", `no repository has readable WAL of timeline ${timelines[0]}${problem}`);
}

async function headerOf({ archiveId, pass, repo }: Holder, stored: StoredWal): Promise<WalHeader> {
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of await openWal(repo, archiveId, stored, pass)) {
    parts.push(chunk);
    sizeBytes += chunk.length;
    if (sizeBytes >= 512) break;
  }
  return parseWalHeader(Buffer.concat(parts));
}
