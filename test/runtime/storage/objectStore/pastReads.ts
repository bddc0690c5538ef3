/** Reads storages in tests of the past. */
import { collect, compareBytes } from "../../../../runtime/base/bytes";
import type { Storage } from "../../../../runtime/storage/storage";

export async function textOf(storage: Storage, path: string): Promise<string> {
  return Buffer.from(await collect(await storage.read(path), 100)).toString();
}

/** Sorted; directories end with a slash. */
export async function pathsOf(storage: Storage, path: string, recursive: boolean): Promise<string[]> {
  const paths: string[] = [];
  for await (const entry of storage.list(path, { recursive }))
    paths.push(entry.type === "directory" ? `${entry.path}/` : entry.path);
  return paths.sort(compareBytes);
}
