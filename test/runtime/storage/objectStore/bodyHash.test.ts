import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { settle } from "../../../../runtime/base/bytes";
import { BodyHash, type StoreBody } from "../../../../runtime/storage/objectStore/storeHttp";
import * as fc from "../../../harness/properties";

function bodyOf(chunks: readonly Uint8Array[], sha256 = true): StoreBody {
  const hash = new BodyHash({ sendsMd5: true, sha256 });
  for (const chunk of chunks) hash.add(chunk);
  return hash.finish(
    chunks,
    chunks.reduce((sum, { length }) => sum + length, 0),
  );
}

function expectDigests({ chunks, md5, sha256Hex }: StoreBody): void {
  const bytes = Buffer.concat(chunks);
  expect(md5).toEqual(createHash("md5").update(bytes).digest());
  if (sha256Hex !== undefined) expect(sha256Hex).toBe(createHash("sha256").update(bytes).digest("hex"));
}

test("digests are those of the bytes, whichever chunks are settled and whatever was hashed before", () => {
  const chunk = fc.record({
    bytes: fc.uint8Array({ maxLength: 40 }),
    isSettled: fc.boolean(),
    parts: fc.constantFrom(1, 2),
  });
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 6 }), fc.infiniteStream(fc.nat(6)), (made, lengths) => {
      const chunks = made.flatMap(({ bytes, isSettled, parts }) => {
        const own = new Uint8Array(bytes);
        if (isSettled) settle(own);
        return parts === 1 ? [own] : [own.subarray(0, own.length >> 1), own.subarray(own.length >> 1)];
      });
      for (const length of [chunks.length, ...Array.from({ length: 4 }, () => lengths.next().value), chunks.length])
        for (const sha256 of [false, true]) expectDigests(bodyOf(chunks.slice(0, length), sha256));
    }),
  );
});

test("what another repository has hashed is not hashed again, unless its bytes may change", () => {
  const chunks = [Buffer.from("a segment's first"), Buffer.from("and its last piece")].map(
    (bytes) => new Uint8Array(bytes),
  );
  expect(bodyOf(chunks).md5).not.toBe(bodyOf(chunks).md5);
  for (const each of chunks) settle(each);
  const first = bodyOf(chunks);
  expect(bodyOf(chunks.map((bytes) => bytes.subarray(0))).md5).toBe(first.md5);
  expect(bodyOf(chunks.slice(0, 1)).md5).not.toEqual(first.md5);
});
