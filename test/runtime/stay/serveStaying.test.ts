/** Both sides over a real socket: runtime/stay/serveStaying.ts and runtime/stay/askStaying.ts. */
import { existsSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { type AskParts, askStaying } from "../../../runtime/stay/askStaying";
import { type ServedCall, serveStaying, type StayOptions } from "../../../runtime/stay/serveStaying";
import { HeldClock, testContext } from "../../harness/context";
import { temporaryFolder } from "../repository/support";

const SOON = { greetedMs: 50, silentMs: 50 };
const STAY_MS = 10_000;

interface Served {
  readonly path: string;
  readonly clock: HeldClock;
  readonly ended: Promise<void>;
  abort(): void;
}

async function serve(run: StayOptions["run"], changes: Partial<StayOptions> = {}): Promise<Served> {
  const path = join(temporaryFolder(), "a.sock");
  const clock = new HeldClock();
  const ctx = testContext({ clock });
  const options = { path, stayMs: STAY_MS, pid: 7, isCurrent: () => true, run, ...changes };
  const { ended } = await serveStaying(options, ctx);
  onTestFinished(async () => {
    ctx.abort();
    await ended;
  });
  return { path, clock, ended, abort: () => ctx.abort() };
}

/** Asks, and collects what the call would print. */
function ask(path: string, changes: Partial<AskParts> = {}, times = { greetedMs: 5000, silentMs: 5000 }) {
  const printed: string[] = [];
  const parts: AskParts = {
    args: ["archive-push", "pg_wal/1"],
    workingDirectory: "/data",
    write: (kind, text) => void printed.push(`${kind} ${text}`),
    onSignal: () => () => {},
    ...changes,
  };
  return { printed, code: askStaying(path, parts, times) };
}

async function listen(path: string, use: (socket: Socket) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    onTestFinished(() => void socket.destroy());
    use(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => void server.close());
  return server;
}

describe("a call that a process serves", () => {
  it("passes arguments and directory, prints its lines, and gets its exit code", async () => {
    const seen: unknown[] = [];
    const { path } = await serve(async ({ args, workingDirectory, write }) => {
      seen.push(args, workingDirectory);
      write("out", "a line\n");
      write("err", "an error\n");
      return { code: 45, isClean: true };
    });
    const { code, printed } = ask(path);
    expect(await code).toBe(45);
    expect(seen).toEqual([["archive-push", "pg_wal/1"], "/data"]);
    expect(printed).toEqual(["out a line\n", "err an error\n"]);
    expect(await ask(path).code).toBe(45);
  });

  it("passes signals on, and ends with what the process makes of them", async () => {
    let started = (): void => {};
    const running = new Promise<void>((resolve) => void (started = resolve));
    const { path } = await serve(
      ({ onEnd }) =>
        new Promise((resolve) => {
          onEnd((signal) => resolve({ code: signal === "SIGTERM" ? 63 : 1, isClean: false }));
          started();
        }),
    );
    let pass: (name: NodeJS.Signals) => void = () => {};
    const { code } = ask(path, { onSignal: (callback) => ((pass = callback), () => {}) });
    await running;
    pass("SIGTERM");
    expect(await code).toBe(63);
  });

  it("is not aborted by a caller that leaves with its exit code", async () => {
    const ends: unknown[] = [];
    const { path } = await serve(async ({ onEnd }) => {
      onEnd((signal) => void ends.push(signal));
      return { code: 0, isClean: true };
    });
    expect(await ask(path).code).toBe(0);
    // The process answers the next call when it knows that the last one has gone.
    expect(await ask(path).code).toBe(0);
    expect(ends).toEqual([]);
  });

  it("is aborted when the call has gone", async () => {
    const { path, ended, clock } = await serve(
      ({ onEnd }) =>
        new Promise((resolve) => {
          onEnd((signal) => resolve({ code: signal === null ? 63 : 1, isClean: true }));
          client.destroy();
        }),
    );
    const client = connect(path);
    client.on("error", () => {});
    client.write(`${JSON.stringify({ kind: "run", args: [], workingDirectory: "/" })}\n`);
    await clock.until(ended);
    expect(existsSync(path)).toBe(false);
  });
});

// claim: docs/agent.md: a call that gets no answer does the work itself
describe("a call does the work itself", () => {
  it("without a process, and removes the socket of a dead one", async () => {
    const path = join(temporaryFolder(), "a.sock");
    expect(await ask(path).code).toBeNull();
  });

  it("if the process does not greet, as when it is stopped, and the next call does not wait for it", async () => {
    const path = join(temporaryFolder(), "a.sock");
    await listen(path, () => {});
    expect(await ask(path, {}, SOON).code).toBeNull();
    expect(existsSync(path)).toBe(false);
  });

  it("if it falls silent", async () => {
    const path = join(temporaryFolder(), "a.sock");
    await listen(path, (socket) => socket.write('{"kind":"ready"}\n'));
    expect(await ask(path, {}, SOON).code).toBeNull();
  });

  it.each([
    ["before the request", ""],
    ["after it", '{"kind":"ready"}\n'],
    ["within its answer", '{"kind":"ready"}\n{"kind":"exit","code":0'],
    ["with what is no JSON", '{"kind":"ready"}\nexit 0\n'],
  ])("if it ends %s", async (_, text) => {
    const path = join(temporaryFolder(), "a.sock");
    await listen(path, (socket) => void socket.end(text));
    expect(await ask(path).code).toBeNull();
  });

  it("if the command fails unexpectedly, and the process ends", async () => {
    const { path, clock, ended } = await serve(() => Promise.reject(new Error("broken")));
    expect(await ask(path).code).toBeNull();
    await clock.until(ended);
  });

  it("while the process serves another call", async () => {
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => void (finish = resolve));
    const { path } = await serve(() => finished.then(() => ({ code: 0, isClean: true })));
    const first = ask(path);
    // The second connection comes after the first.
    expect(await ask(path).code).toBeNull();
    finish();
    expect(await first.code).toBe(0);
  });

  it("but ends if it got a signal", async () => {
    const path = join(temporaryFolder(), "a.sock");
    let pass: (name: NodeJS.Signals) => void = () => {};
    await listen(path, () => pass("SIGTERM"));
    expect(await ask(path, { onSignal: (callback) => ((pass = callback), () => {}) }).code).toBe(63);
  });
});

describe("the process", () => {
  const clean: StayOptions["run"] = async () => ({ code: 0, isClean: true });

  // claim: docs/agent.md: it ends `archiveProcessSeconds` after the last call
  it("ends some time after the last call, and removes its socket", async () => {
    const { path, clock, ended } = await serve(clean);
    await clock.advance(STAY_MS - 1000);
    expect(await ask(path).code).toBe(0);
    await clock.advance(STAY_MS - 1000);
    expect(existsSync(path)).toBe(true);
    await clock.advance(2000);
    await ended;
    expect(existsSync(path)).toBe(false);
  });

  it("does not run a request that came late, as after a sleep of this process", async () => {
    let runs = 0;
    const { path, clock, ended } = await serve(async () => ({ code: runs++, isClean: true }));
    const client = connect(path);
    const closed = new Promise((resolve) => client.on("error", () => {}).once("close", resolve));
    await new Promise((resolve) => client.once("data", resolve));
    await clock.advance(3000);
    client.write(`${JSON.stringify({ kind: "run", args: [], workingDirectory: "/" })}\n`);
    await closed;
    await clock.until(ended);
    expect(runs).toBe(0);
  });

  it.each<[string, (served: Served) => void, Partial<StayOptions>]>([
    ["a call that left something", () => {}, { run: async () => ({ code: 0, isClean: false }) }],
    [
      "a change of its program or surroundings",
      () => {},
      {
        isCurrent: (() => {
          let asked = 0;
          return () => asked++ < 1;
        })(),
      },
    ],
    ["a signal", (served) => served.abort(), {}],
  ])("ends after %s", async (_, act, changes) => {
    const served = await serve(clean, changes);
    expect(await ask(served.path).code).toBe(0);
    act(served);
    await served.clock.advance(1000);
    await served.ended;
    expect(existsSync(served.path)).toBe(false);
  });

  it("ends when another one has its name, and leaves the other's socket", async () => {
    const first = await serve(clean);
    const { ended } = await serveStaying(
      {
        path: first.path,
        stayMs: STAY_MS,
        pid: 8,
        isCurrent: () => true,
        run: async () => ({ code: 9, isClean: true }),
      },
      testContext({ clock: new HeldClock() }),
    );
    void ended;
    await first.clock.advance(1000);
    await first.ended;
    expect(await ask(first.path).code).toBe(9);
  });

  it("finishes its call first, shows life, and takes no other", async () => {
    let finish: (answer: { code: number; isClean: boolean }) => void = () => {};
    let calls: ServedCall[] = [];
    const served = await serve((call) => {
      calls = [...calls, call];
      return new Promise((resolve) => void (finish = resolve));
    });
    const { code } = ask(served.path);
    await served.clock.until(
      new Promise<void>((resolve) => {
        const look = (): void => void (calls.length > 0 ? resolve() : setImmediate(look));
        look();
      }),
    );
    served.abort();
    await served.clock.advance(1000);
    finish({ code: 0, isClean: true });
    expect(await code).toBe(0);
    await served.ended;
  });
});
