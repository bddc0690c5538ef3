/**
 * What one command reads of one repository: each file and each listing once, when a report first asks for it. An error
 * belongs to its fact: the other facts, and other repositories, are read all the same.
 */
import { collect, streamOf } from "../base/bytes";
import { nullOn } from "../base/errors";
import { LIMITS } from "../base/limits";
import { archiveIdOf, type ArchiveInfo, currentHistory } from "../format/repository/archiveInfo";
import type { BackupInfo } from "../format/repository/backupInfo";
import { SegmentNumbers } from "../format/wal/segmentNumbers";
import { SEGMENT_NAME, timelineOf } from "../format/wal/walSegment";
import { loadArchiveInfo, loadBackupInfo } from "../repository/infoStore";
import type { Repository } from "../repository/repository";
import { type ArchiveTop, listArchiveTop, listFiles, listWalInTurn, type StoredWal } from "../repository/walStore";
import { overlaid } from "../storage/overlaid";
import type { ListOptions, ObjectInfo, Storage } from "../storage/storage";

/** The newest complete segment of a repository. */
export interface NewestWal {
  readonly name: string;
  readonly storedAtS: number;
  /** Stored size of the segments in its directory. */
  readonly meanSizeBytes: number;
}

/** Everything in the directory of an archive id. */
export interface WholeArchive {
  /** When each complete segment was stored. */
  readonly storedAtS: SegmentNumbers;
  readonly segmentCount: number;
  readonly sizeBytes: number;
  /** Time of the newest complete segment, or 0 if the archive has no segment. */
  readonly newestMs: number;
  /** Some of the oldest segments. */
  readonly oldest: readonly StoredWal[];
  /** Timeline histories, ascending. */
  readonly histories: readonly StoredWal[];
}

export class RepoFacts {
  readonly repo: Repository;
  readonly key: number;
  /** The repository for readers of its small files: it keeps each listing and each file. */
  readonly remembered: Repository;
  readonly #answers = new Map<string, Promise<unknown>>();
  /** Listed directories of segments, by path. */
  readonly #files = new Map<string, Promise<readonly StoredWal[]>>();

  constructor(repo: Repository) {
    this.repo = repo;
    this.key = repo.key;
    this.remembered = { ...repo, storage: this.#remembering(repo.storage) };
  }

  /** @throws as {@link loadBackupInfo} */
  backupInfo(): Promise<BackupInfo> {
    return this.#once("backup.info", () => loadBackupInfo(this.repo));
  }

  /** @throws as {@link loadArchiveInfo} */
  archiveInfo(): Promise<ArchiveInfo> {
    return this.#once("archive.info", () => loadArchiveInfo(this.repo));
  }

  archive(archiveId: string): Promise<ArchiveTop> {
    return this.#once(`archive ${archiveId}`, () => listArchiveTop(this.repo, archiveId));
  }

  /** The complete segments of one directory, ascending. */
  async segmentsIn(archiveId: string, directory: string): Promise<readonly StoredWal[]> {
    const path = `${archiveId}/${directory}`;
    const files = this.#files.get(path) ?? listFiles(this.repo, archiveId, directory);
    this.#files.set(path, files);
    return (await files).filter(({ name }) => SEGMENT_NAME.test(name));
  }

  /** The first and last segment of an archive: lists only its first and last directories. */
  async walRange(archiveId: string): Promise<{ readonly min: string | null; readonly max: string | null }> {
    const { directories } = await this.archive(archiveId);
    const first = await this.#firstSegments(archiveId, directories);
    const last = first.length === 0 ? first : await this.#firstSegments(archiveId, directories.toReversed());
    return { min: first[0]?.name ?? null, max: last.at(-1)?.name ?? null };
  }

  /**
   * The complete segments of the newest directory that has some, ascending; in the current archive id or `ofArchive`,
   * of any timeline or `timeline`. Empty without the stanza.
   */
  async newestSegments(ofArchive?: string, timeline?: number): Promise<readonly StoredWal[]> {
    const info = ofArchive === undefined ? await nullOn(this.archiveInfo(), "fileMissing") : null;
    const archiveId = info === null ? ofArchive : archiveIdOf(currentHistory(info));
    if (archiveId === undefined) return [];
    const directories = (await this.archive(archiveId)).directories.toReversed();
    const isAsked = (name: string): boolean => timeline === undefined || timelineOf(name) === timeline;
    return this.#firstSegments(archiveId, directories.filter(isAsked));
  }

  /** The last of {@link newestSegments}. */
  async newestWal(ofArchive?: string, timeline?: number): Promise<NewestWal | null> {
    const segments = await this.newestSegments(ofArchive, timeline);
    const newest = segments.at(-1);
    if (newest === undefined) return null;
    const meanSizeBytes = segments.reduce((sum, { sizeRepoBytes }) => sum + sizeRepoBytes, 0) / segments.length;
    return { name: newest.name, storedAtS: Math.floor(newest.modifiedAtMs / 1000), meanSizeBytes };
  }

  /** Lists every WAL file: a request for each directory of 256 segments. */
  wholeArchive(archiveId: string): Promise<WholeArchive> {
    return this.#once(`whole ${archiveId}`, async () => {
      const storedAtS = new SegmentNumbers();
      const histories: StoredWal[] = [];
      let oldest: readonly StoredWal[] = [];
      let [segmentCount, sizeBytes, newestMs] = [0, 0, 0];
      const known = { top: this.archive(archiveId), files: this.#files };
      for await (const files of listWalInTurn(this.repo, archiveId, known)) {
        const segments = files.filter(({ name }) => SEGMENT_NAME.test(name));
        if (oldest.length === 0) oldest = segments.slice(0, OLDEST_COUNT);
        histories.push(...files.filter(({ name }) => name.endsWith(".history")));
        sizeBytes = files.reduce((sum, { sizeRepoBytes }) => sum + sizeRepoBytes, sizeBytes);
        segmentCount += segments.length;
        for (const { modifiedAtMs, name } of segments) {
          storedAtS.set(name, Math.floor(modifiedAtMs / 1000));
          newestMs = Math.max(newestMs, modifiedAtMs);
        }
      }
      return { storedAtS, segmentCount, sizeBytes, newestMs, oldest, histories };
    });
  }

  /** The segments of the first of these directories that has some. */
  async #firstSegments(archiveId: string, directories: readonly string[]): Promise<readonly StoredWal[]> {
    for (const directory of directories) {
      const segments = await this.segmentsIn(archiveId, directory);
      if (segments.length > 0) return segments;
    }
    return [];
  }

  #remembering(storage: Storage): Storage {
    const entriesOf = async (path: string, options?: ListOptions): Promise<readonly ObjectInfo[]> => {
      const entries: ObjectInfo[] = [];
      for await (const entry of storage.list(path, options)) entries.push(entry);
      return entries;
    };
    const once = this.#once.bind(this);
    return overlaid(storage, {
      list: async function* (path, options) {
        yield* await once(`list ${path} ${JSON.stringify(options)}`, () => entriesOf(path, options));
      },
      read: async (path, range) => {
        if (range !== undefined) return storage.read(path, range);
        const bytes = await once(`read ${path}`, async () =>
          collect(await storage.read(path), LIMITS.infoFileSizeBytesMax),
        );
        // A copy, because a reader may free the memory of what it has read.
        return streamOf(bytes.slice());
      },
    });
  }

  #once<T>(what: string, load: () => Promise<T>): Promise<T> {
    const answer = (this.#answers.get(what) as Promise<T> | undefined) ?? load();
    this.#answers.set(what, answer);
    return answer;
  }
}

/** So many show the size of segments where no backup does. */
const OLDEST_COUNT = 8;

export function factsOf(repos: readonly Repository[]): RepoFacts[] {
  return repos.map((repo) => new RepoFacts(repo));
}
