/** How dynamic resources reach a host and log, in the dynamic provider's process. */
import { readFile } from "node:fs/promises";
import type { Connection, LogLine } from "../host/connection";
import { connectLocally } from "../host/localConnection";
import { loadTarget, type SignInInput, type SshInput } from "../host/ssh/sshTarget";

/** Exactly one of the fields. */
export interface ConnectionInput {
  readonly local?: object;
  readonly ssh?: SshInput;
}

/** A host with its credentials. */
interface Access {
  readonly connection: ConnectionInput;
  /** For the host, then for the jump hosts. Secret. */
  readonly signIn?: readonly SignInInput[] | undefined;
}

/** `local`, `ssh:db.example.com`: another port, login or key is the same host. */
export function hostOf({ ssh }: ConnectionInput): string {
  return ssh === undefined ? "local" : `ssh:${ssh.host}`;
}

/** What an update waits for. */
interface Patience {
  /** Shows what it waits for. */
  readonly log: LogLine;
  /** True when the resource is created: the machine may be as new. */
  readonly isNew: boolean;
}

/**
 * One connection for all of `work`.
 * @param patience waits for a machine that is booting; if omitted, the first failure counts
 * @throws Error without a connection, with fact and remedy
 */
export async function withConnection<T>(
  access: Access,
  work: (connection: Connection) => Promise<T>,
  patience?: Patience,
): Promise<T> {
  const { ssh } = access.connection;
  const connection = await (ssh === undefined ? connectLocally() : connect(ssh, access.signIn ?? [], patience));
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

async function connect(
  ssh: SshInput,
  signIn: readonly SignInInput[],
  patience: Patience | undefined,
): Promise<Connection> {
  // Loads the library only for such hosts.
  const { connectOverSsh } = await import("../host/ssh/sshConnection.js");
  const access = { agent: process.env["SSH_AUTH_SOCK"], readText: (path: string) => readFile(path, "utf8") };
  const target = await loadTarget(ssh, signIn, access);
  if (patience === undefined) return connectOverSsh(target);
  const { awaitCloudInit, dial } = await import("../host/ssh/newMachine.js");
  const { dialing = {} } = ssh;
  const connection = await dial(ssh.host, dialing, () => connectOverSsh(target), patience.log);
  if (patience.isNew) await awaitCloudInit(connection, dialing, patience.log);
  return connection;
}

/** The engine shows the provider's standard output line by line. */
export function log(line: string): void {
  process.stdout.write(`${line}\n`);
}
