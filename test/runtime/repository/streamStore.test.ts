import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { putChunk, readChunk } from "../../../runtime/repository/streamStore";
import type { CompressType } from "../../../runtime/format/codec/compress";
import { testContext } from "../../harness/context";
import { repository, walName } from "./support";

const MIB = 1024 * 1024;
const ORIGIN = { systemId: 7n, segmentSizeBytes: 16 * MIB };

test.each(
  (["none", "gz", "lz4", "zst"] as const).flatMap((type): [CompressType, string | null][] => [
    [type, null],
    [type, "secret"],
  ]),
)("a chunk comes back, and the window keeps its blocks: %s, %s", async (type, pass) => {
  const repo = repository(1, { compress: { type, level: 1 } });
  const archive = { archiveId: "15-1", pass };
  const blocks = [randomBytes(MIB), Buffer.alloc(MIB, "wal"), Buffer.alloc(MIB)];
  const parts = blocks.map((block, index) => (index === 0 ? block.subarray(100) : block));
  const wal = Buffer.concat(parts);
  const chunk = { segment: walName(3), session: "0123456789ab", begin: 100, end: 100 + wal.length };
  await putChunk(repo, archive, chunk, parts, ORIGIN, testContext());
  expect(Buffer.from(await readChunk(repo, archive, chunk, ORIGIN)).equals(wal)).toBe(true);
  expect(Buffer.concat(parts).equals(wal)).toBe(true);
});
