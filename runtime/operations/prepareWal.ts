/**
 * Reads, checks, hashes and compresses WAL files for several repositories, each step once.
 *
 * A segment of usual size is held in memory while lanes need it; at most `heldMax` are, and one that was let go is read again on demand. A
 * larger one is never held: it is hashed in one pass, and streamed and compressed anew for each repository, which compares the hash at the
 * end. PostgreSQL renames a segment that it no longer needs and writes another one into the same file: what is read counts only if the name
 * still leads to the same unchanged file afterwards. Compression runs beside this thread, so that it can go on answering.
 */
import { createHash } from "node:crypto";
import { type FileHandle, open, stat } from "node:fs/promises";
import { type ByteStream, collect, streamOf } from "../base/bytes";
import { type BackupError, fail } from "../base/errors";
import { LIMITS } from "../base/limits";
import { compress, type CompressSpec } from "../format/compress";
import { parseWalHeader } from "../format/walHeader";
import { isSegment } from "../repository/walStore";
import type { ClusterIdentity } from "./identity";

/** Segments of up to this size, PostgreSQL's default, are held whole. */
export const HELD_SEGMENT_SIZE_BYTES_MAX = 16 * 1024 * 1024;
const HELD_MAX = 4;
const HEADER_SIZE_BYTES = 512;

export interface PreparedWal {
  readonly name: string;
  readonly sizeBytes: number;
  /** SHA-1 of the plain content. */
  readonly sha1: string;
  /** From the segment's header; null for files that have none. */
  readonly cluster: ClusterIdentity | null;
  /** Tells this file from another one of the same name: {@link identifyWal}. */
  readonly fileId: string;
  /** The content compressed as asked, made once per kind for what is held. The stream throws `fileRead` when the file has changed. */
  packed(spec: CompressSpec): Promise<() => ByteStream>;
}

export interface PrepareOptions {
  readonly walDirectory: string;
  readonly headerCheck: boolean;
  /** Files held at the same time; default 4. */
  readonly heldMax?: number;
  /** Kinds of compression that are asked for; the plain content is let go when all were made. Default: it is kept. */
  readonly kindCount?: number;
}

export class WalPreparer {
  readonly #options: PrepareOptions;
  readonly #cluster: ClusterIdentity | null;
  readonly #held = new Map<string, Promise<PreparedWal>>();

  constructor(options: PrepareOptions, cluster: ClusterIdentity | null) {
    this.#options = options;
    this.#cluster = cluster;
  }

  /** @throws fileMissing, fileRead; archiveMismatch (44) when the header is another cluster's */
  prepare(name: string): Promise<PreparedWal> {
    const held = this.#held.get(name);
    if (held !== undefined) return held;
    for (const oldest of this.#held.keys()) if (this.#held.size >= (this.#options.heldMax ?? HELD_MAX)) this.#held.delete(oldest);
    const prepared = this.#read(name);
    this.#held.set(name, prepared);
    prepared.catch(() => {
      if (this.#held.get(name) === prepared) this.#held.delete(name);
    });
    return prepared;
  }

  /** It is needed no longer. */
  letGo(name: string): void {
    this.#held.delete(name);
  }

  /** Forgets what was read of this name from another file. */
  async keepOnly(name: string, fileId: string): Promise<void> {
    const prepared = this.#held.get(name);
    if (prepared === undefined) return;
    const isOther = await prepared.then((wal) => wal.fileId !== fileId).catch(() => true);
    if (isOther && this.#held.get(name) === prepared) this.#held.delete(name);
  }

  async #read(name: string): Promise<PreparedWal> {
    const path = `${this.#options.walDirectory}/${name}`;
    const hash = createHash("sha1");
    const parts: Uint8Array[] = [];
    let head: Uint8Array | undefined;
    let isHeld = true;
    const { fileId, sizeBytes } = await readChecked(path, (chunk, size) => {
      hash.update(chunk);
      head ??= chunk.subarray(0, HEADER_SIZE_BYTES);
      isHeld = size <= HELD_SEGMENT_SIZE_BYTES_MAX;
      if (isHeld) parts.push(chunk);
    });
    const cluster = isSegment(name) && this.#options.headerCheck ? this.#checkHeader(name, head ?? new Uint8Array(0)) : null;
    const facts = { name, sizeBytes, sha1: hash.digest("hex"), cluster, fileId };
    if (!isHeld) return { ...facts, packed: async (spec) => () => compress(readAgain(path, facts), spec) };
    return { ...facts, packed: packer(parts, sizeBytes, this.#options.kindCount ?? Number.POSITIVE_INFINITY) };
  }

  #checkHeader(name: string, head: Uint8Array): ClusterIdentity {
    const header = parseWalHeader(head);
    const found: ClusterIdentity = { version: header.pgVersion, systemId: header.systemId };
    const expected = this.#cluster;
    if (expected !== null && (found.version !== expected.version || found.systemId !== expected.systemId)) {
      throw fail(
        "archiveMismatch",
        `WAL file '${name}' version ${found.version}, system-id ${found.systemId} do not match stanza version ${expected.version}, system-id ${expected.systemId}`,
      );
    }
    return found;
  }
}

/** What the name leads to now: changes with the file and with its content. @throws fileMissing, fileRead */
export async function identifyWal(path: string): Promise<string> {
  try {
    return fileIdOf(await stat(path, { bigint: true }));
  } catch (error) {
    throw readError(path, error);
  }
}

/** Compresses what is held, once per kind; the parts are forgotten when all kinds were made. */
function packer(parts: readonly Uint8Array[], sizeBytes: number, kindCount: number): PreparedWal["packed"] {
  let plain: readonly Uint8Array[] = parts;
  const made = new Map<string, Promise<Uint8Array>>();
  return async (spec) => {
    const key = `${spec.type}:${spec.level}`;
    let packing = made.get(key);
    if (packing === undefined) {
      // Content that does not compress grows a little.
      packing = collect(compress(streamOf(...plain), spec), 2 * sizeBytes + LIMITS.chunkSizeBytes);
      made.set(key, packing);
      if (made.size >= kindCount) plain = [];
    }
    const content = await packing;
    return () => streamOf(content);
  };
}

/** Reads a file whole in chunks of their own. @throws fileRead when the name leads to something else afterwards, or the size changed */
async function readChecked(
  path: string,
  visit: (chunk: Uint8Array, sizeBytes: number) => void,
): Promise<{ readonly fileId: string; readonly sizeBytes: number }> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    const before = await handle.stat({ bigint: true });
    const sizeBytes = Number(before.size);
    let position = 0;
    for (;;) {
      const buffer = Buffer.allocUnsafeSlow(Math.max(Math.min(LIMITS.chunkSizeBytes, sizeBytes - position), 1));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) break;
      position += bytesRead;
      if (position > sizeBytes) throw changed(path, `is larger than the ${sizeBytes} bytes that it had`);
      visit(buffer.subarray(0, bytesRead), sizeBytes);
    }
    if (position !== sizeBytes) throw changed(path, `changed from ${sizeBytes} to ${position} bytes`);
    const fileId = fileIdOf(before);
    if ((await identifyWal(path)) !== fileId) throw changed(path, "was replaced or written to");
    return { fileId, sizeBytes };
  } catch (error) {
    throw readError(path, error);
  } finally {
    await handle?.close();
  }
}

async function* readAgain(path: string, expected: Pick<PreparedWal, "sha1" | "sizeBytes">): ByteStream {
  const hash = createHash("sha1");
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    for (let position = 0; position < expected.sizeBytes; ) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(LIMITS.chunkSizeBytes, expected.sizeBytes - position));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) throw changed(path, `changed from ${expected.sizeBytes} to ${position} bytes`);
      const chunk = buffer.subarray(0, bytesRead);
      hash.update(chunk);
      position += bytesRead;
      if (position === expected.sizeBytes && hash.copy().digest("hex") !== expected.sha1) throw changed(path, "has other content than");
      yield chunk;
    }
  } catch (error) {
    throw readError(path, error);
  } finally {
    await handle?.close();
  }
}

function fileIdOf(info: { readonly ino: bigint; readonly size: bigint; readonly mtimeNs: bigint }): string {
  return `${info.ino}:${info.size}:${info.mtimeNs}`;
}

function changed(path: string, how: string): BackupError {
  return fail("fileRead", `'${path}' ${how} while it was read`, { path, retryable: true });
}

function readError(path: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === undefined) return error;
  return fail(code === "ENOENT" ? "fileMissing" : "fileRead", `unable to read WAL file '${path}': [${code}]`, { path, cause: error });
}
