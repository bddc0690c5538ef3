/**
 * Reads configuration files, and remembers who could have written them. Debian gives them to PostgreSQL's account, and
 * root reads them too: a program that they name must not run with root's rights.
 */
import { closeSync, fstatSync, openSync, readFileSync, statSync } from "./nodeFiles";
import { dirname } from "node:path";
import { fail, toBackupError } from "../base/errors";
import type { AccountIds } from "./actAs";
import { isMissing } from "./systemError";
import { ownUid } from "./trust";

const GROUP_OR_OTHERS_WRITE = 0o022;

export class ConfigReader {
  readonly #accounts = new Map<number, AccountIds>();
  /** A file of root's that others may change. */
  #shared: string | undefined;

  /** Null when the file is missing. @throws fileOpen (41) */
  read(path: string): string | null {
    try {
      const fd = openSync(path, "r");
      try {
        this.#remember(path, fd);
        return readFileSync(fd, "utf8");
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      if (isMissing(error)) return null;
      throw fail("fileOpen", `unable to open file '${path}' for read: ${toBackupError(error).message}`, {
        path,
        cause: error,
      });
    }
  }

  /**
   * For a program that one of these files names: the account whose rights it gets. Undefined when that is this process'
   * own.
   * @throws fileOwner (88) when root cannot know whose program it is
   */
  account(): AccountIds | undefined {
    if (ownUid() !== 0) return undefined;
    const [first, second] = this.#accounts.values();
    const hint = "Run this command as the account that owns the configuration.";
    if (second !== undefined)
      throw fail("fileOwner", `accounts ${first?.uid} and ${second.uid} own configuration files`, { hint });
    if (first === undefined && this.#shared !== undefined)
      throw fail("fileOwner", `other accounts may write configuration file '${this.#shared}'`, {
        hint: [hint, `Or run chmod go-w '${this.#shared}'.`],
        path: this.#shared,
      });
    return first;
  }

  #remember(path: string, fd: number): void {
    const file = fstatSync(fd);
    // Who owns the directory can put a link to any file of root's there.
    for (const { uid, gid } of [file, statSync(dirname(path))]) if (uid !== 0) this.#accounts.set(uid, { uid, gid });
    if ((file.mode & GROUP_OR_OTHERS_WRITE) !== 0) this.#shared ??= path;
  }
}
