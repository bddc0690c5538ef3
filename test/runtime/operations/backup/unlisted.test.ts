import { describe, expect, it } from "vitest";
import { copyOf, manifestPath } from "../../../../runtime/format/repository/repoPath";
import { setHold } from "../../../../runtime/operations/expire/holdRecord";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { ManualClock, TEST_TIME_MS, type TestContext, testContext } from "../../../harness/context";
import { testLease } from "../../../harness/leases";
import { CONTROL, makeDataDirectory, repository, temporaryFolder } from "../../repository/support";
import { runBackup } from "./support";

/** A repository with one full backup. */
async function backedUp(): Promise<{ ctx: TestContext; data: string; repo: Repository }> {
  const ctx = testContext({ clock: new ManualClock(TEST_TIME_MS) });
  const repo = repository(1);
  const data = makeDataDirectory(temporaryFolder());
  await stanzaCreate([repo], CONTROL, ctx);
  await runBackup([repo], data, ctx);
  return { ctx, data, repo };
}

describe("a complete backup that is not listed", () => {
  it("is listed before an incremental backup builds on it", async () => {
    const { ctx, data, repo } = await backedUp();
    const info = await loadBackupInfo(repo);
    const [full] = info.backups;
    // Simulates a first backup that was killed between its manifest and backup.info.
    await saveBackupInfo(repo, { ...info, backups: [] }, ctx);
    ctx.clock.advance(10_000);
    await runBackup([repo], data, ctx, { type: "incr" });
    const { backups } = await loadBackupInfo(repo);
    expect(backups.map((entry) => entry.type)).toEqual(["full", "incr"]);
    expect(backups[0]).toEqual(full);
    expect(backups[1]?.prior).toBe(full?.label);
  });
});

// claim: docs/internals/concurrency.md: nothing is written into or removed from a listed backup whose manifest is gone
describe("a listed backup that lost its manifest is nobody's attempt", () => {
  it.each([
    ["the manifest", ["backup.manifest"]],
    ["the manifest and its copy", ["backup.manifest", "backup.manifest.copy"]],
  ])("without %s a new one gets its own label", async (_what, gone) => {
    const { ctx, data, repo } = await backedUp();
    ctx.clock.advance(10_000);
    await runBackup([repo], data, ctx, { type: "incr" });
    const [{ label } = { label: "" }] = (await loadBackupInfo(repo)).backups;
    const folder = `backup/demo/${label}`;
    for (const name of gone) await repo.storage.remove(`${folder}/${name}`);
    const stored = async (): Promise<unknown[]> => {
      const files: unknown[] = [];
      for await (const file of repo.storage.list(folder, { recursive: true })) files.push(file);
      return files;
    };
    const before = await stored();
    ctx.clock.advance(10_000);
    await runBackup([repo], data, ctx, { type: "full" });
    const labels = (await loadBackupInfo(repo)).backups.map((entry) => entry.label);
    expect([labels.length, labels.includes(label)]).toEqual([3, true]);
    // The increment refers to these files.
    expect(await stored()).toEqual(before);
  });
});

// claim: docs/retention.md: a held backup that cannot be listed keeps its files also through a backup
it.each(["full", "incr"] as const)(
  "the files of a held %s backup outlive its manifests, and those of its base",
  async (type) => {
    const { ctx, data, repo } = await backedUp();
    ctx.clock.advance(10_000);
    await runBackup([repo], data, ctx, { type: "incr" });
    const info = await loadBackupInfo(repo);
    const labels = info.backups.map(({ label }) => label);
    const label = info.backups.find((entry) => entry.type === type)?.label ?? "";
    await setHold(repo, label, { reason: "a lawsuit", untilS: null }, testLease(), ctx);
    for (const each of labels)
      for (const path of [manifestPath("demo", each), copyOf(manifestPath("demo", each))])
        await repo.storage.remove(path);
    // As expire leaves them.
    await saveBackupInfo(repo, { ...info, backups: [] }, ctx);
    const kept = labels.filter((each) => each <= label);
    const stored = async (): Promise<string[]> => {
      const paths: string[] = [];
      for (const each of kept)
        for await (const { path } of repo.storage.list(`backup/demo/${each}`, { recursive: true })) paths.push(path);
      return paths;
    };
    const before = await stored();
    expect(before.length).toBeGreaterThan(kept.length);
    ctx.clock.advance(10_000);
    await runBackup([repo], data, ctx, { type: "full" });
    expect(await stored()).toEqual(before);
  },
);
