import { describe, expect, test } from "vitest";
import { Figures } from "../../../tools/bench/figures";

function figuresOf(pairs: readonly (readonly [number, number])[]): Figures {
  const figures = new Figures();
  for (const [stock, ours] of pairs) {
    figures.add("wall", "stock", stock);
    figures.add("wall", "ours", ours);
  }
  return figures;
}

describe("the figures of pairs", () => {
  test("a ratio is the median of the pairs' ratios, whatever the machine did between the pairs", () => {
    const figures = figuresOf([
      [10, 5],
      [30, 18],
      [11, 6.05],
    ]);
    const { text, missed } = figures.table([{ title: "t", key: "wall", digits: 1, ratioMax: 0.55 }], "stock 1");
    expect(text.split("\n").at(-1)).toBe("| t | 11.0 | 6.0 | 0.55 | 0.50 – 0.60 | ≤ 0.55 |");
    expect(missed).toEqual([]);
  });

  test("a missed target is named, by ratio or by ours alone", () => {
    const figures = figuresOf([[100, 120]]);
    expect(figures.table([{ title: "t", key: "wall", digits: 0, ratioMax: 1 }], "s").missed).toEqual(["t 1.200 (≤ 1)"]);
    expect(figures.table([{ title: "t", key: "wall", digits: 0, oursMax: 119 }], "s").missed).toEqual([
      "t 120 (ours ≤ 119)",
    ]);
    expect(figures.table([{ title: "t", key: "wall", digits: 0, oursMax: 120 }], "s").missed).toEqual([]);
  });

  test("a program without a figure in a pair is an error", () => {
    const figures = figuresOf([[1, 1]]);
    figures.add("wall", "ours", 1);
    expect(() => figures.table([{ title: "t", key: "wall", digits: 0 }], "s")).toThrow("no pairs of 'wall'");
  });
});
