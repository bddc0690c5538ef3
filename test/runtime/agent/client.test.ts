// claim: README.md: a stopping agent gives…
// claim: docs/agent.md: a recovery in another…
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { projectFolder } from "../../../tools/parts/cache";
import { findOnPath, run } from "../../../tools/parts/process";
import { temporaryFolder } from "../repository/support";

const CLIENT = join(projectFolder(), "runtime", "agent", "pgbackrest-client");

/** An agent that answers every request with these lines. */
async function withAgent<T>(answer: string, use: (path: string, cwd: string) => Promise<T>): Promise<T> {
  const cwd = temporaryFolder();
  const path = join(cwd, "a.sock");
  const server = createServer((socket) => void socket.on("data", () => socket.end(answer)).on("error", () => {}));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    return await use(path, cwd);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

it("tells a guarded caller that no repository has the file by a code that no fault has", async () => {
  const perl = await findOnPath("perl");
  if (perl === null) return;
  await withAgent("exit 1\n", async (path, cwd) => {
    const get = [CLIENT, path, "archive-get", "000000010000000000000001", "pg_wal/RECOVERYXLOG"];
    const env = { ...process.env, PGBACKSTOP_GUARD: "1" };
    expect((await run(perl, get, { cwd })).exitCode).toBe(1);
    expect((await run(perl, get, { cwd, env })).exitCode).toBe(120);
  });
});

describe("the client without an agent", async () => {
  const perl = await findOnPath("perl");

  // claim: docs/agent.md: 255 for a recovery that must not end there
  it.skipIf(perl === null)(
    "exits 49, but stops an archive recovery, which would take that for the end of the archive",
    async () => {
      const cwd = temporaryFolder();
      const code = async (...args: string[]): Promise<number> =>
        (await run(perl ?? "", [CLIENT, join(cwd, "no.sock"), ...args], { cwd })).exitCode;
      const get = ["archive-get", "000000010000000000000001", "pg_wal/RECOVERYXLOG"];
      expect(await code("archive-push", "pg_wal/000000010000000000000001")).toBe(49);
      expect(await code(...get)).toBe(49);
      writeFileSync(join(cwd, "recovery.signal"), "");
      expect(await code(...get)).toBe(255);
      expect(await code("archive-push", "pg_wal/000000010000000000000001")).toBe(49);
      writeFileSync(join(cwd, "standby.signal"), "");
      expect(await code(...get)).toBe(49);
    },
  );

  it.skipIf(perl === null)("treats an agent that ends the connection without an answer as absent", async () => {
    const cwd = temporaryFolder();
    const path = join(cwd, "a.sock");
    const server = createServer((socket) => void socket.on("data", () => socket.destroy()).on("error", () => {}));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      const get = [CLIENT, path, "archive-get", "000000010000000000000001", "pg_wal/RECOVERYXLOG"];
      expect(await run(perl ?? "", get, { cwd })).toMatchObject({
        exitCode: 49,
        stderr: expect.stringContaining("no answer from"),
      });
      writeFileSync(join(cwd, "recovery.signal"), "");
      expect(await run(perl ?? "", get, { cwd })).toMatchObject({ exitCode: 255 });
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });
});
