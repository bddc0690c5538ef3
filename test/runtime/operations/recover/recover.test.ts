import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { ServerFacts } from "../../../../runtime/operations/recover/hostFacts";
import { JournalFile } from "../../../../runtime/operations/recover/journalFile";
import {
  goOn,
  type RecoverTools,
  type Served,
  startServer,
  stopServer,
} from "../../../../runtime/operations/recover/recover";
import type { Journal } from "../../../../runtime/operations/recover/recoveryJournal";
import { HeldClock, testContext } from "../../../harness/context";

const BETWEEN_STARTS: ServerFacts = { pid: 0, unit: null, isRestarting: true };

/** A container that ends whenever it is started, and that its engine starts again until it is stopped. */
function loopingContainer(begun: ServerFacts | null) {
  const calls: string[] = [];
  let server = begun;
  const control = { stop: ["docker", "stop", "db"], start: ["docker", "start", "db"], asAccount: false };
  const served: Served = { control: { ...control, find: async () => server }, dataDirectory: "/nowhere" };
  const tools: Omit<RecoverTools, "archiveGet"> = {
    program: async (argv) => {
      calls.push(argv.join(" "));
      server = argv[1] === "stop" ? null : BETWEEN_STARTS;
      return { exitCode: 0, stdout: "", stderr: "" };
    },
    self: (_, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("aborted")))),
    asAccount: (work) => work(),
  };
  return { calls, served, tools };
}

it("stops a container that its engine starts again and again", async () => {
  const { calls, served, tools } = loopingContainer(BETWEEN_STARTS);
  await stopServer(served, tools, testContext());
  expect(calls).toEqual(["docker stop db"]);
  await stopServer(served, tools, testContext());
  expect(calls).toHaveLength(1);
});

it("does not wait for a server that ends at each start", async () => {
  const { calls, served, tools } = loopingContainer(null);
  const ctx = testContext({ clock: new HeldClock() });
  await expect(ctx.clock.until(startServer(served, tools, ctx))).rejects.toThrow("it was started and has ended");
  expect(calls).toEqual(["docker start db"]);
});

// claim: docs/hosts/recover.md: a recovery continues after a…
it("starts no server on a restore that says that it ended well and left no pg_control", async () => {
  const folder = mkdtempSync(join(tmpdir(), "recover-"));
  try {
    const { calls, served, tools } = loopingContainer(null);
    const file = new JournalFile("recover", "data", join(folder, "journal.json"), 1000);
    const journal: Journal = {
      version: 2,
      phase: "restore",
      pid: 1,
      request: {
        stanza: "main",
        type: "default",
        target: undefined,
        targetAction: "pause",
        targetExclusive: false,
        targetTimeline: undefined,
        repoIndex: undefined,
        set: undefined,
      },
      label: "20261120-020015F",
      startedAtS: 1,
      configuredDirectory: join(folder, "data"),
      dataDirectory: join(folder, "data"),
      account: { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, mode: 0o700 },
      server: { unit: null, startedWith: null },
      moves: [],
      restoreArgs: [],
      oldWal: null,
      stamp: "1",
    };
    const killed = { ...tools, archiveGet: () => "false", self: async () => ({ exitCode: 0, stdout: "", stderr: "" }) };
    await expect(goOn({ journal, file, control: served.control }, killed, testContext())).rejects.toMatchObject({
      kind: "fileMissing",
      hints: expect.arrayContaining([expect.stringContaining("Run recover again to continue")]),
    });
    // The next run restores again.
    expect(JSON.parse(readFileSync(file.path, "utf8"))).toMatchObject({ phase: "restore" });
    expect(calls).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
