import * as fc from "../../harness/properties";
import { expect, it } from "vitest";
import { type Extent, readExtents, runsOf } from "../../../runtime/repository/bundleReader";
import { FaultyStorage } from "../../harness/network/faults";
import { MemoryStorage } from "../../harness/doubles/storages";

it("returns the bytes of each extent, whatever is between them", async () => {
  const content = Buffer.from(Array.from({ length: 3000 }, (_, index) => index % 251));
  const storage = new MemoryStorage();
  await storage.put("bundle", content);
  const cuts = fc.uniqueArray(fc.integer({ min: 0, max: 3000 }), { minLength: 2, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(cuts, async (locations) => {
      const edges = locations.toSorted((left, right) => left - right);
      const extents = edges.slice(1).flatMap((end, index): Extent[] => {
        const offsetBytes = edges[index] ?? 0;
        return index % 3 === 2 ? [] : [{ offsetBytes, sizeBytes: end - offsetBytes }];
      });
      let count = 0;
      for await (const { extent, bytes } of readExtents(storage, "bundle", extents)) {
        expect(content.subarray(extent.offsetBytes, extent.offsetBytes + extent.sizeBytes).equals(bytes)).toBe(true);
        count++;
      }
      expect(count).toBe(extents.length);
    }),
  );
});

it("sends one request for neighbours, and another one after a long gap", async () => {
  const near = { offsetBytes: 100, sizeBytes: 50 };
  const next = { offsetBytes: 200, sizeBytes: 10 };
  const far = { offsetBytes: 1_000_000, sizeBytes: 1 };
  expect(runsOf([far, next, near])).toEqual([[near, next], [far]]);
  expect(runsOf([])).toEqual([]);
  const storage = new FaultyStorage(new MemoryStorage());
  await storage.put("bundle", new Uint8Array(1_000_001));
  for await (const _each of readExtents(storage, "bundle", [near, next, far]))
    expect(_each.bytes.length).toBe(_each.extent.sizeBytes);
  expect(storage.calls("read")).toHaveLength(2);
});

it("fails when the file ends early", async () => {
  const storage = new MemoryStorage();
  await storage.put("bundle", new Uint8Array(10));
  const read = async (): Promise<void> => {
    for await (const _each of readExtents(storage, "bundle", [{ offsetBytes: 5, sizeBytes: 9 }])) expect.unreachable();
  };
  await expect(read()).rejects.toMatchObject({ kind: "fileRead", message: "'bundle' ends 4 bytes early" });
});
