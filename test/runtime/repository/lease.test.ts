/** The lease on storages in memory, with held clocks. Tests set the time of each pause, lost answer and listing. */
// claim: README.md: two hosts that share…
import { describe, expect, test, vi } from "vitest";
import { utf8 } from "../../../runtime/base/bytes";
import { fail } from "../../../runtime/base/errors";
import { acquireLease, type Lease, LEASE_TIMES, type LeaseRequest } from "../../../runtime/repository/lease";
import type { ObjectInfo, Storage } from "../../../runtime/storage/storage";
import { HeldClock, testContext } from "../../harness/context";
import { testDomain } from "../../harness/leases";
import { FaultyStorage } from "../../harness/network/faults";
import { MemoryStorage } from "../../harness/doubles/storages";

const DIRECTORY = "pgbackstop/demo/lease";
const LOST_ANSWER = fail("hostConnect", "the answer was lost", { retryable: true });
const clock = (): HeldClock => new HeldClock();
let seeds = 0;

/** A process on a separate host. Concurrent processes share `time`. */
function host(name: string, storage: Storage, time: HeldClock, more: Partial<LeaseRequest> = {}) {
  const ctx = testContext({ clock: time, seed: ++seeds });
  const location = { key: 1, name: "repo1", stanza: "demo", storage };
  const request: LeaseRequest = { domain: testDomain(name), holder: { host: name, pid: 12, verb: "backup" }, ...more };
  return {
    ctx,
    acquire: (): Promise<Lease> => acquireLease(location, request, ctx),
    texts: (level: string) => ctx.lines.filter((line) => line.level === level).map((line) => line.text),
  };
}

/** Advances the clock until `work` ends. */
async function until<T>(time: HeldClock, work: Promise<T>): Promise<T> {
  let isEnded = false;
  const done = work.finally(() => {
    isEnded = true;
  });
  done.catch(() => {});
  for (let spentS = 0; !isEnded; spentS++) {
    if (spentS > 1800) throw new Error("not ended after half an hour");
    await time.advance(1000);
  }
  return done;
}

const names = (storage: MemoryStorage): string[] => storage.paths().map((path) => path.slice(DIRECTORY.length + 1));
const content = (storage: MemoryStorage, name: string): Record<string, unknown> =>
  JSON.parse(storage.text(`${DIRECTORY}/${name}`));

/** Both kinds of storage: with exclusive creation, and with one claim file per claimant. */
describe.each([
  ["exclusive creation", true],
  ["tickets", false],
])("with %s", (_kind, createsExclusively) => {
  const memory = (): MemoryStorage => new MemoryStorage({ createsExclusively });

  test("takes term after term, and releases each", async () => {
    const storage = memory();
    const time = clock();
    for (let term = 1; term <= 3; term++) {
      const lease = await host("a", storage, time).acquire();
      expect(lease).toMatchObject({ term, domain: "a" });
      expect(lease.token).toMatch(/^[0-9a-f]{32}$/);
      await lease.check();
      await lease.release();
    }
    const result = names(storage).map((name) => content(storage, name));
    expect(result.map(({ term, state }) => [term, state])).toEqual([1, 2, 3].map((term) => [term, "released"]));
  });

  test("is one for backups and another one for dumps", async () => {
    const storage = memory();
    const time = clock();
    const backup = await host("a", storage, time).acquire();
    const dump = await host("b", storage, time, { work: "dumps" }).acquire();
    await backup.check();
    await dump.check();
    const other = host("c", storage, time, { work: "dumps" });
    await expect(until(time, other.acquire())).rejects.toMatchObject({
      kind: "lockAcquire",
      message: expect.stringContaining("unable to acquire the lease of stanza 'demo' for dumps: held by host 'b'"),
      hints: expect.arrayContaining([expect.stringContaining("Another process writes dumps of this stanza")]),
    });
    await Promise.all([backup.release(), dump.release()]);
    expect(storage.paths().filter((path) => path.startsWith("pgbackstop/demo/dump-lease/"))).toHaveLength(1);
  });

  test("reports a living holder within seconds of its next renewal, and changes nothing", async () => {
    const storage = memory();
    const time = clock();
    const holder = await host("b", storage, time).acquire();
    const before = names(storage);
    const other = host("a", storage, time);
    const startedMs = time.monotonicMs();
    await expect(until(time, other.acquire())).rejects.toMatchObject({
      kind: "lockAcquire",
      exitCode: 50,
      repoIndex: 1,
      message: "unable to acquire the lease of stanza 'demo': held by host 'b' process 12 (backup), last seen 0 s ago",
    });
    expect(time.monotonicMs() - startedMs).toBeLessThan(25_000);
    expect(other.texts("info")).toEqual([
      "repo1: the lease is held by host 'b' process 12 (backup); waiting up to 120 s for a sign of life of that process",
    ]);
    expect(names(storage)).toEqual(before);
    await holder.check();
    await holder.release();
  });

  test("takes over at once from a process whose lock files it has", async () => {
    const storage = memory();
    const dead = host("a", storage, clock());
    await dead.acquire();
    const next = host("a", storage, clock());
    expect(await next.acquire()).toMatchObject({ term: 2 });
    expect(next.texts("warn")).toEqual([
      "repo1: the lease was held by host 'a' process 12 (backup), which has ended: term 2 takes over",
    ]);
  });

  test("reports at once a holder on this host that lives, however silent it is, and takes nothing", async () => {
    const storage = memory();
    await host("a", storage, clock()).acquire();
    const before = new Map(storage.files);
    const time = clock();
    const other = host("b", storage, time, { domain: { text: "b", stateOf: () => "alive" } });
    const startedMs = time.monotonicMs();
    await expect(other.acquire()).rejects.toMatchObject({
      exitCode: 50,
      message:
        "unable to acquire the lease of stanza 'demo': held by host 'a' process 12 (backup), which lives on this host",
    });
    expect(time.monotonicMs()).toBe(startedMs);
    expect(storage.files).toEqual(before);
  });

  test("takes over from another host's process when it has been silent for two minutes, not sooner", async () => {
    const storage = memory();
    await host("b", storage, clock()).acquire();
    const time = clock();
    const startedMs = time.monotonicMs();
    expect(await until(time, host("a", storage, time).acquire())).toMatchObject({ term: 2 });
    expect(time.monotonicMs() - startedMs).toBeGreaterThanOrEqual(LEASE_TIMES.deadMs);
    expect(time.monotonicMs() - startedMs).toBeLessThan(LEASE_TIMES.deadMs + 10_000);
  });

  test("ignores files that it read before its own pause", async () => {
    const storage = memory();
    const theirs = clock();
    const holder = await host("b", storage, theirs).acquire();
    const mine = clock();
    const other = host("a", storage, mine).acquire();
    other.catch(() => {});
    await mine.advance(LEASE_TIMES.lookMs);
    // This host sleeps for an hour. The holder runs.
    await theirs.advance(3_600_000);
    await mine.advance(3_600_000);
    await expect(until(mine, other)).rejects.toMatchObject({ kind: "lockAcquire" });
    await holder.check();
    await holder.release();
  });

  test("that was lost to another host fails every check, is renewed no more and leaves the other one's files", async () => {
    const storage = memory();
    const theirs = clock();
    const sleeper = host("b", storage, theirs);
    const lost = await sleeper.acquire();
    await lost.check();
    const time = clock();
    const lease = await until(time, host("a", storage, time).acquire());
    const after = new Map(storage.files);
    await expect(lost.check()).rejects.toMatchObject({
      kind: "lockAcquire",
      message: expect.stringContaining("was lost: term 2 has taken over"),
    });
    await theirs.advance(3_600_000);
    await expect(lost.check()).rejects.toMatchObject({ kind: "lockAcquire" });
    await lost.release();
    expect(storage.files).toEqual(after);
    await lease.check();
    await lease.release();
  });

  test("checks before a write only after ten seconds of either clock, once for all writers", async () => {
    const storage = memory();
    const time = clock();
    let suspendedMs = 0;
    const ctx = testContext({ clock: time });
    const wall = time.nowMs.bind(time);
    time.nowMs = () => wall() + suspendedMs;
    const lease = await acquireLease(
      { key: 1, name: "repo1", stanza: "demo", storage },
      { domain: null, holder: { host: "a", pid: 12, verb: "backup" } },
      ctx,
    );
    const list = vi.spyOn(storage, "list");
    await lease.keep();
    await time.advance(9000);
    await lease.keep();
    expect(list).not.toHaveBeenCalled();
    await time.advance(1000);
    await Promise.all([lease.keep(), lease.keep()]);
    await lease.keep();
    expect(list).toHaveBeenCalledTimes(1);
    // The machine is suspended: only the wall clock goes on.
    suspendedMs = 3_600_000;
    await lease.keep();
    expect(list).toHaveBeenCalledTimes(2);
    // A check for another reason counts too.
    suspendedMs = 7_200_000;
    await lease.check();
    await lease.keep();
    expect(list).toHaveBeenCalledTimes(3);
    await lease.release();
  });

  test("that was lost fails before every write", async () => {
    const storage = memory();
    const theirs = clock();
    const lost = await host("b", storage, theirs).acquire();
    const time = clock();
    await until(time, host("a", storage, time).acquire());
    await theirs.advance(130_000);
    for (let turn = 0; turn < 2; turn++) await expect(lost.keep()).rejects.toMatchObject({ kind: "lockAcquire" });
  });

  test("a holder that wakes writes only into its own dead term", async () => {
    const storage = memory();
    const theirs = clock();
    const sleeper = host("b", storage, theirs);
    await sleeper.acquire();
    const time = clock();
    const lease = await until(time, host("a", storage, time).acquire());
    await theirs.advance(60_000);
    await lease.check();
    await time.advance(60_000);
    await lease.check();
    expect(names(storage)).toHaveLength(2);
  });

  test("gives one of two simultaneous claimants the lease, or none of them yet", async () => {
    for (let round = 0; round < 30; round++) {
      const storage = memory();
      const time = clock();
      const results = await until(
        time,
        Promise.allSettled(["a", "b", "c"].map((name) => host(name, storage, time).acquire())),
      );
      const leases = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
      expect(leases).toHaveLength(1);
      for (const result of results)
        if (result.status === "rejected") expect(result.reason).toMatchObject({ kind: "lockAcquire" });
      await leases[0]?.check();
      await leases[0]?.release();
    }
  });

  test("detects that it got the lease although the answer was lost", async () => {
    const inner = memory();
    const storage = new FaultyStorage(inner).plan(createsExclusively ? "create" : "put", {
      kind: "errorAfter",
      error: LOST_ANSWER,
    });
    const lease = await host("a", storage, clock()).acquire();
    expect(lease.term).toBe(1);
    await lease.check();
    storage.verifyAllFaultsExercised();
  });

  test("fails when the claim did not arrive, and leaves nothing", async () => {
    const inner = memory();
    const storage = new FaultyStorage(inner).plan(createsExclusively ? "create" : "put", {
      kind: "error",
      error: LOST_ANSWER,
    });
    await expect(host("a", storage, clock()).acquire()).rejects.toBe(LOST_ANSWER);
    expect(names(inner)).toEqual([]);
  });

  test("continues when renewals fail, and reports it once", async () => {
    const inner = memory();
    const storage = new FaultyStorage(inner);
    const time = clock();
    const holder = host("a", storage, time);
    const lease = await holder.acquire();
    storage.plan("put", { kind: "error", error: LOST_ANSWER }, { times: 3 });
    await time.advance(60_000);
    storage.verifyAllFaultsExercised();
    expect(holder.texts("warn")).toEqual(["repo1: unable to renew the lease, retrying: the answer was lost"]);
    await lease.check();
    const [name = ""] = names(inner);
    expect(content(inner, name)["renewals"]).toBeGreaterThan(1);
    await lease.release();
  });

  test("is renewed until its release, and not afterwards", async () => {
    const storage = memory();
    const time = clock();
    const lease = await host("a", storage, time).acquire();
    await time.advance(100_000);
    const [name = ""] = names(storage);
    expect(content(storage, name)).toMatchObject({ renewals: 5, state: "held" });
    await lease.release();
    await lease.release();
    const after = new Map(storage.files);
    await time.advance(100_000);
    expect(storage.files).toEqual(after);
    await expect(lease.check()).rejects.toMatchObject({ kind: "assert" });
  });

  test("takes an unreadable file for a holder, until it has not changed for two minutes", async () => {
    const storage = memory();
    await storage.put(`${DIRECTORY}/00000005.json`, utf8('{"version":1,"te'));
    const time = clock();
    const startedMs = time.monotonicMs();
    const next = host("a", storage, time);
    expect(await until(time, next.acquire())).toMatchObject({ term: 6 });
    expect(time.monotonicMs() - startedMs).toBeGreaterThanOrEqual(LEASE_TIMES.deadMs);
    expect(next.texts("info")[0]).toContain("held by an unreadable file");
  });

  test("yields to a claim of the other form", async () => {
    const storage = memory();
    const other = new MemoryStorage({ createsExclusively: !createsExclusively });
    // Both storages share the same files.
    Object.defineProperty(other, "files", { value: storage.files });
    const time = clock();
    const holder = await host("b", other, time).acquire();
    await expect(until(time, host("a", storage, time).acquire())).rejects.toMatchObject({ kind: "lockAcquire" });
    await holder.check();
    await holder.release();
    expect(await until(time, host("a", storage, time).acquire())).toMatchObject({ term: 2 });
  });

  test("keeps the last eight terms, sometimes removes older ones, and never restarts at one", async () => {
    const storage = memory();
    const time = clock();
    let most = 0;
    for (let term = 1; term <= 40; term++) {
      const lease = await host("a", storage, time).acquire();
      expect(lease.term).toBe(term);
      await lease.release();
      most = Math.max(most, storage.files.size);
    }
    expect(most).toBeLessThanOrEqual(17);
    expect(names(storage)).toContain("floor.json");
    for (const name of names(storage)) if (name !== "floor.json") await storage.remove(`${DIRECTORY}/${name}`);
    const floor = Number(content(storage, "floor.json")["floor"]);
    expect(floor).toBeGreaterThan(20);
    expect(await host("a", storage, time).acquire()).toMatchObject({ term: floor + 1 });
  });

  test("waits for its turn before it claims", async () => {
    const storage = memory();
    const time = clock();
    let open: () => void = () => {};
    const turn = new Promise<void>((resolve) => {
      open = resolve;
    });
    const waiting = host("a", storage, time, { turn }).acquire();
    await time.advance(1000);
    expect(storage.files.size).toBe(0);
    open();
    expect(await waiting).toMatchObject({ term: 1 });
  });

  test("is released after an abort by a storage that still works", async () => {
    const inner = memory();
    const time = clock();
    const storage = new FaultyStorage(inner);
    const holder = host("a", storage, time, { storageAfterAbort: () => inner });
    const lease = await holder.acquire();
    holder.ctx.abort();
    storage.breakDown(fail("term", "terminated"));
    await lease.release();
    const [name = ""] = names(inner);
    expect(content(inner, name)["state"]).toBe("released");
    expect(holder.texts("warn")).toEqual([]);
  });

  test("cannot be released when the storage is down, reports it and does not fail", async () => {
    const storage = new FaultyStorage(memory());
    const holder = host("a", storage, clock());
    const lease = await holder.acquire();
    storage.breakDown(LOST_ANSWER);
    await lease.release();
    expect(holder.texts("warn")).toEqual([
      "repo1: unable to release the lease; other processes wait 120 s for it: the answer was lost",
    ]);
  });

  test("does not delay the end of a command when the storage does not answer", async () => {
    const storage = new FaultyStorage(memory());
    const time = clock();
    const holder = host("a", storage, time);
    const lease = await holder.acquire();
    storage.plan("read", { kind: "hang", signal: new AbortController().signal });
    await until(time, lease.release());
    expect(holder.texts("warn")).toEqual(["repo1: unable to release the lease in 20 s"]);
  });

  test("that was removed with the stanza is lost, and is not written again", async () => {
    const storage = memory();
    const holder = host("a", storage, clock());
    const lease = await holder.acquire();
    await storage.removePath("pgbackstop/demo");
    await expect(lease.check()).rejects.toMatchObject({
      message: "the lease of stanza 'demo' was lost: the file of term 1 is gone",
    });
    await lease.release();
    expect(storage.files.size).toBe(0);
  });
});

describe("a listing that hides terms", () => {
  /** Lists nothing while `isHidden`. */
  function hiding(inner: Storage, isHidden: () => boolean): Storage {
    const list = async function* (path: string): AsyncIterable<ObjectInfo> {
      if (!isHidden()) yield* inner.list(path);
    };
    return new Proxy(inner, {
      get: (target, property) => {
        if (property === "list") return list;
        const value: unknown = Reflect.get(target, property);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  test("does not hide a living holder when files are created exclusively", async () => {
    for (const terms of [0, 5, 30]) {
      const storage = new MemoryStorage();
      const time = clock();
      for (let count = 0; count < terms; count++) await (await host("b", storage, time).acquire()).release();
      const holder = await host("b", storage, time).acquire();
      await expect(
        until(
          time,
          host(
            "a",
            hiding(storage, () => true),
            time,
          ).acquire(),
        ),
      ).rejects.toMatchObject({
        message: expect.stringContaining("held by host 'b'"),
      });
      await holder.check();
      await holder.release();
    }
  });

  test("does not hide from a holder that another one took over", async () => {
    const storage = new MemoryStorage();
    const sleeper = await host(
      "b",
      hiding(storage, () => true),
      clock(),
    ).acquire();
    const time = clock();
    await until(time, host("a", storage, time).acquire());
    await expect(sleeper.check()).rejects.toMatchObject({ message: expect.stringContaining("term 2 has taken over") });
  });

  test("ends a claim whose own file it does not show", async () => {
    const storage = new MemoryStorage({ createsExclusively: false });
    const time = clock();
    const claim = host(
      "a",
      hiding(storage, () => true),
      time,
    ).acquire();
    await expect(until(time, claim)).rejects.toMatchObject({
      kind: "service",
      message: "the listing of repo1 lacks a file that was just written",
    });
    expect(storage.files.size).toBe(0);
  });
});

test("a server that ignores the condition of a creation leaves one holder, and the other one notices", async () => {
  const storage = new MemoryStorage();
  const ignoring = new Proxy(storage, {
    get: (target, property) => {
      if (property === "create") {
        return async (path: string, bytes: Uint8Array) => {
          await target.put(path, bytes);
          return true;
        };
      }
      const value: unknown = Reflect.get(target, property);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const time = clock();
  const both = await until(time, Promise.all(["a", "b"].map((name) => host(name, ignoring, time).acquire())));
  const checks = await Promise.allSettled(both.map((lease) => lease.check()));
  expect(checks.filter((check) => check.status === "fulfilled")).toHaveLength(1);
  await time.advance(100_000);
  const next = await Promise.allSettled(both.map((lease) => lease.check()));
  expect(next.map((check) => check.status)).toEqual(checks.map((check) => check.status));
});
