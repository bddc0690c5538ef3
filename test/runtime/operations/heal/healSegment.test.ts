// claim: docs/agent.md: the server's own bytes…
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { sha1Hex } from "../../../../runtime/base/hash";
import { openMissingWal, type MissingWalStore } from "../../../../runtime/local/missingWal";
import { healSegment } from "../../../../runtime/operations/heal/healSegment";
import { openLocalWal } from "../../../../runtime/operations/shared/localWal";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { Repository } from "../../../../runtime/repository/repository";
import { findWal } from "../../../../runtime/repository/walStore";
import { type TestContext, testContext } from "../../../harness/context";
import { CLUSTER, CONTROL, repository, temporaryFolder, walBytes, walName } from "../../repository/support";
import { emptyWal, pathOf, preparedWal, readable, store } from "../archive";

let ctx: TestContext;
let missingWal: MissingWalStore;
let repos: readonly [Repository, Repository, Repository];
const FORGED = Buffer.from(walBytes(1)).fill("x", 700, 800);
const HISTORY = "00000002.history";

beforeEach(async () => {
  ctx = testContext();
  missingWal = openMissingWal(temporaryFolder(), "demo");
  repos = [
    repository(1, { compress: { type: "gz", level: 6 } }),
    repository(2, { pass: "second", compress: { type: "zst", level: 3 } }),
    repository(3),
  ];
  await stanzaCreate(repos, CONTROL, ctx);
});

const run = (name: string, trustIndex?: number, wal: Uint8Array | null = null): ReturnType<typeof healSegment> => {
  const local = emptyWal({
    prepare: async () => (wal === null ? null : preparedWal(name, wal)),
    finishedSha1: async () => (wal === null ? null : sha1Hex(wal)),
  });
  return healSegment(repos, missingWal, CLUSTER, local, { name, trustIndex }, ctx);
};

const contents = async (): Promise<(string | null)[][]> =>
  Promise.all(repos.map(async (repo) => (await findWal(repo, "15-1", walName(1))).map(({ sha1 }) => sha1)));

describe("heal --segment", () => {
  it("gives every repository the trusted one's content, in place of others, and ends the records", async () => {
    await store(repos[0], [walName(1), FORGED]);
    await store(repos[1], 1);
    missingWal.add(3, walName(1), CLUSTER);
    missingWal.addConflict(1, walName(1), CLUSTER, sha1Hex(walBytes(1)));
    const changes = (await run(walName(1), 2)).map((result) => result.ok && result.value);
    expect(changes).toEqual([true, false, true]);
    const right = sha1Hex(walBytes(1));
    expect(await contents()).toEqual([[right], [right], [right]]);
    for (const repo of repos) expect(await readable(repo)).toEqual([walName(1)]);
    expect(missingWal.list(3)).toEqual([]);
    expect(missingWal.listConflicts(1)).toEqual([]);
    expect(ctx.lines).toContainEqual({
      level: "warn",
      text: `repo1: removed ${walName(1)}-${sha1Hex(FORGED)}.gz`,
    });
  });

  it("takes the content of pg_wal, also over several contents and a damaged one in the same repository", async () => {
    await store(repos[0], 1, [walName(1), FORGED]);
    await store(repos[2], 1);
    await repos[2].storage.put(await pathOf(repos[2], 1), new Uint8Array(0));
    await run(walName(1), undefined, walBytes(1));
    const right = sha1Hex(walBytes(1));
    expect(await contents()).toEqual([[right], [right], [right]]);
    for (const repo of repos) expect(await readable(repo)).toEqual([walName(1)]);
  });

  it("replaces a history too", async () => {
    await store(repos[0], [HISTORY, Buffer.from("1\t0/1\ta\n")]);
    await store(repos[1], [HISTORY, Buffer.from("1\t0/1\tb\n")]);
    expect((await run(HISTORY, 1)).map((result) => result.ok && result.value)).toEqual([false, true, true]);
    expect((await run(HISTORY, 1)).map((result) => result.ok && result.value)).toEqual([false, false, false]);
  });

  it.each([
    ["no repository is named and pg_wal has no such file", undefined, null, "fileMissing"],
    ["pg_wal has other content than the named repository", 1, walBytes(1), "checksum"],
    ["the named repository lacks it", 3, null, "fileMissing"],
    ["the named one is not configured", 9, null, "optionInvalidValue"],
    ["the named one has another cluster's segment", 2, null, "archiveMismatch"],
  ] as const)("changes nothing if %s", async (_case, trustIndex, wal, kind) => {
    await store(repos[0], [walName(1), FORGED]);
    await store(repos[1], [walName(1), walBytes(1, 99n)]);
    const before = await contents();
    await expect(run(walName(1), trustIndex, wal)).rejects.toMatchObject({ kind });
    expect(await contents()).toEqual(before);
  });

  it.each([
    ["that PostgreSQL is writing", 1, undefined],
    ["that PostgreSQL is writing, also of a trusted repository", 1, 1],
    ["that PostgreSQL has yet to write", 2, 1],
  ] as const)("refuses a segment %s, and takes it once it is finished", async (_case, no, trustIndex) => {
    const folder = temporaryFolder();
    const name = walName(no);
    mkdirSync(join(folder, "archive_status"));
    writeFileSync(join(folder, walName(1)), walBytes(1));
    await store(repos[0], no);
    await store(repos[1], [name, Buffer.from(walBytes(no)).fill("x", 700, 800)]);
    const local = openLocalWal(folder, CLUSTER, true);
    const heal = (): ReturnType<typeof healSegment> =>
      healSegment(repos, missingWal, CLUSTER, local, { name, trustIndex }, ctx);
    const stored = async (): Promise<(string | null)[][]> =>
      Promise.all(repos.map(async (repo) => (await findWal(repo, "15-1", name)).map(({ sha1 }) => sha1)));
    const before = await stored();
    await expect(heal()).rejects.toMatchObject({
      kind: "optionInvalidValue",
      message: expect.stringContaining("PostgreSQL has not finished this segment"),
    });
    expect(await stored()).toEqual(before);
    writeFileSync(join(folder, name), walBytes(no));
    writeFileSync(join(folder, "archive_status", `${name}.ready`), "");
    await heal();
    const right = sha1Hex(walBytes(no));
    expect(await stored()).toEqual([[right], [right], [right]]);
  });
});
