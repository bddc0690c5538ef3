import { mkdirSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { sha1Hex } from "../../../../runtime/base/hash";
import type { AcknowledgePolicy } from "../../../../runtime/config/types";
import { bringWal } from "../../../../runtime/operations/restore/bringWal";
import { loadManifest } from "../../../../runtime/repository/backupStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { type MadeBackup, makeStanza, SYSTEM_ID } from "../../../harness/madeRepository";
import { FaultyStorage } from "../../../harness/network/faults";
import { repository, temporaryFolder, walBytes, walName } from "../../repository/support";
import { restoreOptions } from "./support";

const synced = vi.hoisted((): string[] => []);
vi.mock("../../../../runtime/local/nodeFiles", async (original) => {
  const real = await original<typeof import("../../../../runtime/local/nodeFiles")>();
  const open: typeof real.open = async (path, ...more) => {
    const handle = await real.open(path, ...more);
    const sync = handle.sync.bind(handle);
    handle.sync = () => {
      synced.push(basename(String(path)));
      return sync();
    };
    return handle;
  };
  return { ...real, open };
});

const LABEL = "20261120-064059F";
const ALL: AcknowledgePolicy = { mode: "all", repoIndexes: [] };
const ANY: AcknowledgePolicy = { mode: "any", repoIndexes: [] };
const DENIED = { kind: "error", error: fail("pathOpen", "permission denied") } as const;
const RESTORE = "If repo2 is gone for good, restore with --repo=1.";
const HISTORY = "00000002.history";

let ctx: TestContext;
let folder: string;
let second: FaultyStorage;
let repos: readonly Repository[];

beforeEach(() => {
  ctx = testContext();
  folder = join(temporaryFolder(), "data");
  mkdirSync(folder);
  second = new FaultyStorage(new MemoryStorage({ name: "memory2" }));
  repos = [repository(1), repository(2, { storage: second })];
});

/** Both repositories have the backup, whose WAL is segment 2. */
async function make(...wal: readonly (readonly string[])[]): Promise<void> {
  const backups: readonly MadeBackup[] = [{ label: LABEL, wal: [walName(2), walName(2)] }];
  for (const [index, repo] of repos.entries())
    await makeStanza(repo, { versions: ["15"], backups, wal: { "15-1": wal[index] ?? [] } });
}

/** Names of the brought files. */
async function brought(
  acknowledge = ANY,
  recovery: Partial<ReturnType<typeof restoreOptions>["recovery"]> = {},
): Promise<string[]> {
  const manifest = await loadManifest(repos[0] as Repository, LABEL, null);
  const walDirectory = join(folder, "pg_wal");
  const base = restoreOptions(folder, folder);
  await bringWal(
    repos,
    manifest,
    {
      ...base,
      recovery: { ...base.recovery, ...recovery },
      followed: undefined,
      settings: { acknowledge },
      dropsWal: false,
      repoIndexes: [1, 2],
      walDirectory,
      owner: null,
      timeoutMs: 5000,
    },
    ctx,
  );
  return readdirSync(walDirectory).sort();
}

const segments = (...numbers: readonly number[]): string[] => numbers.map((no) => walName(no));

it("brings the WAL of all repositories up to the target, and the histories of all timelines", async () => {
  await make([...segments(2, 4), HISTORY], segments(3));
  synced.length = 0;
  const names = await brought();
  expect(names).toEqual([...segments(2, 3, 4), HISTORY].sort());
  // PostgreSQL would take one that a crash of the machine cut for the end of the archive.
  expect(synced.slice(-names.length - 1).sort()).toEqual([...names, "pg_wal"]);
});

it("brings the segment after that of a target, which may end in it", async () => {
  await make(segments(2, 3), segments(4));
  expect(await brought(ANY, { type: "lsn", target: "0/2FFFFF8" })).toEqual(segments(2, 3));
});

// A backup that begins in the first segment of 4 GiB fits several sizes.
it.each([
  ["less", 8, 512, [0xff, 0x100, 0x101]],
  ["more", 64, 17 * 1024 * 1024, [0, 1]],
])("asks a stored segment for a size of %s than 16 MiB", async (_, sizeMib, contentBytes, numbers) => {
  const wal = segments(...numbers);
  const backups = [{ label: LABEL, wal: [wal[0] ?? "", wal[0] ?? ""] as const }];
  for (const repo of repos) await makeStanza(repo, { versions: ["15"], backups, wal: {} });
  const content = Buffer.alloc(contentBytes);
  content.set(walBytes(0, SYSTEM_ID).subarray(0, 512));
  content.writeUInt32LE(sizeMib * 1024 * 1024, 32);
  for (const name of wal)
    await second.put(`archive/demo/15-1/${name.slice(0, 16)}/${name}-${sha1Hex(content)}`, content);
  expect(await brought()).toEqual(wal);
});

it("stops at a gap that no repository fills", async () => {
  await make(segments(2, 3), segments(5));
  expect(await brought()).toEqual(segments(2, 3));
});

// claim: docs/hosts/containers.md: a restore does not end at the WAL of one repository while another cannot be read
describe("a repository that cannot be read", () => {
  it.each([
    ["cannot be listed", "archive/demo/15-1", segments(2, 3, 4)],
    ["does not say whether it has the next segment", "archive/demo/15-1/0000000100000000$", segments(2)],
  ])("stops the restore when it %s", async (_, path, wal) => {
    await make(segments(2), wal);
    second.plan("list", DENIED, { path: new RegExp(path), times: Number.POSITIVE_INFINITY });
    await expect(brought()).rejects.toMatchObject({ kind: "repoInvalid", hints: expect.arrayContaining([RESTORE]) });
    // Repository 1 holds every acknowledged file.
    expect(await brought(ALL)).toEqual(segments(2));
  });

  it("is asked again", async () => {
    await make(segments(2), segments(3, 4));
    second.plan("list", DENIED, { path: /15-1$/, times: 3 });
    expect(await brought()).toEqual(segments(2, 3, 4));
    second.verifyAllFaultsExercised();
  });
});

it("brings what a repository has got since it was listed", async () => {
  await make(segments(2), segments(2, 3, 4));
  const list = second.list.bind(second);
  second.list = (path, options) => (options?.recursive === true ? none() : list(path, options));
  expect(await brought()).toEqual(segments(2, 3, 4));
});

async function* none(): AsyncGenerator<never> {}
