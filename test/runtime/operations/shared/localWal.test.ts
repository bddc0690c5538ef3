import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { sha1Hex } from "../../../../runtime/base/hash";
import { openLocalWal } from "../../../../runtime/operations/shared/localWal";
import { CLUSTER, temporaryFolder, walBytes, walName } from "../../repository/support";

it("the hash of a finished segment is that of its bytes; an open, removed or recycled one has none", async () => {
  const folder = temporaryFolder();
  const status = (name: string): string => join(folder, "archive_status", `${name}.ready`);
  mkdirSync(join(folder, "archive_status"));
  for (const no of [1, 2]) writeFileSync(join(folder, walName(no)), walBytes(no));
  // PostgreSQL has renamed it, and not written it yet.
  writeFileSync(join(folder, walName(3)), walBytes(9));
  for (const no of [1, 3]) writeFileSync(status(walName(no)), "");
  const local = openLocalWal(folder, CLUSTER, true);
  const hashes = (): Promise<(string | null)[]> =>
    Promise.all([1, 2, 3, 4].map((no) => local.finishedSha1(walName(no))));
  expect(await hashes()).toEqual([sha1Hex(walBytes(1)), null, null, null]);
  rmSync(join(folder, walName(1)));
  expect(await hashes()).toEqual([null, null, null, null]);
});
