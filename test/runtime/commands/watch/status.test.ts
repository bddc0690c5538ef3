import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { statusCommand } from "../../../../runtime/commands/watch/status";
import { openSeenWal } from "../../../../runtime/local/seenWal";
import { checkStopFile, writeStopFile } from "../../../../runtime/local/stopFile";
import type { CommandProcess } from "../../../../runtime/process/commandProcess";
import type { Repository } from "../../../../runtime/repository/repository";
import { testContext } from "../../../harness/context";
import { makeStanza, SYSTEM_ID } from "../../../harness/madeRepository";
import { CONTROL, repository, temporaryFolder } from "../../repository/support";
import { host } from "../support";

const segment = (no: number): string => `00000001000000000000000${no}`;
const FULL = { label: "20261118-030000F", stoppedAtS: 1_795_000_000, wal: [segment(3), segment(4)] } as const;

let folder: string;
let repos: Repository[];
beforeEach(async () => {
  folder = temporaryFolder();
  repos = [repository(1), repository(2)];
  for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [FULL], wal: { "18-1": FULL.wal } });
});

interface Shown {
  readonly exitCode: number;
  readonly headline: string;
  readonly text: string;
}

async function show(more: Partial<CommandProcess> = {}): Promise<Shown> {
  const base = host({ argv: ["status"], repos, ctx: testContext(), folder });
  const control = { ...CONTROL, systemId: SYSTEM_ID };
  const exitCode = await statusCommand({ ...base, loadControl: async () => control, ...more });
  const text = base.printed.join("");
  return { exitCode, headline: text.split("\n")[0] ?? "", text };
}

test("the stop file ends 'all is well', and the report names the command that removes it", async () => {
  expect(await show()).toMatchObject({ exitCode: 0, headline: expect.stringMatching(/^demo: all is well, /) });
  const lockPath = join(folder, "lock");
  writeStopFile(lockPath, "demo");
  const shown = await show({ requireStarted: () => checkStopFile(lockPath, "demo") });
  expect(shown).toMatchObject({
    exitCode: 104,
    headline: "demo: archiving and backups are stopped; no drill has restored these backups",
  });
  expect(shown.text).toContain("  ! [StopError] stop file exists for stanza demo\n");
  expect(shown.text).toContain("    HINT: Run pgbackstop start --stanza=demo, or remove '");
});

test("another cluster in the data directory is named with both identifiers", async () => {
  const shown = await show({ loadControl: async () => ({ ...CONTROL, systemId: 7n }) });
  expect(shown).toMatchObject({
    exitCode: 104,
    headline: "demo: the data directory holds another cluster; no drill has restored these backups",
  });
  expect(shown.text).toContain(`has system identifier 7, and that of repo1, repo2 is ${SYSTEM_ID}\n`);
  expect(shown.text).toContain(`HINT: Does pg1-path=${folder}/data name the right directory?`);
  // Before a restore there is none.
  expect((await show({ loadControl: () => Promise.reject(new Error("no pg_control")) })).exitCode).toBe(0);
});

test("WAL that PostgreSQL has archived and no repository has is missed, but not at a standby", async () => {
  const status = join(folder, "data", "pg_wal", "archive_status");
  mkdirSync(status, { recursive: true });
  for (const name of [segment(4), segment(6), "00000009.history"]) writeFileSync(join(status, `${name}.done`), "");
  const shown = await show();
  expect(shown).toMatchObject({
    exitCode: 104,
    headline: expect.stringContaining("2 of 2 repositories need attention"),
  });
  expect(shown.text).toContain(
    `this host has archived WAL up to ${segment(6)}, and the newest WAL here is ${segment(4)}`,
  );
  const readFile = async (path: string): Promise<Uint8Array | null> =>
    path.endsWith("/standby.signal") ? new Uint8Array(0) : null;
  expect((await show({ readFile })).exitCode).toBe(0);
});

test("WAL that this host has stored and the repository lost is missed", async () => {
  const stored = new Map([[`18-1/${segment(6)}-${"0".repeat(40)}`, "64:0"]]);
  mkdirSync(join(folder, "spool", "pgbackstop", "demo", "seen"), { recursive: true });
  openSeenWal(join(folder, "spool"), "demo").save(2, stored);
  const shown = await show();
  expect(shown).toMatchObject({
    exitCode: 104,
    headline: expect.stringContaining("1 of 2 repositories needs attention"),
  });
  expect(shown.text).toContain(`this host has archived WAL up to ${segment(6)}`);
});
