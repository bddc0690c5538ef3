import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { getHeapSpaceStatistics } from "node:v8";
import type { Worker } from "node:worker_threads";
import { build } from "esbuild";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../runtime/base/clock";
import { fail } from "../../../runtime/base/errors";
import { sha1Hex } from "../../../runtime/base/hash";
import { Secret } from "../../../runtime/base/secret";
import type { JobPool } from "../../../runtime/operations/shared/jobs";
import type { VerifyFileJob, VerifyFileResult } from "../../../runtime/operations/verify/verifyFile";
import { collectGarbage } from "../../../runtime/workers/heap";
import { type PoolOptions, workerPool } from "../../../runtime/workers/pool";
import { eventually } from "../../harness/context";
import { posixRepo } from "../../harness/repositories";
import { temporaryFolder } from "../repository/support";

const OUT = join(__dirname, "../../../node_modules/.cache/pgbackstop");
const THREAD = join(OUT, `thread-${process.pid}.cjs`);

/** The worker thread that main starts. The name of a file selects one of three failures. */
const SOURCE = `
  import { existsSync, writeFileSync } from "node:fs";
  import { setFlagsFromString } from "node:v8";
  import { parentPort, workerData } from "node:worker_threads";
  import { systemClock } from "./runtime/base/clock";
  import { silentLog } from "./runtime/base/log";
  import { systemRandom } from "./runtime/base/random";
  import { PosixStorage } from "./runtime/storage/posix";
  import { serveJobs } from "./runtime/workers/worker";
  const ctx = { clock: systemClock, random: systemRandom, log: silentLog, signal: new AbortController().signal };
  // As start.ts does before it loads a text.
  setFlagsFromString("--semi-space-growth-factor=2");
  class Strange extends PosixStorage {
    openReader = undefined;
    read(path, range) {
      if (path === "hang") writeFileSync(workerData.repos[0].path + "/hanging", "");
      if (path === "exit") process.exit(7);
      if (path === "crash") setImmediate(() => { throw new Error("thread crashed"); });
      if (path === "crash" || path === "hang") return new Promise(() => setInterval(() => {}, 1000));
      return super.read(path, range);
    }
  }
  serveJobs(parentPort, workerData, async ({ stanza, repos }) => repos.map((config) => {
    if (existsSync(config.path + "/locked")) throw new Error("the key cannot be read");
    if (config.cipherPass !== undefined && config.cipherPass.reveal() !== "planted") throw new Error("the passphrase did not arrive");
    return { key: config.key, name: "repo" + config.key, stanza, storage: new Strange({ root: config.path, syncDirectories: false, symlinks: false, signal: ctx.signal }) };
  }), ctx, "1.2.3");
`;

let root: string;
let controller: AbortController;

beforeAll(async () => {
  mkdirSync(OUT, { recursive: true });
  const resolveDir = join(__dirname, "../../..");
  await build({
    stdin: { contents: SOURCE, resolveDir, loader: "ts" },
    outfile: THREAD,
    bundle: true,
    platform: "node",
    format: "cjs",
    logLevel: "error",
  });
});

afterAll(() => rmSync(THREAD, { force: true }));

beforeEach(() => {
  root = temporaryFolder();
  for (let no = 0; no < 40; no++) writeFileSync(join(root, `file${no}`), `content ${no}`);
  controller = new AbortController();
});

function pool(
  slots: number,
  runHere?: PoolOptions["runHere"],
  version = "1.2.3",
  more: Pick<PoolOptions, "rest"> = {},
): JobPool {
  const repo = posixRepo(root, { cipherType: "aes-256-cbc", cipherPass: new Secret("planted") });
  const options = { slots, signal: controller.signal, ...more, ...(runHere === undefined ? {} : { runHere }) };
  return workerPool(THREAD, { stanza: "demo", repos: [repo], ioTimeoutMs: 1000, rates: {}, version }, options);
}

function job(path: string, content = ""): VerifyFileJob {
  return {
    kind: "verifyFile",
    repoIndex: 1,
    path,
    range: null,
    unpack: null,
    sizeBytes: content.length,
    sha1: sha1Hex(content),
  };
}

const newSpaceBytes = (): number =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_size ?? 0;

const run = (threads: JobPool, path: string, content?: string): Promise<VerifyFileResult> =>
  threads.run(job(path, content));

describe("the calling thread", () => {
  it("takes the first job, and its share of the others beside the threads", async () => {
    const here: string[] = [];
    const threads = pool(2, async (given) => {
      here.push(given.kind === "verifyFile" ? given.path : given.kind);
      return { status: "ok", here: true };
    });
    expect(threads.slots).toBe(2);
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, no) => run(threads, `file${no}`, `content ${no}`)),
    );
    expect(results.map(({ status }) => status)).toEqual(Array.from({ length: 40 }, () => "ok"));
    expect(here[0]).toBe("file0");
    expect(results.filter((result) => "here" in result)).toHaveLength(here.length);
    expect(results.some((result) => !("here" in result))).toBe(true);
    await threads.close();
  });

  it("needs no thread for consecutive jobs, and returns their errors", async () => {
    const threads = pool(2, async (given) => {
      if (given.kind === "verifyFile" && given.path === "file1") throw fail("fileMissing", "gone");
      return { status: "ok" };
    });
    for (const no of [0, 2, 3]) expect(await run(threads, `file${no}`)).toEqual({ status: "ok" });
    await expect(run(threads, "file1")).rejects.toMatchObject({ kind: "fileMissing" });
    await threads.close();
  });

  it("is not waited for when it is stopped", async () => {
    const threads = pool(1, () => new Promise(() => undefined));
    const waiting = Promise.allSettled(Array.from({ length: 6 }, (_, no) => run(threads, `file${no}`)));
    controller.abort(fail("term", "terminated on signal [SIGTERM]"));
    for (const result of await waiting) expect(result).toMatchObject({ status: "rejected", reason: { kind: "term" } });
    await threads.close();
  });
});

describe("worker threads", () => {
  it("run all jobs, also more than they have slots for, and end when they are closed", async () => {
    const threads = pool(2);
    expect(threads.slots).toBe(2);
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, no) => run(threads, `file${no}`, no === 7 ? "other" : `content ${no}`)),
    );
    expect(results.filter((result) => result.status === "ok")).toHaveLength(39);
    expect(results[7]?.status).toBe("checksum");
    await threads.close();
  });

  it("open the repositories again after a failure, and end after one", async () => {
    const threads = pool(1);
    const locked = join(root, "locked");
    writeFileSync(locked, "");
    await expect(run(threads, "file0", "content 0")).rejects.toThrow("the key cannot be read");
    rmSync(locked);
    expect(await run(threads, "file0", "content 0")).toMatchObject({ status: "ok" });
    await threads.close();
    writeFileSync(locked, "");
    const others = pool(1);
    await expect(run(others, "file0", "content 0")).rejects.toThrow("the key cannot be read");
    await others.close();
  });

  it("start when they are warmed, and end without work or do it", async () => {
    const idle = pool(2);
    idle.warm?.();
    await idle.close();
    const threads = pool(2);
    threads.warm?.();
    threads.warm?.();
    expect((await run(threads, "file1", "content 1")).status).toBe("ok");
    await threads.close();
  });

  // claim: docs/agent.md: threads that had no work for half a minute end
  it("end after a rest, and others start for the next job", async () => {
    const started: Worker[] = [];
    const note = (worker: Worker): void => void started.push(worker);
    process.on("worker", note);
    const rests: (() => void)[] = [];
    const sleep = (_: number, signal: AbortSignal): Promise<void> =>
      new Promise((resolve, reject) => {
        rests.push(resolve);
        signal.addEventListener("abort", () => reject(new Error("busy")));
      });
    const threads = pool(1, undefined, "1.2.3", { rest: { timeMs: 30_000, clock: { ...systemClock, sleep } } });
    for (const no of [1, 2]) expect((await run(threads, `file${no}`, `content ${no}`)).status).toBe("ok");
    await eventually("the second rest", () => rests.length === 2);
    // The second job came before the end of this rest.
    rests[0]?.();
    expect((await run(threads, "file3", "content 3")).status).toBe("ok");
    expect(started).toHaveLength(1);
    await eventually("the third rest", () => rests.length === 3);
    const ended = once(started[0] as Worker, "exit");
    rests[2]?.();
    await ended;
    expect((await run(threads, "file4", "content 4")).status).toBe("ok");
    expect(started).toHaveLength(2);
    await threads.close();
    process.off("worker", note);
  });

  it("answer with the job's own error", async () => {
    const threads = pool(1);
    const restore = {
      name: "x",
      destination: "/nowhere/x",
      sizeBytes: 1,
      sha1: "",
      mode: 0o600,
      modifiedAtS: 0,
      owner: null,
      delta: false,
      sources: [],
    };
    await expect(threads.run({ kind: "restoreFile", ...restore })).rejects.toMatchObject({
      kind: "fileOpen",
      path: "/nowhere/x",
      exitCode: 41,
    });
    await threads.close();
  });

  it.each([
    ["exit", /worker thread ended: exit 7/],
    ["crash", /worker thread ended: thread crashed/],
  ])("that die (%s) fail their jobs, and the others continue", async (path, message) => {
    const threads = pool(2);
    await expect(run(threads, path)).rejects.toMatchObject({ kind: "assert", message: expect.stringMatching(message) });
    for (let no = 0; no < 10; no++) expect((await run(threads, `file${no}`, `content ${no}`)).status).toBe("ok");
    await threads.close();
  });

  it("that have all died return an error instead of waiting", async () => {
    const threads = pool(1);
    const waiting = [run(threads, "exit"), ...Array.from({ length: 12 }, (_, no) => run(threads, `file${no}`))];
    const results = await Promise.allSettled(waiting);
    expect(results.filter((result) => result.status === "rejected").length).toBeGreaterThan(8);
    await expect(run(threads, "file0")).rejects.toMatchObject({ message: "all worker threads have died" });
    await threads.close();
  });

  it("of a server that have died are replaced for the next job", async () => {
    const threads = pool(1, undefined, "1.2.3", { rest: { timeMs: 30_000, clock: systemClock } });
    for (const path of ["exit", "crash"]) {
      await expect(run(threads, path)).rejects.toMatchObject({ kind: "assert" });
      expect((await run(threads, "file0", "content 0")).status).toBe("ok");
    }
    await threads.close();
  });

  // claim: docs/upgrading.md: a command refuses threads and processes of another version
  it("of another version refuse the work: an update replaced the file while the command ran", async () => {
    const threads = pool(1, undefined, "1.2.4");
    await expect(run(threads, "file0")).rejects.toThrow("the runtime was replaced by 1.2.3 while 1.2.4 ran");
    await threads.close();
  });

  it("that load the program while V8's flags are changed leave this thread's new space as small as it is", async () => {
    const threads = pool(1);
    const first = run(threads, "hang").catch(() => {});
    await eventually("the thread is at its first job", () => existsSync(join(root, "hanging")));
    // Its message is older than the file, but may not have been read yet.
    await setImmediate();
    collectGarbage();
    const before = newSpaceBytes();
    const kept = Array.from({ length: 1_000_000 }, (_, no) => ({ no }));
    // A collection uses its other half, and may add pages beyond it. With the thread's flag it grows to 32 MiB.
    expect(newSpaceBytes()).toBeLessThanOrEqual(8 * before);
    expect(kept).toHaveLength(1_000_000);
    controller.abort(fail("term", "done"));
    await first;
    await threads.close();
  });

  it("that hang are abandoned when they are stopped, and closed", async () => {
    const threads = pool(2);
    const waiting = Array.from({ length: 12 }, () => run(threads, "hang"));
    const settled = Promise.allSettled(waiting);
    controller.abort(fail("term", "terminated on signal [SIGTERM]"));
    for (const result of await settled)
      expect(result).toMatchObject({
        status: "rejected",
        reason: { kind: "term", message: "terminated on signal [SIGTERM]" },
      });
    await expect(run(threads, "file0")).rejects.toMatchObject({ kind: "term" });
    await threads.close();
  });

  it("leave no open file behind", async () => {
    const open = (): number => readdirSync("/proc/self/fd").length;
    const threads = pool(2);
    await Promise.all(Array.from({ length: 40 }, (_, no) => run(threads, `file${no}`)));
    await threads.close();
    const before = open();
    for (let round = 0; round < 3; round++) {
      const again = pool(2);
      await Promise.all(Array.from({ length: 40 }, (_, no) => run(again, `file${no}`)));
      await again.close();
    }
    await eventually("the threads' files are closed", () => open() <= before + 2);
  });
});
