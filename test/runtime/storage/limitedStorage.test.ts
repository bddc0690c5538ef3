/** A storage under a limit: what counts, and what its callers see. */
import { expect, test } from "vitest";
import { collect, streamOf } from "../../../runtime/base/bytes";
import { limitedStorage } from "../../../runtime/storage/limitedStorage";
import { newRateState, RateLimit } from "../../../runtime/storage/rateLimit";
import type { Storage } from "../../../runtime/storage/storage";
import { testContext } from "../../harness/context";
import { MemoryStorage } from "../../harness/doubles/storages";

const KIB = 1024;
const BYTES = Buffer.alloc(100 * KIB, "content");

/** On a clock that sleeping moves. */
function open(bytesPerSecond = 10 * KIB): {
  storage: Storage;
  stored: MemoryStorage;
  spentMs: () => number;
  abort(): void;
} {
  const { abort, clock, signal } = testContext();
  const stored = new MemoryStorage();
  const limit = new RateLimit(() => bytesPerSecond, newRateState(), clock);
  const startMs = clock.monotonicMs();
  const storage = limitedStorage(stored, limit, signal);
  return { storage, stored, abort, spentMs: () => clock.monotonicMs() - startMs };
}

test.each<[string, (storage: Storage) => Promise<unknown>]>([
  ["putStream", (storage) => storage.putStream("f", () => streamOf(BYTES))],
  ["put", (storage) => storage.put("f", BYTES)],
  ["create", async (storage) => storage.create?.("f", BYTES)],
])("%s takes the time that its bytes take, and stores them", async (_name, write) => {
  const { spentMs, storage, stored } = open();
  await write(storage);
  // The first quarter of a second is free.
  expect(spentMs()).toBeGreaterThan(9700);
  expect(spentMs()).toBeLessThan(10_000);
  expect(Buffer.from(stored.files.get("f")?.bytes ?? [])).toEqual(BYTES);
});

test("reads and writes share the limit; names do not count", async () => {
  const { spentMs, storage } = open();
  await storage.put("f", BYTES);
  for (let no = 0; no < 50; no++) await storage.stat("f");
  expect(spentMs()).toBeLessThan(10_000);
  const range = { offsetBytes: 10 * KIB, sizeBytes: 50 * KIB };
  expect(Buffer.from(await collect(await storage.read("f", range), BYTES.length))).toEqual(
    BYTES.subarray(range.offsetBytes, range.offsetBytes + range.sizeBytes),
  );
  expect(spentMs()).toBeGreaterThan(14_700);
});

test("an abort ends a stream, and abilities stay as they are", async () => {
  const { abort, storage } = open();
  abort();
  await expect(storage.putStream("f", () => streamOf(BYTES))).rejects.toMatchObject({ kind: "term" });
  expect([storage.name, storage.features, storage.hardLink]).toEqual([
    "memory",
    new MemoryStorage().features,
    undefined,
  ]);
  expect([storage.openReader, storage.openWriter]).toEqual([undefined, undefined]);
  const tickets = new MemoryStorage({ createsExclusively: false });
  const { clock, signal } = testContext();
  expect(limitedStorage(tickets, new RateLimit(() => KIB, newRateState(), clock), signal).create).toBeUndefined();
});
