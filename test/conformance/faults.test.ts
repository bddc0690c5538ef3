/** The fault-injecting storage. A fault without effect would let other tests pass although they test nothing. */
import { beforeEach, describe, expect, test } from "vitest";
import { type ByteStream, collect, streamOf, textOf, utf8 } from "../../runtime/base/bytes";
import { fail } from "../../runtime/base/errors";
import { testContext } from "../harness/context";
import { FaultyStorage } from "../harness/network/faults";
import { MemoryStorage } from "../harness/doubles/storages";

const broken = fail("service", "planned", { retryable: true });
let memory: MemoryStorage;
let storage: FaultyStorage;
beforeEach(async () => {
  memory = new MemoryStorage();
  await memory.put("f", utf8("0123456789"));
  storage = new FaultyStorage(memory);
});
const read = async (): Promise<string> => textOf(await collect(await storage.read("f"), 100));
const source = (): ByteStream => streamOf(utf8("new "), utf8("content"));

describe("injected faults", () => {
  test("happen once each, in order, on their own paths", async () => {
    storage
      .plan("read", { kind: "error", error: broken }, { times: 2 })
      .plan("read", { kind: "truncate", sizeBytes: 4 });
    storage.plan("put", { kind: "error", error: broken }, { path: /^special$/ });
    await expect(read()).rejects.toBe(broken);
    await expect(read()).rejects.toBe(broken);
    expect(await read()).toBe("0123");
    expect(await read()).toBe("0123456789");
    await storage.put("other", utf8("x"));
    expect(() => storage.verifyAllFaultsExercised()).toThrow(
      "planned faults of 'memory' did not happen: put: error (met 0 times, 1 left)",
    );
    await expect(storage.put("special", utf8("x"))).rejects.toBe(broken);
    storage.verifyAllFaultsExercised();
    expect(storage.calls("read")).toEqual(["f", "f", "f", "f"]);
    expect(storage.calls("put")).toEqual(["other", "special"]);
    expect(memory.paths()).toEqual(["f", "other"]);
  });

  test("break streams at the given byte", async () => {
    storage.plan("read", { kind: "break", sizeBytes: 3, error: broken });
    const stream = await storage.read("f");
    const seen: string[] = [];
    await expect(
      (async () => {
        for await (const chunk of stream) seen.push(textOf(chunk));
      })(),
    ).rejects.toBe(broken);
    expect(seen.join("")).toBe("012");
    storage
      .plan("putStream", { kind: "break", sizeBytes: 5, error: broken })
      .plan("putStream", { kind: "truncate", sizeBytes: 5 });
    await expect(storage.putStream("g", source)).rejects.toBe(broken);
    expect(memory.paths()).toEqual(["f"]);
    await storage.putStream("g", source);
    expect(memory.text("g")).toBe("new c");
    storage.verifyAllFaultsExercised();
  });

  test("report a false success, or lose the answer of a completed call", async () => {
    storage
      .plan("put", { kind: "lie" })
      .plan("remove", { kind: "lie" })
      .plan("stat", { kind: "lie" })
      .plan("putStream", { kind: "lie" });
    await storage.put("g", utf8("x"));
    await storage.remove("f");
    let drained = false;
    await storage.putStream("g", async function* () {
      yield utf8("x");
      drained = true;
    });
    expect([drained, memory.paths(), await storage.stat("f")]).toEqual([true, ["f"], null]);
    storage.plan("put", { kind: "errorAfter", error: broken });
    await expect(storage.put("g", utf8("x"))).rejects.toBe(broken);
    expect(memory.paths()).toEqual(["f", "g"]);
    storage.verifyAllFaultsExercised();
  });

  test("hang until the signal, and delay by the clock", async () => {
    const context = testContext();
    storage = new FaultyStorage(memory, context.clock)
      .plan("stat", { kind: "hang", signal: context.signal })
      .plan("stat", { kind: "delay", durationMs: 7_000 });
    const hanging = storage.stat("f");
    context.abort();
    await expect(hanging).rejects.toMatchObject({ kind: "term" });
    expect((await storage.stat("f"))?.sizeBytes).toBe(10);
    expect(context.clock.sleeps).toEqual([7_000]);
  });

  test("fail every call until the repair", async () => {
    storage.breakDown(broken);
    await expect(read()).rejects.toBe(broken);
    await expect(storage.list("")[Symbol.asyncIterator]().next()).rejects.toBe(broken);
    storage.verifyAllFaultsExercised();
    storage.repair();
    expect(await read()).toBe("0123456789");
  });
});

test("a crash point lets the first writes happen and none after them", async () => {
  for (const writeCount of [0, 1, 2, 3]) {
    const after = memory.clone();
    const dying = new FaultyStorage(after).crashAfter(writeCount);
    const steps = [
      () => dying.put("a", utf8("a")),
      () => dying.remove("f"),
      () => dying.stat("a"),
      () => dying.putStream("b", source),
      () => dying.stat("b"),
    ];
    const results = [];
    for (const step of steps)
      results.push(
        await step().then(
          () => "done",
          (error: Error) => error.message,
        ),
      );
    expect(after.paths()).toEqual([["f"], ["a", "f"], ["a"], ["a", "b"]][writeCount]);
    expect(dying.crashed).toBe(writeCount < 3);
    expect(dying.writeCount).toBe(writeCount);
    if (writeCount === 1) {
      const dead = (what: string): string => `the process died before ${what}`;
      expect(results).toEqual([
        "done",
        dead("remove of 'f'"),
        dead("stat of 'a'"),
        dead("putStream of 'b'"),
        dead("stat of 'b'"),
      ]);
    }
  }
});
