import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { giveBack, takeReadArea } from "../../../../runtime/format/codec/sums";
import { projectFolder } from "../../../../tools/parts/cache";
import { compileSums } from "../../../../tools/parts/build/wasm";

describe("the compiled sums", () => {
  it("equal what their source compiles to", async () => {
    const root = projectFolder();
    expect(readFileSync(join(root, "runtime", "format", "codec", "sumsWasm.ts"), "utf8")).toBe(await compileSums(root));
  });
});

describe("a read area", () => {
  it("has one holder at a time and is reused", () => {
    const first = takeReadArea();
    const second = takeReadArea();
    expect(second.bytes.buffer).not.toBe(first.bytes.buffer);
    giveBack(first);
    expect(takeReadArea()).toBe(first);
    giveBack(first);
    giveBack(second);
  });
});
