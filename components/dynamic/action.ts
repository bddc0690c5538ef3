/**
 * The methods of {@link HostAction}, which the engine calls in the dynamic provider's process: commands that run once
 * on a host, over the same connection as its update. We write nothing there, so there is nothing to read or to remove.
 */
import { createHash } from "node:crypto";
import { type Account, CommandFailed, type Connection, loadAccount } from "../host/connection";
import type { SignInInput } from "../host/ssh/sshTarget";
import { type ConnectionInput, hostOf, log, withConnection } from "./reach";

/** What runs once on a host. */
export interface OnceInputs {
  readonly connection: ConnectionInput;
  /** Credentials of the host, then of the jump hosts. Secret. */
  readonly signIn?: readonly SignInInput[];
  /** Account that starts the program. */
  readonly user: string;
  /** Program and options. */
  readonly argv: readonly string[];
  /** For messages: `take a backup`. */
  readonly what: string;
  /** A new value makes it run again. */
  readonly triggers: readonly string[];
}

export interface OnceState {
  /** Digest of the last run's triggers. Secret, because a trigger may be. */
  readonly ranFor: string;
}

export interface ActionInputs extends OnceInputs {
  /** Additional arguments of each run, in sequence; the first failure ends it. */
  readonly runs: readonly (readonly string[])[];
}

export interface ActionState extends OnceState {
  /** Label of the last backup that the runs reported; empty for none. */
  readonly label: string;
}

const TIMEOUT_MS = 7 * 24 * 3600_000;
const LABEL = /new backup label = ([0-9A-Z_-]+)/;

/** Runs, and waits for the end. @throws CommandFailed with the end of the command's output */
export async function actionCreate(inputs: ActionInputs): Promise<{ id: string; outs: ActionState }> {
  const label = await withConnection(inputs, async (connection) =>
    runAll(connection, inputs, await loadAccount(connection, inputs.user)),
  );
  return { id: `${hostOf(inputs.connection)}/${inputs.what}`, outs: { label, ranFor: digestOf(inputs) } };
}

/** Only triggers count: a new path, key, version or kind of backup waits for the next run. */
export async function actionDiff(
  _id: string,
  olds: Partial<OnceState>,
  news: OnceInputs,
): Promise<{ changes: boolean; replaces: string[] }> {
  const changes = olds.ranFor !== undefined && olds.ranFor !== digestOf(news);
  return { changes, replaces: changes ? ["triggers"] : [] };
}

async function runAll(connection: Connection, { argv, runs, what }: ActionInputs, account: Account): Promise<string> {
  let label = "";
  const onLine = (line: string): void => {
    label = LABEL.exec(line)?.[1] ?? label;
    // The run's options: long, and the same as in the files.
    if (!line.includes(" command begin ")) log(line);
  };
  for (const args of runs) {
    const result = await connection.exec([...argv, ...args], { account, timeoutMs: TIMEOUT_MS, onLine });
    if (result.exitCode !== 0) throw new CommandFailed(`${what} on ${connection.name}`, result);
  }
  return label;
}

/** For `ranFor`. */
export function digestOf({ triggers }: Pick<OnceInputs, "triggers">): string {
  return createHash("sha256").update(JSON.stringify(triggers)).digest("hex");
}
