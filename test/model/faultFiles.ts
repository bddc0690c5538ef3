/** Chooses the stored files that the fault model damages. */
import { collect } from "../../runtime/base/bytes";
import type { Storage } from "../../runtime/storage/storage";
import { type Damage, damaged } from "./weather";

const SIZE_BYTES_MAX = 64 * 1024 * 1024;
/** A backup history file only informs people. A timeline history is a few lines of text. */
export const HAS_NO_CHECKSUM = /\.(backup|history)$/;
const SEGMENT = /^archive\/.*\/([0-9A-F]{24})-[0-9a-f]{40}/;
const OF_BACKUP = /^backup\/demo\/(\d{8}-\d{6}F[^/]*)\//;
const MANIFEST = /\/backup\.manifest(\.copy)?$/;

/** Which files may be hit: any, the newest WAL segment, or the bytes of the newest backup. */
export type DamagedPart = "any" | "segment" | "backup";

/** Non-empty files, sorted by name. */
export async function listFiles(storage: Storage): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of storage.list("", { recursive: true }))
    if (entry.type === "file" && entry.sizeBytes > 0) files.push(entry.path);
  return files.sort();
}

/** A file of this part with a checksum; null if absent. */
export async function findVictim(storage: Storage, part: DamagedPart, pick: number): Promise<string | null> {
  const files = (await listFiles(storage)).filter((path) => !HAS_NO_CHECKSUM.test(path));
  if (part === "any") return files[pick % files.length] ?? null;
  if (part === "segment")
    return (
      newest(
        files.filter((path) => SEGMENT.test(path)),
        SEGMENT,
      )[0] ?? null
    );
  const ofNewest = newest(
    files.filter((path) => OF_BACKUP.test(path) && !MANIFEST.test(path)),
    OF_BACKUP,
  );
  return ofNewest[pick % ofNewest.length] ?? null;
}

/** A file of a backup without a manifest; null if absent. */
export async function findOfAttempt(storage: Storage, pick: number): Promise<string | null> {
  const files = await listFiles(storage);
  const finished = new Set(
    files.filter((path) => path.endsWith("/backup.manifest")).map((path) => OF_BACKUP.exec(path)?.[1]),
  );
  const left = files.filter(
    (path) => !MANIFEST.test(path) && OF_BACKUP.test(path) && !finished.has(OF_BACKUP.exec(path)?.[1]),
  );
  return left[pick % left.length] ?? null;
}

/** Damages a file for good. Returns the bytes before. */
export async function spoil(storage: Storage, path: string, damage: Damage): Promise<Uint8Array> {
  const bytes = await collect(await storage.read(path), SIZE_BYTES_MAX);
  await storage.put(path, damaged(bytes, damage));
  return bytes;
}

/** The paths with the last name that `pattern` matches. */
function newest(paths: readonly string[], pattern: RegExp): string[] {
  const nameOf = (path: string): string => pattern.exec(path)?.[1] ?? "";
  const last = paths.map(nameOf).sort().at(-1);
  return paths.filter((path) => nameOf(path) === last);
}
