/** What a host was found to be, from one reading of its state: which questions to ask, and what the answers say. Pure. */
import { destinationText, lackingFull, parseDestinations, renderDestinations } from "./destinations";
import type { Account } from "./connection";
import { type Accounts, accountsFor, factText, type OwnerRole } from "./files";
import { autoConfPath, isPending, parseSettingsAnswer, previousSettings, settingFactsOf, settingsArgv } from "./postgresSettings";
import { destinationsArgv, findNodeFault, parseDestinationsAnswer } from "./runtime";
import type { HostFacts, StateQuery } from "./state";
import { isUnitDirectory, UNIT_AT_WORK } from "./units";
import { shellWord } from "../render/commandLine";

/** What is looked at. */
export interface Looked {
  /** Account of PostgreSQL. */
  readonly user: string;
  readonly dataDirectory: string;
  readonly unitsDirectory: string;
  readonly runtimeArgv: readonly string[];
  /** Timers and sockets. */
  readonly units: readonly string[];
  /** As declared; none: no server is asked. */
  readonly settings: Readonly<Record<string, string>>;
  /** Path of each file to the role that shall own it. */
  readonly owners: Readonly<Record<string, OwnerRole>>;
  readonly directories: readonly string[];
  /** Where something must be mounted. */
  readonly mounts: readonly string[];
  /** Where something is going to be written beyond what is in `owners`. */
  readonly written: readonly string[];
}

/** The parts of an outcome that can be found at any time. */
export interface Found {
  readonly fileFacts: Record<string, string>;
  readonly settingFacts: Record<string, string>;
  readonly unitFacts: Record<string, string>;
  readonly timersEnabled: boolean;
  readonly pendingRestart: boolean;
  readonly serverVersion: number;
  readonly destinations: string;
  /** Packages, Node.js and the distribution to their versions. */
  readonly versions: Record<string, string>;
}

/** What cannot be read leaves its part empty, or as a value that is none, and a line in `said`. */
export interface Finding {
  readonly found: Found;
  readonly said: readonly string[];
}

/** @param repositories false leaves out what they hold: they may be far away */
export function queryOf(looked: Looked, repositories = true): StateQuery {
  const line = (argv: readonly string[]): string => `exec ${argv.map(shellWord).join(" ")}`;
  const { runtimeArgv } = looked;
  return {
    user: looked.user,
    dataDirectory: looked.dataDirectory,
    paths: [...Object.keys(looked.owners), ...looked.directories],
    mounts: [...new Set([...looked.mounts, ...looked.written])],
    units: looked.units,
    ask: {
      node: line([runtimeArgv[0] ?? "", "--version"]),
      ...(repositories ? { destinations: line(destinationsArgv(runtimeArgv)) } : {}),
      ...(asksServer(looked) ? { settings: line(settingsArgv(runtimeArgv)), autoConf: line(["cat", "--", autoConfPath(looked.dataDirectory)]) } : {}),
    },
  };
}

/** @throws Error when there is no account of PostgreSQL */
export function findingOf(looked: Looked, facts: HostFacts, login: Account, hostName: string): Finding {
  if (facts.account === null) {
    throw new Error(`there is no account ${looked.user} on ${hostName}: set user to the account that PostgreSQL runs as`);
  }
  const accounts = accountsFor(login, looked.user === login.name ? login : facts.account);
  const said: string[] = [];
  const owners = Object.entries(looked.owners);
  const timersEnabled = facts.hasSystemd && isUnitDirectory(looked.unitsDirectory);
  const found: Found = {
    fileFacts: Object.fromEntries(owners.map(([path, owner]) => [path, factOf(facts, path, owner, accounts)])),
    unitFacts: timersEnabled ? { ...facts.units } : {},
    timersEnabled,
    ...settingsOf(looked, facts, said),
    destinations: destinationsOf(facts, said),
    versions: versionsOf(facts),
  };
  return { found, said };
}

/** True when nothing is left to do: every part that an update brings is there and as `wanted`. */
export function isAsDesired(
  looked: Looked,
  { found }: Finding,
  facts: HostFacts,
  wanted: { readonly files: Readonly<Record<string, string>>; readonly expectsFull: boolean },
): boolean {
  return (
    Object.entries(wanted.files).every(([path, text]) => found.fileFacts[path] === text) &&
    looked.directories.every((path) => facts.paths.get(path)?.kind === "directory") &&
    Object.entries(looked.settings).every(([name, value]) => found.settingFacts[name] === value) &&
    !found.pendingRestart &&
    (!found.timersEnabled || looked.units.every((unit) => found.unitFacts[unit] === UNIT_AT_WORK)) &&
    found.destinations !== "" &&
    (!wanted.expectsFull || lackingFull(found.destinations).length === 0)
  );
}

/** Refuses what an update would fail with, or damage, later on. @throws Error */
export function requireUsable(looked: Looked, { answers, mounts }: HostFacts, hostName: string): void {
  const nodePath = looked.runtimeArgv[0] ?? "";
  const node = answers.get("node");
  const fault = node === undefined ? "was not asked for" : findNodeFault(node);
  if (fault !== null) throw new Error(`${nodePath} ${fault} by ${looked.user} on ${hostName}: set nodePath to one that can, or node to bring one`);
  for (const path of looked.mounts) {
    if (mounts.get(path)?.at === "/")
      throw new Error(`nothing is mounted at or above ${path} on ${hostName}: mount it first, or set requireMount to false`);
  }
  for (const path of looked.written) {
    const mount = mounts.get(path);
    if (mount?.readOnly === true)
      throw new Error(`${path} lies on ${mount.at}, which is mounted read-only on ${hostName}: mount it for writing (mount -o remount,rw)`);
  }
}

/** Lines about what the repositories hold, those that need attention marked. */
export function destinationLines(text: string): string[] {
  return parseKept(text).map((destination) =>
    destination.error === undefined && destination.newestFull !== null ? destinationText(destination) : `WARN: ${destinationText(destination)}`,
  );
}

function parseKept(text: string): ReturnType<typeof parseDestinations> {
  return text === "" ? [] : (JSON.parse(text) as ReturnType<typeof parseDestinations>);
}

function asksServer({ settings }: Looked): boolean {
  return Object.keys(settings).length > 0;
}

function factOf(facts: HostFacts, path: string, owner: OwnerRole, accounts: Accounts): string {
  const fact = facts.paths.get(path);
  return fact === undefined ? "missing" : factText(fact, owner, accounts);
}

function settingsOf(looked: Looked, facts: HostFacts, said: string[]): Pick<Found, "settingFacts" | "pendingRestart" | "serverVersion"> {
  const names = Object.keys(looked.settings);
  const none = { pendingRestart: false, serverVersion: 0 };
  if (!asksServer(looked)) return { settingFacts: {}, ...none };
  try {
    const live = parseSettingsAnswer(answerOf(facts, "settings"));
    const inFile = previousSettings(answerOf(facts, "autoConf").stdout, names);
    return {
      settingFacts: settingFactsOf(looked.settings, live, inFile),
      pendingRestart: isPending(live, names),
      serverVersion: live.serverVersion,
    };
  } catch (error) {
    said.push(`the settings of PostgreSQL cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    return { settingFacts: Object.fromEntries(names.map((name) => [name, "cannot be read"])), ...none };
  }
}

function destinationsOf(facts: HostFacts, said: string[]): string {
  try {
    return renderDestinations(parseDestinationsAnswer(answerOf(facts, "destinations")));
  } catch (error) {
    said.push(`the repositories cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    return "";
  }
}

function versionsOf({ answers, osRelease, packages }: HostFacts): Record<string, string> {
  const node = answers.get("node");
  const system = /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(osRelease)?.[1];
  return {
    ...packages,
    ...(node?.exitCode === 0 ? { node: node.stdout.trim() } : {}),
    ...(system === undefined ? {} : { system }),
  };
}

function answerOf({ answers }: HostFacts, name: string): NonNullable<ReturnType<HostFacts["answers"]["get"]>> {
  const answer = answers.get(name);
  if (answer === undefined) throw new Error(`the host was not asked for its ${name}`);
  return answer;
}
