/** The agent's WAL service while other programs run on the host. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WalService } from "../../../runtime/archiver/walService";
import { fail } from "../../../runtime/base/errors";
import { sha1Hex } from "../../../runtime/base/hash";
import type { LockKind } from "../../../runtime/local/lockFile";
import { stanzaCreate } from "../../../runtime/operations/stanza/stanzaCreate";
import type { Repository } from "../../../runtime/repository/repository";
import { HeldClock, type TestContext, testContext } from "../../harness/context";
import { host, type TestHost } from "../commands/support";
import { pathOf, readable, store } from "../operations/archive";
import { addWal, CLUSTER, CONTROL, repository, temporaryFolder, walBytes, walName } from "../repository/support";

let ctx: TestContext<HeldClock>;
let repos: [Repository, Repository];
let own: TestHost;
/** Locks that another process holds. */
let taken: Set<LockKind>;
let service: WalService;

beforeEach(async () => {
  ctx = testContext({ clock: new HeldClock() });
  const folder = temporaryFolder();
  mkdirSync(join(folder, "data/pg_wal/archive_status"), { recursive: true });
  repos = [repository(1), repository(2)];
  await stanzaCreate(repos, CONTROL, ctx);
  taken = new Set();
  const base = host({ argv: ["agent"], repos, ctx, folder });
  own = {
    ...base,
    lock: (kind, keys) => {
      if (taken.has(kind)) throw fail("lockAcquire", `unable to acquire lock on file 'demo-${kind}.lock'`);
      return base.lock(kind, keys);
    },
  };
});
afterEach(() => service.close(AbortSignal.abort()));

// claim: docs/agent.md: `heal` and the agent's…
test("copies no missing WAL while heal is run by hand, and copies it afterwards", async () => {
  await store(repos[0], 1);
  own.missingWal().add(2, walName(1), CLUSTER);
  taken.add("heal");
  service = new WalService(own, ctx);
  await ctx.clock.advance(30_000);
  expect(await readable(repos[1])).toEqual([]);
  expect(own.missingWal().list(2)).toEqual([walName(1)]);
  taken.clear();
  await ctx.clock.advance(60_000);
  await expect.poll(() => own.missingWal().list(2)).toEqual([]);
  expect(await readable(repos[1])).toEqual([walName(1)]);
  expect(own.locked).toEqual(["heal ", "archive 1,2"]);
});

// claim: docs/hosts/containers.md: the agent goes on when the container is made again on another volume
test("pushes from the directory that the server has now", async () => {
  const [before, after] = [temporaryFolder(), temporaryFolder()].map((folder) => join(folder, "pg_wal"));
  for (const directory of [before, after]) mkdirSync(join(directory as string, "archive_status"), { recursive: true });
  let walDirectory = before as string;
  own = Object.defineProperty({ ...own }, "walDirectory", { get: () => walDirectory });
  service = new WalService(own, ctx);
  addWal(walDirectory, walName(1), walBytes(1));
  expect((await ctx.clock.until(service.push(walName(1)))).answer.accepted).toBe(true);
  // The old one has a copy that the server never finished.
  addWal(walDirectory, walName(2), walBytes(9));
  walDirectory = after as string;
  addWal(walDirectory, walName(2), walBytes(2));
  expect((await ctx.clock.until(service.push(walName(2)))).answer.accepted).toBe(true);
  expect(await pathOf(repos[1], 2)).toContain(sha1Hex(walBytes(2)));
});

test("goes on when the server's container, and with it the directory, was gone for a while", async () => {
  const walDirectory = join(own.dataDirectory, "pg_wal");
  let isGone = false;
  own = Object.defineProperty({ ...own }, "walDirectory", {
    get: () => {
      if (isGone) throw fail("dbConnect", "container 'db' does not exist");
      return walDirectory;
    },
  });
  await store(repos[0], 1);
  service = new WalService(own, ctx);
  addWal(walDirectory, walName(2), walBytes(2));
  expect((await ctx.clock.until(service.push(walName(2)))).answer.accepted).toBe(true);
  own.missingWal().add(2, walName(1), CLUSTER);
  isGone = true;
  await ctx.clock.advance(30_000);
  expect(own.missingWal().list(2)).toEqual([walName(1)]);
  isGone = false;
  await ctx.clock.advance(60_000);
  await expect.poll(() => own.missingWal().list(2)).toEqual([]);
});

// A standby alone takes no backup with backup-standby=n, and cannot make the primary switch WAL.
test.each([
  ["a primary", { isStandby: false, timeoutS: 300 }, []],
  ["a standby", { isStandby: true, timeoutS: 300 }, ["--backup-standby=y", "--archive-timeout=360"]],
])("closes a gap by a backup from %s", async (_what, row, options) => {
  const ran: (readonly string[])[] = [];
  const session = { query: async () => ({ rows: [row] }), close: async () => {} };
  const server = { newSession: async () => session, runSelf: async (args: readonly string[]) => (ran.push(args), 0) };
  own.missingWal().addDropped(1, walName(1), CLUSTER);
  service = new WalService(Object.assign(own, server), ctx);
  await ctx.clock.advance(10_000);
  await expect.poll(() => ran.length).toBeGreaterThan(0);
  const [args = []] = ran;
  expect(args.slice(args.indexOf("backup"))).toEqual(["backup", "--type=incr", ...options, "--repo=1"]);
});
