import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { archivePushCommand } from "../../../../runtime/commands/wal/archivePush";
import { checkCommand } from "../../../../runtime/commands/setup/check";
import { verifyCommand } from "../../../../runtime/commands/backups/verify";
import { statusCommand } from "../../../../runtime/commands/watch/status";
import type { Command } from "../../../../runtime/process/commandProcess";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { parseBackupInfo } from "../../../../runtime/format/repository/backupInfo";
import { formatLsn } from "../../../../runtime/format/wal/walSegment";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { HeldClock, type TestContext, testContext } from "../../../harness/context";
import { pathOf, readable, store } from "../../operations/archive";
import {
  CONTROL,
  makeWalDirectory,
  repository,
  temporaryFolder,
  WAL_SIZE_BYTES,
  walBytes,
  walName,
} from "../../repository/support";
import { vectorText } from "../../format/vectors";
import { host } from "../support";

let folder: string;
let walDirectory: string;
let repos: Repository[];
let storages: FaultyStorage[];
let ctx: TestContext;

beforeEach(async () => {
  folder = temporaryFolder();
  walDirectory = makeWalDirectory(join(folder, "data"), [1, 2]);
  storages = [new MemoryStorage(), new MemoryStorage()].map((storage) => new FaultyStorage(storage));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
  ctx = testContext();
  await stanzaCreate(repos, CONTROL, ctx);
});

async function run(command: Command, argv: readonly string[], mode: "all" | "any" = "any") {
  ctx = testContext();
  const facts = {
    dataDirectory: join(folder, "data"),
    archiveMode: "on",
    archiveCommand: "pgbackrest",
    inRecovery: true,
  };
  const settings = { acknowledge: { mode, repoIndexes: [] }, archiveCommandContains: "pgbackrest", repos: {} };
  const session = { facts: async () => facts as never };
  const own = host({ argv, repos, ctx, folder, config: { settings }, session });
  const exitCode = await command(own).catch((error: unknown) => (error as { exitCode: number }).exitCode);
  return { exitCode, text: own.printed.join("\n"), logged: ctx.lines.map(({ text }) => text).join("\n") };
}

const push = (no: number, mode: "all" | "any" = "any") =>
  run(archivePushCommand, ["archive-push", join(walDirectory, walName(no))], mode);

// claim: docs/agent.md: a conflict stays in `status`, `check` and `verify` until it is resolved
it("keeps a conflict in view of status, check and verify until it is resolved, and archives on", async () => {
  await store(repos[1] as Repository, [walName(1), walBytes(77)]);
  expect((await push(1, "all")).exitCode).toBe(45);
  const pushed = await push(1);
  expect([pushed.exitCode, pushed.logged]).toEqual([
    0,
    expect.stringContaining("repo2 lacks 000000010000000000000001: status reports it until the wrong file is removed"),
  ]);
  rmSync(join(walDirectory, "archive_status", `${walName(1)}.ready`));
  expect((await push(2)).exitCode).toBe(0);
  for (const repo of repos) expect(await readable(repo)).toEqual([walName(1), walName(2)]);

  const named = `the archive's ${walName(1)} differs from this server's`;
  expect(await run(statusCommand, ["status"])).toMatchObject({
    exitCode: 104,
    text: expect.stringContaining(`! [ArchiveDuplicateError] ${named}`),
  });
  expect(await run(checkCommand, ["check"])).toMatchObject({
    exitCode: 0,
    logged: expect.stringContaining(`repo2: [ArchiveDuplicateError] ${named}`),
  });
  expect((await run(checkCommand, ["check"], "all")).exitCode).toBe(104);
  const verified = await run(verifyCommand, ["verify"]);
  expect(verified.exitCode).toBe(26);
  expect(verified.logged).toContain(`repo2: ${named}`);
  // Seen on any host.
  expect(verified.logged).toContain(`repo1: 15-${CONTROL.systemId}/${walName(1)} differs between repo1, repo2`);

  await storages[1]?.remove(await pathOf(repos[1] as Repository, 1));
  expect((await push(1)).exitCode).toBe(0);
  expect((await run(statusCommand, ["status"])).text).not.toContain("ArchiveDuplicateError");
  expect((await run(checkCommand, ["check"], "all")).exitCode).toBe(0);
  expect((await run(verifyCommand, ["verify"])).exitCode).toBe(0);
});

it("says where the segments are that a repository has lost", async () => {
  await store(repos[0] as Repository, 1, 3);
  await store(repos[1] as Repository, 1, 2, 3);
  const { exitCode, logged } = await run(verifyCommand, ["verify"]);
  expect(exitCode).toBe(26);
  expect(logged).toMatch(/repo1: 15-1: repo2 has 1 of the 1 missing segment\(s\): 'heal' copies them/);
});

// claim: docs/troubleshooting.md: a promoted server archives what it received, also while its history is refused
it("stores the WAL that a promoted server inherited where it can, also while the policy refuses the history", async () => {
  const [backup] = parseBackupInfo(vectorText("v2.45/plain/backup.info"), "golden").backups;
  for (const repo of repos) {
    const info = await loadBackupInfo(repo);
    const entry = { ...(backup as NonNullable<typeof backup>), archiveStart: walName(1), archiveStop: walName(1) };
    await saveBackupInfo(repo, { ...info, backups: [entry] }, ctx);
  }
  // Received from the dead primary, so PostgreSQL will never ask for it.
  for (const no of [1, 2]) rmSync(join(walDirectory, "archive_status", `${walName(no)}.ready`));
  const history = join(walDirectory, "00000002.history");
  writeFileSync(history, `1\t${formatLsn(BigInt(3 * WAL_SIZE_BYTES + 100))}\tpromoted\n`);
  storages[1]?.breakDown(fail("hostConnect", "no route"));
  const pushHistory = async (): Promise<number> => {
    const held = testContext({ clock: new HeldClock() });
    const settings = { acknowledge: { mode: "all", repoIndexes: [] }, archiveCommandContains: "", repos: {} } as const;
    const own = host({ argv: ["archive-push", history], repos, ctx: held, folder, config: { settings } });
    const code = archivePushCommand(own).catch((error: unknown) => (error as { exitCode: number }).exitCode);
    return held.clock.until(code);
  };
  expect(await pushHistory()).not.toBe(0);
  const whole = [walName(1), walName(2), "00000002.history"];
  expect(await readable(repos[0] as Repository)).toEqual(whole);
  storages[1]?.repair();
  expect(await pushHistory()).toBe(0);
  expect(await readable(repos[1] as Repository)).toEqual(whole);
});
