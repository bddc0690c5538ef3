/** Programs that everything else on a host needs, installed if missing: PostgreSQL and Node.js. */
import { dirname } from "node:path";
import { type Connection, type LogLine, runScript } from "./connection";
import { type Accounts, accountsFor, type DesiredDirectory, makeDirectories, removeFiles } from "./desiredFiles";
import { type Looked, nodeFactIn, queryOf, requireNode, versionsOf } from "./detected";
import { bringNode, findNeed, nodeFactOf } from "./node/node";
import type { NodeInput } from "./node/nodeChoice";
import { bringPackages, type PostgresInput } from "./postgresInstall";
import { type HostFacts, readState } from "./state";

export interface ProgramsWanted {
  /** Account of PostgreSQL. */
  readonly user: string;
  readonly dataDirectory: string;
  readonly directories: { readonly config: string };
  /** How Node.js gets there; omitted if the host's own is used. */
  readonly bringsNode?: NodeInput;
  /** The required PostgreSQL; if omitted, any. */
  readonly postgres?: PostgresInput;
  /** We create them and, once empty, remove them. */
  readonly directoriesToMake: readonly DesiredDirectory[];
}

/** Their known state. */
export interface ProgramsOutcome {
  versions: Record<string, string>;
  nodeFact: string;
  /** Paths of our Node.js that we remove. */
  nodePaths: string[];
  madeDirectories: string[];
}

/** Fault of the host's Node.js; null if it is good or not ours. @param before state after an earlier update */
export function findNodeNeed(
  connection: Connection,
  wanted: ProgramsWanted,
  looked: Looked,
  facts: HostFacts,
  before: string,
): string | null {
  if (wanted.bringsNode === undefined || looked.node === undefined) return null;
  // Irrelevant here: root's files belong to root whatever other accounts exist.
  const accounts = accountsFor(connection.login, facts.account ?? connection.login);
  return findNeed(wanted.bringsNode, facts.answers.get("node"), nodeFactOf(looked.node, facts, accounts), before);
}

/** Installs missing programs, under the lock. Records ours before they exist. @throws Error, CommandFailed */
export async function bringPrograms(
  connection: Connection,
  wanted: ProgramsWanted,
  looked: Looked,
  outcome: ProgramsOutcome,
  log: LogLine,
): Promise<Accounts> {
  const look = (): Promise<HostFacts> => readState(connection, queryOf(looked, false));
  let facts = await look();
  if (await bringPackages(connection, wanted.postgres, wanted, facts, log)) facts = await look();
  const accounts = accountsIn(facts, wanted.user, connection);
  const node = wanted.bringsNode;
  const need = findNodeNeed(connection, wanted, looked, facts, outcome.nodeFact);
  if (node !== undefined && need !== null) {
    log(`installing Node.js: at ${node.path} ${need}`);
    const made = await makeDirectories(
      connection,
      wanted.directoriesToMake.filter(({ path }) => path === dirname(node.path)),
      accounts,
    );
    outcome.madeDirectories = [...new Set([...outcome.madeDirectories, ...made])];
    outcome.nodePaths = [...new Set([...outcome.nodePaths, node.path, node.file])];
    await bringNode(connection, node, facts.machine, accounts.database, log);
    facts = await look();
  }
  requireNode(looked, facts, connection.name);
  outcome.nodeFact = nodeFactIn(looked, facts, accounts);
  outcome.versions = versionsOf(facts);
  return accounts;
}

/** $1 the command; then paths. Prints those that it leads to: a link stays at a release while that is good. */
const LED_TO_SCRIPT = `
command=$1
shift
for path do
  if [ "$path" -ef "$command" ]; then printf '%s\\n' "$path"; fi
done`;

/** Removes earlier updates' versions that nothing needs any more. @param neededOf which of some paths others need */
export async function removeOldNodes(
  connection: Connection,
  { bringsNode, runtimeArgv }: Pick<ProgramsWanted, "bringsNode"> & { readonly runtimeArgv: readonly string[] },
  outcome: Pick<ProgramsOutcome, "nodePaths">,
  neededOf: (paths: readonly string[]) => Promise<readonly string[]> = async () => [],
): Promise<void> {
  const present = bringsNode === undefined ? [] : [bringsNode.path, bringsNode.file];
  const former = outcome.nodePaths.filter((path) => !present.includes(path));
  if (former.length === 0) return;
  const args = [runtimeArgv[0] ?? "", ...former];
  const { stdout } = await runScript(connection, "look for the Node.js in use", LED_TO_SCRIPT, args);
  const used = [...stdout.split("\n"), ...(await neededOf(former))];
  await removeFiles(
    connection,
    former.filter((path) => !used.includes(path)),
  );
  outcome.nodePaths = outcome.nodePaths.filter((path) => present.includes(path) || used.includes(path));
}

/** @throws Error without an account of PostgreSQL */
export function accountsIn({ account }: HostFacts, user: string, { login, name }: Connection): Accounts {
  if (account === null) {
    throw new Error(
      `there is no account ${user} on ${name}: set user to the account that PostgreSQL runs as, or postgres to install it`,
    );
  }
  return accountsFor(login, user === login.name ? login : account);
}
