/** Encodes answers to the kernel. Pure. */
import { utf8 } from "../base/bytes";
import { KEEP_CACHE, OUT_HEADER_BYTES, PROTOCOL_MAJOR, PROTOCOL_MINOR, TRANSFER_BYTES_MAX } from "./kernelProtocol";

export type FileKind = "file" | "directory" | "link";

export interface Attributes {
  readonly node: number;
  readonly kind: FileKind;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly mode: number;
  readonly linkCount: number;
  readonly uid: number;
  readonly gid: number;
}

/** How long the kernel may believe an answer: only its own requests change anything. */
const VALID_S = 86_400n;
const TYPE_BITS: Readonly<Record<FileKind, number>> = { file: 0o100000, directory: 0o040000, link: 0o120000 };
/** Types of directory entries (dirent.h). */
const ENTRY_TYPES: Readonly<Record<FileKind, number>> = { file: 8, directory: 4, link: 10 };
const IO_BLOCK_BYTES = 8192;
const SECTOR_BYTES = 512;
const ATTRIBUTES_BYTES = 88;

export const NOTHING = new Uint8Array(0);

/** The header and the body of an answer; `errno` is positive, 0 without an error. */
export function encodeReply(unique: bigint, errno: number, body: Uint8Array = NOTHING): Uint8Array[] {
  const header = Buffer.alloc(OUT_HEADER_BYTES);
  header.writeUInt32LE(OUT_HEADER_BYTES + body.length, 0);
  header.writeInt32LE(-errno, 4);
  header.writeBigUInt64LE(unique, 8);
  return body.length === 0 ? [header] : [header, body];
}

/** The header of an answer without an error, to a request whose header is still in its bytes. */
export function putReplyHeader(reply: Buffer, request: Buffer, sizeBytes: number): void {
  reply.writeUInt32LE(sizeBytes, 0);
  reply.writeInt32LE(0, 4);
  // The number has 64 bits, which only a bigint would hold.
  reply.writeUInt32LE(request.readUInt32LE(8), 8);
  reply.writeUInt32LE(request.readUInt32LE(12), 12);
}

/** `flags` are those that both sides want. */
export function encodeInit(flags: number): Uint8Array {
  const body = Buffer.alloc(64);
  body.writeUInt32LE(PROTOCOL_MAJOR, 0);
  body.writeUInt32LE(PROTOCOL_MINOR, 4);
  // Read-ahead.
  body.writeUInt32LE(TRANSFER_BYTES_MAX, 8);
  body.writeUInt32LE(flags >>> 0, 12);
  // Requests that nobody waits for: how many at a time, and when the kernel slows down.
  body.writeUInt16LE(64, 16);
  body.writeUInt16LE(48, 18);
  body.writeUInt32LE(TRANSFER_BYTES_MAX, 20);
  // Times have whole nanoseconds.
  body.writeUInt32LE(1, 24);
  body.writeUInt16LE(TRANSFER_BYTES_MAX / 4096, 28);
  return body;
}

export function encodeEntry(attributes: Attributes): Uint8Array {
  const body = Buffer.alloc(40 + ATTRIBUTES_BYTES);
  body.writeBigUInt64LE(BigInt(attributes.node), 0);
  body.writeBigUInt64LE(VALID_S, 16);
  body.writeBigUInt64LE(VALID_S, 24);
  putAttributes(body, 40, attributes);
  return body;
}

/** A name that does not exist, for as long as the kernel does not create it. */
export function encodeNoEntry(): Uint8Array {
  const body = Buffer.alloc(40 + ATTRIBUTES_BYTES);
  body.writeBigUInt64LE(VALID_S, 16);
  return body;
}

export function encodeAttributes(attributes: Attributes): Uint8Array {
  const body = Buffer.alloc(16 + ATTRIBUTES_BYTES);
  body.writeBigUInt64LE(VALID_S, 0);
  putAttributes(body, 16, attributes);
  return body;
}

export function encodeOpen(handle: number, keepsCache: boolean): Uint8Array {
  const body = Buffer.alloc(16);
  body.writeBigUInt64LE(BigInt(handle), 0);
  body.writeUInt32LE(keepsCache ? KEEP_CACHE : 0, 8);
  return body;
}

export function encodeCreate(attributes: Attributes): Uint8Array {
  return Buffer.concat([encodeEntry(attributes), encodeOpen(attributes.node, true)]);
}

export function encodeWritten(sizeBytes: number): Uint8Array {
  const body = Buffer.alloc(8);
  body.writeUInt32LE(sizeBytes, 0);
  return body;
}

export interface Space {
  readonly blockBytes: number;
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly availableBlocks: number;
  readonly files: number;
  readonly freeFiles: number;
}

export function encodeSpace(space: Space): Uint8Array {
  const body = Buffer.alloc(80);
  for (const [index, value] of [
    space.blocks,
    space.freeBlocks,
    space.availableBlocks,
    space.files,
    space.freeFiles,
  ].entries())
    body.writeBigUInt64LE(BigInt(value), index * 8);
  body.writeUInt32LE(space.blockBytes, 40);
  body.writeUInt32LE(255, 44);
  body.writeUInt32LE(space.blockBytes, 48);
  return body;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly node: number;
  readonly kind: FileKind;
}

/** As many entries from `position` on as fit; none at the end of the directory. */
export function encodeEntries(entries: readonly DirectoryEntry[], position: number, sizeBytesMax: number): Uint8Array {
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  for (let at = position; at < entries.length; at++) {
    const { kind, name, node } = entries[at] as DirectoryEntry;
    const nameBytes = utf8(name);
    const entry = Buffer.alloc(Math.ceil((24 + nameBytes.length) / 8) * 8);
    if (sizeBytes + entry.length > sizeBytesMax) break;
    entry.writeBigUInt64LE(BigInt(node), 0);
    entry.writeBigUInt64LE(BigInt(at + 1), 8);
    entry.writeUInt32LE(nameBytes.length, 16);
    entry.writeUInt32LE(ENTRY_TYPES[kind], 20);
    entry.set(nameBytes, 24);
    parts.push(entry);
    sizeBytes += entry.length;
  }
  return Buffer.concat(parts);
}

function putAttributes(body: Buffer, at: number, attributes: Attributes): void {
  const { gid, kind, linkCount, mode, modifiedMs, node, sizeBytes, uid } = attributes;
  body.writeBigUInt64LE(BigInt(node), at);
  body.writeBigUInt64LE(BigInt(sizeBytes), at + 8);
  body.writeBigUInt64LE(BigInt(Math.ceil(sizeBytes / SECTOR_BYTES)), at + 16);
  const seconds = Math.floor(modifiedMs / 1000);
  const nanoseconds = Math.floor(modifiedMs - seconds * 1000) * 1_000_000;
  // Access, content, status.
  for (const offset of [24, 32, 40]) body.writeBigInt64LE(BigInt(seconds), at + offset);
  for (const offset of [48, 52, 56]) body.writeUInt32LE(nanoseconds, at + offset);
  body.writeUInt32LE(TYPE_BITS[kind] | mode, at + 60);
  body.writeUInt32LE(linkCount, at + 64);
  body.writeUInt32LE(uid, at + 68);
  body.writeUInt32LE(gid, at + 72);
  body.writeUInt32LE(IO_BLOCK_BYTES, at + 80);
}
