import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatLocalSeconds, findTimeMs, formatLocalTime, systemClock, withOffset } from "../../../runtime/base/clock";

describe("the system's clock", () => {
  const zone = process.env.TZ;
  beforeAll(() => {
    process.env.TZ = "Asia/Kolkata";
  });
  afterAll(() => {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  });

  it("prints local time as stock does", () => {
    const timeMs = Date.UTC(2026, 10, 20, 6, 4, 5, 7);
    expect(formatLocalTime(timeMs)).toBe("2026-11-20 11:34:05.007");
    expect(formatLocalSeconds(timeMs)).toBe("2026-11-20 11:34:05");
  });

  it("reads a time as stock does: local without a zone", () => {
    const at = (text: string): string | null => {
      const timeMs = findTimeMs(text);
      return timeMs === null ? null : new Date(timeMs).toISOString();
    };
    expect(at("2028-02-29 06:40:59Z")).toBe("2028-02-29T06:40:59.000Z");
    expect(at("2026-11-20 06:40:59")).toBe("2026-11-20T01:10:59.000Z");
    for (const text of ["2026-11-20 06:40:59+00", "2026-11-20T06:40:59Z", "2026-11-20 08:10:59+01:30"])
      expect(at(text)).toBe("2026-11-20T06:40:59.000Z");
    expect(at("2026-11-20 06:40:59.25 -0200")).toBe("2026-11-20T08:40:59.250Z");
    for (const text of [
      "",
      "now",
      "2026-11-20",
      "2026-11-20 06:40",
      "2026-13-20 06:40:59",
      "1763620859",
      "2026-11-31 06:40:59",
    ])
      expect(at(text)).toBeNull();
  });

  it("gives a time without a zone the offset that it reads it with", () => {
    expect(withOffset("2026-11-20 06:40:59")).toBe("2026-11-20 06:40:59+05:30");
    expect(withOffset("2026-11-20T06:40:59.25 ")).toBe("2026-11-20T06:40:59.25+05:30");
    for (const text of [
      "2026-11-20 06:40:59+00",
      "2026-11-20 06:40:59Z",
      "2026-11-20 06:40",
      "now",
      "2026-11-31 00:00:00",
    ])
      expect(withOffset(text)).toBe(text);
    for (const [area, text, offset] of [
      ["Europe/Berlin", "2026-11-21 08:00:00", "+01:00"],
      ["Europe/Berlin", "2026-07-21 08:00:00", "+02:00"],
      ["America/St_Johns", "2026-11-21 08:00:00", "-03:30"],
      // The hour that summer time skips, and the hour that comes twice.
      ["Europe/Berlin", "2026-03-29 02:30:00", "+01:00"],
      ["Europe/Berlin", "2026-10-25 02:30:00", "+02:00"],
    ] as const) {
      process.env.TZ = area;
      expect(withOffset(text)).toBe(`${text}${offset}`);
      expect(findTimeMs(withOffset(text))).toBe(findTimeMs(text));
    }
    process.env.TZ = "Asia/Kolkata";
  });

  it("sleeps, and wakes at once when aborted", async () => {
    const controller = new AbortController();
    const beganMs = systemClock.monotonicMs();
    await systemClock.sleep(20, controller.signal);
    expect(systemClock.monotonicMs() - beganMs).toBeGreaterThanOrEqual(15);
    const long = systemClock.sleep(60_000, controller.signal);
    controller.abort();
    await expect(long).rejects.toMatchObject({ kind: "term" });
    await expect(systemClock.sleep(60_000, controller.signal)).rejects.toMatchObject({ kind: "term" });
    expect(Math.abs(systemClock.nowMs() - Date.now())).toBeLessThan(1000);
  });
});
