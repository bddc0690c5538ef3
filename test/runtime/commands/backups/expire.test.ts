import { rmSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { expireCommand } from "../../../../runtime/commands/backups/expire";
import { openLocation, type OpenState, saveState } from "../../../../runtime/operations/open/openLocation";
import { forgetOpened, saveOpened } from "../../../../runtime/operations/open/openedRecords";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { testContext, type TestContext } from "../../../harness/context";
import { testLease } from "../../../harness/leases";
import { makeStanza, SYSTEM_ID } from "../../../harness/madeRepository";
import { repository, temporaryFolder, walName } from "../../repository/support";
import { RECOVERY } from "../../operations/open/upperWorld";
import { host } from "../support";

const OLD = "20260101-000000F";
const NEW = "20260201-000000F";
const STANZA = {
  versions: ["15"],
  backups: [
    { label: OLD, wal: [walName(1), walName(1)] },
    { label: NEW, wal: [walName(3), walName(3)] },
  ],
  wal: { "15-1": [1, 2, 3, 4].map((no) => walName(no)) },
} as const;
const BACKUP = {
  label: OLD,
  repo: "repo1",
  systemId: String(SYSTEM_ID),
  pgVersion: "15",
  sizeBytes: 1,
  rows: "",
  verified: "",
  tablespaces: [],
};

describe("expire", () => {
  let folder: string;
  let repo: Repository;
  let state: OpenState;
  const spoolOf = (): string => join(folder, "spool");
  beforeEach(async () => {
    folder = temporaryFolder();
    repo = repository(1);
    await makeStanza(repo, STANZA);
    state = {
      version: 1,
      stanza: "demo",
      account: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
      madeDirectory: true,
      recovery: RECOVERY,
      fetchesAll: false,
      phase: "used",
      backup: BACKUP,
    };
  });
  const listed = async (): Promise<string[]> => (await loadBackupInfo(repo)).backups.map(({ label }) => label);

  async function expire(whenHeld = async (): Promise<void> => {}): Promise<TestContext> {
    const ctx = testContext();
    const made = host({ folder, repos: [repo], ctx, argv: ["expire", "--repo1-retention-full=1"] });
    const take = async (): Promise<ReturnType<typeof testLease>> => {
      await whenHeld();
      return testLease();
    };
    await expireCommand({ ...made, leases: { ...made.leases, take } });
    return ctx;
  }

  // claim: docs/open.md: `expire` leaves an opened backup while nothing is mounted, and until it is closed
  test("leaves a backup that is open and not mounted, until it is closed", async () => {
    const location = openLocation(join(folder, "past"));
    await saveState(location, state);
    await saveOpened(spoolOf(), location.at, state);
    const ctx = await expire();
    expect(await listed()).toEqual([OLD, NEW]);
    expect(ctx.lines.map(({ text }) => text)).toContain(
      `repo1: backup ${OLD} stays, because it is open at '${location.at}'\nHINT: close it, or let it fetch everything (--fetch-all).`,
    );
    // It may be on a disk that is not mounted here.
    rmSync(location.folder, { recursive: true });
    expect((await expire()).lines.map(({ text }) => text).join("\n")).toContain(
      `it counts as open at '${location.at}': '${location.folder}' is not seen here\nHINT: If it is gone for good, end it: pgbackstop close --at=${location.at}`,
    );
    expect(await listed()).toEqual([OLD, NEW]);
    await forgetOpened(spoolOf(), "demo", location.at);
    await expire();
    expect(await listed()).toEqual([NEW]);
  });

  test("leaves a backup that is opened while it waits for the lease", async () => {
    const location = openLocation(join(folder, "past"));
    await expire(async () => {
      await saveState(location, state);
      await saveOpened(spoolOf(), location.at, state);
    });
    expect(await listed()).toEqual([OLD, NEW]);
  });

  test("takes another cluster's backup of the same stanza and second for no own one", async () => {
    await saveOpened(spoolOf(), "/mnt/other", { ...state, backup: { ...BACKUP, systemId: "1" } });
    await expire();
    expect(await listed()).toEqual([NEW]);
  });

  test("removes nothing while nobody can tell which backup is open", async () => {
    const { backup: _, ...chosen } = state;
    await saveOpened(spoolOf(), "/mnt/unseen", chosen);
    await expect(expire()).rejects.toThrow("expire command encountered 1 error(s)");
    expect(await listed()).toEqual([OLD, NEW]);
  });
});
