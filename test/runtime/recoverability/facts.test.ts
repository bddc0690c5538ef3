import { expect, test } from "vitest";
import { infoCommand } from "../../../runtime/commands/watch/info";
import { metricsCommand } from "../../../runtime/commands/watch/metrics";
import { reportCommand } from "../../../runtime/commands/watch/report";
import { statusCommand } from "../../../runtime/commands/watch/status";
import { saveDrill } from "../../../runtime/operations/drill/history";
import type { Command } from "../../../runtime/process/commandProcess";
import { HeldClock, testContext } from "../../harness/context";
import { MemoryStorage } from "../../harness/doubles/storages";
import { storeDump } from "../../harness/madeDump";
import { makeStanza } from "../../harness/madeRepository";
import { FaultyStorage } from "../../harness/network/faults";
import { host } from "../commands/support";
import { record } from "../operations/drill/support";
import { CONTROL, repository, temporaryFolder } from "../repository/support";

const segment = (no: number): string => `0000000100000000000000${no.toString(16).toUpperCase().padStart(2, "0")}`;
const METHODS = ["list", "read", "stat"] as const;

/** What the command asks the repository, by method. */
async function requestsOf(command: Command, argv: readonly string[]): Promise<Record<string, string[]>> {
  const memory = new MemoryStorage();
  const made = repository(1, { storage: memory });
  await makeStanza(made, {
    versions: ["18"],
    backups: [{ label: "20261118-030000F", stoppedAtS: 1_795_000_000, wal: [segment(3), segment(4)] }],
    wal: { "18-1": [...[3, 4, 5].map(segment), "00000002.history"] },
  });
  await storeDump(made, "20261120-020000Z-1a2b3c4d");
  for (const drill of [
    record("20261119-020000Z-00000001"),
    record("20261119-030000Z-00000002", { pick: "attack", rpo: null, rtoMs: null }),
  ])
    await saveDrill([made], temporaryFolder(), drill, testContext());
  const storage = new FaultyStorage(memory);
  const parts = { argv, repos: [{ ...made, storage }], ctx: testContext({ clock: new HeldClock() }) };
  const base = host({ ...parts, folder: temporaryFolder() });
  await command({
    ...base,
    config: { ...base.config, lockPath: temporaryFolder() },
    loadControl: async () => ({ ...CONTROL, walSegmentSizeBytes: 16 * 1024 * 1024 }),
  });
  return Object.fromEntries(METHODS.map((method) => [method, [...storage.calls(method)]]));
}

test.each([
  ["status", statusCommand, ["status"], { list: 4, read: 6, stat: 0 }],
  ["metrics", metricsCommand, ["metrics"], { list: 4, read: 6, stat: 0 }],
  ["report", reportCommand, ["report", "--format=json"], { list: 4, read: 9, stat: 0 }],
  ["info", infoCommand, ["info"], { list: 4, read: 3, stat: 0 }],
  ["destinations", infoCommand, ["info", "--detail-level=destinations"], { list: 2, read: 2, stat: 0 }],
] as const)("%s asks a repository for each thing once", async (_name, command, argv, counts) => {
  const requests = await requestsOf(command, argv);
  expect(requests).toEqual(
    Object.fromEntries(Object.entries(requests).map(([method, paths]) => [method, [...new Set(paths)]])),
  );
  expect(Object.fromEntries(Object.entries(requests).map(([method, { length }]) => [method, length]))).toEqual(counts);
});
