import { describe, expect, it } from "vitest";
import { parseHistory } from "../../../../runtime/format/wal/timeline";
import { errorOf } from "../vectors";

describe("timeline history", () => {
  it("lists the ancestors with their switch points", () => {
    const text =
      "# a comment\n1\t0/3000110\tno recovery target specified\n\n  2\t1/B374D848\tbefore 2026-11-20 07:00:00+00\n";
    expect(parseHistory(text)).toEqual([
      { timeline: 1, lsn: 0x3000110n, reason: "no recovery target specified" },
      { timeline: 2, lsn: 0x1b374d848n, reason: "before 2026-11-20 07:00:00+00" },
    ]);
    expect(parseHistory("")).toEqual([]);
  });

  it("refuses invalid lines", async () => {
    expect((await errorOf("format", () => parseHistory("1\t0/1\tx\nnonsense\n"))).message).toBe(
      "timeline history line 2: expected timeline, position and reason",
    );
    expect((await errorOf("format", () => parseHistory("2\t0/1\tx\n1\t0/2\ty\n"))).message).toBe(
      "timeline history line 2: timeline 1 after 2",
    );
  });
});
