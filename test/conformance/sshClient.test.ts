/**
 * Which host keys the client trusts, and which keys can sign in: a real OpenSSH server, with every kind of key that
 * ssh-keygen makes.
 */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "ssh2";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openSshClient } from "../../components/host/ssh/sshClient";
import type { SshTarget } from "../../components/host/ssh/sshTarget";
import { runOk, start, type Started, waitFor } from "../../tools/parts/process";
import { findSshd, SftpServer } from "../../tools/parts/servers/sftpServer";
import { skipped } from "../harness/real/interopParts";

describe("the route to a host", async () => {
  const sshd = await findSshd();
  if ("missing" in sshd) return void skipped("the SSH client against sshd", sshd.missing);
  let server: SftpServer;
  let other: SftpServer;
  const clients: Client[] = [];
  beforeAll(async () => {
    [server, other] = await Promise.all([SftpServer.create(), SftpServer.create()]);
  });
  afterEach(() => {
    for (const client of clients.splice(0).reverse()) client.end();
  });
  afterAll(async () => {
    await server?.remove();
    await other?.remove();
  });

  const targetOf = (more: Partial<SshTarget> = {}, at: SftpServer = server): SshTarget => ({
    host: at.host,
    port: at.port,
    user: at.user.name,
    sudo: false,
    hostKeys: [at.hostKey()],
    knownHostsFiles: [],
    privateKey: readFileSync(at.clientKeyFile, "utf8"),
    passphrase: undefined,
    agent: undefined,
    jump: undefined,
    ...more,
  });
  const open = (target: SshTarget): Promise<Client> =>
    openSshClient(target, clients, async (path) => readFileSync(path, "utf8"));
  const sha256 = (type: string): string =>
    `SHA256:${Buffer.from(server.fingerprint(type), "hex").toString("base64").replaceAll("=", "")}`;
  const knownHosts = (text: string): string => {
    const file = join(server.folder, "known_hosts");
    writeFileSync(file, text);
    return file;
  };

  test.each(["ed25519", "ecdsa"])("a pinned key of kind %s, or its fingerprint, is enough", async (type) => {
    await open(targetOf({ hostKeys: [server.hostKey(type)] }));
    await open(targetOf({ hostKeys: [sha256(type)] }));
    await open(targetOf({ hostKeys: [sha256(type), "SHA256:0000000000000000000000000000000000000000000"] }));
  });

  test("known_hosts files are read, including hashed names", async () => {
    const file = knownHosts(`[${server.host}]:${server.port} ${server.hostKey()}\n`);
    await open(targetOf({ hostKeys: [], knownHostsFiles: ["/nowhere/known_hosts", file] }));
    await runOk("ssh-keygen", ["-q", "-H", "-f", file]);
    expect(readFileSync(file, "utf8")).toMatch(/^\|1\|/);
    await open(targetOf({ hostKeys: [], knownHostsFiles: [file] }));
  });

  // claim: README.md: a host behind SSH…
  test("an unknown host is refused with the key that it showed, a changed one with both keys", async () => {
    const nowhere = knownHosts("");
    await expect(open(targetOf({ hostKeys: [], knownHostsFiles: [nowhere] }))).rejects.toThrow(
      new RegExp(
        `^the key of ${server.host} is unknown \\(.*known_hosts do not list it; the host presented \\S+ SHA256:\\S+\\)`,
      ),
    );
    await expect(open(targetOf({ hostKeys: [other.hostKey()] }))).rejects.toThrow(
      /presented ssh-ed25519 SHA256:\S+ instead of the expected key ssh-ed25519 SHA256:/,
    );
    const revoked = knownHosts(`@revoked [${server.host}]:${server.port} ${server.hostKey()}\n`);
    await expect(open(targetOf({ hostKeys: [], knownHostsFiles: [revoked] }))).rejects.toThrow(
      "instead of the expected key revoked ssh-ed25519 SHA256:",
    );
  });

  test("an encrypted key needs its passphrase, and no message contains either", async () => {
    const file = await server.makeKey("locked", "ed25519", "open sesame");
    server.allow("locked");
    const privateKey = readFileSync(file, "utf8");
    await open(targetOf({ privateKey, passphrase: "open sesame" }));
    for (const passphrase of [undefined, "another one"]) {
      const error = await open(targetOf({ privateKey, passphrase })).catch(String);
      expect(error).toMatch(/^Error: the key for \S+ on 127\.0\.0\.1 cannot be used: .*: set passphrase$/);
      expect(error).not.toContain("another one");
    }
  });

  test("an SSH agent signs in if no key is given", async () => {
    const socket = join(server.folder, "agent.sock");
    const agent: Started = await start("ssh-agent", ["-D", "-a", socket], {
      logFile: join(server.folder, "agent.log"),
    });
    try {
      await waitFor("the agent", 60_000, async () => {
        const child = spawn("ssh-add", ["-q", server.clientKeyFile], {
          env: { ...process.env, SSH_AUTH_SOCK: socket },
          stdio: "ignore",
        });
        return (await new Promise((resolve) => child.on("close", resolve))) === 0 ? true : null;
      });
      await open(targetOf({ privateKey: undefined, agent: socket }));
    } finally {
      await agent.stop();
    }
    await expect(open(targetOf({ privateKey: undefined }))).rejects.toThrow(
      "set privateKey or privateKeyFile, or start an agent (SSH_AUTH_SOCK)",
    );
  });

  // claim: README.md: a host behind SSH…
  test("a jump host proves its own key, and cannot vouch for the target", async () => {
    await open(targetOf({ jump: targetOf({}, other) }));
    await expect(open(targetOf({ jump: targetOf({ hostKeys: [server.hostKey()] }, other) }))).rejects.toThrow(
      "instead of the expected key",
    );
    await expect(open(targetOf({ hostKeys: [other.hostKey()], jump: targetOf({}, other) }))).rejects.toThrow(
      "instead of the expected key",
    );
    await expect(open(targetOf({ port: 1, jump: targetOf({}, other) }))).rejects.toThrow(
      "127.0.0.1 cannot connect to 127.0.0.1:1",
    );
  });

  test("a refused login and a silent host are distinguished", async () => {
    const file = await server.makeKey("stranger", "ed25519");
    await expect(open(targetOf({ privateKey: readFileSync(file, "utf8") }))).rejects.toThrow(
      /127\.0\.0\.1 does not let \S+ sign in: .*authorized_keys/,
    );
    await expect(open(targetOf({ port: 1 }))).rejects.toThrow(/unable to connect to 127\.0\.0\.1:1: .*ECONNREFUSED/);
  });
});
