/** The guard on a clock that is advanced by hand, with a server that has nothing but settings. */
// claim: docs/synchronous.md: commits wait for the…
import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../runtime/base/errors";
import { type GuardOptions, SynchronousGuard } from "../../../runtime/archiver/synchronousGuard";
import { removeReceiver } from "../../../runtime/operations/stream/receiverSetting";
import { HeldClock, type TestContext, testContext } from "../../harness/context";

/** A test-only server: it has one setting, in two files. */
class Server {
  file = "";
  altered: string | null = null;
  applyOf: string | null = null;
  isDown = false;
  sessions = 0;

  get value(): string {
    return this.altered ?? this.file;
  }

  connect: GuardOptions["connect"] = async () => {
    if (this.isDown) throw fail("dbConnect", "no server");
    this.sessions++;
    const query = async (sql: string): Promise<never> => {
      const rows = sql.includes("pg_file_settings")
        ? [{ value: this.file }]
        : sql.includes("remote_apply")
          ? this.applyOf === null
            ? []
            : [{ value: this.applyOf }]
          : [{ value: this.value }];
      return { rows } as never;
    };
    return {
      query,
      alterSystem: async (_name: string, value: string | null) => {
        this.altered = value;
      },
      reload: async () => {},
      close: async () => {
        this.sessions--;
      },
    };
  };
}

/** A process may be suspended: time passes, and nothing of it runs. */
class SuspendedClock extends HeldClock {
  #asleepMs = 0;

  override monotonicMs(): number {
    return super.monotonicMs() + this.#asleepMs;
  }

  suspend(durationMs: number): void {
    this.#asleepMs += durationMs;
  }
}

let ctx: TestContext;
let clock: SuspendedClock;
let server: Server;
let isStopped: boolean;
let stop: AbortController;

beforeEach(() => {
  ctx = testContext();
  clock = new SuspendedClock();
  server = new Server();
  isStopped = false;
  stop = new AbortController();
});

function guarded(degradeMs: number | null): SynchronousGuard {
  const guard = new SynchronousGuard(
    { degradeMs, isStopped: () => isStopped, connect: server.connect },
    { ...ctx, clock, signal: stop.signal },
  );
  void guard.run(stop.signal);
  return guard;
}

const warnings = (): string[] => ctx.lines.filter(({ level }) => level === "warn").map(({ text }) => text);

describe("commits wait", () => {
  it("only after the server's position was confirmed", async () => {
    const guard = guarded(null);
    guard.moved(100n, 0n);
    await clock.advance(60_000);
    expect([guard.state, server.value]).toEqual(["starting", ""]);
    guard.moved(100n, 100n);
    await clock.advance(1000);
    expect([guard.state, server.value]).toEqual(["synchronous", "pgbackstop"]);
    expect(server.sessions).toBe(0);
  });

  it("beside the server's own standbys", async () => {
    server.file = "FIRST 1 (s1)";
    const guard = guarded(5000);
    guard.moved(100n, 100n);
    await clock.advance(1000);
    expect(server.value).toBe("FIRST 2 (pgbackstop, s1)");
    guard.ended();
    await clock.advance(10_000);
    // The other file's value again, without an entry of ALTER SYSTEM.
    expect([guard.state, server.altered, server.value]).toEqual(["asynchronous", null, "FIRST 1 (s1)"]);
  });

  it("forever without a limit", async () => {
    const guard = guarded(null);
    guard.moved(100n, 100n);
    await clock.advance(1000);
    guard.moved(200n, 100n);
    await clock.advance(3_600_000);
    expect([guard.state, server.value]).toEqual(["synchronous", "pgbackstop"]);
  });

  it("on a standby from its promotion on", async () => {
    const guard = guarded(5000);
    guard.standby();
    await clock.advance(1000);
    expect(server.value).toBe("pgbackstop");
  });

  it("not with remote_apply, which no repository can answer", async () => {
    server.applyOf = "role web";
    const guard = guarded(null);
    guard.moved(100n, 100n);
    await clock.advance(30_000);
    expect([guard.state, server.value]).toEqual(["starting", ""]);
    expect(guard.error?.message).toBe("synchronous_commit is remote_apply for role web");
    expect(warnings()).toHaveLength(1);
    server.applyOf = null;
    guard.moved(100n, 100n);
    await clock.advance(10_000);
    expect([guard.state, guard.error]).toEqual(["synchronous", null]);
  });

  it("not where one setting cannot require everybody", async () => {
    server.file = "ANY 1 (s1, s2)";
    const guard = guarded(null);
    guard.moved(100n, 100n);
    await clock.advance(60_000);
    expect([guard.state, server.altered]).toEqual(["starting", null]);
    expect(warnings()).toHaveLength(1);
  });
});

describe("with a limit, commits wait no longer", () => {
  it("after so many seconds without a confirmation, and again after ten good seconds", async () => {
    const guard = guarded(5000);
    guard.moved(100n, 100n);
    await clock.advance(1000);
    guard.moved(200n, 100n);
    await clock.advance(4500);
    expect(server.value).toBe("pgbackstop");
    await clock.advance(1000);
    expect([guard.state, server.value]).toEqual(["asynchronous", ""]);
    expect(warnings()[0]).toContain("no repository has confirmed WAL for 5 seconds");
    guard.moved(300n, 300n);
    await clock.advance(9000);
    expect(guard.state).toBe("asynchronous");
    await clock.advance(2000);
    expect([guard.state, server.value]).toEqual(["synchronous", "pgbackstop"]);
  });

  it("when the connection is lost, counted from the oldest unconfirmed commit", async () => {
    const guard = guarded(5000);
    guard.moved(100n, 100n);
    await clock.advance(1000);
    guard.moved(200n, 100n);
    await clock.advance(3000);
    guard.ended();
    await clock.advance(2500);
    expect(guard.state).toBe("asynchronous");
  });

  it("when a new agent finds the setting and confirms nothing in time", async () => {
    server.altered = "pgbackstop";
    const guard = guarded(5000);
    await clock.advance(4000);
    expect(server.value).toBe("pgbackstop");
    await clock.advance(2000);
    expect([guard.state, server.value]).toEqual(["asynchronous", ""]);
  });

  it("while progress is slow but steady they wait, because no commit waits for long", async () => {
    const guard = guarded(5000);
    guard.moved(100n, 100n);
    await clock.advance(1000);
    for (let lsn = 200n; lsn < 5000n; lsn += 100n) {
      guard.moved(lsn, lsn - 100n);
      await clock.advance(1000);
    }
    expect(guard.state).toBe("synchronous");
  });

  it("and the server is asked again if it was down", async () => {
    const guard = guarded(5000);
    guard.moved(100n, 100n);
    await clock.advance(1000);
    server.isDown = true;
    guard.ended();
    await clock.advance(10_000);
    expect(guard.state).toBe("synchronous");
    server.isDown = false;
    await clock.advance(6000);
    expect([guard.state, server.value]).toEqual(["asynchronous", ""]);
    expect(warnings()).toHaveLength(1);
  });
});

it("a stopped stanza ends the wait at once, also without a limit", async () => {
  const guard = guarded(null);
  guard.moved(100n, 100n);
  await clock.advance(1000);
  isStopped = true;
  await clock.advance(1000);
  expect([guard.state, server.value]).toEqual(["asynchronous", ""]);
});

it("somebody's change of the setting is reported, and never undone", async () => {
  const guard = guarded(null);
  guard.moved(100n, 100n);
  await clock.advance(1000);
  server.altered = null;
  await clock.advance(60_000);
  expect(server.value).toBe("");
  expect(guard.error?.message).toBe("synchronous_standby_names no longer requires pgbackstop");
  expect(warnings()).toHaveLength(1);
});

describe("beside the unit that degrades while no agent answers", () => {
  // claim: docs/synchronous.md: with a limit, commits…
  it("an agent that slept sets the name again, as after a start", async () => {
    const guard = guarded(5000);
    guard.moved(100n, 100n);
    await clock.advance(1000);
    clock.suspend(3_600_000);
    server.altered = null;
    await clock.advance(1000);
    expect([guard.state, server.value]).toEqual(["synchronous", "pgbackstop"]);
    expect(guard.error).toBeNull();
  });

  // claim: docs/synchronous.md: with a limit, commits…
  it("a starting agent whose first write met the unit's sets the name again", async () => {
    server.altered = "pgbackstop";
    const guard = guarded(5000);
    guard.moved(100n, 100n);
    await clock.advance(300);
    server.altered = null;
    await clock.advance(12_000);
    expect([guard.state, server.value]).toEqual(["synchronous", "pgbackstop"]);
    expect(guard.error).toBeNull();
  });

  it("somebody's later change stays", async () => {
    const guard = guarded(5000);
    guard.moved(100n, 100n);
    await clock.advance(60_000);
    server.altered = null;
    await clock.advance(60_000);
    expect(server.value).toBe("");
    expect(guard.error?.message).toBe("synchronous_standby_names no longer requires pgbackstop");
  });
});

it("removes the receiver that an earlier configuration has left", async () => {
  const session = await server.connect();
  expect(await removeReceiver(session)).toBe(false);
  server.altered = "FIRST 2 (pgbackstop, s1)";
  expect(await removeReceiver(session)).toBe(true);
  expect(server.value).toBe("FIRST 1 (s1)");
});

describe("a guard of a setting that others own", () => {
  const observing = (): SynchronousGuard => {
    const options = { degradeMs: 1000, isStopped: () => isStopped, setBy: "the Cluster", connect: server.connect };
    const guard = new SynchronousGuard(options, { ...ctx, clock, signal: stop.signal });
    void guard.run(stop.signal);
    return guard;
  };

  // claim: docs/synchronous.md: a sidecar changes no setting, and reports whether commits wait and for how long
  it("reports whether commits wait, and changes nothing, whatever happens", async () => {
    const guard = observing();
    await clock.advance(60_000);
    expect(guard.report()).toEqual({
      isWaiting: false,
      waitingS: 0,
      trouble: "the Cluster does not require pgbackstop",
    });
    server.file = 'FIRST 2 (pgbackstop,"orders-2")';
    guard.moved(100n, 100n);
    await clock.advance(11_000);
    expect(guard.report()).toEqual({ isWaiting: true, waitingS: 0, trouble: null });
    guard.moved(200n, 100n);
    isStopped = true;
    await clock.advance(45_000);
    expect(guard.report()).toEqual({ isWaiting: true, waitingS: 45, trouble: null });
    guard.ended();
    await clock.advance(60_000);
    expect(guard.report()).toMatchObject({ isWaiting: true, waitingS: 105 });
    expect([server.altered, server.sessions]).toEqual([null, 0]);
    expect(warnings()).toEqual(["commits do not wait for the repositories: the Cluster does not require pgbackstop"]);
  });

  it("sees that standbys alone would do", async () => {
    server.file = 'FIRST 1 (pgbackstop,"orders-2")';
    const guard = observing();
    await clock.advance(1000);
    expect(guard.report().isWaiting).toBe(false);
  });

  it("reports commits that would wait forever", async () => {
    server.file = "FIRST 1 (pgbackstop)";
    server.applyOf = "role web";
    const guard = observing();
    await clock.advance(1000);
    expect(guard.report()).toMatchObject({
      isWaiting: true,
      trouble: "synchronous_commit is remote_apply for role web",
    });
  });

  it("says nothing beside a standby", async () => {
    const guard = observing();
    guard.standby();
    await clock.advance(60_000);
    expect([guard.isStandby, warnings()]).toEqual([true, []]);
  });
});
