/** A host's state from one reading: decides the questions and interprets the answers. Pure. */
import { destinationText, lackingFull, parseDestinations, renderDestinations } from "./hostDestinations";
import { type Accounts, factText, type OwnerRole } from "./desiredFiles";
import {
  automaticSettings,
  autoConfPath,
  isPending,
  parseSettingsAnswer,
  previousSettings,
  settingFactsOf,
  settingsArgv,
} from "./postgresSettings";
import { recordLine } from "./hostOwners";
import { destinationsArgv, findNodeFault, parseDestinationsAnswer } from "./runtimeVerbs";
import type { HostFacts, StateQuery } from "./state";
import type { NodeLocation } from "./node/nodeChoice";
import { nodeFactOf, nodeLinkLine } from "./node/node";
import { UNIT_AT_WORK } from "./systemdUnits";
import { shellArgument } from "../plan/host/hostCommand";
import { isUnitDirectory } from "../plan/model/defaults";
import { given } from "../../runtime/base/given";

/** The things to examine. */
export interface Looked {
  /** Location of our Node.js; omitted if the host's own is used. */
  readonly node?: NodeLocation | undefined;
  /** Account of PostgreSQL. */
  readonly user: string;
  readonly dataDirectory: string;
  /** The container of PostgreSQL; undefined if it runs on the host itself. */
  readonly container?: string | undefined;
  /** Files of the components that declare the host. */
  readonly ownersPaths: readonly string[];
  readonly unitsDirectory: string;
  readonly runtimeArgv: readonly string[];
  /** The command that passes the secrets to a verb; undefined if PostgreSQL's account reads them itself. */
  readonly launcher?: string | undefined;
  /** Timers and sockets. */
  readonly units: readonly string[];
  /** As declared; if empty, no server is queried. */
  readonly settings: Readonly<Record<string, string>>;
  /** Path of each file to its owner's role. */
  readonly owners: Readonly<Record<string, OwnerRole>>;
  readonly directories: readonly string[];
  /** Required mount points. */
  readonly mounts: readonly string[];
  /** Paths to be written besides those in `owners`. */
  readonly written: readonly string[];
}

/** The parts of an outcome that can be read at any time. */
export interface Detected {
  /** Path to its state as one line of text (desiredFiles.ts). */
  fileFacts: Record<string, string>;
  settingFacts: Record<string, string>;
  unitFacts: Record<string, string>;
  timersEnabled: boolean;
  pendingRestart: boolean;
  serverVersion: number;
  /** JSON text: the content of each repository (hostDestinations.ts); empty if nobody has read it. */
  destinations: string;
  /** Packages, Node.js and the distribution to their versions, as last read. */
  versions: Record<string, string>;
  /** State of the path of our Node.js (node.ts), with its faults; empty if it is not installed. */
  nodeFact: string;
}

/** An unreadable part is empty or an invalid value, with a line in `said`. */
export interface Detection {
  readonly detected: Detected;
  readonly problems: readonly string[];
}

/** @param repositories false omits their content: they may be slow to reach */
export function queryOf(looked: Looked, repositories = true): StateQuery {
  const line = (argv: readonly string[]): string => `exec ${argv.map(shellArgument).join(" ")}`;
  const { launcher, runtimeArgv } = looked;
  return {
    user: looked.user,
    // The host has nothing at a container's path, or something else.
    dataDirectory: looked.container === undefined ? looked.dataDirectory : "/dev/null",
    paths: [
      ...Object.keys(looked.owners),
      ...looked.directories,
      ...(looked.node === undefined ? [] : [looked.node.path]),
    ],
    mounts: [...new Set([...looked.mounts, ...looked.written])],
    units: looked.units,
    ask: {
      node: line([runtimeArgv[0] ?? "", "--version"]),
      ...(looked.node === undefined ? {} : { nodeLink: nodeLinkLine(looked.node.path) }),
      ...(repositories && launcher === undefined ? { destinations: line(destinationsArgv(runtimeArgv)) } : {}),
      ...(asksServer(looked)
        ? {
            settings: line(settingsArgv(runtimeArgv)),
            ...(looked.container === undefined
              ? { autoConf: line(["cat", "--", autoConfPath(looked.dataDirectory)]) }
              : {}),
          }
        : {}),
    },
    askAsAdmin: {
      record: recordLine(looked.ownersPaths),
      ...(repositories && launcher !== undefined ? { destinations: line(destinationsArgv([launcher])) } : {}),
    },
  };
}

export function detectionOf(looked: Looked, facts: HostFacts, accounts: Accounts): Detection {
  const problems: string[] = [];
  const owners = Object.entries(looked.owners);
  const timersEnabled = facts.hasSystemd && isUnitDirectory(looked.unitsDirectory);
  const detected: Detected = {
    fileFacts: Object.fromEntries(owners.map(([path, owner]) => [path, factOf(facts, path, owner, accounts)])),
    unitFacts: timersEnabled ? { ...facts.units } : {},
    timersEnabled,
    ...settingsOf(looked, facts, problems),
    destinations: destinationsOf(facts, problems),
    versions: versionsOf(facts),
    nodeFact: nodeFactIn(looked, facts, accounts),
  };
  return { detected, problems };
}

/** State of the path of our Node.js. */
export function nodeFactIn({ node }: Looked, facts: HostFacts, accounts: Accounts): string {
  if (node === undefined) return "";
  const answer = facts.answers.get("node");
  const fault = answer === undefined ? null : findNodeFault(answer);
  return `${nodeFactOf(node, facts, accounts)}${fault === null ? "" : `, which ${fault}`}`;
}

/** True if nothing is left to do: every part that an update sets exists and is as `wanted`. */
export function isAsDesired(
  looked: Looked,
  { detected }: Detection,
  facts: HostFacts,
  wanted: { readonly files: Readonly<Record<string, string>>; readonly expectsFull: boolean },
): boolean {
  return (
    Object.entries(wanted.files).every(([path, text]) => detected.fileFacts[path] === text) &&
    looked.directories.every((path) => facts.paths.get(path)?.kind === "directory") &&
    Object.entries(looked.settings).every(([name, value]) => detected.settingFacts[name] === value) &&
    !detected.pendingRestart &&
    (!detected.timersEnabled || looked.units.every((unit) => detected.unitFacts[unit] === UNIT_AT_WORK)) &&
    detected.destinations !== "" &&
    (!wanted.expectsFull || lackingFull(detected.destinations).length === 0)
  );
}

/** Refuses a host on which an update would fail later or do damage. @throws Error */
export function requireUsable(looked: Looked, facts: HostFacts, hostName: string): void {
  const { mounts } = facts;
  // If the account does not exist yet, it is checked after its creation.
  if (looked.node === undefined && facts.account !== null) requireNode(looked, facts, hostName);
  for (const path of looked.mounts) {
    if (mounts.get(path)?.at === "/")
      throw new Error(
        `nothing is mounted at or above ${path} on ${hostName}: mount it first, or set requireMount to false`,
      );
  }
  for (const path of looked.written) {
    const mount = mounts.get(path);
    if (mount?.readOnly === true)
      throw new Error(
        `${path} lies on ${mount.at}, which is mounted read-only on ${hostName}: mount it for writing (mount -o remount,rw)`,
      );
  }
}

/** Refuses another data directory before pg_upgrade has filled it and its server runs. @throws Error */
export function requireUpgraded(dataDirectory: string, former: string, facts: HostFacts, hostName: string): void {
  const remedy = `run pg_upgrade from ${former}, start the new server, then run the update again`;
  if (facts.clusterVersion === null) throw new Error(`${dataDirectory} on ${hostName} holds no cluster: ${remedy}`);
  const settings = facts.answers.get("settings");
  if (settings?.exitCode === 0 && parseSettingsAnswer(settings).dataDirectory === former)
    throw new Error(`the server of ${former} on ${hostName} is still running: ${remedy}`);
}

/** @throws Error if PostgreSQL's account cannot run Node.js there, or it is too old */
export function requireNode({ runtimeArgv, user }: Looked, { answers }: HostFacts, hostName: string): void {
  const answer = answers.get("node");
  const fault = answer === undefined ? null : findNodeFault(answer);
  const [path = ""] = runtimeArgv;
  if (fault !== null)
    throw new Error(
      `${path} ${fault} on ${hostName} as ${user}: set nodePath to a Node.js that works there, or node to install one`,
    );
}

/** Lines about the repositories' content, with those marked that need attention. */
export function destinationLines(text: string): string[] {
  return parseKept(text).map((destination) =>
    destination.error === undefined && destination.newestFull !== null
      ? destinationText(destination)
      : `WARN: ${destinationText(destination)}`,
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

function settingsOf(
  looked: Looked,
  facts: HostFacts,
  problems: string[],
): Pick<Detected, "settingFacts" | "pendingRestart" | "serverVersion"> {
  const names = Object.keys(looked.settings);
  const none = { pendingRestart: false, serverVersion: 0 };
  if (!asksServer(looked)) return { settingFacts: {}, ...none };
  try {
    const live = parseSettingsAnswer(answerOf(facts, "settings"));
    const inFile =
      looked.container === undefined
        ? previousSettings(answerOf(facts, "autoConf").stdout, names)
        : automaticSettings(live, names);
    return {
      settingFacts: settingFactsOf(looked.settings, live, inFile),
      pendingRestart: isPending(live, names),
      serverVersion: live.serverVersion,
    };
  } catch (error) {
    problems.push(
      `the settings of PostgreSQL cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
    return { settingFacts: Object.fromEntries(names.map((name) => [name, "cannot be read"])), ...none };
  }
}

function destinationsOf(facts: HostFacts, problems: string[]): string {
  try {
    return renderDestinations(parseDestinationsAnswer(answerOf(facts, "destinations")));
  } catch (error) {
    problems.push(`the repositories cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    return "";
  }
}

export function versionsOf({ answers, osRelease, packages }: HostFacts): Record<string, string> {
  const node = answers.get("node");
  const system = /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(osRelease)?.[1];
  return {
    ...packages,
    ...(node?.exitCode === 0 ? { node: node.stdout.trim() } : {}),
    ...given({ system }),
  };
}

function answerOf({ answers }: HostFacts, name: string): NonNullable<ReturnType<HostFacts["answers"]["get"]>> {
  const answer = answers.get(name);
  if (answer === undefined) throw new Error(`the host was not asked for its ${name}`);
  return answer;
}
