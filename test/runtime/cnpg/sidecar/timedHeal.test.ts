import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { WalService } from "../../../../runtime/archiver/walService";
import { systemClock } from "../../../../runtime/base/clock";
import { fail } from "../../../../runtime/base/errors";
import { TimedHeal, type TimedHealParts } from "../../../../runtime/cnpg/sidecar/timedHeal";
import type { CommandProcess } from "../../../../runtime/process/commandProcess";
import { DEFAULT_SETTINGS } from "../../../../runtime/config/settings";
import type { Config } from "../../../../runtime/config/types";
import { parseBackupInfo } from "../../../../runtime/format/repository/backupInfo";
import { openMissingWal } from "../../../../runtime/local/missingWal";
import type { LockFile } from "../../../../runtime/local/lockFile";
import { heal, type WalClaims } from "../../../../runtime/operations/heal/heal";
import type { LocalWal } from "../../../../runtime/operations/shared/localWal";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { eventually, HeldClock, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { vectorText } from "../../format/vectors";
import { emptyWal, labelText, preparedWal, readable, store } from "../../operations/archive";
import {
  CLUSTER,
  CONTROL,
  repository,
  temporaryFolder,
  WAL_SIZE_BYTES,
  walBytes,
  walName,
} from "../../repository/support";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const FREE: WalClaims = { claim: () => true, release: () => {} };

let storages: readonly [FaultyStorage, FaultyStorage];
let repos: readonly [Repository, Repository];

/** Two repositories, each with a backup that needs WAL from the first segment on. */
beforeEach(async () => {
  storages = [new FaultyStorage(new MemoryStorage()), new FaultyStorage(new MemoryStorage())];
  repos = [repository(1, { storage: storages[0] }), repository(2, { storage: storages[1] })];
  const ctx = testContext();
  await stanzaCreate([...repos], CONTROL, ctx);
  const [backup] = parseBackupInfo(vectorText("v2.45/plain/backup.info"), "golden").backups;
  if (backup === undefined) throw new Error("the golden backup.info has no backup");
  for (const repo of repos) {
    const info = await loadBackupInfo(repo);
    await saveBackupInfo(
      repo,
      { ...info, backups: [{ ...backup, archiveStart: walName(1), archiveStop: walName(1) }] },
      ctx,
    );
  }
});

describe("the sidecar of a primary", () => {
  const begin = (
    over: Partial<TimedHealParts> = {},
    state = { isPrimary: true, isBusy: false },
    local: LocalWal = emptyWal(),
  ) => {
    const ctx = testContext({ clock: new HeldClock() });
    const ending = new AbortController();
    // A new volume has no records of missing WAL.
    const missingWal = openMissingWal(join(temporaryFolder(), "spool"), "demo");
    const runs: number[] = [];
    const parts = { repos, ...over };
    const healing = new TimedHeal({
      mayHeal: async () => state.isPrimary,
      isBusy: () => state.isBusy,
      heal: async (copiesMax, signal) => {
        runs.push(ctx.clock.nowMs());
        return heal(
          parts.repos,
          { missingWal, cluster: CLUSTER, local, bounds: { claims: FREE, copiesMax } },
          { ...ctx, signal },
        );
      },
      walSegmentSizeBytes: async () => WAL_SIZE_BYTES,
      ...parts,
    });
    const ended = healing.runForever(ctx, ending.signal);
    const end = async (): Promise<void> => {
      ending.abort(fail("term", "ends"));
      await ended;
    };
    return { ctx, end, healing, runs, state };
  };

  // claim: docs/kubernetes/plugin.md: the primary's sidecar copies each repository's missing WAL, even if the volume
  //   with its record is lost, and counts what no repository has
  test("copies another repository's missing WAL although the volume that recorded it is lost", async () => {
    await store(repos[0], 1, 2, 3, 4, 5, 6);
    await store(repos[1], 1, 2, 6);
    const { ctx, end, healing } = begin();
    await ctx.clock.advance(4 * MINUTE_MS);
    expect(await readable(repos[1])).toHaveLength(3);
    await ctx.clock.advance(3 * MINUTE_MS);
    await eventually("a count", () => healing.gaps().size === 2);
    expect(await readable(repos[1])).toEqual([1, 2, 3, 4, 5, 6].map((no) => walName(no)));
    expect([...healing.gaps()]).toEqual([
      [1, 0],
      [2, 0],
    ]);
    await end();
  });

  // claim: docs/kubernetes/plugin.md: the primary's sidecar copies…
  test("counts WAL that no repository holds, even for a single repository", async () => {
    await store(repos[0], 1, 2, 5);
    await store(repos[1], 1, 2, 3, 5);
    const alone = begin({ repos: [repos[0]] });
    await alone.ctx.clock.advance(7 * MINUTE_MS);
    await eventually("a count", () => alone.healing.gaps().get(1) === 2);
    await alone.end();
    const both = begin();
    await both.ctx.clock.advance(7 * MINUTE_MS);
    await eventually("a count", () => both.healing.gaps().size === 2);
    expect([...both.healing.gaps().values()]).toEqual([1, 1]);
    await both.end();
  });

  test("brings back from pg_wal what a single repository lost", async () => {
    await store(repos[0], 1, 2, 5);
    const local = emptyWal({
      listDone: async () => [walName(3), walName(4)],
      prepare: async (name) => (name === walName(3) ? preparedWal(name, walBytes(3)) : null),
    });
    const { ctx, end, healing } = begin({ repos: [repos[0]] }, undefined, local);
    await ctx.clock.advance(7 * MINUTE_MS);
    await eventually("a count", () => healing.gaps().get(1) === 1);
    expect(await readable(repos[0])).toEqual([1, 2, 3, 5].map((no) => walName(no)));
    await end();
  });

  test("leaves it to the primary, and starts again when it is promoted", async () => {
    await store(repos[0], 1, 3);
    const { ctx, end, healing, runs, state } = begin({}, { isPrimary: false, isBusy: false });
    await ctx.clock.advance(24 * HOUR_MS);
    expect([runs, healing.gaps().size]).toEqual([[], 0]);
    state.isPrimary = true;
    await ctx.clock.advance(7 * MINUTE_MS);
    await eventually("a count", () => healing.gaps().size === 2);
    expect(runs).toHaveLength(1);
    // A standby would report a stale number.
    state.isPrimary = false;
    await ctx.clock.advance(2 * MINUTE_MS);
    expect(healing.gaps().size).toBe(0);
    await end();
  });

  test("waits for the end of a concurrent backup", async () => {
    const { ctx, end, healing, runs, state } = begin({}, { isPrimary: true, isBusy: true });
    await ctx.clock.advance(3 * HOUR_MS);
    expect(runs).toEqual([]);
    state.isBusy = false;
    await ctx.clock.advance(2 * MINUTE_MS);
    await eventually("a count", () => healing.gaps().size === 2);
    await end();
  });

  test("runs every six hours, and sooner after a repository that did not answer", async () => {
    await store(repos[0], 1);
    const { ctx, end, healing, runs } = begin();
    storages[1].breakDown(fail("hostConnect", "no route"));
    await ctx.clock.advance(7 * MINUTE_MS);
    await eventually("a count", () => healing.gaps().size === 1);
    expect(ctx.lines.map(({ text }) => text).join("\n")).toContain("unable to compare WAL: repo2");
    storages[1].repair();
    await ctx.clock.advance(31 * MINUTE_MS);
    await eventually("a second run", () => runs.length === 2 && healing.gaps().size === 2);
    await ctx.clock.advance(5 * HOUR_MS);
    expect(runs).toHaveLength(2);
    await ctx.clock.advance(2 * HOUR_MS);
    await eventually("a third run", () => runs.length === 3);
    await end();
  });
});

test("the archiver of a sidecar heals complete archives beside its own work, under its locks", async () => {
  await store(repos[0], 1, 2, 3);
  await store(repos[1], 1, 3);
  const folder = temporaryFolder();
  mkdirSync(join(folder, "pg_wal", "archive_status"), { recursive: true });
  writeFileSync(join(folder, "pg_wal", walName(4)), walBytes(4));
  const locks: { taken: string[]; released: number } = { taken: [], released: 0 };
  const spoolPath = join(folder, "spool");
  const proc: Partial<CommandProcess> = {
    config: { archive: { headerCheck: true }, processMax: 1, settings: DEFAULT_SETTINGS, spoolPath } as Config,
    dataDirectory: folder,
    walDirectory: join(folder, "pg_wal"),
    missingWal: () => openMissingWal(join(folder, "spool"), "demo"),
    loadControl: async () => CONTROL,
    lock: (kind) => {
      locks.taken.push(kind);
      return [{ release: () => void locks.released++ } as LockFile];
    },
    readFile: async () => null,
    repositories: () => repos,
    requireStarted: () => {},
  };
  const ctx = testContext({ clock: systemClock });
  const wal = new WalService(proc as CommandProcess, ctx);
  const results = await wal.healWhole(9, ctx.signal);
  expect(results.map((result) => (result.ok ? result.value.copied : result.error.message))).toEqual([0, 1]);
  expect(await readable(repos[1])).toEqual([1, 2, 3].map((no) => walName(no)));
  await wal.close(AbortSignal.timeout(5000));
  expect(locks).toEqual({ taken: ["heal", "archive"], released: 2 });
});

describe("a bounded heal", () => {
  const run = (bounds: { copiesMax: number; claims?: WalClaims }) => {
    const missingWal = openMissingWal(join(temporaryFolder(), "spool"), "demo");
    const local = emptyWal();
    return heal(
      [...repos],
      { missingWal, cluster: CLUSTER, local, bounds: { claims: FREE, ...bounds } },
      testContext(),
    );
  };

  test("copies the oldest files first, up to its limit", async () => {
    await store(repos[0], 1, 2, 3, 4, 5);
    await run({ copiesMax: 2 });
    expect(await readable(repos[1])).toEqual([walName(1), walName(2)]);
  });

  test("leaves alone what the archiver is writing", async () => {
    await store(repos[0], 1, 2, 3);
    await run({ copiesMax: 9, claims: { claim: (_repoIndex, name) => name !== walName(2), release: () => {} } });
    expect(await readable(repos[1])).toEqual([walName(1), walName(3)]);
  });

  test("copies labels of missing backups, and reads none that both hold", async () => {
    const label = (no: number): readonly [string, Uint8Array] => [
      `${walName(no)}.00000028.backup`,
      Buffer.from(labelText(walName(no))),
    ];
    await store(repos[0], 1, label(1), label(2));
    await store(repos[1], 1, label(1));
    const before = storages.map((storage) => storage.calls("read").length);
    await run({ copiesMax: 9 });
    const reads = storages.map((storage, index) => storage.calls("read").length - (before[index] ?? 0));
    // Both infos of each repository, and of the first the missing label.
    expect(reads).toEqual([3, 2]);
    expect(await readable(repos[1])).toContain(label(2)[0]);
  });
});
