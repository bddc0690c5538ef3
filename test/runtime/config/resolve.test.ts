import { describe, expect, test } from "vitest";
import { parseCommandLine } from "../../../runtime/config/cli";
import { addFiles } from "../../../runtime/config/files";
import { parseIni } from "../../../runtime/config/ini";
import { rowOf } from "../../../runtime/config/optionName";
import { type Resolved, resolveOptions, textOf, widestRule } from "../../../runtime/config/resolve";
import { failure } from "./support";

function resolve(argv: readonly string[], main = ""): Resolved {
  const { command, entries } = parseCommandLine([...argv, "--stanza=main"]);
  addFiles(entries, parseIni(`[main]\n${main}`, "/f"), "main", command, () => undefined);
  return resolveOptions(command, entries, () => undefined);
}

describe("dependencies", () => {
  test.each([
    [["restore", "--target=x"], "option 'target' not valid without option 'type' in ('lsn', 'name', 'time', 'xid')"],
    [
      ["backup", "--repo1-cipher-type=none", "--repo1-bundle-size=2MiB"],
      "option 'repo1-bundle-size' not valid without option 'repo1-bundle'",
    ],
    [
      ["backup", "--repo1-bundle", "--repo1-hardlink"],
      "option 'repo1-hardlink' not valid without option 'no-repo1-bundle'",
    ],
    [["backup", "--repo1-s3-bucket=b"], "option 'repo1-s3-bucket' not valid without option 'repo1-type' = 's3'"],
    [["backup", "--repo1-s3-key-type=auto"], "option 'repo1-s3-key-type' not valid without option 'repo1-type' = 's3'"],
    [
      ["backup", "--repo1-storage-ca-file=/x"],
      "option 'repo1-storage-ca-file' not valid without option 'repo1-type' in ('azure', 'gcs', 's3')",
    ],
    [
      ["backup", "--compress-type=none", "--compress-level=3"],
      "option 'compress-level' not valid without option 'compress-type' in ('bz2', 'gz', 'lz4', 'zst')",
    ],
    [["backup", "--pg1-host-type=tls"], "option 'pg1-host-type' not valid without option 'pg1-host'"],
  ])("%j fails on the command line", (argv, message) => {
    expect(failure(() => resolve([...argv, "--pg1-path=/pg"]))).toBe(`optionInvalid: ${message}`);
  });

  test("in a file an option without its dependency is ignored, unless its value could never be right", () => {
    const main = "pg1-path=/pg\nrepo1-s3-bucket=b\nrepo1-bundle-size=2MiB\ncompress-type=none\ncompress-level=22\n";
    const resolved = resolve(["backup"], main);
    expect(resolved.find("repo-s3-bucket", 1)).toMatchObject({ value: undefined, source: "default" });
    expect(resolved.find("compress-level")).toMatchObject({ value: 0, source: "default" });
    expect(failure(() => resolve(["backup"], "pg1-path=/pg\nrepo1-bundle-size=2KiB\n"))).toBe(
      "optionInvalidValue: '2KiB' is out of range for 'repo1-bundle-size' option\nHINT: allowed range is 1MiB to 1PiB inclusive\nHINT: the value comes from section [main] of /f (line 3).",
    );
    expect(failure(() => resolve(["info"], "compress-level=23"))).toContain(
      "'23' is out of range for 'compress-level' option\nHINT: allowed range is -7 to 22 inclusive",
    );
  });

  test("a range can depend on another option", () => {
    expect(failure(() => resolve(["backup", "--pg1-path=/pg", "--compress-type=lz4", "--compress-level=13"]))).toBe(
      "optionInvalidValue: '13' is out of range for 'compress-level' option when 'compress-type' option = 'lz4'\nHINT: allowed range is -5 to 12 inclusive",
    );
    expect(resolve(["backup", "--pg1-path=/pg", "--compress-type=zst"]).find("compress-level")?.value).toBe(3);
    expect(widestRule(rowOf("compress-level")).range).toEqual(["-7", "22"]);
    expect(widestRule(rowOf("process-max")).range).toEqual(["1", "999"]);
  });
});

describe("keys of groups", () => {
  test("gaps are allowed, nothing at all is key 1, a phantom is dropped", () => {
    expect(resolve(["info"]).repoIndexes).toEqual([1]);
    expect(resolve(["info", "--repo7-path=/a", "--repo3-path=/b"]).repoIndexes).toEqual([3, 7]);
    expect(resolve(["info"], "repo4-s3-bucket=b\n").repoIndexes).toEqual([1]);
    expect(resolve(["info"], "repo4-s3-bucket=b\nrepo2-path=/a\n").repoIndexes).toEqual([2]);
    expect(resolve(["info"], "repo4-retention-full=2\n").repoIndexes).toEqual([1]);
    expect(resolve(["verify"], "repo4-retention-full=2\n").repoIndexes).toEqual([1]);
    expect(resolve(["info", "--reset-repo5-path"]).repoIndexes).toEqual([1]);
    expect(resolve(["archive-push"], "pg2-path=/pg\n").pgKeys).toEqual([2]);
    expect(resolve(["pg-settings"], "pg1-path=/pg\nrepo1-path=/a\n").repoIndexes).toEqual([]);
    expect(resolve(["info"]).pgKeys).toEqual([]);
  });

  test("reset returns to the default", () => {
    const resolved = resolve(["backup", "--reset-process-max", "--pg1-path=/pg"], "process-max=7\n");
    expect(resolved.find("process-max")).toMatchObject({ value: 1, source: "default" });
  });

  test("options that are invalid for the command or unused are not detected", () => {
    expect(resolve(["info"]).find("process-max")).toBeNull();
    expect(resolve(["info"]).find("repo-path", 2)).toBeNull();
  });
});

test("values convert back to texts", () => {
  expect([true, false, 7, "x"].map(textOf)).toEqual(["y", "n", "7", "x"]);
});
