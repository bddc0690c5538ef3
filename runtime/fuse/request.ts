/**
 * Decodes requests of the kernel. Pure.
 *
 * Every request with a complete header has an answer: what cannot be decoded is refused with its number. Names are
 * checked here, so that no name can lead out of its directory.
 */
import { textOf, viewOf } from "../base/bytes";
import {
  ERRNO,
  IN_HEADER_BYTES,
  NAME_BYTES_MAX,
  type Opcode,
  OPCODES,
  Refusal,
  RENAME_NOREPLACE,
} from "./kernelProtocol";

export interface RequestHeader {
  readonly opcode: number;
  /** The number that the answer repeats. */
  readonly unique: bigint;
  readonly node: number;
}

export interface AttributeChanges {
  readonly sizeBytes?: number;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** `now`, or milliseconds since 1970. */
  readonly modified?: "now" | number;
}

export type Request =
  | { readonly kind: "init"; readonly major: number; readonly minor: number; readonly flags: number }
  | { readonly kind: "lookup" | "unlink" | "rmdir"; readonly name: string }
  | { readonly kind: "forget"; readonly nodes: readonly { readonly node: number; readonly count: number }[] }
  | {
      readonly kind: "getattr" | "readlink" | "open" | "statfs" | "release" | "fsync" | "opendir" | "fsyncdir";
    }
  | { readonly kind: "flush" | "interrupt" | "destroy" }
  | { readonly kind: "setattr"; readonly changes: AttributeChanges }
  | { readonly kind: "symlink"; readonly name: string; readonly target: string }
  | { readonly kind: "link"; readonly fromNode: number; readonly name: string }
  | { readonly kind: "mkdir" | "create"; readonly name: string; readonly mode: number }
  | {
      readonly kind: "rename";
      readonly name: string;
      readonly toNode: number;
      readonly toName: string;
      readonly mayReplace: boolean;
    }
  | { readonly kind: "read"; readonly offsetBytes: number; readonly sizeBytes: number }
  | { readonly kind: "readdir"; readonly handle: number; readonly position: number; readonly sizeBytes: number }
  | { readonly kind: "releasedir"; readonly handle: number }
  /** The data are a part of the request's bytes. */
  | { readonly kind: "write"; readonly offsetBytes: number; readonly data: Uint8Array }
  | { readonly kind: "fallocate"; readonly offsetBytes: number; readonly sizeBytes: number; readonly mode: number };

export type RequestKind = Request["kind"];

/** Null for bytes that have no header, which the kernel never sends. */
export function decodeHeader(bytes: Uint8Array): RequestHeader | null {
  if (bytes.length < IN_HEADER_BYTES) return null;
  const view = viewOf(bytes);
  return {
    opcode: view.getUint32(4, true),
    unique: view.getBigUint64(8, true),
    // A node that we did not number exists nowhere.
    node: Number(view.getBigUint64(16, true)),
  };
}

/** @throws Refusal, which is the request's answer */
export function decodeRequest(bytes: Uint8Array, { node, opcode }: RequestHeader): Request {
  const name = OPCODE_NAMES.get(opcode);
  if (name === undefined) throw new Refusal("ENOSYS");
  const body = new Body(bytes);
  if (body.statedBytes !== bytes.length) throw new Refusal("EINVAL", "a request of another length than it says");
  return DECODERS[name](body, node);
}

/** A READ as {@link decodeRequest} gives it, without a view and a bigint. Null for every other request. */
export function readOf(
  bytes: Buffer,
): (Extract<Request, { readonly kind: "read" }> & Pick<RequestHeader, "node">) | null {
  const isRead =
    bytes.length >= READ_BYTES_MIN && bytes.readUInt32LE(4) === OPCODES.READ && bytes.readUInt32LE(0) === bytes.length;
  if (!isRead) return null;
  const node = bytes.readUInt32LE(16) + bytes.readUInt32LE(20) * 2 ** 32;
  const offsetBytes = bytes.readUInt32LE(IN_HEADER_BYTES + 8) + bytes.readUInt32LE(IN_HEADER_BYTES + 12) * 2 ** 32;
  if (!Number.isSafeInteger(node) || !Number.isSafeInteger(offsetBytes)) return null;
  return { kind: "read", node, offsetBytes, sizeBytes: bytes.readUInt32LE(IN_HEADER_BYTES + 16) };
}

/** With all fields of a READ that we look at. */
const READ_BYTES_MIN = IN_HEADER_BYTES + 20;

const OPCODE_NAMES: ReadonlyMap<number, Opcode> = new Map(
  Object.entries(OPCODES).map(([name, opcode]) => [opcode, name as Opcode]),
);

/** Only these are never answered. */
const UNANSWERED: readonly number[] = [OPCODES.FORGET, OPCODES.BATCH_FORGET, OPCODES.INTERRUPT];

export function isAnswered({ opcode }: RequestHeader): boolean {
  return !UNANSWERED.includes(opcode);
}

const SET_MODE = 1;
const SET_UID = 2;
const SET_GID = 4;
const SET_SIZE = 8;
const SET_MTIME = 32;
const SET_MTIME_NOW = 256;
const MODE_BITS = 0o7777;

type Decoder = (body: Body, node: number) => Request;

const DECODERS: Readonly<Record<Opcode, Decoder>> = {
  INIT: (body) => ({ kind: "init", major: body.u32(0), minor: body.u32(4), flags: body.u32(12) }),
  DESTROY: () => ({ kind: "destroy" }),
  LOOKUP: (body) => ({ kind: "lookup", name: body.name(0) }),
  FORGET: (body, node) => ({ kind: "forget", nodes: [{ node, count: body.u64(0) }] }),
  BATCH_FORGET: (body) => {
    const count = Math.min(body.u32(0), Math.floor((body.length - 8) / 16));
    return {
      kind: "forget",
      nodes: Array.from({ length: count }, (_, index) => ({
        node: body.u64(8 + index * 16),
        count: body.u64(16 + index * 16),
      })),
    };
  },
  INTERRUPT: () => ({ kind: "interrupt" }),
  GETATTR: () => ({ kind: "getattr" }),
  SETATTR: (body) => ({ kind: "setattr", changes: changesOf(body) }),
  READLINK: () => ({ kind: "readlink" }),
  SYMLINK: (body) => {
    const [name = "", target = ""] = body.texts(0, 2);
    if (target === "") throw new Refusal("ENOENT");
    return { kind: "symlink", name: checkedName(name), target };
  },
  MKDIR: (body) => ({ kind: "mkdir", mode: body.u32(0) & MODE_BITS, name: body.name(8) }),
  UNLINK: (body) => ({ kind: "unlink", name: body.name(0) }),
  RMDIR: (body) => ({ kind: "rmdir", name: body.name(0) }),
  LINK: (body) => ({ kind: "link", fromNode: body.u64(0), name: body.name(8) }),
  RENAME: (body) => renameOf(body, 0, 8),
  RENAME2: (body) => renameOf(body, body.u32(8), 16),
  OPEN: () => ({ kind: "open" }),
  READ: (body) => ({ kind: "read", offsetBytes: body.u64(8), sizeBytes: body.u32(16) }),
  WRITE: (body) => ({ kind: "write", offsetBytes: body.u64(8), data: body.bytes(40, body.u32(16)) }),
  STATFS: () => ({ kind: "statfs" }),
  RELEASE: () => ({ kind: "release" }),
  FSYNC: () => ({ kind: "fsync" }),
  FLUSH: () => ({ kind: "flush" }),
  OPENDIR: () => ({ kind: "opendir" }),
  READDIR: (body) => ({ kind: "readdir", handle: body.u64(0), position: body.u64(8), sizeBytes: body.u32(16) }),
  RELEASEDIR: (body) => ({ kind: "releasedir", handle: body.u64(0) }),
  FSYNCDIR: () => ({ kind: "fsyncdir" }),
  CREATE: (body) => ({ kind: "create", mode: body.u32(4) & MODE_BITS, name: body.name(16) }),
  FALLOCATE: (body) => ({
    kind: "fallocate",
    offsetBytes: body.u64(8),
    sizeBytes: body.u64(16),
    mode: body.u32(24),
  }),
};

function changesOf(body: Body): AttributeChanges {
  const valid = body.u32(0);
  const has = (flag: number): boolean => (valid & flag) !== 0;
  return {
    ...(has(SET_SIZE) ? { sizeBytes: body.u64(16) } : {}),
    ...(has(SET_MODE) ? { mode: body.u32(68) & MODE_BITS } : {}),
    ...(has(SET_UID) ? { uid: body.u32(76) } : {}),
    ...(has(SET_GID) ? { gid: body.u32(80) } : {}),
    ...(has(SET_MTIME_NOW)
      ? { modified: "now" as const }
      : has(SET_MTIME)
        ? { modified: body.u64(40) * 1000 + Math.floor(body.u32(60) / 1_000_000) }
        : {}),
  };
}

function renameOf(body: Body, flags: number, namesAt: number): Request {
  // Exchanging two files would need both whole; nobody asks for it.
  if ((flags & ~RENAME_NOREPLACE) !== 0) throw new Refusal("EINVAL");
  const [name = "", toName = ""] = body.texts(namesAt, 2);
  return {
    kind: "rename",
    name: checkedName(name),
    toNode: body.u64(0),
    toName: checkedName(toName),
    mayReplace: flags === 0,
  };
}

/** @throws Refusal for a name that is no single component of a path */
function checkedName(name: string): string {
  if (name === "" || name === "." || name === ".." || name.includes("/")) throw new Refusal("EINVAL");
  return name;
}

/** What follows the header. @throws Refusal when a field is outside */
class Body {
  readonly statedBytes: number;
  readonly length: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#view = viewOf(bytes);
    this.statedBytes = this.#view.getUint32(0, true);
    this.#bytes = bytes.subarray(IN_HEADER_BYTES);
    this.length = this.#bytes.length;
  }

  u32(at: number): number {
    this.#require(at, 4);
    return this.#view.getUint32(IN_HEADER_BYTES + at, true);
  }

  /** @throws Refusal for a number that JavaScript cannot hold: no file of ours is that long */
  u64(at: number): number {
    this.#require(at, 8);
    const value = Number(this.#view.getBigUint64(IN_HEADER_BYTES + at, true));
    if (!Number.isSafeInteger(value)) throw new Refusal("EINVAL");
    return value;
  }

  bytes(at: number, sizeBytes: number): Uint8Array {
    this.#require(at, sizeBytes);
    return this.#bytes.subarray(at, at + sizeBytes);
  }

  name(at: number): string {
    const [name = ""] = this.texts(at, 1);
    return checkedName(name);
  }

  /** Texts that end with a zero byte, one behind the other. */
  texts(at: number, count: number): string[] {
    const texts: string[] = [];
    let begin = at;
    while (texts.length < count) {
      const end = this.#bytes.indexOf(0, begin);
      if (begin > this.length || end < 0) throw new Refusal("EINVAL");
      // A link's target may be longer than a name.
      if (texts.length === 0 && end - begin > NAME_BYTES_MAX) throw new Refusal("ENAMETOOLONG");
      texts.push(textOf(this.#bytes.subarray(begin, end)));
      begin = end + 1;
    }
    return texts;
  }

  #require(at: number, sizeBytes: number): void {
    if (at + sizeBytes > this.length) throw new Refusal("EINVAL", `${ERRNO.EINVAL}: a field outside of the request`);
  }
}
