/**
 * Synchronous codecs: they take a chunk and return its output pieces in the calling thread.
 *
 * A piece is valid only until the next one, because codecs reuse their buffers and may pass on the caller's own: copy a
 * piece to keep it. {@link throughCodec} yields pieces that stay valid, for streams whose consumers keep them.
 */
import type { ByteStream } from "../../base/bytes";

/** Asynchronous only if this Node's codecs cannot be driven synchronously. */
export type Pieces = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export interface Codec {
  update(chunk: Uint8Array): Pieces;
  /** The remaining output after the last chunk. @throws when the content is incomplete */
  finish(): Pieces;
  /** Frees the codec's memory immediately; also allowed after an error and repeatedly. */
  close(): void;
}

/**
 * The codec's output as a stream of pieces that stay valid. If the consumer ends early, codec and source are released.
 */
export async function* throughCodec(source: ByteStream, create: () => Codec): ByteStream {
  const codec = create();
  try {
    for await (const chunk of source) for await (const piece of codec.update(chunk)) yield Buffer.from(piece);
    for await (const piece of codec.finish()) yield Buffer.from(piece);
  } finally {
    codec.close();
  }
}
