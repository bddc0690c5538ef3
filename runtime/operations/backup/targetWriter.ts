/**
 * Writes one file into one repository, piece by piece, independent of the other repositories.
 *
 * Directories are written at once. Object stores get a stream: pieces wait in a short queue, and
 * {@link TargetWriter.room} slows the source down to the store's pace. An error ends this target alone; `finish` throws
 * it.
 */
import type { ByteStream } from "../../base/bytes";
import { fail } from "../../base/errors";
import { type Measure, Measured } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import { Encryptor } from "../../format/codec/cipher";
import type { Storage } from "../../storage/storage";

export interface TargetPlace {
  readonly storage: Storage;
  /** Where the stored bytes go, relative to the repository. */
  readonly path: string;
  readonly repoKey: number;
}

export class TargetWriter {
  readonly #out: PieceWriter;
  readonly #encryptor: Encryptor | null;
  readonly #measured = new Measured();
  #failure: { readonly error: unknown } | null = null;

  private constructor(out: PieceWriter, encryptor: Encryptor | null) {
    this.#out = out;
    this.#encryptor = encryptor;
  }

  /** `encryptor` is this target's own, null without encryption. Never throws: see `finish`. */
  static async open(place: TargetPlace, encryptor: Encryptor | null): Promise<TargetWriter> {
    const { storage, path } = place;
    if (storage.openWriter === undefined) return new TargetWriter(new StreamWriter(place, encryptor !== null), encryptor);
    try {
      return new TargetWriter(await storage.openWriter(path), encryptor);
    } catch (error) {
      const failed = new TargetWriter({ write: () => {}, finish: () => Promise.reject(error), abandon: () => {} }, encryptor);
      failed.#failure = { error };
      return failed;
    }
  }

  get alive(): boolean {
    return this.#failure === null;
  }

  /** Copies the piece before it returns. Does nothing after this target has failed. */
  write(piece: Uint8Array): void {
    if (this.#failure !== null) return;
    try {
      if (this.#encryptor === null) this.#store(piece);
      else for (const stored of this.#encryptor.update(piece)) this.#store(stored);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Null, or a promise to await before the next write. It never rejects. */
  room(): Promise<void> | null {
    return this.#failure === null ? (this.#out.room?.() ?? null) : null;
  }

  /** Returns the size and checksum of the stored file once it is durable. */
  async finish(): Promise<Measure> {
    try {
      if (this.#failure !== null) throw this.#failure.error;
      if (this.#encryptor !== null) for (const stored of this.#encryptor.finish()) this.#store(stored);
      await this.#out.finish();
      return this.#measured.result();
    } catch (error) {
      if (this.#failure === null) this.#fail(error);
      throw error;
    }
  }

  /** The source has failed: leave nothing of it behind. */
  async abandon(reason: unknown): Promise<void> {
    if (this.#failure === null) this.#fail(reason);
    await this.#out.finish().catch(() => undefined);
  }

  #store(stored: Uint8Array): void {
    this.#measured.add(stored);
    this.#out.write(stored);
  }

  #fail(error: unknown): void {
    this.#failure = { error };
    this.#out.abandon(error);
  }
}

interface PieceWriter {
  write(bytes: Uint8Array): void;
  room?(): Promise<void> | null;
  finish(): Promise<void>;
  abandon(error: unknown): void;
}

const QUEUE_SIZE_BYTES_MAX = LIMITS.targetQueueChunks * LIMITS.chunkSizeBytes;

/** Feeds the storage's own stream from a queue. */
class StreamWriter implements PieceWriter {
  readonly #piecesLast: boolean;
  readonly #run: Promise<void>;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #ended = false;
  #left = false;
  /** Why the source ends early. */
  #failure: { readonly error: unknown } | null = null;
  #uploadError: { readonly error: unknown } | null = null;
  #wakeReader: (() => void) | null = null;
  #wakeWriter: (() => void) | null = null;

  /** `piecesLast`: written pieces never change, so they need no copy. */
  constructor({ storage, path, repoKey }: TargetPlace, piecesLast: boolean) {
    this.#piecesLast = piecesLast;
    let opened = false;
    const openOnce = (): ByteStream => {
      // The source is read once for all repositories and cannot be read again for one.
      if (opened) throw fail("service", `repo${repoKey}: upload of '${path}' could not be started over`, { repoKey });
      opened = true;
      return this.#stream();
    };
    this.#run = storage.putStream(path, openOnce, { atomic: false }).finally(() => {
      this.#left = true;
      this.#queue = [];
      this.#wakeWriter?.();
    });
    this.#run.catch((error: unknown) => {
      this.#uploadError = { error };
    });
  }

  /** @throws the error that ended the upload early */
  write(bytes: Uint8Array): void {
    if (this.#uploadError !== null) throw this.#uploadError.error;
    if (this.#left) return;
    this.#queue.push(this.#piecesLast ? bytes : Buffer.from(bytes));
    this.#queuedBytes += bytes.length;
    this.#wakeReader?.();
  }

  room(): Promise<void> | null {
    if (this.#left || this.#queuedBytes < QUEUE_SIZE_BYTES_MAX) return null;
    return new Promise((resolve) => {
      this.#wakeWriter = resolve;
    });
  }

  async finish(): Promise<void> {
    this.#ended = true;
    this.#wakeReader?.();
    await this.#run;
  }

  abandon(error: unknown): void {
    this.#failure = { error };
    this.#wakeReader?.();
  }

  async *#stream(): ByteStream {
    for (;;) {
      if (this.#failure !== null) throw this.#failure.error;
      const piece = this.#queue.shift();
      if (piece !== undefined) {
        this.#queuedBytes -= piece.length;
        if (this.#queuedBytes < QUEUE_SIZE_BYTES_MAX) this.#wakeWriter?.();
        yield piece;
      } else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
        this.#wakeReader = null;
      }
    }
  }
}
