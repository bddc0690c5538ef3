import { expect, test } from "vitest";
import { testContext } from "../../../harness/context";
import { readIntoMemory } from "../../../../runtime/operations/open/kernelMemory";
import { upperWorlds } from "./upperWorld";

const world = upperWorlds();
const MIB = 1024 * 1024;

test.each([
  { title: "reads every file that has bytes", availableBytes: 8 * MIB, stopsAfter: 9, read: ["base/1", "base/2"] },
  { title: "takes half of the free memory", availableBytes: 3 * MIB, stopsAfter: 9, read: ["base/1"] },
  { title: "ends with the server", availableBytes: 8 * MIB, stopsAfter: 1, read: [] },
])("$title", async ({ availableBytes, read, stopsAfter }) => {
  const { tree } = world({ "base/1": MIB, "base/2": MIB, "base/empty": 0 }).upper;
  const looks = { count: 0 };
  const calls: (readonly string[])[] = [];
  const parts = {
    at: "/mnt/past",
    root: tree.root,
    // It starts late.
    isRunning: () => ++looks.count > 1 && looks.count <= 1 + stopsAfter,
    availableBytes: () => availableBytes,
    program: async (args: readonly string[]) => calls.push(args),
  };
  await readIntoMemory(parts, testContext());
  expect(calls.flatMap((args) => args.slice(args.indexOf("--") + 1))).toEqual(read.map((name) => `/mnt/past/${name}`));
});
