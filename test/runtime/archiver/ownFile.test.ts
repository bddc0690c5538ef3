import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemRandom } from "../../../runtime/base/random";
import { temporaryName } from "../../../runtime/base/temporaryName";
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
  let halves: string[] = [];
  const isFetched = await files.fill(destination, gone, async (temporary) => {
    writeFileSync(temporaryName(temporary, systemRandom), "half");
    writeFileSync(`${temporary}.pgbackrest.tmp`, "half");
    halves = readdirSync(folder)
      .filter((name) => name.endsWith(".pgbackrest.tmp"))
      .sort();
    writeFileSync(temporary, "whole");
    expect(files.removeLeft(folder).sort()).toEqual([
      "00000002.history.pgbackstop-7",
      "RECOVERYXLOG.pgbackstop-0a1b2c3d",
    ]);
    return true;
  });
  expect([isFetched, readdirSync(folder).sort()]).toEqual([true, ["RECOVERYXLOG", ...halves, ...others].sort()]);
  expect(files.removeLeft(folder).sort()).toEqual(halves);
});

test("accepts a missing directory, and other entries of that name", () => {
  const folder = temporaryFolder();
  expect(removeLeftFiles(join(folder, "none"))).toEqual([]);
  mkdirSync(join(folder, "RECOVERYXLOG.pgbackstop-1"));
  expect(removeLeftFiles(folder)).toEqual([]);
});
