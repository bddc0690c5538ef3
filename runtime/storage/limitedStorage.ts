/** A storage whose content passes at most at a rate, in both directions together: one place for all drivers. */
import type { ByteStream } from "../base/bytes";
import { overlaid } from "./overlaid";
import type { RateLimit } from "./rateLimit";
import type { ByteRange, PutOptions, Storage } from "./storage";

/**
 * The same storage under the limit. Only content counts, not names: listings and removals are small. The driver waits
 * for the next bytes outside of any request, or pauses its stream, so that its time limits see no silence.
 *
 * Reading and writing as system calls of threads are absent: they could only wait by blocking.
 */
export function limitedStorage(storage: Storage, limit: RateLimit, signal: AbortSignal): Storage {
  const { create, replace } = storage;
  const paced = async function* (source: ByteStream): ByteStream {
    for await (const chunk of source) yield* limit.pieces(chunk, signal);
  };
  return overlaid(storage, {
    openReader: undefined,
    openWriter: undefined,
    read: async (path: string, range?: ByteRange) => paced(await storage.read(path, range)),
    put: async (path: string, bytes: Uint8Array, options?: PutOptions) => {
      await limit.take(bytes.length, signal);
      return storage.put(path, bytes, options);
    },
    putStream: (path: string, open: () => ByteStream, options?: PutOptions) =>
      storage.putStream(path, () => paced(open()), options),
    create:
      create &&
      (async (path: string, bytes: Uint8Array) => {
        await limit.take(bytes.length, signal);
        return create.call(storage, path, bytes);
      }),
    replace:
      replace &&
      (async (path: string, bytes: Uint8Array, version: string) => {
        await limit.take(bytes.length, signal);
        return replace.call(storage, path, bytes, version);
      }),
  });
}
