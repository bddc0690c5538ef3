import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { OwnPlaces, removeLeftPlaces } from "../../../runtime/archiver/ownPlace";
import { temporaryFolder } from "../repository/support";

test("what is left of killed requests goes, but not what is on its way", async () => {
  const folder = temporaryFolder();
  const destination = join(folder, "RECOVERYXLOG");
  // Of the sidecar, whose places have random names.
  for (const name of ["RECOVERYXLOG.pgbackstop-0a1b2c3d", "00000002.history.pgbackstop-7"]) writeFileSync(join(folder, name), "left");
  const others = [`${"0".repeat(23)}1`, "RECOVERYXLOG.pgbackstop", "notes.pgbackstop-1", "RECOVERYXLOG.pgbackstop-1.gz"];
  for (const name of others) writeFileSync(join(folder, name), "no place of a request");
  const places = new OwnPlaces();
  const gone = new AbortController().signal;
  const isFound = await places.fill(destination, gone, async (place) => {
    writeFileSync(`${place}.pgbackrest.tmp`, "half");
    writeFileSync(place, "whole");
    expect(places.removeLeft(folder).sort()).toEqual(["00000002.history.pgbackstop-7", "RECOVERYXLOG.pgbackstop-0a1b2c3d"]);
    return true;
  });
  expect([isFound, readdirSync(folder).sort()]).toEqual([true, ["RECOVERYXLOG", "RECOVERYXLOG.pgbackstop-1.pgbackrest.tmp", ...others].sort()]);
  expect(places.removeLeft(folder)).toEqual(["RECOVERYXLOG.pgbackstop-1.pgbackrest.tmp"]);
});

test("a directory that is not there, or holds something else of that name, is no error", () => {
  const folder = temporaryFolder();
  expect(removeLeftPlaces(join(folder, "none"))).toEqual([]);
  mkdirSync(join(folder, "RECOVERYXLOG.pgbackstop-1"));
  expect(removeLeftPlaces(folder)).toEqual([]);
});
