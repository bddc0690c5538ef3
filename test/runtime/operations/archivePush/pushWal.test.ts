import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { type PreparedWal, WalPreparer } from "../../../../runtime/operations/archivePush/prepareWal";
import { PushTarget } from "../../../../runtime/operations/archivePush/pushWal";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { Repository } from "../../../../runtime/repository/repository";
import { PosixStorage } from "../../../../runtime/storage/posix";
import { type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import {
  addWal,
  CLUSTER,
  CONTROL,
  makeWalDirectory,
  repository,
  temporaryFolder,
  walBytes,
  walName,
} from "../../repository/support";
import { pathOf, readable, store } from "../archive";

let ctx: TestContext;
let storage: FaultyStorage;
let repo: Repository;
let target: PushTarget;
let walDirectory: string;

beforeEach(async () => {
  ctx = testContext();
  storage = new FaultyStorage(new MemoryStorage(), ctx.clock);
  repo = repository(1, { storage });
  await stanzaCreate([repo], CONTROL, ctx);
  target = new PushTarget(repo, ctx);
  walDirectory = makeWalDirectory(temporaryFolder(), [16, 17, 18, 32]);
});

// Uses a new preparer, because the file may have changed.
const prepare = (no: number, name = walName(no)): Promise<PreparedWal> =>
  new WalPreparer({ walDirectory, headerCheck: true }, CLUSTER).prepare(name);

async function push(no: number): Promise<"pushed" | "present"> {
  return target.push(await prepare(no), await target.open(CLUSTER));
}

const listings = (): string[] => storage.calls("list").filter((path) => path.includes("/15-1/"));

describe("the archive that segments are pushed to", () => {
  it("is listed once before a series of segments, and once after each", async () => {
    for (const no of [16, 17, 18]) expect(await push(no)).toBe("pushed");
    expect(listings()).toHaveLength(4);
    expect(await push(32)).toBe("pushed");
    expect(listings()).toHaveLength(6);
    expect(storage.calls("read").filter((path) => path.includes("/15-1/"))).toEqual([]);
    expect(await readable(repo)).toEqual([16, 17, 18, 32].map((no) => walName(no)));
  });

  it("knows the segments that it stored since the listing", async () => {
    await push(16);
    expect(await push(16)).toBe("present");
    addWal(walDirectory, walName(16), walBytes(50));
    await expect(push(16)).rejects.toMatchObject({ kind: "archiveDuplicate" });
    expect(listings()).toHaveLength(2);
  });

  it("is listed once after pushes that end together", async () => {
    await push(16);
    const prepared = await Promise.all([17, 18].map((no) => prepare(no)));
    const archive = await target.open(CLUSTER);
    const before = listings().length;
    await Promise.all(prepared.map((wal) => target.push(wal, archive)));
    // The second one shares a listing that began after both.
    expect(listings().length - before).toBeLessThanOrEqual(2);
    expect(await readable(repo)).toEqual([16, 17, 18].map((no) => walName(no)));
  });

  it("is listed again after a short time, and sees others' segments", async () => {
    await push(16);
    await store(repo, 17);
    ctx.clock.advance(500);
    expect(await push(17)).toBe("present");
    await store(repo, [walName(18), walBytes(50)]);
    ctx.clock.advance(500);
    await expect(push(18)).rejects.toMatchObject({ kind: "archiveDuplicate" });
  });

  it("lacks a segment if its mount went away meanwhile", async () => {
    const mounted = new FaultyStorage(
      new PosixStorage({
        root: join(temporaryFolder(), "mount"),
        syncDirectories: true,
        symlinks: true,
        signal: ctx.signal,
      }),
    );
    repo = repository(2, { storage: mounted });
    await stanzaCreate([repo], CONTROL, ctx);
    target = new PushTarget(repo, ctx);
    mounted.plan("stat", { kind: "lie" }, { times: 2 });
    await expect(push(16)).rejects.toMatchObject({ kind: "pathMissing", retryable: true });
    mounted.verifyAllFaultsExercised();
    expect(await push(17)).toBe("pushed");
  });

  describe("in directories", () => {
    const segment = `archive/demo/15-1/${walName(16).slice(0, 16)}/`;
    let mounted: FaultyStorage;
    beforeEach(async () => {
      mounted = new FaultyStorage(
        new PosixStorage({
          root: join(temporaryFolder(), "mount"),
          syncDirectories: true,
          symlinks: true,
          signal: ctx.signal,
        }),
      );
      repo = repository(2, { storage: mounted });
      await stanzaCreate([repo], CONTROL, ctx);
      target = new PushTarget(repo, ctx);
    });

    // claim: docs/agent.md: an existing segment is made durable before it is acknowledged
    it("makes existing files durable: their writer may have been killed first", async () => {
      await store(repo, 16);
      expect(await push(16)).toBe("present");
      const [file, ...directories] = mounted.calls("syncPath");
      expect(file?.startsWith(`${segment}${walName(16)}-`)).toBe(true);
      expect(directories).toEqual([segment.slice(0, -1), "archive/demo/15-1", "archive/demo"]);
    });

    // claim: docs/agent.md: an existing segment is…
    it("lacks a file that cannot be made durable", async () => {
      await store(repo, 16);
      const broken = fail("pathSync", "unable to sync path", { retryable: true });
      mounted.plan("syncPath", { kind: "error", error: broken }, { path: /archive\/demo\/15-1\/[0-9A-F]{16}$/ });
      await expect(push(16)).rejects.toMatchObject({ kind: "pathSync" });
      mounted.verifyAllFaultsExercised();
      expect(await push(16)).toBe("present");
    });

    it("skips that for files that it has just stored", async () => {
      expect(await push(16)).toBe("pushed");
      expect(await push(16)).toBe("present");
      expect(mounted.calls("syncPath")).toEqual([]);
    });
  });

  it("is listed again after a failed listing, and after a reset", async () => {
    storage.plan("list", { kind: "error", error: fail("hostConnect", "unreachable", { retryable: true }) });
    await expect(push(16)).rejects.toMatchObject({ kind: "hostConnect" });
    expect(await push(16)).toBe("pushed");
    target.forget();
    expect(await push(16)).toBe("present");
    expect(listings()).toHaveLength(4);
  });
});

// claim: docs/internals/concurrency.md: an emptied, cut or garbled segment does not count as stored
describe("a stored segment whose name alone is right", () => {
  const TYPES = [
    { type: "none", level: 0 },
    { type: "zst", level: 3 },
  ] as const;
  const PASSES = [undefined, "secret"] as const;
  const DAMAGE: readonly (readonly [string, (bytes: Uint8Array) => Uint8Array])[] = [
    ["is empty", () => new Uint8Array(0)],
    ["has its beginning only", (bytes) => bytes.subarray(0, 60)],
    ["lacks its end", (bytes) => bytes.subarray(0, -1)],
    ["has other bytes of the same length", (bytes) => bytes.map((byte) => byte ^ 1)],
    ["has one other byte in the middle", (bytes) => bytes.map((byte, at) => (at === bytes.length >> 1 ? ~byte : byte))],
    ["has more after its end", (bytes) => Buffer.concat([bytes, bytes])],
  ];
  const kinds = TYPES.flatMap((compress) => PASSES.map((pass) => ({ compress, pass })));

  it.each(DAMAGE)("does not count and is replaced if it %s", async (_what, damage) => {
    for (const { compress, pass } of kinds) {
      const memory = new MemoryStorage();
      repo = repository(1, { storage: memory, compress, ...(pass === undefined ? {} : { pass }) });
      await stanzaCreate([repo], CONTROL, ctx);
      await store(repo, 16);
      const path = await pathOf(repo, 16);
      const bytes = damage(memory.files.get(path)?.bytes ?? new Uint8Array(0));
      memory.files.set(path, { bytes, modifiedAtMs: 1 });
      target = new PushTarget(repo, ctx);
      expect(await push(16)).toBe("pushed");
      expect(await readable(repo)).toEqual([walName(16)]);
      // Also after this process has stored it.
      memory.files.set(path, { bytes, modifiedAtMs: 1 });
      ctx.clock.advance(500);
      expect(await target.holds(await prepare(16), await target.open(CLUSTER))).toBe(false);
      expect(await push(16)).toBe("pushed");
      expect(memory.paths().filter((each) => each.includes(walName(16)))).toEqual([path]);
    }
  });

  it("is replaced in the repository's present form", async () => {
    await store(repo, 16);
    const path = await pathOf(repo, 16);
    await storage.put(path, new Uint8Array(100));
    repo = repository(1, { storage, compress: { type: "gz", level: 6 } });
    target = new PushTarget(repo, ctx);
    expect(await push(16)).toBe("pushed");
    expect(await pathOf(repo, 16)).toBe(`${path}.gz`);
    expect(await storage.stat(path)).toBeNull();
    expect(await readable(repo)).toEqual([walName(16)]);
  });

  it("never counts if it is a directory", async () => {
    const root = join(temporaryFolder(), "mount");
    const posix = new PosixStorage({ root, syncDirectories: true, symlinks: true, signal: ctx.signal });
    repo = repository(1, { storage: posix });
    await stanzaCreate([repo], CONTROL, ctx);
    await store(repo, 16);
    const path = await pathOf(repo, 16);
    await posix.remove(path);
    await posix.makePath(path);
    target = new PushTarget(repo, ctx);
    await expect(push(16)).rejects.toMatchObject({ message: expect.stringContaining(path) });
    expect(await push(17)).toBe("pushed");
  });

  it("does not count if the storage kept less than it was sent, or nothing", async () => {
    storage.plan("putStream", { kind: "truncate", sizeBytes: 1000 });
    await expect(push(16)).rejects.toMatchObject({ kind: "fileMissing", retryable: true, repoIndex: 1 });
    storage.plan("putStream", { kind: "lie" });
    await expect(push(17)).rejects.toMatchObject({ kind: "fileMissing", retryable: true, repoIndex: 1 });
    expect([await push(16), await push(17)]).toEqual(["pushed", "pushed"]);
    storage.verifyAllFaultsExercised();
  });

  it("is read once for each process, and not at all if this host stored it", async () => {
    const reads = (): number => storage.calls("read").filter((path) => path.includes(walName(16))).length;
    const seen = new Map<string, string>();
    target = new PushTarget(repo, ctx, seen);
    await push(16);
    target = new PushTarget(repo, ctx, new Map(seen));
    expect([await push(16), reads()]).toEqual(["present", 0]);
    target = new PushTarget(repo, ctx);
    for (let count = 0; count < 3; count++) {
      expect([await push(16), reads()]).toEqual(["present", 1]);
      ctx.clock.advance(500);
    }
  });
});

describe("two hosts that push different segments under one name", () => {
  /** A host whose calls wait for their turn. */
  class Turns extends MemoryStorage {
    readonly #turns: (() => void)[] = [];

    constructor(files: MemoryStorage) {
      super({});
      Object.defineProperty(this, "files", { value: files.files });
    }

    get isWaiting(): boolean {
      return this.#turns.length > 0;
    }

    go(): void {
      this.#turns.shift()?.();
    }

    override async *list(...asked: Parameters<MemoryStorage["list"]>): ReturnType<MemoryStorage["list"]> {
      if (asked[0].includes("15-1")) await this.#turn();
      yield* super.list(...asked);
    }

    override async putStream(...asked: Parameters<MemoryStorage["putStream"]>): Promise<void> {
      await this.#turn();
      await super.putStream(...asked);
    }

    #turn(): Promise<void> {
      return new Promise((resolve) => void this.#turns.push(resolve));
    }
  }

  /** All orders of `left` and `right` calls. */
  function orders(left: number, right: number): number[][] {
    if (left === 0 && right === 0) return [[]];
    return [
      ...(left > 0 ? orders(left - 1, right).map((rest) => [0, ...rest]) : []),
      ...(right > 0 ? orders(left, right - 1).map((rest) => [1, ...rest]) : []),
    ];
  }

  // claim: docs/internals/concurrency.md: two hosts that push different segments under one name are never both
  //   acknowledged
  it("are never both acknowledged, in any order of their requests", async () => {
    const wals = [await prepare(16)];
    addWal(walDirectory, walName(16), walBytes(99));
    wals.push(await prepare(16));
    let winners = 0;
    // A listing, the transfer, and a listing.
    for (const order of orders(3, 3)) {
      const shared = new MemoryStorage();
      await stanzaCreate([repository(1, { storage: shared })], CONTROL, ctx);
      const hosts = [new Turns(shared), new Turns(shared)];
      const results = hosts.map(async (host, index) => {
        const own = new PushTarget(repository(1, { storage: host }), ctx);
        const result = await own
          .push(wals[index] as PreparedWal, await own.open(CLUSTER))
          .catch((error: unknown) => (error as { kind: string }).kind);
        return result;
      });
      for (const who of order) {
        // A refused host makes no further call.
        for (let tick = 0; tick < 50 && hosts[who]?.isWaiting !== true; tick++) await Promise.resolve();
        hosts[who]?.go();
        for (let tick = 0; tick < 50; tick++) await Promise.resolve();
      }
      const answers = await Promise.all(results);
      expect(answers.filter((answer) => answer === "pushed").length, order.join("")).toBeLessThanOrEqual(1);
      expect(answers.every((answer) => ["pushed", "archiveDuplicate"].includes(answer))).toBe(true);
      // Who finished before the other one began to write is the winner.
      const wrote = [order.indexOf(0, order.indexOf(0) + 1), order.indexOf(1, order.indexOf(1) + 1)];
      const first = order.lastIndexOf(0) < (wrote[1] ?? 0) ? 0 : order.lastIndexOf(1) < (wrote[0] ?? 0) ? 1 : null;
      if (first !== null) expect(answers[first], order.join("")).toBe("pushed");
      if (answers.includes("pushed")) winners++;
    }
    expect(winners).toBeGreaterThan(2);
  });
});

describe("a stored history", () => {
  const NAME = "00000002.history";
  const write = (text: string): void => writeFileSync(join(walDirectory, NAME), text);
  const pushNamed = async (of = target): Promise<string> => of.push(await prepare(0, NAME), await of.open(CLUSTER));

  it.each([undefined, "secret"])("with other content is a conflict (45), passphrase %s", async (pass) => {
    repo = repository(1, { storage: new MemoryStorage(), ...(pass === undefined ? {} : { pass }) });
    await stanzaCreate([repo], CONTROL, ctx);
    target = new PushTarget(repo, ctx);
    write("1\t0/3000000\tfirst\n");
    expect([await pushNamed(), await pushNamed()]).toEqual(["pushed", "present"]);
    write("1\t0/4000000\tsecond\n");
    await expect(pushNamed()).rejects.toMatchObject({ kind: "archiveDuplicate", exitCode: 45, repoIndex: 1 });
    write("1\t0/3000000\tfirst\n");
    expect(await pushNamed()).toBe("present");
  });

  it("that is damaged is replaced", async () => {
    write("1\t0/3000000\tfirst\n");
    for (const text of ["", "1\t", "\0\0\0"]) {
      await storage.put(`archive/demo/15-1/${NAME}`, Buffer.from(text));
      expect(await pushNamed()).toBe("pushed");
      expect(await pushNamed()).toBe("present");
    }
  });

  it("belongs to one of two servers that were promoted at the same time", async () => {
    for (const createsExclusively of [true, false]) {
      const shared = new MemoryStorage({ createsExclusively });
      repo = repository(1, { storage: shared });
      await stanzaCreate([repo], CONTROL, ctx);
      write("1\t0/3000000\tfirst\n");
      const one = await prepare(0, NAME);
      write("1\t0/4000000\tsecond\n");
      const other = await prepare(0, NAME);
      const results = await Promise.allSettled(
        [one, other].map(async (wal) => {
          const own = new PushTarget(repo, ctx);
          return own.push(wal, await own.open(CLUSTER));
        }),
      );
      expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    }
  });
});
