import { describe, expect, test } from "vitest";
import { fail } from "../../../runtime/base/errors";
import { Leases, withLeases } from "../../../runtime/repository/leases";
import type { Repository } from "../../../runtime/repository/repository";
import { HeldClock, type TestContext, testContext } from "../../harness/context";
import { testDomain } from "../../harness/leases";
import { FaultyStorage } from "../../harness/network/faults";
import { MemoryStorage } from "../../harness/doubles/storages";
import { repository } from "./support";

const nothing = async (): Promise<void> => {};

interface Command {
  readonly ctx: TestContext<HeldClock>;
  readonly leases: Leases;
}

function command(name: string, clock: HeldClock, seed: number): Command {
  const ctx = testContext({ clock, seed });
  const parts = {
    domain: testDomain(name),
    holder: { host: name, pid: 1, verb: "backup" },
    storageAfterAbort: () => undefined,
  };
  return { ctx, leases: new Leases(() => parts, ctx) };
}

const two = (): Repository[] =>
  [1, 2].map((key) => repository(key, { storage: new MemoryStorage({ name: `memory${key}` }) }));

async function until<T>(clock: HeldClock, work: Promise<T>): Promise<T> {
  let isEnded = false;
  const done = work.finally(() => {
    isEnded = true;
  });
  done.catch(() => {});
  for (let spentS = 0; !isEnded && spentS < 1800; spentS++) await clock.advance(1000);
  return done;
}

describe("leases of a command", () => {
  test("are taken once for each repository and released together", async () => {
    const clock = new HeldClock();
    const [first, second] = two() as [Repository, Repository];
    const { leases } = command("a", clock, 1);
    const [one, again, other] = await Promise.all([
      leases.take(first, nothing),
      leases.take(first, nothing),
      leases.take(second, nothing),
    ]);
    expect(again).toBe(one);
    expect(other).not.toBe(one);
    await leases.releaseAll();
    const next = command("b", clock, 2);
    expect(await next.leases.take(first, nothing)).toMatchObject({ term: 2 });
    expect(await next.leases.take(second, nothing)).toMatchObject({ term: 2 });
  });

  test("two commands over the same repositories never get one each", async () => {
    for (let seed = 1; seed < 40; seed += 2) {
      const clock = new HeldClock();
      const repos = two();
      const take = ({ leases }: Command): Promise<PromiseSettledResult<unknown>[]> =>
        Promise.allSettled(repos.map((repo) => leases.take(repo, nothing)));
      const counts = (
        await until(clock, Promise.all([take(command("a", clock, seed)), take(command("b", clock, seed + 1))]))
      ).map((results) => results.filter((result) => result.status === "fulfilled").length);
      expect(counts.sort((left, right) => left - right)).toEqual([0, 2]);
    }
  });

  test("nothing is written without a stanza, and the reason is reported", async () => {
    const storage = new MemoryStorage();
    const { leases } = command("a", new HeldClock(), 1);
    await expect(leases.take(repository(1, { storage }))).rejects.toMatchObject({ kind: "fileMissing" });
    expect(storage.paths()).toEqual([]);
  });

  test("a busy repository stays busy for the command, an unreachable one is tried again", async () => {
    const clock = new HeldClock();
    const inner = new MemoryStorage();
    const storage = new FaultyStorage(inner);
    const repo = repository(1, { storage });
    const { leases } = command("a", clock, 1);
    storage.breakDown(fail("hostConnect", "no route"));
    await expect(leases.take(repo, nothing)).rejects.toMatchObject({ kind: "hostConnect" });
    expect(await leases.isBusy(repo)).toBe(false);
    storage.repair();
    const other = command("b", clock, 2);
    await other.leases.take(repository(1, { storage: inner }), nothing);
    await expect(until(clock, leases.take(repo, nothing))).rejects.toMatchObject({ kind: "lockAcquire" });
    const calls = storage.calls("list").length;
    await expect(leases.take(repo, nothing)).rejects.toMatchObject({ kind: "lockAcquire" });
    expect(storage.calls("list").length).toBe(calls);
    expect(await leases.isBusy(repo)).toBe(true);
    await other.leases.releaseAll();
  });
});

test("work runs where the lease is available, and the others say why not", async () => {
  const clock = new HeldClock();
  const repos = two();
  const [first] = repos as [Repository];
  const holder = command("b", clock, 1);
  await holder.leases.take(first, nothing);
  const { leases } = command("a", clock, 2);
  const asked: number[][] = [];
  const results = await until(
    clock,
    withLeases(repos, leases, nothing, async (leased) => {
      asked.push(leased.map((repo) => repo.key));
      return leased.map((repo) => ({ repoIndex: repo.key, ok: true as const, value: "done" }));
    }),
  );
  expect(asked).toEqual([[2]]);
  expect(results).toMatchObject([
    { repoIndex: 1, ok: false, error: { kind: "lockAcquire" } },
    { repoIndex: 2, ok: true, value: "done" },
  ]);
});
