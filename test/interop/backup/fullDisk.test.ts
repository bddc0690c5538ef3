/** `expire` in a repository whose file system has no byte left, on a real tmpfs, and what `status` says before. */
// claim: docs/troubleshooting.md: `expire` frees space in a repository that is 100 % full, and leaves a reserve again
import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { PosixStorage } from "../../../runtime/storage/posix";
import { run, type RunResult } from "../../../tools/parts/process";
import { serverUser } from "../../../tools/parts/users";
import { testContext } from "../../harness/context";
import { makeStanza } from "../../harness/madeRepository";
import { canMountTmpfs } from "../../harness/real/interopParts";
import { findRuntime } from "../../harness/real/runtimeCli";
import { requireOk } from "../../harness/real/testBed";
import { repository } from "../../runtime/repository/support";

const LABELS = ["20260101-000000F", "20260108-000000F", "20260115-000000F"];
const SEGMENTS = Array.from({ length: 6 }, (_, index) => `00000001000000000000000${index + 1}`);
const MIB = 1024 * 1024;

describe("a repository that is 100 % full", async () => {
  const mounts = await canMountTmpfs("expire on a full disk");

  /** Three full backups with 8 MiB each in a file system of 40 MiB. */
  async function setUp() {
    const runtime = await findRuntime();
    const user = serverUser();
    const folder = mkdtempSync(join(tmpdir(), "full-disk-"));
    chmodSync(folder, 0o755);
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const root = join(folder, "repo");
    requireOk("mkdir", await run("mkdir", ["-p", root, join(folder, "own")]));
    requireOk("mount", await run("mount", ["-t", "tmpfs", "-o", "size=40m,mode=0750", "tmpfs", root]));
    onTestFinished(async () => void (await run("umount", [root])));
    const storage = new PosixStorage({ root, syncDirectories: false, symlinks: true, signal: testContext().signal });
    const backups = LABELS.map((label, index) => ({
      label,
      wal: [SEGMENTS[index * 2] ?? "", SEGMENTS[index * 2 + 1] ?? ""] as const,
    }));
    await makeStanza(repository(1, { storage }), { versions: ["15"], backups, wal: { "15-1": SEGMENTS } });
    for (const label of LABELS) fill(join(root, "backup/demo", label, "pg_data/large"), 8 * MIB);
    requireOk("chown", await run("chown", ["-R", `${user.uid}:${user.gid}`, folder]));
    const cli = (...args: readonly string[]): Promise<RunResult> =>
      run(
        runtime.node,
        [
          runtime.file,
          "--stanza=demo",
          `--repo1-path=${root}`,
          `--lock-path=${folder}/own`,
          ...args,
          "--log-level-file=off",
        ],
        { user, cwd: "/", timeoutMs: 120_000 },
      );
    return { cli, root };
  }

  test.runIf(mounts)("is expired, and keeps a reserve again", async () => {
    const { cli, root } = await setUp();
    requireOk("expire", await cli("expire", "--repo1-retention-full=3"));
    const reserve = join(root, "pgbackstop/demo/reserve");
    expect(readdirSync(reserve)).toHaveLength(4);
    fill(join(root, "filler"), Number.POSITIVE_INFINITY);
    expect(statfsSync(root).bavail).toBe(0);
    requireOk("expire", await cli("expire", "--repo1-retention-full=1"));
    expect(readdirSync(join(root, "backup/demo")).filter((name) => /^\d/.test(name))).toEqual(LABELS.slice(2));
    expect(statfsSync(root).bavail * statfsSync(root).bsize).toBeGreaterThan(14 * MIB);
    expect(readdirSync(reserve).map((name) => statSync(join(reserve, name)).size)).toEqual(
      [1, 2, 3, 4].map(() => MIB / 4),
    );
  });

  test.runIf(mounts)("without a reserve, is left as it was", async () => {
    const { cli, root } = await setUp();
    fill(join(root, "filler"), Number.POSITIVE_INFINITY);
    const filesIn = (name: string): string[] =>
      readdirSync(join(root, name), { recursive: true, encoding: "utf8" }).sort();
    const before = ["archive", "backup"].map(filesIn);
    const { exitCode, stderr, stdout } = await cli("expire", "--repo1-retention-full=1");
    expect(exitCode).toBe(104);
    expect(stderr + stdout).toContain("[28] No space left on device");
    expect(["archive", "backup"].map(filesIn)).toEqual(before);
  });
});

/** Random bytes up to a size, or until the file system has no space for a single one. */
function fill(path: string, sizeBytes: number): void {
  const fd = openSync(path, "w");
  let doneBytes = 0;
  for (let pieceBytes = 65_536; pieceBytes >= 1 && doneBytes < sizeBytes; )
    try {
      doneBytes += writeSync(fd, crypto.getRandomValues(new Uint8Array(pieceBytes)));
    } catch {
      pieceBytes /= 2;
    }
  closeSync(fd);
}
