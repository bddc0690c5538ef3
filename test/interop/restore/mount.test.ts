/**
 * A NAS that is not mounted. Only its repository fails, for backups, WAL and restores, and nothing is written into the
 * bare mount point. It gets its missing WAL once it is back. Needs root for the mount.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { describe, expect, test, type TestContext } from "vitest";
import { run } from "../../../tools/parts/process";
import { giveTo, isRoot } from "../../../tools/parts/users";
import { parseInfo } from "../../harness/compare/infoJson";
import { findParts, loud, skipped } from "../../harness/real/interopParts";
import { TestBed } from "../../harness/real/testBed";

describe("a directory on a mount", async () => {
  const title = "unmounted repositories";
  const parts = await findParts(title, 18, "2.60");
  if (!isRoot()) return void skipped(title, "only root can mount");
  if (parts === null) return;

  const makeBed = async (context: TestContext): Promise<TestBed> => {
    const bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{}, {}],
      acknowledge: "any",
      walSegmentSizeMb: 1,
    });
    context.onTestFinished(() => bed.remove());
    return bed;
  };

  /** Null if nothing can be mounted. A bind mount keeps the content of the NAS while its mount point is bare. */
  const mountNas = async (bed: TestBed, path: string, context: TestContext): Promise<string | null> => {
    const { uid, gid } = bed.cluster.user;
    const mounted = await run("mount", ["-t", "tmpfs", "-o", `size=256m,uid=${uid},gid=${gid},mode=750`, "nas", path]);
    if (mounted.exitCode !== 0) {
      loud(title, mounted.stderr.trim());
      return null;
    }
    const nas = `${bed.folder}/side`;
    await run("mount", ["--bind", path, nas]);
    context.onTestFinished(async () => {
      for (const point of [path, nas]) await run("umount", ["-l", point]);
    });
    return nas;
  };

  test("accepts nothing while it is unmounted, and is healed when it is back", async (context) => {
    const bed = await makeBed(context);
    const path = bed.repoPath(1);
    const nas = await mountNas(bed, path, context);
    if (nas === null) return;
    await bed.startWithStanza();
    await bed.cluster.sql("CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 1000) g");
    await bed.oursOk(["backup", "--type=full"]);
    await bed.archiveAll();

    await run("umount", [path]);
    const name = await bed.archiveAll();
    const backup = await bed.ours(["backup", "--type=full"]);
    expect(backup.exitCode).toBe(104);
    expect(backup.stdout).toMatch(/repo1: /);
    expect(readdirSync(path)).toEqual([]);
    const away = parseInfo((await bed.ours(["info", "--output=json"])).stdout);
    expect(away.repo[1]?.status.code).toBe(0);
    expect(Number(away.repo[0]?.["wal-missing"])).toBeGreaterThan(0);

    await run("mount", ["--bind", nas, path]);
    expect((await bed.oursOk(["heal"])).stdout).toMatch(/repo1: [1-9]\d* missing WAL file\(s\) copied/);
    expect(readdirSync(`${path}/archive/main/18-1/${name.slice(0, 16)}`).some((file) => file.startsWith(name))).toBe(
      true,
    );
  });

  test("takes no new stanza while it is unmounted, if its mount is required", async (context) => {
    const bed = await makeBed(context);
    // The bed itself may be in memory, which is a mount.
    const path = mkdtempSync("/var/tmp/pgb-mount-");
    context.onTestFinished(() => rmSync(path, { recursive: true, force: true }));
    giveTo(path, bed.cluster.user);
    const around = await run("findmnt", ["--noheadings", "--output=TARGET", `--target=${path}`]);
    if (around.stdout.trim() !== "/") return void loud(title, "/var/tmp is a mount");
    const settings = { repos: { repo1: { requireMount: true } } };
    bed.writeVariant(bed.configPath, { global: { "repo1-path": path }, settings });
    const nas = await mountNas(bed, path, context);
    if (nas === null) return;
    await bed.startWithStanza();
    await bed.archiveAll();
    await bed.oursOk(["backup", "--repo=2", "--type=full"]);
    // A write under way would end in the bare mount point, and fail.
    await bed.archiveAll();

    await run("umount", [path]);
    for (const args of [["stanza-create"], ["sync", "--from-repo=2", "--to-repo=1"]]) {
      const refused = await bed.ours(args);
      expect(refused.exitCode, args[0]).not.toBe(0);
      expect(refused.stdout + refused.stderr).toContain(`nothing is mounted at or above '${path}'`);
    }
    await bed.archiveAll();
    expect(readdirSync(path)).toEqual([]);
    const away = parseInfo((await bed.ours(["info", "--output=json"])).stdout);
    expect(Number(away.repo[0]?.["wal-missing"])).toBeGreaterThan(0);

    await run("mount", ["--bind", nas, path]);
    expect((await bed.oursOk(["heal"])).stdout).toMatch(/repo1: [1-9]\d* missing WAL file\(s\) copied/);
  });
});
