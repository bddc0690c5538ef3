/**
 * Rules for a storage's relative paths, checked at the entry of every driver: a wrong path could remove a whole
 * repository.
 */
import { hasStrayBytes, shownText } from "../base/bytes";
import { assert, fail } from "../base/errors";

/** Asserts that `path` is relative, `/`-separated, without empty, `.` or `..` parts. */
export function checkPath(path: string): void {
  assert(path !== "", "a storage path is empty where a name is needed");
  for (const part of path.split("/"))
    assert(part !== "" && part !== "." && part !== ".." && !part.includes("\0"), `storage path '${path}' is not plain`);
}

/**
 * A service that replaced bytes would store two files under one name.
 * @throws featureNotSupported for a path that is no UTF-8
 */
export function requireUnicode(path: string, service: string): void {
  if (!hasStrayBytes(path)) return;
  throw fail("featureNotSupported", `unable to use '${shownText(path)}' because names in ${service} must be UTF-8`, {
    path: shownText(path),
    hint: [
      "With repo-bundle=y, files up to repo-bundle-limit need no names of their own there.",
      "Otherwise rename the file, or leave it out with the option exclude.",
    ],
  });
}

/** As {@link checkPath}; an empty path is the storage's root. */
export function checkDirectoryPath(path: string): void {
  if (path !== "") checkPath(path);
}

/** Joins `a` and `b`; either may be empty. */
export function joinPath(parent: string, name: string): string {
  return parent === "" ? name : name === "" ? parent : `${parent}/${name}`;
}
