/** The runtime as one file, `dist/runtime.cjs` of this package, for installation on hosts. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { brotliCompressSync, brotliDecompressSync, constants, gzipSync } from "node:zlib";

/** Relative to the compiled `dist/components/internal` and to the source. */
const PATHS = ["../../runtime.cjs", "../../dist/runtime.cjs"];

/** @throws Error if the package was not built */
export function runtimeBundlePath(): string {
  const path = PATHS.map((relativePath) => join(__dirname, relativePath)).find((candidate) => existsSync(candidate));
  if (path === undefined)
    throw new Error(`this package has no runtime.cjs (searched from ${__dirname}): build it with npm run build`);
  return path;
}

/** The program text of the agent's client. @throws Error if the package was not built */
export function loadArchiveClient(): string {
  return readFileSync(join(dirname(runtimeBundlePath()), "pgbackrest-client"), "utf8");
}

/** The bytes of the bundle. @throws Error if the package was not built */
export function loadRuntimeBundle(): Uint8Array {
  return readFileSync(runtimeBundlePath());
}

/** Cached per bundle: a digest costs 10 ms, and every host of a program needs it. */
const digests = new Map<string, string>();

/** SHA-256 of the bundle, in hexadecimal digits. @throws Error if the package was not built */
export function runtimeBundleSha256(): string {
  const path = runtimeBundlePath();
  const { size, mtimeMs, ino } = statSync(path);
  const key = `${path} ${ino} ${size} ${mtimeMs}`;
  const digest = digests.get(key) ?? createHash("sha256").update(readFileSync(path)).digest("hex");
  digests.set(key, digest);
  return digest;
}

/** Cached per bundle: compression costs a tenth of a second, and every cluster of a program needs it. */
const packed = new Map<string, string>();

/** gzip of the bundle in base64, as in a ConfigMap. @throws Error if the package was not built */
export function runtimeBundleGzip(): string {
  const digest = runtimeBundleSha256();
  const text = packed.get(digest) ?? gzipSync(loadRuntimeBundle(), { level: 9 }).toString("base64");
  packed.set(digest, text);
  return text;
}

/**
 * The bundle compressed by Brotli in base64, as in a ConfigMap. The build has compressed it; this takes a second only
 * if that file is of another build. @throws Error if the package was not built
 */
export function runtimeBundleBrotli(): string {
  const digest = runtimeBundleSha256();
  const key = `${digest} brotli`;
  const text = packed.get(key) ?? (builtBrotli(digest) ?? compressBrotli()).toString("base64");
  packed.set(key, text);
  return text;
}

function builtBrotli(digest: string): Buffer | null {
  const file = `${runtimeBundlePath()}.br`;
  if (!existsSync(file)) return null;
  const bytes = readFileSync(file);
  const content = brotliDecompressSync(bytes);
  return createHash("sha256").update(content).digest("hex") === digest ? bytes : null;
}

const BROTLI_QUALITY = 9;
const BROTLI_WINDOW = 24;

function compressBrotli(): Buffer {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: BROTLI_WINDOW,
  };
  return brotliCompressSync(loadRuntimeBundle(), { params });
}
