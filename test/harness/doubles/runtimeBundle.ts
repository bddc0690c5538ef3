/** Stands for `dist/runtime.cjs` in unit tests, which need no build (vitest.config.ts). */
const DIGEST = "0".repeat(64);

export const runtimeBundlePath = (): string => "/runtime.cjs";
export const loadArchiveClient = (): string => "client";
export const loadRuntimeBundle = (): Uint8Array => Buffer.from("br");
export const runtimeBundleSha256 = (): string => DIGEST;
export const runtimeBundleGzip = (): string => "YnI=";
export const runtimeBundleBrotli = (): string => "YnI=";
