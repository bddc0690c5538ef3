/**
 * A process that can die between any two of its writes, whichever repository or file they go to.
 *
 * Every operation of the model runs in a process of its own: storages and debt come wrapped by it. At its end, or death, nothing that it
 * left running reaches the storages any more. A write that death meets in the middle leaves what the storage's own rules allow: a removal
 * of a directory may be half done, a write in place may be cut, an atomic one is there or not.
 */
import { type ByteStream, collect } from "../../runtime/base/bytes";
import { type BackupError, fail, isError } from "../../runtime/base/errors";
import type { DebtStore } from "../../runtime/local/debt";
import type { ByteRange, ListOptions, ObjectInfo, PutOptions, Storage } from "../../runtime/storage/storage";

const SIZE_BYTES_MAX = 64 * 1024 * 1024;

export class Mortal {
  #writesLeft: number;
  #over = false;
  #dead = false;
  readonly #running = new Set<Promise<unknown>>();

  /** `writesLeft` null lives on. */
  constructor(writesLeft: number | null = null) {
    this.#writesLeft = writesLeft ?? Number.POSITIVE_INFINITY;
  }

  /** True once a write was refused. */
  get dead(): boolean {
    return this.#dead;
  }

  /** @throws unhandled when the process is no more */
  live(what: string): void {
    if (this.#dead || this.#over) throw gone(what);
  }

  /** Before a write: false when this one is the death, to be left half done. @throws unhandled when the process is no more */
  spend(what: string): boolean {
    this.live(what);
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

  /** The process ends: what it has handed to a storage may still finish, nothing follows. */
  async end(): Promise<void> {
    this.#over = true;
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  storage(inner: Storage): Storage {
    return new MortalStorage(inner, this);
  }

  debt(inner: DebtStore): DebtStore {
    const write =
      <A extends unknown[]>(name: string, run: (...args: A) => void) =>
      (...args: A): void => {
        if (!this.spend(name)) throw gone(name);
        run(...args);
      };
    return {
      ...inner,
      add: write("debt.add", inner.add),
      remove: write("debt.remove", inner.remove),
      addDropped: write("debt.addDropped", inner.addDropped),
    };
  }
}

function gone(what: string): BackupError {
  return fail("unhandled", `the process died before ${what}`);
}

class MortalStorage implements Storage {
  readonly name: string;
  readonly features: Storage["features"];
  readonly #inner: Storage;
  readonly #mortal: Mortal;

  constructor(inner: Storage, mortal: Mortal) {
    this.#inner = inner;
    this.#mortal = mortal;
    this.name = inner.name;
    this.features = inner.features;
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
    this.#mortal.live(`read ${path}`);
    return this.#inner.read(path, range);
  }

  async put(path: string, bytes: Uint8Array, options?: PutOptions): Promise<void> {
    await this.#write(
      `put ${path}`,
      () => this.#inner.put(path, bytes, options),
      async () => {
        if (this.#inPlace(options)) await this.#inner.put(path, bytes.subarray(0, bytes.length / 2), options);
      },
    );
  }

  async putStream(path: string, open: () => ByteStream, options?: PutOptions): Promise<void> {
    await this.#write(
      `putStream ${path}`,
      () => this.#inner.putStream(path, open, options),
      async () => {
        if (!this.#inPlace(options)) return;
        const bytes = await collect(open(), SIZE_BYTES_MAX);
        await this.#inner.put(path, bytes.subarray(0, bytes.length / 2), options);
      },
    );
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
    this.#mortal.live(`syncPath ${path}`);
    return this.#inner.syncPath(path);
  }

  async link(path: string, target: string): Promise<void> {
    await this.#write(`link ${path}`, () => this.#inner.link(path, target));
  }

  async close(): Promise<void> {
    // The storage outlives its processes.
  }

  #inPlace(options: PutOptions | undefined): boolean {
    return options?.atomic === false && this.features.directories;
  }

  async #write(what: string, run: () => Promise<void>, half: () => Promise<void> = async () => {}): Promise<void> {
    if (this.#mortal.spend(what)) return this.#mortal.track(run());
    // What happens to a repository that fails anyway is of no interest here.
    await this.#mortal.track(half()).catch((error: unknown) => {
      if (!isError(error)) throw error;
    });
    throw gone(what);
  }
}
