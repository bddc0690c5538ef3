/** How commands over SSH end, with a scripted server. test/hosts has real servers. */
import type { AddressInfo } from "node:net";
import { Server, type ServerChannel, utils } from "ssh2";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Connection } from "../../../../components/host/connection";
import { connectOverSsh } from "../../../../components/host/ssh/sshConnection";

const own = utils.generateKeyPairSync("ed25519");
const key = utils.generateKeyPairSync("ed25519");

let server: Server;
let connection: Connection;
let answer: (channel: ServerChannel) => void;
beforeAll(async () => {
  server = new Server({ hostKeys: [own.private] }, (client) => {
    client.on("error", () => undefined);
    client.on("authentication", (context) => context.accept());
    client.on("session", (accept) => accept().on("exec", (acceptExec) => answer(acceptExec())));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const route = { host: "127.0.0.1", port, user: "root", sudo: false, hostKeys: [own.public], knownHostsFiles: [] };
  connection = await connectOverSsh({
    ...route,
    privateKey: key.private,
    passphrase: undefined,
    agent: undefined,
    jump: undefined,
  });
});
afterAll(async () => {
  await connection?.close();
  server?.close();
});

test("a command with endless output is stopped and named, and the connection stays usable", async () => {
  answer = (channel) => {
    channel.on("error", () => undefined);
    const line = "x".repeat(64 * 1024);
    const go = (): void => {
      while (channel.writable && channel.write(line));
    };
    channel.on("drain", go);
    go();
  };
  await expect(connection.exec(["yes"])).rejects.toThrow("yes printed more than 16777216 characters");
  answer = (channel) => {
    channel.write("ok");
    channel.exit(3);
    channel.end();
  };
  expect(await connection.exec(["true"])).toEqual({ exitCode: 3, stdout: "ok", stderr: "" });
});

test("a command without a reported end is a lost connection", async () => {
  answer = (channel) => channel.close();
  await expect(connection.exec(["sleep", "1"])).rejects.toThrow(
    "the connection to 127.0.0.1 was lost while sleep ran (no exit code came back)",
  );
});
