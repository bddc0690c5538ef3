/**
 * Container engines for tests: Docker and Podman from Debian's packages, each with its own folder and socket, so that
 * they touch nothing of this machine's engine. Containers get no network.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findNamespaceObstacle } from "../namespaces";
import { debianProgram, type Missing, unpackDebian } from "../debian/debian";
import { run, runOk, type RunOptions, type RunResult, start, type Started, waitFor } from "../process";

export type EngineName = "docker" | "podman";

const START_MS = 60_000;
/** Both are in bookworm, and run with the control groups of any kernel. */
const SUITE = "bookworm";
const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export class ContainerEngine {
  readonly name: EngineName;
  /** Everything of it; removed at the end. */
  readonly folder: string;
  readonly #daemon: Started | undefined;

  private constructor(name: EngineName, folder: string, daemon: Started | undefined) {
    this.name = name;
    this.folder = folder;
    this.#daemon = daemon;
  }

  /** An engine without images, or what this machine lacks. */
  static async create(name: EngineName): Promise<ContainerEngine | Missing> {
    const obstacle = await findNamespaceObstacle("container engines need");
    if (obstacle !== null) return { missing: obstacle };
    const tree = await (name === "docker" ? findDocker() : findPodman());
    if (typeof tree !== "string") return tree;
    // Short, for sockets; on a disk, because layers cannot be mounted over every memory file system.
    const folder = mkdtempSync("/tmp/pgbe-");
    mkdirSync(join(folder, "bin"));
    return name === "docker"
      ? ContainerEngine.#startDocker(tree, folder)
      : ContainerEngine.#preparePodman(tree, folder);
  }

  static async #startDocker(tree: string, folder: string): Promise<ContainerEngine> {
    const socket = `unix://${folder}/docker.sock`;
    writeProgram(join(folder, "bin/docker"), `exec ${tree}/usr/bin/docker -H ${socket} "$@"`);
    const daemon = await start(
      join(tree, "usr/sbin/dockerd"),
      [
        `--data-root=${folder}/data`,
        `--exec-root=${folder}/exec`,
        `--pidfile=${folder}/docker.pid`,
        `--host=${socket}`,
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
        "--log-level=warn",
      ],
      {
        logFile: join(folder, "dockerd.log"),
        env: { PATH: `${tree}/usr/sbin:${tree}/usr/bin:${SYSTEM_PATH}`, DOCKER_CONFIG: folder },
      },
    );
    const engine = new ContainerEngine("docker", folder, daemon);
    await waitFor("Docker's daemon", START_MS, async () => {
      if (!daemon.isRunning()) throw new Error(`dockerd has ended:\n${daemon.log().slice(-2000)}`);
      return (await engine.run(["version"])).exitCode === 0 ? true : null;
    });
    return engine;
  }

  static async #preparePodman(tree: string, folder: string): Promise<ContainerEngine> {
    const limits = ["nofile=20000:20000", "nproc=4000:4000"].map((limit) => `"${limit}"`).join(", ");
    writeFileSync(
      join(folder, "containers.conf"),
      `[containers]\ndefault_ulimits = [${limits}]\n[engine]\nevents_logger = "file"\n` +
        `helper_binaries_dir = ["${tree}/usr/lib/podman"]\n`,
    );
    writeFileSync(
      join(folder, "storage.conf"),
      `[storage]\ndriver = "overlay"\nrunroot = "${folder}/run"\ngraphroot = "${folder}/data"\n`,
    );
    // Podman imports no image without a policy, which a machine without its packages lacks.
    mkdirSync(join(folder, ".config/containers"), { recursive: true });
    copyFileSync(join(tree, "etc/containers/policy.json"), join(folder, ".config/containers/policy.json"));
    const options = [
      `--root=${folder}/data`,
      `--runroot=${folder}/run`,
      `--tmpdir=${folder}/tmp`,
      `--volumepath=${folder}/volumes`,
      `--conmon=${tree}/usr/bin/conmon`,
      `--runtime=${tree}/usr/sbin/runc`,
      "--cgroup-manager=cgroupfs",
      "--storage-driver=overlay",
    ];
    const env = [
      `CONTAINERS_CONF=${folder}/containers.conf`,
      `CONTAINERS_STORAGE_CONF=${folder}/storage.conf`,
      `HOME=${folder}`,
      `PATH=${tree}/usr/sbin:${tree}/usr/bin:$PATH`,
    ];
    writeProgram(join(folder, "bin/podman"), `${env.join(" ")} exec ${tree}/usr/bin/podman ${options.join(" ")} "$@"`);
    return new ContainerEngine("podman", folder, undefined);
  }

  /** PATH on which a program finds this engine, and no other one. */
  get path(): string {
    return `${this.folder}/bin:${SYSTEM_PATH}`;
  }

  /** For programs that speak to the daemon. */
  get socket(): string {
    return `unix://${this.folder}/docker.sock`;
  }

  run(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(join(this.folder, "bin", this.name), args, options);
  }

  /** @throws Error with the end of the output if the exit code is not 0 */
  runOk(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return runOk(join(this.folder, "bin", this.name), args, options);
  }

  /** Adds an image made from a tar file of its root. */
  async import(tarFile: string, image: string, changes: readonly string[]): Promise<void> {
    await this.runOk(["import", ...changes.flatMap((change) => ["--change", change]), tarFile, image]);
  }

  /** Ends all containers and the daemon, and removes everything. */
  async remove(): Promise<void> {
    const ids = (await this.run(["ps", "--all", "--quiet"])).stdout.split("\n").filter((id) => id !== "");
    if (ids.length > 0) await this.run(["rm", "--force", "--volumes", ...ids]);
    await this.#daemon?.stop();
    // A layer may still be mounted.
    await run("sh", ["-c", `grep -o ' ${this.folder}/[^ ]*' /proc/self/mountinfo | sort -r | xargs -r umount -l`]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The folder of Docker's programs, unpacked. */
export async function findDocker(): Promise<string | Missing> {
  const unpacked = await unpackDebian({
    entry: "docker-bookworm",
    suite: SUITE,
    packages: ["docker.io", "containerd", "runc", "iptables"],
    programs: [
      "usr/bin/docker",
      "usr/sbin/dockerd",
      "usr/bin/containerd",
      "usr/bin/containerd-shim-runc-v2",
      "usr/sbin/runc",
    ],
  });
  return "missing" in unpacked ? unpacked : unpacked.folder;
}

/** The folder of Podman's programs, unpacked. */
export async function findPodman(): Promise<string | Missing> {
  const unpacked = await unpackDebian({
    entry: "podman-bookworm",
    suite: SUITE,
    packages: ["podman", "conmon", "runc", "golang-github-containers-common", "golang-github-containers-image"],
    programs: ["usr/bin/podman", "usr/bin/conmon", "usr/sbin/runc"],
  });
  return "missing" in unpacked ? unpacked : unpacked.folder;
}

/** Compose's program, which asks the engine named by `DOCKER_HOST`. */
export function findCompose(): Promise<string | Missing> {
  return debianProgram("usr/libexec/docker/cli-plugins/docker-compose", {
    entry: "compose-trixie",
    suite: "trixie",
    packages: ["docker-compose"],
  });
}

function writeProgram(path: string, line: string): void {
  writeFileSync(path, `#!/bin/sh\n${line}\n`, { mode: 0o755 });
}
