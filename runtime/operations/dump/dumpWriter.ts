/**
 * Writes streams that are read once into all repositories of a dump at the same time. A repository that fails leaves
 * the dump with its error and gets no more bytes; the others go on.
 */
import { createHash } from "node:crypto";
import type { ByteStream } from "../../base/bytes";
import type { Context } from "../../base/context";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import { perRepo, type RepoResult } from "../../base/parallel";
import { type DumpContent, dumpPartName } from "../../format/repository/dumpManifest";
import { dumpPath } from "../../format/repository/repoPath";
import type { Lease } from "../../repository/lease";
import type { Repository } from "../../repository/repository";
import { BundleWriter } from "../backup/bundleWriter";
import { groupTargets, OpenTarget, type TargetGroup } from "../backup/fileTargets";
import { combinedError } from "../shared/results";

/** A repository of a dump. */
export interface DumpTarget {
  readonly key: number;
  readonly repo: Repository;
  readonly lease: Lease;
  /** Passphrase of the dump's files; null without encryption. */
  readonly cipherPass: string | null;
}

interface DumpForm {
  /** No other run writes into it. */
  readonly directory: string;
  /** A stored file of this size is the last one that grows: the stream goes on in a new one. */
  readonly partSizeBytes?: number | undefined;
}

/** An S3 service takes uploads of 10,000 parts: 48 GiB with parts of the usual size. */
const PART_SIZE_BYTES = 16 * 1024 ** 3;

/** The content that each repository has of one stream, by key. */
export type Written = ReadonlyMap<number, DumpContent>;

export class DumpWriter {
  readonly #keys: readonly number[];
  readonly #directory: string;
  readonly #partSizeBytes: number;
  readonly #ctx: Context;
  readonly #alive = new Map<number, DumpTarget>();
  readonly #errors = new Map<number, BackupError>();

  constructor(
    opened: readonly RepoResult<DumpTarget>[],
    { directory, partSizeBytes = PART_SIZE_BYTES }: DumpForm,
    ctx: Context,
  ) {
    this.#keys = opened.map(({ repoIndex }) => repoIndex);
    this.#directory = directory;
    this.#partSizeBytes = partSizeBytes;
    this.#ctx = ctx;
    for (const result of opened) {
      if (result.ok) this.#alive.set(result.repoIndex, result.value);
      else this.leave(result.repoIndex, result.error);
    }
  }

  get alive(): readonly DumpTarget[] {
    return [...this.#alive.values()];
  }

  leave(repoIndex: number, error: BackupError): void {
    this.#alive.delete(repoIndex);
    this.#errors.set(repoIndex, error);
    this.#ctx.log.warn(`repo${repoIndex} drops out of this dump: [${error.name}] ${error.message}`);
  }

  /** @throws the combined error when no repository is left */
  requireOne(): void {
    if (this.#ctx.signal.aborted) throw toBackupError(this.#ctx.signal.reason, "term");
    const error = this.#alive.size > 0 ? null : combinedError("dump", this.results());
    if (error !== null) throw error;
  }

  results(): RepoResult<string>[] {
    return this.#keys.map((repoIndex): RepoResult<string> => {
      const error = this.#errors.get(repoIndex);
      return error === undefined ? { repoIndex, ok: true, value: this.#directory } : { repoIndex, ok: false, error };
    });
  }

  /**
   * Stores one stream under `fileName`.
   * @throws the source's error; the combined error when no repository is left
   */
  async write(fileName: string, source: ByteStream): Promise<Written> {
    const hash = createHash("sha256");
    const parts = new Map<number, number[]>(this.#keys.map((key) => [key, []]));
    let sizeBytes = 0;
    let partCount = 0;
    let part: Part | null = null;
    try {
      for await (const chunk of source) {
        hash.update(chunk);
        sizeBytes += chunk.length;
        await this.#keepLeases();
        part ??= await Part.open(this.alive, this.#directory, dumpPartName(fileName, ++partCount), this.#ctx);
        await this.#writeChunk(part, chunk);
        if (part.sizeBytes < this.#partSizeBytes) continue;
        await this.#endPart(part, parts);
        part = null;
      }
      // Only a defect prints nothing and ends with 0.
      if (partCount === 0) throw fail("execute", `PostgreSQL's program printed nothing for '${fileName}'`);
      if (part !== null) await this.#endPart(part, parts);
    } catch (error) {
      await part?.abandon(error);
      throw error;
    }
    const content = { sizeBytes, sha256: hash.digest("hex") };
    return new Map([...this.#alive.keys()].map((key) => [key, { ...content, partSizesBytes: parts.get(key) ?? [] }]));
  }

  async #writeChunk(part: Part, chunk: Uint8Array): Promise<void> {
    await part.keepOnly(this.#alive);
    await part.write(chunk);
    for (const { error, repoIndex } of part.failed()) if (this.#alive.has(repoIndex)) this.leave(repoIndex, error);
    this.requireOne();
  }

  async #endPart(part: Part, sizes: ReadonlyMap<number, number[]>): Promise<void> {
    for (const result of await part.finish()) {
      if (result.ok) sizes.get(result.repoIndex)?.push(result.value);
      else this.leave(result.repoIndex, result.error);
    }
    this.requireOne();
  }

  /** Before each write: a repository that another process has taken over leaves the dump. */
  async #keepLeases(): Promise<void> {
    await Promise.all(
      this.alive.map(({ key, lease }) => lease.keep().catch((error: unknown) => this.leave(key, toBackupError(error)))),
    );
    this.requireOne();
  }
}

interface PartTarget {
  readonly repo: Repository;
  readonly open: OpenTarget;
}

/** One stored file in every repository. */
class Part {
  readonly #targets: readonly PartTarget[];
  readonly #groups: readonly TargetGroup[];
  sizeBytes = 0;

  private constructor(targets: readonly PartTarget[], groups: readonly TargetGroup[]) {
    this.#targets = targets;
    this.#groups = groups;
  }

  static async open(repos: readonly DumpTarget[], directory: string, name: string, ctx: Context): Promise<Part> {
    const targets = repos.map(({ cipherPass, key, repo }): PartTarget => {
      const path = `${dumpPath(repo.stanza, directory)}/${name}`;
      // pg_dump has compressed.
      const compress = { type: "none", level: 0 } as const;
      const piece = { repoIndex: key, path, compress, cipherPass, bundleId: null, raw: false, block: null };
      return { repo, open: new OpenTarget(piece, new BundleWriter(repo, path), null) };
    });
    const groups = await groupTargets(
      targets.map(({ open }) => open),
      ctx,
    );
    return new Part(targets, groups);
  }

  /** Ends the file in every other repository. */
  async keepOnly(alive: ReadonlyMap<number, unknown>): Promise<void> {
    for (const { open, repo } of this.#targets)
      if (!alive.has(repo.key)) await open.fail(fail("lockAcquire", `${repo.name} has left the dump`));
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.sizeBytes += chunk.length;
    for (const group of this.#groups) await group.write(chunk);
  }

  failed(): { readonly repoIndex: number; readonly error: BackupError }[] {
    return this.#targets.flatMap(({ open: { error, target } }) =>
      error === null ? [] : [{ repoIndex: target.repoIndex, error }],
    );
  }

  /** Stored sizes; a repository that failed earlier has no result. */
  async finish(): Promise<RepoResult<number>[]> {
    const targets = this.#targets.filter(({ open }) => open.error === null);
    for (const group of this.#groups) await group.finish();
    this.#close();
    const repos = targets.map(({ open, repo: { key } }) => ({ key, open }));
    return perRepo(repos, async ({ open }) => {
      if (open.error !== null) throw open.error;
      await open.writer.finish();
      return open.stored().sizeRepoBytes;
    });
  }

  async abandon(reason: unknown): Promise<void> {
    this.#close();
    await Promise.all(this.#targets.map(({ open }) => open.fail(reason)));
  }

  #close(): void {
    for (const group of this.#groups) group.close();
  }
}
