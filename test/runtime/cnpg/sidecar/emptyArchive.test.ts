import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import {
  isCheckWanted,
  requireArchivedTimeline,
  requireOwnTimeline,
  Timelines,
} from "../../../../runtime/cnpg/sidecar/emptyArchive";
import { readHistory } from "../../../../runtime/repository/historyFile";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { Repository } from "../../../../runtime/repository/repository";
import { testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { CLUSTER, CONTROL, repository, temporaryFolder } from "../../repository/support";
import { cluster } from "../support";

const HISTORY = "1\t0/5000000\tno recovery target specified\n";
const OTHER = "1\t0/4000000\tbefore 2026-11-20 06:40:59+00\n";

let storages: FaultyStorage[];
let repos: Repository[];
let walDirectory: string;
const ctx = testContext();
beforeEach(async () => {
  walDirectory = join(temporaryFolder(), "pg_wal");
  mkdirSync(walDirectory);
  storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
  await stanzaCreate(repos, CONTROL, ctx);
});

const check = (walName = "000000020000000000000005"): Promise<void> =>
  requireOwnTimeline(repos, { cluster: CLUSTER, walDirectory, walName }, ctx);
const store = async (index: number, text: string): Promise<void> => {
  await storages[index]?.put(`archive/${repos[index]?.stanza}/15-1/00000002.history`, Buffer.from(text), {});
};
const stored = (index: number): Promise<string | null> =>
  readHistory(repos[index] as Repository, "15-1", "00000002.history", async () => null);
const recover = (): void => writeFileSync(join(walDirectory, "00000002.history"), HISTORY);

describe("the archive's owner", () => {
  test("continues its own archive, and opens a new timeline there", async () => {
    await check("000000010000000000000001");
    recover();
    await check();
    await store(0, HISTORY);
    await check();
  });

  test("is unknown while the server's own history cannot be read", async () => {
    symlinkSync("00000002.history", join(walDirectory, "00000002.history"));
    await store(1, OTHER);
    await expect(check()).rejects.toMatchObject({ kind: "fileOpen" });
  });

  // claim: docs/kubernetes/plugin.md: a missing stanza is…
  test("is another cluster if that one took its timeline", async () => {
    recover();
    await store(1, OTHER);
    await expect(check()).rejects.toMatchObject({ kind: "archiveDuplicate", repoIndex: 2 });
  });

  test("is not judged by an unreachable repository", async () => {
    recover();
    storages[0]?.breakDown(fail("hostConnect", "no route"));
    await check();
  });
});

describe("streaming on a timeline", () => {
  const mayStream = (timeline = 2): Promise<void> =>
    requireArchivedTimeline(repos[0] as Repository, { repos, cluster: CLUSTER, walDirectory, timeline }, ctx);
  /** PostgreSQL's archiver has the history still to do. */
  const waiting = (): void => {
    mkdirSync(join(walDirectory, "archive_status"));
    writeFileSync(join(walDirectory, "archive_status", "00000002.history.ready"), "");
  };

  test("waits for its history in that repository's archive, except on the first timeline", async () => {
    recover();
    waiting();
    await mayStream(1);
    await store(1, HISTORY);
    await expect(mayStream()).rejects.toMatchObject({ kind: "archiveTimeout", retryable: true });
    await store(0, HISTORY);
    await mayStream();
  });

  test("brings its history to a repository that is newer", async () => {
    recover();
    await mayStream();
    expect(await stored(0)).toBe(HISTORY);
    expect(await stored(1)).toBeNull();
  });

  test("is refused if another cluster archived its own history of it, there or in another repository", async () => {
    recover();
    await store(1, OTHER);
    await expect(mayStream()).rejects.toMatchObject({ kind: "archiveDuplicate", repoIndex: 2 });
    expect(await stored(0)).toBeNull();
    await store(0, OTHER);
    await expect(mayStream()).rejects.toMatchObject({ kind: "archiveDuplicate", repoIndex: 1 });
  });

  test("is not allowed by a repository that does not answer", async () => {
    recover();
    storages[0]?.breakDown(fail("hostConnect", "no route"));
    await expect(mayStream()).rejects.toMatchObject({ kind: "hostConnect" });
  });
});

// claim: docs/kubernetes/plugin.md: another recovery's archive is…
test("nothing precedes the first requested file of a timeline, and a history never does", () => {
  const timelines = new Timelines();
  expect(timelines.isAllowed("000000020000000000000005")).toBe(false);
  timelines.allow("00000002.history");
  expect(timelines.isAllowed("000000020000000000000005")).toBe(true);
  expect(timelines.isAllowed("000000010000000000000005.partial")).toBe(false);
  timelines.allow("000000030000000000000005");
  expect(timelines.isAllowed("00000003.history")).toBe(false);
});

describe("the check is wanted", () => {
  const annotated = {
    ...cluster(),
    metadata: { name: "orders", annotations: { "cnpg.io/skipEmptyWalArchiveCheck": "enabled" } },
  };

  test("by the caller's flag, else while the file exists, unless the annotation skips it", async () => {
    const folder = temporaryFolder();
    expect(await isCheckWanted(undefined, cluster(), folder)).toBe(false);
    writeFileSync(join(folder, ".check-empty-wal-archive"), "");
    expect(await isCheckWanted(undefined, cluster(), folder)).toBe(true);
    expect(await isCheckWanted(undefined, annotated, folder)).toBe(false);
    expect(await isCheckWanted(true, annotated, folder)).toBe(true);
    expect(await isCheckWanted(false, cluster(), folder)).toBe(false);
  });
});
