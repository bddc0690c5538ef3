/**
 * A real Debian behind SSH for tests: systemd as its first process, sshd, sudo, journald, PostgreSQL as Debian sets it
 * up, booted by systemd-nspawn in a network of its own. README.md says what is real and what is not.
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
  /** `bookworm` and `trixie` come with their PostgreSQL (cluster `main`, running), `…-bare` without. */
  readonly suite: HostSystem;
  /** Its host name, and that of its logs. */
  readonly name: string;
  /** Where other hosts are; default: one of its own, which ends with it. */
  readonly network?: HostNetwork;
  /** Default true: the Node that runs this is `/usr/local/bin/node`. */
  readonly node?: boolean;
  /** Files and folders of this machine that it sees, read-only: its path to this machine's. */
  readonly shown?: Readonly<Record<string, string>>;
}

export interface DebianHost extends HostIdentity {
  readonly name: string;
  readonly suite: HostSystem;
  readonly network: HostNetwork;
  /** sshd, from this machine's loopback. */
  readonly ssh: { readonly host: string; readonly port: number };
  /** In its network, where sshd listens at port 22. */
  readonly address: string;
  /**
   * Kept after the end, until the next network of the same name: `NAME.log` is the console, `NAME-journal.log` the
   * journal at its stop.
   */
  readonly logFolder: string;
  /** Runs a program on it as root, beside sshd: works without a network too. */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Likewise; returns stdout. @throws Error with the end of the output when the exit code is not 0 */
  runOk(argv: readonly string[], options?: RunOptions): Promise<string>;
  /** Pulls the cable: packets are lost in both directions, connections stay open and hang. */
  cutNetwork(): Promise<void>;
  restoreNetwork(): Promise<void>;
  /** Shuts it down in order and boots it again, with all that it has on its disk; ready when this ends. */
  reboot(): Promise<void>;
  /** Shuts it down in order. @returns exit code of systemd-nspawn: 0 when it did what it should */
  powerOff(): Promise<number>;
  /** Boots it after {@link powerOff}; ready when this ends. */
  powerOn(): Promise<void>;
  /** Ends it at once and removes what it wrote. */
  stop(): Promise<void>;
}

/** The cluster's data in a tree, by PostgreSQL's major version. */
const CLUSTERS = "/var/lib/postgresql";
const BRIDGE = "br0";
const BOOT_MS = 240_000;
const POWER_OFF_MS = 120_000;
const JOURNAL_MS = 20_000;
/** For the kernel to take away the processes of a host. */
const END_MS = 60_000;
const ENVIRONMENT = [
  "env",
  "-i",
  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  "HOME=/root",
  "LANG=C.UTF-8",
];

/**
 * Boots a host; some 3 s with PostgreSQL, half a second without.
 * @throws Error with the folder of logs when it does not become ready
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
  /** Name of it for systemd-nspawn, which is part of the name of its link: both must be short. */
  readonly #label: string;
  readonly #command: readonly string[];
  readonly #layer: string;
  readonly #group = makeGroupName();
  #started: Started | null = null;
  /** Its first process, as this process sees it. */
  #leader = 0;

  private constructor(nspawn: string, network: HostNetwork, { name, node, shown = {} }: HostOptions) {
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
      // No systemd outside knows of it.
      "--register=no",
      "--keep-unit",
      "--link-journal=no",
      "--resolv-conf=off",
      "--timezone=off",
      "--console=pipe",
      ...(node === false ? [] : [`--bind-ro=${process.execPath}:/usr/local/bin/node`]),
      ...Object.entries(shown).map(([there, here]) => `--bind-ro=${here}:${there}`),
    ];
  }

  /** Makes its files; nothing runs yet. */
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

  /** Two hosts of one tree must not have the same cluster. */
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

  /** What runs a program in all of its namespaces. */
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
    // What the kernel has not ended yet keeps its groups busy.
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
      // A host that does not answer has its console's log.
    }
  }

  /** Waits until systemd has started everything, as another process than `before`. */
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

/** True for the first process of a namespace of processes that is systemd by now. */
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

/** What a server says first; empty when it says nothing. */
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
    // It has ended.
  }
}
