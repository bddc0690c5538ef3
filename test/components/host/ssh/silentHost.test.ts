// claim: docs/hosts/backup-now.md: a host that accepts connections and says nothing fails a command that must run,
//   within `waitSeconds`, and no other
import { createServer, type AddressInfo, type Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import { findSilence } from "../../../../components/host/ssh/silentHost";
import type { SshInput } from "../../../../components/host/ssh/sshTarget";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** Null says nothing. */
async function listen(greeting: () => string | null): Promise<number> {
  const server = createServer((socket) => {
    const text = greeting();
    socket.on("error", () => {});
    if (text !== null) socket.end(text);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

const routeTo = (port: number, dialing: SshInput["dialing"] = { attemptSeconds: 1, waitSeconds: 1 }): SshInput => ({
  host: "127.0.0.1",
  port,
  user: "root",
  sudo: false,
  hostKeys: [],
  knownHostsFiles: [],
  dialing,
});

test("a host that accepts connections and says nothing is found within its limits", async () => {
  const port = await listen(() => null);
  const silence = `127.0.0.1:${port} accepts connections and has sent nothing for 1 s: is sshd hanging, or a forwarder before a dead machine?`;
  expect(await findSilence(routeTo(port))).toBe(silence);
  // Only the first host of the route can be asked from here.
  expect(await findSilence({ ...routeTo(1), jump: { ...routeTo(port) } })).toBe(silence);
});

test("one that greets, refuses or closes the connection is the provider's to report", async () => {
  expect(await findSilence(routeTo(await listen(() => "SSH-2.0-test\r\n")))).toBeNull();
  expect(await findSilence(routeTo(await listen(() => "")))).toBeNull();
  const free = await listen(() => null);
  await new Promise((resolve) => servers.pop()?.close(resolve));
  expect(await findSilence(routeTo(free))).toBeNull();
});

test("one that boots behind a forwarder has the time to wait for a host", async () => {
  let asked = 0;
  const port = await listen(() => (++asked < 2 ? null : "SSH-2.0-test\r\n"));
  expect(await findSilence(routeTo(port, { attemptSeconds: 1, waitSeconds: 60 }))).toBeNull();
  expect(asked).toBe(2);
});
