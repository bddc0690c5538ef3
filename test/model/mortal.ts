/**
 * A process that can die between any two of its writes, or during one: at the open, at any chunk, at the sync, at the
 * rename.
 *
 * Each operation of the model runs in a separate process, which wraps the storages and the records of missing WAL. Once
 * the process ends or dies, nothing that is still running reaches the storages. Death leaves what the storage allows: a
 * partial file for a write in place, a temporary file for an atomic write, a half-removed directory, or a complete
 * write that the caller never heard of. A power loss also loses names that were not synced.
 */
import { type ByteStream, streamOf } from "../../runtime/base/bytes";
import { type BackupError, fail, isError } from "../../runtime/base/errors";
import { TEMP_SUFFIX } from "../../runtime/base/temporaryName";
import type { MissingWalStore } from "../../runtime/local/missingWal";
import type {
  BlockReader,
  BlockWriter,
  ByteRange,
  ListOptions,
  ObjectInfo,
  PutOptions,
  Storage,
} from "../../runtime/storage/storage";

/** When and how a process dies. */
export interface Death {
  /** The number of writes before the fatal one. */
  readonly after: number;
  /** Count only removals and writes of infos, manifests and missing WAL. */
  readonly isAtHeart: boolean;
  /** How much of the fatal write remains: nothing, half, or all of it without an answer. */
  readonly leaves: "nothing" | "half" | "all";
  /** The power fails too: names that were not synced are lost. */
  readonly powerLost: boolean;
}

const HEART = /\.(info|manifest|history)(\.copy|\.gz)?$|^missing\.|^remove/;

export class Mortal {
  readonly death: Death | null;
  readonly #storages: MortalStorage[] = [];
  readonly #running = new Set<Promise<unknown>>();
  #writesLeft: number;
  #readsLeft = Number.POSITIVE_INFINITY;
  #over = false;
  #dead = false;

  /** With null the process never dies. */
  constructor(death: Death | null = null) {
    this.death = death;
    this.#writesLeft = death?.after ?? Number.POSITIVE_INFINITY;
  }

  /** A process that dies at a read. */
  static reading(readCount: number): Mortal {
    const mortal = new Mortal();
    mortal.#readsLeft = readCount;
    return mortal;
  }

  get dead(): boolean {
    return this.#dead;
  }

  /** @throws unhandled when the process has ended or died */
  live(what: string): void {
    if (this.#dead || this.#over) throw gone(what);
  }

  /** Call before a read. @throws unhandled when the process has ended or died, or dies now */
  look(what: string): void {
    this.live(what);
    if (this.#readsLeft-- > 0) return;
    this.#dead = true;
    throw gone(what);
  }

  /** Call before a write; false when this write is fatal. @throws unhandled when the process has ended or died */
  spend(what: string): boolean {
    this.live(what);
    if (this.death?.isAtHeart === true && !HEART.test(what)) return true;
    if (this.#writesLeft > 0) {
      this.#writesLeft--;
      return true;
    }
    this.#dead = true;
    return false;
  }

  track<T>(work: Promise<T>): Promise<T> {
    const tracked = work.catch(() => undefined).finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
    return work;
  }

  /** Ends the process. Calls that a storage already has may finish; no new call starts. */
  async end(): Promise<void> {
    this.#over = true;
    while (this.#running.size > 0) await Promise.all(this.#running);
    for (const storage of this.#storages) await storage.end();
  }

  storage(inner: Storage): Storage {
    const storage = new MortalStorage(inner, this);
    this.#storages.push(storage);
    return storage;
  }

  missingWal(inner: MissingWalStore): MissingWalStore {
    const write =
      <A extends unknown[]>(name: string, run: (...args: A) => void) =>
      (...args: A): void => {
        if (this.spend(name)) return run(...args);
        if (this.death?.leaves === "all") run(...args);
        throw gone(name);
      };
    return {
      ...inner,
      add: write("missing.add", inner.add),
      remove: write("missing.remove", inner.remove),
      addConflict: write("missing.addConflict", inner.addConflict),
      addDropped: write("missing.addDropped", inner.addDropped),
    };
  }
}

function gone(what: string): BackupError {
  return fail("unhandled", `the process died before ${what}`);
}

class MortalStorage implements Storage {
  readonly name: string;
  readonly features: Storage["features"];
  readonly openReader?: (path: string, range?: ByteRange) => BlockReader;
  readonly openWriter?: (path: string) => Promise<BlockWriter>;
  readonly create?: (path: string, bytes: Uint8Array) => Promise<boolean>;
  readonly #inner: Storage;
  readonly #mortal: Mortal;
  /** Files written in place whose names may not be on disk yet. */
  readonly #unsynced = new Set<string>();
  readonly #open = new Map<string, BlockWriter>();

  constructor(inner: Storage, mortal: Mortal) {
    this.#inner = inner;
    this.#mortal = mortal;
    this.name = inner.name;
    this.features = inner.features;
    if (inner.openReader !== undefined) {
      const openReader = inner.openReader.bind(inner);
      this.openReader = (path, range) => {
        mortal.look(`read ${path}`);
        return openReader(path, range);
      };
    }
    if (inner.openWriter !== undefined) this.openWriter = (path) => this.#openWriter(path);
    const create = inner.create?.bind(inner);
    if (create !== undefined) this.create = (path, bytes) => this.#create(path, () => create(path, bytes));
  }

  /** Closes files that death left open. A power loss then removes unsynced names. */
  async end(): Promise<void> {
    for (const writer of this.#open.values()) await writer.finish().catch(quietly);
    this.#open.clear();
    // A process that ended normally loses unsynced names too: whatever it reported as done must be on disk.
    if (this.#mortal.death?.powerLost !== true) return;
    // The disk may have written some names already, so keep every third one.
    for (const [index, path] of [...this.#unsynced].entries())
      if (index % 3 !== 0) await this.#inner.remove(path).catch(quietly);
  }

  async stat(path: string): Promise<ObjectInfo | null> {
    this.#mortal.live(`stat ${path}`);
    return this.#inner.stat(path);
  }

  async *list(path: string, options?: ListOptions): AsyncIterable<ObjectInfo> {
    this.#mortal.live(`list ${path}`);
    for await (const entry of this.#inner.list(path, options)) {
      this.#mortal.live(`list ${path}`);
      yield entry;
    }
  }

  async read(path: string, range?: ByteRange): Promise<ByteStream> {
    this.#mortal.look(`read ${path}`);
    return this.#inner.read(path, range);
  }

  async put(path: string, bytes: Uint8Array, options?: PutOptions): Promise<void> {
    await this.#write(
      `put ${path}`,
      () => this.#inner.put(path, bytes, options),
      () => this.#leave(path, bytes.subarray(0, bytes.length / 2), options),
    );
    this.#noteName(path, options);
  }

  /** The process can die at each chunk, and after the last one before the file gets its name. */
  async putStream(path: string, open: () => ByteStream, options?: PutOptions): Promise<void> {
    const mortal = this.#mortal;
    const taken: Uint8Array[] = [];
    async function* pieces(): ByteStream {
      taken.length = 0;
      for await (const piece of open()) {
        if (!mortal.spend(`piece of ${path}`)) throw gone(`piece of ${path}`);
        taken.push(Uint8Array.from(piece));
        yield piece;
      }
      if (!mortal.spend(`end of ${path}`)) throw gone(`end of ${path}`);
    }
    const run = async (): Promise<void> => {
      try {
        await this.#inner.putStream(path, pieces, options);
      } catch (error) {
        // The driver has cleaned up. A dead process could not, so restore what it leaves.
        if (mortal.dead) await this.#leave(path, Buffer.concat(taken), options).catch(quietly);
        throw error;
      }
    };
    await this.#write(`putStream ${path}`, run, () => this.#leave(path, new Uint8Array(0), options));
    this.#noteName(path, options);
  }

  async remove(path: string): Promise<void> {
    await this.#write(`remove ${path}`, () => this.#inner.remove(path));
  }

  async removePath(path: string): Promise<void> {
    await this.#write(
      `removePath ${path}`,
      () => this.#inner.removePath(path),
      async () => {
        const files: string[] = [];
        for await (const entry of this.#inner.list(path, { recursive: true })) files.push(entry.path);
        for (const file of files.filter((_, index) => index % 2 === 0)) await this.#inner.remove(file);
      },
    );
  }

  async makePath(path: string): Promise<void> {
    await this.#write(`makePath ${path}`, () => this.#inner.makePath(path));
  }

  async syncPath(path: string): Promise<void> {
    if (!this.#mortal.spend(`syncPath ${path}`)) throw gone(`syncPath ${path}`);
    await this.#inner.syncPath(path);
    this.#noteSynced(path);
  }

  async link(path: string, target: string): Promise<void> {
    await this.#write(`link ${path}`, () => this.#inner.link(path, target));
  }

  async close(): Promise<void> {
    // The storage outlives the process.
  }

  async #create(path: string, run: () => Promise<boolean>): Promise<boolean> {
    let isCreated = false;
    await this.#write(`create ${path}`, async () => {
      isCreated = await run();
    });
    return isCreated;
  }

  async #openWriter(path: string): Promise<BlockWriter> {
    const mortal = this.#mortal;
    if (!mortal.spend(`open ${path}`)) throw gone(`open ${path}`);
    const inner = await mortal.track(
      this.#inner.openWriter?.(path) ?? Promise.reject(new Error("the driver has no writers")),
    );
    this.#open.set(path, inner);
    this.#unsynced.add(path);
    return {
      write: (bytes) => {
        if (!mortal.spend(`write ${path}`)) {
          if (mortal.death?.leaves !== "nothing") inner.write(bytes.subarray(0, bytes.length / 2));
          throw gone(`write ${path}`);
        }
        inner.write(bytes);
      },
      finish: async () => {
        if (!mortal.spend(`finish ${path}`)) throw gone(`finish ${path}`);
        this.#open.delete(path);
        await mortal.track(inner.finish());
      },
      // A dead process cleans nothing up.
      abandon: () => {
        if (mortal.dead) return;
        this.#open.delete(path);
        inner.abandon();
      },
    };
  }

  #noteName(path: string, options: PutOptions | undefined): void {
    if (this.#isDirect(options)) this.#unsynced.add(path);
    // An atomic write ends with a sync of its directory.
    else this.#noteSynced(path.slice(0, path.lastIndexOf("/")));
  }

  #noteSynced(directory: string): void {
    for (const file of this.#unsynced)
      if (file.slice(0, file.lastIndexOf("/")) === directory) this.#unsynced.delete(file);
  }

  #isDirect(options: PutOptions | undefined): boolean {
    return options?.atomic === false && this.features.directories;
  }

  /** A cut-off write on a file system leaves a partial file under the final name, or under the temporary one. */
  async #leave(path: string, bytes: Uint8Array, options: PutOptions | undefined): Promise<void> {
    if (!this.features.directories) return;
    await this.#inner.putStream(this.#isDirect(options) ? path : `${path}${TEMP_SUFFIX}`, () => streamOf(bytes), {
      atomic: false,
    });
    if (this.#isDirect(options)) this.#unsynced.add(path);
  }

  async #write(what: string, run: () => Promise<void>, half: () => Promise<void> = async () => {}): Promise<void> {
    if (this.#mortal.spend(what)) return this.#mortal.track(run());
    const leaves = this.#mortal.death?.leaves;
    if (leaves !== "nothing") await this.#mortal.track(leaves === "all" ? run() : half()).catch(quietly);
    throw gone(what);
  }
}

/** Ignores errors of the repository: the process is dead and cannot see them. */
function quietly(error: unknown): void {
  if (!isError(error)) throw error;
}
