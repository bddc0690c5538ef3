/**
 * Where the bytes of one file go in one repository, piece by piece, apart from the other repositories.
 *
 * Directories are written at once. Object stores get a stream: pieces wait in a short queue, and {@link TargetWriter.room} holds the source
 * back while the store is slower than the source. An error ends this target alone: it is remembered, and thrown by `finish`.
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

  /** Takes the piece before it returns. Does nothing once this target has failed. */
  write(piece: Uint8Array): void {
    if (this.#failure !== null) return;
    try {
      if (this.#encryptor === null) this.#store(piece);
      else for (const stored of this.#encryptor.update(piece)) this.#store(stored);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Null, or a promise to wait for before more is written. It never rejects. */
  room(): Promise<void> | null {
    return this.#failure === null ? (this.#out.room?.() ?? null) : null;
  }

  /** Size and checksum of what is stored, when it is there and durable. */
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

  /** The source has failed: nothing of it shall stay. */
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

  /** `piecesLast`: nobody changes them after they were written, so they need not be copied. */
  constructor({ storage, path, repoKey }: TargetPlace, piecesLast: boolean) {
    this.#piecesLast = piecesLast;
    let opened = false;
    const openOnce = (): ByteStream => {
      // The source was read for all repositories together and cannot be read again for one.
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

  /** @throws what ended the upload before its end */
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
