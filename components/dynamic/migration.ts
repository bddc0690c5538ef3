/**
 * The methods of {@link HostMigration}, which the engine calls in the dynamic provider's process: one step of
 * `pgbackstop migrate` on a host, over the same connection as its update. Passwords go over standard input into their
 * own directory, which is removed when the step ends.
 */
import { createHash } from "node:crypto";
import {
  type Account,
  CommandFailed,
  type Connection,
  type ExecResult,
  loadAccount,
  runScript,
} from "../host/connection";
import { reportProblems } from "../plan/migration/migrationReport";
import { FILES_PLACEHOLDER } from "./filesPlaceholder";
import type { SignInInput } from "../host/ssh/sshTarget";
import { type ConnectionInput, hostOf, withConnection } from "./reach";

export interface MigrationInputs {
  readonly connection: ConnectionInput;
  /** Credentials of the host, then of the jump hosts. Secret. */
  readonly signIn?: readonly SignInInput[];
  /** Account that starts the program. */
  readonly user: string;
  /** For messages: `migrate copy`. */
  readonly what: string;
  /** A new value makes it run again. */
  readonly triggers: readonly string[];
  /** Account that the program switches to, and that reads the files. */
  readonly fileUser: string;
  /** With the step; {@link FILES_PLACEHOLDER} in an argument stands for the directory of the files. */
  readonly argv: readonly string[];
  /** Passwords and certificates, by the names in the arguments. Secret. */
  readonly files: Readonly<Record<string, string>>;
  /** An additional success code: its answer is a report too. */
  readonly acceptedCode: number;
}

export interface MigrationState {
  /** Digest of the last run's triggers. Secret, because a trigger may be. */
  readonly ranFor: string;
  /** The step's report: JSON. */
  readonly report: string;
}

const TIMEOUT_MS = 7 * 24 * 3600_000;

/** In memory if possible; only its owner may read it. */
const MAKE_DIRECTORY = `set -e
umask 077
for place in /dev/shm /tmp; do
  [ -d "$place" ] && [ -w "$place" ] || continue
  mktemp -d "$place/pgbackstop-migration.XXXXXXXXXX"
  exit 0
done
exit 1`;
/** The last argument is the directory's new owner, once it is complete. */
const WRITE_FILE = `set -e
umask 077
cat > "$1/$2"
chown "$3:$4" "$1/$2"`;
const HAND_OVER = 'chown "$2:$3" "$1"';

/**
 * Runs, and waits for the end.
 * @throws Error naming obstacles, differences or missing parts, or with the end of the step's output
 */
export async function migrationCreate(inputs: MigrationInputs): Promise<{ id: string; outs: MigrationState }> {
  const report = await withConnection(inputs, (connection) => runStep(connection, inputs));
  return { id: `${hostOf(inputs.connection)}/${inputs.what}`, outs: { report, ranFor: digestOf(inputs) } };
}

/** Only triggers count: a new path, key or version waits for the next run. */
export async function migrationDiff(
  _id: string,
  olds: Partial<MigrationState>,
  news: MigrationInputs,
): Promise<{ changes: boolean; replaces: string[] }> {
  const changes = olds.ranFor !== undefined && olds.ranFor !== digestOf(news);
  return { changes, replaces: changes ? ["triggers"] : [] };
}

function digestOf({ triggers }: Pick<MigrationInputs, "triggers">): string {
  return createHash("sha256").update(JSON.stringify(triggers)).digest("hex");
}

/** @returns the report */
export async function runStep(connection: Connection, inputs: MigrationInputs): Promise<string> {
  const { acceptedCode, argv, user, what } = inputs;
  const account = await loadAccount(connection, user);
  const result = await withFiles(connection, inputs, (directory) =>
    connection.exec(
      argv.map((argument) => argument.replaceAll(FILES_PLACEHOLDER, directory)),
      { account, timeoutMs: TIMEOUT_MS },
    ),
  );
  if (result.exitCode === 0 || (result.exitCode === acceptedCode && reportProblems(result.stdout).length > 0))
    return result.stdout;
  throw failureOf(`${what} on ${connection.name}`, result);
}

function failureOf(what: string, result: ExecResult): Error {
  const problems = reportProblems(result.stdout);
  if (problems.length === 0) return new CommandFailed(what, result);
  return new CommandFailed(what, { exitCode: result.exitCode, stdout: problems.join("\n"), stderr: result.stderr });
}

/** Writes nothing without files. The account that created the directory always removes it. */
async function withFiles<T>(
  connection: Connection,
  inputs: MigrationInputs,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  const files = Object.entries(inputs.files);
  if (files.length === 0) return work("");
  const owner: Account = await loadAccount(connection, inputs.fileUser);
  const { stdout } = await runScript(connection, "make a directory for passwords", MAKE_DIRECTORY, []);
  const directory = stdout.trim();
  try {
    const numbers = [String(owner.uid), String(owner.gid)];
    for (const [name, text] of files)
      await runScript(connection, `write ${name}`, WRITE_FILE, [directory, name, ...numbers], { stdin: text });
    await runScript(connection, "change the owner of the directory for passwords", HAND_OVER, [directory, ...numbers]);
    return await work(directory);
  } finally {
    await connection.exec(["rm", "-rf", "--", directory]);
  }
}
