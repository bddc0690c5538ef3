/** The end of `stanza-delete`; the tests of test/runtime/operations/keeping.test.ts cover the rest. */
// claim: docs/internals/concurrency.md: `stanza-delete` removes nothing of a process that takes the lease after it
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { removeLeases, stanzaDelete } from "../../../../runtime/operations/stanza/stanzaDelete";
import { acquireLease, type Lease } from "../../../../runtime/repository/lease";
import type { Repository } from "../../../../runtime/repository/repository";
import { PosixStorage } from "../../../../runtime/storage/posix";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { FaultyStorage } from "../../../harness/network/faults";
import { HeldClock, testContext } from "../../../harness/context";
import { testDomain, testLease } from "../../../harness/leases";
import { makeStanza } from "../../../harness/madeRepository";
import { repository, temporaryFolder, walName } from "../../repository/support";

const OTHERS = ["lease/00000001.json", "stream/15-1/piece"].map((name) => `pgbackstop/demo/${name}`);

/** A directory where another host creates the stanza again: with the last file of the lease, or with a directory. */
class Contested extends PosixStorage {
  comesWith: string | null = null;

  override async remove(path: string): Promise<void> {
    await super.remove(path);
    if (this.comesWith !== "the last lease" || !/\/lease\/\d/.test(path)) return;
    for await (const entry of super.list("pgbackstop/demo/lease")) if (entry.type === "file") return;
    await this.#come();
  }

  override async removeDirectory(path: string): Promise<void> {
    if (this.comesWith === path) await this.#come();
    await super.removeDirectory(path);
  }

  async #come(): Promise<void> {
    for (const other of OTHERS) await super.put(other, Buffer.from("another host's"));
  }
}

function acquire(repo: Repository, name: string): Promise<Lease> {
  const ctx = testContext({ clock: new HeldClock() });
  return acquireLease(repo, { domain: testDomain(name), holder: { host: name, pid: 1, verb: "test" } }, ctx);
}

it.each([
  ["leaves nothing", null],
  ["leaves what another host has written since the lease ended", "the last lease"],
  ["leaves what another host writes while the directory of the lease goes", "pgbackstop/demo/lease"],
  ["leaves what another host writes while the last directory goes", "pgbackstop/demo"],
])("%s", async (_what, comesWith) => {
  const root = temporaryFolder();
  const ctx = testContext();
  const storage = new Contested({ root, syncDirectories: false, symlinks: true, signal: ctx.signal });
  const repo = repository(1, { storage });
  const backups = [{ label: "20260101-000000F", wal: [walName(1), walName(1)] }] as const;
  await makeStanza(repo, { versions: ["15"], backups, wal: { "15-1": [walName(1)] } });
  // Two terms, so that the lease has more than its own file.
  await (await acquire(repo, "a")).release();
  const lease = await acquire(repo, "a");
  await stanzaDelete(repo, [lease], ctx);
  storage.comesWith = comesWith;
  await removeLeases(repo, [lease]);
  await lease.release();
  for (const path of ["pgbackstop/demo", ...OTHERS]) expect(existsSync(join(root, path))).toBe(comesWith !== null);
  for (const area of ["archive", "backup"]) expect(existsSync(join(root, area, "demo"))).toBe(false);
});

it("removes no lease that was lost", async () => {
  const ctx = testContext();
  const storage = new PosixStorage({
    root: temporaryFolder(),
    syncDirectories: false,
    symlinks: true,
    signal: ctx.signal,
  });
  const repo = repository(1, { storage });
  const lease = await acquire(repo, "a");
  const other = await acquire(repo, "a");
  expect(other.term).toBe(lease.term + 1);
  await expect(removeLeases(repo, [lease])).rejects.toMatchObject({ kind: "lockAcquire" });
  await other.check();
});

it.each(["backups", "dumps"])("removes no file of dumps after the lease for %s was lost", async (lost) => {
  const dump = "pgbackstop/demo/dump/20261120-064059Z-1a2b3c4d/dump.manifest";
  const storage = new MemoryStorage();
  await storage.put(dump, Buffer.from("x"));
  const leases = ["backups", "dumps"].map((work) => Object.assign(testLease(), { isLost: work === lost }));
  const deleting = stanzaDelete(repository(1, { storage }), leases, testContext());
  await expect(deleting).rejects.toMatchObject({ kind: "lockAcquire" });
  expect(storage.files.has(dump)).toBe(true);
});

it("removes the manifests of dumps before their files, wherever it is killed", async () => {
  const dump = "pgbackstop/demo/dump/20261120-064059Z-1a2b3c4d";
  for (let writes = 0; ; writes++) {
    const memory = new MemoryStorage();
    for (const name of ["shop.dump", "dump.manifest"]) await memory.put(`${dump}/${name}`, Buffer.from("x"));
    const storage = new FaultyStorage(memory);
    storage.crashAfter(writes);
    const run = stanzaDelete(repository(1, { storage }), [testLease()], testContext());
    const isDone = await run.then(
      () => true,
      () => false,
    );
    const [data, manifest] = ["shop.dump", "dump.manifest"].map((name) => memory.files.has(`${dump}/${name}`));
    if (manifest === true) expect(data, `after ${writes} writes`).toBe(true);
    if (!isDone) continue;
    expect([data, manifest]).toEqual([false, false]);
    return;
  }
});
