import { chmodSync, chownSync, existsSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { actAs } from "../../../../runtime/local/actAs";
import { acquireLock } from "../../../../runtime/local/lockFile";
import {
  openLocation,
  type OpenState,
  saveProgress,
  saveState,
} from "../../../../runtime/operations/open/openLocation";
import { findOpened, forgetOpened, listOpened, saveOpened } from "../../../../runtime/operations/open/openedRecords";
import { isRoot } from "../../../../tools/parts/users";
import { temporaryFolder } from "../../repository/support";
import { RECOVERY } from "./upperWorld";

const SELF = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
/** No backup of it is open on this machine. */
const STANZA = "opened-records";
const LABEL = "20261120-020000F";
const CHOSEN = { label: LABEL, repo: "repo1", systemId: "7710141224171239387" };
const STATE: OpenState = {
  version: 1,
  stanza: STANZA,
  account: SELF,
  madeDirectory: true,
  recovery: RECOVERY,
  fetchesAll: false,
  phase: "used",
  backup: { ...CHOSEN, pgVersion: "18", sizeBytes: 10, rows: "", verified: "", tablespaces: [] },
};
const { backup: _, ...UNCHOSEN } = STATE;

describe("what is open on this machine", () => {
  let spool: string;
  let at: string;
  beforeEach(() => {
    const folder = temporaryFolder();
    chmodSync(folder, 0o755);
    spool = join(folder, "spool");
    at = join(folder, "past");
  });

  test("is listed by its record while nothing is mounted, until that is removed", async () => {
    await saveState(openLocation(at), STATE);
    await saveOpened(spool, at, STATE);
    await saveOpened(spool, "/mnt/other", { ...STATE, stanza: "other" });
    const progress = { totalBytes: 10, missingBytes: 3, isWhole: false, fetchesAll: false, trouble: null };
    await saveProgress(openLocation(at), progress);
    expect(await listOpened(spool, STANZA)).toEqual([
      { at, ...CHOSEN, isServed: false, isProduction: false, isRecovering: false, progress },
    ]);
    expect([await forgetOpened(spool, STANZA, at), await forgetOpened(spool, STANZA, at)]).toEqual([true, false]);
    expect(await listOpened(spool, STANZA)).toEqual([]);
  });

  test("counts as open where its files are missing or cannot be read", async () => {
    await saveOpened(spool, at, STATE);
    const [missing] = await listOpened(spool, STANZA);
    expect(missing).toMatchObject({ at, ...CHOSEN, doubt: `'${at}.pgbackstop' is not seen here` });
    mkdirSync(`${at}.pgbackstop`);
    writeFileSync(`${at}.pgbackstop/open.json`, "{");
    const [unreadable] = await listOpened(spool, STANZA);
    expect(unreadable).toMatchObject({ at, ...CHOSEN, doubt: expect.stringContaining("does not say what is open") });
  });

  test("recovers until PostgreSQL removes the signal, and where nobody can see it", async () => {
    const location = openLocation(at);
    const isRecovering = async (): Promise<unknown> => (await listOpened(spool, STANZA))[0]?.isRecovering;
    await saveOpened(spool, at, STATE);
    expect(await isRecovering()).toBe(true);
    await saveState(location, STATE);
    expect(await isRecovering()).toBe(false);
    mkdirSync(location.upper);
    for (const name of ["recovery.signal", "standby.signal"]) {
      writeFileSync(join(location.upper, name), "");
      expect(await isRecovering()).toBe(true);
      rmSync(join(location.upper, name));
    }
    expect(await isRecovering()).toBe(false);
  });

  test("is a list that fails with an unreadable record", async () => {
    await saveOpened(spool, at, STATE);
    writeFileSync(join(spool, `pgbackstop/${STANZA}/opened/x.json`), "{}");
    await expect(listOpened(spool, STANZA)).rejects.toMatchObject({ kind: "jsonFormat" });
  });

  test("is unknown while the backup is chosen, and nothing once that open was killed", async () => {
    const location = openLocation(at);
    await saveState(location, UNCHOSEN);
    await saveOpened(spool, at, UNCHOSEN);
    const self = { pid: process.pid, execId: "1-00000000" };
    const lock = acquireLock({ lockPath: location.folder, stanza: "opened", kind: "opening", ...self });
    const [chosen] = await listOpened(spool, STANZA);
    expect(chosen).toMatchObject({ label: null, doubt: "it is being opened" });
    lock.release();
    expect(await listOpened(spool, STANZA)).toEqual([]);
    // It was killed after it had chosen.
    await saveState(location, STATE);
    expect(await listOpened(spool, STANZA)).toMatchObject([CHOSEN]);
    expect(await findOpened(spool, STANZA, at)).toBeNull();
  });

  test.runIf(isRoot())("is no mount of another account, which has another spool path", async () => {
    const location = openLocation(at);
    const mounts = `36 25 0:45 / ${at} rw - fuse pgbackstop rw,user_id=0,group_id=0`;
    const account = { uid: 61_111, gid: 61_111 };
    const list = (): Promise<unknown> => actAs(account, () => listOpened(spool, STANZA, mounts));
    mkdirSync(location.folder, { mode: 0o700 });
    await saveState(location, STATE);
    expect(await listOpened(spool, STANZA, mounts)).toMatchObject([{ at, ...CHOSEN }]);
    expect(await list()).toEqual([]);
    // Its own state counts, also when nobody can read it.
    chownSync(location.folder, account.uid, account.gid);
    expect(await list()).toMatchObject([{ at, label: null, doubt: expect.stringContaining("open.json") }]);
    chownSync(location.folder, 0, 0);
    await saveOpened(spool, at, { ...STATE, account });
    expect(await list()).toMatchObject([{ at, ...CHOSEN, doubt: expect.stringContaining("open.json") }]);
  });

  test.runIf(isRoot())("is written with the rights of the spool's owner, which a missing spool gets", async () => {
    await saveOpened(spool, at, { ...STATE, account: { uid: 61_111, gid: 61_111 } });
    expect([spool, join(spool, `pgbackstop/${STANZA}/opened`)].map((path) => statSync(path).uid)).toEqual([
      61_111, 61_111,
    ]);
    rmSync(join(spool, `pgbackstop/${STANZA}`), { recursive: true });
    const roots = join(spool, "../roots");
    mkdirSync(roots, { mode: 0o700 });
    symlinkSync(roots, join(spool, `pgbackstop/${STANZA}`));
    chownSync(roots, 0, 0);
    await expect(saveOpened(spool, at, STATE)).rejects.toMatchObject({ kind: "fileOpen" });
    expect(existsSync(join(roots, "opened"))).toBe(false);
  });
});
