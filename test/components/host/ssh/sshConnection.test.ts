/** How commands over SSH end, with a scripted server. test/hosts has real servers. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { Server, type ServerChannel } from "ssh2";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Connection } from "../../../../components/host/connection";
import { makeKeyPair } from "../../../../components/host/ssh/keys";
import { NoAnswer, SignInRefused } from "../../../../components/host/ssh/sshClient";
import type { SshTarget } from "../../../../components/host/ssh/sshTarget";
import { connectOverSsh } from "../../../../components/host/ssh/sshConnection";

const own = makeKeyPair("host");
const key = makeKeyPair("client");

let server: Server;
let connection: Connection;
let answer: (channel: ServerChannel, command: string) => void;
let port = 0;
const PASSWORD = "the password of the test";
beforeAll(async () => {
  server = new Server({ hostKeys: [own.privateKey] }, (client) => {
    client.on("error", () => undefined);
    client.on("authentication", (context) => {
      if (context.method === "password" && context.password !== PASSWORD) context.reject();
      else context.accept();
    });
    client.on("session", (accept) =>
      accept().on("exec", (acceptExec, _reject, { command }) => answer(acceptExec(), command)),
    );
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  ({ port } = server.address() as AddressInfo);
  connection = await connectOverSsh({ ...target(), privateKey: key.privateKey });
});
afterAll(async () => {
  await connection?.close();
  server?.close();
});

function target(): SshTarget {
  const route = { host: "127.0.0.1", port, user: "root", sudo: false, hostKeys: [own.publicKey], knownHostsFiles: [] };
  return { ...route, privateKey: undefined, passphrase: undefined, agent: undefined, jump: undefined };
}

test("a password signs in where there is no key, and a wrong one is named as such", async () => {
  const signedIn = await connectOverSsh({ ...target(), password: PASSWORD });
  expect(signedIn.login.name).toBe("root");
  await signedIn.close();
  await expect(connectOverSsh({ ...target(), password: "another one" })).rejects.toThrow(
    /^127\.0\.0\.1 does not let root sign in: .*: check the password, and that sshd allows it/,
  );
  await expect(connectOverSsh({ ...target(), password: "another one" })).rejects.toBeInstanceOf(SignInRefused);
});

test("a port that nobody serves is a host that may answer later, an unexpected host key is not", async () => {
  const silent = connectOverSsh({ ...target(), port: 1, password: PASSWORD });
  await expect(silent).rejects.toBeInstanceOf(NoAnswer);
  const closing = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
  await once(closing, "listening");
  const closed = connectOverSsh({ ...target(), port: (closing.address() as AddressInfo).port, password: PASSWORD });
  await expect(closed).rejects.toBeInstanceOf(NoAnswer);
  closing.close();
  const other = makeKeyPair("other").publicKey;
  const failure = await connectOverSsh({ ...target(), hostKeys: [other], password: PASSWORD }).catch(
    (error: unknown) => error,
  );
  expect(String(failure)).toContain("this may be an attack");
  expect(failure).not.toBeInstanceOf(NoAnswer);
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

test("what the login's shell prints at its start is no part of an answer", async () => {
  answer = (channel, command) => {
    const frame = /printf '%s\\n' '(.*?)'/.exec(command.replaceAll("'\\''", "'"))?.[1];
    for (const text of ["hello", "\nfrom .bashrc\n", `${frame}\nfirst\n`, "second\n"]) channel.write(text);
    channel.exit(0);
    channel.end();
  };
  const lines: string[] = [];
  const { stdout } = await connection.exec(["true"], { onLine: (line) => void lines.push(line) });
  expect([stdout, lines]).toEqual(["first\nsecond\n", ["first", "second"]]);
});

test("a command without a reported end is a lost connection", async () => {
  answer = (channel) => channel.close();
  await expect(connection.exec(["sleep", "1"])).rejects.toThrow(
    "the connection to 127.0.0.1 was lost while sleep ran (no exit code came back)",
  );
});

test("another account is root through sudo, which the first command that fails proves", async () => {
  const commands: string[] = [];
  const answerWith =
    (stderr: string, ...codes: readonly number[]) =>
    (channel: ServerChannel, command: string): void => {
      channel.stderr.write(stderr);
      channel.exit(codes[commands.length] ?? 0);
      commands.push(command);
      channel.end();
    };
  const reach = (): Promise<Connection> =>
    connectOverSsh({ ...target(), privateKey: key.privateKey, user: "deploy", sudo: true });
  answer = answerWith("", 0, 1);
  const able = await reach();
  expect([able.login, commands]).toEqual([{ name: "root", uid: 0, gid: 0 }, []]);
  await able.exec(["true"]);
  expect((await able.exec(["false"])).exitCode).toBe(1);
  expect(commands.map((command) => /sudo -n -- .* (true|false)/.exec(command)?.[1])).toEqual(["true", "false"]);
  await able.close();
  commands.length = 0;
  answer = answerWith("sudo: a password is required\n", 1, 1);
  const unable = await reach();
  await expect(unable.exec(["false"])).rejects.toThrow(
    /^deploy cannot become root on 127\.0\.0\.1 through sudo without a password \(sudo: a password is required\): allow it/,
  );
  await unable.close();
  commands.length = 0;
  answer = answerWith("", 1, 0);
  const failing = await reach();
  expect((await failing.exec(["false"])).exitCode).toBe(1);
  expect(commands).toHaveLength(2);
  await failing.close();
});
