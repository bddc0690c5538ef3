import { describe, expect, test } from "vitest";
import type { BlockConfig } from "../../../runtime/config/types";
import { BLOCK_DEFAULTS, type BlockSettings } from "../../../runtime/format/repository/blockSize";
import { failure, load, MAIN_FILE } from "./support";

const ON = ["repo1-bundle=y", "repo1-block=y"];

function loadWith(lines: readonly string[]): BlockConfig | undefined {
  const files = { [MAIN_FILE]: `[global]\n${lines.join("\n")}\n[main]\npg1-path=/pg\n` };
  return load({ argv: ["backup", "--stanza=main"], files }).config.repos[0]?.block;
}

describe("block incremental", () => {
  test("is off by default, and needs bundles", () => {
    expect(loadWith([])).toBeUndefined();
    expect(loadWith(["repo1-bundle=y"])).toBeUndefined();
    expect(loadWith(["repo1-block=y"])).toBeUndefined();
  });

  test("has stock's super blocks, and keeps stock's maps", () => {
    const block = loadWith(ON);
    expect(block).toEqual({ superBlockSizeBytes: 256 * 1024, superBlockSizeFullBytes: 1024 * 1024 });
    const settings: BlockSettings = { ...BLOCK_DEFAULTS, ...block };
    expect(settings).toEqual(BLOCK_DEFAULTS);
  });

  test("adopts its maps in descending order", () => {
    const block = loadWith([
      ...ON,
      "repo1-block-size-map=32KiB=16KiB",
      "repo1-block-size-map=2MiB=128KiB",
      "repo1-block-age-map=1=2",
      "repo1-block-age-map=30=0",
      "repo1-block-checksum-size-map=16KiB=8",
      "repo1-block-checksum-size-map=128KiB=12",
      "repo1-block-size-super=512KiB",
      "repo1-block-size-super-full=4MiB",
    ]);
    expect(block).toEqual({
      sizeMap: [
        { fileSizeBytes: 2 * 2 ** 20, blockSizeBytes: 128 * 1024 },
        { fileSizeBytes: 32 * 1024, blockSizeBytes: 16 * 1024 },
      ],
      ageMap: [
        { ageDays: 30, multiplier: 0 },
        { ageDays: 1, multiplier: 2 },
      ],
      checksumSizeMap: [
        { blockSizeBytes: 128 * 1024, checksumSizeBytes: 12 },
        { blockSizeBytes: 16 * 1024, checksumSizeBytes: 8 },
      ],
      superBlockSizeBytes: 512 * 1024,
      superBlockSizeFullBytes: 4 * 2 ** 20,
    });
  });

  test.each([
    ["repo1-block-size-map=32KiB=10KiB", "10KiB"],
    ["repo1-block-size-map=32KiB=0", "0"],
    ["repo1-block-size-map=big=16KiB", "big"],
    ["repo1-block-size-map=8GiB=16KiB", "8GiB"],
    ["repo1-block-age-map=-1=2", "-1"],
    ["repo1-block-age-map=1=x", "x"],
    ["repo1-block-checksum-size-map=16KiB=5", "5"],
    ["repo1-block-checksum-size-map=16KiB=17", "17"],
  ])("refuses %s", (line, arg) => {
    const name = line.slice(0, line.indexOf("="));
    expect(failure(() => loadWith([...ON, line]))).toContain(`'${arg}' is not valid for '${name}' option`);
  });
});
