/**
 * Reads, checks, hashes and compresses WAL files for several repositories, each step once.
 *
 * A segment of usual size is held in memory while lanes need it; at most `HELD_MAX` are, and no more than `HELD_SIZE_BYTES_MAX` beside the
 * one that is asked for; one that was let go is read again on demand.
 */
import { readFile, stat } from "node:fs/promises";
import { type ByteStream, streamOf } from "../base/bytes";
import { fail } from "../base/errors";
import { sha1Hex } from "../base/hash";
import { type CompressSpec, compressBytes } from "../format/compress";
import { parseWalHeader } from "../format/walHeader";
import { isSegment } from "../repository/walStore";
import type { ClusterIdentity } from "./identity";

const HELD_MAX = 4;
const HELD_SIZE_BYTES_MAX = 64 * 1024 * 1024;
const HEADER_SIZE_BYTES = 512;

export interface PreparedWal {
  readonly name: string;
  readonly sizeBytes: number;
  /** SHA-1 of the plain content. */
  readonly sha1: string;
  /** From the segment's header; null for files that have none. */
  readonly cluster: ClusterIdentity | null;
  /** The content compressed as asked, made once per kind. */
  packed(spec: CompressSpec): () => ByteStream;
}

export interface PrepareOptions {
  readonly walDirectory: string;
  readonly headerCheck: boolean;
}

export class WalPreparer {
  readonly #options: PrepareOptions;
  readonly #cluster: ClusterIdentity | null;
  readonly #held = new Map<string, Promise<PreparedWal>>();
  readonly #sizesBytes = new Map<string, number>();

  constructor(options: PrepareOptions, cluster: ClusterIdentity | null) {
    this.#options = options;
    this.#cluster = cluster;
  }

  /** @throws fileMissing, fileRead; archiveMismatch (44) when the header is another cluster's */
  prepare(name: string): Promise<PreparedWal> {
    const held = this.#held.get(name);
    if (held !== undefined) return held;
    for (const oldest of this.#held.keys()) if (this.#isFull()) this.#letGo(oldest);
    const prepared = this.#read(name);
    this.#held.set(name, prepared);
    prepared.then(
      ({ sizeBytes }) => this.#sizesBytes.set(name, sizeBytes),
      () => this.#letGo(name),
    );
    return prepared;
  }

  #isFull(): boolean {
    const sizeBytes = [...this.#sizesBytes.values()].reduce((sum, size) => sum + size, 0);
    return this.#held.size >= HELD_MAX || sizeBytes >= HELD_SIZE_BYTES_MAX;
  }

  #letGo(name: string): void {
    this.#held.delete(name);
    this.#sizesBytes.delete(name);
  }

  async #read(name: string): Promise<PreparedWal> {
    const path = `${this.#options.walDirectory}/${name}`;
    const bytes = await readWhole(path);
    const cluster = isSegment(name) && this.#options.headerCheck ? this.#checkHeader(name, bytes) : null;
    const packed = new Map<string, Uint8Array>();
    return {
      name,
      sizeBytes: bytes.length,
      sha1: sha1Hex(bytes),
      cluster,
      packed: (spec) => {
        const key = `${spec.type}:${spec.level}`;
        const content = packed.get(key) ?? compressBytes(bytes, spec);
        packed.set(key, content);
        return () => streamOf(content);
      },
    };
  }

  #checkHeader(name: string, bytes: Uint8Array): ClusterIdentity {
    const header = parseWalHeader(bytes.subarray(0, HEADER_SIZE_BYTES));
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

async function readWhole(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    const bytes = await readFile(path);
    if (bytes.length !== size) throw fail("fileRead", `'${path}' changed from ${size} to ${bytes.length} bytes while it was read`, { path });
    return bytes;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === undefined) throw error;
    throw fail(code === "ENOENT" ? "fileMissing" : "fileRead", `unable to read WAL file '${path}': [${code}]`, { path, cause: error });
  }
}
