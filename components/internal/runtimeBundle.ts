/** The runtime as one file, `dist/runtime.cjs` of this package: what is installed on hosts. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Seen from the compiled `dist/components/internal` and from the source. */
const PLACES = ["../../runtime.cjs", "../../dist/runtime.cjs"];

/** @throws Error when the package was not built */
export function runtimeBundlePath(): string {
  const path = PLACES.map((place) => join(__dirname, place)).find((candidate) => existsSync(candidate));
  if (path === undefined) throw new Error(`there is no runtime.cjs in this package (looked from ${__dirname}): build it with npm run build`);
  return path;
}

/** The bytes of the bundle. @throws Error when the package was not built */
export function loadRuntimeBundle(): Uint8Array {
  return readFileSync(runtimeBundlePath());
}

/** SHA-256 of the bundle, in hexadecimal digits. @throws Error when the package was not built */
export function runtimeBundleSha256(): string {
  return createHash("sha256").update(loadRuntimeBundle()).digest("hex");
}
