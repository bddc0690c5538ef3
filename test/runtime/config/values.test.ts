import { describe, expect, test } from "vitest";
import { rowOf } from "../../../runtime/config/optionName";
import { parseInteger, parseSize, parseTime, parseValue } from "../../../runtime/config/values";
import { failure } from "./support";

function parse(name: string, ...texts: string[]): unknown {
  const row = rowOf(name);
  return parseValue({ name, row, rule: row, origin: "the value comes from somewhere." }, texts, (text) =>
    warnings.push(text),
  );
}
let warnings: string[] = [];

describe("values", () => {
  test.each([
    ["0", 0],
    ["20971520", 20 * 2 ** 20],
    ["20b", 20],
    ["20B", 20],
    ["20K", 20480],
    ["20M", 20 * 2 ** 20],
    ["20MB", 20 * 2 ** 20],
    ["20mb", 20 * 2 ** 20],
    ["20MiB", 20 * 2 ** 20],
    ["3g", 3 * 2 ** 30],
    ["2TiB", 2 * 2 ** 40],
    ["4PiB", 4 * 2 ** 50],
    ["", null],
    ["MiB", null],
    ["1.5MiB", null],
    ["-1", null],
    ["1 MiB", null],
    ["1iB", null],
    ["1MiBs", null],
    ["9PiB", null],
  ])("size %j is %j bytes", (text, sizeBytes) => expect(parseSize(text)).toBe(sizeBytes));

  test.each([
    ["60", 60_000],
    ["60s", 60_000],
    ["100ms", 100],
    ["100MS", 100],
    ["1m", 60_000],
    ["2h", 7_200_000],
    ["1d", 86_400_000],
    ["1w", 604_800_000],
    ["0s", 0],
    ["0.5", null],
    ["", null],
    ["s", null],
    ["-1s", null],
    ["1y", null],
  ])("time %j is %j milliseconds", (text, timeMs) => expect(parseTime(text)).toBe(timeMs));

  test.each([
    ["-7", -7],
    ["+7", 7],
    ["7", 7],
    ["7.0", null],
    ["0x7", null],
    ["99999999999999999", null],
    [" 7", null],
  ])("integer %j is %j", (text, value) => expect(parseInteger(text)).toBe(value));

  test("paths lose a trailing slash and must be absolute", () => {
    expect(parse("lock-path", "/a/b/")).toBe("/a/b");
    expect(parse("lock-path", "/")).toBe("/");
    expect(failure(() => parse("lock-path", "a"))).toBe(
      "optionInvalidValue: 'a' must begin with / for 'lock-path' option\nHINT: the value comes from somewhere.",
    );
    expect(failure(() => parse("lock-path", "/a//b"))).toBe(
      "optionInvalidValue: '/a//b' cannot contain // for 'lock-path' option\nHINT: the value comes from somewhere.",
    );
    expect(failure(() => parse("lock-path", ""))).toBe(
      "optionInvalidValue: '' must be >= 1 character for 'lock-path' option\nHINT: the value comes from somewhere.",
    );
  });

  test.each([
    ["process-max", "0", "'0' is out of range for 'process-max' option\nHINT: allowed range is 1 to 999 inclusive"],
    ["process-max", "many", "'many' is not valid for 'process-max' option\nHINT: allowed range is 1 to 999 inclusive"],
    [
      "archive-timeout",
      "99ms",
      "'99ms' is out of range for 'archive-timeout' option\nHINT: allowed range is 100ms to 1d inclusive",
    ],
    [
      "buffer-size",
      "3MiB",
      "'3MiB' is not allowed for 'buffer-size' option\nHINT: allowed values are '16KiB', '32KiB', '64KiB', '128KiB', '256KiB', '512KiB', '1MiB', '2MiB', '4MiB', '8MiB', '16MiB'",
    ],
    [
      "compress-type",
      "xz",
      "'xz' is not allowed for 'compress-type' option\nHINT: allowed values are 'none', 'gz', 'lz4', 'zst', 'bz2'",
    ],
    ["delta", "yes", "boolean option 'delta' must be 'y' or 'n'"],
  ])("%s=%s fails with the allowed values and the place", (name, text, message) => {
    expect(failure(() => parse(name, text))).toBe(
      `optionInvalidValue: ${message}\nHINT: the value comes from somewhere.`,
    );
  });

  test("hashes split at the first equals sign, the last value of a key wins with a warning", () => {
    warnings = [];
    expect(parse("annotation", "a=1", "b=x=y", "a=2", "__proto__=z")).toEqual(
      Object.fromEntries([
        ["a", "2"],
        ["b", "x=y"],
        ["__proto__", "z"],
      ]),
    );
    expect(warnings).toEqual(["key 'a' value '1' is overwritten with '2' for 'annotation' option"]);
    expect(failure(() => parse("annotation", "plain"))).toBe(
      "optionInvalid: key/value 'plain' not valid for 'annotation' option\nHINT: write key=value\nHINT: the value comes from somewhere.",
    );
  });

  test("a secret's wrong value is not shown", () => {
    const row = { ...rowOf("repo-cipher-pass"), type: "path" } as const;
    expect(
      failure(() =>
        parseValue({ name: "repo1-cipher-pass", row, rule: row, origin: undefined }, ["markerSecret"], () => undefined),
      ),
    ).toBe("optionInvalidValue: <redacted> must begin with / for 'repo1-cipher-pass' option");
  });
});
