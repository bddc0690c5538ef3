import { describe, expect, it } from "vitest";
import { parseTimeOrAge } from "../../../../runtime/operations/find/timeOrAge";
import { errorOf } from "../../format/vectors";

const BEFORE_US = 1_763_715_153_123_456n;

describe("a time of find", () => {
  it.each([
    ["90s", 90n],
    ["5m", 300n],
    ["2h", 7200n],
    ["2 h", 7200n],
    ["1d", 86_400n],
    ["3w", 1_814_400n],
  ])("%s is a time before now", (text, seconds) =>
    expect(parseTimeOrAge(text, BEFORE_US)).toBe(BEFORE_US - seconds * 1_000_000n),
  );

  it.each([
    ["2026-11-21 08:00:00+00", "2026-11-21T08:00:00Z"],
    ["2026-11-21 08:00:00.25 +01", "2026-11-21T07:00:00.25Z"],
    ["2026-11-21T08:00Z", "2026-11-21T08:00:00Z"],
    ["2026-11-21 08:00-0530", "2026-11-21T13:30:00Z"],
    ["2026-11-21 08:00", "2026-11-21T08:00:00"],
    ["2026-11-21", "2026-11-21T00:00:00"],
  ])("%s is that time, in the local zone without one", (text, iso) =>
    expect(parseTimeOrAge(text, BEFORE_US)).toBe(BigInt(Date.parse(iso)) * 1000n),
  );

  it.each([
    "",
    "yesterday",
    "2",
    "h",
    "2x",
    "-2h",
    "1.5h",
    "2026-13-01",
    "2026-11-21 25:00",
    "2026-11-21 08",
    "2026-11-21 08:00 Mars",
    "08:00",
  ])("'%s' is invalid", async (text) => void (await errorOf("format", () => parseTimeOrAge(text, BEFORE_US))));
});
