import { expect, it } from "vitest";
import { timelineOption } from "../../../../runtime/operations/restore/timelines";

const FOLLOWED = { timeline: 3, isNamed: true, ancestors: [], option: "3" };

it("a step gets the followed timeline only with a type that has a timeline, and the user's in any case", () => {
  const optionOf = (type: Parameters<typeof timelineOption>[0]["type"], targetTimeline?: string): string | undefined =>
    timelineOption({ type, targetTimeline }, FOLLOWED);
  for (const type of ["default", "lsn", "name", "standby", "time", "xid"] as const) expect(optionOf(type)).toBe("3");
  // The command line refuses the option with these.
  for (const type of ["immediate", "none", "preserve"] as const) expect(optionOf(type)).toBeUndefined();
  expect(optionOf("default", "2")).toBe("2");
  expect(timelineOption({ type: "default", targetTimeline: undefined }, undefined)).toBeUndefined();
});
