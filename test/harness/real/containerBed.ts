/** PostgreSQL in a container of a real engine, and a configuration of ours for it. Root runs both. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { unitCapabilities } from "../../../components/render/units/containerRights";
import { ContainerEngine, type EngineName } from "../../../tools/parts/containers/engine";
import { IMAGE, IMAGE_DATA, IMAGE_UID, importImage } from "../../../tools/parts/containers/postgresImage";
import { run, type RunResult, start, type Started, waitFor } from "../../../tools/parts/process";
import { serverUser } from "../../../tools/parts/users";
import { findRuntime, type RuntimeProgram, writeConfig } from "./runtimeCli";
import { requireOk } from "./testBed";
import { loud } from "./interopParts";

const STANZA = "main";
const MAPPED_ID = 200_000;
const MAPPED_COUNT = 65_536;

export interface StartContainer {
  /** Arguments of `run` besides the usual ones. */
  readonly args?: readonly string[];
  /** True: it archives into the folder `wal`. */
  readonly archives?: boolean;
  readonly image?: string;
  /** A directory of this machine with its data; default: a volume. */
  readonly data?: string;
}

/** An engine with the image, or null and a loud line that says what is missing. */
export async function engineWith(name: EngineName, title: string): Promise<ContainerEngine | null> {
  const engine = await ContainerEngine.create(name);
  if ("missing" in engine) return loud(title, engine.missing);
  try {
    const lacking = await importImage(engine);
    if (lacking !== null) throw new Error(lacking.missing);
    return engine;
  } catch (error) {
    await engine.remove();
    return loud(title, String(error));
  }
}

function limitedTo(capabilities: readonly string[]): string[] {
  const names = capabilities.map((name) => `+${name.slice("CAP_".length).toLowerCase()}`);
  return ["setpriv", "--inh-caps=-all", `--bounding-set=-all,${names.join(",")}`, "--no-new-privs", "--"];
}

export class ContainerBed {
  readonly engine: ContainerEngine;
  readonly folder: string;
  readonly runtime: RuntimeProgram;
  readonly container: string;
  #agent: Started | undefined;

  /** PostgreSQL's account on this machine. */
  readonly ownerId: number;
  /** Arguments of `run` for its user namespace. */
  readonly idArgs: readonly string[];

  private constructor(engine: ContainerEngine, runtime: RuntimeProgram, container: string, firstId: number) {
    this.engine = engine;
    this.runtime = runtime;
    this.container = container;
    this.folder = join(engine.folder, container);
    this.ownerId = firstId + IMAGE_UID;
    this.idArgs = firstId === 0 ? [] : ["uid", "gid"].map((kind) => `--${kind}map=0:${firstId}:${MAPPED_COUNT}`);
  }

  /** @param isMapped the container has a user namespace of its own; Podman only */
  static async create(engine: ContainerEngine, { isMapped = false } = {}): Promise<ContainerBed> {
    const firstId = isMapped ? MAPPED_ID : 0;
    const bed = new ContainerBed(engine, await findRuntime(), "shop-db", firstId);
    for (const name of ["", "lock", "log", "spool", "repo1", "repo2", "config", "wal", "space", "side", "pg-wal"])
      mkdirSync(join(bed.folder, name));
    const own = ["wal", "space", "pg-wal"].map((name) => join(bed.folder, name));
    await run("chown", [`${bed.ownerId}:${bed.ownerId}`, ...own]);
    bed.configure();
    return bed;
  }

  /** Writes the configuration; `container` replaces how it is found. */
  configure(container: object = { name: this.container }, settings: object = {}): void {
    const at = (name: string): string => join(this.folder, name);
    writeConfig(
      at("config"),
      STANZA,
      {
        global: {
          "lock-path": at("lock"),
          "log-path": at("log"),
          "spool-path": at("spool"),
          "log-level-console": "info",
          "log-level-file": "off",
          "start-fast": "y",
          "repo1-path": at("repo1"),
          "repo1-retention-full": "2",
          "repo2-path": at("repo2"),
          "repo2-retention-full": "2",
        },
        stanza: { "pg1-path": IMAGE_DATA },
        settings: {
          version: 1,
          archiveCommandContains: "",
          container: { dataDirectory: IMAGE_DATA, ...container },
          ...settings,
        },
      },
      { ...serverUser(), uid: 0, gid: 0 },
    );
  }

  /** Starts the container, whose data are in the volume `shop`, and waits until it answers. */
  async start({ archives = false, args = [], image = IMAGE, data }: StartContainer = {}): Promise<void> {
    const server = archives ? ["archive_mode=on", "archive_command=cp %p /wal/%f.new && mv /wal/%f.new /wal/%f"] : [];
    await this.engine.runOk([
      "run",
      "--detach",
      "--network=none",
      // As the official images say; an import cannot.
      "--stop-signal=SIGINT",
      ...this.idArgs,
      `--name=${this.container}`,
      `--volume=${data ?? `${this.container}-data`}:${IMAGE_DATA}`,
      `--volume=${join(this.folder, "space")}:/space`,
      `--volume=${join(this.folder, "wal")}:/wal`,
      ...args,
      image,
      "postgres",
      ...server.flatMap((setting) => ["-c", setting]),
    ]);
    await this.ready();
  }

  /** Waits until a container answers on its socket. */
  async ready(container = this.container): Promise<void> {
    await waitFor(`PostgreSQL in ${container}`, 90_000, async () => {
      const state = await this.engine.run(["container", "inspect", "--format={{.State.Running}}", container]);
      if (state.stdout.trim() === "false") throw new Error((await this.logs(container)).slice(-3000));
      const ended = await this.psql("select not pg_is_in_recovery()", container);
      return ended.exitCode === 0 && ended.stdout.trim() === "t" ? true : null;
    });
  }

  async logs(container = this.container): Promise<string> {
    const { stderr, stdout } = await this.engine.run(["logs", container]);
    return `${stdout}\n${stderr}`;
  }

  psql(sql: string, container = this.container): Promise<RunResult> {
    return this.engine.run(["exec", "--user=postgres", container, "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]);
  }

  /** The output of statements. @throws Error if one fails */
  async sql(sql: string, container = this.container): Promise<string> {
    return requireOk(`psql in ${container}`, await this.psql(sql, container)).stdout.trim();
  }

  /** Runs ours as root, where it finds only this engine. */
  ours(args: readonly string[]): Promise<RunResult> {
    return this.#ours([], args);
  }

  /** The same with the capabilities of a unit alone. */
  oursAsUnit(args: readonly string[], capabilities = unitCapabilities(this.engine.name)): Promise<RunResult> {
    return this.#ours(limitedTo(capabilities), args);
  }

  /** Begins it, and does not wait for its end. */
  begin(args: readonly string[]): Promise<Started> {
    const [program = "", ...rest] = this.#argv(args);
    const logFile = join(this.folder, "log", `${args[0]}.log`);
    return start(program, rest, { cwd: this.folder, logFile, env: { PATH: this.engine.path } });
  }

  #argv(args: readonly string[]): readonly string[] {
    const { file, node } = this.runtime;
    return [node, file, `--config-path=${join(this.folder, "config")}`, `--stanza=${STANZA}`, ...args];
  }

  #ours(limits: readonly string[], args: readonly string[]): Promise<RunResult> {
    const [program = "", ...rest] = [...limits, ...this.#argv(args)];
    return run(program, rest, { cwd: this.folder, timeoutMs: 300_000, env: { PATH: this.engine.path } });
  }

  /** @throws Error with the output if the exit code is not 0 */
  async oursOk(args: readonly string[]): Promise<string> {
    const { stderr, stdout } = requireOk(`pgbackstop ${args.join(" ")}`, await this.ours(args));
    // Beside JSON the log goes to standard error.
    return args.includes("--output=json") ? stdout : `${stdout}${stderr}`;
  }

  /** Where this machine has a path below the data directory. */
  data(path = ""): string {
    const root = this.engine.name === "docker" ? "data/volumes" : "volumes";
    const folder = join(this.engine.folder, root, `${this.container}-data`, "_data");
    if (!existsSync(folder)) throw new Error(`there is no ${folder}`);
    return join(folder, path);
  }

  /** Starts the agent with a unit's capabilities, which archives through a slot, and waits until it listens. */
  async startAgent(): Promise<void> {
    const logFile = join(this.folder, "log", "agent.log");
    const args = [
      ...limitedTo(unitCapabilities(this.engine.name)).slice(1),
      this.runtime.node,
      this.runtime.file,
      `--config-path=${join(this.folder, "config")}`,
      `--stanza=${STANZA}`,
      "--log-level-console=detail",
      `--agent-socket=${join(this.folder, "agent.sock")}`,
      "agent",
    ];
    const agent = await start("setpriv", args, { cwd: "/", logFile, env: { PATH: this.engine.path } });
    this.#agent = agent;
    await waitFor("the agent's socket", 60_000, async () => {
      if (!agent.isRunning()) throw new Error(agent.log().slice(-2000));
      return agent.log().includes("agent listens on") ? true : null;
    });
  }

  agentLog(): string {
    return this.#agent?.log() ?? "";
  }

  async killAgent(): Promise<void> {
    await this.#agent?.stop("SIGKILL");
  }

  async remove(): Promise<void> {
    await this.killAgent();
  }
}
