/**
 * Codecs that work at once, in the thread that calls them: a chunk in, the pieces that it makes out.
 *
 * A piece is valid only until the next one is asked for, because codecs write into the same buffer again and may hand through the caller's
 * own: whoever keeps a piece copies it. {@link throughCodec} gives pieces that last, for streams whose consumers keep them.
 */
import type { ByteStream } from "../../base/bytes";

/** Asynchronous only where this Node's own codecs cannot be driven at once. */
export type Pieces = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export interface Codec {
  update(chunk: Uint8Array): Pieces;
  /** What is left when all chunks have been given. @throws when the content is not complete */
  finish(): Pieces;
  /** Frees the codec's memory at once, also after an error and more than once. */
  close(): void;
}

/** The codec's output as a stream of pieces that last. An early end of the consumer releases the codec and the source. */
export async function* throughCodec(source: ByteStream, create: () => Codec): ByteStream {
  const codec = create();
  try {
    for await (const chunk of source) for await (const piece of codec.update(chunk)) yield Buffer.from(piece);
    for await (const piece of codec.finish()) yield Buffer.from(piece);
  } finally {
    codec.close();
  }
}
