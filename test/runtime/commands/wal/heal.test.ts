import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { healCommand } from "../../../../runtime/commands/wal/heal";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { type TestContext, testContext } from "../../../harness/context";
import { readable, store } from "../../operations/archive";
import { CLUSTER, CONTROL, repository, temporaryFolder, walBytes, walName } from "../../repository/support";
import { host, type TestHost } from "../support";

const BUSY = fail("lockAcquire", "unable to acquire lock on file 'demo-heal.lock': Resource temporarily unavailable");
let ctx: TestContext;
let own: TestHost;
let folder: string;
/** Number of calls that fail because the lock is held. */
let busyTimes: number;

beforeEach(async () => {
  ctx = testContext();
  folder = temporaryFolder();
  mkdirSync(join(folder, "data/pg_wal/archive_status"), { recursive: true });
  const repos = [repository(1), repository(2)] as const;
  await stanzaCreate(repos, CONTROL, ctx);
  await store(repos[0], 1);
  const base = host({ argv: ["heal"], repos, ctx, folder });
  busyTimes = 0;
  own = {
    ...base,
    readFile: async (path) => (existsSync(path) ? readFileSync(path) : null),
    lock: (kind, keys) => {
      if (busyTimes-- > 0) throw BUSY;
      return base.lock(kind, keys);
    },
  };
  own.missingWal().add(2, walName(1), CLUSTER);
});

// claim: docs/agent.md: `heal` and the agent's healing exclude each other; several hosts may heal at once
test("heal waits until the agent has finished healing", async () => {
  busyTimes = 3;
  expect(await healCommand(own)).toBe(0);
  expect(own.locked).toEqual(["heal "]);
  expect(ctx.lines.filter(({ text }) => text.includes("waiting"))).toEqual([
    { level: "info", text: "another process, probably the agent, copies missing WAL of this stanza: waiting for it" },
  ]);
  const [, second] = own.repositories();
  expect(second === undefined ? [] : await readable(second)).toEqual([walName(1)]);
  expect(own.missingWal().repoIndexes()).toEqual([]);
});

test("heal gives up after a minute, and has written nothing", async () => {
  busyTimes = Number.POSITIVE_INFINITY;
  await expect(healCommand(own)).rejects.toMatchObject({ kind: "lockAcquire", exitCode: 50 });
  expect(ctx.clock.sleeps.reduce((sum, each) => sum + each, 0)).toBe(60_000);
  expect(own.missingWal().list(2)).toEqual([walName(1)]);
});

// claim: docs/agent.md: `heal` sends at once…
test("heal sends what waits for the archive at once, and on a standby or during a recovery nothing", async () => {
  const wal = join(folder, "data/pg_wal");
  writeFileSync(join(wal, walName(2)), walBytes(2));
  writeFileSync(join(wal, "archive_status", `${walName(2)}.ready`), "");
  const stored = async (): Promise<string[][]> => Promise.all(own.repositories().map((repo) => readable(repo)));
  for (const name of ["standby.signal", "recovery.signal"]) {
    writeFileSync(join(folder, "data", name), "");
    expect(await healCommand(own)).toBe(0);
    expect(await stored()).toEqual([[walName(1)], [walName(1)]]);
    rmSync(join(folder, "data", name));
  }
  expect(await healCommand(own)).toBe(0);
  expect(await stored()).toEqual([
    [walName(1), walName(2)],
    [walName(1), walName(2)],
  ]);
});

test("heal names a conflict and its way out (104), and --segment ends it", async () => {
  const [first, second] = own.repositories();
  if (first === undefined || second === undefined) throw new Error("there are two repositories");
  const forged = Buffer.from(walBytes(1)).fill("x", 700, 800);
  await store(second, [walName(1), forged]);
  await expect(healCommand(own)).rejects.toMatchObject({
    exitCode: 104,
    message: expect.stringContaining(`repo2: ${walName(1)}: its contents differ: `),
    hints: [expect.stringContaining("heal --segment=NAME")],
  });
  const decided = (...argv: string[]): TestHost => ({
    ...own,
    config: host({ argv: [...argv, "heal"], repos: [first, second], ctx, folder }).config,
  });
  await expect(healCommand(decided("--trust-repo=1"))).rejects.toMatchObject({ kind: "optionInvalid" });
  await expect(healCommand(decided("--segment=1"))).rejects.toMatchObject({ kind: "optionInvalidValue" });
  expect(await healCommand(decided(`--segment=${walName(1)}`, "--trust-repo=1"))).toBe(0);
  expect(await healCommand(own)).toBe(0);
  expect(own.missingWal().repoIndexes()).toEqual([]);
});
