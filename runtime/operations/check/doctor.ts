/**
 * Tries with the real key what a repository needs from its storage: write, read, ranges, large files, an interrupted
 * write, listing, replacing, removing. All tests use one directory next to `archive` and `backup`, which is removed
 * afterwards.
 */
import { type ByteStream, collect, streamOf, textOf, utf8 } from "../../base/bytes";
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import type { Repository } from "../../repository/repository";
import type { Storage, StorageFact } from "../../storage/storage";
import { oldestLock } from "../shared/oldestLock";

export interface Diagnosis {
  readonly repoIndex: number;
  /** `/mnt/nas/pgbackrest` or `s3://bucket/prefix`. */
  readonly name: string;
  readonly facts: readonly StorageFact[];
  /** The first required feature that fails; null when all work. */
  readonly error: BackupError | null;
}

export interface DoctorOptions {
  /** Name of the directory, unique for each run. */
  readonly scratch: string;
  /** Large enough to be stored as a large file. */
  readonly largeSizeBytes: number;
}

const SMALL = "0123456789";
const CHUNK_SIZE_BYTES = 1024 * 1024;
const MANY = 4;
/** Names to read from the root: that many prove that listing works. */
const LISTED_MAX = 10;

/**
 * What the storage of one repository can do. Writes nothing if the repository's directory is missing: a NAS may be
 * unmounted.
 */
export async function diagnose(
  repo: Repository,
  options: DoctorOptions,
  ctx: Pick<Context, "clock" | "log">,
): Promise<Diagnosis> {
  const { storage } = repo;
  const round = new Round(repo, options);
  try {
    if (await round.isThere()) {
      if (await round.write()) await round.readAndReplace();
      await round.missing();
      await round.rest();
      if (round.facts.some(({ lockedForMs }) => lockedForMs !== undefined)) await round.lock(repo, ctx.clock.nowMs());
    }
  } finally {
    await round.cleanUp(ctx);
  }
  return { repoIndex: repo.key, name: storage.name, facts: round.facts, error: round.error };
}

class Round {
  readonly facts: StorageFact[] = [];
  error: BackupError | null = null;
  readonly #storage: Storage;
  readonly #repoIndex: number;
  readonly #options: DoctorOptions;
  #written = false;

  constructor({ key, storage }: Repository, options: DoctorOptions) {
    this.#storage = storage;
    this.#repoIndex = key;
    this.#options = options;
  }

  isThere(): Promise<boolean> {
    return this.#try("list", async () => {
      const { directories } = this.#storage.features;
      if (directories && (await this.#storage.stat("")) === null) {
        throw this.#failed("the directory does not exist: check the mount, then run stanza-create");
      }
      let count = 0;
      for await (const _info of this.#storage.list("")) if (++count >= LISTED_MAX) break;
      return "the repository can be listed";
    });
  }

  async write(): Promise<boolean> {
    this.#written = true;
    return this.#try("write", async () => {
      await this.#storage.put(this.#path("small"), utf8(SMALL));
      return "a file can be written";
    });
  }

  async readAndReplace(): Promise<void> {
    await this.#try("read", async () => this.#expect(SMALL, await this.#text("small"), "a written file can be read"));
    await this.#try("range", async () =>
      this.#expect("345", await this.#text("small", 3), "a range of a file can be read"),
    );
    await this.#try("overwrite", async () => {
      await this.#storage.put(this.#path("small"), utf8("new"));
      return this.#expect("new", await this.#text("small"), "a file can be replaced, as info files require");
    });
    await this.#try("large", () => this.#large());
    await this.#try("broken-write", () => this.#broken());
    await this.#try("remove", () => this.#many());
  }

  /**
   * Without the right to list, stores answer "denied" for a missing file, and every restore would take that for an
   * error.
   */
  async missing(): Promise<void> {
    await this.#try("missing", async () => {
      const path = this.#path("never-written");
      if ((await this.#storage.stat(path)) !== null) throw this.#failed(`'${path}' is reported to exist`);
      try {
        for await (const _chunk of await this.#storage.read(path)) break;
      } catch (error) {
        if (isError(error, "fileMissing")) return "a missing file is reported as missing";
        throw error;
      }
      throw this.#failed(`'${path}' was never written but can be read`);
    });
  }

  async rest(): Promise<void> {
    if (this.#storage.probe === undefined) return;
    try {
      for (const fact of await this.#storage.probe(this.#options.scratch))
        this.#add(fact, this.#failed(`${fact.name}: ${fact.text}`));
    } catch (error) {
      this.#add({ name: "probe", verdict: "fail", text: toBackupError(error).message }, toBackupError(error));
    }
  }

  /** Where only locks keep this key from deleting versions. */
  async lock(repo: Repository, nowMs: number): Promise<void> {
    try {
      const fact = await oldestLock(repo, nowMs);
      // A danger, like a key that deletes versions: backups work.
      if (fact !== null) this.facts.push(fact.verdict === "fail" ? { ...fact, verdict: "warn" } : fact);
    } catch (error) {
      this.facts.push({ name: "oldest-backup", verdict: "skip", text: toBackupError(error).message });
    }
  }

  async cleanUp(ctx: Pick<Context, "log">): Promise<void> {
    if (!this.#written) return;
    try {
      await this.#storage.removePath(this.#options.scratch);
    } catch (error) {
      const reason = toBackupError(error);
      ctx.log.warn(`repo${this.#repoIndex}: unable to remove '${this.#options.scratch}': ${reason.message}`);
      // Without the right to write nothing can exist.
      if (this.facts.some((fact) => fact.name === "write" && fact.verdict === "ok"))
        this.#add({ name: "cleanup", verdict: "fail", text: reason.message }, reason);
    }
  }

  async #large(): Promise<string> {
    const { largeSizeBytes } = this.#options;
    const path = this.#path("large");
    await this.#storage.putStream(path, () => repeated(largeSizeBytes));
    let sizeBytes = 0;
    for await (const chunk of await this.#storage.read(path)) {
      if (chunk.some((byte) => byte !== FILL))
        throw this.#failed(`the content of '${path}' differs from what was written`);
      sizeBytes += chunk.length;
    }
    if (sizeBytes !== largeSizeBytes)
      throw this.#failed(`'${path}' has ${sizeBytes} bytes, ${largeSizeBytes} were written`);
    return `${largeSizeBytes} bytes were written and read`;
  }

  async #broken(): Promise<string> {
    const path = this.#path("broken");
    const stop = new Error("aborted on purpose");
    const broken = async function* (sizeBytes: number): ByteStream {
      yield* repeated(sizeBytes);
      throw stop;
    };
    const outcome = await this.#storage
      .putStream(path, () => broken(this.#options.largeSizeBytes))
      .then(
        () => null,
        (error: unknown) => error,
      );
    if (outcome === null) throw this.#failed("an aborted write was reported as successful");
    if ((await this.#storage.stat(path)) !== null) throw this.#failed("an aborted write left a file");
    return "an aborted write leaves no file";
  }

  async #many(): Promise<string> {
    const folder = this.#path("many");
    for (let index = 0; index < MANY; index++) await this.#storage.put(`${folder}/${index}`, utf8("x"));
    const before = await this.#count(folder);
    if (before !== MANY) throw this.#failed(`${before} of ${MANY} files are listed`);
    await this.#storage.removePath(folder);
    const left = await this.#count(folder);
    if (left !== 0) throw this.#failed(`${left} of ${MANY} files are still listed after they were removed`);
    return "several files are listed, and removed together";
  }

  async #count(path: string): Promise<number> {
    let count = 0;
    for await (const _info of this.#storage.list(path)) count++;
    return count;
  }

  async #text(name: string, offsetBytes?: number): Promise<string> {
    const range = offsetBytes === undefined ? undefined : { offsetBytes, sizeBytes: 3 };
    return textOf(await collect(await this.#storage.read(this.#path(name), range), CHUNK_SIZE_BYTES));
  }

  #expect(wanted: string, actual: string, text: string): string {
    if (wanted === actual) return text;
    throw this.#failed(`${actual.length} bytes were read that differ from the ${wanted.length} written`);
  }

  async #try(name: string, work: () => Promise<string>): Promise<boolean> {
    try {
      this.facts.push({ name, verdict: "ok", text: await work() });
      return true;
    } catch (error) {
      if (isError(error, "term")) throw error;
      const reason = toBackupError(error);
      this.#add({ name, verdict: "fail", text: reason.message }, reason);
      return false;
    }
  }

  #add(fact: StorageFact, error: BackupError): void {
    this.facts.push(fact);
    if (fact.verdict === "fail") this.error ??= error;
  }

  #failed(message: string): BackupError {
    return fail("service", message, { repoIndex: this.#repoIndex });
  }

  #path(name: string): string {
    return `${this.#options.scratch}/${name}`;
  }
}

const FILL = 7;

/** Compressible on purpose: nothing between here and the store may change it. */
async function* repeated(sizeBytes: number): ByteStream {
  const chunk = new Uint8Array(CHUNK_SIZE_BYTES).fill(FILL);
  for (let left = sizeBytes; left > 0; left -= CHUNK_SIZE_BYTES)
    yield* streamOf(chunk.subarray(0, Math.min(left, CHUNK_SIZE_BYTES)));
}
