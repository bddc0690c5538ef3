/**
 * Uploads streams of unknown length in bounded memory.
 *
 * A body that fits one part is one request. A longer one is uploaded in equal parts, the last one shorter. Two are in
 * flight, or one where parts follow each other, while the next fills: at most three parts in memory. A part is repeated
 * from memory.
 */
import type { ByteStream } from "../../base/bytes";
import { assert, type BackupError, fail, isError } from "../../base/errors";
import type { BodyHash, StoreBody } from "./storeHttp";

/** Where an upload goes. */
export interface UploadLocation {
  readonly key: string;
  /** Path relative to the storage, for errors. */
  readonly path: string;
  /** `s3://bucket/key` for messages. */
  readonly name: string;
  readonly repoIndex: number;
  readonly partSizeBytes: number;
  readonly signal: AbortSignal;
}

/** The requests of a service. */
export interface PartUpload<T> {
  readonly location: Omit<UploadLocation, "key">;
  readonly partCountMax: number;
  /** A part begins where the one before has ended. */
  readonly isInOrder?: true;
  newHash(): BodyHash;
  putWhole(body: StoreBody): Promise<void>;
  /** Before the first part. */
  begin(): Promise<void>;
  /** `number` counts from 1; from the second on one of them is `last`. */
  putPart(number: number, body: StoreBody, signal: AbortSignal, last: boolean): Promise<T>;
  /** Makes the object of the parts, in their order. */
  complete(parts: readonly T[], sizeBytes: number): Promise<void>;
  /** After a failure, once no part is in flight. Never fails. */
  abort(): Promise<void>;
}

interface Part {
  /** From 1. */
  readonly number: number;
  readonly body: StoreBody;
  readonly last: boolean;
}

const PARTS_IN_FLIGHT_MAX = 2;
/** A first upload, and another one after a lost one. */
const UPLOADS_MAX = 2;

/**
 * Calls `upload`, which returns false if the service has lost it, and then once more. An object that may be there
 * already gets the same bytes again, as after the lost answer of a put.
 * @throws `lost` after the second one
 */
export async function uploadAgain(upload: () => Promise<boolean>, lost: () => BackupError): Promise<void> {
  for (let count = 0; count < UPLOADS_MAX; count++) if (await upload()) return;
  throw lost();
}

/** The service has lost an upload, or never had it. */
export function lostUpload({
  name,
  path,
  repoIndex,
}: Pick<UploadLocation, "name" | "path" | "repoIndex">): BackupError {
  const text = `unable to put '${name}': the service has lost the upload`;
  return fail("service", text, { path, repoIndex, retryable: true });
}

/** Uploads all of `source`. The object changes atomically at the end. */
export async function uploadParts<T>(upload: PartUpload<T>, source: ByteStream): Promise<void> {
  const { isInOrder = false, location } = upload;
  const inFlightMax = isInOrder ? 1 : PARTS_IN_FLIGHT_MAX;
  const stop = new AbortController();
  const signal = AbortSignal.any([location.signal, stop.signal]);
  const inFlight = new Set<Promise<void>>();
  const parts: T[] = [];
  let hasBegun = false;
  let sizeBytes = 0;
  try {
    for await (const part of partsOf(source, upload)) {
      if (part.last && part.number === 1) return await upload.putWhole(part.body);
      if (part.number > upload.partCountMax) throw tooManyParts(upload);
      if (!hasBegun) await upload.begin();
      hasBegun = true;
      while (inFlight.size >= inFlightMax) await Promise.race(inFlight);
      const run = upload.putPart(part.number, part.body, signal, part.last).then((result) => {
        parts[part.number - 1] = result;
        inFlight.delete(run);
      });
      // The set keeps the failure for the next wait; this only marks the rejection as handled.
      run.catch(() => undefined);
      inFlight.add(run);
      sizeBytes += part.body.sizeBytes;
    }
    await Promise.all(inFlight);
    assert(parts.length > 0, "an upload of several parts has none");
    await upload.complete(parts, sizeBytes);
  } catch (error) {
    stop.abort();
    await Promise.allSettled(inFlight);
    if (hasBegun) await upload.abort();
    throw location.signal.aborted && !isError(error, "term")
      ? fail("term", `terminated while trying to put '${location.name}'`, { path: location.path, cause: error })
      : error;
  }
}

/**
 * Equal parts of a stream, hashed while they are read; at least one, which may be empty. Chunks are kept by reference:
 * they must not change.
 */
async function* partsOf(
  source: ByteStream,
  { newHash, location: { partSizeBytes } }: Pick<PartUpload<unknown>, "newHash" | "location">,
): AsyncIterable<Part> {
  let number = 1;
  let chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  let hash = newHash();
  for await (const chunk of source) {
    let rest = chunk;
    while (rest.length > 0) {
      // Full, and more data follows: not the last part.
      if (sizeBytes === partSizeBytes) {
        yield { number: number++, body: hash.finish(chunks, sizeBytes), last: false };
        chunks = [];
        sizeBytes = 0;
        hash = newHash();
      }
      const piece = rest.subarray(0, partSizeBytes - sizeBytes);
      hash.add(piece);
      chunks.push(piece);
      sizeBytes += piece.length;
      rest = rest.subarray(piece.length);
    }
  }
  yield { number, body: hash.finish(chunks, sizeBytes), last: true };
}

function tooManyParts({ partCountMax, location }: PartUpload<unknown>): Error {
  const { name, partSizeBytes, path, repoIndex } = location;
  return fail(
    "fileWrite",
    `unable to put '${name}': it is larger than ${partCountMax} parts of ${partSizeBytes} bytes`,
    {
      path,
      repoIndex,
      hint: `Raise repo${repoIndex}-storage-upload-chunk-size: parts of one upload all have that size.`,
    },
  );
}
