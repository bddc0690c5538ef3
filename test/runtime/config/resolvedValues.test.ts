import { describe, expect, test } from "vitest";
import { parseCommandLine } from "../../../runtime/config/cli";
import { resolveOptions } from "../../../runtime/config/resolve";
import { ResolvedValues } from "../../../runtime/config/resolvedValues";
import { failure } from "./support";

function values(...argv: string[]): ResolvedValues {
  const { command, entries } = parseCommandLine(argv);
  return new ResolvedValues(resolveOptions(command, entries, () => undefined));
}

describe("resolved options", () => {
  test("return values, and defaults if the command does not know the option", () => {
    const info = values("info", "--repo2-path=/r", "--io-timeout=2m");
    expect(info.text("repo-path", 2)).toBe("/r");
    expect(info.number("io-timeout")).toBe(120_000);
    expect(info.number("process-max")).toBe(1);
    expect(info.number("repo-bundle-size", 2)).toBe(20 * 2 ** 20);
    expect(info.flag("resume")).toBe(true);
    expect(info.findFlag("checksum-page")).toBeUndefined();
    expect(info.flag("checksum-page")).toBe(false);
    expect(info.list("exclude")).toEqual([]);
    expect(info.hash("annotation")).toEqual({});
    expect(info.text("stanza")).toBeUndefined();
  });

  test("return nothing for a negated text, not its default", () => {
    expect(values("info", "--no-config").text("config")).toBeUndefined();
    expect(values("info").text("config")).toBe("/etc/pgbackrest/pgbackrest.conf");
  });

  test("of the wrong type are our own bug", () => {
    expect(failure(() => values("info").number("log-path"))).toContain("assert: option 'log-path' is no number");
    expect(failure(() => values("info").text("delta"))).toContain("assert: option 'delta' is no text");
  });
});
