import { beforeEach, describe, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { StanzaKeeper } from "../../../../runtime/cnpg/sidecar/stanzaKeeper";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { loadArchiveInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { testLease } from "../../../harness/leases";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { CONTROL, OTHER_CONTROL, repository } from "../../repository/support";

let ctx: TestContext;
let storages: FaultyStorage[];
let repos: Repository[];
beforeEach(() => {
  ctx = testContext();
  storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
});
const leases = { take: async () => testLease(), releaseAll: async () => {} };
const keeper = (): StanzaKeeper =>
  new StanzaKeeper({ repositories: () => repos, loadControl: async () => CONTROL, unlockedLeases: () => leases }, ctx);
const systemIdIn = async (index: number): Promise<bigint | undefined> =>
  (await loadArchiveInfo(repos[index] as Repository)).history.at(-1)?.systemId;

describe("the stanza of a cluster without preparation", () => {
  test("is created in every repository, once", async () => {
    const stanzas = keeper();
    await stanzas.prepare();
    expect([await systemIdIn(0), await systemIdIn(1)]).toEqual([CONTROL.systemId, CONTROL.systemId]);
    const calls = storages[0]?.calls("stat").length;
    await stanzas.prepare();
    expect(storages[0]?.calls("stat").length).toBe(calls);
  });

  test("is created later in a repository that is unreachable at first", async () => {
    const stanzas = keeper();
    storages[0]?.breakDown(fail("hostConnect", "no route"));
    await stanzas.prepare();
    expect(await systemIdIn(1)).toBe(CONTROL.systemId);
    storages[0]?.repair();
    // The keeper does not retry with each file.
    await stanzas.prepare();
    await expect(systemIdIn(0)).rejects.toMatchObject({ kind: "fileMissing" });
    await ctx.clock.sleep(10_000, ctx.signal);
    await stanzas.prepare();
    expect(await systemIdIn(0)).toBe(CONTROL.systemId);
  });

  test("of another cluster is left unchanged", async () => {
    await stanzaCreate(repos.slice(0, 1), OTHER_CONTROL, ctx);
    await keeper().prepare();
    expect(await systemIdIn(0)).toBe(OTHER_CONTROL.systemId);
    expect(
      ctx.lines
        .filter((line) => line.level === "warn")
        .map((line) => line.text)
        .join("\n"),
    ).toContain("unable to prepare the stanza: repo1");
  });
});
