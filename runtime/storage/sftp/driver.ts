/**
 * A directory of an SFTP server as a storage, over one connection for all requests.
 *
 * Uses the same layout, modes and temporary names as a local directory (pgBackRest 2.60 "storage/sftp"): files 0640 and
 * directories 0750 as far as the server's umask allows, no symbolic links. upload.ts names the limits of servers.
 * Requests that a broken connection interrupted are repeated; reads and writes resume.
 */
import type { FileEntryWithStats, Stats } from "ssh2";
import { type ByteStream, streamOf } from "../../base/bytes";
import { type ErrorKind, fail } from "../../base/errors";
import { mapParallel } from "../../base/parallel";
import { ioRetryPolicy, Retries, type RetryPolicy } from "../../base/retry";
import { temporaryName } from "../../base/temporaryName";
import type { SftpConfig } from "../../config/types";
import { NAME_SIZE_BYTES, silenceMs } from "../ioLimits";
import { checkDirectoryPath, checkPath, joinPath, requireUnicode } from "../paths";
import type {
  ByteRange,
  ListOptions,
  ObjectInfo,
  PutOptions,
  Space,
  Storage,
  StorageFact,
  StorageFeatures,
} from "../storage";
import { openSession } from "./connect";
import { download } from "./download";
import { isLost, isStatus, requestError, type SftpEndpoint, STATUS } from "./failure";
import { closeHandle, isComplete, makePath, statOf } from "./requests";
import { probeSftp, spaceAt } from "./probe";
import { PrivateKey } from "./privateKey";
import type { SessionDeps, SftpSession } from "./session";
import { createFrom, upload } from "./upload";

export interface SftpOptions extends SftpConfig {
  readonly repoIndex: number;
  /** Absolute directory of the repository on the server. */
  readonly root: string;
}

/** Directories that are listed, or files that are removed, concurrently. */
const LISTS_IN_FLIGHT = 8;
const REMOVES_IN_FLIGHT = 32;
/** A repository is about ten levels deep; a loop of mounts would be endless. */
const DEPTH_MAX = 128;
/** How long a silent connection counts for the next ones, in parts of `io-timeout`. */
const SILENCE_REMEMBERED = 2;
/** Attempts to remove a directory that another process fills in the meantime. */
const REMOVE_ROUNDS = 3;

export class SftpStorage implements Storage {
  readonly name: string;
  readonly features: StorageFeatures = { directories: true, symlinks: false };
  readonly #options: SftpOptions;
  readonly #deps: SessionDeps;
  readonly #endpoint: SftpEndpoint;
  readonly #privateKey = new PrivateKey();
  readonly #retryPolicy: RetryPolicy;
  #opening: Promise<SftpSession> | undefined;
  #session: SftpSession | undefined;
  /** When connections ended because the server was silent. */
  #silentAtMs: readonly number[] = [];

  constructor(options: SftpOptions, deps: SessionDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#retryPolicy = ioRetryPolicy(deps);
    const { user, host, port, root, repoIndex } = options;
    this.#endpoint = { repoIndex, server: `${user}@${host}:${port}` };
    this.name = `sftp://${user}@${host}:${port}${root}`;
  }

  async stat(path: string): Promise<ObjectInfo | null> {
    checkDirectoryPath(path);
    const full = this.#full(path);
    const stats = await this.#run("fileInfo", `get info for path/file '${full}'`, path, (session) =>
      statOf(session, full),
    );
    return stats === null ? null : infoOf(path, stats);
  }

  async *list(path: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    checkDirectoryPath(path);
    const prefix = options.namePrefix ?? "";
    let level = [path];
    for (let depth = 0; level.length > 0; depth++) {
      if (depth > DEPTH_MAX)
        throw fail("pathOpen", `path '${this.#full(path)}' is more than ${DEPTH_MAX} directories deep`, { path });
      const below: string[] = [];
      for (let first = 0; first < level.length; first += LISTS_IN_FLIGHT) {
        const lists = await mapParallel(level.slice(first, first + LISTS_IN_FLIGHT), LISTS_IN_FLIGHT, (directory) =>
          this.#listDirectory(directory),
        );
        for (const info of lists.flat()) {
          if (depth === 0 && !info.path.slice(path === "" ? 0 : path.length + 1).startsWith(prefix)) continue;
          if (options.recursive === true && info.type === "directory") below.push(info.path);
          else yield info;
        }
      }
      level = below;
    }
  }

  async read(path: string, range?: ByteRange): Promise<ByteStream> {
    checkPath(path);
    return download(this.#transfer(path), range);
  }

  async put(path: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    await this.putStream(path, () => streamOf(bytes), options);
  }

  async create(path: string, bytes: Uint8Array): Promise<boolean> {
    checkPath(path);
    const full = this.#full(path);
    const temporary = temporaryName(path, this.#deps.random);
    await this.put(temporary, bytes, { atomic: false });
    try {
      return await this.#run("fileMove", `link '${full}' to '${this.#full(temporary)}'`, path, (session) =>
        createFrom(session, this.#full(temporary), full, bytes),
      );
    } finally {
      await this.remove(temporary).catch(() => undefined);
    }
  }

  async putStream(path: string, open: () => ByteStream, options: PutOptions = {}): Promise<void> {
    checkPath(path);
    await upload({ ...this.#transfer(path), atomic: options.atomic ?? true }, open());
  }

  async remove(path: string): Promise<void> {
    checkPath(path);
    const full = this.#full(path);
    await this.#run("fileRemove", `remove '${full}'`, path, (session) => removeFile(session, full));
  }

  async removePath(path: string): Promise<void> {
    checkPath(path);
    const info = await this.stat(path);
    if (info === null) return;
    if (info.type !== "directory") return this.remove(path);
    for (let round = 1; ; round++) {
      const directories = await this.#removeFiles(path);
      try {
        for (const directory of directories.reverse()) await this.#removeEmpty(directory);
        return;
      } catch (error) {
        // Another process has created a file there in the meantime.
        if (round >= REMOVE_ROUNDS || !isFailure(error)) throw error;
      }
    }
  }

  async removeDirectory(path: string): Promise<void> {
    checkPath(path);
    try {
      await this.#removeEmpty(path);
    } catch (error) {
      // The protocol has no code for a directory that is not empty.
      if (!isFailure(error) || (await this.#listDirectory(path)).length === 0) throw error;
    }
  }

  async makePath(path: string): Promise<void> {
    checkDirectoryPath(path);
    const full = this.#full(path);
    await this.#run("pathCreate", `create path '${full}'`, path, (session) => makePath(session, full));
  }

  async syncPath(path: string): Promise<void> {
    // SFTP has no request for it: the server's file system alone decides how durable names are.
    checkDirectoryPath(path);
  }

  async link(path: string): Promise<void> {
    throw fail("featureNotSupported", `unable to link '${this.#full(path)}': this storage has no symbolic links`, {
      path,
    });
  }

  async space(): Promise<Space | null> {
    const root = this.#full("");
    return spaceAt({ root, ask: (doing, work) => this.#run("fileInfo", doing, root, work) });
  }

  async probe(scratch: string): Promise<StorageFact[]> {
    checkPath(scratch);
    return probeSftp({
      storage: this,
      root: this.#full(""),
      scratch,
      fullScratch: this.#full(scratch),
      ask: (doing, work) => this.#run("fileInfo", doing, scratch, work),
    });
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    await this.#session?.close();
  }

  #full(path: string): string {
    const root = this.#options.root.replace(/\/+$/, "");
    const full = path === "" ? root || "/" : `${root}/${path}`;
    // The library writes and reads names as UTF-8 only.
    requireUnicode(full, "SFTP");
    return full;
  }

  #transfer(path: string) {
    return {
      full: this.#full(path),
      path,
      endpoint: this.#endpoint,
      signal: this.#deps.signal,
      random: this.#deps.random,
      connect: () => this.#connect(),
      retries: () => this.#retries(),
    };
  }

  #retries(): Retries {
    return new Retries(this.#retryPolicy, this.#deps.clock, this.#deps.signal);
  }

  /** Opens the connection if it is not open; concurrent callers wait for the same one. */
  #connect(): Promise<SftpSession> {
    if (this.#session?.isAlive === true) return Promise.resolve(this.#session);
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #open(): Promise<SftpSession> {
    const { clock, ioTimeoutMs } = this.#deps;
    const beganMs = clock.monotonicMs();
    const silent = this.#session?.isSilent === true ? [...this.#silentAtMs, beganMs] : this.#silentAtMs;
    this.#session = undefined;
    // A slow server gets the long limit at once until it was not needed for a while.
    this.#silentAtMs = silent.filter((atMs) => beganMs - atMs < SILENCE_REMEMBERED * ioTimeoutMs);
    const silentAttempts = this.#silentAtMs.length;
    try {
      this.#session = await openSession(this.#options, this.#privateKey, this.#endpoint, this.#deps, silentAttempts);
      return this.#session;
    } catch (error) {
      const endedMs = clock.monotonicMs();
      if (endedMs - beganMs >= silenceMs(silentAttempts, ioTimeoutMs))
        this.#silentAtMs = [...this.#silentAtMs, endedMs];
      throw error;
    }
  }

  /** One repeatable request, repeated on a new connection if the old one breaks. */
  async #run<T>(kind: ErrorKind, doing: string, path: string, work: (session: SftpSession) => Promise<T>): Promise<T> {
    const retries = this.#retries();
    for (;;) {
      try {
        return await work(await this.#connect());
      } catch (error) {
        if (!isLost(error)) throw requestError(kind, doing, { ...this.#endpoint, path }, error);
        await retries.pause(error);
      }
    }
  }

  /** The direct children; empty if it is missing or not a directory. */
  async #listDirectory(path: string): Promise<ObjectInfo[]> {
    const full = this.#full(path);
    return this.#run("pathOpen", `list file info for path '${full}'`, path, async (session) => {
      // A name is one part of a path, whatever the server sends.
      const entries = (await readDirectory(session, full)).filter(
        (entry) => entry.filename !== "" && !entry.filename.includes("/"),
      );
      const infos = await mapParallel(entries, REMOVES_IN_FLIGHT, async ({ filename, attrs }) => {
        const child = joinPath(path, filename);
        // Attributes come with the names, but servers may omit them.
        const stats: Stats | null = isComplete(attrs) ? attrs : await statOf(session, this.#full(child));
        if (stats === null) return null;
        return stats.isSymbolicLink() ? infoOfLink(session, child, this.#full(child), stats) : infoOf(child, stats);
      });
      return infos.filter((info) => info !== null);
    });
  }

  /** Removes all files below; returns the directories, parents first. */
  async #removeFiles(path: string): Promise<string[]> {
    const directories = [path];
    for (let index = 0; index < directories.length; index++) {
      const directory = directories[index] ?? "";
      if (directory.split("/").length > path.split("/").length + DEPTH_MAX) {
        throw fail("pathRemove", `path '${this.#full(path)}' is more than ${DEPTH_MAX} directories deep`, { path });
      }
      const entries = await this.#listDirectory(directory);
      directories.push(...entries.filter((info) => info.type === "directory").map((info) => info.path));
      const files = entries.filter((info) => info.type !== "directory");
      await mapParallel(files, REMOVES_IN_FLIGHT, (file) => this.remove(file.path));
    }
    return directories;
  }

  async #removeEmpty(path: string): Promise<void> {
    const full = this.#full(path);
    await this.#run("pathRemove", `remove path '${full}'`, path, async (session) => {
      try {
        await session.request<void>((sftp, answer) => sftp.rmdir(full, (error) => answer(error)));
      } catch (error) {
        if (!isStatus(error, STATUS.noSuchFile)) throw error;
      }
    });
  }
}

function isFailure(error: unknown): boolean {
  return error instanceof Error && isStatus(error.cause, STATUS.failure);
}

async function removeFile(session: SftpSession, full: string): Promise<void> {
  try {
    await session.request<void>((sftp, answer) => sftp.unlink(full, (error) => answer(error)));
  } catch (error) {
    if (!isStatus(error, STATUS.noSuchFile)) throw error;
  }
}

/** Page by page: each answer shows that the server lives, however many names there are. */
async function readDirectory(session: SftpSession, full: string): Promise<FileEntryWithStats[]> {
  const entries: FileEntryWithStats[] = [];
  let handle: Buffer;
  try {
    handle = await session.request<Buffer>((sftp, answer) => sftp.opendir(full, answer));
  } catch (error) {
    if (isStatus(error, STATUS.noSuchFile)) return [];
    throw error;
  }
  const pace = session.pace();
  try {
    for (;;) {
      const page = await session.request<FileEntryWithStats[]>((sftp, answer) => sftp.readdir(handle, answer));
      pace.arrived(page.length * NAME_SIZE_BYTES);
      for (const entry of page) entries.push(entry);
    }
  } catch (error) {
    if (isStatus(error, STATUS.eof)) return entries;
    throw error;
  } finally {
    closeHandle(session, handle);
  }
}

/** A directory that is also a repository on the server itself has links: `latest`. */
async function infoOfLink(session: SftpSession, path: string, full: string, stats: Stats): Promise<ObjectInfo> {
  const link = session.request<string>((sftp, answer) => sftp.readlink(full, answer));
  const destination = await link.catch((error: unknown) => {
    if (isLost(error)) throw error;
    return undefined;
  });
  return { ...infoOf(path, stats), ...(destination === undefined ? {} : { destination }) };
}

function infoOf(path: string, stats: Stats): ObjectInfo {
  const type = stats.isDirectory() ? "directory" : stats.isSymbolicLink() ? "link" : "file";
  return { path, type, sizeBytes: type === "file" ? stats.size : 0, modifiedAtMs: stats.mtime * 1000 };
}
