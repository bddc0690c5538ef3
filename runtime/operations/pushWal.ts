/**
 * One repository's archive as the place that WAL files are pushed to.
 *
 * Opened once for many files. Rules of the archive ("pgbackrest-format" 8.1): the archive must be this cluster's (44), a segment is never
 * replaced by other content (45), histories and backup labels are replaced without asking.
 */
import type { Context } from "../base/context";
import { fail } from "../base/errors";
import { loadArchiveInfo } from "../repository/infoStore";
import type { Repository } from "../repository/repository";
import { findWal, isSegment, putWal } from "../repository/walStore";
import { checkArchive, type ClusterIdentity } from "./identity";
import type { PreparedWal } from "./prepareWal";

export interface OpenArchive {
  readonly archiveId: string;
  readonly pass: string | null;
}

export class PushTarget {
  readonly repo: Repository;
  readonly #ctx: Context;
  #opened: OpenArchive | undefined;

  constructor(repo: Repository, ctx: Context) {
    this.repo = repo;
    this.#ctx = ctx;
  }

  /** Null until {@link open} has succeeded. */
  get opened(): OpenArchive | null {
    return this.#opened ?? null;
  }

  /** Loads archive.info, once; `cluster` null takes the repository's own. @throws archiveMismatch (44) and what loading throws */
  async open(cluster: ClusterIdentity | null): Promise<OpenArchive> {
    if (this.#opened !== undefined) return this.#opened;
    const info = await loadArchiveInfo(this.repo);
    const current = info.history.find((entry) => entry.id === info.currentId);
    const archiveId = checkArchive(this.repo, info, cluster ?? { version: current?.pgVersion ?? "", systemId: current?.systemId ?? 0n });
    this.#opened = { archiveId, pass: info.cipherPass ?? null };
    return this.#opened;
  }

  /** The next push loads archive.info again: an upgrade or a new stanza changes archive id and key. */
  forget(): void {
    this.#opened = undefined;
  }

  /** @throws archiveDuplicate (45), and what the storage throws */
  async push(wal: PreparedWal, archive: OpenArchive): Promise<"pushed" | "present"> {
    if (await this.#isStored(wal, archive.archiveId)) return "present";
    if (this.#ctx.signal.aborted) throw fail("term", `push of ${wal.name} was stopped`);
    const compressType = isSegment(wal.name) ? this.repo.compress.type : "none";
    const open = await wal.packed({ type: compressType, level: this.repo.compress.level });
    const stored = { archiveId: archive.archiveId, name: wal.name, sha1: wal.sha1, compressType, open };
    await putWal(this.repo, stored, archive.pass, () => this.#ctx.random.bytes(8));
    return "pushed";
  }

  async #isStored(wal: PreparedWal, archiveId: string): Promise<boolean> {
    if (!isSegment(wal.name)) return false;
    const found = await findWal(this.repo, archiveId, wal.name);
    if (found.length > 1) {
      const names = found.map((stored) => stored.fileName).join(", ");
      throw this.#duplicate(`duplicates found in archive for WAL segment ${wal.name}: ${names}`);
    }
    const [stored] = found;
    if (stored === undefined) return false;
    if (stored.sha1 !== wal.sha1)
      throw this.#duplicate(`WAL file '${wal.name}' already exists in the ${this.repo.name} archive with a different checksum`);
    // Not a warning as in stock: most of these were pushed ahead by an earlier call.
    this.#ctx.log.detail(`WAL file '${wal.name}' already exists in the ${this.repo.name} archive with the same checksum`);
    return true;
  }

  #duplicate(message: string): Error {
    return fail("archiveDuplicate", message, { hint: "are multiple primaries archiving to this stanza?", repoKey: this.repo.key });
  }
}
