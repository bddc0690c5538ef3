/**
 * Stock's queues of `archive-async`: `<spool-path>/archive/<stanza>/out` for pushes and `…/in` for prefetched files.
 *
 * A status file tells PostgreSQL's command what the background process did with a WAL file. `<file>.ok` is empty, or
 * holds `0` and warnings; `<file>.error` holds a code and a message; `global.error` stands for every file without its
 * own status. Bytes as in pgBackRest 2.60 "command/archive/common", so that a host can move from stock to this program
 * and back in the middle of a queue.
 */
import { utf8 } from "../base/bytes";
import { copyFile, mkdir, readdir, rename, rm, stat } from "./nodeFiles";
import { TEMP_SUFFIX } from "../base/temporaryName";
import { atomicWrite, DIRECTORY_MODE } from "./atomicWrite";
import { isMissing, nullIfMissing, systemCodeOf, systemError, textIfThere } from "./systemError";

export interface SpoolStatus {
  readonly kind: "ok" | "error";
  /** Exit code of an `.ok` file: not 0 when an operator renamed an `.error` file. */
  readonly code: number;
  readonly message: string;
}

const GLOBAL = "global";

/** The queue shared with stock. */
export function stockSpool(spoolPath: string, stanza: string, queue: "in" | "out"): Spool {
  return new Spool(`${spoolPath}/archive/${stanza}/${queue}`);
}

/** The agent's prefetched files, of all repositories or of one: nothing else writes there. */
export function agentSpool(spoolPath: string, stanza: string, repoIndex: number | null = null): Spool {
  return new Spool(`${spoolPath}/pgbackstop/${stanza}/in${repoIndex === null ? "" : `-repo${repoIndex}`}`);
}

export class Spool {
  readonly path: string;

  /** Stock's directory, or another one of the same shape. */
  constructor(path: string) {
    this.path = path;
  }

  async make(): Promise<void> {
    try {
      await mkdir(this.path, { recursive: true, mode: DIRECTORY_MODE });
    } catch (error) {
      throw systemError("pathCreate", `create path '${this.path}'`, this.path, error);
    }
  }

  /** Names of all entries, ascending; empty without a queue. */
  async list(): Promise<string[]> {
    const names = await nullIfMissing(readdir(this.path), (error) =>
      systemError("pathOpen", `list '${this.path}'`, this.path, error),
    );
    return (names ?? []).sort();
  }

  /** The file's own status, else the global error; null without either. */
  async findStatus(walName: string): Promise<SpoolStatus | null> {
    const ok = await this.#read(`${walName}.ok`);
    if (ok !== null) return parseStatus("ok", ok);
    const error = (await this.#read(`${walName}.error`)) ?? (await this.#read(`${GLOBAL}.error`));
    return error === null ? null : parseStatus("error", error);
  }

  /** When an entry was written, in milliseconds since 1970; null without it. */
  async writtenAtMs(name: string): Promise<number | null> {
    const path = `${this.path}/${name}`;
    const entry = await nullIfMissing(stat(path), (error) => systemError("fileOpen", `stat '${path}'`, path, error));
    return entry?.mtimeMs ?? null;
  }

  async writeOk(walName: string, warnings: readonly string[] = []): Promise<void> {
    await this.#write(`${walName}.ok`, warnings.length === 0 ? "" : `0\n${warnings.join("\n")}`);
    await this.remove(`${walName}.error`);
  }

  /** A null `walName` means every file. */
  async writeError(walName: string | null, code: number, message: string): Promise<void> {
    await this.#write(`${walName ?? GLOBAL}.error`, `${code}\n${message}`);
  }

  /** Forgets a file's earlier failures, so that it is tried again. */
  async clearErrors(walName: string): Promise<void> {
    await this.remove(`${walName}.error`);
    await this.remove(`${GLOBAL}.error`);
  }

  async remove(name: string): Promise<void> {
    await rm(`${this.path}/${name}`, { recursive: true, force: true });
  }

  /** Moves a complete file out of the queue to `destination`; false when it is not there. */
  async moveOut(name: string, destination: string): Promise<boolean> {
    const source = `${this.path}/${name}`;
    try {
      await rename(source, destination);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      if (systemCodeOf(error) !== "EXDEV")
        throw systemError("fileMove", `move '${source}' to '${destination}'`, source, error);
    }
    try {
      await copyFile(source, `${destination}${TEMP_SUFFIX}`);
      await rename(`${destination}${TEMP_SUFFIX}`, destination);
    } catch (error) {
      if (isMissing(error)) return false;
      throw systemError("fileMove", `move '${source}' to '${destination}'`, source, error);
    }
    await rm(source, { force: true });
    return true;
  }

  async #read(name: string): Promise<string | null> {
    const path = `${this.path}/${name}`;
    return textIfThere(path);
  }

  async #write(name: string, text: string): Promise<void> {
    await atomicWrite(`${this.path}/${name}`, utf8(text));
  }
}

function parseStatus(kind: SpoolStatus["kind"], text: string): SpoolStatus {
  const match = /^(\d+)\n?([\s\S]*)$/.exec(text);
  if (match === null) return { kind, code: kind === "ok" ? 0 : 25, message: text };
  return { kind, code: Number(match[1]), message: match[2] ?? "" };
}
