/**
 * Pushes WAL files into one repository's archive.
 *
 * The archive is opened once for many files. Rules of the archive ("pgbackrest-format" 8.1): it must be this cluster's
 * (44), a segment is never replaced by other content (45), histories and backup labels are replaced without asking.
 */
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { currentHistory } from "../../format/repository/archiveInfo";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { findBeside, isSegment, makeDurable, putWal, type StoredWal } from "../../repository/walStore";
import { checkArchive, type ClusterIdentity } from "../shared/identity";
import type { PreparedWal } from "./prepareWal";

export interface OpenArchive {
  readonly archiveId: string;
  readonly pass: string | null;
}

/**
 * How long a listing also answers for a segment's neighbours. It misses another host's segment that arrives meanwhile,
 * just as a check misses one that arrives during the transfer.
 */
const LISTED_MS = 500;
/** Hexadecimal digits of a segment's name less one: sixteen segments share them. */
const NEIGHBOURS_LENGTH = 23;

interface Listing {
  readonly archiveId: string;
  readonly prefix: string;
  readonly askedAtMs: number;
  readonly stored: Promise<readonly StoredWal[]>;
  /** Segments stored from here since the listing was requested. */
  readonly pushed: Pick<StoredWal, "name" | "fileName" | "sha1">[];
}

export class PushTarget {
  readonly repo: Repository;
  readonly #ctx: Context;
  #opened: OpenArchive | undefined;
  #listing: Listing | undefined;

  constructor(repo: Repository, ctx: Context) {
    this.repo = repo;
    this.#ctx = ctx;
  }

  /** Null until {@link open} has succeeded. */
  get opened(): OpenArchive | null {
    return this.#opened ?? null;
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
    this.#listing = undefined;
  }

  /** @throws archiveDuplicate (45), pathMissing when the repository went away meanwhile, and the storage's errors */
  async push(wal: PreparedWal, archive: OpenArchive): Promise<"pushed" | "present"> {
    const existing = await this.#find(wal, archive.archiveId);
    if (existing !== null) {
      // Segments pushed from here are already durable.
      if (!existing.isOwn) await makeDurable(this.repo, archive.archiveId, existing.fileName);
      return "present";
    }
    if (this.#ctx.signal.aborted) throw fail("term", `pushing ${wal.name} was stopped`);
    const compressType = isSegment(wal.name) ? this.repo.compress.type : "none";
    const open = await wal.packed({ type: compressType, level: this.repo.compress.level });
    const stored = { archiveId: archive.archiveId, name: wal.name, sha1: wal.sha1, compressType, open };
    await putWal(this.repo, stored, archive.pass, () => this.#ctx.random.bytes(8));
    if (this.#listing?.prefix === prefixOf(wal.name))
      this.#listing.pushed.push({ name: wal.name, fileName: wal.name, sha1: wal.sha1 });
    return "pushed";
  }

  /**
   * True when a previously stored segment still exists; false also for files that are replaced without asking.
   * @throws as {@link push}
   */
  async holds(wal: Pick<PreparedWal, "name" | "sha1">, archive: OpenArchive): Promise<boolean> {
    return (await this.#find(wal, archive.archiveId)) !== null;
  }

  async #find(
    wal: Pick<PreparedWal, "name" | "sha1">,
    archiveId: string,
  ): Promise<{ readonly fileName: string; readonly isOwn: boolean } | null> {
    if (!isSegment(wal.name)) return null;
    const listing = this.#neighbours(wal.name, archiveId);
    const stored = (await listing.stored).filter(({ name }) => name === wal.name);
    const copies = stored.length > 0 ? stored : listing.pushed.filter(({ name }) => name === wal.name);
    if (copies.length > 1) {
      const names = copies.map(({ fileName }) => fileName).join(", ");
      throw this.#duplicate(`duplicates found in archive for WAL segment ${wal.name}: ${names}`);
    }
    const [first] = copies;
    if (first === undefined) return null;
    if (first.sha1 !== wal.sha1)
      throw this.#duplicate(
        `WAL file '${wal.name}' already exists in the ${this.repo.name} archive with a different checksum`,
      );
    // Not a warning as in stock: an earlier call pushed most of these ahead.
    this.#ctx.log.detail(
      `WAL file '${wal.name}' already exists in the ${this.repo.name} archive with the same checksum`,
    );
    return { fileName: first.fileName, isOwn: stored.length === 0 };
  }

  /** The stored ones of the sixteen segments that differ from this one only in the last digit. */
  #neighbours(name: string, archiveId: string): Listing {
    const prefix = prefixOf(name);
    const nowMs = this.#ctx.clock.monotonicMs();
    const known = this.#listing;
    if (known?.prefix === prefix && known.archiveId === archiveId && nowMs - known.askedAtMs < LISTED_MS) return known;
    const listing: Listing = {
      archiveId,
      prefix,
      askedAtMs: nowMs,
      stored: findBeside(this.repo, archiveId, name, prefix),
      pushed: [],
    };
    this.#listing = listing;
    listing.stored.catch(() => {
      if (this.#listing === listing) this.#listing = undefined;
    });
    return listing;
  }

  #duplicate(message: string): Error {
    return fail("archiveDuplicate", message, {
      hint: "are multiple primaries archiving to this stanza?",
      repoIndex: this.repo.key,
    });
  }
}

function prefixOf(name: string): string {
  return name.slice(0, NEIGHBOURS_LENGTH);
}
