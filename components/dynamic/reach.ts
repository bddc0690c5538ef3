/** How dynamic resources reach a host and log, in the dynamic provider's process. */
import { readFile } from "node:fs/promises";
import type { Connection } from "../host/connection";
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

/** One connection for all of `work`. @throws Error without one, with fact and remedy */
export async function withConnection<T>(access: Access, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await connect(access);
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

async function connect({ connection, signIn = [] }: Access): Promise<Connection> {
  if (connection.ssh === undefined) return connectLocally();
  // Loads the library only for such hosts.
  const { connectOverSsh } = await import("../host/ssh/sshConnection.js");
  const access = { agent: process.env["SSH_AUTH_SOCK"], readText: (path: string) => readFile(path, "utf8") };
  return connectOverSsh(await loadTarget(connection.ssh, signIn, access));
}

/** The engine shows the provider's standard output line by line. */
export function log(line: string): void {
  process.stdout.write(`${line}\n`);
}
