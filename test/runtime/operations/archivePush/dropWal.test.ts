import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import type { PushAnswer } from "../../../../runtime/operations/archivePush/pushQueue";
import { type MissingWalStore, openMissingWal } from "../../../../runtime/local/missingWal";
import { dropWhenFull, openGap, openGapIn } from "../../../../runtime/operations/archivePush/dropWal";
import { type TestContext, testContext } from "../../../harness/context";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import { type MadeStanza, makeStanza } from "../../../harness/madeRepository";
import { CLUSTER, makeWalDirectory, repository, temporaryFolder, walName } from "../../repository/support";

const MIB = 1024 * 1024;
const failed = (repoIndex: number): PushAnswer["results"][number] => ({
  repoIndex,
  ok: false,
  error: fail("hostConnect", "unreachable"),
});
const held = (repoIndex: number): PushAnswer["results"][number] => ({ repoIndex, ok: true, value: "pushed" });

let ctx: TestContext;
let missingWal: MissingWalStore;
let walDirectory: string;

beforeEach(() => {
  const folder = temporaryFolder();
  ctx = testContext();
  missingWal = openMissingWal(join(folder, "spool"), "demo");
  walDirectory = makeWalDirectory(folder, [1, 2, 3]);
});

const drop = (results: PushAnswer["results"], queueSizeBytesMax?: number, isTried = true): Promise<string | null> =>
  dropWhenFull(
    { results, isTried },
    missingWal,
    { walDirectory, walName: walName(1), cluster: CLUSTER, queueSizeBytesMax },
    ctx,
  );

describe("a queue that is too long", () => {
  it("drops nothing unless configured, nor below the limit", async () => {
    expect(await drop([failed(1), failed(2)])).toBeNull();
    expect(await drop([failed(1), failed(2)], 3 * MIB)).toBeNull();
    expect([missingWal.list(1), missingWal.listDropped(1), ctx.lines]).toEqual([[], [], []]);
  });

  it("records a file that no repository holds as dropped for each of them", async () => {
    expect(await drop([failed(1), failed(2)], 3 * MIB - 1)).toMatch(/^dropped WAL file '0{7}1/);
    for (const key of [1, 2])
      expect([missingWal.list(key), missingWal.listDropped(key, CLUSTER)]).toEqual([[], [walName(1)]]);
    expect(ctx.lines[0]?.level).toBe("warn");
  });

  it("counts in segments when a backup's label file is the first in the queue", async () => {
    const label = `${walName(0)}.00000028.backup`;
    writeFileSync(join(walDirectory, label), "START WAL LOCATION");
    writeFileSync(join(walDirectory, "archive_status", `${label}.ready`), "");
    expect(await drop([failed(1), failed(2)], 4 * MIB - 1)).toMatch(/^dropped/);
    expect(await drop([failed(1), failed(2)], 4 * MIB)).toBeNull();
  });

  it("drops nothing after a request that did not wait for a first attempt", async () => {
    expect(await drop([failed(1), failed(2)], MIB, false)).toBeNull();
    expect(missingWal.listDropped(1)).toEqual([]);
  });

  it("loses nothing that one repository holds: the others are behind", async () => {
    expect(await drop([held(1), failed(2)], MIB)).toContain("because archive queue exceeded 1MB; repo2 lacks it");
    expect([missingWal.list(2), missingWal.listDropped(2)]).toEqual([[walName(1)], []]);
  });
});

describe("a gap", () => {
  it("is open until a backup begins after it", () => {
    const dropped = [walName(4), walName(5)];
    expect(openGap(dropped, [])).toEqual(dropped);
    expect(openGap(dropped, [walName(2), null])).toEqual(dropped);
    expect(openGap(dropped, [walName(5), walName(2)])).toEqual([walName(5)]);
    expect(openGap(dropped, [walName(6)])).toEqual([]);
  });
});

// After pg_upgrade the new cluster's WAL begins on timeline 1 again.
it("an upgraded stanza's gap is closed by its present cluster's backups alone", async () => {
  const repo = repository(1);
  const upgraded = (last: number): MadeStanza => ({
    versions: ["14", "15"],
    backups: [
      { label: "20260101-000000F", wal: [walName(2, 3), walName(2, 3)] },
      { label: "20260201-000000F", wal: [walName(last), walName(last)], dbId: 2 },
    ],
    wal: {},
  });
  await makeStanza(repo, upgraded(4));
  const info = await loadBackupInfo(repo);
  const [before, present] = info.history.map(({ pgVersion: version, systemId }) => ({ version, systemId }));
  if (before === undefined || present === undefined) throw new Error("no history");
  missingWal.addDropped(1, walName(9, 3), before);
  for (const no of [3, 5]) missingWal.addDropped(1, walName(no), present);
  expect(openGapIn(1, info, missingWal.listDropped)).toEqual([walName(5)]);
  const closed = repository(2);
  await makeStanza(closed, upgraded(6));
  expect(openGapIn(1, await loadBackupInfo(closed), missingWal.listDropped)).toEqual([]);
});
