/** How the methods of dynamic resources reach a host, in the process of the dynamic provider, and how they tell what they do. */
import { readFile } from "node:fs/promises";
import type { Connection } from "../host/connection";
import { connectLocally } from "../host/localConnection";
import { loadTarget, type SignInInput, type SshInput } from "../host/ssh/sshTarget";

/** Exactly one of the two. */
export interface ConnectionInput {
  readonly local?: object;
  readonly ssh?: SshInput;
}

/** A host and what signs in to it. */
interface Way {
  readonly connection: ConnectionInput;
  /** Of the host, then of those on the way to it. Secret. */
  readonly signIn?: readonly SignInInput[] | undefined;
}

/** `local`, `ssh:db.example.com`: by another port, login or key it is the same host. */
export function hostOf({ ssh }: ConnectionInput): string {
  return ssh === undefined ? "local" : `ssh:${ssh.host}`;
}

/** One connection for all of `work`. @throws Error when there is none, with the fact and a way out */
export async function withConnection<T>(way: Way, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await connect(way);
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

async function connect({ connection, signIn = [] }: Way): Promise<Connection> {
  if (connection.ssh === undefined) return connectLocally();
  // Only who has such a host waits for the library.
  const { connectOverSsh } = await import("../host/ssh/sshConnection.js");
  const access = { agent: process.env["SSH_AUTH_SOCK"], readText: (path: string) => readFile(path, "utf8") };
  return connectOverSsh(await loadTarget(connection.ssh, signIn, access));
}

/** Lines on standard output of the provider are shown by the engine as they come. */
export function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}
