/** A connection in each of its forms becomes the same inputs, with its credentials apart. */
import type { remote } from "@pulumi/command/types/input";
import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import type { HostConnection } from "../../../components/databases/hostArgs";
import {
  addressOf,
  connectionFindings,
  connectionInputs,
  connectionKinds,
  secretConnection,
  settledRoute,
} from "../../../components/databases/hostConnection";

const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKeyOfTheTest";
const COMMAND: remote.ConnectionArgs = {
  host: "203.0.113.10",
  user: "deploy",
  privateKey: "the private key",
  privateKeyPassword: "its passphrase",
  hostKey: HOST_KEY,
};
const KNOWN = { host: "203.0.113.10", user: "deploy", hostKey: HOST_KEY };
const ROUTE = { host: "203.0.113.10", port: 22, user: "deploy", sudo: true, hostKeys: [HOST_KEY], knownHostsFiles: [] };

function settled<T>(input: pulumi.Input<T>): Promise<{ value: unknown; isSecret: boolean }> {
  const output = pulumi.output(input);
  return new Promise((resolve, reject) => {
    output.apply((value) => void pulumi.isSecret(output).then((isSecret) => resolve({ value, isSecret }), reject));
  });
}

async function inputs(connection: pulumi.Input<HostConnection>): Promise<{ route: unknown; signIn: unknown }> {
  const made = connectionInputs(connection);
  const route = await settled(made.connection);
  expect(route.isSecret).toBe(false);
  if (made.signIn === undefined) return { route: route.value, signIn: undefined };
  const signIn = await settled(made.signIn);
  expect(signIn.isSecret).toBe(true);
  return { route: route.value, signIn: signIn.value };
}

// claim: docs/hosts/connection.md: connections of `@pulumi/command`, and the wait for a machine made in the same update
test("an object of Command is taken as it is, plain and as an output", async () => {
  const wanted = {
    route: { ssh: ROUTE },
    signIn: [{ privateKey: "the private key", passphrase: "its passphrase" }],
  };
  expect(await inputs(COMMAND)).toEqual(wanted);
  expect(await inputs(pulumi.output(COMMAND))).toEqual(wanted);
  expect(await inputs(pulumi.secret(COMMAND))).toEqual(wanted);
  expect(await inputs(Promise.resolve(COMMAND))).toEqual(wanted);
});

test("its proxy is the jump host, with credentials of its own, also as an output", async () => {
  const proxy = { host: "jump", user: "root", port: 2222, password: "the password", hostKey: HOST_KEY };
  const wanted = {
    route: {
      ssh: { ...ROUTE, jump: { ...ROUTE, host: "jump", user: "root", port: 2222, sudo: false, passwordLogin: true } },
    },
    signIn: [{ privateKey: "the private key", passphrase: "its passphrase" }, { password: "the password" }],
  };
  expect(await inputs({ ...COMMAND, proxy })).toEqual(wanted);
  expect(await inputs({ ...COMMAND, proxy: pulumi.output(proxy) })).toEqual(wanted);
  expect(await inputs({ ...COMMAND, proxy: pulumi.secret(proxy) })).toEqual(wanted);
});

test("its agent and limits are kept, beside the time to wait", async () => {
  const limits = { agentSocketPath: "/run/agent", dialErrorLimit: 3, perDialTimeout: 5, waitSeconds: 60 };
  const { privateKey: _key, privateKeyPassword: _phrase, ...rest } = COMMAND;
  expect(await inputs({ ...rest, ...limits })).toEqual({
    route: {
      ssh: { ...ROUTE, agent: "/run/agent", dialing: { waitSeconds: 60, errorsMax: 3, attemptSeconds: 5 } },
    },
    signIn: [{}],
  });
});

test("an object without a host key is refused with the remedy, at once or when its values come", () => {
  const { hostKey: _key, ...without } = COMMAND;
  const codes = (connection: HostConnection): string[] =>
    connectionFindings(connection).map(({ code, path }) => `${code} ${path}`);
  expect(codes(without)).toEqual(["PB160 connection.hostKey"]);
  expect(codes({ ...COMMAND, hostKey: "203.0.113.10" })).toEqual(["PB160 connection.hostKey"]);
  expect(codes({ ...COMMAND, proxy: { host: "jump", user: "root" } })).toEqual(["PB160 connection.proxy.hostKey"]);
  expect(codes(COMMAND)).toEqual([]);
  expect(codes({ ...COMMAND, hostKey: pulumi.output(HOST_KEY) })).toEqual([]);
  expect(() => settledRoute({ ...KNOWN, hostKey: "" })).toThrow(
    'there is no host key: any server could answer; set hostKey to the key that the owner of the host names, such as "ssh-ed25519 AAAAC3…"',
  );
  expect(() => settledRoute({ ...KNOWN, proxy: { host: "jump" } })).toThrow("there is no host key");
});

test("a login by password is a warning", () => {
  const { privateKey: _key, ...without } = COMMAND;
  expect(connectionFindings({ ...without, password: "the password" })).toEqual([
    expect.objectContaining({ code: "PB161", severity: "warning", path: "connection.password" }),
  ]);
  expect(connectionFindings({ ...COMMAND, password: "the password" })).toEqual([]);
});

test("the other forms are as they were: a stack shows no change", async () => {
  const jump = { host: "jump", user: "hop", privateKey: "another key" };
  const ssh = { host: "db", hostKeys: [HOST_KEY], privateKey: "the private key", jump };
  const known = { knownHostsFiles: ["~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"] };
  const hop = { host: "jump", port: 22, user: "hop", sudo: true, hostKeys: [], ...known };
  const wanted = {
    route: { ssh: { host: "db", port: 22, user: "root", sudo: false, hostKeys: [HOST_KEY], ...known, jump: hop } },
    signIn: [{ privateKey: "the private key" }, { privateKey: "another key" }],
  };
  expect(await inputs({ ssh })).toEqual(wanted);
  expect(await inputs(pulumi.output({ ssh }))).toEqual(wanted);
  expect(await inputs({ ssh: { ...ssh, user: pulumi.output("root"), hostKeys: pulumi.output([HOST_KEY]) } })).toEqual(
    wanted,
  );
  expect(await inputs({ local: {} })).toEqual({ route: { local: {} }, signIn: undefined });
});

test("a connection from another resource must not be this machine, and needs a host", () => {
  expect(() => settledRoute({ local: {} })).toThrow("local must be plain");
  expect(() => settledRoute({})).toThrow("there is no host: set host, or ssh");
});

test("exactly one kind counts", () => {
  expect(Object.keys(connectionKinds(COMMAND))).toEqual(["ssh"]);
  expect(Object.keys(connectionKinds(pulumi.output(COMMAND)))).toEqual(["ssh"]);
  expect(Object.keys(connectionKinds({ ...COMMAND, local: {} }))).toEqual(["local", "ssh"]);
  expect(Object.keys(connectionKinds({ ...COMMAND, ssh: { host: "db" } }))).toEqual(["ssh", "host"]);
  expect(Object.keys(connectionKinds({}))).toEqual([]);
});

test("an address is as plain as it was given", async () => {
  expect(addressOf({ ssh: { host: "db", port: 2222, user: "deploy" } })).toEqual({
    host: "db",
    port: 2222,
    login: "deploy",
  });
  expect(addressOf(COMMAND)).toEqual({ host: "203.0.113.10", port: 22, login: "deploy" });
  expect(addressOf({ local: {} })).toEqual({ host: "", port: 22, login: "" });
  const deferred = addressOf(pulumi.secret(COMMAND));
  expect(await settled(deferred.host)).toEqual({ value: "203.0.113.10", isSecret: false });
});

test("what later actions get has secret credentials in every form", async () => {
  const isSecret = (input: unknown): Promise<boolean> => pulumi.isSecret(pulumi.output(input));
  const login = secretConnection({ ...COMMAND, proxy: COMMAND }) as HostConnection;
  expect(await isSecret(login.privateKey)).toBe(true);
  expect(await isSecret(login.privateKeyPassword)).toBe(true);
  expect(await isSecret((login.proxy as HostConnection).privateKey)).toBe(true);
  expect(await isSecret(login.host)).toBe(false);
  expect(await isSecret(secretConnection(pulumi.output(COMMAND)))).toBe(true);
});
