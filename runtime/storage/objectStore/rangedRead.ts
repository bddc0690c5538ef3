/** Reads objects: exactly the requested bytes, and after a broken connection the rest of the same object. */
import { type ByteStream, collect } from "../../base/bytes";
import { fail, nullOn } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { SILENT_ATTEMPTS_MAX } from "../ioLimits";
import type { ByteRange, Storage } from "../storage";
import { malformed } from "./malformed";
import { headerOf, type StoreAnswer, type StoreHttp, type StoreRequest } from "./storeHttp";
import { isSilence, type RequestFacts } from "./transportFailure";

export interface RangedObject {
  readonly http: StoreHttp<RequestFacts>;
  /** Path relative to the storage, for errors. */
  readonly path: string;
  /** `s3://bucket/key`, for messages. */
  readonly name: string;
  /** The request for the whole object. */
  readonly request: StoreRequest;
}

/** Statuses of an offset at or behind the end of the object. */
export const BEHIND_END = 416;

/** Requests a range; accepts {@link BEHIND_END} for one. @throws service if other bytes would come */
export function getRange(object: RangedObject, range: ByteRange | undefined): Promise<StoreAnswer> {
  const { http } = object;
  const request = requestOf(object, range);
  return http.exchange(request, async (answer) => {
    const fault = answer.status === BEHIND_END ? null : faultOf(answer, request, range);
    if (fault === null) return answer;
    answer.body.destroy();
    throw malformed(fault, http.factsOf(request));
  });
}

/** The body of `first`. After a broken connection it resumes at the byte reached, as long as it makes progress. */
export async function* resumedBody(object: RangedObject, range: ByteRange | undefined, first: StoreAnswer): ByteStream {
  const { http, name, path } = object;
  const startBytes = range?.offsetBytes ?? 0;
  const endBytes = endOf(first, startBytes);
  const request = requestOf(object, range);
  let answer = first;
  const retries = http.bodyRetries();
  let position = startBytes;
  let checkpoint = position;
  let silentAttempts = 0;
  for (;;) {
    let failure: unknown;
    try {
      for await (const chunk of answer.pieces()) {
        position += chunk.length;
        yield chunk;
      }
    } catch (error) {
      failure = error;
    }
    if (failure === undefined && (endBytes === undefined || position === endBytes)) return;
    const error = http.errorOf(failure ?? new Error(`the body ended at byte ${position} of ${endBytes}`), request);
    if (position - checkpoint >= LIMITS.chunkSizeBytes) {
      retries.reset();
      silentAttempts = 0;
    }
    checkpoint = position;
    if (isSilence(error) && ++silentAttempts >= SILENT_ATTEMPTS_MAX) throw error;
    await retries.pause(error);
    const rest =
      endBytes === undefined ? { offsetBytes: position } : { offsetBytes: position, sizeBytes: endBytes - position };
    if (rest.sizeBytes === 0) return;
    answer = await getRange({ ...object, request: { ...object.request, silentAttempts } }, rest);
    if (answer.status === BEHIND_END || headerOf(answer, "etag") !== headerOf(first, "etag")) {
      answer.body.destroy();
      throw fail("fileRead", `unable to get '${name}': the object changed while it was read`, {
        path,
        retryable: true,
      });
    }
  }
}

function requestOf({ request }: RangedObject, range: ByteRange | undefined): StoreRequest {
  const last = range?.sizeBytes === undefined ? "" : String(range.offsetBytes + range.sizeBytes - 1);
  if (range === undefined || (range.offsetBytes === 0 && last === "")) return request;
  const headers = { ...request.headers, range: `bytes=${range.offsetBytes}-${last}` };
  return { ...request, headers, expected: [...(request.expected ?? []), BEHIND_END] };
}

/** Why an answer has not the asked bytes; null if it has. Without a checksum others would go unnoticed. */
function faultOf(answer: StoreAnswer, request: StoreRequest, range: ByteRange | undefined): string | null {
  if (headerOf(answer, "etag") === undefined) return "the answer has no etag";
  const isRange = request.headers?.["range"] !== undefined;
  if (answer.status === 200) return isRange ? "the service ignores ranges" : null;
  const [, first, last, size] =
    /^bytes ([0-9]+)-([0-9]+)\/([0-9]+|\*)$/.exec(headerOf(answer, "content-range") ?? "") ?? [];
  const end = range?.sizeBytes === undefined ? undefined : range.offsetBytes + range.sizeBytes - 1;
  const isAsked =
    isRange &&
    Number(first) === range?.offsetBytes &&
    (Number(last) === end || Number(last) === Number(size) - 1) &&
    (endOf(answer, Number(first)) ?? Number(last) + 1) === Number(last) + 1;
  return isAsked ? null : "the service sends another range";
}

/** End of the object or range; undefined if the service does not state it. */
function endOf(answer: StoreAnswer, startBytes: number): number | undefined {
  const text = headerOf(answer, "content-length");
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? startBytes + Number(text) : undefined;
}

/** Whether the object has exactly these bytes. @throws errors of reading, except that it is missing */
export async function holdsBytes(storage: Pick<Storage, "read">, path: string, bytes: Uint8Array): Promise<boolean> {
  const read = async (): Promise<Uint8Array> =>
    collect(await storage.read(path, { offsetBytes: 0, sizeBytes: bytes.length + 1 }), bytes.length + 1);
  const stored = await nullOn(read(), "fileMissing");
  return stored !== null && Buffer.from(bytes).equals(stored);
}
