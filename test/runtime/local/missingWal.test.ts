import node, { existsSync, mkdirSync, readFileSync, realpathSync, symlinkSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openMissingWal } from "../../../runtime/local/missingWal";
import { CLUSTER, temporaryFolder, walName } from "../repository/support";

const SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
const OTHER = { ...CLUSTER, systemId: 42n };

it("knows the acknowledged bytes of missing WAL, also after a record without them", () => {
  const missingWal = openMissingWal(temporaryFolder(), "demo");
  missingWal.add(2, walName(1), CLUSTER);
  expect(missingWal.sha1Of(2, walName(1), CLUSTER)).toBeNull();
  missingWal.add(2, walName(1), CLUSTER, SHA1);
  missingWal.add(2, walName(1), CLUSTER);
  expect(missingWal.sha1Of(2, walName(1), CLUSTER)).toBe(SHA1);
  expect(missingWal.sha1Of(2, walName(2), CLUSTER)).toBeNull();
  expect(missingWal.sha1Of(2, walName(1), OTHER)).toBeNull();
});

it("keeps a conflict for the next process until the repository holds the server's bytes", () => {
  const spool = temporaryFolder();
  openMissingWal(spool, "demo").addConflict(2, walName(1), CLUSTER, SHA1);
  const missingWal = openMissingWal(spool, "demo");
  expect(missingWal.listConflicts(2)).toEqual([walName(1)]);
  expect(missingWal.listConflicts(2, OTHER)).toEqual([]);
  expect(missingWal.conflictClusters(2)).toEqual([CLUSTER]);
  expect(missingWal.sha1Of(2, walName(1), CLUSTER)).toBe(SHA1);
  // A conflict alone is no missing WAL: the file may wait in pg_wal.
  expect([missingWal.list(2), missingWal.repoIndexes(), missingWal.listConflicts(1)]).toEqual([[], [], []]);
  missingWal.add(2, walName(1), CLUSTER, SHA1);
  missingWal.remove(2, walName(1), CLUSTER);
  expect([missingWal.list(2), missingWal.listConflicts(2)]).toEqual([[], []]);
});

it("shows its records also where the file system tells no types, and one is removed meanwhile", () => {
  const missingWal = openMissingWal(temporaryFolder(), "demo");
  missingWal.add(2, walName(1), CLUSTER);
  const { lstatSync, readdirSync } = node;
  // Fails as Node does then.
  node.readdirSync = ((path: string, options?: object) =>
    typeof options === "object" && "withFileTypes" in options
      ? lstatSync(join(path, "removed"))
      : readdirSync(path, options)) as never;
  syncBuiltinESMExports();
  try {
    expect([missingWal.list(2), missingWal.repoIndexes(), missingWal.clusters(2)]).toEqual([
      [walName(1)],
      [2],
      [CLUSTER],
    ]);
  } finally {
    node.readdirSync = readdirSync;
    syncBuiltinESMExports();
  }
});

it("stays readable for versions that know empty records only", () => {
  const spool = temporaryFolder();
  openMissingWal(spool, "demo").add(1, walName(1), CLUSTER);
  const record = join(spool, `pgbackstop/demo/missing/repo1/${CLUSTER.version}-${CLUSTER.systemId}`, walName(1));
  expect(readFileSync(record, "utf8")).toBe("");
});

it("writes through no link in the spool, which is another account's when root heals", () => {
  const spool = realpathSync(temporaryFolder());
  const elsewhere = temporaryFolder();
  const cluster = join(spool, `pgbackstop/demo/missing/repo1/${CLUSTER.version}-${CLUSTER.systemId}`);
  mkdirSync(cluster, { recursive: true });
  symlinkSync(join(elsewhere, "nologin"), join(cluster, walName(1)));
  symlinkSync(elsewhere, join(spool, "pgbackstop/demo/missing/repo2"));
  const missingWal = openMissingWal(spool, "demo");
  expect(() => missingWal.add(1, walName(1), CLUSTER)).toThrow("[40] Too many symbolic links");
  expect(() => missingWal.add(2, walName(1), CLUSTER, SHA1)).toThrow("leads to another directory");
  expect([existsSync(join(elsewhere, "nologin")), missingWal.list(2)]).toEqual([false, []]);
  // The administrator's own link to the whole spool is not one of those.
  const link = join(temporaryFolder(), "spool");
  symlinkSync(spool, link);
  openMissingWal(link, "demo").add(3, walName(1), CLUSTER, SHA1);
  expect(missingWal.sha1Of(3, walName(1), CLUSTER)).toBe(SHA1);
});
