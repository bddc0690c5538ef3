/** A connection in the words of `@pulumi/command`'s provider, and what it cannot say. */
import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import { commandConnection, type FileAccess } from "../../../../components/host/ssh/commandConnection";
import type { SshInput } from "../../../../components/host/ssh/sshTarget";

/** A key of a type with any content: its first field names the type (RFC 4253). */
function keyOf(type: string, content: string): string {
  const field = Buffer.alloc(4);
  field.writeUInt32BE(type.length);
  return `${type} ${Buffer.concat([field, Buffer.from(type), Buffer.from(content)]).toString("base64")}`;
}

const ED25519 = keyOf("ssh-ed25519", "of the host");
const ECDSA = keyOf("ecdsa-sha2-nistp256", "of the host");
const RSA = keyOf("ssh-rsa", "of the host");
const FINGERPRINT = `SHA256:${"A".repeat(43)}`;
const INPUT: SshInput = { host: "db", port: 22, user: "deploy", sudo: true, hostKeys: [ED25519], knownHostsFiles: [] };
const access = (files: Readonly<Record<string, string>> = {}, isPreview = false): FileAccess => ({
  isPreview,
  readText: async (path) => files[path] ?? Promise.reject(new Error(`ENOENT: no such file, open '${path}'`)),
});

test("key, passphrase, password, agent and limits keep their meaning", async () => {
  const common = { host: "db", port: 22, user: "deploy", hostKey: ED25519, dialErrorLimit: 4 };
  const key = [{ privateKey: "the key", passphrase: "its passphrase", password: "the password" }];
  expect(await commandConnection(INPUT, key, access())).toEqual({
    ...common,
    privateKey: "the key",
    privateKeyPassword: "its passphrase",
  });
  expect(await commandConnection(INPUT, [{ password: "the password" }], access())).toEqual({
    ...common,
    password: "the password",
  });
  const limited = { ...INPUT, agent: "/run/agent", dialing: { errorsMax: 0, attemptSeconds: 5, waitSeconds: 9 } };
  expect(await commandConnection(limited, [], access())).toEqual({
    ...common,
    dialErrorLimit: 0,
    perDialTimeout: 5,
    agentSocketPath: "/run/agent",
  });
});

test("one jump host is the proxy, two are refused with the remedy", async () => {
  const jump = { ...INPUT, host: "jump", user: "hop", hostKeys: [ECDSA] };
  expect(await commandConnection({ ...INPUT, jump }, [{}, { privateKey: "of the jump" }], access())).toMatchObject({
    host: "db",
    proxy: { host: "jump", user: "hop", hostKey: ECDSA, privateKey: "of the jump" },
  });
  await expect(commandConnection({ ...INPUT, jump: { ...jump, jump } }, [], access())).rejects.toThrow(
    "db is behind more than one jump host, and @pulumi/command knows one",
  );
});

test("the host key is always given: a listed one, or one of a known_hosts file, hashed names included", async () => {
  const keyFor = async (over: Partial<SshInput>, files: Record<string, string> = {}): Promise<unknown> =>
    (await commandConnection({ ...INPUT, ...over }, [], access(files))).hostKey;
  expect(await keyFor({ hostKeys: [FINGERPRINT, `${RSA} comment`, `${ECDSA} comment`] })).toBe(ECDSA);
  const files = { hostKeys: [], knownHostsFiles: ["/missing", "/known"] };
  expect(await keyFor(files, { "/known": `other ${ED25519}\ndb ${ECDSA}\n` })).toBe(ECDSA);
  const salt = Buffer.from("0123456789abcdefghij");
  const hash = createHmac("sha1", salt).update("db").digest("base64");
  expect(await keyFor(files, { "/known": `|1|${salt.toString("base64")}|${hash} ${ED25519}\n` })).toBe(ED25519);
  expect(await keyFor(files, { "/known": `@revoked db ${ED25519}\ndb ${ED25519}\ndb ${ECDSA}\n` })).toBe(ECDSA);
});

test("a host without a usable key is refused, never trusted", async () => {
  const failing = (over: Partial<SshInput>, files = {}): Promise<unknown> =>
    commandConnection({ ...INPUT, ...over }, [], access(files));
  await expect(failing({ hostKeys: [FINGERPRINT] })).rejects.toThrow(
    "hostKeys have only fingerprints for db, and @pulumi/command needs an ed25519 or ecdsa host key: add the line that ssh-keyscan -p 22 -t ed25519 db prints",
  );
  await expect(failing({ hostKeys: [RSA] })).rejects.toThrow("hostKeys have only a key of type ssh-rsa for db");
  await expect(failing({ hostKeys: [], knownHostsFiles: ["/known"] })).rejects.toThrow("/known has no key for db");
});

test("a key file is read by the update alone", async () => {
  const input = { ...INPUT, privateKeyFile: "/keys/db" };
  expect(await commandConnection(input, [], access({ "/keys/db": "the key" }))).toMatchObject({
    privateKey: "the key",
  });
  expect(await commandConnection(input, [], access({}, true))).toMatchObject({ privateKey: "" });
  await expect(commandConnection(input, [], access())).rejects.toThrow(
    "unable to read the private key /keys/db for db",
  );
});
