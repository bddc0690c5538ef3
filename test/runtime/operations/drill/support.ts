/** Backups, drill records and attacks for the tests of the fire drill. */
import { untilAborted } from "../../../../runtime/base/clock";
import type { BackupInfoEntry } from "../../../../runtime/format/repository/backupInfo";
import { attackDrill, type AttackOptions } from "../../../../runtime/operations/drill/attackDrill";
import type { DrillRecord } from "../../../../runtime/operations/drill/record";
import type { Repository } from "../../../../runtime/repository/repository";
import { ManualClock, TEST_TIME_MS, type TestContext, testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";

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

/** A drill's limit is never reached; shorter waits pass at once. */
export class PatientClock extends ManualClock {
  override sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    return durationMs < 60_000 ? super.sleep(durationMs, signal) : untilAborted(signal);
  }
}

export function patient(seed: number, startedAtMs = TEST_TIME_MS): TestContext {
  return testContext({ clock: new PatientClock(startedAtMs), seed });
}

export function makeAttack(
  repos: readonly Repository[],
  ctx: TestContext = patient(1),
  more: Partial<AttackOptions> = {},
): Promise<DrillRecord> {
  const self = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  const users = { userName: () => "me", groupName: () => "us", findUid: () => self.uid, findGid: () => self.gid };
  const options: AttackOptions = {
    stanza: "demo",
    level: "thorough",
    maxMinutes: 5,
    repoIndex: undefined,
    path: more.path ?? temporaryFolder(),
    beganMs: TEST_TIME_MS,
  };
  return attackDrill(repos, { users, self }, { ...options, ...more }, ctx);
}

/** Verdicts of an attack by name. */
export function verdictsOf({ checks }: DrillRecord): Record<string, string> {
  return Object.fromEntries(checks.map(({ name, verdict }) => [name.replace("attack:", ""), verdict]));
}
