/**
 * Memory does not grow with the size of the data. A relation of 512 MiB (sparse, so that reading it needs no disk; in
 * the nightly form 2 GiB) and 128 MiB of incompressible bytes (256 MiB) go into two repositories at once. The peak
 * of the backup stays below 300 MiB, and so does a restore. Memory grows only with the number of files, also with two
 * repositories: 20,000 small ones, 200,000 in the nightly form.
 */
// claim: README.md: memory stays below 300 MiB for any size of data
import { randomBytes } from "node:crypto";
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { sleep, start } from "../../tools/parts/process";
import { S3Server } from "../../tools/parts/servers/s3Server";
import { giveTo } from "../../tools/parts/users";
import { findParts, s3Kind } from "../harness/real/interopParts";
import { TestBed } from "../harness/real/testBed";
import { NIGHTLY } from "../../tools/parts/nightly";

const MIB = 1024 ** 2;
const NOISE_MIB = NIGHTLY ? 256 : 128;
const RELATION_MIB = NIGHTLY ? 2048 : 512;
/** PostgreSQL's largest file. */
const SEGMENT_MIB = 1024;
const PEAK_MIB_MAX = 300;
const FILE_COUNT = NIGHTLY ? 200_000 : 20_000;
/** Threads and the program take most of the smaller limit: `verify` of few files peaks at 277 to 302 MiB. */
const FILES_PEAK_MIB_MAX = NIGHTLY ? 600 : 340;

describe("memory", async () => {
  const parts = await findParts("memory of a large backup", 18, "2.60");
  if (parts === null) return;
  test(`${RELATION_MIB} MiB of one relation and ${NOISE_MIB} MiB of noise, backed up twice at once and restored`, async (context) => {
    const server = await S3Server.create({ kind: await s3Kind() });
    context.onTestFinished(() => server.remove());
    const bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{ compressType: "zst" }, { s3: server, compressType: "zst", encrypted: true }],
    });
    context.onTestFinished(() => bed.remove());
    await bed.startWithStanza();
    addLargeFiles(bed, await bed.cluster.value("SELECT oid FROM pg_database WHERE datname = 'postgres'"));

    const backup = await measured(bed, ["backup", "--type=full", "--process-max=2"]);
    report("backup", backup);
    expect(backup.exitCode).toBe(0);
    expect(backup.log).toMatch(/repo2: full backup size = (2\.\dGB|6\d\d(\.\d)?MB)/);
    expect(backup.peakMib).toBeLessThan(PEAK_MIB_MAX);

    const location = join(bed.folder, "side", "restored");
    mkdirSync(location, { mode: 0o700 });
    giveTo(location, bed.cluster.user);
    const restore = await measured(bed, ["restore", "--repo=2", `--pg1-path=${location}`, "--process-max=2"]);
    report("restore", restore);
    expect(restore.exitCode).toBe(0);
    expect(statSync(join(location, "noise.bin")).size).toBe(NOISE_MIB * MIB);
    expect(restore.peakMib).toBeLessThan(PEAK_MIB_MAX);
  });
});

describe("memory for files", async () => {
  const title = `${FILE_COUNT} small files`;
  const parts = await findParts(title, 18, "2.60");
  if (parts === null) return;
  test.runIf(NIGHTLY)(
    `${title}, backed up in full and again, verified, shown, restored and expired`,
    async (context) => {
      const repos = [false, true].map((encrypted) => ({
        compressType: "zst" as const,
        encrypted,
        options: { bundle: "y" },
      }));
      const bed = await TestBed.create({ binaries: parts.binaries, repos });
      context.onTestFinished(() => bed.remove());
      await bed.startWithStanza();
      addSmallFiles(bed, await bed.cluster.value("SELECT oid FROM pg_database WHERE datname = 'postgres'"));
      const location = join(bed.folder, "side", "restored");
      mkdirSync(location, { mode: 0o700 });
      giveTo(location, bed.cluster.user);
      const restore = ["restore", "--repo=2", `--pg1-path=${location}`, "--process-max=2"];
      const commands = [
        ["backup", "--process-max=2", "--type=full"],
        ["backup", "--process-max=2", "--type=incr"],
        ["verify", "--process-max=2"],
        ["info"],
        restore,
        [...restore, "--delta"],
        ["expire", "--repo1-retention-full=1", "--repo2-retention-full=1"],
      ];
      for (const command of commands) {
        const cost = await measured(bed, command);
        report(`${command[0]} ${command.at(-1)} of ${title}`, cost);
        expect(cost.exitCode, cost.log).toBe(0);
        expect(cost.peakMib, command.join(" ")).toBeLessThan(FILES_PEAK_MIB_MAX);
      }
    },
  );
});

/** Adds relations of one empty page each, which are in no catalog. */
function addSmallFiles(bed: TestBed, databaseOid: string): void {
  const folder = join(bed.cluster.dataPath, "base", databaseOid);
  const page = Buffer.alloc(8192);
  for (let file = 0; file < FILE_COUNT; file++) {
    const path = join(folder, String(9_000_000 + file));
    writeFileSync(path, page, { mode: 0o600 });
    giveTo(path, bed.cluster.user);
  }
}

/** Adds segments of a relation that is in no catalog, and a file of random bytes. PostgreSQL ignores both. */
function addLargeFiles(bed: TestBed, databaseOid: string): void {
  const relation = join(bed.cluster.dataPath, "base", databaseOid, "990000");
  for (let leftMib = RELATION_MIB, no = 0; leftMib > 0; leftMib -= SEGMENT_MIB, no++) {
    const path = no === 0 ? relation : `${relation}.${no}`;
    writeFileSync(path, "", { mode: 0o600 });
    truncateSync(path, Math.min(leftMib, SEGMENT_MIB) * MIB);
    giveTo(path, bed.cluster.user);
  }
  const noise = join(bed.cluster.dataPath, "noise.bin");
  const file = openSync(noise, "w", 0o600);
  for (let block = 0; block < NOISE_MIB; block++) writeSync(file, randomBytes(MIB));
  closeSync(file);
  giveTo(noise, bed.cluster.user);
}

interface Measured {
  readonly exitCode: number;
  readonly peakMib: number;
  readonly seconds: number;
  readonly log: string;
}

/** Runs ours and reads its peak resident size from the kernel (VmHWM) until the process ends. */
async function measured(bed: TestBed, args: readonly string[]): Promise<Measured> {
  const logFile = join(bed.folder, "log", `measured-${args[0]}.log`);
  const startedAtMs = performance.now();
  const process = await start(bed.runtime.node, bed.oursCommand(args), {
    user: bed.cluster.user,
    cwd: bed.folder,
    logFile,
  });
  let peakKib = 0;
  while (process.isRunning()) {
    peakKib = Math.max(peakKib, highWaterKib(process.pid));
    await sleep(50);
  }
  const exitCode = await process.exited;
  const log = readFileSync(logFile, "utf8");
  rmSync(logFile);
  if (peakKib === 0) throw new Error(`the process told nothing about its memory\n${log}`);
  return { exitCode, peakMib: peakKib / 1024, seconds: (performance.now() - startedAtMs) / 1000, log };
}

function highWaterKib(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function report(what: string, { peakMib, seconds }: Measured): void {
  process.stdout.write(`memory: ${what} peaked at ${peakMib.toFixed(0)} MiB, took ${seconds.toFixed(1)} s\n`);
}
