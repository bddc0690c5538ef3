import { expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { DEFAULT_SETTINGS } from "../../../../runtime/config/settings";
import type { AcknowledgePolicy, Settings } from "../../../../runtime/config/types";
import { archiveGet } from "../../../../runtime/operations/archiveGet/archiveGet";
import { endOfRecovery, mayEnd } from "../../../../runtime/operations/archiveGet/endOfRecovery";
import { testContext } from "../../../harness/context";
import { makeStanza, SYSTEM_ID } from "../../../harness/madeRepository";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { repository, temporaryFolder, walName } from "../../repository/support";

const ALL: AcknowledgePolicy = { mode: "all", repoIndexes: [] };
const ANY: AcknowledgePolicy = { mode: "any", repoIndexes: [] };

interface Asked {
  /** WAL that repo1 has. */
  readonly wal?: readonly string[];
  readonly walName?: string;
  /** As with `--repo=2`. */
  readonly isAlone?: boolean;
}

/** The error of `archive-get` when repo2 is unreadable and repo1 lacks the file. */
async function doubt({
  isAlone = false,
  wal = [walName(1)],
  walName: name = walName(2),
}: Asked = {}): Promise<ReturnType<typeof fail>> {
  const ctx = testContext();
  const storage = new FaultyStorage(new MemoryStorage());
  const repos = [repository(1), repository(2, { storage })] as const;
  await makeStanza(repos[0], { versions: ["15"], backups: [], wal: { "15-1": wal } });
  await makeStanza(repos[1], { versions: ["15"], backups: [], wal: {} });
  storage.breakDown(fail("hostConnect", "unreachable", { retryable: true }));
  const options = {
    walName: name,
    destination: `${temporaryFolder()}/x`,
    cluster: { version: "15", systemId: SYSTEM_ID },
  };
  return archiveGet(isAlone ? [repos[1]] : repos, options, ctx).then(
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
  // Under policy all, repo1 holds every acknowledged file since it has been in use.
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
  const ends = (settings: Partial<Settings>, dropsWal = false): Promise<boolean> =>
    mayEnd(error, { repoIndexes: [1, 2], dropsWal, settings: { acknowledge: ALL, ...settings } });
  expect(await ends({})).toBe(true);
  expect(await ends({ acknowledge: { mode: "named", repoIndexes: [1] } })).toBe(true);
  expect(await ends({ acknowledge: { mode: "named", repoIndexes: [2] } })).toBe(false);
  // A new machine has no settings file.
  expect(await ends(DEFAULT_SETTINGS)).toBe(false);
  expect(await ends({}, true)).toBe(false);
  expect(await ends({ archive: "stream" })).toBe(false);
  expect(await ends({ stream: { intervalSeconds: 1 } })).toBe(true);
  expect(await ends({ stream: { intervalSeconds: 1, synchronous: ALL } })).toBe(true);
  expect(await ends({ stream: { intervalSeconds: 1, synchronous: ANY } })).toBe(false);
});

// claim: docs/commands.md: a repository that is younger than the file, or that has dropped it, does not end a recovery
it.each<[string, Asked, boolean]>([
  ["nothing", { wal: [] }, false],
  ["what came before", { wal: [walName(1)] }, true],
  [
    "what came before, in the last segment of its directory",
    { wal: [walName(255)], walName: "000000010000000100000000" },
    true,
  ],
  // pg_wal or the stream had what lies between, as PostgreSQL asks for one after the other.
  ["what came before, some time before", { wal: [walName(1)], walName: walName(3) }, true],
  ["later segments alone", { wal: [walName(10), walName(11)], walName: walName(5) }, false],
  ["a hole, within a directory", { wal: [walName(1), walName(9)] }, false],
  ["a hole, over directories", { wal: [walName(1), "000000010000000100000000"] }, false],
  ["what came before, on the timeline before", { wal: [walName(1)], walName: walName(2, 2) }, true],
  ["the part of the segment that a promotion left", { wal: [walName(1), `${walName(2)}.partial`] }, true],
  ["an earlier timeline, asked for a history", { walName: "00000002.history" }, true],
  ["that timeline, asked for its history", { wal: [walName(1, 2)], walName: "00000002.history" }, false],
  ["a later history", { wal: [walName(1), "00000003.history"], walName: "00000002.history" }, false],
  ["nothing, asked for a history", { wal: [], walName: "00000002.history" }, false],
])("lets a repository end a recovery under policy all by what it has: %s", async (_what, asked, expected) => {
  const error = await doubt(asked);
  expect(await mayEnd(error, { repoIndexes: [1, 2], dropsWal: false, settings: { acknowledge: ALL } })).toBe(expected);
});

it("does not take a repository that was not asked for one that lacks the file", async () => {
  const error = await doubt({ isAlone: true });
  const acknowledge: AcknowledgePolicy = { mode: "named", repoIndexes: [1] };
  expect(await mayEnd(error, { repoIndexes: [2], dropsWal: false, settings: { acknowledge } })).toBe(false);
});
