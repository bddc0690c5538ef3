import { beforeEach, describe, expect, it } from "vitest";
import { segmentOfLsn } from "../../../runtime/format/wal/walSegment";
import { stanzaCreate } from "../../../runtime/operations/stanza/stanzaCreate";
import { AT_WORK_MS, historyOf, type StoredTimeline } from "../../../runtime/recoverability/branches";
import { RepoFacts } from "../../../runtime/recoverability/facts";
import { withWrittenTimes } from "../../../runtime/recoverability/writtenTimes";
import type { Repository } from "../../../runtime/repository/repository";
import { testContext } from "../../harness/context";
import { MemoryStorage } from "../../harness/doubles/storages";
import { FaultyStorage } from "../../harness/network/faults";
import { endOf, pack, pgTime, WalWriter } from "../format/walWriter";
import { store } from "../operations/archive";
import { CONTROL, repository, WAL_SIZE_BYTES } from "../repository/support";

const DAY_MS = 86_400_000;
const BEGAN_S = 1_795_000_000;
const name = (timeline: number, no: number): string =>
  segmentOfLsn(timeline, BigInt(no) * BigInt(WAL_SIZE_BYTES), WAL_SIZE_BYTES);
const atUs = (second: number): bigint => BigInt(BEGAN_S + second) * 1_000_000n;

let storages: [FaultyStorage, FaultyStorage];
let repos: [Repository, Repository];

beforeEach(async () => {
  storages = [new FaultyStorage(new MemoryStorage()), new FaultyStorage(new MemoryStorage({ name: "second" }))];
  repos = [repository(1, { storage: storages[0] }), repository(2, { storage: storages[1] })];
  await stanzaCreate(repos, CONTROL, testContext());
});

function commit(wal: WalWriter, second: number): void {
  wal.add({ resourceManager: 1, xid: 700, body: { main: endOf({ atUs: atUs(second) }).main } });
}

/** Segments 2 to 4 of the old primary; a standby left it in segment 3 and is in segment 4 too. */
function failover({ ended, promoted }: { readonly ended: number; readonly promoted: number }) {
  const old = new WalWriter({ segment: 2 });
  commit(old, -100);
  old.switchSegment();
  commit(old, -50);
  const fork = old.lsn;
  commit(old, ended - 1);
  old.switchSegment();
  commit(old, ended);
  old.fill(5000);
  old.switchSegment();
  const next = new WalWriter({ segment: 3, timeline: 2 });
  commit(next, -50);
  next.add({ resourceManager: 0, info: 0x90, body: { main: pack(pgTime(atUs(promoted)), [4, 2], [4, 1]) } });
  next.switchSegment();
  commit(next, promoted + 60);
  next.switchSegment();
  const files = (wal: WalWriter, timeline: number) =>
    [...wal.segments()].map(([no, bytes]) => [name(timeline, no), bytes] as const);
  return { fork, files: [...files(old, 1), ...files(next, 2)] };
}

interface LivingOptions {
  /** The old primary's last segment. */
  readonly newest?: number;
  readonly silentMs?: number;
  readonly warnings?: string[];
}

/** The living timelines: the old primary's WAL was stored late, and the new one's `silentMs` after it. */
async function living(
  fork: bigint,
  { newest = 4, silentMs = AT_WORK_MS + 1000, warnings = [] }: LivingOptions = {},
): Promise<number[]> {
  const base = { newestAtMs: new Map([[1, 10 * DAY_MS]]), historyAtMs: new Map<number, number>() };
  const stored: StoredTimeline[] = [
    { ...base, timeline: 1, ancestors: [], newest: name(1, newest) },
    {
      timeline: 2,
      ancestors: [{ timeline: 1, lsn: fork, reason: "" }],
      newest: name(2, 4),
      newestAtMs: new Map([[1, 10 * DAY_MS + silentMs]]),
      historyAtMs: new Map([[1, 9 * DAY_MS]]),
    },
  ];
  const archives = repos.map((repo) => ({ facts: new RepoFacts(repo), archiveId: "15-1" }));
  const history = historyOf(stored, WAL_SIZE_BYTES);
  expect(history.branches.filter(({ isLiving }) => isLiving)).toHaveLength(2);
  const { branches } = await withWrittenTimes(history, archives, (text) => warnings.push(text));
  return branches.flatMap(({ isLiving, timeline }) => (isLiving ? [timeline] : []));
}

describe("an old primary that archives its last WAL after a failover", () => {
  it("has ended if its WAL was written before the new timeline, and a day has passed", async () => {
    const { files, fork } = failover({ ended: 10, promoted: 15 });
    for (const repo of repos) await store(repo, ...files);
    expect(await living(fork)).toEqual([2]);
  });

  it("lives if it wrote later than that", async () => {
    const { files, fork } = failover({ ended: 16, promoted: 15 });
    for (const repo of repos) await store(repo, ...files);
    expect(await living(fork)).toEqual([1, 2]);
  });

  it("may live for a day, and until then no WAL is read", async () => {
    const { files, fork } = failover({ ended: 10, promoted: 15 });
    for (const repo of repos) await store(repo, ...files);
    const before = storages.map((storage) => storage.calls("read").length);
    expect(await living(fork, { silentMs: AT_WORK_MS })).toEqual([1, 2]);
    expect(storages.map((storage) => storage.calls("read").length)).toEqual(before);
  });

  it("may live where the segment of the fork is in no repository", async () => {
    const { files, fork } = failover({ ended: 10, promoted: 15 });
    const without = files.filter(([each]) => each !== name(2, 3));
    await store(repos[0], ...without);
    expect(await living(fork)).toEqual([1, 2]);
    await store(repos[1], ...files);
    expect(await living(fork)).toEqual([2]);
  });

  it("may live if no repository has its last segment whole", async () => {
    const { files, fork } = failover({ ended: 10, promoted: 15 });
    const cut = files.map(([each, bytes]) => {
      const copy = Uint8Array.from(bytes);
      // Within the last record.
      if (each === name(1, 4)) copy.fill(0, 3000);
      return [each, copy] as const;
    });
    const warnings: string[] = [];
    await store(repos[0], ...cut);
    expect(await living(fork, { warnings })).toEqual([1, 2]);
    expect(warnings).toEqual([expect.stringContaining(`unable to read the times in '${name(1, 4)}-`)]);
    await store(repos[1], ...files);
    expect(await living(fork)).toEqual([2]);
  });

  it.each([
    [10, [2]],
    [16, [1, 2]],
  ])("is judged by the segments before its last one, where that has no time (ended at %i)", async (ended, expected) => {
    const { files, fork } = failover({ ended, promoted: 15 });
    const quiet = new WalWriter({ segment: 5 });
    quiet.fill(200);
    quiet.switchSegment();
    await store(repos[0], ...files, ...[...quiet.segments()].map(([no, bytes]) => [name(1, no), bytes] as const));
    expect(await living(fork, { newest: 5 })).toEqual(expected);
  });
});
