/**
 * Pushes WAL files into one repository's archive.
 *
 * The archive is opened once for many files. Rules of the archive ("pgbackrest-format" 8.1): it must be this cluster's
 * (44), and a WAL file is never replaced by other content (45). A name proves nothing: a stored file counts only with
 * the size and time that it had when it was stored or read from here, else it is read once. A damaged file is replaced.
 * After a push the archive is listed again: another host may have pushed other content under the same name in the
 * meantime.
 */
import { collect } from "../../base/bytes";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { currentHistory } from "../../format/repository/archiveInfo";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import {
  createNamedWal,
  findWal,
  isIntact,
  isSegment,
  lookUpWal,
  makeDurable,
  putWal,
  removeDamagedWal,
  type StoredWal,
} from "../../repository/walStore";
import type { SeenWal } from "../../local/seenWal";
import { checkArchive, type ClusterIdentity } from "../shared/identity";
import { readNamed } from "../shared/namedWal";
import { KnownWal, type OpenArchive } from "../shared/knownWal";
import { Neighbours } from "./neighbours";
import type { PreparedWal } from "./prepareWal";

/** What identifies content: enough to find or to compare it in an archive. The size is the largest to read. */
type WalFacts = Pick<PreparedWal, "name" | "sha1" | "sizeBytes">;
/** What a push sends. */
export type WalContent = WalFacts & Pick<PreparedWal, "packed">;

export class PushTarget {
  readonly repo: Repository;
  /** Adds to the constructor's `seen`. */
  readonly known: KnownWal;
  readonly #ctx: Context;
  readonly #neighbours: Neighbours;
  #opened: OpenArchive | undefined;

  /** `seen` is read and added to. */
  constructor(repo: Repository, ctx: Context, seen: SeenWal = new Map()) {
    this.repo = repo;
    this.known = new KnownWal(repo, seen);
    this.#ctx = ctx;
    this.#neighbours = new Neighbours(repo, ctx.clock);
  }

  /**
   * Loads archive.info, once; a null `cluster` takes the repository's own.
   * @throws archiveMismatch (44) and load errors
   */
  async open(cluster: ClusterIdentity | null): Promise<OpenArchive> {
    if (this.#opened !== undefined) return this.#opened;
    const info = await loadArchiveInfo(this.repo);
    const current = currentHistory(info);
    const archiveId = checkArchive(
      this.repo,
      info,
      cluster ?? { version: current.pgVersion, systemId: current.systemId },
    );
    this.#opened = { archiveId, pass: info.cipherPass ?? null };
    return this.#opened;
  }

  /** Makes the next push reload archive.info: an upgrade or a new stanza changes archive id and key. */
  forget(): void {
    this.#opened = undefined;
    this.#neighbours.forget();
  }

  /**
   * `onSent` is called when a transfer is over, before the file counts as stored.
   * @throws archiveDuplicate (45), pathMissing when the repository went away in the meantime, and the storage's errors
   */
  async push(wal: WalContent, archive: OpenArchive, onSent: () => void = () => {}): Promise<"pushed" | "present"> {
    if (!isSegment(wal.name)) return this.#pushNamed(wal, archive);
    const stored = await this.#find(wal, archive);
    if (stored !== null && (await this.#isGood(stored, wal, archive))) return "present";
    this.#throwIfStopped(wal);
    const compressType = this.repo.compress.type;
    const open = await wal.packed({ type: compressType, level: this.repo.compress.level });
    const sent = await putWal(
      this.repo,
      { archiveId: archive.archiveId, name: wal.name, sha1: wal.sha1, compressType, open },
      archive.pass,
      () => this.#ctx.random.bytes(8),
    );
    onSent();
    await this.#lookAgain(wal, sent, stored, archive);
    return "pushed";
  }

  /**
   * True when a previously stored segment is still there with its content; false also for files without a checksum in
   * their names, which a push compares.
   * @throws as {@link push}
   */
  async holds(wal: WalFacts, archive: OpenArchive): Promise<boolean> {
    if (!isSegment(wal.name)) return false;
    const stored = await this.#find(wal, archive);
    return stored !== null && (await this.#isGood(stored, wal, archive));
  }

  /** The file that names this content. @throws archiveDuplicate (45) */
  async #find(wal: WalFacts, { archiveId }: OpenArchive): Promise<StoredWal | null> {
    const copies = await this.#neighbours.recent(wal.name, archiveId);
    this.#requireOne(wal, copies);
    return copies[0] ?? null;
  }

  #requireOne({ name, sha1 }: WalFacts, copies: readonly StoredWal[]): void {
    if (copies.length > 1) {
      const names = copies.map(({ fileName }) => fileName).join(", ");
      throw this.#conflict(`duplicates found in archive for WAL segment ${name}: ${names}`);
    }
    if (copies.some((stored) => stored.sha1 !== sha1))
      throw this.#conflict(
        `WAL file '${name}' already exists in the ${this.repo.name} archive with a different checksum`,
      );
  }

  async #isGood(stored: StoredWal, wal: WalFacts, archive: OpenArchive): Promise<boolean> {
    if (!(await this.known.isGood(stored, archive, wal.sizeBytes))) {
      this.#ctx.log.warn(`${this.repo.name}: stored WAL file '${stored.fileName}' is damaged and does not count`);
      return false;
    }
    // Not a warning as in stock: an earlier call pushed most of these ahead.
    this.#ctx.log.detail(
      `WAL file '${wal.name}' already exists in the ${this.repo.name} archive with the same checksum`,
    );
    return true;
  }

  /**
   * Two hosts that push different content under one name at the same time both find the name free. So each looks again
   * after its write, and reports a conflict if it sees the other's file. At least the later one sees it. Both may, and
   * then neither counts as stored: the times in a listing do not show who was first, and a file that is taken back may
   * have been acknowledged in the meantime.
   */
  async #lookAgain(
    wal: WalFacts,
    { fileName, sizeRepoBytes }: Pick<StoredWal, "fileName" | "sizeRepoBytes">,
    damaged: StoredWal | null,
    archive: OpenArchive,
  ): Promise<void> {
    const { archiveId, pass } = archive;
    const listed = await this.#neighbours.after(wal.name, archiveId);
    const isOld = (stored: StoredWal): boolean => stored.fileName === damaged?.fileName && stored.fileName !== fileName;
    const copies = listed.filter((stored) => !isOld(stored));
    this.#requireOne(wal, copies);
    const own = copies[0] ?? (await lookUpWal(this.repo, archiveId, fileName));
    // Another process of this server may store the same content packed otherwise.
    const isOwn =
      own !== null && (own.sizeRepoBytes === sizeRepoBytes || (await isIntact(this.repo, archiveId, own, pass, wal)));
    if (!isOwn)
      throw fail("fileMissing", `WAL file '${fileName}' was stored in ${this.repo.name} and is not there`, {
        repoIndex: this.repo.key,
        retryable: true,
      });
    this.known.remember(own, archiveId);
    // The same content in another form, which stock would take for a duplicate.
    if (listed.some(isOld)) await removeDamagedWal(this.repo, archiveId, damaged?.fileName ?? "");
  }

  /** A history or backup label. */
  async #pushNamed(wal: WalContent, { archiveId, pass }: OpenArchive): Promise<"pushed" | "present"> {
    const bytes = await collect((await wal.packed({ type: "none", level: 0 }))(), LIMITS.wholeFileSizeBytesMax);
    const salt = (): Uint8Array => this.#ctx.random.bytes(8);
    const isNew = async (): Promise<boolean> => {
      this.#throwIfStopped(wal);
      return createNamedWal(this.repo, { archiveId, name: wal.name }, bytes, pass, salt);
    };
    let [stored] = await findWal(this.repo, archiveId, wal.name);
    let isOurs = false;
    if (stored === undefined) {
      isOurs = await isNew();
      if (isOurs && this.repo.storage.create !== undefined) return "pushed";
      stored = (await lookUpWal(this.repo, archiveId, wal.name)) ?? undefined;
      if (stored === undefined)
        throw fail("fileMissing", `WAL file '${wal.name}' was stored in ${this.repo.name} and is not there`, {
          repoIndex: this.repo.key,
          retryable: true,
        });
    }
    const { problem, sha1 } = await readNamed(this.repo, archiveId, stored, pass);
    if (sha1 === wal.sha1) {
      if (!isOurs) await makeDurable(this.repo, archiveId, stored.fileName);
      return isOurs ? "pushed" : "present";
    }
    if (problem === null)
      throw this.#conflict(`WAL file '${wal.name}' already exists in the ${this.repo.name} archive with other content`);
    this.#ctx.log.warn(`${this.repo.name}: stored WAL file '${wal.name}' is damaged and is replaced: ${problem}`);
    const again = { archiveId, name: wal.name, sha1: wal.sha1, compressType: "none" as const };
    await putWal(this.repo, { ...again, open: await wal.packed({ type: "none", level: 0 }) }, pass, salt);
    return "pushed";
  }

  #throwIfStopped({ name }: WalFacts): void {
    if (this.#ctx.signal.aborted) throw fail("term", `pushing ${name} was stopped`);
  }

  #conflict(message: string): Error {
    return fail("archiveDuplicate", message, {
      hint: "are multiple primaries archiving to this stanza?",
      repoIndex: this.repo.key,
    });
  }
}
