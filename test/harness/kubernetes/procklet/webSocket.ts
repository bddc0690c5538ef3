/** The parts of WebSocket (RFC 6455) that a kubelet's exec needs. */
import { createHash } from "node:crypto";

export const OPCODE = { data: 2, close: 8, ping: 9, pong: 10 } as const;

/** The fixed GUID of the RFC. */
const MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** The server's Sec-WebSocket-Accept value for a key. */
export function acceptOf(key: string): string {
  return createHash("sha1").update(`${key}${MAGIC}`).digest("base64");
}

/** A complete server message; servers do not mask. */
export function frame(opcode: number, payload: Buffer): Buffer {
  const size = payload.length;
  const header = Buffer.alloc(size < 126 ? 2 : size < 65_536 ? 4 : 10);
  header[0] = 0x80 | opcode;
  header[1] = size < 126 ? size : size < 65_536 ? 126 : 127;
  if (header.length === 4) header.writeUInt16BE(size, 2);
  if (header.length === 10) header.writeBigUInt64BE(BigInt(size), 2);
  return Buffer.concat([header, payload]);
}

/** Makes a function that takes bytes as they arrive and calls `on` for every complete message. */
export function frameReader(on: (opcode: number, payload: Buffer) => void): (bytes: Buffer) => void {
  let buffer: Buffer = Buffer.alloc(0);
  let parts: Buffer[] = [];
  return (bytes) => {
    buffer = Buffer.concat([buffer, bytes]);
    for (let next = readFrame(buffer); next !== null; next = readFrame(buffer)) {
      buffer = buffer.subarray(next.end);
      if (next.opcode >= OPCODE.close) {
        on(next.opcode, next.payload);
        continue;
      }
      parts.push(next.payload);
      if (next.final) {
        on(OPCODE.data, Buffer.concat(parts));
        parts = [];
      }
    }
  };
}

interface Frame {
  readonly opcode: number;
  readonly final: boolean;
  readonly payload: Buffer;
  /** Size of the complete frame in bytes. */
  readonly end: number;
}

function readFrame(buffer: Buffer): Frame | null {
  if (buffer.length < 2) return null;
  const [first = 0, second = 0] = buffer;
  const masked = (second & 0x80) !== 0;
  const short = second & 127;
  const headerSize = short === 126 ? 4 : short === 127 ? 10 : 2;
  const start = headerSize + (masked ? 4 : 0);
  if (buffer.length < start) return null;
  const size = short === 126 ? buffer.readUInt16BE(2) : short === 127 ? Number(buffer.readBigUInt64BE(2)) : short;
  if (buffer.length < start + size) return null;
  const payload = Buffer.from(buffer.subarray(start, start + size));
  if (masked) {
    const mask = buffer.subarray(headerSize, start);
    for (const [position, byte] of payload.entries()) payload[position] = byte ^ (mask[position & 3] ?? 0);
  }
  return { opcode: first & 15, final: (first & 0x80) !== 0, payload, end: start + size };
}
