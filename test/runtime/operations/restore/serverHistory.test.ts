import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { imageOf, renderPgControl } from "../../../../runtime/format/page/pgControl";
import { lsnOfSegment, parseLsn } from "../../../../runtime/format/wal/walSegment";
import { loadServerHistory } from "../../../../runtime/operations/restore/serverHistory";
import { testContext } from "../../../harness/context";
import { CONTROL, temporaryFolder, WAL_SIZE_BYTES, walBytes, walName } from "../../repository/support";

const PAGE = 8192;

/** A data directory whose last segment is written up to this page. */
function directory(control: Partial<typeof CONTROL>, name: string, no: number, pages: number): string {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "global"));
  mkdirSync(join(folder, "pg_wal"));
  writeFileSync(join(folder, "global/pg_control"), imageOf(renderPgControl({ ...CONTROL, ...control })));
  const begin = lsnOfSegment(walName(no), WAL_SIZE_BYTES);
  const bytes = Buffer.alloc(WAL_SIZE_BYTES);
  bytes.set(walBytes(no).subarray(0, 512));
  for (let page = 1; page < WAL_SIZE_BYTES / PAGE; page++)
    // A recycled segment holds pages of its former position.
    bytes.writeBigUInt64LE(
      begin + BigInt(page * PAGE) - (page <= pages ? 0n : BigInt(WAL_SIZE_BYTES)),
      page * PAGE + 8,
    );
  writeFileSync(join(folder, "pg_wal", name), bytes);
  return folder;
}
const historyAt = (folder: string, isRunning = false) =>
  loadServerHistory(
    { dataDirectory: folder, walDirectory: join(folder, "pg_wal") },
    async () => isRunning,
    testContext(),
  );

it("a server ends with the last page of its WAL, which pg_control does not show", async () => {
  const control = { timeline: 1, checkpointLsn: parseLsn("0/200028"), redoLsn: parseLsn("0/200028") };
  for (const pages of [0, 1, 77, WAL_SIZE_BYTES / PAGE - 1]) {
    const folder = directory(control, walName(3), 3, pages);
    const lsn = lsnOfSegment(walName(3), WAL_SIZE_BYTES) + BigInt(pages * PAGE) + 1n;
    expect(await historyAt(folder)).toEqual({
      systemId: CONTROL.systemId,
      timeline: 1,
      lsn,
      ancestors: null,
      isRunning: false,
    });
  }
});

it("a promoted server's timeline is that of its WAL, and its file has the ancestors", async () => {
  const folder = directory({ timeline: 1 }, walName(3, 2), 3, 1);
  writeFileSync(join(folder, "pg_wal/00000002.history"), "1\t0/300060\tno recovery target specified\n");
  expect(await historyAt(folder, true)).toMatchObject({
    timeline: 2,
    ancestors: [{ timeline: 1, lsn: parseLsn("0/300060") }],
    isRunning: true,
  });
  // Half a file says nothing.
  writeFileSync(join(folder, "pg_wal/00000002.history"), "half");
  expect(await historyAt(folder)).toMatchObject({ timeline: 2, ancestors: null });
});

it("a restored directory without WAL is where its backup began", async () => {
  const folder = directory({ timeline: 4, checkpointLsn: 0xdeadn, redoLsn: parseLsn("0/700028") }, walName(3), 3, 1);
  rmSync(join(folder, "pg_wal", walName(3)));
  expect(await historyAt(folder)).toMatchObject({ timeline: 4, lsn: parseLsn("0/700029") });
});

it("without a readable pg_control nobody knows", async () => {
  const folder = directory({}, walName(3), 3, 1);
  writeFileSync(join(folder, "global/pg_control"), readFileSync(join(folder, "global/pg_control")).subarray(0, 100));
  expect(await historyAt(folder)).toBeNull();
  rmSync(join(folder, "global"), { recursive: true });
  expect(await historyAt(folder)).toBeNull();
});
