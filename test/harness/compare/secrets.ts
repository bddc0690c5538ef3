/** Searches files, logs and outputs for planted secrets. */
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Files below `folder` (relative paths) that contain one of `secrets`. Links are not followed. */
export function findSecrets(folder: string, secrets: readonly string[]): string[] {
  const result: string[] = [];
  const visit = (path: string): void => {
    const full = join(folder, path);
    const info = lstatSync(full);
    if (info.isDirectory()) {
      for (const name of readdirSync(full)) visit(join(path, name));
    } else if (info.isFile() && holdsSecret(readFileSync(full), secrets)) {
      result.push(path);
    }
  };
  visit("");
  return result.sort();
}

/** True if `content` contains one of `secrets`, plain or in base64. */
export function holdsSecret(content: Uint8Array | string, secrets: readonly string[]): boolean {
  const bytes = Buffer.from(content);
  return secrets.some(
    (secret) => bytes.includes(secret) || bytes.includes(Buffer.from(secret).toString("base64").replace(/=+$/, "")),
  );
}
