/** The programs that everything else on a host needs: PostgreSQL and Node.js, where they are not there yet. */
import { dirname } from "node:path";
import type { Connection } from "./connection";
import { type Accounts, accountsFor, type DesiredDirectory, makeDirectories, removeFiles } from "./desiredFiles";
import { type Looked, nodeFactIn, queryOf, requireNode, versionsOf } from "./found";
import { bringNode, findNeed, nodeFactOf } from "./node";
import type { NodeInput } from "./nodeChoice";
import { bringPostgres, type PostgresInput } from "./postgresInstall";
import { type HostFacts, readState } from "./state";

/** What shall be there. */
export interface ProgramsWanted {
  /** Account of PostgreSQL. */
  readonly user: string;
  readonly dataDirectory: string;
  readonly directories: { readonly config: string };
  /** How Node.js gets there; left out where one of the host's is used. */
  readonly bringsNode?: NodeInput;
  /** Which PostgreSQL shall be there; left out, whatever is there. */
  readonly postgres?: PostgresInput;
  /** Ours to make and, once empty, to remove. */
  readonly directoriesToMake: readonly DesiredDirectory[];
}

/** What is known of them. */
export interface ProgramsOutcome {
  versions: Record<string, string>;
  nodeFact: string;
  nodePaths: string[];
  madeDirectories: string[];
}

/** What is wrong with the host's Node.js; null when it is good, or none of ours. @param before what an earlier update left there */
export function findNodeNeed(connection: Connection, wanted: ProgramsWanted, looked: Looked, facts: HostFacts, before: string): string | null {
  if (wanted.bringsNode === undefined || looked.node === undefined) return null;
  // Of no matter: a file of root's is root's whoever else there is.
  const accounts = accountsFor(connection.login, facts.account ?? connection.login);
  return findNeed(wanted.bringsNode, facts.answers.get("node"), nodeFactOf(looked.node, facts, accounts), before);
}

/** Brings what is missing, to be called under the lock. What is now ours is noted before it is there. @throws Error, CommandFailed */
export async function bringPrograms(
  connection: Connection,
  wanted: ProgramsWanted,
  looked: Looked,
  outcome: ProgramsOutcome,
  tell: (line: string) => void,
): Promise<Accounts> {
  const look = (): Promise<HostFacts> => readState(connection, queryOf(looked, false));
  let facts = await look();
  const place = { user: wanted.user, dataDirectory: wanted.dataDirectory, config: wanted.directories.config };
  if (await bringPostgres(connection, wanted.postgres, place, facts, tell)) facts = await look();
  const accounts = accountsIn(facts, wanted.user, connection);
  const node = wanted.bringsNode;
  const need = findNodeNeed(connection, wanted, looked, facts, outcome.nodeFact);
  if (node !== undefined && need !== null) {
    tell(`bringing Node.js: at ${node.path} ${need}`);
    const made = await makeDirectories(
      connection,
      wanted.directoriesToMake.filter(({ path }) => path === dirname(node.path)),
      accounts,
    );
    outcome.madeDirectories = [...new Set([...outcome.madeDirectories, ...made])];
    outcome.nodePaths = [...new Set([...outcome.nodePaths, node.path, node.file])];
    await bringNode(connection, node, facts.machine, accounts.database, tell);
    facts = await look();
  }
  requireNode(looked, facts, connection.name);
  outcome.nodeFact = nodeFactIn(looked, facts, accounts);
  outcome.versions = versionsOf(facts);
  return accounts;
}

/** Removes what earlier updates brought and nothing needs any more. */
export async function removeOldNodes(connection: Connection, { bringsNode }: ProgramsWanted, outcome: ProgramsOutcome): Promise<void> {
  const present = bringsNode === undefined ? [] : [bringsNode.path, bringsNode.file];
  const old = outcome.nodePaths.filter((path) => !present.includes(path));
  await removeFiles(connection, old);
  outcome.nodePaths = outcome.nodePaths.filter((path) => present.includes(path));
}

/** @throws Error when there is no account of PostgreSQL */
export function accountsIn({ account }: HostFacts, user: string, { login, name }: Connection): Accounts {
  if (account === null) {
    throw new Error(`there is no account ${user} on ${name}: set user to the account that PostgreSQL runs as, or postgres to have it installed`);
  }
  return accountsFor(login, user === login.name ? login : account);
}
