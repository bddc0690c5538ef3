/** This package's programs, which travel to hosts in scripts and to Jobs in a ConfigMap. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/** Relative to the compiled `dist/components` and to the source. */
const FOLDERS = ["..", "../dist"];

/** gzip in base64 of the program for hosts, and of the steps in Jobs. */
export function migrateProgram(): string {
  return packed("migrate.cjs");
}

/** gzip in base64 of the program that changes objects of Kubernetes. */
export function kubernetesProgram(): string {
  return packed("kubernetes.cjs");
}

/** Compression costs a few milliseconds, and each step needs it. */
const texts = new Map<string, string>();

/** @throws Error if the package was not built */
function packed(name: string): string {
  const path = FOLDERS.map((folder) => join(__dirname, folder, name)).find((candidate) => existsSync(candidate));
  if (path === undefined)
    throw new Error(`this package has no ${name} (searched from ${__dirname}): build it with npm run build`);
  const text = texts.get(path) ?? gzipSync(readFileSync(path), { level: 9 }).toString("base64");
  texts.set(path, text);
  return text;
}
