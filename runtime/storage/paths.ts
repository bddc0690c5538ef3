/**
 * Rules for a storage's relative paths, checked at the entry of every driver: a wrong path could remove a whole
 * repository.
 */
import { assert } from "../base/errors";

/** Asserts that `path` is relative, `/`-separated, without empty, `.` or `..` parts. */
export function checkPath(path: string): void {
  assert(path !== "", "a storage path is empty where a name is needed");
  for (const part of path.split("/"))
    assert(part !== "" && part !== "." && part !== ".." && !part.includes("\0"), `storage path '${path}' is not plain`);
}

/** As {@link checkPath}; an empty path is the storage's root. */
export function checkDirectoryPath(path: string): void {
  if (path !== "") checkPath(path);
}

/** Joins `a` and `b`; either may be empty. */
export function joinPath(parent: string, name: string): string {
  return parent === "" ? name : name === "" ? parent : `${parent}/${name}`;
}
