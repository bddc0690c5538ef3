import { expect, it } from "vitest";
import { leastLsn } from "../../../../runtime/operations/stream/needed";
import { walName } from "../../repository/support";

const SIZE_BYTES = 1024 * 1024;

it("the first missing segment limits what counts as streamed; a missing history, whatever its place, leaves nothing", () => {
  expect(leastLsn(new Set(), SIZE_BYTES)).toBeNull();
  expect(leastLsn(new Set([walName(5), walName(3), walName(4)]), SIZE_BYTES)).toBe(3n * BigInt(SIZE_BYTES));
  for (const names of [
    ["00000002.history", walName(3)],
    [walName(3), "00000002.history"],
  ])
    expect(leastLsn(new Set(names), SIZE_BYTES)).toBeNull();
});
