import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { renderEntry } from "../../../../runtime/operations/open/journalEntries";
import { openBackup, type OpenTools } from "../../../../runtime/operations/open/openBackup";
import {
  loadState,
  openLocation,
  type OpenLocation,
  saveState,
} from "../../../../runtime/operations/open/openLocation";
import { findOpened, saveOpened } from "../../../../runtime/operations/open/openedRecords";
import { isSafeBeside, ProductionDirectory } from "../../../../runtime/operations/recover/productionDirectory";
import { productionSettings, withSettings } from "../../../../runtime/operations/recover/productionSettings";
import { testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";
import { OPENED, RECOVERY } from "../open/upperWorld";

const SELF = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const RESTORED = "work_mem = '64MB'\n";
const production = { oldWal: null, settings: productionSettings("18") };
const ctx = testContext();
const NOTHING_IS_DONE: OpenTools = {
  untilDecided: () => expect.unreachable(),
  startServing: () => expect.unreachable(),
  program: () => expect.unreachable(),
};

let location: OpenLocation;
let spoolPath: string;
let directory: ProductionDirectory;
/** What `sync -f` answers. */
let syncCode = 0;

beforeEach(async () => {
  const folder = temporaryFolder();
  location = openLocation(join(folder, "data"));
  spoolPath = join(folder, "spool");
  syncCode = 0;
  const files = {
    [location.journal]: renderEntry({ kind: "whole" }),
    [location.restoredConf]: RESTORED,
    [`${location.upper}/postgresql.auto.conf`]: withSettings(RESTORED, production.settings),
    [`${location.upper}/global/pg_control.opening`]: "control",
  };
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content, { mode: 0o600 });
  }
  mkdirSync(location.at, { mode: 0 });
  const state = { version: 1, stanza: "main", account: SELF, madeDirectory: true, recovery: RECOVERY } as const;
  const used = { ...state, fetchesAll: true, phase: "used", backup: OPENED, production } as const;
  await saveState(location, used);
  await saveOpened(spoolPath, location.at, used);
  const request = { account: SELF, recovery: RECOVERY, stanza: "main", spoolPath, production };
  directory = new ProductionDirectory(
    location.at,
    { ...request, self: { pid: process.pid, execId: "1-00000000" } },
    {
      untilDecided: () => Promise.resolve(),
      startServing: () => ({ ended: Promise.resolve(1) }),
      program: () => Promise.resolve({ exitCode: syncCode, stdout: "", stderr: "no sync" }),
    },
  );
});

describe("production's directory", () => {
  // claim: docs/hosts/instant.md: killed at any step…
  test("takes the place of the mount point, its control file last, and a killed run is repeated", async () => {
    syncCode = 1;
    for (const round of [1, 2]) {
      await expect(directory.becomePlain(ctx), String(round)).rejects.toThrow("unable to sync");
      expect([await directory.isMoving(), directory.isPlain(), existsSync(location.folder)]).toEqual([
        true,
        false,
        true,
      ]);
      expect(readdirSync(join(location.at, "global"))).toEqual(["pg_control.opening"]);
    }
    expect(await findOpened(spoolPath, "main", location.at)).not.toBeNull();
    syncCode = 0;
    await directory.becomePlain(ctx);
    expect([directory.isPlain(), existsSync(location.folder)]).toEqual([true, false]);
    expect(readdirSync(join(location.at, "global"))).toEqual(["pg_control"]);
    expect(readFileSync(join(location.at, "postgresql.auto.conf"), "utf8")).toBe(RESTORED);
    expect(await findOpened(spoolPath, "main", location.at)).toBeNull();
    // The run was killed before it could say so, or while it removed the rest.
    for (const isLeft of [false, true]) {
      if (isLeft) mkdirSync(location.folder);
      await directory.clearMoved(ctx);
      expect([directory.isPlain(), existsSync(location.folder)]).toEqual([true, false]);
    }
  });

  test("stays where it is while a page is missing, and what has no files is no data directory", async () => {
    writeFileSync(location.journal, "");
    await expect(directory.becomePlain(ctx)).rejects.toThrow("not all files");
    expect([await directory.isMoving(), readdirSync(location.at)]).toEqual([false, []]);
    const lost = new ProductionDirectory(
      join(dirname(location.at), "lost"),
      { account: SELF, recovery: RECOVERY, stanza: "main", spoolPath, production, self: { pid: 1, execId: "1" } },
      NOTHING_IS_DONE,
    );
    await expect(lost.becomePlain(ctx)).rejects.toThrow("does not say where they are");
  });

  // claim: docs/hosts/instant.md: an undo keeps what production has written, for `open`, which archives nothing
  test("an undo keeps its writes under another name, as an opened backup that archives nothing", async () => {
    const aside = openLocation(`${location.at}.recovered-1`);
    expect(await directory.leave(true, "1", ctx)).toEqual([aside.folder]);
    expect([existsSync(location.at), existsSync(location.folder)]).toEqual([false, false]);
    expect(readFileSync(aside.restoredConf, "utf8")).toBe(`${RESTORED}archive_mode = 'off'\n`);
    expect(await loadState(aside)).toMatchObject({ phase: "used", recovery: { archiveMode: "off" } });
    expect((await loadState(aside))?.production).toBeUndefined();
    expect(await findOpened(spoolPath, "main", aside.at)).toMatchObject({ label: OPENED.label });
    expect(await findOpened(spoolPath, "main", location.at)).toBeNull();
    expect(await directory.leave(true, "1", ctx)).toEqual([]);
  });

  test("an undo discards what no server has used", async () => {
    expect(await directory.leave(false, "1", ctx)).toEqual([]);
    expect([existsSync(location.at), existsSync(location.folder)]).toEqual([false, false]);
    expect(await findOpened(spoolPath, "main", location.at)).toBeNull();
  });

  test("is not opened as a backup, and a backup that open has opened is not production's", async () => {
    const request = {
      at: location.at,
      stanza: "main",
      account: SELF,
      recovery: RECOVERY,
      named: { set: undefined, isTarget: false },
      fetchesAll: false,
      limitsCache: false,
      server: null,
      spoolPath,
      self: { pid: process.pid, execId: "1-00000000" },
    };
    await expect(openBackup(request, NOTHING_IS_DONE, ctx)).rejects.toThrow("is production's data directory");
    const { production: _, ...opened } = (await loadState(location)) ?? expect.unreachable();
    await saveState(location, opened);
    await expect(directory.mount(ctx)).rejects.toThrow("holds a backup that 'open' has opened");
    expect(statSync(location.upper).isDirectory()).toBe(true);
  });
});

test("beside a directory that others may write nothing is trusted", () => {
  const folder = temporaryFolder();
  const within = (mode: number): boolean => {
    const path = join(folder, mode.toString(8));
    mkdirSync(path);
    chmodSync(path, mode);
    return isSafeBeside(join(path, "data"), SELF.uid);
  };
  expect([0o700, 0o755, 0o775, 0o757].map(within)).toEqual([true, true, false, false]);
});
