import { expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import type { AcknowledgePolicy } from "../../../../runtime/config/types";
import { archiveGet } from "../../../../runtime/operations/archiveGet/archiveGet";
import { endOfRecovery } from "../../../../runtime/operations/archiveGet/endOfRecovery";
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
    acknowledge,
    exists: async (name: string) => files.includes(name),
  });
  const abort = await endOfRecovery(error, recovery(ANY, "recovery.signal"));
  expect(abort?.exitCode).toBe(255);
  expect(abort?.error.hints.at(-1)).toContain("recovery is aborted");
  // Under policy all, repo1 holds every acknowledged file.
  expect(await endOfRecovery(error, recovery(ALL, "recovery.signal"))).toEqual({ exitCode: 1, error });
  expect(await endOfRecovery(error, recovery(ANY, "recovery.signal", "standby.signal"))).toBeNull();
  expect(await endOfRecovery(error, recovery(ANY))).toBeNull();
  expect(await endOfRecovery(fail("term", "terminated"), recovery(ANY, "recovery.signal"))).toBeNull();
  // Any other error means that the file exists but is unreadable.
  expect(await endOfRecovery(fail("checksum", "damaged"), recovery(ALL, "recovery.signal"))).toMatchObject({
    exitCode: 255,
  });
});
