/**
 * Pipes a byte stream through one of Node's transforms, with back-pressure at both ends and without leaks.
 *
 * The source is read ahead while the transform works in its own thread. When the consumer leaves early, or either side
 * fails, the transform is destroyed and the source's iterator is returned before this stream ends.
 */
import type { Transform } from "node:stream";
import type { ByteStream } from "../../base/bytes";

/** `mapError` converts the transform's own errors; those of the source pass unchanged. */
export async function* throughTransform(
  source: ByteStream | Iterable<Uint8Array>,
  create: () => Transform,
  mapError: (error: unknown) => unknown,
): ByteStream {
  const transform = create();
  const pump = feed(source, transform);
  try {
    for await (const chunk of transform) yield chunk as Uint8Array;
  } catch (error) {
    const sourceError = await pump;
    throw sourceError === undefined ? mapError(error) : sourceError.error;
  } finally {
    transform.destroy();
    await pump;
  }
}

/** Writes the whole source; resolves (never rejects) when the source is released, with its error if any. */
async function feed(
  source: ByteStream | Iterable<Uint8Array>,
  transform: Transform,
): Promise<{ readonly error: unknown } | undefined> {
  let wake: (() => void) | undefined;
  const wakeUp = (): void => wake?.();
  transform.on("drain", wakeUp).once("close", wakeUp);
  try {
    for await (const chunk of source) {
      if (transform.destroyed) return undefined;
      if (transform.write(chunk)) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (transform.destroyed) resolve();
      });
      if (transform.destroyed) return undefined;
    }
    if (!transform.destroyed) transform.end();
    return undefined;
  } catch (error) {
    transform.destroy(error instanceof Error ? error : new Error(String(error)));
    return { error };
  }
}
