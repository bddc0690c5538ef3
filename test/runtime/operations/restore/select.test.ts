import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { type BackupInfo, type BackupInfoEntry, parseBackupInfo } from "../../../../runtime/format/backupInfo";
import { formatLsn, parseLsn } from "../../../../runtime/format/walSegment";
import { parseTargetTime, type RepoBackups, selectBackup, type SelectRequest } from "../../../../runtime/operations/restore/select";
import { vectorText } from "../../format/vectors";

const INFO = parseBackupInfo(vectorText("v2.45/plain/backup.info"), "golden");
const FULL = INFO.backups[0] as BackupInfoEntry;
const REQUEST: SelectRequest = { set: undefined, type: "default", target: undefined, targetTimeS: null };
const repo = (repoKey: number, backups: readonly BackupInfoEntry[] = INFO.backups, more: Partial<BackupInfo> = {}): RepoBackups => ({
  repoKey,
  info: { ...INFO, ...more, backups },
  error: null,
});
const labelOf = (repos: readonly RepoBackups[], request: Partial<SelectRequest> = {}): string => {
  const { repoKey, entry } = selectBackup(repos, { ...REQUEST, ...request });
  return `repo${repoKey} ${entry.label}`;
};
const backupAt = (second: number): BackupInfoEntry => ({
  ...FULL,
  label: `20261120-00${String(Math.floor(second / 60)).padStart(2, "0")}${String(second % 60).padStart(2, "0")}F`,
  stoppedAtS: 1000 + second,
  lsnStop: formatLsn(BigInt(second * 100)),
});

describe("the backup to restore", () => {
  it("is the newest of the first repository that can be read", () => {
    expect(labelOf([repo(1), repo(2)])).toBe("repo1 20261120-065325F_20261120-065552I");
    const broken: RepoBackups = { repoKey: 1, info: null, error: fail("hostConnect", "unreachable") };
    expect(labelOf([broken, repo(2, [], {}), repo(3)])).toBe("repo3 20261120-065325F_20261120-065552I");
  });

  it("is the one that was named, wherever it is; `latest` names none", () => {
    expect(labelOf([repo(1, [FULL]), repo(2)], { set: "20261120-065325F_20261120-065508D" })).toBe("repo2 20261120-065325F_20261120-065508D");
    expect(labelOf([repo(1)], { set: "latest" })).toBe("repo1 20261120-065325F_20261120-065552I");
    expect(() => labelOf([repo(1, [FULL])], { set: "20200101-000000F" })).toThrow(
      expect.objectContaining({
        kind: "backupSetInvalid",
        exitCode: 75,
        message: "backup set 20200101-000000F is not valid\nrepo1: 20261120-065325F: is not 20200101-000000F",
      }),
    );
  });

  it("of a time is the newest that stopped before it, of an LSN the newest that stops not behind it", () => {
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
        const found = (request: Partial<SelectRequest>): string | null => {
          try {
            return labelOf(repos, request);
          } catch {
            return null;
          }
        };
        expect(found({ type: "time", target: "x", targetTimeS: 1000 + target })).toBe(expected((stop) => stop < target));
        expect(found({ type: "lsn", target: formatLsn(BigInt(target * 100)) })).toBe(expected((stop) => stop <= target));
      }),
    );
    expect(parseLsn("0/64")).toBe(100n);
  });

  it("is refused with the reason for each candidate", () => {
    expect(() => labelOf([repo(1, [backupAt(60)]), repo(2, [])], { type: "time", target: "long ago", targetTimeS: 5 })).toThrow(
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

  it("cannot be chosen when no repository can be read (103)", () => {
    const broken: RepoBackups = { repoKey: 1, info: null, error: fail("crypto", "wrong passphrase") };
    expect(() => labelOf([broken])).toThrow(
      expect.objectContaining({
        kind: "repoInvalid",
        exitCode: 103,
        message: "unable to find a valid repository\nrepo1: [CryptoError] wrong passphrase",
      }),
    );
  });

  it("brings the passphrase of its manifest", () => {
    expect(selectBackup([repo(1, [FULL], { cipherPass: "sub" })], REQUEST).infoPass).toBe("sub");
    expect(selectBackup([repo(1)], REQUEST).infoPass).toBeNull();
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

  it.each(["", "yesterday", "2026-11-20", "2026-13-20 00:00:00", "2026-11-20 25:00:00", "2026-11-20 07:03:05 CET"])("%j is refused (29)", (text) => {
    expect(() => parseTargetTime(text)).toThrow(
      expect.objectContaining({ kind: "format", exitCode: 29, message: expect.stringContaining(`'${text}'`) }),
    );
  });
});
