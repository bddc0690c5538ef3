import { statSync } from "./nodeFiles";

/**
 * True for two paths of one directory, as through a symbolic link: PostgreSQL names its data directory as it was
 * started, and its working directory without links.
 */
export function isSameDirectory(left: string, right: string): boolean {
  if (left === right) return true;
  const [one, other] = [left, right].map((path) => statSync(path, { throwIfNoEntry: false }));
  return one !== undefined && one.dev === other?.dev && one.ino === other.ino;
}
