import { describe, expect, test } from "vitest";
import { readArguments, UsageError } from "../../../tools/bench/arguments";

const DEFAULTS = { rounds: 5, compress: ["zst", "gz"], write: false } as const;

describe("a benchmark's arguments", () => {
  test("have defaults, and accept values joined or apart", () => {
    expect(readArguments([], DEFAULTS)).toEqual({ rounds: 5, compress: "zst", write: false });
    expect(readArguments(["--rounds=3", "--compress", "gz", "--write"], DEFAULTS)).toEqual({
      rounds: 3,
      compress: "gz",
      write: true,
    });
    expect(readArguments(["--rounds", "3", "--compress=gz"], DEFAULTS)).toEqual({
      rounds: 3,
      compress: "gz",
      write: false,
    });
  });

  test.each([
    [["--segments", "300"], "unknown argument '--segments': use --rounds=5 --compress=zst|gz --write"],
    [["--toString=1"], "unknown argument '--toString=1': use --rounds=5 --compress=zst|gz --write"],
    [["300"], "unknown argument '300': use --rounds=5 --compress=zst|gz --write"],
    [["--rounds"], "--rounds takes a whole number of at least 1, found nothing"],
    [["--rounds=0"], "--rounds takes a whole number of at least 1, found '0'"],
    [["--rounds", "--write"], "--rounds takes a whole number of at least 1, found '--write'"],
    [["--compress=lz4"], "--compress takes zst or gz, found 'lz4'"],
    [["--write=yes"], "--write takes no value: '--write=yes'"],
  ])("%j is one clear line", (argv, message) => {
    expect(() => readArguments(argv, DEFAULTS)).toThrow(UsageError);
    expect(() => readArguments(argv, DEFAULTS)).toThrow(message);
  });
});
