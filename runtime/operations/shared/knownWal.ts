/**
 * Which of a repository's stored WAL files count. A name and a size prove nothing about the bytes: a file counts with
 * the size and time that it had when this host stored it or read it, else it is read. A process reads each file once:
 * it remembers damaged ones too, until they change.
 */
import { LIMITS } from "../../base/limits";
import type { SeenWal } from "../../local/seenWal";
import type { Repository } from "../../repository/repository";
import { canBeWhole, findWal, isIntact, makeDurable, type StoredWal } from "../../repository/walStore";
import { readNamed } from "./namedWal";

/** An archive id and its passphrase. */
export interface OpenArchive {
  readonly archiveId: string;
  readonly pass: string | null;
}

/** Files that are remembered; the oldest is forgotten first. A queue may have pushed as many ahead. */
const SEEN_MAX = LIMITS.queueFiles;

export class KnownWal {
  readonly #repo: Repository;
  readonly #seen: SeenWal;
  readonly #damaged: SeenWal = new Map();

  /** `seen` is read and added to. */
  constructor(repo: Repository, seen: SeenWal = new Map()) {
    this.#repo = repo;
    this.#seen = seen;
  }

  /** True when the archive holds exactly one file under the name, and that one counts. @throws errors of reading */
  async holds(name: string, archive: OpenArchive): Promise<boolean> {
    const [stored, ...others] = await findWal(this.#repo, archive.archiveId, name);
    return stored !== undefined && others.length === 0 && (await this.isGood(stored, archive));
  }

  /**
   * True when the content is what the checksum in the name says; of a history or backup label, when it fits its name.
   * @throws errors of reading
   */
  async isGood(
    stored: StoredWal,
    archive: OpenArchive,
    sizeBytes: number = LIMITS.walSegmentSizeBytesMax,
  ): Promise<boolean> {
    const { archiveId } = archive;
    if (isIn(this.#seen, stored, archiveId)) return true;
    if (!canBeWhole(stored) || isIn(this.#damaged, stored, archiveId)) return false;
    if (!(await this.#read(stored, archive, sizeBytes))) {
      add(this.#damaged, stored, archiveId);
      return false;
    }
    await makeDurable(this.#repo, archiveId, stored.fileName);
    // The name of the others is no sign of a change.
    if (stored.sha1 !== null) this.remember(stored, archiveId);
    return true;
  }

  remember(stored: StoredWal, archiveId: string): void {
    add(this.#seen, stored, archiveId);
  }

  async #read(stored: StoredWal, { archiveId, pass }: OpenArchive, sizeBytes: number): Promise<boolean> {
    return stored.sha1 === null
      ? (await readNamed(this.#repo, archiveId, stored, pass)).problem === null
      : isIntact(this.#repo, archiveId, stored, pass, { sha1: stored.sha1, sizeBytes });
  }
}

function isIn(marks: SeenWal, stored: StoredWal, archiveId: string): boolean {
  return marks.get(keyOf(stored, archiveId)) === markOf(stored);
}

function add(marks: SeenWal, stored: StoredWal, archiveId: string): void {
  const key = keyOf(stored, archiveId);
  marks.delete(key);
  marks.set(key, markOf(stored));
  const [oldest] = marks.keys();
  if (oldest !== undefined && marks.size > SEEN_MAX) marks.delete(oldest);
}

function keyOf({ fileName }: StoredWal, archiveId: string): string {
  return `${archiveId}/${fileName}`;
}

function markOf({ modifiedAtMs, sizeRepoBytes }: StoredWal): string {
  return `${sizeRepoBytes}:${modifiedAtMs}`;
}
