/**
 * The agent over repositories in memory: its answers, and the files in pg_wal when a fetch takes longer than the caller
 * waits.
 */
// claim: README.md: a stopping agent gives a recovery no answer that would end it, and an aborted recovery cannot
//   damage the next one's files (over its socket, with the repository in memory)
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync, symlinkSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { agentCommand } from "../../../runtime/agent/agent";
import { systemClock } from "../../../runtime/base/clock";
import { fail } from "../../../runtime/base/errors";
import type { Repository } from "../../../runtime/repository/repository";
import { inlinePool, type JobPool } from "../../../runtime/operations/shared/jobs";
import { stanzaCreate } from "../../../runtime/operations/stanza/stanzaCreate";
import { testContext } from "../../harness/context";
import { host } from "../commands/support";
import { tablespaceSegment } from "../format/walWriter";
import { store } from "../operations/archive";
import { CONTROL, repository, temporaryFolder, walBytes, walName } from "../repository/support";

const ctx = testContext({ clock: systemClock });
const WAIT = { timeout: 20_000 };

/** Temporary files of a killed agent. */
const LEFT = [
  "RECOVERYXLOG.pgbackstop-1",
  "RECOVERYXLOG.pgbackstop-2.pgbackrest.tmp",
  `${walName(9)}.pgbackstop-3`,
  "RECOVERYHISTORY.pgbackstop-1",
];

let folder: string;
let repo: Repository;
let data: string;
let socket: string;
let agent: { readonly ended: Promise<number>; end(): void };
/** Delays each fetch, and the preparation of each file that is pushed. */
let before: (walName: string) => Promise<void>;

const nobodyAsks = (): Promise<never> => Promise.reject(fail("assert", "nobody asks for it"));

beforeEach(async () => {
  folder = temporaryFolder();
  data = join(folder, "data");
  socket = join(folder, "a.sock");
  mkdirSync(join(data, "pg_wal/archive_status"), { recursive: true });
  for (const name of LEFT) writeFileSync(join(data, "pg_wal", name), "x");
  repo = repository(1);
  const repos = [repo];
  await stanzaCreate(repos, CONTROL, ctx);
  await store(repo, 1, 2, 3);
  before = async () => {};
  const inner = inlinePool(new Map([[repo.key, repo]]), ctx, 2);
  const pool: JobPool = {
    ...inner,
    slots: inner.slots,
    run: async (job) => {
      if (job.kind === "fetchWal") await before(job.stored.name);
      if (job.kind === "packWal") await before(basename(job.path));
      return inner.run(job);
    },
  };
  const stop = new AbortController();
  const own = { ...ctx, signal: stop.signal };
  const config = { agent: { socket }, spoolPath: join(folder, "spool"), processMax: 1 };
  const argv = ["agent", "--metrics-listen=9854", `--report-password-file=${folder}/missing`];
  const parts = host({ argv, repos, ctx: own, folder, config });
  const readFile = async (path: string): Promise<Uint8Array | null> => (existsSync(path) ? readFileSync(path) : null);
  const ended = agentCommand({ loadTroubles: nobodyAsks, report: nobodyAsks })({
    ...parts,
    readFile,
    pool: () => pool,
  });
  agent = { ended, end: () => stop.abort(fail("term", "the test has ended")) };
  await vi.waitFor(() => expect(existsSync(socket)).toBe(true), WAIT);
});

afterEach(async () => {
  agent.end();
  expect(await agent.ended).toBe(0);
});

function ask(...args: readonly string[]): { readonly caller: Socket; readonly answer: Promise<string> } {
  return askFrom(data, ...args);
}

function askFrom(...request: readonly string[]): { readonly caller: Socket; readonly answer: Promise<string> } {
  const caller = connect(socket, () => void caller.write(`${request.join("\0")}\0\n`));
  const answer = new Promise<string>((resolve) => {
    let text = "";
    caller.setEncoding("utf8").on("data", (chunk: string) => void (text += chunk));
    caller.on("error", () => {}).on("close", () => resolve(text));
  });
  return { caller, answer };
}

it("gives no answer to a restore_command when it ends before it has the file: PostgreSQL would take any for the end of the archive", async () => {
  before = async () => {
    throw fail("term", "the agent is ending");
  };
  expect(await ask("archive-get", walName(1), "pg_wal/RECOVERYXLOG").answer).toBe("");
  expect(await ask("archive-get", walName(9), "pg_wal/RECOVERYXLOG").answer).toContain("exit 1\n");
  expect(readdirSync(join(data, "pg_wal"))).toEqual(["archive_status"]);
});

it("fetches from a single repository when the client names one", async () => {
  expect(await ask("archive-get", walName(1), "pg_wal/RECOVERYXLOG", "--repo=1").answer).toContain("exit 0\n");
  expect(readFileSync(join(data, "pg_wal/RECOVERYXLOG")).equals(Buffer.from(walBytes(1)))).toBe(true);
  // The next ones come ahead, apart from those of all repositories.
  const spool = join(folder, "spool/pgbackstop/demo");
  await vi.waitFor(() => expect(readdirSync(join(spool, "in-repo1"))).toEqual([walName(2), walName(3)]), WAIT);
  expect(existsSync(join(spool, "in"))).toBe(false);
  const other = await ask("archive-get", walName(1), "pg_wal/RECOVERYXLOG", "--repo=2").answer;
  expect(other).toContain("'--repo=2' names no repository of this agent");
  expect(other).not.toMatch(/exit [01]\n/);
});

// claim: docs/agent.md: a recovery in another directory than the agent's stops, instead of opening without its WAL
it("leaves the exit code to the client of a server in another directory, with the reason: a code would end its recovery", async () => {
  const answer = await askFrom(join(folder, "beside"), "archive-get", walName(1), "pg_wal/RECOVERYXLOG").answer;
  expect(answer).toContain("is not in the data directory");
  expect(answer).not.toContain("exit ");
  expect(await askFrom(join(folder, "beside"), "archive-push", `pg_wal/${walName(1)}`).answer).toContain("exit 32\n");
});

it("archives without pages whose address or password is wrong, and says so", async () => {
  writeFileSync(join(data, "pg_wal", walName(4)), walBytes(4));
  expect(await ask("archive-push", `pg_wal/${walName(4)}`).answer).toContain("exit 0\n");
  const warnings = ctx.lines.flatMap(({ level, text }) => (level === "warn" ? [text] : []));
  expect(warnings.find((text) => text.startsWith("/report is not served: missing file"))).toBeDefined();
  expect(warnings).toContain("/metrics is not served: '9854' is not valid for 'metrics-listen' option");
});

it("knows its server in a linked data directory", async () => {
  const linked = join(folder, "linked");
  symlinkSync(data, linked);
  expect(await askFrom(linked, "archive-get", walName(1), "pg_wal/RECOVERYXLOG").answer).toContain("exit 0\n");
});

// claim: docs/agent.md: a recovery uses no directory of another running server's tablespace
it("gives a recovery no WAL that creates a tablespace where another server has its own", async () => {
  const [production, hot] = [join(folder, "production"), join(folder, "hot")];
  mkdirSync(join(production, "pg_tblspc"), { recursive: true });
  mkdirSync(hot);
  writeFileSync(join(production, "PG_VERSION"), `${CONTROL.pgVersion}\n`);
  symlinkSync(hot, join(production, "pg_tblspc", "16400"));
  const server = spawn("sleep", ["60"], { cwd: production, stdio: "ignore" });
  try {
    await store(repo, [walName(4), tablespaceSegment(hot, { segment: 4, systemId: CONTROL.systemId })]);
    const get = (path: string): Promise<string> => ask("archive-get", walName(4), path).answer;
    expect(await get("pg_wal/running")).toContain("exit 0\n");
    writeFileSync(join(data, "recovery.signal"), "");
    expect(await get("pg_wal/RECOVERYXLOG")).toMatch(/the server of '.*production' uses[^]*exit 255\n/);
    expect(existsSync(join(data, "pg_wal/RECOVERYXLOG"))).toBe(false);
  } finally {
    server.kill();
  }
});

it("leaves the path alone after its caller has left: the next one may have another file there", async () => {
  const destination = join(data, "pg_wal/RECOVERYXLOG");
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  let hasBegun = false;
  let isOver = false;
  before = async (name) => {
    if (name !== walName(1)) return;
    hasBegun = true;
    await gate;
    isOver = true;
  };
  const first = ask("archive-get", walName(1), "pg_wal/RECOVERYXLOG");
  await vi.waitFor(() => expect(hasBegun).toBe(true), WAIT);
  first.caller.destroy();
  await first.answer;
  expect(await ask("archive-get", walName(2), "pg_wal/RECOVERYXLOG").answer).toContain("exit 0\n");
  expect(readFileSync(destination).equals(walBytes(2))).toBe(true);
  open();
  await vi.waitFor(() => expect(isOver).toBe(true), WAIT);
  await vi.waitFor(
    () => expect(readdirSync(join(data, "pg_wal")).sort()).toEqual(["RECOVERYXLOG", "archive_status"]),
    WAIT,
  );
  agent.end();
  await agent.ended;
  expect(readFileSync(destination).equals(walBytes(2))).toBe(true);
});

it("answers every push that was asked for before its end, although another file occupied the repository's worker", async () => {
  const begun: string[] = [];
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  before = async (name) => {
    begun.push(name);
    await gate;
  };
  const pushes = [11, 12, 13].map((no) => {
    writeFileSync(join(data, "pg_wal", walName(no)), walBytes(no));
    return ask("archive-push", `pg_wal/${walName(no)}`).answer;
  });
  await vi.waitFor(() => expect(begun).not.toEqual([]), WAIT);
  // Connections are accepted in their order: after this answer the agent has all three.
  expect(await ask("status").answer).toContain("exit 0\n");
  agent.end();
  setTimeout(open, 100);
  expect(await Promise.all(pushes)).toEqual(Array.from({ length: 3 }, () => expect.stringContaining("exit 0\n")));
});

it("removes at its start a killed agent's files in pg_wal", async () => {
  await vi.waitFor(
    () => expect(readdirSync(join(data, "pg_wal")).filter((name) => LEFT.includes(name))).toEqual([]),
    WAIT,
  );
});
