/**
 * CRC-32C (Castagnoli), the checksum of pg_control and of WAL records. Eight bytes at a time, with a lookup table for
 * each.
 */

const POLYNOMIAL = 0x82f63b78;
const TABLES = makeTables();

function makeTables(): readonly Int32Array[] {
  const first = Int32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ POLYNOMIAL;
    return value;
  });
  const tables = [first];
  for (let index = 1; index < 8; index++) {
    const before = tables[index - 1] as Int32Array;
    tables.push(before.map((value) => (value >>> 8) ^ (first[value & 0xff] as number)));
  }
  return tables;
}

const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
];

/** Checksum of the concatenated parts. Unsigned. */
export function crc32c(...parts: readonly Uint8Array[]): number {
  return (parts.reduce(add, -1) ^ -1) >>> 0;
}

function add(before: number, bytes: Uint8Array): number {
  let crc = before;
  let at = 0;
  for (const end = bytes.length - 7; at < end; at += 8) {
    const low =
      crc ^
      byteAt(bytes, at) ^
      (byteAt(bytes, at + 1) << 8) ^
      (byteAt(bytes, at + 2) << 16) ^
      (byteAt(bytes, at + 3) << 24);
    crc =
      (T7[low & 0xff] as number) ^
      (T6[(low >>> 8) & 0xff] as number) ^
      (T5[(low >>> 16) & 0xff] as number) ^
      (T4[low >>> 24] as number) ^
      (T3[byteAt(bytes, at + 4)] as number) ^
      (T2[byteAt(bytes, at + 5)] as number) ^
      (T1[byteAt(bytes, at + 6)] as number) ^
      (T0[byteAt(bytes, at + 7)] as number);
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ (T0[(crc ^ byteAt(bytes, at)) & 0xff] as number);
  return crc;
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] as number;
}
