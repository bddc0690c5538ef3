/**
 * Faults between a process and a repository: it is unreachable, slow or full, tears writes, loses answers, or returns
 * damaged bytes.
 *
 * A fault lasts until {@link Weather.calm}, or for a number of calls. {@link Weather.met} counts the calls that a fault
 * really hit. Damage changes only the bytes that are read here: a flipped bit or a truncated file, until the file is
 * written again or {@link Weather.calm} ends it. The model's checks read the intact file. Space runs out in the middle
 * of a write, while the driver has the stream.
 */
import { type ByteStream, collect, streamOf } from "../../runtime/base/bytes";
import type { Clock } from "../../runtime/base/clock";
import { type BackupError, fail } from "../../runtime/base/errors";
import type {
  BlockReader,
  BlockWriter,
  ByteRange,
  ListOptions,
  ObjectInfo,
  PutOptions,
  Storage,
  StorageFeatures,
} from "../../runtime/storage/storage";

/** Damage to a stored file: one flipped bit, chosen by `pick`, or only the first half left. */
export interface Damage {
  readonly kind: "flip" | "cut";
  readonly pick: number;
}

type Passing = "torn" | "lost" | "slow";

const SIZE_BYTES_MAX = 64 * 1024 * 1024;
const TORN_AFTER_BYTES = 10;
const DELAY_MS = 20_000;
const AWAY = fail("hostConnect", "unreachable", { retryable: true });
const LOCKED = fail("access", "permission denied");
const FULL = fail("fileWrite", "no space left on device");
const TORN = fail("fileWrite", "the connection was lost while writing");
const LOST = fail("hostConnect", "the answer was lost");

export class Weather implements Storage {
  readonly name: string;
  readonly features: StorageFeatures;
  readonly openReader?: (path: string, range?: ByteRange) => BlockReader;
  readonly openWriter?: (path: string) => Promise<BlockWriter>;
  readonly create?: (path: string, bytes: Uint8Array) => Promise<boolean>;
  /** Number of calls that met a fault, by its kind. */
  readonly met = new Map<string, number>();
  /** Calls that the driver is working on. */
  inFlight = 0;
  readonly #inner: Storage;
  readonly #clock: Clock;
  readonly #passing = new Map<Passing, number>();
  readonly #damages = new Map<string, Damage>();
  /** Faults that begin after this number of further calls. */
  readonly #coming: { calls: number; readonly begin: () => void }[] = [];
  #isDown = false;
  #isArchiveLocked = false;
  #freeBytes: number | null = null;

  constructor(inner: Storage, clock: Clock) {
    this.#inner = inner;
    this.#clock = clock;
    this.name = inner.name;
    this.features = inner.features;
    if (inner.openReader !== undefined) this.openReader = (path, range) => this.#openReader(path, range);
    if (inner.openWriter !== undefined) this.openWriter = (path) => this.#openWriter(path);
    const create = inner.create?.bind(inner);
    if (create !== undefined) this.create = (path, bytes) => this.#create(() => create(path, bytes));
  }

  breakDown(): void {
    this.#isDown = true;
  }

  /** The archive's directory takes no more files, as with wrong permissions. Everything else works. */
  lockArchive(): void {
    this.#isArchiveLocked = true;
  }

  /** Begins a fault after this number of calls, in the middle of an operation. */
  after(calls: number, begin: () => void): void {
    this.#coming.push({ calls, begin });
  }

  fill(freeBytes: number): void {
    this.#freeBytes = freeBytes;
  }

  pass(kind: Passing, times: number): void {
    this.#passing.set(kind, times);
  }

  damage(path: string, damage: Damage): void {
    this.#damages.set(path, damage);
  }

  calm(): void {
    this.#coming.length = 0;
    this.#isDown = false;
    this.#isArchiveLocked = false;
    this.#freeBytes = null;
    this.#passing.clear();
    this.#damages.clear();
  }

  async stat(path: string): Promise<ObjectInfo | null> {
    await this.#enter();
    const result = await this.#run(() => this.#inner.stat(path));
    return result === null ? null : this.#seen(result);
  }

  async *list(path: string, options?: ListOptions): AsyncIterable<ObjectInfo> {
    await this.#enter();
    const entries = this.#inner.list(path, options)[Symbol.asyncIterator]();
    for (;;) {
      const next = await this.#run(() => entries.next());
      if (next.done === true) return;
      yield this.#seen(next.value);
    }
  }

  async read(path: string, range?: ByteRange): Promise<ByteStream> {
    await this.#enter("slow");
    const damage = this.#damages.get(path);
    if (damage === undefined) return this.#counted(await this.#run(() => this.#inner.read(path, range)));
    this.#meet("corrupt");
    const whole = await collect(await this.#inner.read(path), SIZE_BYTES_MAX);
    return streamOf(partOf(damaged(whole, damage), range));
  }

  async put(path: string, bytes: Uint8Array, options?: PutOptions): Promise<void> {
    await this.#write(
      path,
      () => streamOf(bytes),
      options,
      () => this.#inner.put(path, bytes, options),
    );
  }

  async putStream(path: string, open: () => ByteStream, options?: PutOptions): Promise<void> {
    await this.#write(path, open, options, () => this.#inner.putStream(path, () => this.#limited(open()), options));
  }

  async #create(run: () => Promise<boolean>): Promise<boolean> {
    await this.#enter("slow");
    if (this.#freeBytes === 0) throw this.#met("full", FULL);
    const isCreated = await this.#run(run);
    if (this.#take("lost")) throw LOST;
    return isCreated;
  }

  async remove(path: string): Promise<void> {
    await this.#change(path, () => this.#inner.remove(path));
  }

  async removePath(path: string): Promise<void> {
    await this.#change(path, () => this.#inner.removePath(path));
    for (const damagedPath of this.#damages.keys())
      if (damagedPath.startsWith(`${path}/`)) this.#damages.delete(damagedPath);
  }

  async makePath(path: string): Promise<void> {
    await this.#change(path, () => this.#inner.makePath(path));
  }

  async syncPath(path: string): Promise<void> {
    await this.#enter();
    await this.#run(() => this.#inner.syncPath(path));
  }

  async link(path: string, target: string): Promise<void> {
    await this.#change(path, () => this.#inner.link(path, target));
  }

  async close(): Promise<void> {
    // The storage outlives its users.
  }

  #openReader(path: string, range: ByteRange | undefined): BlockReader {
    if (this.#isDown) throw this.#met("down", AWAY);
    const damage = this.#damages.get(path);
    if (damage === undefined) return required(this.#inner.openReader?.(path, range));
    this.#meet("corrupt");
    const whole = required(this.#inner.openReader?.(path));
    const bytes = readAll(whole);
    whole.close();
    const part = partOf(damaged(bytes, damage), range);
    let position = 0;
    return {
      read: (target) => {
        const piece = part.subarray(position, position + target.length);
        target.set(piece);
        position += piece.length;
        return piece.length;
      },
      close: () => {},
    };
  }

  async #openWriter(path: string): Promise<BlockWriter> {
    await this.#enter("slow");
    this.#damages.delete(path);
    const inner = required(await this.#inner.openWriter?.(path));
    return {
      write: (bytes) => {
        if (this.#isDown) throw this.#met("down", AWAY);
        const taken = this.#take("torn") ? Math.min(TORN_AFTER_BYTES, bytes.length) : null;
        if (taken !== null) {
          inner.write(bytes.subarray(0, taken));
          throw TORN;
        }
        const freeBytes = this.#occupy(bytes.length);
        inner.write(bytes.subarray(0, freeBytes));
        if (freeBytes < bytes.length) throw this.#met("full", FULL);
      },
      finish: async () => {
        await this.#run(() => inner.finish());
        if (this.#take("lost")) throw LOST;
      },
      abandon: () => inner.abandon(),
    };
  }

  /** A write that may stop partway. */
  async #write(
    path: string,
    open: () => ByteStream,
    options: PutOptions | undefined,
    run: () => Promise<void>,
  ): Promise<void> {
    await this.#enter("slow");
    if (this.#isArchiveLocked && path.startsWith("archive/")) throw this.#met("locked", LOCKED);
    this.#damages.delete(path);
    if (this.#take("torn"))
      return this.#run(() => this.#inner.putStream(path, () => cut(open(), TORN_AFTER_BYTES, TORN), options));
    if (this.#freeBytes === null) await this.#run(run);
    else await this.#run(() => this.#inner.putStream(path, () => this.#limited(open()), options));
    if (this.#take("lost")) throw LOST;
  }

  async #change(path: string, run: () => Promise<void>): Promise<void> {
    await this.#enter();
    this.#damages.delete(path);
    await this.#run(run);
    if (this.#take("lost")) throw LOST;
  }

  async #enter(delay?: "slow"): Promise<void> {
    for (const fault of this.#coming) if (fault.calls-- === 0) fault.begin();
    if (this.#isDown) throw this.#met("down", AWAY);
    if (delay !== undefined && this.#take(delay)) await this.#clock.sleep(DELAY_MS, new AbortController().signal);
  }

  async #run<T>(run: () => Promise<T>): Promise<T> {
    this.inFlight++;
    try {
      return await run();
    } finally {
      this.inFlight--;
    }
  }

  async *#counted(stream: ByteStream): ByteStream {
    const chunks = stream[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.#run(() => chunks.next());
        if (next.done === true) return;
        if (this.#isDown) throw this.#met("down", AWAY);
        yield next.value;
      }
    } finally {
      await chunks.return?.(undefined);
    }
  }

  /** As much of a stream as there is space for. Waiting for the source does not count as work of the driver. */
  async *#limited(source: ByteStream): ByteStream {
    const chunks = source[Symbol.asyncIterator]();
    try {
      for (;;) {
        this.inFlight--;
        const next = await chunks.next().finally(() => this.inFlight++);
        if (next.done === true) return;
        if (this.#isDown) throw this.#met("down", AWAY);
        const freeBytes = this.#occupy(next.value.length);
        yield next.value.subarray(0, freeBytes);
        if (freeBytes < next.value.length) throw this.#met("full", FULL);
      }
    } finally {
      await chunks.return?.(undefined);
    }
  }

  /** Takes the space, and returns how many of the bytes fit. */
  #occupy(sizeBytes: number): number {
    if (this.#freeBytes === null) return sizeBytes;
    const taken = Math.min(sizeBytes, this.#freeBytes);
    this.#freeBytes -= taken;
    return taken;
  }

  #take(kind: Passing): boolean {
    const left = this.#passing.get(kind) ?? 0;
    if (left === 0) return false;
    this.#passing.set(kind, left - 1);
    this.#meet(kind);
    return true;
  }

  #seen(info: ObjectInfo): ObjectInfo {
    return this.#damages.get(info.path)?.kind === "cut" ? { ...info, sizeBytes: Math.floor(info.sizeBytes / 2) } : info;
  }

  #met(kind: string, error: BackupError): BackupError {
    this.#meet(kind);
    return error;
  }

  #meet(kind: string): void {
    this.met.set(kind, (this.met.get(kind) ?? 0) + 1);
  }
}

/** The first bytes of a stream, then `error`. */
async function* cut(source: ByteStream, sizeBytes: number, error: BackupError): ByteStream {
  let leftBytes = sizeBytes;
  for await (const chunk of source) {
    yield chunk.subarray(0, leftBytes);
    leftBytes -= Math.min(leftBytes, chunk.length);
    if (leftBytes === 0) break;
  }
  throw error;
}

export function damaged(bytes: Uint8Array, { kind, pick }: Damage): Uint8Array {
  if (kind === "cut") return bytes.subarray(0, Math.floor(bytes.length / 2));
  const flipped = Uint8Array.from(bytes);
  const at = (pick * 7919) % Math.max(1, flipped.length);
  if (flipped.length > 0) flipped[at] = (flipped[at] ?? 0) ^ (1 << (pick % 8));
  return flipped;
}

function partOf(bytes: Uint8Array, range: ByteRange | undefined): Uint8Array {
  const first = range?.offsetBytes ?? 0;
  return bytes.subarray(first, range?.sizeBytes === undefined ? bytes.length : first + range.sizeBytes);
}

function readAll(reader: BlockReader): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (;;) {
    const piece = Buffer.alloc(256 * 1024);
    const readBytes = reader.read(piece);
    if (readBytes === 0) return Buffer.concat(pieces);
    pieces.push(piece.subarray(0, readBytes));
  }
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the driver below has no such method");
  return value;
}
