import { beforeEach, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { parseBackupInfo } from "../../../../runtime/format/repository/backupInfo";
import { type MissingWalStore, openMissingWal } from "../../../../runtime/local/missingWal";
import { recordLost } from "../../../../runtime/operations/slot/lostWal";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { FaultyStorage } from "../../../harness/network/faults";
import { vectorText } from "../../format/vectors";
import { CLUSTER, CONTROL, repository, temporaryFolder, walName } from "../../repository/support";
import { store } from "../archive";

const [BACKUP] = parseBackupInfo(vectorText("v2.45/plain/backup.info"), "golden").backups;
const NAMES = [6, 7, 8].map((no) => walName(no));

let ctx: TestContext;
let missingWal: MissingWalStore;
let storages: FaultyStorage[];
let repos: [Repository, Repository];

beforeEach(async () => {
  ctx = testContext();
  missingWal = openMissingWal(temporaryFolder(), "demo");
  storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  const [first, second] = storages.map((storage, index) => repository(index + 1, { storage }));
  repos = [first as Repository, second as Repository];
  await stanzaCreate(repos, CONTROL, ctx);
  await giveBackup(repos[0]);
});

/** A backup that begins with segment 3. */
async function giveBackup(repo: Repository): Promise<void> {
  if (BACKUP === undefined) throw new Error("the golden backup.info has no backup");
  const backups = [{ ...BACKUP, archiveStart: walName(3), archiveStop: walName(3) }];
  await saveBackupInfo(repo, { ...(await loadBackupInfo(repo)), backups }, ctx);
}

const record = (): Promise<number> => recordLost(NAMES, repos, missingWal, CLUSTER, ctx);
const missing = (repoIndex: number): string[] => missingWal.list(repoIndex, CLUSTER);
const dropped = (repoIndex: number): string[] => missingWal.listDropped(repoIndex, CLUSTER);

// claim: docs/slot-archiving.md: what no repository has is recorded as dropped, also while one has no backup yet
test("a repository without a backup, which needs no WAL, hides no gap in another one", async () => {
  await store(repos[0], 3, 4, 5);
  expect(await record()).toBe(3);
  expect([dropped(1), missing(1)]).toEqual([NAMES, []]);
  expect([dropped(2), missing(2)]).toEqual([[], []]);
});

test("what a repository without a backup holds is not lost", async () => {
  await store(repos[1], 6, 7);
  expect(await record()).toBe(1);
  expect([dropped(1), missing(1)]).toEqual([[walName(8)], [walName(6), walName(7)]]);
  expect([dropped(2), missing(2)]).toEqual([[], []]);
});

test("a repository that does not answer may hold it, and those that answer decide", async () => {
  storages[1]?.breakDown(fail("hostConnect", "no route"));
  expect(await record()).toBe(3);
  expect([dropped(1), missing(1), dropped(2), missing(2)]).toEqual([NAMES, [], [], NAMES]);
});

test("nothing is lost that no repository needs, or while none answers", async () => {
  await saveBackupInfo(repos[0], { ...(await loadBackupInfo(repos[0])), backups: [] }, ctx);
  expect(await record()).toBe(0);
  expect([dropped(1), missing(1)]).toEqual([[], []]);
  for (const storage of storages) storage.breakDown(fail("hostConnect", "no route"));
  expect(await record()).toBe(0);
  expect([dropped(1), missing(1), missing(2)]).toEqual([[], NAMES, NAMES]);
});
