/**
 * The container of this process's server: its files, its accounts, and the way to its socket. Local connections need
 * no published port: the socket is reached through the container's first process.
 */
import { lstatSync, readFile, statSync } from "../../local/nodeFiles";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import { Secret } from "../../base/secret";
import type { UserNames } from "../../local/users";
import { parsePostmasterPid } from "../postmasterPid";
import {
  choiceText,
  type ContainerChoice,
  type EngineContainer,
  findContainer,
  listRunning,
  type RunProgram,
} from "./findContainer";
import type { DumpPrograms, Programs } from "../programs";
import { endContainers, findCommand, findInContainer, ImagePrograms, type ImageRequest } from "./imagePrograms";
import { passwordOf, superuserOf } from "./inspect";
import { namespaceOf, postmastersOn } from "../runningServers";
import { checkData, keyWarning, otherServersOf, ROOT_KEY, versionFault, writersOf } from "./sharedData";
import { containerPaths, insideOf, mountOf, type ServerView } from "./serverPaths";

/** Where PostgreSQL's sockets are in Debian's and Alpine's packages. */
const SOCKET_PATH = "/var/run/postgresql";
const ACCOUNT = "postgres";

export interface ContainerOptions extends ContainerChoice {
  /** Data directory in the container. */
  readonly dataDirectory: string;
}

/** A container as commands use it. */
export interface ContainerServer {
  readonly view: ServerView;
  /** Programs that stop and start it. */
  readonly control: { readonly stop: readonly string[]; readonly start: readonly string[] };
  /** Its state and its first process on this machine, as of now. @throws dbConnect (56) */
  findProcess(): Promise<Pick<EngineContainer, "pid" | "state">>;
  /** Warnings about where its data are. @throws pgRunning (38) if another server runs on them too */
  checkData(): Promise<readonly string[]>;
  /** Warnings about files that a restored server needs, and that no backup has. */
  findLeftOut(): readonly string[];
  /**
   * That nobody can swap directories for links while root writes: neither this container nor another one that has the
   * data. @throws pgRunning (38)
   */
  requireStopped(): Promise<void>;
  /** The second half of {@link requireStopped}. @throws pgRunning (38) */
  requireNoWriters(): Promise<void>;
  readonly superuser: string;
  /**
   * Programs of its image, which see a directory of this machine.
   * @throws fileMissing (55) if it has another version, or no shell; execute (102) without an answer; dbConnect (56)
   */
  findPrograms(major: string, account: Owner, directory: string | undefined, signal: AbortSignal): Promise<Programs>;
  /** What runs a program in the container itself, as PostgreSQL's account and with an input. */
  command(argv: readonly string[]): readonly string[];
  /**
   * Programs in the container itself. One ends when the command that runs it does, even by SIGKILL.
   * @throws fileMissing (55), dbConnect (56)
   */
  findOwnPrograms(major: string, signal: AbortSignal): Promise<DumpPrograms>;
  /** Ends what {@link findPrograms} has left. */
  endPrograms(directory: string): Promise<void>;
}

type Owner = ImageRequest["account"];

/** The password stays in the container. libpq takes an empty one for none. */
const WITH_PASSWORD = 'PGPASSWORD="${POSTGRES_PASSWORD:-$(cat "${POSTGRES_PASSWORD_FILE:-/dev/null}")}" exec "$@"';

/**
 * An engine's program that dies leaves its program in the container, which sees only the end of its input. The server
 * is the first process there and inherits orphans. It takes one that a signal ended for a crash of its own, and ends
 * all sessions. So the shell waits for both of its children.
 */
const ENDS_WITH_CALLER =
  'exec 3<&0; "$@" </dev/null 3<&- & p=$!; (read -r _ <&3; kill "$p") >/dev/null 2>&1 & w=$!; wait "$p"; c=$?; kill "$w" 2>/dev/null; wait "$w"; exit "$c"';

/** A long shutdown must end by itself: a killed server writes no last checkpoint. */
const STOP_SECONDS = "3600";

export class ServerContainer implements ContainerServer {
  readonly #options: ContainerOptions;
  readonly #run: RunProgram;
  #facts: EngineContainer | BackupError;

  constructor(options: ContainerOptions, run: RunProgram) {
    this.#options = options;
    this.#run = run;
    this.#facts = fail("dbConnect", `${choiceText(options)} was not looked for`);
  }

  /** Asks the engines; an error is thrown when the container is used. */
  async look(): Promise<void> {
    this.#facts = await findContainer(this.#options, this.#run).catch((error: unknown) => toBackupError(error));
  }

  /** As of the last look. @throws dbConnect (56) if it was not found */
  get facts(): EngineContainer {
    if (this.#facts instanceof Error) throw this.#facts;
    return this.#facts;
  }

  /** In the container. */
  get dataDirectory(): string {
    return this.#options.dataDirectory;
  }

  get view(): ServerView {
    return {
      dataDirectory: this.dataDirectory,
      here: (path) => containerPaths(this.facts).here(path),
      entry: (path) => containerPaths(this.facts).entry(path),
    };
  }

  get control(): ContainerServer["control"] {
    const { engine, name } = this.facts;
    return { stop: [engine, "stop", "-t", STOP_SECONDS, name], start: [engine, "start", name] };
  }

  async findProcess(): Promise<Pick<EngineContainer, "pid" | "state">> {
    await this.look();
    const { pid, state } = this.facts;
    return { pid, state };
  }

  async checkData(): Promise<readonly string[]> {
    return checkData(this.facts, this.dataDirectory, await this.#findOtherServers());
  }

  async #findOtherServers(): Promise<string[]> {
    const { engine, id: own, pid } = this.facts;
    const kind = mountOf(this.facts, this.dataDirectory)?.kind ?? "tmpfs";
    if (pid === null || kind === "tmpfs") return [];
    const postmasters = await postmastersOn(this.view.here(this.dataDirectory));
    const others = (await listRunning(engine, this.#run)).filter(({ id }) => id !== own);
    const containers = others.map(async ({ name, pid: first }) => ({ name, namespace: await namespaceOf(first ?? 0) }));
    return otherServersOf(await namespaceOf(pid), postmasters, await Promise.all(containers));
  }

  findLeftOut(): readonly string[] {
    const { facts } = this;
    if (facts.pid === null) return [];
    const hasKey = lstatSync(insideOf(facts.pid, ROOT_KEY), { throwIfNoEntry: false }) !== undefined;
    return hasKey ? [keyWarning(facts)] : [];
  }

  async requireStopped(): Promise<void> {
    const { state } = await this.findProcess();
    const { engine, name } = this.facts;
    const stop = this.control.stop.join(" ");
    if (state === "paused")
      throw fail("pgRunning", "unable to restore while the container of PostgreSQL is paused: its server would go on", {
        hint: `Stop it: ${engine} unpause ${name}, then ${stop}.`,
      });
    if (state !== "down")
      throw fail(
        "pgRunning",
        `unable to restore while the container of PostgreSQL ${state === "restarting" ? "restarts again and again" : "runs"}`,
        { hint: `Stop it: ${stop}. recover does this by itself.` },
      );
    await this.requireNoWriters();
  }

  async requireNoWriters(): Promise<void> {
    const { engine, name } = this.facts;
    const writers = writersOf(this.facts, this.dataDirectory, await listRunning(engine, this.#run));
    if (writers.length > 0)
      throw fail(
        "pgRunning",
        `unable to restore while '${writers.join("', '")}' may write to the data of container '${name}'`,
        {
          hint: `Stop it (${engine} stop ${writers.join(" ")}), or mount the data there with ':ro'.`,
        },
      );
  }

  get superuser(): string {
    return superuserOf(this.facts);
  }

  findPrograms(major: string, account: Owner, directory: string | undefined, signal: AbortSignal): Promise<Programs> {
    const { engine, image: imageName, imageId: image } = this.facts;
    const request = { engine, image, imageName, account, ...(directory === undefined ? {} : { directory }) };
    return ImagePrograms.find(request, major, signal);
  }

  command(argv: readonly string[]): readonly string[] {
    const { engine, name } = this.facts;
    const own = ["exec", "--interactive", `--user=${ACCOUNT}`, "--env=LC_ALL=C", name];
    return [engine, ...own, "sh", "-c", WITH_PASSWORD, "sh", ...argv];
  }

  async findOwnPrograms(major: string, signal: AbortSignal): Promise<DumpPrograms> {
    const { directory, names } = await findInContainer(
      this.command(findCommand(major)),
      { major, imageName: this.facts.image, hint: "Start the container from the image that its data belong to." },
      signal,
    );
    return {
      directory,
      has: async (name) => names.includes(name),
      command: (name, args) => this.command(["sh", "-c", ENDS_WITH_CALLER, "sh", `${directory}/${name}`, ...args]),
    };
  }

  endPrograms(directory: string): Promise<void> {
    return endContainers(this.facts.engine, directory);
  }

  /**
   * The socket's directory on this machine.
   * @param configured in the container, or undefined
   * @throws dbConnect (56) if the container does not run; pathOpen (53) if the socket is a link
   */
  async socketPath(configured: string | undefined, port: number): Promise<string> {
    const { pid, state } = await this.findProcess();
    const { engine, name } = this.facts;
    // A frozen server lets a connection wait.
    if (state === "paused")
      throw fail("dbConnect", `container '${name}' is paused`, {
        hint: `Let it go on: ${engine} unpause ${name}.`,
        retryable: true,
      });
    if (pid === null) {
      const [fault, remedy] = versionFault(this.facts, await this.#dataMajor()) ?? [
        null,
        state === "restarting" ? "Its engine starts it again and again." : `Start it: ${engine} start ${name}.`,
      ];
      throw fail("dbConnect", `container '${name}' does not run${fault === null ? "" : `: ${fault}`}`, {
        hint: [remedy, `Its log says why it ended, such as a full disk: ${engine} logs --tail=20 ${name}.`],
        retryable: true,
      });
    }
    const directory = insideOf(pid, configured ?? (await this.#writtenSocketPath()) ?? SOCKET_PATH);
    const path = `${directory}/.s.PGSQL.${port}`;
    if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true)
      throw fail("pathOpen", `the socket '${path}' of container '${name}' is a link`, {
        hint: "It could lead to another server of this machine. Remove it in the container.",
        path,
      });
    return directory;
  }

  /** The superuser's password as the container got it: some images trust no local connection. */
  async password(user: string): Promise<Secret | undefined> {
    const { environment, pid } = this.facts;
    const given = user === this.superuser ? passwordOf({ environment }) : null;
    if (given === null || pid === null) return undefined;
    if ("text" in given) return new Secret(given.text);
    // As a shell takes a file's content.
    const text = await readFile(insideOf(pid, given.file), "utf8").catch(() => "");
    return text === "" ? undefined : new Secret(text.replace(/\n+$/, ""));
  }

  /** Empty if it cannot be read. */
  async #dataMajor(): Promise<string> {
    try {
      return (await readFile(`${this.view.here(this.dataDirectory)}/PG_VERSION`, "utf8")).trim();
    } catch {
      return "";
    }
  }

  /** From postmaster.pid; undefined while the server is down. */
  async #writtenSocketPath(): Promise<string | undefined> {
    const text = await readFile(`${this.view.here(this.dataDirectory)}/postmaster.pid`, "utf8").catch(() => "");
    const { socketPath } = parsePostmasterPid(text);
    return socketPath === "" ? undefined : socketPath;
  }

  /**
   * Names of the container's accounts, so that a backup means the same anywhere. The owner of the data directory, by
   * whatever number this machine has for it, is the container's `postgres`. Undefined if the container or its data are
   * gone, or the data are in no volume: reports about repositories need none of them.
   */
  findUsers(): UserNames | undefined {
    if (this.#facts instanceof Error) return undefined;
    let path: string;
    try {
      path = this.view.here(this.dataDirectory);
    } catch (error) {
      if (isError(error, "pathMissing", "pathOpen")) return undefined;
      throw error;
    }
    const owner = statSync(path, { throwIfNoEntry: false });
    if (owner === undefined) return undefined;
    return {
      userName: (uid) => (uid === owner.uid ? ACCOUNT : uid === 0 ? "root" : null),
      groupName: (gid) => (gid === owner.gid ? ACCOUNT : gid === 0 ? "root" : null),
      findUid: (name) => (name === ACCOUNT ? owner.uid : name === "root" ? 0 : null),
      findGid: (name) => (name === ACCOUNT ? owner.gid : name === "root" ? 0 : null),
    };
  }
}
