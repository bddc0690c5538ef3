import { beforeEach, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { drill, type DrillOptions, type DrillVenue } from "../../../../runtime/operations/drill/drill";
import type { DrillRecord } from "../../../../runtime/operations/drill/record";
import type { Repository } from "../../../../runtime/repository/repository";
import { eventually, HeldClock, type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { makeStanza } from "../../../harness/madeRepository";
import { repository, walName } from "../../repository/support";

let ctx: TestContext<HeldClock>;
let repos: Repository[];
let calls: string[];

beforeEach(async () => {
  ctx = testContext({ clock: new HeldClock() });
  repos = [repository(1, { storage: new MemoryStorage() })];
  calls = [];
  const backups = [{ label: "20261119-010000F", wal: [walName(2), walName(3)] as const }];
  await makeStanza(repos[0] as Repository, { versions: ["18"], backups, wal: { "18-1": [walName(2), walName(3)] } });
});

function run(venue: Partial<DrillVenue> = {}, more: Partial<DrillOptions> = {}): Promise<DrillRecord> {
  const options: DrillOptions = {
    stanza: "demo",
    level: "quick",
    pick: "newest",
    repoIndex: 1,
    repoIndexes: undefined,
    set: undefined,
    maxBytes: undefined,
    maxMinutes: 5,
    heartbeat: undefined,
    assertions: [],
    beganMs: ctx.clock.monotonicMs(),
    objectivesOf: () => ({}),
    ...more,
  };
  const standIn: DrillVenue = {
    history: async () => null,
    openProduction: () => Promise.reject(fail("dbConnect", "no server")),
    restore: async ({ journal }) => journal.next("restore"),
    check: async ({ chosen }, production) =>
      void calls.push(`check ${chosen.picked.backup.label} ${production === null}`),
    remove: async () => void calls.push("remove"),
    state: async () => "its state",
    ...venue,
  };
  return drill(standIn, repos, options, ctx);
}

it("chooses, restores, checks and removes", async () => {
  const record = await run();
  expect(calls).toEqual(["check 20261119-010000F true", "remove"]);
  expect(record).toMatchObject({ ok: true, rtoMs: 0, failures: [], backup: { label: "20261119-010000F" } });
  expect(record.phases.map(({ name }) => name)).toEqual(["choose", "restore", "checks", "delete"]);
});

it("records an error with its phase, and removes what it made", async () => {
  const record = await run({ restore: () => Promise.reject(fail("checksum", "damaged")) });
  expect(calls).toEqual(["remove"]);
  expect(record).toMatchObject({ ok: false, rtoMs: null, failures: [{ where: "choose", message: "damaged" }] });
});

it("records that it could not remove everything", async () => {
  const record = await run({ remove: () => Promise.reject(new Error("still mounted")) });
  expect(record.failures).toMatchObject([{ where: "delete", error: "PathRemoveError", message: "still mounted" }]);
});

it("ends after its minutes, with the venue's state, and removes", async () => {
  let hangs = false;
  const running = run({
    restore: ({ ctx: { clock, signal } }) => {
      hangs = true;
      return clock.sleep(3_600_000, signal);
    },
  });
  await eventually("it restores", () => hangs);
  await ctx.clock.advance(5 * 60_000);
  const record = await ctx.clock.until(running);
  const message = "the drill took longer than 5 minutes; its state";
  expect(record).toMatchObject({ failures: [{ where: "choose", error: "RuntimeError", message }] });
  expect(calls).toEqual(["remove"]);
});

it("ends at the signal, and removes", async () => {
  let hangs = false;
  const running = run({
    restore: ({ ctx: { clock, signal } }) => {
      hangs = true;
      return clock.sleep(3_600_000, signal);
    },
  });
  await eventually("it restores", async () => hangs);
  ctx.abort();
  expect(await running).toMatchObject({ ok: false, failures: [{ error: "TermError" }] });
  expect(calls).toEqual(["remove"]);
});

it("does not begin without space", async () => {
  const record = await run({ requireSpace: () => Promise.reject(fail("fileWrite", "too small")) });
  expect(record.failures).toMatchObject([{ where: "choose", message: "too small" }]);
});

it("after an upgrade needs a backup of the present cluster, and finds the WAL of a former one", async () => {
  repos = [repository(1, { storage: new MemoryStorage() })];
  const backups = [{ label: "20261119-010000F", wal: [walName(2), walName(3)] as const }];
  const wal = { "17-1": [walName(2), walName(3), walName(9)], "18-2": [walName(0x20)] };
  await makeStanza(repos[0] as Repository, { versions: ["17", "18"], backups, wal });
  const objectivesOf = (): { backupAgeSeconds: number } => ({ backupAgeSeconds: 3600 });
  const age = {
    where: "objective:backupAge",
    message: "repo1: age of the newest backup: there is none of the present cluster, and the objective is 3600 s",
  };
  expect((await run({}, { objectivesOf })).failures).toMatchObject([
    { where: "choose", error: "BackupSetInvalidError", message: expect.stringContaining("of the present cluster") },
    age,
  ]);
  let newestWal: string | null = null;
  const restore: DrillVenue["restore"] = async ({ chosen }) => void (newestWal = chosen.newestWal);
  const oldest = await run({ restore }, { objectivesOf, pick: "oldest" });
  expect([oldest.failures, newestWal]).toMatchObject([[age], walName(9)]);
});
