/** Streaming of a sidecar, with a connection that sends what the test says: a double of PostgreSQL's walsender. */
// claim: docs/streaming.md: a sidecar streams a promoted server once the archive has its timeline's history, never
//   another cluster's timeline, and no standby
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import type { CommandProcess } from "../../../../runtime/process/commandProcess";
import { openStreaming } from "../../../../runtime/cnpg/sidecar/streaming";
import { StanzaKeeper } from "../../../../runtime/cnpg/sidecar/stanzaKeeper";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { StreamSource, WalSink, WalStream } from "../../../../runtime/postgres/walStream";
import { fail } from "../../../../runtime/base/errors";
import { HeldClock, pause, type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { host } from "../../commands/support";
import { CONTROL, repository, temporaryFolder, WAL_SIZE_BYTES } from "../../repository/support";

const HISTORY = "1\t0/500000\tno recovery target specified\n";
const START = 5n * BigInt(WAL_SIZE_BYTES);

let ctx: TestContext<HeldClock>;
let folder: string;
let storage: MemoryStorage;
beforeEach(() => {
  ctx = testContext({ clock: new HeldClock() });
  folder = temporaryFolder();
  storage = new MemoryStorage({ name: "memory1" });
});

const stored = async (path: string): Promise<string[]> => {
  const paths: string[] = [];
  for await (const entry of storage.list(path, { recursive: true })) paths.push(entry.path);
  return paths;
};
/** Time passes between two looks. */
const soon = async <T>(look: () => T): Promise<Awaited<T>> => {
  await ctx.clock.advance(500);
  return await look();
};
const chunks = (): Promise<string[]> => stored("pgbackstop/demo/stream");

/** A sidecar's streaming beside a server in this state. */
function open(source: Partial<StreamSource>, intervalSeconds: number | null = 2, isStandby = false) {
  const connection: Partial<WalStream> = {
    identify: async () => ({ systemId: CONTROL.systemId, timeline: 1, flushLsn: START, inRecovery: false, ...source }),
    receive: async (_start: unknown, sink: WalSink, signal: AbortSignal) => {
      sink(START, Buffer.alloc(100, 1));
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      return fail("dbConnect", "streaming was ended");
    },
    close: async () => {},
  };
  const base = host({ argv: ["cnpg-instance"], repos: [repository(1, { storage })], ctx, folder });
  const stream = intervalSeconds === null ? {} : { stream: { intervalSeconds } };
  const settings = { ...base.config.settings, ...stream };
  const own: CommandProcess = {
    ...base,
    config: { ...base.config, settings },
    walStream: async () => connection as WalStream,
  };
  const walDirectory = join(folder, "data", "pg_wal");
  mkdirSync(join(walDirectory, "archive_status"), { recursive: true });
  if (source.timeline === 2) {
    writeFileSync(join(walDirectory, "archive_status", "00000002.history.ready"), "");
    writeFileSync(join(walDirectory, "00000002.history"), HISTORY);
  }
  return openStreaming(own, new StanzaKeeper(own, ctx), async () => isStandby, ctx);
}

async function close(service: ReturnType<typeof open>): Promise<void> {
  const enough = new AbortController();
  await ctx.clock.until(service?.close(enough.signal) ?? Promise.resolve());
}

test("a new cluster creates its stanza and streams at once", async () => {
  const service = open({});
  service?.start();
  await expect
    .poll(() => soon(() => service?.status()[0]))
    .toMatchObject({ repoIndex: 1, lsn: START + 100n, error: null });
  expect(await chunks()).toHaveLength(1);
  await close(service);
});

test("a promoted server streams once its timeline's history is archived", async () => {
  const service = open({ timeline: 2 });
  service?.start();
  for (let turn = 0; turn < 20; turn++) await soon(() => pause(5));
  expect(await chunks()).toEqual([]);
  await storage.put("archive/demo/15-1/00000002.history", Buffer.from(HISTORY));
  await expect.poll(() => soon(chunks)).toHaveLength(1);
  expect((await chunks())[0]).toContain("/00000002");
  await close(service);
});

test("another cluster's timeline is never written", async () => {
  const service = open({ timeline: 2 });
  await stanzaCreate([repository(1, { storage })], CONTROL, ctx);
  await storage.put("archive/demo/15-1/00000002.history", Buffer.from("1\t0/400000\tanother\n"));
  service?.start();
  await expect.poll(() => soon(() => service?.status()[0]?.error?.kind)).toBe("archiveDuplicate");
  expect(await chunks()).toEqual([]);
  await close(service);
});

test.each([
  ["by its file", {}, true],
  ["by its answer", { inRecovery: true }, false],
])("a standby, known %s, is not streamed, and creates nothing", async (_how, source, isStandby) => {
  const service = open(source, 2, isStandby);
  service?.start();
  await ctx.clock.advance(60_000);
  expect(await stored("")).toEqual([]);
  expect(service?.status()).toEqual([]);
  await close(service);
});

test("streams nothing without the setting", () => {
  expect(open({}, null)).toBeNull();
});
