/** Converts a host's connection to inputs of its resource, with the credentials separate from what a state shows. */
import * as pulumi from "@pulumi/pulumi";
import type { ConnectionInput } from "../dynamic/reach";
import type { SignInInput, SshInput } from "../host/ssh/sshTarget";
import type { HostConnection, SshConnection } from "./hostArgs";
import { given } from "../plan/model/given";

const PORT = 22;
const ROOT = "root";
const KNOWN_HOSTS_FILES = ["~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"];

export interface ConnectionInputs {
  readonly connection: pulumi.Input<ConnectionInput>;
  readonly signIn?: pulumi.Output<SignInInput[]>;
}

export function connectionInputs({ ssh }: HostConnection): ConnectionInputs {
  if (ssh === undefined) return { connection: { local: {} } };
  const signIn = pulumi.secret(pulumi.all(signInOf(ssh)));
  return { connection: pulumi.output(sshOf(ssh)).apply((input): ConnectionInput => ({ ssh: input })), signIn };
}

/** The same connection with its credentials marked as secret: for later actions on the host. */
export function secretConnection({ local, ssh }: HostConnection): HostConnection {
  return { ...(local === undefined ? {} : { local: {} }), ...(ssh === undefined ? {} : { ssh: secretSsh(ssh) }) };
}

function secretSsh({ jump, passphrase, privateKey, ...open }: SshConnection): SshConnection {
  return {
    ...open,
    ...(privateKey === undefined ? {} : { privateKey: pulumi.secret(privateKey) }),
    ...(passphrase === undefined ? {} : { passphrase: pulumi.secret(passphrase) }),
    ...(jump === undefined ? {} : { jump: secretSsh(jump) }),
  };
}

/** Without secrets. */
export function openConnection({ local, ssh }: HostConnection): object {
  return { ...given({ local }), ...(ssh === undefined ? {} : { ssh: sshOf(ssh) }) };
}

type DeferredSsh = { readonly [K in keyof Omit<SshInput, "jump">]: pulumi.Input<SshInput[K]> } & {
  readonly jump?: DeferredSsh;
};

function sshOf({
  agent,
  host,
  hostKeys,
  jump,
  knownHostsFiles,
  port,
  privateKeyFile,
  sudo,
  user = ROOT,
}: SshConnection): DeferredSsh {
  return {
    host,
    port: port ?? PORT,
    user,
    sudo: sudo ?? user !== ROOT,
    hostKeys: pulumi.all(hostKeys ?? []),
    knownHostsFiles: knownHostsFiles ?? KNOWN_HOSTS_FILES,
    ...given({ privateKeyFile, agent }),
    ...(jump === undefined ? {} : { jump: sshOf(jump) }),
  };
}

/** For the host, then for the jump hosts. */
function signInOf({ jump, passphrase, privateKey }: SshConnection): pulumi.Output<SignInInput>[] {
  const own = pulumi.all([privateKey, passphrase]).apply(([key, phrase]): SignInInput => {
    return given({ privateKey: key, passphrase: phrase });
  });
  return [own, ...(jump === undefined ? [] : signInOf(jump))];
}
