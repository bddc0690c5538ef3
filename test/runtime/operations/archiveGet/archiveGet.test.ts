// claim: README.md: `archive-get` never mistakes a…
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { sha1Hex } from "../../../../runtime/base/hash";
import { archiveGet, archiveGetInTime } from "../../../../runtime/operations/archiveGet/archiveGet";
import { type CopyWal, copyHere } from "../../../../runtime/operations/archiveGet/fetchCopy";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { saveArchiveInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { PosixStorage } from "../../../../runtime/storage/posix";
import { HeldClock, TEST_TIME_MS, type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { CLUSTER, CONTROL, repository, temporaryFolder, walBytes, walName } from "../../repository/support";
import { pathOf, store } from "../archive";

let folder: string;
let ctx: TestContext<HeldClock>;
let first: FaultyStorage;
let second: FaultyStorage;
let repos: [Repository, Repository];

beforeEach(async () => {
  folder = temporaryFolder();
  ctx = testContext({ clock: new HeldClock() });
  first = new FaultyStorage(new MemoryStorage({ name: "memory1" }));
  second = new FaultyStorage(new MemoryStorage({ name: "memory2" }));
  repos = [
    repository(1, { storage: first, compress: { type: "lz4", level: 1 } }),
    repository(2, { storage: second, compress: { type: "zst", level: 3 }, pass: "second" }),
  ];
  await stanzaCreate(repos, CONTROL, ctx);
});

const get = (name: string, cluster = CLUSTER): Promise<boolean> =>
  archiveGet(repos, { walName: name, destination: join(folder, "RECOVERYXLOG"), cluster }, ctx);
const fetched = (): string => sha1Hex(readFileSync(join(folder, "RECOVERYXLOG")));
const texts = (): string[] => ctx.lines.filter((line) => line.level !== "debug").map((line) => line.text);

describe("archive-get", () => {
  it("fetches a segment from the first repository that has it, and leaves nothing else behind", async () => {
    await store(repos[0], 1);
    await store(repos[1], 1, 2);
    expect(await get(walName(1))).toBe(true);
    expect(fetched()).toBe(sha1Hex(walBytes(1)));
    expect(texts().at(-1)).toBe(`found ${walName(1)} in the repo1: 15-1 archive`);
    expect(await get(walName(2))).toBe(true);
    expect(fetched()).toBe(sha1Hex(walBytes(2)));
    expect(texts().at(-1)).toBe(`found ${walName(2)} in the repo2: 15-1 archive`);
    expect(readdirSync(folder)).toEqual(["RECOVERYXLOG"]);
  });

  it("removes what killed calls left of the same file, and a call that still runs replaces nothing", async () => {
    await store(repos[0], 1, 2);
    const others = [`RECOVERYHISTORY.${"0".repeat(16)}.pgbackrest.tmp`, "RECOVERYXLOG.0.pgbackrest.tmp", walName(1)];
    const left = ["RECOVERYXLOG.pgbackrest.tmp", `RECOVERYXLOG.${"f".repeat(16)}.pgbackrest.tmp`];
    for (const name of [...others, ...left]) writeFileSync(join(folder, name), "x");
    const copy = copyHere(ctx);
    const next: boolean[] = [];
    const fetch: CopyWal = async (candidate, path, limit) => {
      await copy(candidate, path, limit);
      next.push(await get(walName(2)));
    };
    const options = { walName: walName(1), destination: join(folder, "RECOVERYXLOG"), cluster: CLUSTER, fetch };
    await expect(archiveGet(repos, options, ctx)).rejects.toThrow("no repository has a readable copy");
    expect(next).toEqual([true]);
    expect(fetched()).toBe(sha1Hex(walBytes(2)));
    expect(readdirSync(folder).toSorted()).toEqual([...others, "RECOVERYXLOG"].toSorted());
  });

  it("fetches nothing larger than a segment, and leaves nothing behind", async () => {
    const bomb = new Uint8Array(8 * walBytes(1).length);
    await store(repos[0], [walName(1), bomb]);
    const options = {
      walName: walName(1),
      destination: join(folder, "RECOVERYXLOG"),
      cluster: CLUSTER,
      segmentSizeBytes: walBytes(1).length,
    };
    await expect(archiveGet(repos, options, ctx)).rejects.toMatchObject({ kind: "fileInvalid" });
    expect(readdirSync(folder)).toEqual([]);
  });

  it("writes into a device instead of replacing it with a file", async () => {
    await store(repos[0], 1);
    symlinkSync("/dev/null", join(folder, "RECOVERYXLOG"));
    expect(await get(walName(1))).toBe(true);
    expect(readlinkSync(join(folder, "RECOVERYXLOG"))).toBe("/dev/null");
    expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
    expect(readdirSync(folder)).toEqual(["RECOVERYXLOG"]);
  });

  it("fetches histories, backup labels and partial segments by their names", async () => {
    const label = `${walName(1)}.00000028.backup`;
    await store(
      repos[1],
      ["00000002.history", Buffer.from("1\t0/1\tx\n")],
      [label, Buffer.from("label")],
      [`${walName(1)}.partial`, walBytes(9)],
    );
    for (const [name, content] of [
      ["00000002.history", Buffer.from("1\t0/1\tx\n")],
      [label, Buffer.from("label")],
      [`${walName(1)}.partial`, walBytes(9)],
    ] as const) {
      expect(await get(name)).toBe(true);
      expect(fetched()).toBe(sha1Hex(content));
    }
    expect(await get(walName(1))).toBe(false);
  });

  it("searches every archive id of the cluster, the newest first", async () => {
    const { version: pgVersion, systemId } = CLUSTER;
    await store(repos[0], 1);
    const history = [
      { id: 1, systemId, pgVersion },
      { id: 2, systemId: 7n, pgVersion: "14" },
      { id: 3, systemId, pgVersion },
    ];
    await saveArchiveInfo(repos[0], { backrestVersion: "2.60.0", currentId: 3, history, other: [] }, ctx);
    expect(await get(walName(1))).toBe(true);
    expect(texts().at(-1)).toBe(`found ${walName(1)} in the repo1: 15-1 archive`);
  });

  // claim: docs/agent.md: segments are fetched ahead…
  it("answers not found only when every repository said so", async () => {
    expect(await get(walName(1))).toBe(false);
    expect(texts().at(-1)).toBe(`unable to find ${walName(1)} in the archive`);
    for (const broken of [first, second]) {
      broken.breakDown(fail("hostConnect", "unreachable", { retryable: true }));
      const error = await get(walName(1)).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ kind: "repoInvalid", exitCode: 103, retryable: true });
      expect((error as Error).message).toContain(
        `unable to determine whether ${walName(1)} is in the archive\nrepo${broken === first ? 1 : 2}: [HostConnectError]`,
      );
      broken.repair();
    }
    expect(existsSync(join(folder, "RECOVERYXLOG"))).toBe(false);
  });

  it("does not take the answer of another cluster's repository", async () => {
    await expect(get(walName(1), { ...CLUSTER, systemId: 42n })).rejects.toMatchObject({
      kind: "archiveMismatch",
      message: expect.stringContaining("system-id '42'"),
    });
  });

  it("ends at once, with the error's own code, when waiting does not help", async () => {
    await store(repos[0], 1);
    const locked = [{ ...repos[1], cipherPass: "another" }];
    const options = { walName: walName(1), destination: join(folder, "RECOVERYXLOG"), cluster: CLUSTER };
    await expect(archiveGetInTime(locked, options, 60_000, ctx)).rejects.toMatchObject({
      kind: "crypto",
      exitCode: 95,
      retryable: false,
    });
    expect(ctx.clock.monotonicMs()).toBe(TEST_TIME_MS);
    // An unreachable repository may have the file when it returns.
    first.breakDown(fail("hostConnect", "unreachable", { retryable: true }));
    const both = archiveGetInTime([repos[0], ...locked], options, 60_000, ctx);
    await ctx.clock.advance(1500);
    first.repair();
    expect(await ctx.clock.until(both)).toBe(true);
  });

  it("does not take a lost mount for an archive without the file", async () => {
    const storage = new FaultyStorage(
      new PosixStorage({ root: join(folder, "mount"), syncDirectories: true, symlinks: true, signal: ctx.signal }),
    );
    const mounted = repository(3, { storage });
    await stanzaCreate([mounted], CONTROL, ctx);
    await store(mounted, 1);
    const options = { walName: walName(1), destination: join(folder, "RECOVERYXLOG"), cluster: CLUSTER };
    storage.plan("list", { kind: "lie" });
    storage.plan("stat", { kind: "lie" }, { times: 2 });
    await expect(archiveGet([mounted], options, ctx)).rejects.toMatchObject({
      kind: "repoInvalid",
      message: expect.stringContaining(
        "[PathMissingError] 'archive/demo/archive.info' of repo3 was there a moment ago",
      ),
      retryable: true,
    });
    storage.verifyAllFaultsExercised();
    expect(await archiveGet([mounted], { ...options, walName: walName(2) }, ctx)).toBe(false);
    expect(await archiveGet([mounted], options, ctx)).toBe(true);
  });

  it("takes another copy when one is damaged, truncated or unreadable", async () => {
    for (const no of [1, 2, 3]) for (const repo of repos) await store(repo, no);
    const path = await pathOf(repos[0], 1);
    await first.put(path, Buffer.from(await pathBytes(first, path)).fill(0, 2000, 2100));
    first.plan("read", { kind: "truncate", sizeBytes: 900 }, { path: new RegExp(walName(2)) });
    first.plan(
      "read",
      { kind: "break", sizeBytes: 900, error: fail("fileRead", "bad sector") },
      { path: new RegExp(walName(3)) },
    );
    for (const no of [1, 2, 3]) {
      expect(await get(walName(no))).toBe(true);
      expect(fetched()).toBe(sha1Hex(walBytes(no)));
      expect(texts().at(-1)).toContain("repo2: 15-1");
      expect(texts().at(-2)).toMatch(/^repo1: \[/);
    }
    first.verifyAllFaultsExercised();
    expect(readdirSync(folder)).toEqual(["RECOVERYXLOG"]);
  });

  it("fails with the last copy's error, and no file, when no copy is readable", async () => {
    await store(repos[0], 1);
    const path = await pathOf(repos[0], 1);
    await first.put(path.replace(".lz4", ""), walBytes(2));
    await first.remove(path);
    const stored = `${walName(1)}-${sha1Hex(walBytes(1))}`;
    const because = `WAL file '${stored}' has checksum ${sha1Hex(walBytes(2))} but ${sha1Hex(walBytes(1))} is expected (${stored})`;
    await expect(get(walName(1))).rejects.toMatchObject({
      kind: "checksum",
      exitCode: 26,
      message: `unable to get ${walName(1)}: no repository has a readable copy\nrepo1: [ChecksumError] ${because}`,
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  it("refuses two different contents (45), and names their locations", async () => {
    const other = Buffer.from(walBytes(1)).fill("x", 700, 800);
    await store(repos[0], 1);
    await store(repos[1], [walName(1), other]);
    const error = await get(walName(1)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ kind: "archiveDuplicate", exitCode: 45 });
    expect((error as Error).message.split("\n")).toEqual([
      `duplicates found in archive for WAL segment ${walName(1)}:`,
      `repo1: 15-1/${walName(1)}-${sha1Hex(walBytes(1))}.lz4`,
      `repo2: 15-1/${walName(1)}-${sha1Hex(other)}.zst`,
    ]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("takes another repository's content for one that is damaged, or belongs to another position or cluster", async () => {
    await store(repos[0], [walName(1), walBytes(2)], [walName(2), walBytes(2, 99n)], [walName(3), walBytes(4)]);
    await first.put(await pathOf(repos[0], 3), new Uint8Array(0));
    await store(repos[1], 1, 2, 3);
    for (const no of [1, 2, 3]) {
      expect(await get(walName(no))).toBe(true);
      expect(fetched()).toBe(sha1Hex(walBytes(no)));
    }
    expect(texts().filter((text) => text.includes("is not used"))).toHaveLength(3);
  });

  it("refuses two valid histories that differ (45), and takes the valid one of two", async () => {
    const [one, two] = [Buffer.from("1\t0/1\ta\n"), Buffer.from("1\t0/2\tb\n")];
    await store(repos[0], ["00000002.history", one], ["00000003.history", Buffer.from("9\t0/1\ta\n")]);
    await store(repos[1], ["00000002.history", two], ["00000003.history", two]);
    await expect(get("00000002.history")).rejects.toMatchObject({ kind: "archiveDuplicate" });
    expect(readdirSync(folder)).toEqual([]);
    expect(await get("00000003.history")).toBe(true);
    expect(fetched()).toBe(sha1Hex(two));
  });

  it("does not wait for a hanging repository when another one has the file", async () => {
    await store(repos[1], 1);
    first.plan("read", { kind: "hang", signal: new AbortController().signal }, { path: /archive\.info/ });
    const beganMs = ctx.clock.monotonicMs();
    expect(await ctx.clock.until(get(walName(1)))).toBe(true);
    expect(ctx.clock.monotonicMs() - beganMs).toBeLessThan(20_000);
    expect(texts()).toContain("repo1: [HostConnectError] no answer 2000ms after another repository had the file");
    expect(fetched()).toBe(sha1Hex(walBytes(1)));
  });

  it("fetches another repository's copy while the first one is slow", async () => {
    await store(repos[0], 1);
    await store(repos[1], 1);
    first.plan("read", { kind: "hang", signal: new AbortController().signal }, { path: /\.lz4$/ });
    const beganMs = ctx.clock.monotonicMs();
    expect(await ctx.clock.until(get(walName(1)))).toBe(true);
    expect(ctx.clock.monotonicMs() - beganMs).toBeLessThan(20_000);
    expect(texts().at(-1)).toBe(`found ${walName(1)} in the repo2: 15-1 archive`);
    expect(fetched()).toBe(sha1Hex(walBytes(1)));
    expect(readdirSync(folder)).toEqual(["RECOVERYXLOG"]);
  });
});

async function pathBytes(storage: FaultyStorage, path: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of await storage.read(path)) parts.push(part);
  return Buffer.concat(parts);
}
