/**
 * Where the journal of a recovery or a rollback is stored, and who can have written it.
 *
 * Root obeys its journal, so root's journal is in a directory that only root can write. Another account keeps its own
 * next to the data, which it owns anyway, and trusts only its own file. Neither resumes the other's journal: the error
 * says which account must.
 */
import { lstatSync, mkdirSync, unlinkSync } from "../../local/nodeFiles";
import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { fail } from "../../base/errors";
import { atomicWrite, syncDirectory } from "../../local/atomicWrite";
import { isMissing, systemCodeOf, systemError } from "../../local/systemError";
import { findText, isRootsAlone, ownUid, readOwnFile } from "../../local/trust";

/** Other accounts may see that a journal exists, so that they do not interfere with root's work. */
const ROOTS_DIRECTORY = "/var/lib/pgbackstop/journals";
const ROOTS_DIRECTORY_MODE = 0o711;

export type JournalKind = "recover" | "rollback";

export class JournalFile {
  readonly path: string;
  readonly #uid: number;
  readonly #kind: JournalKind;
  /** Path of the journal that the other kind of account, root or not, would use. */
  readonly #other: string;

  /**
   * @param name what the journal is about: a data directory, a ZFS file system
   * @param beside the path for an account that is not root
   */
  constructor(kind: JournalKind, name: string, beside: string, uid = ownUid(), rootsDirectory = ROOTS_DIRECTORY) {
    const digest = createHash("sha256").update(name).digest("hex").slice(0, 12);
    const readable = name
      .replaceAll(/[^A-Za-z0-9._-]+/g, "-")
      .replace(/^-/, "")
      .slice(-80);
    const roots = join(rootsDirectory, `${kind}-${readable}-${digest}.json`);
    [this.path, this.#other] = uid === 0 ? [roots, beside] : [beside, roots];
    this.#uid = uid;
    this.#kind = kind;
  }

  /**
   * Null without a journal.
   * @param isOver true for a finished journal of another account, so that new work may begin
   * @throws fileOwner (88) when another account has begun work here, or pretends to; format (29)
   */
  read(isOver: (journal: unknown) => boolean): unknown {
    if (this.#uid === 0) this.#requireRootsAlone();
    else this.#requireNotRoots();
    const text = readOwnFile(this.path, this.#uid);
    if (text !== null) return parse(text, this.path);
    if (this.#uid === 0) this.#requireNobodys(isOver);
    return null;
  }

  #requireNotRoots(): void {
    if (findInfo(this.#other) === null) return;
    throw fail("fileOwner", `root has started a ${NOUNS[this.#kind]} here ('${this.#other}')`, {
      path: this.#other,
      hint: [`Run ${this.#kind} as root.`, `If it is finished and needs no undo, remove '${this.#other}' as root.`],
    });
  }

  /** Root has no journal, but a file exists where another account or an older version would keep one. */
  #requireNobodys(isOver: (journal: unknown) => boolean): void {
    const info = findInfo(this.#other);
    if (info === null || isOver(parse(findText(this.#other) ?? "null", null))) return;
    throw fail(
      "fileOwner",
      `'${this.#other}' belongs to account ${info.uid} and is in a directory that others than root can write: root does not use it`,
      {
        path: this.#other,
        hint: [
          `If that account has started a ${NOUNS[this.#kind]}, run ${this.#kind} as that account to continue it.`,
          START_OVER_HINT,
        ],
      },
    );
  }

  /** Durable on return. */
  async write(journal: object): Promise<void> {
    if (this.#uid === 0) this.#makeRootsDirectory();
    await atomicWrite(this.path, Buffer.from(`${JSON.stringify(journal, null, 2)}\n`), { mode: 0o600 });
  }

  async remove(): Promise<void> {
    try {
      unlinkSync(this.path);
    } catch (error) {
      if (!isMissing(error)) throw systemError("fileRemove", `remove '${this.path}'`, this.path, error);
    }
    await syncDirectory(dirname(this.path));
  }

  #makeRootsDirectory(): void {
    const path = dirname(this.path);
    for (const [directory, mode] of [
      [dirname(path), 0o755],
      [path, ROOTS_DIRECTORY_MODE],
    ] as const) {
      try {
        mkdirSync(directory, { mode });
      } catch (error) {
        if (systemCodeOf(error) !== "EEXIST")
          throw systemError("pathCreate", `create path '${directory}'`, directory, error);
      }
    }
    this.#requireRootsAlone();
  }

  /** Requires that no other account can change the directory's content or replace the directory. */
  #requireRootsAlone(): void {
    const path = dirname(this.path);
    if (findInfo(path) === null || isRootsAlone(path)) return;
    throw fail("fileOwner", `'${path}' is not safe: other accounts than root can write there, or above it`, {
      path,
      hint: `Run chown root and chmod go-w on '${path}' and the directories above it, and remove files in it that root did not write.`,
    });
  }
}

const NOUNS: Readonly<Record<JournalKind, string>> = { recover: "recovery", rollback: "rollback" };
const START_OVER_HINT =
  "To start over, rename the directories back by hand (old data are called *.before-recover-* or *.before-rollback-*) and remove the file.";

/** Invalid JSON in an untrusted file (no path) is null. */
function parse(text: string, path: string | null): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (path === null) return null;
    throw fail("format", `'${path}' is not a journal: ${String(error)}`, { path, hint: START_OVER_HINT, cause: error });
  }
}

function findInfo(path: string): { readonly uid: number } | null {
  try {
    return lstatSync(path);
  } catch (error) {
    // An account that may not look there has no journal either.
    if (isMissing(error) || systemCodeOf(error) === "EACCES") return null;
    throw systemError("fileInfo", `look for '${basename(path)}' in '${dirname(path)}'`, path, error);
  }
}
