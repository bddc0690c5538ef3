import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import {
  type Answer,
  type ControlSocket,
  type Handler,
  serveControlSocket,
} from "../../../runtime/agent/controlSocket";
import { testContext } from "../../harness/context";
import { temporaryFolder } from "../repository/support";

let served: ControlSocket | null = null;
afterEach(async () => {
  await served?.close(AbortSignal.abort());
  served = null;
});

async function serve(handle: Handler, path = join(temporaryFolder(), "a.sock")): Promise<string> {
  served = await serveControlSocket({ path }, handle, testContext());
  return path;
}

/** Everything that the agent sends before it closes the connection. */
function ask(path: string, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(path, () => void socket.write(bytes));
    socket.setEncoding("utf8").on("data", (chunk: string) => void (text += chunk));
    socket.on("close", () => resolve(text)).on("error", reject);
  });
}

const echo: Handler = async (workingDirectory, args): Promise<Answer> => ({
  exitCode: 7,
  lines: [workingDirectory, ...args, "two\nlines"],
});

describe("the agent's socket", () => {
  // claim: docs/agent.md: the socket is closed to others; a second agent is refused
  it("is closed to others, answers in lines and ends with the code", async () => {
    const path = await serve(echo);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await ask(path, "/data\0archive-push\0pg_wal/a b\0\n")).toBe(
      " /data\n archive-push\n pg_wal/a b\n two\n lines\nexit 7\n",
    );
  });

  it("gives no answer to a request that is too long, or when the handler fails", async () => {
    const path = await serve(async () => Promise.reject(new Error("broken")));
    expect(await ask(path, "x".repeat(20_000))).toBe("");
    expect(await ask(path, "/\0y\0\n")).toBe("");
  });

  // claim: docs/agent.md: the socket is closed…
  it("refuses a second agent at the same path, replaces a dead one, and leaves nothing behind", async () => {
    const path = await serve(echo);
    await expect(serveControlSocket({ path }, echo, testContext())).rejects.toMatchObject({
      kind: "lockAcquire",
      exitCode: 50,
    });
    await served?.close(AbortSignal.abort());
    expect(existsSync(path)).toBe(false);
    // A killed process leaves a socket file without a listener.
    spawnSync("perl", [
      "-MSocket",
      "-e",
      "socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un($ARGV[0])); kill 9, $$",
      path,
    ]);
    expect(existsSync(path)).toBe(true);
    await serve(echo, path);
    expect(await ask(path, "/\0z\0\n")).toContain("exit 7");
    await expect(serveControlSocket({ path: "/nonexistent/x.sock" }, echo, testContext())).rejects.toMatchObject({
      kind: "fileOpen",
    });
  });

  it("leaves the socket of another agent that has replaced it while it was ending", async () => {
    let finish = (): void => {};
    let hasBegun = false;
    const path = await serve(() => {
      hasBegun = true;
      return new Promise((resolve) => {
        finish = () => resolve({ exitCode: 0, lines: [] });
      });
    });
    const ending = served;
    const asked = ask(path, "/\0slow\0\n");
    while (!hasBegun) await new Promise((resolve) => setTimeout(resolve, 5));
    const closed = ending?.close(new AbortController().signal);
    await serve(echo, path);
    finish();
    expect(await asked).toBe("exit 0\n");
    await closed;
    expect(await ask(path, "/\0z\0\n")).toContain("exit 7");
  });

  it("replaces no other file", async () => {
    const path = join(temporaryFolder(), "notes");
    writeFileSync(path, "text");
    await expect(serveControlSocket({ path }, echo, testContext())).rejects.toMatchObject({ kind: "fileOpen" });
    expect(readFileSync(path, "utf8")).toBe("text");
  });

  it("waits for running answers when it is closed", async () => {
    let finish: (() => void) | undefined;
    const path = await serve(
      () =>
        new Promise((resolve) => {
          finish = () => resolve({ exitCode: 0, lines: [] });
        }),
    );
    const asked = ask(path, "/\0slow\0\n");
    while (finish === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    const closed = served?.close(new AbortController().signal);
    finish();
    expect(await asked).toBe("exit 0\n");
    await closed;
  });
});
