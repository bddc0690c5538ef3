/**
 * Reads, checks, hashes and compresses WAL files for several repositories, each step once.
 *
 * A segment of usual size stays in memory while workers need it, at most `heldMax` of them; a released one is read
 * again on demand. A larger segment is never held: it is hashed in one pass, then streamed and compressed for each
 * repository, which compares the hash at the end. With `pack` other threads read, hash and compress, so that this one
 * stays responsive. Without it only the compression runs in other threads.
 */
import { createHash } from "node:crypto";
import { type ByteStream, collect, freeMemory, settle, streamOf } from "../../base/bytes";
import { fail } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { compress, type CompressSpec } from "../../format/codec/compress";
import { parseWalHeader, type WalHeader } from "../../format/wal/walHeader";
import { isSegment } from "../../repository/walStore";
import type { ClusterIdentity } from "../shared/identity";
import {
  headOf,
  HELD_SEGMENT_SIZE_BYTES_MAX,
  type PackedWal,
  type PackWalJob,
  readAgain,
  readChecked,
} from "./walFile";

const HELD_MAX = 4;

export interface PreparedWal {
  readonly name: string;
  readonly sizeBytes: number;
  /** SHA-1 of the plain content. */
  readonly sha1: string;
  /** From the segment's header; null for files without one. */
  readonly cluster: ClusterIdentity | null;
  /** Distinguishes this file from another one of the same name: `identifyWal`. */
  readonly fileId: string;
  /**
   * The compressed content, made once per kind for held files. The stream throws `fileRead` when the file has changed.
   */
  packed(spec: CompressSpec): Promise<() => ByteStream>;
  /**
   * Releases the compressed content; `isUnused` frees its memory at once. Absent where other references hold it. Later
   * the file would be read again.
   */
  release?(isUnused: boolean): void;
}

export interface PrepareOptions {
  readonly walDirectory: string;
  readonly headerCheck: boolean;
  /** Size of the cluster's segments, from pg_control; absent: as the segment's header says. */
  readonly segmentSizeBytes?: number | undefined;
  /** False holds no content, for callers that need a checksum: it is read again on demand, as a large segment's is. */
  readonly holds?: false;
  /** Files held at the same time; default 4. */
  readonly heldMax?: number;
  /** Number of kinds of compression; the plain content is released after the last one. Default: it is kept. */
  readonly kindCount?: number;
  /** Where and how segments are read and compressed; default: in this thread, on demand. */
  readonly pack?: { readonly specs: readonly CompressSpec[]; run(job: PackWalJob): Promise<PackedWal> };
}

export class WalPreparer {
  readonly #options: PrepareOptions;
  readonly #cluster: ClusterIdentity | null;
  readonly #held = new Map<string, Promise<PreparedWal>>();

  constructor(options: PrepareOptions, cluster: ClusterIdentity | null) {
    this.#options = options;
    this.#cluster = cluster;
  }

  /**
   * @throws fileMissing, fileRead; archiveMismatch (44) when the header is another cluster's; fileInvalid (28) when a
   * segment is not whole
   */
  prepare(name: string): Promise<PreparedWal> {
    const held = this.#held.get(name);
    if (held !== undefined) return held;
    for (const oldest of this.#held.keys())
      if (this.#held.size >= (this.#options.heldMax ?? HELD_MAX)) this.#held.delete(oldest);
    const prepared = this.#read(name);
    this.#held.set(name, prepared);
    prepared.catch(() => {
      if (this.#held.get(name) === prepared) this.#held.delete(name);
    });
    return prepared;
  }

  /** Releases a file that is no longer needed. */
  letGo(name: string): void {
    this.#held.delete(name);
  }

  /** Forgets content of this name that came from another file. */
  async keepOnly(name: string, fileId: string): Promise<void> {
    const prepared = this.#held.get(name);
    if (prepared === undefined) return;
    const isOther = await prepared.then((wal) => wal.fileId !== fileId).catch(() => true);
    if (isOther && this.#held.get(name) === prepared) this.#held.delete(name);
  }

  async #read(name: string): Promise<PreparedWal> {
    const path = `${this.#options.walDirectory}/${name}`;
    const { pack } = this.#options;
    if (pack !== undefined && isSegment(name)) return this.#readBeside(name, path, pack);
    const hash = createHash("sha1");
    const parts: Uint8Array[] = [];
    let head: Uint8Array | undefined;
    const { holds = true } = this.#options;
    let isHeld = holds;
    const visit = (chunk: Uint8Array, size: number): void => {
      hash.update(chunk);
      head ??= headOf(chunk);
      isHeld = holds && size <= HELD_SEGMENT_SIZE_BYTES_MAX;
      if (isHeld) parts.push(chunk);
    };
    const { fileId, sizeBytes } = await readChecked(path, visit, { own: holds });
    const cluster = isSegment(name) ? this.#check(name, head ?? new Uint8Array(0), sizeBytes) : null;
    const facts = { name, sizeBytes, sha1: hash.digest("hex"), cluster, fileId };
    if (!isHeld) return { ...facts, packed: async (spec) => () => compress(readAgain(path, facts), spec) };
    return { ...facts, packed: packer(parts, sizeBytes, this.#options.kindCount ?? Number.POSITIVE_INFINITY) };
  }

  async #readBeside(name: string, path: string, pack: NonNullable<PrepareOptions["pack"]>): Promise<PreparedWal> {
    const { fileId, sizeBytes, sha1, head, contents } = await pack.run({ kind: "packWal", path, specs: pack.specs });
    const cluster = this.#check(name, head, sizeBytes);
    const facts = { name, sizeBytes, sha1, cluster, fileId };
    for (const piece of contents?.flat() ?? []) settle(piece);
    let held = contents;
    return {
      ...facts,
      packed: async (spec) => {
        if (held === null) return () => compress(readAgain(path, facts), spec);
        const content = held[pack.specs.findIndex(({ type, level }) => type === spec.type && level === spec.level)];
        if (content === undefined) throw fail("assert", `${name} was not compressed as ${spec.type} ${spec.level}`);
        return () => streamOf(...content);
      },
      release: (isUnused) => {
        if (isUnused) for (const piece of held?.flat() ?? []) freeMemory(piece);
        held = null;
      },
    };
  }

  /** The cluster in the header; null if headers are not checked. */
  #check(name: string, head: Uint8Array, sizeBytes: number): ClusterIdentity | null {
    const { headerCheck, segmentSizeBytes, walDirectory } = this.#options;
    const header = headerCheck ? parseWalHeader(head) : null;
    const expectedBytes = segmentSizeBytes ?? header?.segmentSizeBytes ?? sizeBytes;
    if (sizeBytes !== expectedBytes)
      throw fail("fileInvalid", `WAL file '${name}' has ${sizeBytes} bytes, a segment has ${expectedBytes}`, {
        hint: "PostgreSQL writes whole segments: was this one cut by a copy, or by a full disk?",
        path: `${walDirectory}/${name}`,
      });
    return header === null ? null : this.#clusterOf(name, header);
  }

  #clusterOf(name: string, header: WalHeader): ClusterIdentity {
    const actual: ClusterIdentity = { version: header.pgVersion, systemId: header.systemId };
    const expected = this.#cluster;
    if (expected !== null && (actual.version !== expected.version || actual.systemId !== expected.systemId)) {
      throw fail(
        "archiveMismatch",
        `WAL file '${name}' version ${actual.version}, system-id ${actual.systemId} do not match stanza version ${expected.version}, system-id ${expected.systemId}`,
      );
    }
    return actual;
  }
}

/** Compresses held content once per kind; the plain parts are released after the last kind. */
function packer(parts: readonly Uint8Array[], sizeBytes: number, kindCount: number): PreparedWal["packed"] {
  let plain: readonly Uint8Array[] = parts;
  const made = new Map<string, Promise<Uint8Array>>();
  return async (spec) => {
    const key = `${spec.type}:${spec.level}`;
    let packing = made.get(key);
    if (packing === undefined) {
      // Incompressible content grows a little.
      packing = collect(compress(streamOf(...plain), spec), 2 * sizeBytes + LIMITS.chunkSizeBytes);
      made.set(key, packing);
      if (made.size >= kindCount) plain = [];
    }
    const content = await packing;
    return () => streamOf(content);
  };
}
