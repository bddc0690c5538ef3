/** Other writers change a running backup or its base. The program must never list a backup that cannot be restored. */
// claim: README.md: a backup that another process damaged, or whose base it removed, is not listed
import { copyFileSync, readdirSync, renameSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { sha1Hex } from "../../../../runtime/base/hash";
import { type Manifest, parseManifest, renderManifest } from "../../../../runtime/format/repository/manifest";
import type { BackupOptions, BackupOutcome } from "../../../../runtime/operations/backup/backup";
import { expireRepository } from "../../../../runtime/operations/expire/expire";
import { inlinePool } from "../../../../runtime/operations/shared/jobs";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { verify } from "../../../../runtime/operations/verify/verify";
import { removeBackupPath } from "../../../../runtime/repository/expireStore";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Lease } from "../../../../runtime/repository/lease";
import type { Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { testLease } from "../../../harness/leases";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { sampleBytes } from "../../format/vectors";
import { CONTROL, makeDataDirectory, repository, temporaryFolder, WAL_SIZE_BYTES } from "../../repository/support";
import { runBackup } from "./support";

const REQUEST = { oldest: false, refusePageErrors: false, dryRun: false };
let ctx: TestContext;
let memory: MemoryStorage;
let repo: Repository;
let data: string;

beforeEach(async () => {
  ctx = testContext();
  memory = new MemoryStorage();
  repo = repository(1, { storage: memory, compress: { type: "zst", level: 3 } });
  data = makeDataDirectory(temporaryFolder(), { "base/5/large": sampleBytes(1_200_000) });
  await stanzaCreate([repo], CONTROL, ctx);
});

const labelsOf = async (): Promise<string[]> => (await loadBackupInfo(repo)).backups.map((entry) => entry.label);

async function expectWhole(): Promise<void> {
  const verdict = await verify(repo, inlinePool(new Map([[1, repo]]), ctx, 2), WAL_SIZE_BYTES, ctx);
  expect(
    verdict.backups.filter((row) => row.status !== "valid"),
    verdict.problems.join("\n"),
  ).toEqual([]);
}

const next = (): TestContext => testContext({ startedAtMs: ctx.clock.nowMs() + 60_000, seed: 7 });
const errorOf = async (run: Promise<BackupOutcome>): Promise<unknown> =>
  run.then(
    (outcome) => outcome.results,
    (error: unknown) => error,
  );

describe("a backup while another process writes", () => {
  it("is not listed when another host has expired its base and removed the directory", async () => {
    await runBackup([repo], data, ctx);
    writeFileSync(join(data, "base/5/16384"), "changed");
    ctx.clock.advance(60_000);
    const otherHost = async (): Promise<void> => {
      const other = next();
      await runBackup([repo], data, other);
      await expireRepository(repo, { full: 1, fullType: "count", archiveType: "full" }, REQUEST, testLease(), other);
    };
    const error = await errorOf(runBackup([repo], data, ctx, { type: "incr" }, { onStop: otherHost }));
    expect(error).toMatchObject({ kind: "lockAcquire" });
    const labels = await labelsOf();
    expect(labels).toHaveLength(1);
    expect(labels[0]).toMatch(/F$/);
    await expectWhole();
  });

  it("is not listed when its base is gone, although its own files exist", async () => {
    await runBackup([repo], data, ctx);
    const [full = ""] = await labelsOf();
    ctx.clock.advance(60_000);
    const expire = async (): Promise<void> => {
      await saveBackupInfo(repo, { ...(await loadBackupInfo(repo)), backups: [] }, ctx);
      await removeBackupPath(repo, full);
    };
    const error = await errorOf(runBackup([repo], data, ctx, { type: "incr" }, { onStop: expire }));
    expect(error).toMatchObject({
      kind: "backupSetInvalid",
      message: expect.stringContaining(`its prior backup ${full}`),
    });
    expect(await labelsOf()).toEqual([]);
  });

  it("is not listed when one of its files is gone or has another size", async () => {
    for (const harm of ["gone", "short"] as const) {
      const spoil = async (): Promise<void> => {
        const path = memory.paths().find((candidate) => candidate.endsWith("base/5/large.zst")) ?? "";
        if (harm === "gone") memory.files.delete(path);
        else await memory.put(path, new Uint8Array(3));
      };
      const error = await errorOf(runBackup([repo], data, ctx, {}, { onStop: spoil }));
      expect(error).toMatchObject({
        kind: harm === "gone" ? "fileMissing" : "fileInvalid",
        message: expect.stringContaining("base/5/large"),
      });
      expect(await labelsOf()).toEqual([]);
      expect(memory.paths().filter((path) => path.endsWith("backup.manifest"))).toEqual([]);
    }
  });
});

// claim: README.md: a backup never mixes the bytes of two servers
describe("a full backup that was interrupted", () => {
  const LARGE = "pg_data/base/5/large";

  /** Gives all files of these servers the same time. */
  function sameTimes(...roots: readonly string[]): void {
    for (const root of roots) {
      for (const entry of readdirSync(root, { recursive: true, encoding: "utf8" }))
        utimesSync(join(root, entry), 1_700_000_000, 1_700_000_000);
    }
  }

  /** Another server: its files have the same names, sizes and times, but other bytes. */
  function otherServer(): string {
    const other = makeDataDirectory(temporaryFolder(), {
      "base/5/large": Buffer.from(sampleBytes(1_200_000)).reverse(),
    });
    writeFileSync(join(other, "base/1/1259"), Buffer.alloc(16384, 7));
    writeFileSync(join(other, "base/5/16384"), Buffer.alloc(8192, 9));
    sameTimes(data, other);
    return other;
  }

  /** Interrupts a backup, and returns the label of the unfinished one. */
  async function breakOff(more: Partial<BackupOptions> = {}, lease: Lease = testLease()): Promise<string> {
    const stop = (): never => {
      throw new Error("the process dies");
    };
    await errorOf(
      runBackup([repo], data, ctx, { manifestSaveThresholdBytes: 1, ...more }, { onStop: stop }, async () => lease),
    );
    const path = memory.paths().findLast((candidate) => candidate.endsWith("backup.manifest.copy"));
    ctx.clock.advance(60_000);
    return path?.split("/")[2] ?? "";
  }

  async function goOn(
    root: string,
    lease: Lease = testLease(),
  ): Promise<{ manifest: Manifest; read: readonly string[]; text: string }> {
    const read: string[] = [];
    const outcome = await runBackup(
      [repo],
      root,
      ctx,
      {},
      { onCopy: (name) => void read.push(name) },
      async () => lease,
    );
    const [result] = outcome.results;
    if (result?.ok !== true) throw new Error("the backup failed");
    await expectWhole();
    expect(memory.paths().filter((path) => path.endsWith(".attempt"))).toEqual([]);
    return { manifest: result.value.manifest, read, text: ctx.lines.map((line) => line.text).join("\n") };
  }

  it("resumes on another server with that server's bytes only", async () => {
    const other = otherServer();
    const label = await breakOff();
    const { manifest, text } = await goOn(other);
    expect(text).toContain(`resumable backup ${label} of same type exists`);
    const rows = new Map(manifest.files.map((file) => [file.name, file.sha1]));
    expect(rows.get("pg_data/base/1/1259")).toBe(sha1Hex(Buffer.alloc(16384, 7)));
    expect(rows.get("pg_data/base/5/16384")).toBe(sha1Hex(Buffer.alloc(8192, 9)));
    expect(rows.get(LARGE)).toBe(sha1Hex(Buffer.from(sampleBytes(1_200_000)).reverse()));
  });

  it("resumes on the same server without reading the stored files", async () => {
    sameTimes(data);
    const label = await breakOff();
    const { manifest, read } = await goOn(data);
    expect(manifest.label).toBe(label);
    expect(read).not.toContain(LARGE);
  });

  it("is compared with the files if the server was restored in place meanwhile, or if stock left it", async () => {
    for (const change of ["restored", "stock"] as const) {
      sameTimes(data);
      const label = await breakOff();
      const control = join(data, "global/pg_control");
      if (change === "restored") {
        copyFileSync(control, `${control}.new`);
        renameSync(`${control}.new`, control);
        sameTimes(data);
      } else {
        memory.files.delete(`backup/demo/${label}/pgbackstop.attempt`);
        const path = `backup/demo/${label}/backup.manifest.copy`;
        const manifest = parseManifest(memory.text(path), path);
        await memory.put(path, Buffer.from(renderManifest({ ...manifest, annotations: {} })));
      }
      const { manifest, read } = await goOn(data);
      expect(manifest.label).toBe(label);
      expect(read).toContain(LARGE);
      ctx.clock.advance(60_000);
    }
  });

  it("is never resumed from another host, nor under its label in the same second", async () => {
    sameTimes(data);
    const beganAtMs = ctx.clock.nowMs();
    const label = await breakOff({}, testLease({ domain: "host2" }));
    ctx.clock.advance(beganAtMs - ctx.clock.nowMs());
    const { manifest, text } = await goOn(data);
    expect(text).toContain(`backup '${label}' cannot be resumed: another host started it`);
    expect(manifest.label).not.toBe(label);
    expect(memory.paths().filter((path) => path.includes(label))).toEqual([`pgbackstop/demo/tombstones/${label}`]);
  });

  it("does not pass for stock's when its attempt file was removed", async () => {
    const label = await breakOff();
    memory.files.delete(`backup/demo/${label}/pgbackstop.attempt`);
    expect((await goOn(data)).text).toContain(`backup '${label}' cannot be resumed: its attempt file is gone`);
  });

  it("leaves at the next save when another process took its directory", async () => {
    let copied = 0;
    const lease = testLease();
    const onCopy = (): void => {
      copied++;
      lease.isLost = true;
    };
    const error = await errorOf(
      runBackup([repo], data, ctx, { manifestSaveThresholdBytes: 1 }, { onCopy }, async () => lease),
    );
    expect(error).toMatchObject({ kind: "lockAcquire" });
    expect(copied).toBeGreaterThan(0);
    expect(await labelsOf()).toEqual([]);
  });
});
