/** A directory that stops answering costs only itself. The conformance suite covers the rules of all drivers. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ByteStream, collect, streamOf, textOf, utf8 } from "../../../../runtime/base/bytes";
import { type Clock, systemClock } from "../../../../runtime/base/clock";
import { fail } from "../../../../runtime/base/errors";
import { PosixStorage } from "../../../../runtime/storage/posix";
import { ProcessStorage, type ProcessStorageDeps } from "../../../../runtime/storage/process/processStorage";
import type { Storage } from "../../../../runtime/storage/storage";
import { hangingAt, StorageProcesses } from "../../../harness/doubles/storageProcesses";

const MIB = 1024 * 1024;
const SHORT_TIMEOUT_MS = 100;
/** For calls that must succeed, even on a busy machine. */
const LONG_TIMEOUT_MS = 60_000;
const MOUNT = { id: "30 0:40", path: "/mnt/nas", type: "nfs4" };
let root: string;
let controller: AbortController;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "process-"));
  controller = new AbortController();
});
afterEach(() => {
  controller.abort();
  rmSync(root, { recursive: true, force: true });
});

const posix = (signal: AbortSignal): Storage =>
  new PosixStorage({ root, syncDirectories: true, symlinks: true, hardLinks: true, signal });
const open = (processes: StorageProcesses, deps: Partial<ProcessStorageDeps> = {}): ProcessStorage =>
  new ProcessStorage({ root, syncDirectories: true, symlinks: true, hardLinks: true }, MOUNT, {
    clock: systemClock,
    signal: controller.signal,
    ioTimeoutMs: LONG_TIMEOUT_MS,
    ...processes,
    ...deps,
  });
const failure = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "it succeeded",
    (error: unknown) => error,
  );
const entries = async (storage: Storage, path: string): Promise<string[]> => {
  const paths: string[] = [];
  for await (const entry of storage.list(path, { recursive: true })) paths.push(entry.path);
  return paths.sort();
};

const CALLS: Readonly<Record<string, (storage: ProcessStorage) => Promise<unknown>>> = {
  stat: (storage) => storage.stat("f"),
  list: (storage) => entries(storage, ""),
  read: (storage) => storage.read("f"),
  put: (storage) => storage.put("f", utf8("x")),
  create: (storage) => storage.create("f", utf8("x")),
  putStream: (storage) => storage.putStream("f", () => streamOf(utf8("x"))),
  remove: (storage) => storage.remove("f"),
  removePath: (storage) => storage.removePath("d"),
  removeDirectory: (storage) => storage.removeDirectory("d"),
  makePath: (storage) => storage.makePath("d"),
  syncPath: (storage) => storage.syncPath(""),
  link: (storage) => storage.link("l", "f"),
  hardLink: (storage) => storage.hardLink?.("l", "f") ?? Promise.resolve(),
  probe: (storage) => storage.probe(),
};

describe("a call that hangs", () => {
  test.for(Object.entries(CALLS))("%s ends after io-timeout, and its process is killed", async ([name, call]) => {
    const processes = new StorageProcesses((_, signal) => hangingAt(posix(signal), [name as keyof Storage]));
    mkdirSync(join(root, "d"));
    const storage = open(processes, { ioTimeoutMs: SHORT_TIMEOUT_MS });
    expect(await failure(call(storage))).toMatchObject({ kind: "hostConnect", retryable: true, path: root });
    expect(processes.killedCount).toBe(1);
  });

  test("ends the process's other calls; all fail at once for as long again, then a new process is tried", async () => {
    const processes: StorageProcesses = new StorageProcesses((_, signal) =>
      processes.startedCount === 1 ? hangingAt(posix(signal), ["syncPath"]) : posix(signal),
    );
    const timeoutMs = 500;
    const storage = open(processes, { ioTimeoutMs: timeoutMs });
    const other = failure(
      storage.putStream("f", async function* () {
        await systemClock.sleep(10_000, controller.signal);
        yield utf8("x");
      }),
    );
    const error = await failure(storage.syncPath(""));
    expect(error).toMatchObject({
      message: `'${root}' does not answer: no answer to syncPath '' for ${timeoutMs}ms`,
      hints: ["Check what serves the nfs4 mount '/mnt/nas'. If it is only slow, raise io-timeout."],
    });
    expect(await failure(storage.stat("f"))).toMatchObject({ kind: "hostConnect" });
    // Failing at once means that no other process was asked.
    expect(processes.startedCount).toBe(1);
    await systemClock.sleep(timeoutMs + 20, controller.signal);
    await storage.put("g", utf8("x"));
    expect([processes.startedCount, processes.killedCount]).toEqual([2, 1]);
    controller.abort();
    await other;
  });

  test("is not waited for when the command ends", async () => {
    const processes = new StorageProcesses((_, signal) => hangingAt(posix(signal), ["stat"]));
    const storage = open(processes);
    const hanging = failure(storage.stat("f"));
    controller.abort();
    expect(await hanging).toMatchObject({ kind: "term" });
    await storage.close();
    expect(await failure(storage.stat("f"))).toMatchObject({ kind: "term" });
  });
});

test("three killed processes that cannot end are enough", async () => {
  const processes = new StorageProcesses((_, signal) => posix(signal));
  const names: string[] = [];
  const storage = open(processes, { findStuck: (name) => (names.push(name), [7, 8, 9]) });
  expect(await failure(storage.stat("f"))).toMatchObject({
    kind: "hostConnect",
    message: `'${root}' does not answer: killed processes still wait for it: 7, 8, 9`,
  });
  expect(names).toEqual([expect.stringMatching(/^pgbs-[0-9a-f]{10}$/)]);
  expect(processes.startedCount).toBe(0);
  expect(await open(processes, { findStuck: () => [7, 8] }).stat("f")).toBeNull();
});

test("slow work is not taken for a hang while it advances", async () => {
  for (let index = 0; index < 8; index++) writeFileSync(join(root, `f${index}`), "");
  const slow = (signal: AbortSignal): Storage => {
    const storage = posix(signal);
    return {
      ...hangingAt(storage, []),
      stat: (path) => storage.stat(path),
      removePath: (path) => storage.removePath(path),
      remove: (path) => storage.remove(path),
      async *list(path, options) {
        for await (const entry of storage.list(path, options)) {
          await systemClock.sleep(100, signal);
          yield entry;
        }
      },
    };
  };
  const storage = open(new StorageProcesses((_, signal) => slow(signal)), { ioTimeoutMs: 600 });
  expect(await entries(storage, "")).toHaveLength(8);
  await storage.removePath("d");
  await storage.close();
});

test("a file that arrives byte by byte, or a listing of some names a minute, is an error", async () => {
  const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() * 600 };
  const slow = (signal: AbortSignal): Storage => ({
    ...hangingAt(posix(signal), []),
    async *list() {
      for (let index = 0; index < 40; index++) {
        await systemClock.sleep(20, signal);
        yield { path: `f${index}`, type: "file", sizeBytes: 0, modifiedAtMs: 0 };
        // A batch ends.
        await systemClock.sleep(500, signal);
      }
    },
    read: async () =>
      (async function* () {
        for (let index = 0; index < 40; index++) {
          await systemClock.sleep(20, signal);
          yield Buffer.of(1);
        }
      })(),
  });
  const storage = open(new StorageProcesses((_, signal) => slow(signal)), { clock, ioTimeoutMs: 400_000 });
  const read = storage.read("f").then((stream) => collect(stream, 100));
  for (const asked of [read, entries(storage, "")])
    expect(await failure(asked)).toMatchObject({
      kind: "hostConnect",
      retryable: true,
      message: expect.stringMatching(/the least is 1 KiB a second$/) as string,
    });
  await storage.close();
});

test("a process that stood still itself accuses nobody", async () => {
  const processes = new StorageProcesses((_, signal) => posix(signal));
  let asleepMs = 0;
  const clock: Clock = {
    nowMs: () => systemClock.nowMs(),
    monotonicMs: () => systemClock.monotonicMs() + asleepMs,
    // The machine sleeps an hour while the timer runs, and the answer is read afterwards.
    sleep: async (durationMs, signal) => {
      if (asleepMs === 0) asleepMs = 3_600_000;
      else await systemClock.sleep(durationMs, signal);
    },
  };
  expect(await open(processes, { clock }).stat("f")).toBeNull();
  expect(processes.killedCount).toBe(0);
});

test("a process that ends fails its calls, and the next call starts another", async () => {
  const processes: StorageProcesses = new StorageProcesses((_, signal) =>
    hangingAt(posix(signal), processes.startedCount === 1 ? ["stat"] : []),
  );
  const storage = open(processes);
  const hanging = failure(storage.stat("f"));
  await systemClock.sleep(50, controller.signal);
  processes.last?.end();
  expect(await hanging).toMatchObject({ kind: "execute", retryable: true });
  expect(await storage.stat("f")).toBeNull();
  expect(processes.startedCount).toBe(2);
});

test("a runtime that was replaced is named", async () => {
  const storage = open(new StorageProcesses((_, signal) => posix(signal), "2"));
  expect(await failure(storage.stat("f"))).toMatchObject({
    kind: "runtime",
    message: "the runtime was replaced by 2 while 1 ran",
  });
});

test("errors of the directory arrive as they are", async () => {
  const storage = open(new StorageProcesses((_, signal) => posix(signal)));
  expect(await failure(storage.read("missing"))).toMatchObject({
    kind: "fileMissing",
    message: `unable to open missing file '${root}/missing' for read`,
  });
});

test("a large file travels in pieces, both ways", async () => {
  const storage = open(new StorageProcesses((_, signal) => posix(signal)));
  const bytes = Buffer.alloc(3 * MIB + 5, "abc");
  await storage.put("f", bytes);
  // The source uses one buffer again.
  const buffer = Buffer.alloc(MIB);
  await storage.putStream("g", async function* (): ByteStream {
    for (let index = 0; index < 4; index++) yield buffer.fill(index);
  });
  expect(Buffer.compare(Buffer.from(await collect(await storage.read("f"), 4 * MIB)), bytes)).toBe(0);
  const stored = await collect(await storage.read("g"), 4 * MIB);
  expect([0, 1, 2, 3].map((index) => stored[index * MIB])).toEqual([0, 1, 2, 3]);
  const tail = await storage.read("f", { offsetBytes: 3 * MIB + 2, sizeBytes: 2 });
  expect(textOf(await collect(tail, 10))).toBe(bytes.toString("latin1", 3 * MIB + 2, 3 * MIB + 4));
});

test("a source that fails leaves no file", async () => {
  const storage = open(new StorageProcesses((_, signal) => posix(signal)));
  const broken = fail("fileRead", "planned");
  const source = async function* (): ByteStream {
    yield utf8("x");
    throw broken;
  };
  expect(await failure(storage.putStream("f", source))).toBe(broken);
  expect(await failure(storage.putStream("g", source, { atomic: false }))).toBe(broken);
  expect(readdirSync(root)).toEqual([]);
});

test("a reader that stops early, and a command that ends, free the files", async () => {
  const storage = open(new StorageProcesses((_, signal) => posix(signal)));
  await storage.put("f", Buffer.alloc(3 * MIB));
  for await (const chunk of await storage.read("f")) if (chunk.length > 0) break;
  const stopped = failure(
    storage.putStream("g", async function* () {
      yield utf8("x");
      controller.abort();
      yield utf8("y");
    }),
  );
  expect(await stopped).toMatchObject({ kind: "term" });
  await expect.poll(() => readdirSync(root)).toEqual(["f"]);
  expect(existsSync(join(root, "f"))).toBe(true);
});

test("a removed path that is a link loses only the link", async () => {
  const elsewhere = mkdtempSync(join(tmpdir(), "process-"));
  writeFileSync(join(elsewhere, "f"), "not the repository's");
  symlinkSync(elsewhere, join(root, "d"));
  const storage = open(new StorageProcesses((_, signal) => posix(signal)));
  await storage.removePath("d");
  expect([readdirSync(root), readFileSync(join(elsewhere, "f"), "utf8")]).toEqual([[], "not the repository's"]);
  rmSync(elsewhere, { recursive: true });
  await storage.close();
});

test("a file that cannot be removed fails the call and not the process, while the listing goes on", async () => {
  mkdirSync(join(root, "d"));
  for (const name of ["a", "b", "c"]) writeFileSync(join(root, "d", name), "");
  const slowly = (signal: AbortSignal): Storage => {
    const storage = posix(signal);
    return new Proxy(storage, {
      get: (_, name: keyof Storage) => {
        if (name === "remove") return async () => Promise.reject(fail("fileRemove", "not permitted"));
        if (name === "list")
          return async function* (...args: Parameters<Storage["list"]>) {
            for await (const entry of storage.list(...args)) {
              yield entry;
              await new Promise((resolve) => setTimeout(resolve, 10));
            }
          };
        const member = storage[name];
        return typeof member === "function" ? member.bind(storage) : member;
      },
    });
  };
  const storage = open(new StorageProcesses((_, signal) => slowly(signal)));
  expect(await failure(storage.removePath("d"))).toMatchObject({ kind: "fileRemove", message: "not permitted" });
  await storage.close();
});
