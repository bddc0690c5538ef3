/** Backups and drill records for the tests of the fire drill. */
import type { BackupInfoEntry } from "../../../../runtime/format/repository/backupInfo";
import type { DrillRecord } from "../../../../runtime/operations/drill/record";

/** A full backup that started at its label's time and took a minute. */
export function backupEntry(label: string, more: Partial<BackupInfoEntry> = {}): BackupInfoEntry {
  const [, date = "", time = ""] = /^(\d{8})-(\d{6})/.exec(label) ?? [];
  const iso = `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}T${time.slice(0, 2)}:${time.slice(2, 4)}:${time.slice(4)}Z`;
  const startedAtS = Date.parse(iso) / 1000;
  return {
    label,
    type: "full",
    format: 5,
    backrestVersion: "2.60",
    archiveStart: "000000010000000000000002",
    archiveStop: "000000010000000000000003",
    sizeBytes: 1000,
    sizeDeltaBytes: 1000,
    repoSizeBytes: 500,
    repoSizeDeltaBytes: 500,
    startedAtS,
    stoppedAtS: startedAtS + 60,
    dbId: 1,
    optionArchiveCheck: true,
    optionArchiveCopy: false,
    optionBackupStandby: false,
    optionChecksumPage: true,
    optionCompress: true,
    optionHardlink: false,
    optionOnline: true,
    extra: {},
    ...more,
  };
}

/** A successful drill. */
export function record(id: string, more: Partial<DrillRecord> = {}): DrillRecord {
  return {
    version: 1,
    id,
    stanza: "demo",
    repo: 1,
    pick: "newest",
    level: "thorough",
    backup: { label: "20261101-020000F", type: "full", stoppedAtS: 1_793_498_460 },
    target: null,
    startedAtS: 1_793_500_000,
    endedAtS: 1_793_500_060,
    ok: true,
    failures: [],
    rtoMs: 30_000,
    phases: [{ name: "restore", elapsedMs: 20_000 }],
    rpo: { seconds: 12, method: "commit", lostWalBytes: null },
    restoredBytes: 1000,
    checks: [{ name: "recovery", verdict: "ok", elapsedMs: 1, text: "reached" }],
    objectives: {},
    ...more,
  };
}
