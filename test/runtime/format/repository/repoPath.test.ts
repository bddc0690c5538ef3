import { describe, expect, it } from "vitest";
import * as path from "../../../../runtime/format/repository/repoPath";
import { errorOf } from "../vectors";

const FULL = "20251231-235959F";
const INCR = "20251231-235959F_20260101-000100I";

describe("paths in a repository", () => {
  it.each([
    [path.archiveInfoPath("demo"), "archive/demo/archive.info"],
    [path.copyOf(path.archiveInfoPath("demo")), "archive/demo/archive.info.copy"],
    [path.backupInfoPath("demo"), "backup/demo/backup.info"],
    [path.archiveIdPath("demo", "15-1"), "archive/demo/15-1"],
    [
      path.walPath("demo", "15-1", `0000000100000000000000FF-${"a".repeat(40)}.zst`),
      `archive/demo/15-1/0000000100000000/0000000100000000000000FF-${"a".repeat(40)}.zst`,
    ],
    [
      path.walPath("demo", "15-1", "0000000100000000000000FF.00000028.backup"),
      "archive/demo/15-1/0000000100000000/0000000100000000000000FF.00000028.backup",
    ],
    [path.walPath("demo", "15-1", "00000002.history"), "archive/demo/15-1/00000002.history"],
    [path.backupPath("demo", INCR), `backup/demo/${INCR}`],
    [path.manifestPath("demo", FULL), `backup/demo/${FULL}/backup.manifest`],
    [path.copyOf(path.manifestPath("demo", FULL)), `backup/demo/${FULL}/backup.manifest.copy`],
    [path.manifestHistoryPath("demo", INCR), `backup/demo/backup.history/2025/${INCR}.manifest.gz`],
    [
      path.dataFilePath("demo", FULL, { name: "pg_data/PG_VERSION" }, "zst"),
      `backup/demo/${FULL}/pg_data/PG_VERSION.zst`,
    ],
    [path.dataFilePath("demo", FULL, { name: "pg_data/PG_VERSION" }, "none"), `backup/demo/${FULL}/pg_data/PG_VERSION`],
    [
      path.dataFilePath("demo", FULL, { name: "pg_data/base/1/2", block: { mapSizeBytes: 9 } }, "zst"),
      `backup/demo/${FULL}/pg_data/base/1/2.pgbi`,
    ],
    [
      path.dataFilePath("demo", FULL, { name: "pg_data/base/1/2", block: { mapSizeBytes: 0 } }, "gz"),
      `backup/demo/${FULL}/pg_data/base/1/2.gz`,
    ],
    [path.bundlePath("demo", FULL, 12), `backup/demo/${FULL}/bundle/12`],
  ])("%s", (actual, expected) => {
    expect(actual).toBe(expected);
  });

  it("never leave the repository", async () => {
    await errorOf("assert", () => path.archiveInfoPath("../x"));
    await errorOf("assert", () => path.walPath("demo", "..", "00000002.history"));
    await errorOf("assert", () => path.backupPath("demo", "../../etc"));
    await errorOf("assert", () => path.bundlePath("demo", FULL, 0));
  });
});
