/** A real server is in test/interop/wal/agent.test.ts. */
// claim: docs/kubernetes/failover.md: after a clean restart…
import { beforeEach, expect, test } from "vitest";
import { fail } from "../../../runtime/base/errors";
import { type CheckpointerParts, wakeCheckpointers } from "../../../runtime/archiver/checkpointer";
import { HeldClock, TEST_TIME_MS, testContext } from "../../harness/context";

const START_S = TEST_TIME_MS / 1000;
let clock: HeldClock;
let pidFile: string | null;
/** Sessions that were opened, and their queries. */
let asked: string[];
let isDown: boolean;

beforeEach(() => {
  clock = new HeldClock();
  pidFile = null;
  asked = [];
  isDown = false;
});

const pidFileOf = (pid: number, startS: number, status: string): string =>
  `${pid}\n/data\n${startS}\n5432\n/run/postgresql\n\n  5432001  12\n${status}\n`;

const parts: CheckpointerParts = {
  dataDirectory: () => "/data",
  readFile: async (path) => (path === "/data/postmaster.pid" && pidFile !== null ? Buffer.from(pidFile) : null),
  newSession: async () => {
    asked.push("open");
    if (isDown) throw fail("dbConnect", "no right");
    return {
      query: async (sql) => {
        asked.push(sql.split(" from ")[0] ?? "");
        return { rows: [{}] };
      },
      close: async () => void asked.push("close"),
    };
  },
};

async function running(body: () => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const run = wakeCheckpointers(parts, testContext({ clock }), stop.signal);
  // The first look.
  await new Promise((resolve) => setImmediate(resolve));
  await body();
  stop.abort();
  await run;
}

const WOKEN = ["open", "select pg_catalog.pg_reload_conf()", "close"];

test("reloads a primary once after each start, and a standby when it is started as a primary", () =>
  running(async () => {
    await clock.advance(4000);
    for (const status of ["starting", "standby "]) {
      pidFile = pidFileOf(7, START_S, status);
      await clock.advance(4000);
    }
    expect(asked).toEqual([]);
    pidFile = pidFileOf(7, START_S, "ready   ");
    await clock.advance(10_000);
    expect(asked).toEqual(WOKEN);
    // The number may be the same in a container.
    pidFile = pidFileOf(7, START_S + 12, "ready   ");
    await clock.advance(10_000);
    expect(asked).toEqual([...WOKEN, ...WOKEN]);
  }));

test("leaves a server alone that has run for a minute: its files may have changed since", () =>
  running(async () => {
    pidFile = pidFileOf(7, START_S - 61, "ready   ");
    await clock.advance(10_000);
    expect(asked).toEqual([]);
  }));

test("tries a few times to connect, and again after the next start", () =>
  running(async () => {
    isDown = true;
    pidFile = pidFileOf(7, START_S, "ready   ");
    await clock.advance(20_000);
    expect(asked).toEqual(Array.from({ length: 5 }, () => "open"));
    isDown = false;
    pidFile = pidFileOf(8, START_S + 15, "ready   ");
    await clock.advance(4000);
    expect(asked.slice(5)).toEqual(WOKEN);
  }));
