import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { gapHolders } from "../../../../runtime/operations/verify/gapHolders";
import type { Repository } from "../../../../runtime/repository/repository";
import { testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { FaultyStorage } from "../../../harness/network/faults";
import { CONTROL, repository, WAL_SIZE_BYTES, walName } from "../../repository/support";
import { store } from "../archive";

describe("a gap in one repository", () => {
  let storages: FaultyStorage[];
  let repos: [Repository, Repository, Repository];
  const holders = (...ranges: (readonly [number, number])[]): Promise<string[]> =>
    gapHolders(
      {
        repo: repos[0],
        archiveId: "15-1",
        gaps: ranges.map(([from, to]) => [walName(from), walName(to)]),
        missingHistories: [],
        segmentSizeBytes: WAL_SIZE_BYTES,
      },
      repos.slice(1),
    );

  beforeEach(async () => {
    storages = [1, 2, 3].map(() => new FaultyStorage(new MemoryStorage()));
    repos = [1, 2, 3].map((key, index) =>
      repository(key, { storage: storages[index] as FaultyStorage }),
    ) as typeof repos;
    await stanzaCreate(repos, CONTROL, testContext());
  });

  it("names each other repository that has some of it, and the way out", async () => {
    await store(repos[0], 1, 4);
    await store(repos[1], 1, 2, 3, 4);
    await store(repos[2], 3, 7);
    expect(await holders([2, 3], [5, 6])).toEqual([
      "15-1: repo2 has 2 of the 4 missing segment(s): 'heal' copies them",
      "15-1: repo3 has 1 of the 4 missing segment(s): 'heal' copies them",
    ]);
    expect(await holders([5, 6])).toEqual([]);
    expect(await holders()).toEqual([]);
  });

  it("may be a history, which is in no directory", async () => {
    await store(repos[1], 1, ["00000002.history", Buffer.from("1\t0/1\tx\n")]);
    const missing = { gaps: [], missingHistories: [["00000002.history", "00000003.history"]] as const };
    expect(
      await gapHolders({ repo: repos[0], archiveId: "15-1", ...missing, segmentSizeBytes: WAL_SIZE_BYTES }, [repos[1]]),
    ).toEqual(["15-1: repo2 has 1 of the 2 missing history file(s): 'heal' copies them"]);
  });

  it("is no error of a repository that does not answer", async () => {
    await store(repos[2], 3);
    storages[1]?.breakDown(fail("hostConnect", "unreachable"));
    expect(await holders([2, 3])).toEqual(["15-1: repo3 has 1 of the 2 missing segment(s): 'heal' copies them"]);
    storages[0]?.breakDown(fail("hostConnect", "unreachable"));
    expect(await holders([2, 3])).toEqual([]);
  });
});
