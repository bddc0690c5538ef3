/** Stock pgBackRest respects our locks, and acquires them when they are free. */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { acquireLock } from "../../runtime/local/lockFile";
import { stockOrSkip } from "../harness/real/parts";

// Up to 2.52, the name of a lock has no repository index.
describe.each([
  { version: "2.45", key: {}, more: [] },
  // 2.60 runs as root only with this option.
  { version: "2.60", key: { repoIndex: 1 }, more: ["--allow-root"] },
] as const)("stock $version", ({ version, key, more }) => {
  test("waits while we hold the backup lock, and continues after the release", async (context) => {
    const stock = await stockOrSkip(context, version);
    const folder = mkdtempSync(join(tmpdir(), "locks-"));
    const lockPath = join(folder, "lock");
    mkdirSync(join(folder, "repo"));
    const options = [
      ...more,
      "--config=/dev/null",
      "--stanza=demo",
      `--lock-path=${lockPath}`,
      `--repo1-path=${join(folder, "repo")}`,
      "--log-level-file=off",
    ];
    const expire = async (): Promise<{ exitCode: number; output: string }> => {
      const { exitCode, stdout, stderr } = await stock.run([
        ...options,
        "--log-level-console=info",
        "--repo1-retention-full=1",
        "expire",
      ]);
      return { exitCode, output: stdout + stderr };
    };
    try {
      const lock = acquireLock({
        lockPath,
        stanza: "demo",
        kind: "backup",
        ...key,
        execId: `${process.pid}-0a1b2c3d`,
        pid: process.pid,
      });
      const refused = await expire();
      expect(refused.exitCode).toBe(50);
      expect(refused.output).toContain(
        `unable to acquire lock on file '${lock.path}': Resource temporarily unavailable`,
      );
      lock.release();
      expect(existsSync(lock.path)).toBe(false);
      // It acquires the lock and then fails, because there is no repository yet.
      const free = await expire();
      expect(free.exitCode).not.toBe(50);
      expect(free.output).not.toContain("unable to acquire lock");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
