import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { stanzaDeleteCommand } from "../../../../runtime/commands/setup/stanzaDelete";
import { hasStopFile, writeStopFile } from "../../../../runtime/local/stopFile";
import { acquireLease } from "../../../../runtime/repository/lease";
import { PosixStorage } from "../../../../runtime/storage/posix";
import { HeldClock, testContext } from "../../../harness/context";
import { testDomain } from "../../../harness/leases";
import { makeStanza } from "../../../harness/madeRepository";
import { repository, temporaryFolder, walName } from "../../repository/support";
import { host } from "../support";

test("stanza-delete ends what a run left that was killed after it had removed the stanza", async () => {
  const folder = temporaryFolder();
  const root = temporaryFolder();
  const lockPath = join(folder, "lock");
  const ctx = testContext({ clock: new HeldClock() });
  const repo = repository(1, {
    storage: new PosixStorage({ root, syncDirectories: false, symlinks: true, signal: ctx.signal }),
  });
  const backups = [{ label: "20260101-000000F", wal: [walName(1), walName(1)] }] as const;
  await makeStanza(repo, { versions: ["15"], backups, wal: { "15-1": [walName(1)] } });
  const request = { domain: testDomain("a"), holder: { host: "a", pid: 1, verb: "test" } };
  const base = host({ argv: ["--repo=1", "stanza-delete"], repos: [repo], ctx, folder, config: { lockPath } });
  const leases = { ...base.leases, take: () => acquireLease(repo, request, ctx) };
  const isStopped = (): boolean => hasStopFile(lockPath, "demo");

  writeStopFile(lockPath, "demo");
  const remove = (): Promise<never> => Promise.reject(new Error("killed"));
  const killed = { ...leases, take: async () => Object.assign(await leases.take(), { remove }) };
  await expect(stanzaDeleteCommand({ ...base, leases: killed })).rejects.toThrow("killed");
  expect([existsSync(join(root, "archive/demo")), existsSync(join(root, "pgbackstop/demo"))]).toEqual([false, true]);
  expect(isStopped()).toBe(true);
  expect(await stanzaDeleteCommand({ ...base, leases })).toBe(0);
  expect([existsSync(join(root, "pgbackstop/demo")), isStopped()]).toEqual([false, false]);
  // Without files of an earlier run there is nothing to end, and the stop file is not this command's.
  writeStopFile(lockPath, "demo");
  expect(await stanzaDeleteCommand({ ...base, leases: { ...leases, take: () => Promise.reject(new Error()) } })).toBe(
    0,
  );
  expect(isStopped()).toBe(true);
});
