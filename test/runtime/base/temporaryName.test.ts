import { expect, test } from "vitest";
import { findFinalName, temporaryName } from "../../../runtime/base/temporaryName";
import { seededRandom } from "../../harness/context";

const SEGMENT = `00000001000000010000000A-${"a".repeat(40)}.gz`;

test("each name is unique, keeps stock's suffix, and leads back to the file's", () => {
  const random = seededRandom(1);
  const names = Array.from({ length: 1000 }, () => temporaryName(SEGMENT, random));
  expect(new Set(names).size).toBe(1000);
  for (const name of names) expect([name.endsWith(".pgbackrest.tmp"), findFinalName(name)]).toEqual([true, SEGMENT]);
});

test("stock's own temporary files are recognised, other files are not", () => {
  expect(findFinalName(`${SEGMENT}.pgbackrest.tmp`)).toBe(SEGMENT);
  expect(findFinalName("archive.info.0123456789abcdef.pgbackrest.tmp")).toBe("archive.info");
  expect(findFinalName("f.0123456789ABCDEF.pgbackrest.tmp")).toBe("f.0123456789ABCDEF");
  for (const name of [SEGMENT, "archive.info", ".pgbackrest.tmp", "f.tmp", "f.0123456789abcdef", "f.pgbackrest.tmp.gz"])
    expect(findFinalName(name)).toBeNull();
});

test("stock's expire removes a leftover with the WAL around it, and its verify and archive-get never take it for WAL", () => {
  const left = temporaryName(SEGMENT, seededRandom(2));
  // From pgBackRest 2.60: expire.c, and WAL_SEGMENT_FILE_REGEXP of command/archive/common.h.
  expect(/^[0-F]{24}.*$/.test(left)).toBe(true);
  expect(/^[0-F]{24}-[0-f]{40}(\.gz|\.lz4|\.zst|\.bz2)?$/.test(left)).toBe(false);
});
