/** WAL for an opened backup: the real restore_command, run by a shell as PostgreSQL does. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { offerWal } from "../../../../runtime/commands/recovery/openedWal";
import { nullIfMissing } from "../../../../runtime/local/systemError";
import { ASK_SCRIPT, askingCommand, requireRunnable } from "../../../../runtime/operations/open/askForWal";
import { type OpenLocation, openLocation } from "../../../../runtime/operations/open/openLocation";
import type { WalOffer } from "../../../../runtime/operations/open/serveBackup";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { Repository } from "../../../../runtime/repository/repository";
import { run } from "../../../../tools/parts/process";
import { testContext, type TestContext } from "../../../harness/context";
import { tablespaceSegment } from "../../format/walWriter";
import { store } from "../../operations/archive";
import { CONTROL, repository, temporaryFolder, walBytes, walName } from "../../repository/support";
import { host } from "../support";

let location: OpenLocation;
let at: string;
let repo: Repository;
let ctx: TestContext;
let offer: WalOffer | null;

beforeEach(async () => {
  // A quote and a percent sign: both mean something to the shell or to PostgreSQL.
  at = join(temporaryFolder(), "it's 5% past");
  location = openLocation(at);
  mkdirSync(join(at, "pg_wal"), { recursive: true });
  mkdirSync(location.upper, { recursive: true });
  writeFileSync(join(location.upper, "recovery.signal"), "");
  ctx = testContext();
  repo = repository(1);
  await stanzaCreate([repo], CONTROL, ctx);
  await store(repo, 1, 2, 3);
  const own = host({ argv: ["open"], repos: [repo], ctx, folder: temporaryFolder() });
  offer = await offerWal({ ...own, readFile: (path) => nullIfMissing(readFile(path)) }, location, CONTROL, walName(1));
});
afterEach(() => close());

async function close(): Promise<void> {
  await offer?.close(AbortSignal.timeout(10_000));
  offer = null;
}

const DESTINATION = "pg_wal/RECOVERYXLOG";

/** PostgreSQL's exit code, and what its log gets. */
async function get(file: string): Promise<{ readonly code: number; readonly text: string }> {
  const names: Readonly<Record<string, string>> = { "%%": "%", "%f": file, "%p": DESTINATION };
  const command = askingCommand(location, process.execPath).replaceAll(/%[%fp]/g, (name) => names[name] ?? name);
  expect(command).not.toContain("\\");
  const { exitCode, stderr } = await run("sh", ["-c", command], { cwd: at });
  return { code: exitCode, text: stderr };
}

describe("WAL for an opened backup", () => {
  // claim: docs/open.md: the process that serves an opened backup gives its recovery the WAL
  test("comes from the process that serves the files, with what follows, to its account only", async () => {
    expect((await get(walName(1))).code).toBe(0);
    expect(readFileSync(join(at, DESTINATION)).equals(walBytes(1))).toBe(true);
    expect((await get(walName(2))).code).toBe(0);
    expect(readFileSync(join(at, DESTINATION)).equals(walBytes(2))).toBe(true);
    expect(ctx.lines.map(({ text }) => text).join("\n")).toContain(`found ${walName(2)} in the queue`);
    expect((await get(walName(3))).code).toBe(0);
    // What was copied does not pile up.
    expect(readdirSync(location.fetchedWal)).toEqual([walName(2), walName(3)]);
    expect(statSync(location.walSocket).mode & 0o777).toBe(0o600);
  });

  test("comes early, and a second time without another fetch: recovery reads its last segment again", async () => {
    await vi.waitFor(() => expect(readdirSync(location.fetchedWal)).toEqual([walName(1)]), 10_000);
    repo.storage.read = () => Promise.reject(new Error("the repository is away"));
    for (let round = 0; round < 2; round++) {
      expect((await get(walName(1))).code).toBe(0);
      expect(readFileSync(join(at, DESTINATION)).equals(walBytes(1))).toBe(true);
    }
  });

  test("ends only where no repository has more", async () => {
    expect(await get(walName(4))).toMatchObject({ code: 1 });
    expect((await get("00000002.history")).code).toBe(1);
    repo.storage.read = () => Promise.reject(new Error("the repository is away"));
    const { code, text } = await get(walName(5));
    expect([code, text]).toEqual([255, expect.stringContaining("so recovery is aborted")]);
  });

  // claim: docs/open.md: a missing or dying serving process never ends the recovery of an opened backup
  test("a serving process that is missing, dies or fails aborts the recovery", async () => {
    await close();
    expect(existsSync(location.walSocket)).toBe(false);
    expect(await get(walName(1))).toMatchObject({ code: 255, text: expect.stringContaining("no answer") });
    for (const answer of ["", " ERROR: [042]: why\n", "exit 50\n", "exit 120\n"]) {
      const server = await answering(answer);
      expect((await get(walName(1))).code, answer).toBe(255);
      await new Promise((resolve) => server.close(resolve));
    }
    // It says that the file is there, and it is not.
    const server = await answering("exit 0\n");
    expect((await get(walName(9))).code).toBe(255);
    await new Promise((resolve) => server.close(resolve));
    writeFileSync(location.walScript, "throw new Error('damaged');");
    expect((await get(walName(1))).code).toBe(255);
    writeFileSync(location.walScript, ASK_SCRIPT);
    expect(existsSync(join(at, DESTINATION))).toBe(false);
  });

  // claim: docs/open.md: WAL that creates a tablespace…
  test("a segment that creates a tablespace is refused, and never reaches the server", async () => {
    await store(repo, [walName(4), tablespaceSegment("/srv/fast", { segment: 4, systemId: CONTROL.systemId })]);
    const { code, text } = await get(walName(4));
    expect([code, text]).toEqual([255, expect.stringContaining("creates a tablespace in '/srv/fast'")]);
    expect([existsSync(join(at, DESTINATION)), existsSync(join(location.fetchedWal, walName(4)))]).toEqual([
      false,
      false,
    ]);
  });

  test("a program that the server's account cannot run is refused before the server starts", async () => {
    await requireRunnable(process.execPath);
    await expect(requireRunnable(join(at, "pg_wal", "node"))).rejects.toThrow("the server's account cannot run");
  });

  test("other requests get no answer", async () => {
    for (const args of [["status"], ["archive-push", "pg_wal/x"], ["archive-get", "../../open.json"]]) {
      const asked = await run(process.execPath, [location.walScript, location.walSocket, ...args]);
      expect([asked.exitCode, asked.stderr]).toEqual([255, expect.stringContaining("serves only archive-get")]);
    }
  });
});

function answering(text: string): Promise<Server> {
  const server = createServer((socket) => void socket.on("data", () => socket.end(text)).on("error", () => {}));
  return new Promise((resolve) => server.listen(location.walSocket, () => resolve(server)));
}
