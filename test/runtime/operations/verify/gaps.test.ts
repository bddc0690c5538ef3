// claim: README.md: `verify` detects gaps in…
import { describe, expect, it } from "vitest";
import { type BackupWal, runsOf } from "../../../../runtime/format/wal/segmentPath";
import { gapsOf } from "../../../../runtime/operations/verify/gaps";
import { WAL_SIZE_BYTES, walName } from "../../repository/support";

const lsn = (segments: number): bigint => BigInt(segments * WAL_SIZE_BYTES);
/** Timeline 3 branches off timeline 2 at segment 9.25, and that off timeline 1 in the middle of segment 6. */
const NEWEST = {
  timeline: 3,
  ancestors: [
    { timeline: 1, lsn: lsn(6.5), reason: "" },
    { timeline: 2, lsn: lsn(9.25), reason: "" },
  ],
};
const names = (timeline: number, ...nos: number[]): string[] => nos.map((no) => walName(no, timeline));
const backup = (no: number, timeline = 1): BackupWal => {
  return { archiveStart: walName(no, timeline), archiveStop: walName(no, timeline) };
};
const WHOLE = [...names(1, 3, 4, 5), ...names(2, 6, 7, 8), ...names(3, 9, 10)];

/** The WAL gaps of recoveries from these backups to the newest timeline. */
function gaps(stored: readonly string[], ...gapless: readonly BackupWal[]): string[] {
  const runs = runsOf(stored.toSorted(), WAL_SIZE_BYTES);
  return gapsOf(runs, { alone: [], gapless }, [NEWEST], WAL_SIZE_BYTES).map(([first, last]) => `${first}-${last}`);
}

describe("the path to the newest timeline", () => {
  it("has no gap when each timeline is complete up to its switch point", () => {
    expect(gaps(WHOLE, backup(3))).toEqual([]);
    expect(gaps(WHOLE, backup(3), backup(7, 2), backup(10, 3))).toEqual([]);
  });

  it("has one where a dead primary had not archived its last segments", () => {
    expect(
      gaps(
        WHOLE.filter((name) => ![walName(4), walName(5)].includes(name)),
        backup(3),
      ),
    ).toEqual([`${walName(4)}-${walName(5)}`]);
    expect(gaps([...names(1, 3, 4, 5), ...names(3, 9, 10)], backup(3))).toEqual([`${walName(6, 2)}-${walName(8, 2)}`]);
  });

  it("has one when a new timeline does not begin at its switch point", () => {
    expect(
      gaps(
        WHOLE.filter((name) => name !== walName(6, 2)),
        backup(3),
      ),
    ).toEqual([`${walName(6, 2)}-${walName(6, 2)}`]);
    expect(
      gaps(
        WHOLE.filter((name) => name !== walName(9, 3)),
        backup(3),
      ),
    ).toEqual([`${walName(9, 3)}-${walName(9, 3)}`]);
  });

  it("ignores backups off the path", () => {
    // After the switch point of the timeline, on a timeline without a successor, and on the newest one.
    expect(gaps([...names(1, 8), ...names(3, 9, 10)], backup(8))).toEqual([]);
    expect(gaps([...names(4, 9, 10)], backup(9, 4))).toEqual([]);
    expect(gaps([...names(3, 10)], backup(10, 3))).toEqual([]);
  });

  it("may end where the newest timeline has no segment yet", () => {
    expect(gaps([...names(1, 3, 4, 5), ...names(2, 6, 7, 8)], backup(3))).toEqual([]);
  });
});
