/**
 * Reads configuration files, and knows who can decide what they say. Debian gives them to PostgreSQL's account, and
 * root reads them too: what such a file names must not be run or touched with root's rights.
 */
import { closeSync, fstatSync, openSync, readFileSync } from "./nodeFiles";
import { fail } from "../base/errors";
import { type AccountIds, groupOf } from "./actAs";
import { isMissing, systemError } from "./systemError";
import { type Decider, decidersOf, ownUid } from "./trust";
import { loadUserNames } from "./users";

/** The account that decides what configuration files say. */
export interface FileAccount extends AccountIds {
  /** Name of the account, or `#61111`, as sudo takes it. */
  readonly name: string;
  /** What it can change. */
  readonly path: string;
}

export class ConfigReader {
  /** Owners of the files that were read: another file may have the name by now. */
  readonly #owners = new Map<string, number>();

  /** Null when the file is missing. @throws fileOpen (41) */
  read(path: string): string | null {
    try {
      const fd = openSync(path, "r");
      try {
        this.#owners.set(path, fstatSync(fd).uid);
        return readFileSync(fd, "utf8");
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      if (isMissing(error)) return null;
      throw systemError("fileOpen", `open file '${path}' for read`, path, error);
    }
  }

  /**
   * The account whose rights root must work with when it obeys these files. Undefined if only root can change them, or
   * this process is not root's.
   * @throws fileOwner (88) when root cannot know whose word it would obey
   */
  account(paths: readonly string[]): FileAccount | undefined {
    if (ownUid() !== 0) return undefined;
    const deciders = paths.flatMap((path) => this.#decidersOf(path));
    const [first, second] = new Map(deciders.flatMap((by) => (by.uid === null ? [] : [[by.uid, by]]))).values();
    if (first?.uid === undefined || first.uid === null) {
      const [open] = deciders;
      if (open === undefined) return undefined;
      throw fail("fileOwner", `other accounts than root may write '${open.path}', which decides what root does`, {
        hint: [`Run chmod go-w '${open.path}'.`, "Or run this command as PostgreSQL's account."],
        path: open.path,
      });
    }
    if (second !== undefined)
      throw fail(
        "fileOwner",
        `accounts ${first.uid} ('${first.path}') and ${second.uid} ('${second.path}') can change the configuration`,
        {
          hint: [
            `Give it to root: chown root '${first.path}' '${second.path}'.`,
            "Or run this command as PostgreSQL's account.",
          ],
          path: first.path,
        },
      );
    const { path, uid } = first;
    const name = loadUserNames().userName(uid) ?? `#${uid}`;
    // The group of the file may be any: without an entry in the account database the account has no group.
    return { uid, gid: groupOf({ uid, gid: 0 }), name, path };
  }

  #decidersOf(path: string): Decider[] {
    const owner = this.#owners.get(path) ?? 0;
    return [...(owner === 0 ? [] : [{ uid: owner, path }]), ...decidersOf(path)];
  }
}
