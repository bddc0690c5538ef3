import * as fc from "../../../harness/properties";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import {
  type BackupInfo,
  type BackupInfoEntry,
  parseBackupInfo,
} from "../../../../runtime/format/repository/backupInfo";
import { formatLsn, parseLsn } from "../../../../runtime/format/wal/walSegment";
import {
  parseTargetTime,
  parseTimeline,
  type RepoBackups,
  selectBackup,
  type SelectRequest,
  type TargetTimeline,
} from "../../../../runtime/operations/restore/select";
import { vectorText } from "../../format/vectors";

const INFO = parseBackupInfo(vectorText("v2.45/plain/backup.info"), "golden");
const FULL = INFO.backups[0] as BackupInfoEntry;
const REQUEST: SelectRequest = {
  set: undefined,
  type: "default",
  target: undefined,
  targetTimeS: null,
  timelines: new Map(),
};
const repo = (
  repoIndex: number,
  backups: readonly BackupInfoEntry[] = INFO.backups,
  more: Partial<BackupInfo> = {},
): RepoBackups => ({
  repoIndex,
  info: { ...INFO, ...more, backups },
  error: null,
});
const labelOf = (repos: readonly RepoBackups[], request: Partial<SelectRequest> = {}): string => {
  const { repoIndex, entry } = selectBackup(repos, { ...REQUEST, ...request });
  return `repo${repoIndex} ${entry.label}`;
};
const backupAt = (second: number): BackupInfoEntry => ({
  ...FULL,
  label: `20261120-00${String(Math.floor(second / 60)).padStart(2, "0")}${String(second % 60).padStart(2, "0")}F`,
  stoppedAtS: 1000 + second,
  lsnStop: formatLsn(BigInt(second * 100)),
});

describe("the backup to restore", () => {
  it("is the newest of the first readable repository", () => {
    expect(labelOf([repo(1), repo(2)])).toBe("repo1 20261120-065325F_20261120-065552I");
    const broken: RepoBackups = { repoIndex: 1, info: null, error: fail("hostConnect", "unreachable") };
    expect(labelOf([broken, repo(2, [], {}), repo(3)])).toBe("repo3 20261120-065325F_20261120-065552I");
  });

  it("is the named one, in any repository; `latest` names none", () => {
    expect(labelOf([repo(1, [FULL]), repo(2)], { set: "20261120-065325F_20261120-065508D" })).toBe(
      "repo2 20261120-065325F_20261120-065508D",
    );
    expect(labelOf([repo(1)], { set: "latest" })).toBe("repo1 20261120-065325F_20261120-065552I");
    expect(() => labelOf([repo(1, [FULL])], { set: "20200101-000000F" })).toThrow(
      expect.objectContaining({
        kind: "backupSetInvalid",
        exitCode: 75,
        message: "backup set 20200101-000000F is not valid\nrepo1: 20261120-065325F: is not 20200101-000000F",
      }),
    );
  });

  it("for a time is the newest that stopped before it, for an LSN the newest that stopped at or before it", () => {
    const stops = fc.uniqueArray(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(stops, stops, fc.integer({ min: 0, max: 700 }), (first, second, target) => {
        const sorted = [first, second].map((list) => [...list].sort((left, right) => left - right));
        const repos = sorted.map((list, index) => repo(index + 1, list.map(backupAt)));
        const expected = (fits: (stop: number) => boolean): string | null => {
          for (const [index, list] of sorted.entries()) {
            const best = list.filter(fits).at(-1);
            if (best !== undefined) return `repo${index + 1} ${backupAt(best).label}`;
          }
          return null;
        };
        const result = (request: Partial<SelectRequest>): string | null => {
          try {
            return labelOf(repos, request);
          } catch {
            return null;
          }
        };
        expect(result({ type: "time", target: "x", targetTimeS: 1000 + target })).toBe(
          expected((stop) => stop < target),
        );
        expect(result({ type: "lsn", target: formatLsn(BigInt(target * 100)) })).toBe(
          expected((stop) => stop <= target),
        );
      }),
    );
    expect(parseLsn("0/64")).toBe(100n);
  });

  it("is refused with the reason for each candidate", () => {
    expect(() =>
      labelOf([repo(1, [backupAt(60)]), repo(2, [])], { type: "time", target: "long ago", targetTimeS: 5 }),
    ).toThrow(
      expect.objectContaining({
        kind: "backupSetInvalid",
        message:
          "no backup set found to restore for time target 'long ago'\nrepo1: 20261120-000100F: stopped at or after the target time\nrepo2: holds no backup",
      }),
    );
    const { lsnStop: _none, ...old } = backupAt(60);
    expect(() => labelOf([repo(1, [old])], { type: "lsn", target: "0/1" })).toThrow(
      expect.objectContaining({ message: expect.stringContaining("has no LSN") }),
    );
    expect(() => labelOf([repo(1, [FULL], { currentId: 2 })])).toThrow(
      expect.objectContaining({ message: expect.stringContaining("belongs to history id 1, the current one is 2") }),
    );
  });

  it("cannot be chosen when no repository is readable (103)", () => {
    const broken: RepoBackups = { repoIndex: 1, info: null, error: fail("crypto", "wrong passphrase") };
    expect(() => labelOf([broken])).toThrow(
      expect.objectContaining({
        kind: "repoInvalid",
        exitCode: 103,
        message: "unable to find a valid repository\nrepo1: [CryptoError] wrong passphrase",
      }),
    );
  });

  it("reports the skipped ones, and its cluster", () => {
    const broken: RepoBackups = { repoIndex: 1, info: null, error: fail("hostConnect", "unreachable") };
    const overdue = backupAt(60);
    expect(
      selectBackup([broken, repo(2, [backupAt(10), overdue])], {
        ...REQUEST,
        type: "time",
        target: "x",
        targetTimeS: 1030,
      }),
    ).toEqual({
      repoIndex: 2,
      entry: backupAt(10),
      systemId: INFO.history[0]?.systemId,
      refused: [
        "repo1: [HostConnectError] unreachable",
        `repo2: ${overdue.label}: stopped at or after the target time`,
      ],
    });
  });
});

describe("the timeline that recovery follows", () => {
  const on = (timeline: number, second: number): BackupInfoEntry => ({
    ...backupAt(second),
    archiveStart: `${timeline.toString(16).toUpperCase().padStart(8, "0")}0000000000000001`,
  });
  const at = (second: number): bigint => BigInt(second * 100);
  /** Timeline 2 branches off timeline 1 at second 100, and timeline 3 off timeline 2 at second 200. */
  const follow = (
    timeline: number,
    isNamed: boolean,
    ancestors: TargetTimeline["ancestors"],
  ): Partial<SelectRequest> => ({
    timelines: new Map([
      [`${INFO.history[0]?.pgVersion}-${FULL.dbId}`, { timeline, isNamed, ancestors, option: "latest" }],
    ]),
  });
  const TWO = [{ timeline: 1, lsn: at(100), reason: "" }];
  const BACKUPS = [on(1, 50), on(1, 100), on(1, 150), on(2, 180), on(2, 250)];

  it("named by its number, skips backups off its path", () => {
    expect(labelOf([repo(1, BACKUPS)], follow(1, true, []))).toBe(`repo1 ${on(1, 150).label}`);
    expect(labelOf([repo(1, BACKUPS)], follow(2, true, TWO))).toBe(`repo1 ${on(2, 250).label}`);
    expect(labelOf([repo(1, BACKUPS.slice(0, 3))], follow(2, true, TWO))).toBe(`repo1 ${on(1, 100).label}`);
    const three = [...TWO, { timeline: 2, lsn: at(200), reason: "" }];
    expect(labelOf([repo(1, BACKUPS)], follow(3, true, three))).toBe(`repo1 ${on(2, 180).label}`);
    expect(() => labelOf([repo(1, [on(2, 250)])], follow(1, true, []))).toThrow(
      expect.objectContaining({
        kind: "backupSetInvalid",
        message: expect.stringContaining("is not in the history of target timeline 1"),
      }),
    );
    expect(() => labelOf([repo(1, [on(1, 50)])], follow(7, true, null))).toThrow(
      expect.objectContaining({
        kind: "backupSetInvalid",
        message: expect.stringContaining("target timeline 7 has no history file in the archive"),
      }),
    );
  });

  it("if only the latest, refuses rather than choosing an older backup (58)", () => {
    expect(labelOf([repo(1, BACKUPS)], follow(2, false, TWO))).toBe(`repo1 ${on(2, 250).label}`);
    expect(() => labelOf([repo(1, BACKUPS)], follow(3, false, TWO))).toThrow(
      expect.objectContaining({
        kind: "dbMismatch",
        exitCode: 58,
        message: `repo1: ${on(2, 250).label}: backup timeline 2, lsn 0/61A8 is not in the history of target timeline 3`,
      }),
    );
    expect(() => labelOf([repo(1, BACKUPS.slice(0, 3))], follow(2, false, TWO))).toThrow(
      expect.objectContaining({
        exitCode: 58,
        message: `repo1: ${on(1, 150).label}: target timeline 2 forked from backup timeline 1 at 0/2710 which is before backup lsn of 0/3A98`,
      }),
    );
    // The selection ignores the history of a timeline before the backup's.
    expect(labelOf([repo(1, [on(3, 50)])], follow(2, false, null))).toBe(`repo1 ${on(3, 50).label}`);
  });

  it("refuses a named backup off its path (58)", () => {
    expect(() => labelOf([repo(1, BACKUPS)], { ...follow(1, true, []), set: on(2, 180).label })).toThrow(
      expect.objectContaining({ exitCode: 58 }),
    );
  });

  it.each([
    ["current", null],
    ["latest", "latest"],
    ["12", 12],
    ["0x1f", 31],
  ])("is read from %s", (text, expected) => {
    expect(parseTimeline(text)).toBe(expected);
  });

  it.each(["", "bogus", "0", "-1", "1.5", "4294967296", "0x"])("is not %j (58)", (text) => {
    expect(() => parseTimeline(text)).toThrow(expect.objectContaining({ kind: "dbMismatch", exitCode: 58 }));
  });
});

describe("a target time", () => {
  const zone = process.env.TZ;
  beforeAll(() => {
    process.env.TZ = "America/New_York";
  });
  afterAll(() => {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  });

  it.each([
    ["2026-11-20 07:03:05", 1795176185],
    ["2026-11-20 07:03:05+00", 1795158185],
    ["2026-11-20 07:03:05.789246+00", 1795158185.789],
    ["2026-11-20T07:03:05+01:00", 1795154585],
    ["2026-11-20 07:03:05-0530", 1795177985],
    ["2026-11-20 07:03:05 UTC", 1795158185],
    ["2026-11-20 07:03:05Z", 1795158185],
    ["2026-07-01 12:00:00", 1782921600],
  ])("%s is understood", (text, seconds) => {
    expect(parseTargetTime(text)).toBe(seconds);
  });

  it.each([
    "",
    "yesterday",
    "2026-11-20",
    "2026-13-20 00:00:00",
    "2026-11-20 25:00:00",
    "2026-11-31 00:00:00",
    "2026-02-29 00:00:00+00",
    "2026-11-20 07:03:05 CET",
  ])("%j is refused (29)", (text) => {
    expect(() => parseTargetTime(text)).toThrow(
      expect.objectContaining({ kind: "format", exitCode: 29, message: expect.stringContaining(`'${text}'`) }),
    );
  });
});
