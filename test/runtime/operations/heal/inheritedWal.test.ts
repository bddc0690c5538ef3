import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { recordInherited, settleInherited } from "../../../../runtime/operations/heal/inheritedWal";
import { fail } from "../../../../runtime/base/errors";
import { parseBackupInfo } from "../../../../runtime/format/repository/backupInfo";
import { formatLsn } from "../../../../runtime/format/wal/walSegment";
import { type MissingWalStore, openMissingWal } from "../../../../runtime/local/missingWal";
import { openLocalWal } from "../../../../runtime/operations/shared/localWal";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { listWal } from "../../../../runtime/repository/walStore";
import { HeldClock, type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { vectorText } from "../../format/vectors";
import { store } from "../archive";
import {
  CLUSTER,
  CONTROL,
  repository,
  temporaryFolder,
  WAL_SIZE_BYTES,
  walBytes,
  walName,
} from "../../repository/support";

const [BACKUP] = parseBackupInfo(vectorText("v2.45/plain/backup.info"), "golden").backups;
const HISTORY = "00000003.history";

let ctx: TestContext<HeldClock>;
let missingWal: MissingWalStore;
let storages: FaultyStorage[];
let repos: Repository[];
let walDirectory: string;

beforeEach(async () => {
  ctx = testContext({ clock: new HeldClock() });
  missingWal = openMissingWal(join(temporaryFolder(), "spool"), "demo");
  storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
  walDirectory = join(temporaryFolder(), "pg_wal");
  mkdirSync(walDirectory);
  await stanzaCreate(repos, CONTROL, ctx);
  for (const repo of repos) {
    const info = await loadBackupInfo(repo);
    if (BACKUP === undefined) throw new Error("the golden backup.info has no backup");
    await saveBackupInfo(
      repo,
      { ...info, backups: [{ ...BACKUP, archiveStart: walName(3), archiveStop: walName(3) }] },
      ctx,
    );
  }
});

/** Timeline 1 ends in the middle of segment 6, and timeline 2 exactly after segment 8. */
function promote(...names: readonly string[]): Promise<void> {
  const at = (segments: number): string => formatLsn(BigInt(segments * WAL_SIZE_BYTES));
  writeFileSync(
    join(walDirectory, HISTORY),
    `1\t${at(6.5)}\tno recovery target specified\n\n2\t${at(9)}\tno recovery target specified\n`,
  );
  for (const name of [...names, "archive_status", `${walName(6)}.partial`]) writeFileSync(join(walDirectory, name), "");
  return ctx.clock.until(
    recordInherited(
      HISTORY,
      { repos, missingWal, cluster: CLUSTER, walDirectory, walSegmentSizeBytes: WAL_SIZE_BYTES },
      ctx,
    ),
  );
}

const missing = (repoIndex: number): string[] => missingWal.list(repoIndex, CLUSTER);

describe("what a promoted server inherits", () => {
  // claim: docs/kubernetes/plugin.md, docs/agent.md: a promoted server archives the old primary's missing WAL, as far
  //   as it has it
  it("is recorded as missing if a repository lacks it and a backup needs it, on every earlier timeline", async () => {
    for (const repo of repos) await store(repo, 3, 4);
    await store(repos[1] as Repository, 5);
    await promote(
      walName(2),
      walName(3),
      walName(4),
      walName(5),
      walName(6, 2),
      walName(7, 2),
      walName(8, 2),
      walName(9, 3),
      "00000002.history",
    );
    // Without the history of timeline 2, a recovery from timeline 1 would not find timeline 3.
    const ofSecond = ["00000002.history", walName(6, 2), walName(7, 2), walName(8, 2)];
    expect(missing(1).sort()).toEqual([walName(5), ...ofSecond].sort());
    expect(missing(2).sort()).toEqual(ofSecond.toSorted());
    expect(ctx.lines.filter(({ level }) => level === "info").map(({ text }) => text)).toContain(
      "repo1 lacks 5 WAL file(s) that this server received before its promotion; this server copies them",
    );
  });

  it("excludes the segment with the switch point and all later ones", async () => {
    await promote(walName(6), walName(7), walName(9, 2), walName(9, 3));
    expect([...missing(1), ...missing(2)]).toEqual([]);
  });

  it("counts as missing completely in a repository that does not answer, and never in one without backups", async () => {
    storages[0]?.breakDown(fail("hostConnect", "no route"));
    await saveBackupInfo(
      repos[1] as Repository,
      { ...(await loadBackupInfo(repos[1] as Repository)), backups: [] },
      ctx,
    );
    await promote(walName(2), walName(5));
    expect(missing(1)).toEqual([walName(2), walName(5)]);
    expect(missing(2)).toEqual([]);
  });

  it("does not wait for a hanging repository", async () => {
    const end = new AbortController();
    storages[0]?.plan("read", { kind: "hang", signal: end.signal });
    await store(repos[1] as Repository, 5);
    await promote(walName(5));
    expect(missing(1)).toEqual([walName(5)]);
    expect(missing(2)).toEqual([]);
    end.abort();
  });
});

describe("a command without a later worker", () => {
  const settle = (mayWrite = true): Promise<void> => {
    const parts = { repos, missingWal, cluster: CLUSTER, walDirectory, walSegmentSizeBytes: WAL_SIZE_BYTES };
    const local = openLocalWal(walDirectory, CLUSTER, true);
    return ctx.clock.until(
      settleInherited(HISTORY, { ...parts, local, timeoutMs: 60_000, mayWrite: () => mayWrite }, ctx),
    );
  };
  const write = (...numbers: readonly number[]): void => {
    for (const number of numbers) writeFileSync(join(walDirectory, walName(number)), walBytes(number));
  };
  const stored = async (index: number): Promise<string[]> => {
    const names: string[] = [];
    for await (const wal of listWal(repos[index] as Repository, "15-1")) names.push(wal.name);
    return names.sort();
  };

  it("copies at once what a repository lacks, and records nothing", async () => {
    await store(repos[1] as Repository, 4);
    await promote();
    write(3, 4, 5);
    await settle();
    expect(await stored(0)).toEqual([walName(3), walName(4), walName(5)]);
    expect(await stored(1)).toEqual([walName(3), walName(4), walName(5)]);
    expect([...missing(1), ...missing(2)]).toEqual([]);
  });

  it("reports files that it may not write, or that a repository refuses, and leaves them to others", async () => {
    await promote();
    write(4);
    await settle(false);
    expect([missing(1), missing(2), await stored(1)]).toEqual([[walName(4)], [walName(4)], []]);
    storages[0]?.breakDown(fail("hostConnect", "no route"));
    await settle();
    expect([missing(1), missing(2)]).toEqual([[walName(4)], []]);
    expect(await stored(1)).toEqual([walName(4)]);
    expect(ctx.lines.filter(({ level }) => level === "warn").map(({ text }) => text)).toContain(
      "repo1 still lacks 1 WAL file(s). Run pgbackstop heal before PostgreSQL removes them from pg_wal.",
    );
  });

  it("does not wait longer than its limit for a hanging repository", async () => {
    const end = new AbortController();
    await promote();
    write(4);
    for (let call = 0; call < 10; call++) storages[0]?.plan("read", { kind: "hang", signal: end.signal });
    await settle();
    expect(missing(1)).toEqual([walName(4)]);
    expect(await stored(1)).toEqual([walName(4)]);
    end.abort();
  });

  it("never fails the history itself", async () => {
    await settle();
    expect(
      ctx.lines.some(({ level, text }) => level === "warn" && text.startsWith(`WAL from before ${HISTORY}: `)),
    ).toBe(true);
  });
});
