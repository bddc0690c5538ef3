/**
 * Checks PostgreSQL's data pages and hashes blocks with XXH3-128, four 32-bit or two 64-bit lanes at a time (AssemblyScript).
 *
 * Works on bytes that are in this memory already, many pages or blocks in one call; who calls lays out the memory, above 4 KiB.
 * (PostgreSQL "storage/checksum_impl.h"; xxHash specification 0.2.0, seed 0.)
 */

/** Where each of the 32 sums of a page begins. */
const SEEDS = memory.data<u32>([
  0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c, 0xf8d4474f, 0xe39eb970, 0x42c6ae16,
  0x993216fa, 0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb, 0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de, 0x92bec979, 0xcca6c0b2,
  0x304a0979, 0x85aa43d4, 0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e, 0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756,
]);
const ROW: usize = 128;

/** The first bad page of those from number `index` up to `count`; `count` when all are good. `blockNo` is that of page 0. */
export function findBadPage(pages: usize, pageSize: usize, index: u32, count: u32, headerCheck: bool, blockNo: u32): u32 {
  for (; index < count; index++) {
    const page = pages + <usize>index * pageSize;
    const stored = load<u16>(page, 8);
    const isNew = headerCheck ? load<u16>(page, 14) == 0 : stored == 0;
    if (isNew ? !isZero(page, pageSize) : pageChecksum(page, pageSize, blockNo + index) != stored) return index;
  }
  return count;
}

function isZero(page: usize, pageSize: usize): bool {
  let all = v128.load(page);
  for (let at: usize = 16; at < pageSize; at += 16) all = v128.or(all, v128.load(page + at));
  return !v128.any_true(all);
}

/** The checksum that a page should have; the one that it has counts as 0. */
export function pageChecksum(page: usize, pageSize: usize, blockNo: u32): u32 {
  let sum0 = mix(v128.load(SEEDS), v128.and(v128.load(page), i16x8(-1, -1, -1, -1, 0, -1, -1, -1)));
  let sum1 = mix(v128.load(SEEDS, 16), v128.load(page, 16));
  let sum2 = mix(v128.load(SEEDS, 32), v128.load(page, 32));
  let sum3 = mix(v128.load(SEEDS, 48), v128.load(page, 48));
  let sum4 = mix(v128.load(SEEDS, 64), v128.load(page, 64));
  let sum5 = mix(v128.load(SEEDS, 80), v128.load(page, 80));
  let sum6 = mix(v128.load(SEEDS, 96), v128.load(page, 96));
  let sum7 = mix(v128.load(SEEDS, 112), v128.load(page, 112));
  const end = page + pageSize;
  for (let row = page + ROW; row < end; row += ROW) {
    sum0 = mix(sum0, v128.load(row));
    sum1 = mix(sum1, v128.load(row, 16));
    sum2 = mix(sum2, v128.load(row, 32));
    sum3 = mix(sum3, v128.load(row, 48));
    sum4 = mix(sum4, v128.load(row, 64));
    sum5 = mix(sum5, v128.load(row, 80));
    sum6 = mix(sum6, v128.load(row, 96));
    sum7 = mix(sum7, v128.load(row, 112));
  }
  const half0 = v128.xor(v128.xor(settle(sum0), settle(sum1)), v128.xor(settle(sum2), settle(sum3)));
  const half1 = v128.xor(v128.xor(settle(sum4), settle(sum5)), v128.xor(settle(sum6), settle(sum7)));
  const whole = v128.xor(half0, half1);
  const pair = i64x2.extract_lane(whole, 0) ^ i64x2.extract_lane(whole, 1);
  return (((<u32>pair) ^ (<u32>(pair >>> 32)) ^ blockNo) % 65535) + 1;
}

// @ts-ignore: decorator
@inline
function mix(sum: v128, value: v128): v128 {
  const mixed = v128.xor(sum, value);
  return v128.xor(i32x4.mul(mixed, i32x4.splat(16777619)), i32x4.shr_u(mixed, 17));
}

/** Two rounds of zeros end a sum. */
// @ts-ignore: decorator
@inline
function settle(sum: v128): v128 {
  return mix(mix(sum, i32x4.splat(0)), i32x4.splat(0));
}

const SECRET = memory.data<u8>([
  0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb,
  0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
  0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb,
  0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
  0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31,
  0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
  0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc,
  0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
]);
const SECRET_SIZE: usize = 192;
const PRIME32_1: u64 = 0x9e3779b1;
const PRIME32_2: u64 = 0x85ebca77;
const PRIME32_3: u64 = 0xc2b2ae3d;
const PRIME64_1: u64 = 0x9e3779b185ebca87;
const PRIME64_2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME64_3: u64 = 0x165667b19e3779f9;
const PRIME64_4: u64 = 0x85ebca77c2b2ae63;
const PRIME64_5: u64 = 0x27d4eb2f165667c5;
const STRIPE: usize = 64;
/** Stripes between two scramblings. */
const ROUND: usize = 1024;

/** Writes 16 bytes, high half first and big-endian, for each block; the last block may be short. */
export function hashBlocks(bytes: usize, size: usize, blockSize: usize, digests: usize): void {
  const end = bytes + size;
  do {
    const blockLength = min<usize>(blockSize, end - bytes);
    hashOne(bytes, blockLength, digests);
    bytes += blockSize;
    digests += 16;
  } while (bytes < end);
}

function hashOne(bytes: usize, size: usize, digest: usize): void {
  if (size > 240) hashLong(bytes, size, digest);
  else if (size > 16) hashMiddle(bytes, size, digest);
  else if (size > 8) hash9To16(bytes, size, digest);
  else if (size >= 4) hash4To8(bytes, size, digest);
  else if (size > 0) hash1To3(bytes, size, digest);
  else write(digest, avalanche64(keyOf(64)), avalanche64(keyOf(80)));
}

function hash1To3(bytes: usize, size: usize, digest: usize): void {
  const first = <u32>load<u8>(bytes);
  const middle = <u32>load<u8>(bytes + (size >> 1));
  const last = <u32>load<u8>(bytes + size - 1);
  const low: u32 = (first << 16) | (middle << 24) | last | (<u32>size << 8);
  const high: u32 = rotl<u32>(bswap<u32>(low), 13);
  const keyLow: u32 = load<u32>(SECRET) ^ load<u32>(SECRET, 4);
  const keyHigh: u32 = load<u32>(SECRET, 8) ^ load<u32>(SECRET, 12);
  write(digest, avalanche64(<u64>(low ^ keyLow)), avalanche64(<u64>(high ^ keyHigh)));
}

function hash4To8(bytes: usize, size: usize, digest: usize): void {
  const keyed = (<u64>load<u32>(bytes) + (<u64>load<u32>(bytes + size - 4) << 32)) ^ keyOf(16);
  const factor = PRIME64_1 + (<u64>size << 2);
  let low = keyed * factor;
  const high = mulHigh(keyed, factor) + (low << 1);
  low ^= high >> 3;
  low ^= low >> 35;
  low *= 0x9fb21c651e98df25;
  low ^= low >> 28;
  write(digest, low, avalanche(high));
}

function hash9To16(bytes: usize, size: usize, digest: usize): void {
  let inHigh = load<u64>(bytes + size - 8);
  const keyed = load<u64>(bytes) ^ inHigh ^ keyOf(32);
  inHigh ^= keyOf(48);
  const high = mulHigh(keyed, PRIME64_1) + inHigh + (inHigh & 0xffffffff) * (PRIME32_2 - 1);
  const low = (keyed * PRIME64_1 + ((<u64>size - 1) << 54)) ^ bswap<u64>(high);
  write(digest, avalanche(low * PRIME64_2), avalanche(mulHigh(low, PRIME64_2) + high * PRIME64_2));
}

/** 17 to 240 bytes. */
function hashMiddle(bytes: usize, size: usize, digest: usize): void {
  let low: u64 = <u64>size * PRIME64_1;
  let high: u64 = 0;
  const end = bytes + size;
  if (size <= 128) {
    for (let part: i32 = <i32>((size - 1) >> 5); part >= 0; part--) {
      const front = bytes + (<usize>part << 4);
      const back = end - 16 - (<usize>part << 4);
      const key = SECRET + (<usize>part << 5);
      low = (low + mix16(front, key)) ^ sum16(back);
      high = (high + mix16(back, key + 16)) ^ sum16(front);
    }
  } else {
    for (let at: usize = 0; at + 32 <= size; at += 32) {
      const key = SECRET + (at < 128 ? at : at - 128 + 3);
      low = (low + mix16(bytes + at, key)) ^ sum16(bytes + at + 16);
      high = (high + mix16(bytes + at + 16, key + 16)) ^ sum16(bytes + at);
      if (at == 96) {
        low = avalanche(low);
        high = avalanche(high);
      }
    }
    low = (low + mix16(end - 16, SECRET + 103)) ^ sum16(end - 32);
    high = (high + mix16(end - 32, SECRET + 119)) ^ sum16(end - 16);
  }
  write(digest, avalanche(low + high), -avalanche(low * PRIME64_1 + high * PRIME64_4 + <u64>size * PRIME64_2));
}

function mix16(bytes: usize, key: usize): u64 {
  return fold(load<u64>(bytes) ^ load<u64>(key), load<u64>(bytes, 8) ^ load<u64>(key, 8));
}

function sum16(bytes: usize): u64 {
  return load<u64>(bytes) + load<u64>(bytes, 8);
}

function hashLong(bytes: usize, size: usize, digest: usize): void {
  let sums0 = i64x2(PRIME32_3, PRIME64_1);
  let sums1 = i64x2(PRIME64_2, PRIME64_3);
  let sums2 = i64x2(PRIME64_4, PRIME32_2);
  let sums3 = i64x2(PRIME64_5, PRIME32_1);
  const last = bytes + size - STRIPE;
  let at = bytes;
  let key = SECRET;
  // The last stripe is always taken by itself, from the end.
  const end = bytes + ((size - 1) & ~(STRIPE - 1));
  while (true) {
    const isLast = at >= end;
    if (isLast) {
      at = last;
      key = SECRET + SECRET_SIZE - STRIPE - 7;
    }
    const data0 = v128.load(at);
    const data1 = v128.load(at, 16);
    const data2 = v128.load(at, 32);
    const data3 = v128.load(at, 48);
    const keyed0 = v128.xor(data0, v128.load(key));
    const keyed1 = v128.xor(data1, v128.load(key, 16));
    const keyed2 = v128.xor(data2, v128.load(key, 32));
    const keyed3 = v128.xor(data3, v128.load(key, 48));
    const evens0 = v128.shuffle<i32>(keyed0, keyed1, 0, 2, 4, 6);
    const odds0 = v128.shuffle<i32>(keyed0, keyed1, 1, 3, 5, 7);
    const evens1 = v128.shuffle<i32>(keyed2, keyed3, 0, 2, 4, 6);
    const odds1 = v128.shuffle<i32>(keyed2, keyed3, 1, 3, 5, 7);
    sums0 = i64x2.add(i64x2.add(sums0, swapped(data0)), i64x2.extmul_low_i32x4_u(evens0, odds0));
    sums1 = i64x2.add(i64x2.add(sums1, swapped(data1)), i64x2.extmul_high_i32x4_u(evens0, odds0));
    sums2 = i64x2.add(i64x2.add(sums2, swapped(data2)), i64x2.extmul_low_i32x4_u(evens1, odds1));
    sums3 = i64x2.add(i64x2.add(sums3, swapped(data3)), i64x2.extmul_high_i32x4_u(evens1, odds1));
    if (isLast) break;
    at += STRIPE;
    key += 8;
    if (key == SECRET + SECRET_SIZE - STRIPE) {
      sums0 = scramble(sums0, v128.load(SECRET + SECRET_SIZE - STRIPE));
      sums1 = scramble(sums1, v128.load(SECRET + SECRET_SIZE - STRIPE, 16));
      sums2 = scramble(sums2, v128.load(SECRET + SECRET_SIZE - STRIPE, 32));
      sums3 = scramble(sums3, v128.load(SECRET + SECRET_SIZE - STRIPE, 48));
      key = SECRET;
    }
  }
  const low = merge(sums0, sums1, sums2, sums3, SECRET + 11, <u64>size * PRIME64_1);
  const high = merge(sums0, sums1, sums2, sums3, SECRET + SECRET_SIZE - STRIPE - 11, ~(<u64>size * PRIME64_2));
  write(digest, low, high);
}

// @ts-ignore: decorator
@inline
function swapped(pair: v128): v128 {
  return v128.shuffle<i64>(pair, pair, 1, 0);
}

// @ts-ignore: decorator
@inline
function scramble(sums: v128, key: v128): v128 {
  return i64x2.mul(v128.xor(v128.xor(sums, i64x2.shr_u(sums, 47)), key), i64x2.splat(PRIME32_1));
}

function merge(sums0: v128, sums1: v128, sums2: v128, sums3: v128, key: usize, begin: u64): u64 {
  return avalanche(
    begin + foldPair(sums0, v128.load(key)) + foldPair(sums1, v128.load(key, 16)) + foldPair(sums2, v128.load(key, 32)) + foldPair(sums3, v128.load(key, 48)),
  );
}

function foldPair(sums: v128, key: v128): u64 {
  const keyed = v128.xor(sums, key);
  return fold(i64x2.extract_lane(keyed, 0), i64x2.extract_lane(keyed, 1));
}

function keyOf(offset: usize): u64 {
  return load<u64>(SECRET + offset) ^ load<u64>(SECRET + offset, 8);
}

function fold(left: u64, right: u64): u64 {
  return (left * right) ^ mulHigh(left, right);
}

/** The upper half of a product of 128 bits. */
function mulHigh(left: u64, right: u64): u64 {
  const low = (left & 0xffffffff) * (right & 0xffffffff);
  const cross = (left >> 32) * (right & 0xffffffff) + (low >> 32);
  const other = (left & 0xffffffff) * (right >> 32) + (cross & 0xffffffff);
  return (left >> 32) * (right >> 32) + (cross >> 32) + (other >> 32);
}

function avalanche(value: u64): u64 {
  value ^= value >> 37;
  value *= 0x165667919e3779f9;
  return value ^ (value >> 32);
}

/** That of XXH64. */
function avalanche64(value: u64): u64 {
  value ^= value >> 33;
  value *= PRIME64_2;
  value ^= value >> 29;
  value *= PRIME64_3;
  return value ^ (value >> 32);
}

function write(digest: usize, low: u64, high: u64): void {
  store<u64>(digest, bswap<u64>(high));
  store<u64>(digest, bswap<u64>(low), 8);
}
