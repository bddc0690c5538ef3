import { describe, expect, test } from "vitest";
import { createProgress, formatBytes, formatTable } from "../../../tools/parts/progress";

function capture(isTTY: boolean): {
  output: { isTTY: boolean; columns: number; write(text: string): boolean };
  text: () => string;
} {
  let text = "";
  const write = (more: string): boolean => {
    text += more;
    return true;
  };
  return { output: { isTTY, columns: 40, write }, text: () => text };
}

describe("progress", () => {
  test("a step is one line with its seconds and note", async () => {
    const { output, text } = capture(false);
    const result = await createProgress(output).step("make", async (note) => {
      note("3 files");
      return 7;
    });
    expect(result).toBe(7);
    expect(text()).toMatch(/^ {2}✓ make {2}3 files {2}0\.\d s\n$/);
  });

  test("a step that fails says so and passes the error on", async () => {
    const { output, text } = capture(false);
    await expect(createProgress(output).step("make", () => Promise.reject(new Error("broken")))).rejects.toThrow(
      "broken",
    );
    expect(text()).toMatch(/^ {2}✗ make {2}0\.\d s\n$/);
  });

  test("a bar ends with size and rate", async () => {
    const { output, text } = capture(false);
    await createProgress(output).bar("load", 2048, async (bar) => bar.update(2048));
    expect(text()).toMatch(/^ {2}✓ load {2}2\.0 KiB, .*\/s {2}0\.\d s\n$/);
  });

  test("on a terminal the line is drawn in place and never longer than the screen", async () => {
    const { output, text } = capture(true);
    await createProgress(output).step("x".repeat(100), async () => {});
    expect(text().startsWith(`\r\u001b[2K  … ${"x".repeat(35)}\r\u001b[2K  ✓ xxx`)).toBe(true);
  });
});

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.0 KiB"],
  [1536 * 1024, "1.5 MiB"],
  [5 * 1024 ** 4, "5.0 TiB"],
])("%i bytes are %s", (sizeBytes, text) => {
  expect(formatBytes(sizeBytes)).toBe(text);
});

test("a table aligns its columns", () => {
  const rows = [
    ["name", "count"],
    ["a", "10"],
  ];
  expect(formatTable(rows, [1])).toBe("  name  count\n  a        10");
});
