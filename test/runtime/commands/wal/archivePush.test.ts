import { rmSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, it } from "vitest";
import { archivePushCommand } from "../../../../runtime/commands/wal/archivePush";
import { checkCommand } from "../../../../runtime/commands/setup/check";
import { verifyCommand } from "../../../../runtime/commands/backups/verify";
import { statusCommand } from "../../../../runtime/commands/watch/status";
import type { Command } from "../../../../runtime/process/commandProcess";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { Repository } from "../../../../runtime/repository/repository";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { type TestContext, testContext } from "../../../harness/context";
import { pathOf, readable, store } from "../../operations/archive";
import { CONTROL, makeWalDirectory, repository, temporaryFolder, walBytes, walName } from "../../repository/support";
import { host } from "../support";

let folder: string;
let walDirectory: string;
let repos: Repository[];
let storages: MemoryStorage[];
let ctx: TestContext;

beforeEach(async () => {
  folder = temporaryFolder();
  walDirectory = makeWalDirectory(join(folder, "data"), [1, 2]);
  storages = [new MemoryStorage(), new MemoryStorage()];
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
