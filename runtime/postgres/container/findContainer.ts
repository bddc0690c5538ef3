/**
 * Finds the container of a server by asking the engines of this machine, Docker and Podman. A container that is made
 * again has another id, process and perhaps other mounts, so callers ask again for each session.
 */
import { fail, toBackupError } from "../../base/errors";
import type { ProgramEnd } from "../../local/program";
import { type ContainerFacts, isOfService, isServer, parseInspect, serviceText } from "./inspect";
import { findRootless, type RootlessEngine } from "./rootless";

/** A container by its name, or by a service of a Compose file. */
export interface ContainerChoice {
  readonly name?: string;
  readonly compose?: string;
  readonly service?: string;
  /** Program that knows it; absent looks in both. */
  readonly engine?: "docker" | "podman";
}

export interface EngineContainer extends ContainerFacts {
  readonly engine: "docker" | "podman";
}

/** Runs a program to its end. @throws execute (102) if it cannot be started */
export type RunProgram = (argv: readonly string[]) => Promise<ProgramEnd>;

type Engine = NonNullable<ContainerChoice["engine"]>;
type Looked = { readonly matches: readonly EngineContainer[] } | { readonly problem: string };

const ENGINES = ["docker", "podman"] as const;
const NO_CONTAINER = /no such (container|object)/i;

/** @throws dbConnect (56) if no container matches, or several do */
export async function findContainer(
  choice: ContainerChoice,
  run: RunProgram,
  rootless: (name: string | undefined) => Promise<readonly RootlessEngine[]> = findRootless,
): Promise<EngineContainer> {
  const engines = choice.engine === undefined ? ENGINES : [choice.engine];
  const looked = await Promise.all(engines.map((engine) => look(engine, choice, run)));
  const matches = looked.flatMap((result) => ("matches" in result ? result.matches : []));
  const [first, second] = matches;
  if (first !== undefined && second === undefined) return first;
  if (first !== undefined) throw ambiguous(choice, matches);
  const problems = looked.flatMap((result) => ("problem" in result ? [result.problem] : []));
  const others = await rootless(choice.name);
  if (others.length > 0) throw ofOthers(choice, others, problems);
  const servers = (await Promise.all(engines.map((engine) => listServers(engine, run)))).flat();
  const known = servers.length === 0 ? [] : [`PostgreSQL is in ${servers.join(", ")}`];
  throw fail("dbConnect", [`there is no ${choiceText(choice)}`, ...known, ...problems].join("\n"), {
    hint:
      engines.length === 1 && problems.length === 0
        ? `Was it removed or renamed, or does ${engines[0] === "docker" ? "podman" : "docker"} run it? See ${engines[0]} ps --all, and set the container's engine.`
        : problems.length === engines.length
          ? "Install docker or podman, start its service, and let this account use it."
          : "Was it removed or renamed? See docker ps --all, or podman ps --all as root: containers of other accounts (rootless Podman) are not seen.",
    retryable: true,
  });
}

function ofOthers(choice: ContainerChoice, others: readonly RootlessEngine[], problems: readonly string[]): Error {
  const facts = others.map(({ engine, uid }) =>
    engine === "podman" ? `account ${uid} runs it with rootless Podman` : `account ${uid} runs a rootless Docker`,
  );
  return fail("dbConnect", [`root has no ${choiceText(choice)}: ${facts.join(", ")}`, ...problems].join("\n"), {
    hint: "Containers of other accounts are not backed up. Run it with root's engine: its data may stay where they are, with the owner that the image has.",
    retryable: true,
  });
}

function ambiguous(choice: ContainerChoice, matches: readonly EngineContainer[]): Error {
  const names = matches.map(({ engine, name }) => `${name} (${engine})`).join(", ");
  return fail("dbConnect", `${choiceText(choice)} is not unique: ${names}`, {
    hint: "Remove the other containers, or set the container's engine or its exact name.",
  });
}

/** For messages. */
export function choiceText({ compose, name, service }: ContainerChoice): string {
  return name === undefined ? `container of service '${service}' of '${compose}'` : `container '${name}'`;
}

async function look(engine: Engine, choice: ContainerChoice, run: RunProgram): Promise<Looked> {
  try {
    const ids = choice.name === undefined ? await idsOfService(engine, choice.service ?? "", run) : [choice.name];
    if (ids.length === 0) return { matches: [] };
    const { exitCode, stderr, stdout } = await run([engine, "container", "inspect", ...ids]);
    if (exitCode !== 0) return NO_CONTAINER.test(stderr) ? { matches: [] } : { problem: problemOf(engine, stderr) };
    // Engines also take the beginning of another container's id for a name.
    const matches = parseInspect(stdout).filter((facts) =>
      choice.name === undefined
        ? isOfService(facts, choice.compose ?? "", choice.service ?? "")
        : facts.name === choice.name,
    );
    return { matches: matches.map((facts) => ({ ...facts, engine })) };
  } catch (error) {
    return { problem: problemOf(engine, toBackupError(error).message) };
  }
}

async function idsOfService(engine: Engine, service: string, run: RunProgram): Promise<string[]> {
  const filter = `label=com.docker.compose.service=${service}`;
  const ended = await run([engine, "ps", "--all", "--no-trunc", "--quiet", "--filter", filter]);
  if (ended.exitCode !== 0) throw fail("execute", ended.stderr.trim());
  return ended.stdout.split("\n").filter((line) => line !== "");
}

/** Names of containers that look like a server's, for messages. */
async function listServers(engine: Engine, run: RunProgram): Promise<string[]> {
  const all = await listContainers(engine, run).catch(() => []);
  return all.flatMap((facts) => {
    if (!isServer(facts)) return [];
    const service = serviceText(facts);
    return [`'${facts.name}' (${[engine, ...(service === "" ? [] : [service])].join(", ")})`];
  });
}

/** All containers that run, or may go on by themselves. @throws execute (102) */
export async function listRunning(engine: Engine, run: RunProgram): Promise<ContainerFacts[]> {
  // Without --all, Podman lists no paused ones.
  return (await listContainers(engine, run)).filter(({ state }) => state !== "down");
}

const LIST_TRIES = 10;
/** An answer has some 10 kB for each, and only its first 16 MiB are kept. */
const INSPECTED_AT_ONCE = 100;

/** All containers of the engine. @throws execute (102) */
async function listContainers(engine: Engine, run: RunProgram): Promise<ContainerFacts[]> {
  const seen = new Map<string, ContainerFacts>();
  for (let turn = 1; ; turn++) {
    const listed = await run([engine, "ps", "--all", "--no-trunc", "--quiet"]);
    if (listed.exitCode !== 0) throw fail("execute", problemOf(engine, listed.stderr));
    const ids = listed.stdout.split("\n").filter((line) => line !== "");
    const unseen = ids.filter((id) => !seen.has(id));
    let trouble = "no answer for a listed container";
    for (let first = 0; first < unseen.length; first += INSPECTED_AT_ONCE) {
      const some = unseen.slice(first, first + INSPECTED_AT_ONCE);
      const { exitCode, stderr, stdout } = await run([engine, "container", "inspect", ...some]);
      if (exitCode !== 0) trouble = stderr;
      // One that is gone by now fails the command, whose answer has the others.
      if (exitCode !== 0 && (!NO_CONTAINER.test(stderr) || stdout.trim() === "")) continue;
      for (const facts of parseInspect(stdout)) seen.set(facts.id, facts);
    }
    // An empty answer is no proof that no container is there.
    const all = ids.flatMap((id) => seen.get(id) ?? []);
    if (all.length === ids.length) return all;
    if (turn === LIST_TRIES) throw fail("execute", problemOf(engine, trouble));
  }
}

function problemOf(engine: Engine, text: string): string {
  return `${engine}: ${text.trim().split("\n")[0] ?? ""}`;
}
