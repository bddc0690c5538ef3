import { beforeEach, describe, expect, test } from "vitest";
import type { Clock } from "../../../../runtime/base/clock";
import { fail } from "../../../../runtime/base/errors";
import { StanzaKeeper } from "../../../../runtime/cnpg/sidecar/stanzaKeeper";
import { segmentOfLsn } from "../../../../runtime/format/wal/walSegment";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { stanzaUpgrade } from "../../../../runtime/operations/stanza/stanzaUpgrade";
import { loadArchiveInfo, loadBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { HeldClock, type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { testLease } from "../../../harness/leases";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { store } from "../../operations/archive";
import { CONTROL, OTHER_CONTROL, repository, temporaryFolder } from "../../repository/support";

let clock: HeldClock;
let ctx: TestContext<Clock>;
let inner: [MemoryStorage, MemoryStorage];
let storages: FaultyStorage[];
let repos: Repository[];
/** On the instance's volume, beside the data directory. */
let spoolPath: string;
beforeEach(() => {
  spoolPath = temporaryFolder();
  // The volume's record is a real file: no wait for silent repositories may end before it is read.
  clock = new HeldClock();
  ctx = testContext({ clock });
  inner = [new MemoryStorage({ name: "memory1" }), new MemoryStorage({ name: "memory2" })];
  storages = inner.map((storage) => new FaultyStorage(storage));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
});
const leases = { take: async () => testLease(), releaseAll: async () => {} };
const keeper = (control = CONTROL): StanzaKeeper =>
  new StanzaKeeper(
    {
      repositories: () => repos,
      loadControl: async () => control,
      unlockedLeases: () => leases,
      config: { spoolPath, stanza: "demo" },
    },
    ctx,
  );
const systemIdIn = async (index: number): Promise<bigint | undefined> =>
  (await loadArchiveInfo(repos[index] as Repository)).history.at(-1)?.systemId;

describe("the stanza of a cluster without preparation", () => {
  // claim: docs/kubernetes/plugin.md: a missing stanza is created; another cluster's archive is refused
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
    await clock.advance(10_000);
    await stanzas.prepare();
    await expect.poll(() => systemIdIn(0).catch(() => null)).toBe(CONTROL.systemId);
  });

  // Or each of PostgreSQL's six tries at a shutdown would wait.
  test("delays archiving by a silent repository once", async () => {
    const stanzas = keeper();
    const silent = new AbortController();
    storages[0]?.plan("read", { kind: "hang", signal: silent.signal });
    await clock.until(stanzas.prepare());
    silent.abort();
    await clock.advance(10_000);
    storages[0]?.plan("read", { kind: "hang", signal: new AbortController().signal });
    await stanzas.prepare();
    expect(await systemIdIn(1)).toBe(CONTROL.systemId);
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

describe("a major upgrade in place", () => {
  /** What pg_upgrade makes of the cluster: its WAL starts behind the former's. */
  const UPGRADED = {
    ...CONTROL,
    pgVersion: "18",
    systemId: CONTROL.systemId + 1n,
    redoLsn: CONTROL.checkpointLsn + 0x1000028n,
    checkpointLsn: CONTROL.checkpointLsn + 0x1000080n,
  };
  const warnings = (): string[] => ctx.lines.flatMap(({ level, text }) => (level === "warn" ? [text] : []));
  const historyOf = async (index: number): Promise<string[]> => {
    const [archive, backup] = [
      await loadArchiveInfo(repos[index] as Repository),
      await loadBackupInfo(repos[index] as Repository),
    ];
    expect(archive.history.map(({ id, systemId }) => [id, systemId])).toEqual(
      backup.history.map(({ id, systemId }) => [id, systemId]),
    );
    return archive.history.map(({ id, pgVersion }) => `${pgVersion}-${id}`);
  };

  // claim: docs/kubernetes/upgrade.md: a stanza follows only the upgrade of the volume's own cluster
  test("upgrades the stanza of the volume's former cluster in every repository, once", async () => {
    await keeper().prepare();
    const stanzas = keeper(UPGRADED);
    await stanzas.prepare();
    expect([await historyOf(0), await historyOf(1)]).toEqual([
      ["15-1", "18-2"],
      ["15-1", "18-2"],
    ]);
    const writes = storages.map(({ writeCount }) => writeCount);
    await stanzas.prepare();
    await keeper(UPGRADED).prepare();
    expect(storages.map(({ writeCount }) => writeCount)).toEqual(writes);
    expect(warnings()).toEqual([]);
  });

  test("reaches a repository that was down during the upgrade when it is back, also after a restart", async () => {
    await keeper().prepare();
    storages[1]?.breakDown(fail("hostConnect", "no route"));
    await keeper(UPGRADED).prepare();
    storages[1]?.repair();
    expect([await historyOf(0), await historyOf(1)]).toEqual([["15-1", "18-2"], ["15-1"]]);
    await keeper(UPGRADED).prepare();
    expect(await historyOf(1)).toEqual(["15-1", "18-2"]);
  });

  test("completes an upgrade that was killed between the two info files", async () => {
    await keeper().prepare();
    storages[0]?.crashAfter(2);
    await keeper(UPGRADED).prepare();
    expect(storages[0]?.crashed).toBe(true);
    repos[0] = repository(1, { storage: inner[0] });
    await keeper(UPGRADED).prepare();
    expect(await historyOf(0)).toEqual(["15-1", "18-2"]);
  });

  // claim: docs/kubernetes/upgrade.md: a stanza follows only…
  test("leaves the stanza alone without the volume's record: a new cluster of the same name", async () => {
    await keeper().prepare();
    spoolPath = temporaryFolder();
    await keeper(UPGRADED).prepare();
    expect([await historyOf(0), await historyOf(1)]).toEqual([["15-1"], ["15-1"]]);
    expect(warnings().sort()[0]).toContain("unable to prepare the stanza: repo1");
  });

  test.each([
    ["a fresh initdb, whose WAL starts before the former's", { redoLsn: 0x1000028n }],
    ["another cluster of the same version", { pgVersion: CONTROL.pgVersion }],
    ["an older version", { pgVersion: "14" }],
  ])("leaves the stanza alone for %s", async (_what, difference) => {
    await keeper().prepare();
    await keeper({ ...UPGRADED, ...difference }).prepare();
    expect(await historyOf(0)).toEqual(["15-1"]);
  });

  test("leaves the stanza alone when the archive has WAL from behind the upgraded cluster's start", async () => {
    await keeper().prepare();
    const segment = (lsn: bigint): string => segmentOfLsn(1, lsn, CONTROL.walSegmentSizeBytes);
    await store(repos[0] as Repository, [segment(UPGRADED.redoLsn), Buffer.from("WAL")]);
    await store(repos[1] as Repository, [segment(UPGRADED.redoLsn - 0x1000000n), Buffer.from("WAL")]);
    await keeper(UPGRADED).prepare();
    expect([await historyOf(0), await historyOf(1)]).toEqual([["15-1"], ["15-1", "18-2"]]);
  });

  test("leaves a stanza alone that belongs to a third cluster meanwhile", async () => {
    await keeper().prepare();
    await stanzaUpgrade(repos, { ...UPGRADED, systemId: 99n }, ctx);
    await keeper(UPGRADED).prepare();
    expect((await loadArchiveInfo(repos[0] as Repository)).history.map(({ systemId }) => systemId)).toEqual([
      CONTROL.systemId,
      99n,
    ]);
  });
});
