// claim: docs/agent.md: a stop of PostgreSQL does not wait for a repository that is down
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import type { AcknowledgePolicy } from "../../../../runtime/config/types";
import { openFailedRepos } from "../../../../runtime/local/failedRepos";
import { type MissingWalStore, openMissingWal } from "../../../../runtime/local/missingWal";
import { archivePush } from "../../../../runtime/operations/archivePush/archivePush";
import { type PushAnswer, PushQueue } from "../../../../runtime/operations/archivePush/pushQueue";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { Repository } from "../../../../runtime/repository/repository";
import type { Storage } from "../../../../runtime/storage/storage";
import { HeldClock, pause, type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { CLUSTER, CONTROL, makeWalDirectory, repository, temporaryFolder, walName } from "../../repository/support";

type State = "up" | "refuses" | "silent" | "slow";

const ALL: AcknowledgePolicy = { mode: "all", repoIndexes: [] };
const ANY: AcknowledgePolicy = { mode: "any", repoIndexes: [] };
const TIMEOUT_MS = 16_000;
/** A driver repeats a refused request for most of its io-timeout. */
const REFUSAL_MS = 8000;
const SLOW_MS = 10_000;
const BRIEF_MS = 4000;

let ctx: TestContext<HeldClock>;
let walDirectory: string;
let spool: string;
let missingWal: MissingWalStore;
let repos: Repository[];
let state: State;
let isStopping: boolean;
let queue: PushQueue | null;

beforeEach(async () => {
  const folder = temporaryFolder();
  ctx = testContext({ clock: new HeldClock() });
  walDirectory = makeWalDirectory(folder, [1]);
  spool = join(folder, "spool");
  missingWal = openMissingWal(spool, "demo");
  state = "up";
  isStopping = false;
  queue = null;
  repos = [repository(1), repository(2, { storage: changing(new MemoryStorage()) })];
  await stanzaCreate(repos, CONTROL, ctx);
});

afterEach(async () => {
  ctx.abort();
  await queue?.close(AbortSignal.abort());
});

/** A storage in the present state: all requests of one that is down fail, and uploads into a slow one take long. */
function changing(storage: Storage): Storage {
  const meet = async (name: string): Promise<void> => {
    if (state === "slow" && name === "putStream") await ctx.clock.sleep(SLOW_MS, ctx.signal);
    if (state === "silent") await new Promise(() => {});
    if (state !== "refuses") return;
    await ctx.clock.sleep(REFUSAL_MS, ctx.signal);
    throw fail("hostConnect", "connection refused", { retryable: true });
  };
  return new Proxy(storage, {
    get: (target, name: keyof Storage) => {
      const method: unknown = target[name];
      if (typeof method !== "function") return method;
      if (name === "list")
        return async function* (...args: Parameters<Storage["list"]>) {
          await meet(name);
          yield* target.list(...args);
        };
      return async (...args: unknown[]) => {
        await meet(name);
        return Reflect.apply(method, target, args);
      };
    },
  });
}

const common = { cluster: CLUSTER, headerCheck: true, graceMs: 1000, isStopping: () => isStopping };

/** How PostgreSQL's requests reach the repositories. */
const PATHS = {
  /** An agent or a sidecar. */
  "a process that stays": (policy: AcknowledgePolicy): Promise<PushAnswer> => {
    queue ??= new PushQueue(repos, missingWal, { ...common, walDirectory, processMax: 2 }, null, ctx);
    return queue.request(walName(1), policy, TIMEOUT_MS);
  },
  "a process for each request": (acknowledge: AcknowledgePolicy): Promise<PushAnswer> => {
    const options = { ...common, walDirectory, walName: walName(1), acknowledge, timeoutMs: TIMEOUT_MS };
    return archivePush(repos, missingWal, { ...options, failed: openFailedRepos(spool, "demo") }, ctx);
  },
  "a background process for each request": async (policy: AcknowledgePolicy): Promise<PushAnswer> => {
    const options = { ...common, walDirectory, processMax: 2, failed: openFailedRepos(spool, "demo") };
    const background = new PushQueue(repos, missingWal, options, null, ctx);
    const answer = await background.request(walName(1), policy, TIMEOUT_MS);
    await background.close(AbortSignal.abort());
    return answer;
  },
};
type Request = (typeof PATHS)[keyof typeof PATHS];

/** Work on files takes no time of the held clock: it runs before time does, and slowly. */
async function run<T>(work: Promise<T>): Promise<T> {
  let isOver = false;
  const done = work.finally(() => {
    isOver = true;
  });
  done.catch(() => {});
  await pause(100);
  for (; !isOver; await pause(3)) await ctx.clock.advance(100);
  return done;
}

async function timed(work: Promise<PushAnswer>): Promise<{ readonly answer: PushAnswer; readonly durationMs: number }> {
  const beganAtMs = ctx.clock.monotonicMs();
  const answer = await run(work);
  return { answer, durationMs: ctx.clock.monotonicMs() - beganAtMs };
}

/** PostgreSQL's archiver at a fast shutdown (postmaster/pgarch.c): two rounds of three tries, a second apart. */
async function stopServer(
  request: Request,
  policy: AcknowledgePolicy,
): Promise<{ readonly answers: readonly PushAnswer[]; readonly durationMs: number }> {
  isStopping = true;
  const beganAtMs = ctx.clock.monotonicMs();
  const answers: PushAnswer[] = [];
  for (const pauseMs of [0, 1000, 1000, 0, 1000, 1000]) {
    await ctx.clock.advance(pauseMs);
    answers.push(await run(request(policy)));
    if (answers.some(({ accepted }) => accepted)) break;
  }
  return { answers, durationMs: ctx.clock.monotonicMs() - beganAtMs };
}

describe.each(Object.entries(PATHS))("through %s", (_path, request) => {
  describe.each(["refuses", "silent"] as const)("with a repository that %s", (down) => {
    it.each([
      ["that nobody has asked before", 0],
      ["that failed a moment ago", 1],
    ])("%s, a stop of the server takes ten seconds at most, and acknowledges nothing", async (_when, requestCount) => {
      state = down;
      for (let count = 0; count < requestCount; count++) await run(request(ALL));
      const { answers, durationMs } = await stopServer(request, ALL);
      expect(answers.map(({ accepted, error }) => [accepted, error?.exitCode])).toEqual(
        Array.from({ length: 6 }, () => [false, 104]),
      );
      expect(durationMs).toBeLessThanOrEqual(10_000);
      // Or archive-push-queue-max would drop the file.
      if (requestCount === 0) expect(answers[0]?.isTried).toBe(false);
      expect(answers.at(-1)?.results[0]).toMatchObject({ ok: true });
      expect(missingWal.repoIndexes()).toEqual([]);
    });

    it("a stop with policy any takes one try, and records the missing file", async () => {
      state = down;
      const { answers, durationMs } = await stopServer(request, ANY);
      expect(answers).toMatchObject([{ accepted: true, reposBehind: [2] }]);
      expect(durationMs).toBeLessThanOrEqual(BRIEF_MS);
      expect(missingWal.list(2, CLUSTER)).toEqual([walName(1)]);
    });

    it("a running request notices that the server stops", async () => {
      state = down;
      const running = timed(request(ALL));
      await ctx.clock.advance(5000);
      isStopping = true;
      expect(
        await running.then(
          ({ durationMs }) => durationMs,
          () => null,
        ),
      ).toBeLessThanOrEqual(8000);
    });

    it("the next request is brief while the server runs", async () => {
      state = down;
      const before = await timed(request(ALL));
      expect(before.durationMs).toBeGreaterThanOrEqual(REFUSAL_MS);
      const { answer, durationMs } = await timed(request(ALL));
      expect(durationMs).toBeLessThanOrEqual(BRIEF_MS);
      expect(answer.error?.message).toContain("repo2");
    });
  });

  it("a repository that is back stores the file at the next request, and then gets its whole time", async () => {
    state = "refuses";
    await run(request(ALL));
    state = "up";
    await ctx.clock.advance(REFUSAL_MS);
    expect(await run(request(ALL))).toMatchObject({ accepted: true });
    state = "silent";
    await ctx.clock.advance(11_000);
    expect((await timed(request(ALL))).durationMs).toBeGreaterThanOrEqual(TIMEOUT_MS);
  });

  it.each([
    ["after it has failed", false],
    ["while the server stops", true],
  ])("a slow repository gets the time that it needs, %s", async (_when, stops) => {
    if (!stops) {
      state = "refuses";
      await run(request(ALL));
    }
    state = "slow";
    isStopping = stops;
    await ctx.clock.advance(1000);
    const { answer, durationMs } = await timed(request(ALL));
    expect(answer).toMatchObject({ accepted: true, error: null });
    expect(durationMs).toBeGreaterThanOrEqual(SLOW_MS);
  });
});

it("a failure counts for half a minute in later processes, which brief requests do not prolong", async () => {
  const request = PATHS["a process for each request"];
  state = "refuses";
  await run(request(ALL));
  for (let count = 0; count < 4; count++) {
    expect((await timed(request(ALL))).durationMs).toBeLessThanOrEqual(BRIEF_MS);
    await ctx.clock.advance(1000);
  }
  await ctx.clock.advance(18_000);
  expect((await timed(request(ALL))).durationMs).toBeGreaterThanOrEqual(REFUSAL_MS);
});

it("a queue that closes waits for a slow repository, and not for one that is down", async () => {
  const close = async (down: State): Promise<number> => {
    state = down;
    queue = new PushQueue(repos, missingWal, { ...common, walDirectory, processMax: 2 }, null, ctx);
    await queue.look();
    await ctx.clock.advance(500);
    const beganAtMs = ctx.clock.monotonicMs();
    await run(queue.close(new AbortController().signal));
    return ctx.clock.monotonicMs() - beganAtMs;
  };
  expect(await close("refuses")).toBeLessThanOrEqual(BRIEF_MS);
  expect(await close("silent")).toBeLessThanOrEqual(BRIEF_MS);
  expect(await close("slow")).toBeGreaterThanOrEqual(SLOW_MS - 2000);
});
