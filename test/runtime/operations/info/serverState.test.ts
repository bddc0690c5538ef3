import { spawn } from "node:child_process";
import { chownSync, copyFileSync, mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { loadServerState, type ServerTools } from "../../../../runtime/operations/info/serverState";
import { JournalFile } from "../../../../runtime/operations/recover/journalFile";
import type { ServerFacts } from "../../../../runtime/postgres/session";
import { testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";

const WRITTEN_S = Date.UTC(2026, 10, 20, 6, 30) / 1000;
const REFUSED = fail(
  "dbConnect",
  "unable to connect to host '/run' port 5432: connect ECONNREFUSED /run/.s.PGSQL.5432",
);

let folder: string;
let data: string;
beforeEach(() => {
  folder = temporaryFolder();
  data = join(folder, "data");
  mkdirSync(join(data, "pg_wal"), { recursive: true });
  writeFileSync(join(data, "PG_VERSION"), "17\n");
  const segment = join(data, "pg_wal", "000000010000000000000007");
  writeFileSync(segment, "");
  utimesSync(segment, WRITTEN_S, WRITTEN_S);
});

function load(answer: Partial<ServerFacts> | Error, required: string | null = "pgbackrest", uid = process.getuid?.()) {
  const facts = { dataDirectory: data, archiveMode: "on", archiveCommand: "pgbackrest %p", inRecovery: false };
  const newSession: ServerTools["newSession"] = async () => {
    if (answer instanceof Error) throw answer;
    const given: ServerFacts = { version: "17", versionNum: 170_000, ...facts, ...answer };
    return { facts: async () => given, close: async () => {} };
  };
  const tools = { ctx: testContext(), container: undefined, archiveCommandContains: required, newSession };
  const journal = (name: string) =>
    new JournalFile("recover", name, `${data}.recover.json`, uid, join(folder, "roots"));
  return loadServerState(data, tools, journal);
}

test("a server that answers is up, and archives by its settings", async () => {
  expect(await load({})).toMatchObject({ isUp: true, archiving: null, silence: null, recovery: null });
  expect(await load({ archiveCommand: "/bin/true" })).toMatchObject({
    archiving: { kind: "archiveCommandInvalid", message: "archive_command '/bin/true' must contain pgbackrest" },
  });
  expect(await load({ archiveMode: "off" })).toMatchObject({ archiving: { kind: "archiveDisabled" } });
});

test("a standby, and a server whose WAL leaves through a slot, need no archive_command", async () => {
  expect(await load({ archiveCommand: "", inRecovery: true })).toMatchObject({ isUp: true, archiving: null });
  expect(await load({ archiveMode: "off" }, null)).toMatchObject({ archiving: null });
});

test("a server that is down was last seen when it wrote WAL", async () => {
  expect(await load(REFUSED)).toMatchObject({ isUp: false, seenAtS: WRITTEN_S, recovery: null });
  // What a crash leaves behind, and another server at the same address.
  writeFileSync(join(data, "postmaster.pid"), "999999999\n");
  expect(await load(REFUSED)).toMatchObject({ isUp: false });
  rmSync(join(data, "postmaster.pid"));
  expect(await load({ dataDirectory: "/other" })).toMatchObject({ isUp: false });
});

test("a server that refuses us, or that another machine's process number stands for, is not called down", async () => {
  writeFileSync(join(data, "postmaster.pid"), "999999999\n");
  const message = "unable to connect: password authentication failed";
  expect(await load(fail("dbConnect", message))).toMatchObject({ isUp: true, silence: message });
  const program = join(folder, "postgres");
  copyFileSync("/bin/sleep", program);
  const child = spawn(program, ["600"], { cwd: data });
  onTestFinished(() => void child.kill("SIGKILL"));
  writeFileSync(join(data, "postmaster.pid"), `${child.pid}\n`);
  expect(await load(REFUSED)).toMatchObject({ isUp: true, silence: REFUSED.message });
});

test("a directory without a cluster is no server", async () => {
  rmSync(join(data, "PG_VERSION"));
  expect(await load(REFUSED)).toMatchObject({ hasCluster: false, isUp: false, recovery: null });
});

test("an unfinished recovery is seen, also where the directory was moved away", async () => {
  rmSync(data, { recursive: true });
  const own = process.getuid?.() ?? 0;
  const account = own === 0 ? 12_345 : own;
  const beside = `${data}.recover.json`;
  const write = (phase: string): void => {
    writeFileSync(beside, JSON.stringify({ version: 2, phase }), { mode: 0o600 });
    if (own === 0) chownSync(beside, account, account);
  };
  write("restore");
  expect(await load(REFUSED, "pgbackrest", account)).toMatchObject({
    isUp: false,
    recovery: "unfinished",
    seenAtS: null,
  });
  write("done");
  expect(await load(REFUSED, "pgbackrest", account)).toMatchObject({ hasCluster: false, recovery: null });
  // Of root's journal only the existence shows.
  const roots = join(folder, "roots");
  mkdirSync(roots);
  writeFileSync(new JournalFile("recover", data, beside, 0, roots).path, "", { mode: 0 });
  expect(await load(REFUSED, "pgbackrest", account)).toMatchObject({ isUp: false, recovery: "foreign" });
});
