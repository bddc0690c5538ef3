/** Rules for the relative paths of a storage: checked at the door of every driver, because a wrong one could remove a whole repository. */
import { assert } from "../base/errors";

/** Asserts that `path` is relative, `/`-separated, without empty, `.` or `..` parts. */
export function checkPath(path: string): void {
  assert(path !== "", "a storage path is empty where a name is needed");
  for (const part of path.split("/"))
    assert(part !== "" && part !== "." && part !== ".." && !part.includes("\0"), `storage path '${path}' is not plain`);
}

/** As {@link checkPath}, but empty is the root of the storage. */
export function checkDirectoryPath(path: string): void {
  if (path !== "") checkPath(path);
}

/** `a` and `b` joined; either may be empty. */
export function joinPath(parent: string, name: string): string {
  return parent === "" ? name : name === "" ? parent : `${parent}/${name}`;
}
