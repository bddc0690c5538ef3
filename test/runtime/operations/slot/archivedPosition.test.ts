import { beforeEach, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { findArchived } from "../../../../runtime/operations/slot/archivedPosition";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { FaultyStorage } from "../../../harness/network/faults";
import {
  CLUSTER,
  CONTROL,
  OTHER_CONTROL,
  repository,
  WAL_SIZE_BYTES,
  walBytes,
  walName,
} from "../../repository/support";
import { store } from "../archive";

const at = (segments: number): bigint => BigInt(segments * WAL_SIZE_BYTES);
const FIRST = { timeline: 1, flushLsn: at(90), ancestors: [] };

let ctx: TestContext;
let repos: Repository[];

beforeEach(() => {
  ctx = testContext();
  repos = [1, 2].map((key) => repository(key));
});

const find = (history: Parameters<typeof findArchived>[2] = FIRST): ReturnType<typeof findArchived> =>
  findArchived(repos, CLUSTER, history, WAL_SIZE_BYTES, ctx);

test("the archive ends with the newest segment that any repository has", async () => {
  await stanzaCreate(repos, CONTROL, ctx);
  expect(await find()).toBeNull();
  await store(repos[0] as Repository, 3, 4, 5000);
  await store(repos[1] as Repository, 7);
  expect(await find()).toEqual({ timeline: 1, lsn: at(5001) });
});

test("a segment of another timeline counts up to where the server's own history left it", async () => {
  await stanzaCreate(repos, CONTROL, ctx);
  await store(repos[0] as Repository, 3, 4, 5, 6);
  await store(repos[0] as Repository, [walName(8, 2), walBytes(8)]);
  const ancestors = [{ timeline: 1, lsn: at(5) + 9n, reason: "" }];
  expect(await find({ timeline: 3, flushLsn: at(90), ancestors })).toEqual({ timeline: 1, lsn: at(5) });
  expect(await find({ timeline: 4, flushLsn: at(90), ancestors: [] })).toBeNull();
});

// claim: docs/slot-archiving.md: a cluster that no repository takes gets no slot, which would fill its disk
test("a cluster of another stanza is refused if every repository belongs to one, and not while one is silent", async () => {
  await stanzaCreate(repos, OTHER_CONTROL, ctx);
  await expect(find()).rejects.toMatchObject({
    kind: "archiveMismatch",
    hints: [expect.stringContaining("run pgbackstop recover"), expect.stringContaining("stanza-upgrade")],
  });
  // Not made yet: it may become this cluster's.
  repos.push(repository(3));
  expect(await find()).toBeNull();
});

test("an archive that only silent repositories may have is unknown, and one that answers decides", async () => {
  const storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
  await stanzaCreate(repos, CONTROL, ctx);
  await store(repos[1] as Repository, 7);
  for (const storage of storages) storage.breakDown(fail("hostConnect", "no route"));
  await expect(find()).rejects.toMatchObject({ kind: "repoInvalid", retryable: true });
  await expect(find()).rejects.toThrow(/\nrepo2: \[HostConnectError\] /);
  storages[0]?.repair();
  expect(await find()).toBeNull();
  storages[1]?.repair();
  expect(await find()).toEqual({ timeline: 1, lsn: at(8) });
});
