/** Requests as the kernel encodes them, for tests. */
import { type Opcode, OPCODES } from "../../../runtime/fuse/kernelProtocol";

export interface Encoded {
  readonly op: Opcode | number;
  readonly node?: number | bigint;
  readonly unique?: bigint;
  readonly body?: Uint8Array;
}

export function encode({ body = new Uint8Array(0), node = 1, op, unique = 7n }: Encoded): Buffer {
  const bytes = Buffer.alloc(40 + body.length);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt32LE(typeof op === "number" ? op : OPCODES[op], 4);
  bytes.writeBigUInt64LE(unique, 8);
  bytes.writeBigUInt64LE(BigInt(node), 16);
  bytes.set(body, 40);
  return bytes;
}

/** A body of fixed fields and texts: `[8, n]` is a number of 8 bytes. */
export function fields(...parts: readonly (readonly [4 | 8, number | bigint] | string)[]): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      if (typeof part === "string") return Buffer.from(`${part}\0`);
      const bytes = Buffer.alloc(part[0]);
      if (part[0] === 4) bytes.writeUInt32LE(Number(part[1]));
      else bytes.writeBigUInt64LE(BigInt(part[1]));
      return bytes;
    }),
  );
}

export interface Decoded {
  readonly unique: bigint;
  readonly errno: number;
  readonly body: Buffer;
}

export function decodeReply(parts: readonly Uint8Array[]): Decoded {
  const bytes = Buffer.concat(parts);
  if (bytes.readUInt32LE(0) !== bytes.length) throw new Error("an answer of another length than it says");
  return { errno: -bytes.readInt32LE(4), unique: bytes.readBigUInt64LE(8), body: bytes.subarray(16) };
}
