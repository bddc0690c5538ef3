import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { type BackupError, fail } from "../../../../runtime/base/errors";
import type { Candidate, CopyWal } from "../../../../runtime/operations/archiveGet/fetchCopy";
import { fetchFirst } from "../../../../runtime/operations/archiveGet/fetchFirst";
import { HeldClock, type TestContext, testContext } from "../../../harness/context";
import { repository, temporaryFolder } from "../../repository/support";

let folder: string;
let ctx: TestContext<HeldClock>;
let candidates: Candidate[];
beforeEach(() => {
  folder = temporaryFolder();
  ctx = testContext({ clock: new HeldClock() });
  candidates = [1, 2, 3].map((key) => ({
    repo: repository(key),
    archiveId: "15-1",
    pass: null,
    stored: {
      name: "000000010000000000000001",
      fileName: "000000010000000000000001",
      sha1: null,
      modifiedAtMs: 0,
      sizeRepoBytes: 1,
    },
    segmentSizeBytes: 1,
  }));
});

/** Seconds until each repository's copy is there; a minus: until it fails. */
function copies(secondsOf: Readonly<Record<number, number>>): { copy: CopyWal; readonly begun: string[] } {
  const begun: string[] = [];
  const copy: CopyWal = async ({ repo }, path, limit) => {
    begun.push(`repo${repo.key} at ${secondsNow()}${limit === null ? " without limit" : ""}`);
    const seconds = secondsOf[repo.key] ?? 0;
    const wantedMs = Math.abs(seconds) * 1000;
    const limitMs = limit?.limitMs ?? Number.POSITIVE_INFINITY;
    await ctx.clock.sleep(Math.min(wantedMs, limitMs), limit?.signal ?? ctx.signal);
    if (seconds < 0 || wantedMs >= limitMs) throw fail("hostConnect", `repo${repo.key} is gone`, { retryable: true });
    writeFileSync(path, `of repo${repo.key}`);
  };
  return { copy, begun };
}

let beganMs = 0;
const secondsNow = (): number => Math.floor((ctx.clock.monotonicMs() - beganMs) / 1000);

async function run(
  copy: CopyWal,
  of = candidates,
): Promise<{ source: number | null; failed: string[]; seconds: number }> {
  const failed: string[] = [];
  const note = (_: Candidate, error: BackupError): void => void failed.push(error.message);
  beganMs = ctx.clock.monotonicMs();
  const source = await ctx.clock.until(fetchFirst(of, join(folder, "RECOVERYXLOG"), copy, note, ctx));
  return { source: source?.repo.key ?? null, failed, seconds: secondsNow() };
}

const content = (): string => readFileSync(join(folder, "RECOVERYXLOG"), "utf8");

describe("several copies of a WAL file", () => {
  test("a fast one is fetched alone", async () => {
    const { begun, copy } = copies({ 1: 4 });
    expect(await run(copy)).toMatchObject({ source: 1, failed: [] });
    expect(begun).toEqual(["repo1 at 0"]);
    expect([content(), readdirSync(folder)]).toEqual(["of repo1", ["RECOVERYXLOG"]]);
  });

  test("a slow one is overtaken by the next repository's, and never replaces it later", async () => {
    const { begun, copy } = copies({ 1: 50, 2: 1 });
    expect(await run(copy)).toMatchObject({ source: 2, failed: [], seconds: 6 });
    expect(begun).toEqual(["repo1 at 0", "repo2 at 5"]);
    await ctx.clock.advance(100_000);
    expect([content(), readdirSync(folder)]).toEqual(["of repo2", ["RECOVERYXLOG"]]);
  });

  test("an overtaken repository is asked last for a minute", async () => {
    expect(await run(copies({ 1: 50 }).copy)).toMatchObject({ source: 2 });
    const next = copies({ 1: 50 });
    expect(await run(next.copy)).toMatchObject({ source: 2, seconds: 0 });
    await ctx.clock.advance(60_000);
    const again = copies({ 1: 2 });
    expect(await run(again.copy)).toMatchObject({ source: 1 });
  });

  test("a failed one is replaced at once", async () => {
    const { copy } = copies({ 1: -1, 2: -1 });
    expect(await run(copy)).toMatchObject({ source: 3, failed: ["repo1 is gone", "repo2 is gone"], seconds: 2 });
  });

  test("the only whole one may take long, once the others have failed", async () => {
    const { begun, copy } = copies({ 1: 100, 2: -1, 3: -1 });
    expect(await run(copy)).toMatchObject({ source: 1, failed: ["repo2 is gone", "repo3 is gone"] });
    expect(begun.at(-1)).toBe("repo1 at 60 without limit");
    expect(content()).toBe("of repo1");
  });

  test("all that fail are reported, and nothing stays", async () => {
    const { copy } = copies({ 1: -1, 2: -70, 3: -1 });
    expect(await run(copy)).toMatchObject({
      source: null,
      failed: expect.arrayContaining(["repo2 is gone"]) as unknown,
    });
    expect(readdirSync(folder)).toEqual([]);
  });
});

test("a single copy has no limit", async () => {
  expect(await run(copies({ 1: 100 }).copy, candidates.slice(0, 1))).toMatchObject({ source: 1, failed: [] });
});
