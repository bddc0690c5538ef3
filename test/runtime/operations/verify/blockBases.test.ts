// claim: docs/commands.md: verify of one backup reads its blocks in earlier backups
import { readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, it } from "vitest";
import { BLOCK_DEFAULTS } from "../../../../runtime/format/repository/blockSize";
import { inlinePool } from "../../../../runtime/operations/shared/jobs";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { type Verdict, verify } from "../../../../runtime/operations/verify/verify";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import { readFile, type Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { sampleBytes } from "../../format/vectors";
import { CONTROL, makeDataDirectory, repository, temporaryFolder, WAL_SIZE_BYTES } from "../../repository/support";
import { store } from "../archive";
import { runBackup } from "../backup/support";

const MIB = 1024 * 1024;
const BUNDLE = { sizeBytes: MIB, limitBytes: 64 * 1024 };
let ctx: TestContext;
let repo: Repository;
let labels: readonly string[];

/** A full backup and two increments of a file of which each changes one block. */
beforeEach(async () => {
  ctx = testContext();
  const data = makeDataDirectory(temporaryFolder(), { "base/5/large": sampleBytes(MIB) });
  repo = repository(1, { compress: { type: "zst", level: 3 }, block: BLOCK_DEFAULTS, bundle: BUNDLE });
  await stanzaCreate([repo], CONTROL, ctx);
  await store(repo, 3, 4);
  const large = join(data, "base/5/large");
  const nowS = Math.floor(ctx.clock.nowMs() / 1000);
  for (const [index, type] of (["full", "incr", "incr"] as const).entries()) {
    const bytes = readFileSync(large);
    bytes[index * 100_000] = (bytes[index * 100_000] ?? 0) ^ 255;
    writeFileSync(large, bytes);
    utimesSync(large, nowS - 1000 + index * 100, nowS - 1000 + index * 100);
    await runBackup([repo], data, ctx, { type });
    ctx.clock.advance(10_000);
  }
  labels = (await loadBackupInfo(repo)).backups.map(({ label }) => label);
});

const run = (set?: string): Promise<Verdict> =>
  verify(repo, inlinePool(new Map([[1, repo]]), ctx, 2), WAL_SIZE_BYTES, ctx, set === undefined ? {} : { set });

async function damage(index: number): Promise<string> {
  const path = `backup/demo/${labels[index]}/pg_data/base/5/large.pgbi`;
  const stored = Buffer.from(await readFile(repo, path, null));
  stored.writeUInt8(stored.readUInt8(20) ^ 255, 20);
  await repo.storage.put(path, stored);
  return path;
}

it("reads the super blocks of one backup in earlier backups too", async () => {
  for (const label of labels) expect(await run(label)).toMatchObject({ ok: true, problems: [] });
  const path = await damage(0);
  const newest = await run(labels[2]);
  expect(newest).toMatchObject({ ok: false, backups: [{ label: labels[2], status: "invalid" }] });
  expect(newest.problems).toEqual([expect.stringContaining(`${labels[2]}: invalid checksum '${path}'`)]);
  expect((await run(labels[0])).problems).toHaveLength(1);
});

it("counts the damage of a block in each backup whose map refers to it, and in no earlier one", async () => {
  await damage(1);
  expect((await run()).backups.map(({ status }) => status)).toEqual(["valid", "invalid", "invalid"]);
  expect((await run(labels[0])).ok).toBe(true);
});

it("reports an earlier backup whose manifest is gone", async () => {
  for (const name of ["backup.manifest", "backup.manifest.copy"])
    await repo.storage.remove(`backup/demo/${labels[0]}/${name}`);
  expect(await run(labels[2])).toMatchObject({ ok: false, problems: [expect.stringContaining(`${labels[0]}: [File`)] });
});
