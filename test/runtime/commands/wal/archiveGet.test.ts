import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, it, vi } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { archiveGetCommand } from "../../../../runtime/commands/wal/archiveGet";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { store } from "../../operations/archive";
import { CONTROL, repository, temporaryFolder, walBytes, walName } from "../../repository/support";
import { host } from "../support";

it("the background process of archive-async leaves only durable segments in the queue, which outlives a crash of the machine", async () => {
  const ctx = testContext();
  const folder = temporaryFolder();
  const storage = new FaultyStorage(new MemoryStorage());
  const repos = [repository(1, { storage })];
  await stanzaCreate(repos, CONTROL, ctx);
  await store(repos[0] as (typeof repos)[0], 1);
  // Both reads of archive.info fail while fetching ahead. The later request succeeds.
  storage.plan("read", { kind: "error", error: fail("hostConnect", "unreachable", { retryable: true }) }, { times: 2 });
  const handle = await open(folder, "r");
  const prototype: { sync(): Promise<void> } = Object.getPrototypeOf(handle);
  await handle.close();
  const synced: string[] = [];
  const spy = vi.spyOn(prototype, "sync").mockImplementation(async function (this: {
    fd: number;
    sync(): Promise<void>;
  }) {
    synced.push(readlinkSync(`/proc/self/fd/${this.fd}`));
  });
  try {
    const config = { role: "async", spoolPath: join(folder, "spool") } as const;
    const argv = ["--archive-async", "archive-get", walName(1), join(folder, "RECOVERYXLOG")];
    const proc = host({ argv, repos, ctx, folder, config });
    // In a recovery, whose foreground process alone has a file at the destination to look at.
    writeFileSync(join(proc.dataDirectory, "recovery.signal"), "");
    expect(await archiveGetCommand({ ...proc, readFile: (path) => readFile(path).catch(() => null) })).toBe(0);
  } finally {
    spy.mockRestore();
  }
  storage.verifyAllFaultsExercised();
  const queued = join(folder, "spool/archive/demo/in", walName(1));
  expect(readFileSync(queued).equals(walBytes(1))).toBe(true);
  expect(readdirSync(dirname(queued)).filter((name) => name.endsWith(".pgbackrest.tmp"))).toEqual([]);
  const copies = synced.filter((path) => path.startsWith(`${queued}.`));
  expect(copies.map((path) => /\.[0-9a-f]{16}\.pgbackrest\.tmp$/.test(path))).toEqual([true]);
});
