/** Golden files of stock pgBackRest (see test/vectors/README.md), and helpers of the format tests. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect } from "vitest";
import { type ByteStream, collect, concatBytes } from "../../../runtime/base/bytes";
import { type BackupError, type ErrorKind, isError } from "../../../runtime/base/errors";

const ROOT = join(__dirname, "../../vectors");

/** Passphrases of the repositories that made the vectors. */
export const PASS = {
  repo2: "zWaf6XtpjIVZC5444yXB+cgFDFl7MxGlgkZSaoPvTGirhPygu4jOKOXf9LO4vjfO",
  repo3: "thirdrepopass",
} as const;

export function vectorBytes(path: string): Uint8Array {
  return readFileSync(join(ROOT, path));
}

/** The text of a vector. Unpacks `.gz` files. */
export function vectorText(path: string): string {
  const bytes = vectorBytes(path);
  return Buffer.from(path.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8");
}

export const MANIFESTS = [
  "v2.45/plain/full.manifest.gz",
  "v2.45/plain/diff.manifest.gz",
  "v2.45/plain/incr.backup.manifest",
  "v2.60/block-lz4/full.manifest.gz",
  "v2.60/block-lz4/diff.manifest.gz",
  "v2.60/block-lz4/incr.manifest.gz",
] as const;

export async function* pieces(bytes: Uint8Array, size: number): ByteStream {
  for (let begin = 0; begin < bytes.length; begin += size) yield bytes.subarray(begin, begin + size);
}

export async function all(stream: ByteStream): Promise<Buffer> {
  return Buffer.from(await collect(stream, 1 << 30));
}

const SAMPLE_SIZE_BYTES_MAX = 8 * 1024 * 1024;
/** Those of the usual seed, which tests ask for again and again. */
let sample: Uint8Array = new Uint8Array(0);

/** Compressible bytes: repeated words and some noise. The same seed gives the same bytes, and a longer beginning. */
export function sampleBytes(sizeBytes: number, seed = 1): Uint8Array {
  if (seed !== 1 || sizeBytes > SAMPLE_SIZE_BYTES_MAX) return makeSample(sizeBytes, seed);
  if (sample.length < sizeBytes) sample = makeSample(sizeBytes, seed);
  return Buffer.from(sample.subarray(0, sizeBytes));
}

function makeSample(sizeBytes: number, seed: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let state = seed >>> 0;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 8;
  };
  for (let size = 0; size < sizeBytes; ) {
    const kind = next() % 8;
    const part =
      kind < 6
        ? Buffer.from(`row ${next() % 500} of table ${next() % 7};`)
        : kind === 6
          ? Buffer.alloc(next() % 600, next() % 256)
          : Buffer.from(Array.from({ length: next() % 90 }, () => next() % 256));
    parts.push(part);
    size += part.length;
  }
  return concatBytes(parts).subarray(0, sizeBytes);
}

/** Expects an error of `kind` from `run`, and returns it. */
export async function errorOf(kind: ErrorKind, run: () => unknown): Promise<BackupError> {
  try {
    await run();
  } catch (error) {
    if (!isError(error)) throw error;
    expect(error.kind).toBe(kind);
    return error;
  }
  throw new Error(`expected a ${kind} error`);
}
