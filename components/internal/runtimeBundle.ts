/** The runtime as one file, `dist/runtime.cjs` of this package, for installation on hosts. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";

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
