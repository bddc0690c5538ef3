import { expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { DEFAULT_SETTINGS } from "../../../../runtime/config/settings";
import type { AcknowledgePolicy, Settings } from "../../../../runtime/config/types";
import { archiveGet } from "../../../../runtime/operations/archiveGet/archiveGet";
import { endOfRecovery, mayEnd } from "../../../../runtime/operations/archiveGet/endOfRecovery";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { CLUSTER, CONTROL, repository, temporaryFolder, walName } from "../../repository/support";

const ALL: AcknowledgePolicy = { mode: "all", repoIndexes: [] };
const ANY: AcknowledgePolicy = { mode: "any", repoIndexes: [] };

/** The error of `archive-get` when repo2 is unreadable and repo1 lacks the segment. */
async function doubt(): Promise<ReturnType<typeof fail>> {
  const ctx = testContext();
  const storage = new FaultyStorage(new MemoryStorage());
  const repos = [repository(1), repository(2, { storage })];
  await stanzaCreate(repos, CONTROL, ctx);
  storage.breakDown(fail("hostConnect", "unreachable", { retryable: true }));
  const options = { walName: walName(1), destination: `${temporaryFolder()}/x`, cluster: CLUSTER };
  return archiveGet(repos, options, ctx).then(
    () => fail("assert", "it was found"),
    (error: ReturnType<typeof fail>) => error,
  );
}

it("aborts a recovery that would end although acknowledged WAL may follow, and no other", async () => {
  const error = await doubt();
  expect(error.kind).toBe("repoInvalid");
  const recovery = (acknowledge: AcknowledgePolicy, ...files: readonly string[]) => ({
    repoIndexes: [1, 2],
    settings: { acknowledge },
    dropsWal: false,
    exists: async (name: string) => files.includes(name),
  });
  const abort = await endOfRecovery(error, recovery(ANY, "recovery.signal"));
  expect(abort?.exitCode).toBe(255);
  expect(abort?.error.hints.slice(-2)).toEqual([
    "PostgreSQL would take this for the end of the archive, so recovery is aborted.",
    "If repo2 is gone for good, recover with --repo=1.",
  ]);
  // Under policy all, repo1 holds every acknowledged file.
  expect(await endOfRecovery(error, recovery(ALL, "recovery.signal"))).toEqual({ exitCode: 1, error });
  expect(await endOfRecovery(error, recovery(ANY, "recovery.signal", "standby.signal"))).toBeNull();
  expect(await endOfRecovery(error, recovery(ANY))).toBeNull();
  expect(await endOfRecovery(fail("term", "terminated"), recovery(ANY, "recovery.signal"))).toBeNull();
  // A data directory that cannot be seen may recover.
  const unseen = { ...recovery(ANY), exists: async () => Promise.reject(new Error("EMFILE")) };
  expect((await endOfRecovery(error, unseen))?.exitCode).toBe(255);
  // Any other error means that the file exists but is unreadable.
  expect(await endOfRecovery(fail("checksum", "damaged"), recovery(ALL, "recovery.signal"))).toMatchObject({
    exitCode: 255,
  });
});

// claim: docs/commands.md: without a repository that cannot be read a recovery ends only if the settings promise that
//   the others hold every acknowledged file
it("takes a policy at its word only if the settings file says it, and nothing else breaks it", async () => {
  const error = await doubt();
  const ends = (settings: Partial<Settings>, dropsWal = false): boolean =>
    mayEnd(error, { repoIndexes: [1, 2], dropsWal, settings: { acknowledge: ALL, ...settings } });
  expect(ends({})).toBe(true);
  expect(ends({ acknowledge: { mode: "named", repoIndexes: [1] } })).toBe(true);
  expect(ends({ acknowledge: { mode: "named", repoIndexes: [2] } })).toBe(false);
  // A new machine has no settings file.
  expect(ends(DEFAULT_SETTINGS)).toBe(false);
  expect(ends({}, true)).toBe(false);
  expect(ends({ archive: "stream" })).toBe(false);
  expect(ends({ stream: { intervalSeconds: 1 } })).toBe(true);
  expect(ends({ stream: { intervalSeconds: 1, synchronous: ALL } })).toBe(true);
  expect(ends({ stream: { intervalSeconds: 1, synchronous: ANY } })).toBe(false);
});
