import { expect, it } from "vitest";
import { sha1Hex } from "../../../../runtime/base/hash";
import { compressBytes } from "../../../../runtime/format/codec/compress";
import { verifyFile } from "../../../../runtime/operations/verify/verifyFile";
import { repository } from "../../repository/support";

it.each(["gz", "lz4", "zst"] as const)("stops at the file's size, whatever %s content unpacks to", async (type) => {
  const repo = repository(1);
  const plain = Buffer.alloc(64 * 1024, "page");
  await repo.storage.put("bomb", compressBytes(Buffer.alloc(64 * plain.length), { type, level: 1 }));
  await repo.storage.put("good", compressBytes(plain, { type, level: 1 }));
  const job = {
    kind: "verifyFile",
    repoIndex: 1,
    range: null,
    unpack: { cipherPass: null, compressType: type, raw: false },
    sizeBytes: plain.length,
    sha1: sha1Hex(plain),
  } as const;
  expect(await verifyFile({ ...job, path: "good" }, () => repo)).toEqual({ status: "ok", text: "" });
  expect(await verifyFile({ ...job, path: "bomb" }, () => repo)).toEqual({
    status: "checksum",
    text: `invalid result bomb: [FileInvalidError] content is larger than the limit of ${plain.length} bytes`,
  });
});
