/**
 * A real Debian behind SSH for tests, booted by systemd-nspawn in its own network. systemd is the first process; sshd,
 * sudo, journald and PostgreSQL are set up as Debian does. README.md says what is real and what is not.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { projectFolder } from "../../../tools/parts/cache";
import { renewSystemId } from "../../../tools/parts/postgres/clusterTemplate";
import type { HostParts, HostSystem } from "../../../tools/parts/debian/debianHost";
import {
  descendantsOf,
  run,
  runOk,
  type RunOptions,
  type RunResult,
  type Started,
  waitFor,
} from "../../../tools/parts/process";
import { type HostFile, type HostIdentity, makeIdentity, writeHostFiles } from "./hostFiles";
import { makeGroupName, removeGroup } from "./leftovers";
import { type HostNetwork, startHostNetwork } from "./network";

export interface HostOptions {
  /** `bookworm` and `trixie` include PostgreSQL (cluster `main`, running); `…-bare` do not. */
  readonly suite: HostSystem;
  /** The host name, also used for its logs. */
  readonly name: string;
  /** The network, which hosts can share. Default: a private one, which ends with the host. */
  readonly network?: HostNetwork;
  /** Default true: installs the Node that runs the tests as `/usr/local/bin/node`. */
  readonly node?: boolean;
  /** Files and folders of this machine that the host sees, read-only: from the host's path to this machine's. */
  readonly shown?: Readonly<Record<string, string>>;
  /** True if it runs a container engine, whose data in `/var/lib/docker` then are in a file system that it can use. */
  readonly runsContainers?: boolean;
  /** True if it may mount by FUSE. */
  readonly fuse?: boolean;
}

export interface DebianHost extends HostIdentity {
  readonly name: string;
  readonly suite: HostSystem;
  readonly network: HostNetwork;
  /** sshd, as seen from this machine's loopback. */
  readonly ssh: { readonly host: string; readonly port: number };
  /** The address in the host's network, where sshd listens on port 22. */
  readonly address: string;
  /**
   * `NAME.log` is the console; `NAME-journal.log` is the journal at its stop. Kept until the next network of the same
   * name.
   */
  readonly logFolder: string;
  /** Runs a program on the host as root. It bypasses sshd, so it works without a network. */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Like `run`; returns stdout. @throws Error with the end of the output if the exit code is not 0 */
  runOk(argv: readonly string[], options?: RunOptions): Promise<string>;
  /** Pulls the cable: packets are lost in both directions, connections stay open and hang. */
  cutNetwork(): Promise<void>;
  restoreNetwork(): Promise<void>;
  /** Shuts the host down cleanly and boots it again with the same disk. Resolves when it is ready. */
  reboot(): Promise<void>;
  /** Shuts the host down cleanly. @returns exit code of systemd-nspawn: 0 on success */
  powerOff(): Promise<number>;
  /** Boots the host after {@link powerOff}. Resolves when it is ready. */
  powerOn(): Promise<void>;
  /** Stops the host immediately and removes what it wrote. */
  stop(): Promise<void>;
}

/** The folder of the clusters' data in a tree, one subfolder per major version of PostgreSQL. */
const CLUSTERS = "/var/lib/postgresql";
const BRIDGE = "br0";
const BOOT_MS = 240_000;
const POWER_OFF_MS = 120_000;
const JOURNAL_MS = 20_000;
/** Time limit for the kernel to end a host's processes. */
const END_MS = 60_000;
const ENVIRONMENT = [
  "env",
  "-i",
  // PostgreSQL's own psql first: Debian's wrapper in /usr/bin starts Perl for each statement of a test.
  "PATH=/usr/lib/postgresql/17/bin:/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  "HOME=/root",
  "LANG=C.UTF-8",
];

/**
 * Boots a host in some 3 s with PostgreSQL, half a second without.
 * @throws Error with the folder of logs if it does not become ready
 */
export async function startDebianHost(parts: HostParts, options: HostOptions): Promise<DebianHost> {
  const tree = parts.trees.get(options.suite);
  if (tree === undefined) throw new Error(`no tree of ${options.suite} was asked for`);
  const network = options.network ?? (await startHostNetwork(options.name));
  let made: Machine | null = null;
  const end = async (): Promise<void> => {
    await made?.stop();
    if (options.network === undefined) await network.stop();
  };
  try {
    const machine = await Machine.create(parts.nspawn, tree, network, options);
    made = machine;
    const port = await network.reach(machine.address, 22);
    const ready = (): Promise<void> => waitForSsh(port);
    await machine.powerOn().then(ready);
    return {
      ...machine.identity,
      name: options.name,
      suite: options.suite,
      network,
      ssh: { host: "127.0.0.1", port },
      address: machine.address,
      logFolder: network.logFolder,
      run: (argv, runOptions) => machine.run(argv, runOptions),
      runOk: (argv, runOptions) => runOk(...machine.enter(argv), runOptions),
      cutNetwork: () => machine.setLink("down"),
      restoreNetwork: () => machine.setLink("up"),
      reboot: () => machine.reboot().then(ready),
      powerOff: () => machine.powerOff(),
      powerOn: () => machine.powerOn().then(ready),
      stop: end,
    };
  } catch (error) {
    await end();
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`host ${options.name} (${options.suite}) did not start: ${reason}\nlogs: ${network.logFolder}`, {
      cause: error,
    });
  }
}

/** The processes and mounts of a host. */
class Machine {
  readonly address: string;
  readonly identity: HostIdentity;
  readonly #files: readonly HostFile[];
  readonly #network: HostNetwork;
  readonly #name: string;
  /** The host's name for systemd-nspawn, which makes it part of the network link's name. Both must be short. */
  readonly #label: string;
  readonly #command: readonly string[];
  readonly #layer: string;
  readonly #group = makeGroupName();
  #started: Started | null = null;
  /** The process id of its first process in this process's namespace. */
  #leader = 0;

  private constructor(
    nspawn: string,
    network: HostNetwork,
    { fuse, name, node, runsContainers, shown = {} }: HostOptions,
  ) {
    const { address, number } = network.nextAddress();
    this.address = address;
    const { identity, files } = makeIdentity();
    this.identity = identity;
    this.#files = files;
    this.#network = network;
    this.#name = name;
    this.#label = `h${number}`;
    this.#layer = join(network.runFolder, this.#label);
    this.#command = [
      nspawn,
      "--quiet",
      "--boot",
      `--directory=${join(this.#layer, "root")}`,
      `--machine=${this.#label}`,
      `--network-bridge=${BRIDGE}`,
      // systemd on this machine does not know the host.
      "--register=no",
      "--keep-unit",
      "--link-journal=no",
      "--resolv-conf=off",
      "--timezone=off",
      "--console=pipe",
      ...(node === false ? [] : [`--bind-ro=${process.execPath}:/usr/local/bin/node`]),
      // runc limits devices by a program for the kernel. Layers cannot be laid over the host's own layer.
      ...(runsContainers === true
        ? ["--system-call-filter=bpf keyctl add_key", `--bind=${join(this.#layer, "engine")}:/var/lib/docker`]
        : []),
      // For the kernel's control group it is a device like any other.
      ...(fuse === true ? ["--bind=/dev/fuse", "--property=DeviceAllow=/dev/fuse rwm"] : []),
      ...Object.entries(shown).map(([there, here]) => `--bind-ro=${here}:${there}`),
    ];
  }

  /** Creates the files of a host without starting it. */
  static async create(nspawn: string, tree: string, network: HostNetwork, options: HostOptions): Promise<Machine> {
    const machine = new Machine(nspawn, network, options);
    const files = `${machine.#layer}-files`;
    writeHostFiles(files, { name: options.name, address: machine.address, files: machine.#files });
    mkdirSync(machine.#layer);
    const laid = await network.network.run("sh", [script("layer.sh"), machine.#layer, files, tree]);
    if (laid.exitCode !== 0) throw new Error(`the layer of ${options.name} cannot be mounted: ${laid.stderr.trim()}`);
    if (!options.suite.endsWith("-bare")) machine.#renewCluster();
    return machine;
  }

  /** Two hosts from the same tree must not share a system identifier. */
  #renewCluster(): void {
    const clusters = `/proc/${this.#network.network.pid}/root${join(this.#layer, "root", CLUSTERS)}`;
    for (const major of readdirSync(clusters).filter((name) => /^\d+$/.test(name)))
      renewSystemId(join(clusters, major, "main"));
  }

  async powerOn(): Promise<void> {
    this.#started = await this.#network.network.start(this.#name, "sh", [
      script("boot.sh"),
      this.#group,
      ...this.#command,
    ]);
    await this.#waitForSystem(0);
  }

  async reboot(): Promise<void> {
    const before = this.#leader;
    await this.run(["systemctl", "reboot"]);
    await this.#waitForSystem(before);
  }

  async powerOff(): Promise<number> {
    await this.run(["systemctl", "poweroff"]);
    const started = this.#started;
    const exitCode = await waitFor(`power off of ${this.#name}`, POWER_OFF_MS, async () =>
      started?.isRunning() ? null : ((await started?.exited) ?? 0),
    );
    this.#started = null;
    removeGroup(this.#group);
    return exitCode;
  }

  async setLink(state: "up" | "down"): Promise<void> {
    const result = await this.#network.network.run("ip", ["link", "set", `vb-${this.#label}`, state]);
    if (result.exitCode !== 0)
      throw new Error(`the link of ${this.#name} cannot be set ${state}: ${result.stderr.trim()}`);
  }

  run(argv: readonly string[], options?: RunOptions): Promise<RunResult> {
    return run(...this.enter(argv), options);
  }

  /** A command that runs `argv` in all namespaces of the host. */
  enter(argv: readonly string[]): [string, string[]] {
    const namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"];
    return ["nsenter", ["--target", `${this.#leader}`, ...namespaces, "--", ...ENVIRONMENT, ...argv]];
  }

  async stop(): Promise<void> {
    const started = this.#started;
    this.#started = null;
    if (started?.isRunning() === true) {
      await this.#saveJournal();
      for (const pid of descendantsOf(started.pid)) killQuietly(pid);
      await started.stop("SIGKILL");
    }
    // A process that the kernel has not ended yet keeps its group busy.
    await waitFor("the end of its groups", END_MS, async () => (removeGroup(this.#group) ? true : null)).catch(
      () => undefined,
    );
    await this.#network.network.run("umount", ["-R", this.#layer]);
  }

  async #saveJournal(): Promise<void> {
    try {
      const journal = await this.run(["journalctl", "--no-pager", "--output=short-precise"], { timeoutMs: JOURNAL_MS });
      writeFileSync(join(this.#network.logFolder, `${this.#name}-journal.log`), journal.stdout);
    } catch {
      // If a host does not answer, its console log must do.
    }
  }

  /** Waits until systemd, as a process other than `before`, has started everything. */
  async #waitForSystem(before: number): Promise<void> {
    const started = this.#started;
    const check = (): void => {
      if (started?.isRunning() !== true)
        throw new Error(`it ended while booting: ${started?.log().slice(-2000) ?? ""}`);
    };
    this.#leader = await waitFor(`systemd of ${this.#name}`, BOOT_MS, async () => {
      check();
      const leader = descendantsOf(started?.pid ?? 0).find(isSystemd);
      return leader === undefined || leader === before ? null : leader;
    });
    await waitFor(`end of the boot of ${this.#name}`, BOOT_MS, async () => {
      check();
      const { stdout } = await this.run(["systemctl", "is-system-running", "--wait"], { timeoutMs: BOOT_MS });
      if (stdout.trim() === "degraded")
        throw new Error(`units failed:\n${(await this.run(["systemctl", "--failed", "--no-legend"])).stdout}`);
      return stdout.trim() === "running" ? true : null;
    });
  }
}

/** True if the process is the first of a PID namespace and is already systemd. */
function isSystemd(pid: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return /^NSpid:.*\t1$/m.test(status) && /^Name:\tsystemd$/m.test(status);
  } catch {
    return false;
  }
}

async function waitForSsh(port: number): Promise<void> {
  await waitFor("an answer of sshd", BOOT_MS, async () => ((await greeting(port)).startsWith("SSH-2.0") ? true : null));
}

/** The first text that a server sends; empty if it sends none. */
function greeting(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (text: string): void => {
      socket.destroy();
      resolve(text);
    };
    socket.setTimeout(5000, () => end(""));
    socket.once("data", (bytes) => end(bytes.toString("latin1")));
    socket.once("error", () => end(""));
    socket.once("close", () => end(""));
  });
}

function script(name: string): string {
  return join(projectFolder(), "test", "harness", "hosts", name);
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // The process has already ended.
  }
}
