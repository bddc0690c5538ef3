/**
 * Converts a host's connection, in each of its forms, to inputs of its resource, with the credentials separate from
 * what a state shows.
 */
import * as pulumi from "@pulumi/pulumi";
import type { ConnectionInput } from "../dynamic/reach";
import type { DialLimits, SignInInput, SshInput } from "../host/ssh/sshTarget";
import { type Finding, finding } from "../plan/findings/findings";
import { appliedNow, isDeferredInput, knownNow } from "../internal/inputs";
import { DeferredRead } from "../plan/model/deferred";
import { given } from "../../runtime/base/given";
import type { CommandLogin, HostConnection, SshConnection } from "./hostArgs";

const PORT = 22;
const ROOT = "root";
const KNOWN_HOSTS_FILES = ["~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"];
const HOST_KEY_REMEDY =
  'set hostKey to the key that the owner of the host names, such as "ssh-ed25519 AAAAC3…" (ssh-keyscan prints it)';

export interface ConnectionInputs {
  readonly connection: pulumi.Input<ConnectionInput>;
  readonly signIn?: pulumi.Output<SignInInput[]>;
}

type Given = pulumi.Input<HostConnection>;
type Known<T> = pulumi.UnwrappedObject<T>;

/** Where none is given. */
const HERE: HostConnection = { local: {} };

/** @throws InputPropertyError, deferred if it comes from another resource, without a host key in the form of Command */
export function connectionInputs(connection: Given = HERE): ConnectionInputs {
  if (isDeferredInput(connection)) {
    // It may turn out to have no value, which no route has either.
    const whole = pulumi
      .output<object | undefined>(connection)
      .apply((known) => (known ?? {}) as Known<HostConnection>);
    return {
      // One secret field makes all of such an output secret, and the address is not one.
      connection: pulumi.unsecret(whole.apply(settledRoute)),
      signIn: pulumi.secret(whole.apply((known) => signInOf(known))),
    };
  }
  if (!isRemote(connection)) return { connection: { local: {} } };
  return {
    connection: appliedNow(openPart(connection), routeOf),
    signIn: pulumi.secret(appliedNow(closedPart(connection), (known) => signInOf(known))),
  };
}

/** The same route now, as far as it is known. Reading a deferred value ends what reads it. */
export function routeNow(connection: Given = HERE): ConnectionInput {
  if (isDeferredInput(connection)) throw new DeferredRead("the connection");
  return isRemote(connection) ? routeOf(knownNow(openPart(connection))) : { local: {} };
}

/** The same connection with its credentials marked as secret: for later actions on the host. */
export function secretConnection(connection: Given = HERE): Given {
  if (isDeferredInput(connection)) return pulumi.secret(connection);
  const { proxy, ssh, ...login } = connection;
  return {
    ...secretLogin(login),
    ...(ssh === undefined ? {} : { ssh: secretSsh(ssh) }),
    ...(proxy === undefined ? {} : { proxy: isDeferredInput(proxy) ? pulumi.secret(proxy) : secretLogin(proxy) }),
  };
}

function secretSsh({ jump, passphrase, privateKey, ...open }: SshConnection): SshConnection {
  return {
    ...open,
    ...(privateKey === undefined ? {} : { privateKey: pulumi.secret(privateKey) }),
    ...(passphrase === undefined ? {} : { passphrase: pulumi.secret(passphrase) }),
    ...(jump === undefined ? {} : { jump: secretSsh(jump) }),
  };
}

function secretLogin<T extends CommandLogin>(login: T): T {
  const { password, privateKey, privateKeyPassword } = login;
  const closed = Object.entries(given({ password, privateKey, privateKeyPassword }));
  return { ...login, ...Object.fromEntries(closed.map(([name, value]) => [name, pulumi.secret(value)])) };
}

/** False for this machine. A connection from another resource is a remote one. */
export function isRemote(connection: Given = HERE): boolean {
  return isDeferredInput(connection) || connection.ssh !== undefined || connection.host !== undefined;
}

/** The address and login of a remote host, as plain as they were given; of this machine, empty and port 22. */
export function addressOf(connection: Given): {
  host: pulumi.Input<string>;
  port: pulumi.Input<number>;
  login: pulumi.Input<string>;
} {
  if (isDeferredInput(connection)) {
    const route = pulumi.output(connectionInputs(connection).connection);
    return {
      host: route.apply(({ ssh }) => ssh?.host ?? ""),
      port: route.apply(({ ssh }) => ssh?.port ?? PORT),
      login: route.apply(({ ssh }) => ssh?.user ?? ""),
    };
  }
  const { host, port, user } = connection.ssh ?? connection;
  return { host: host ?? "", port: port ?? PORT, login: isRemote(connection) ? (user ?? ROOT) : "" };
}

/** The kinds of connection that are given, for the plan. */
export function connectionKinds(connection: Given = HERE): { local?: object; ssh?: object; host?: object } {
  if (isDeferredInput(connection)) return { ssh: {} };
  const { host, local, ssh } = connection;
  return {
    ...(local === undefined ? {} : { local: {} }),
    ...(ssh === undefined && host === undefined ? {} : { ssh: {} }),
    ...(ssh === undefined || host === undefined ? {} : { host: {} }),
  };
}

/** Findings about an object in the form of Command; those of a deferred one come with its values. */
export function connectionFindings(connection: Given | undefined): Finding[] {
  if (connection === undefined) {
    const fact = "chosen: the machine that runs this program";
    return [finding("PB143", "connection", fact, "set connection.ssh for another host")];
  }
  if (isDeferredInput(connection)) return [];
  const { host, proxy, ssh } = connection;
  const isLogin = host !== undefined && ssh === undefined;
  return [
    ...(isLogin ? loginFindings(connection, "connection") : []),
    ...(isLogin && proxy !== undefined && !isDeferredInput(proxy) ? loginFindings(proxy, "connection.proxy") : []),
  ];
}

function loginFindings({ hostKey, password, privateKey }: CommandLogin, path: string): Finding[] {
  const fault = isDeferredInput(hostKey) ? null : hostKeyFault(hostKey);
  return [
    ...(fault === null ? [] : [finding("PB160", `${path}.hostKey`, fault, HOST_KEY_REMEDY)]),
    ...(password === undefined || privateKey !== undefined
      ? []
      : [finding("PB161", `${path}.password`, "a password signs in", "set privateKey")]),
  ];
}

function hostKeyFault(hostKey: string | undefined): string | null {
  if (hostKey === undefined || hostKey.trim() === "") return "there is no host key: any server could answer";
  return /^(SHA256:|[a-z][a-z0-9@.-]+ +AAAA)/.test(hostKey.trim())
    ? null
    : `"${hostKey.slice(0, 20)}" does not begin like a host key`;
}

/** A connection without its credentials. */
type OpenLogin = Omit<CommandLogin, "password" | "privateKey" | "privateKeyPassword"> & { passwordLogin: boolean };
type OpenSsh = Omit<SshConnection, "passphrase" | "privateKey" | "jump"> & { jump?: OpenSsh };
type OpenPart = Omit<HostConnection, keyof CommandLogin | "proxy" | "ssh"> & {
  ssh?: OpenSsh;
  login?: OpenLogin & { proxy?: pulumi.Input<OpenLogin> };
};

function openPart({ local, proxy, ssh, waitSeconds, ...login }: HostConnection): OpenPart {
  const bastion =
    proxy === undefined
      ? {}
      : { proxy: isDeferredInput(proxy) ? pulumi.unsecret(pulumi.output(proxy).apply(openProxy)) : openLogin(proxy) };
  return {
    ...given({ local, waitSeconds }),
    ...(ssh === undefined ? {} : { ssh: openSsh(ssh) }),
    ...(login.host === undefined ? {} : { login: { ...openLogin(login), ...bastion } }),
  };
}

/** One that comes later may have no value. */
function openProxy(proxy: Known<CommandLogin> | undefined): OpenLogin {
  return (proxy === undefined ? undefined : openLogin(proxy)) as OpenLogin;
}

function openSsh({ jump, passphrase: _phrase, privateKey: _key, ...open }: SshConnection): OpenSsh {
  return { ...open, ...(jump === undefined ? {} : { jump: openSsh(jump) }) };
}

function openLogin({ password, privateKey, privateKeyPassword: _phrase, ...open }: CommandLogin): OpenLogin {
  return { ...open, passwordLogin: password !== undefined && privateKey === undefined };
}

/** @throws InputPropertyError for this machine, without a host, or without a host key in the form of Command */
export function settledRoute(connection: Known<HostConnection>): ConnectionInput {
  return routeOf(openPart(connection) as Known<OpenPart>);
}

function routeOf({ local, login, ssh, waitSeconds }: Known<OpenPart>): ConnectionInput {
  const route = ssh === undefined ? login && routeOfLogin(login, "connection") : routeOfSsh(ssh);
  if (route !== undefined) return { ssh: withLimits(route, given({ waitSeconds })) };
  if (local !== undefined) throw wrong("connection", "local must be plain: it decides which Node.js runs the program");
  throw wrong("connection", "there is no host: set host, or ssh");
}

function routeOfSsh({ agent, host, hostKeys, jump, knownHostsFiles, port, ...rest }: Known<OpenSsh>): SshInput {
  const { privateKeyFile, sudo, user = ROOT } = rest;
  return {
    host,
    port: port ?? PORT,
    user,
    sudo: sudo ?? user !== ROOT,
    hostKeys: hostKeys ?? [],
    knownHostsFiles: knownHostsFiles ?? KNOWN_HOSTS_FILES,
    ...given({ privateKeyFile, agent }),
    ...(jump === undefined ? {} : { jump: routeOfSsh(jump) }),
  };
}

function routeOfLogin(
  login: Known<OpenLogin> & { readonly proxy?: Known<OpenLogin> | undefined },
  path: string,
): SshInput {
  const { agentSocketPath: agent, host = "", hostKey = "", passwordLogin, port, proxy, user = ROOT } = login;
  const fault = hostKeyFault(hostKey);
  if (fault !== null) throw wrong(`${path}.hostKey`, `${fault}; ${HOST_KEY_REMEDY}`);
  const route: SshInput = {
    host,
    port: port ?? PORT,
    user,
    sudo: user !== ROOT,
    hostKeys: [hostKey.trim()],
    knownHostsFiles: [],
    ...given({ agent }),
    ...(passwordLogin ? { passwordLogin } : {}),
    ...(proxy === undefined ? {} : { jump: routeOfLogin(proxy, `${path}.proxy`) }),
  };
  return withLimits(route, given({ errorsMax: login.dialErrorLimit, attemptSeconds: login.perDialTimeout }));
}

function withLimits(route: SshInput, limits: DialLimits): SshInput {
  const dialing = { ...route.dialing, ...limits };
  return Object.keys(dialing).length === 0 ? route : { ...route, dialing };
}

function wrong(propertyPath: string, reason: string): Error {
  return new pulumi.InputPropertyError({ propertyPath, reason });
}

/** The credentials alone, so that an address that is still unknown hides none of them. */
type ClosedPart = Pick<HostConnection, "password" | "privateKey" | "privateKeyPassword" | "proxy"> & {
  ssh?: ClosedSsh;
};
type ClosedSsh = Pick<SshConnection, "passphrase" | "privateKey"> & { jump?: ClosedSsh };

function closedPart({ password, privateKey, privateKeyPassword, proxy, ssh }: HostConnection): ClosedPart {
  return {
    ...given({ password, privateKey, privateKeyPassword, proxy }),
    ...(ssh === undefined ? {} : { ssh: closedSsh(ssh) }),
  };
}

function closedSsh({ jump, passphrase, privateKey }: SshConnection): ClosedSsh {
  return { ...given({ passphrase, privateKey }), ...(jump === undefined ? {} : { jump: closedSsh(jump) }) };
}

/** For the host, then for the jump hosts. */
function signInOf({ proxy, ssh, ...login }: Known<ClosedPart>): SignInInput[] {
  if (ssh !== undefined) return signInOfSsh(ssh);
  return [login, ...(proxy === undefined ? [] : [proxy])].map(({ password, privateKey, privateKeyPassword }) =>
    given({ password, privateKey, passphrase: privateKeyPassword }),
  );
}

function signInOfSsh({ jump, passphrase, privateKey }: Known<ClosedSsh>): SignInInput[] {
  return [given({ privateKey, passphrase }), ...(jump === undefined ? [] : signInOfSsh(jump))];
}
