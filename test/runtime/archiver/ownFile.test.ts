import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { OwnFiles, removeLeftFiles } from "../../../runtime/archiver/ownFile";
import { temporaryFolder } from "../repository/support";

test("removes leftovers of killed requests, but not files in transfer", async () => {
  const folder = temporaryFolder();
  const destination = join(folder, "RECOVERYXLOG");
  // The sidecar's temporary names are random.
  for (const name of ["RECOVERYXLOG.pgbackstop-0a1b2c3d", "00000002.history.pgbackstop-7"])
    writeFileSync(join(folder, name), "left");
  const others = [
    `${"0".repeat(23)}1`,
    "RECOVERYXLOG.pgbackstop",
    "notes.pgbackstop-1",
    "RECOVERYXLOG.pgbackstop-1.gz",
  ];
  for (const name of others) writeFileSync(join(folder, name), "no place of a request");
  const files = new OwnFiles();
  const gone = new AbortController().signal;
  const isFetched = await files.fill(destination, gone, async (temporary) => {
    writeFileSync(`${temporary}.pgbackrest.tmp`, "half");
    writeFileSync(temporary, "whole");
    expect(files.removeLeft(folder).sort()).toEqual([
      "00000002.history.pgbackstop-7",
      "RECOVERYXLOG.pgbackstop-0a1b2c3d",
    ]);
    return true;
  });
  expect([isFetched, readdirSync(folder).sort()]).toEqual([
    true,
    ["RECOVERYXLOG", "RECOVERYXLOG.pgbackstop-1.pgbackrest.tmp", ...others].sort(),
  ]);
  expect(files.removeLeft(folder)).toEqual(["RECOVERYXLOG.pgbackstop-1.pgbackrest.tmp"]);
});

test("accepts a missing directory, and other entries of that name", () => {
  const folder = temporaryFolder();
  expect(removeLeftFiles(join(folder, "none"))).toEqual([]);
  mkdirSync(join(folder, "RECOVERYXLOG.pgbackstop-1"));
  expect(removeLeftFiles(folder)).toEqual([]);
});
