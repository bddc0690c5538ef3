/**
 * An OpenSSH server for SFTP on this machine: Debian's sshd, unpacked and not installed, as an ordinary process of the
 * servers' account with its own host keys, authorized keys and port on 127.0.0.1.
 *
 * Stopping the server cuts its connections; data, keys and port stay for the next start.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { unpackDebian } from "../debian/debian";
import { descendantsOf, findOnPath, pauseProcess, runOk, type Started, start, waitFor } from "../process";
import { accepts, freePort } from "./s3Server";
import { giveTo, makeUserFolder, type OsUser, serverUser } from "../users";

export interface SftpServerOptions {
  /** SFTP requests and extensions that the server refuses: `posix-rename`, `fsync`. */
  readonly without?: readonly string[];
  /** Kinds of host keys; default ed25519 and ecdsa. */
  readonly hostKeyTypes?: readonly ("ed25519" | "ecdsa" | "rsa")[];
}

/** The program, or what this machine lacks. */
export async function findSshd(): Promise<{ readonly program: string } | { readonly missing: string }> {
  if ((await findOnPath("ssh-keygen")) === null) return { missing: "ssh-keygen is not on PATH" };
  // The last suite with sshd as one program: newer ones expect their other part at a fixed path.
  const program = "usr/sbin/sshd";
  const unpacked = await unpackDebian({
    entry: "openssh-bookworm",
    suite: "bookworm",
    packages: ["openssh-server"],
    programs: [program],
  });
  return "missing" in unpacked ? { missing: `sshd: ${unpacked.missing}` } : { program: join(unpacked.folder, program) };
}

export class SftpServer {
  readonly host = "127.0.0.1";
  readonly port: number;
  readonly user: OsUser;
  readonly folder: string;
  readonly #program: string;
  readonly #options: SftpServerOptions;
  #process: Started | null = null;

  private constructor(program: string, options: SftpServerOptions, port: number) {
    this.#program = program;
    this.#options = options;
    this.port = port;
    this.user = serverUser();
    this.folder = makeUserFolder("pgb-sftp-", this.user);
  }

  /** Creates keys and configuration and starts the server. @throws Error if its program is missing */
  static async create(options: SftpServerOptions = {}): Promise<SftpServer> {
    const sshd = await findSshd();
    if ("missing" in sshd) throw new Error(sshd.missing);
    const server = new SftpServer(sshd.program, options, await freePort());
    for (const type of server.hostKeyTypes) await server.makeKey(`host_${type}`, type);
    await server.makeKey("client", "ed25519");
    server.allow("client");
    server.#writeConfig();
    await server.start();
    return server;
  }

  get hostKeyTypes(): readonly string[] {
    return this.#options.hostKeyTypes ?? ["ed25519", "ecdsa"];
  }

  /** The private key that may sign in. */
  get clientKeyFile(): string {
    return join(this.folder, "client");
  }

  get logFile(): string {
    return join(this.folder, "sshd.log");
  }

  /** `ssh-ed25519 AAAA…` of one of the host's keys. */
  hostKey(type = this.hostKeyTypes[0] ?? ""): string {
    return readFileSync(join(this.folder, `host_${type}.pub`), "utf8")
      .split(" ")
      .slice(0, 2)
      .join(" ");
  }

  /** Hexadecimal SHA-256 of one of the host's keys. */
  fingerprint(type = this.hostKeyTypes[0] ?? ""): string {
    return createHash("sha256")
      .update(Buffer.from(this.hostKey(type).split(" ")[1] ?? "", "base64"))
      .digest("hex");
  }

  /**
   * Creates a key pair in the folder and returns its private file; with a passphrase in the old format, which opens
   * fast.
   */
  async makeKey(name: string, type: string, passphrase = ""): Promise<string> {
    const file = join(this.folder, name);
    await runOk("ssh-keygen", [
      "-q",
      ...(passphrase === "" ? [] : ["-m", "PEM"]),
      "-t",
      type,
      "-N",
      passphrase,
      "-C",
      name,
      "-f",
      file,
    ]);
    for (const path of [file, `${file}.pub`]) giveTo(path, this.user);
    return file;
  }

  /** Lets the holder of a key of the folder sign in. */
  allow(name: string): void {
    writeFileSync(join(this.folder, "authorized_keys"), readFileSync(join(this.folder, `${name}.pub`)), { flag: "a" });
  }

  /** Creates a directory below the server's folder, owned by the servers' account. */
  makeFolder(name: string): string {
    const path = join(this.folder, name);
    mkdirSync(path, { mode: 0o750 });
    giveTo(path, this.user);
    return path;
  }

  isRunning(): boolean {
    return this.#process?.isRunning() ?? false;
  }

  async start(): Promise<void> {
    if (this.isRunning()) return;
    const args = ["-D", "-e", "-f", join(this.folder, "sshd_config")];
    const started = await start(this.#program, args, { user: this.user, logFile: this.logFile, cwd: this.folder });
    this.#process = started;
    await waitFor("start of sshd", 30_000, async () => {
      if (!started.isRunning())
        throw new Error(`sshd stopped while starting\n${readFileSync(this.logFile, "utf8").slice(-2000)}`);
      return (await accepts(this.port)) ? true : null;
    });
  }

  /** Stops the server and cuts its connections. */
  async stop(): Promise<void> {
    const started = this.#process;
    this.#process = null;
    if (started === null) return;
    const children = descendantsOf(started.pid);
    await started.stop("SIGKILL");
    for (const pid of children) killQuietly(pid);
  }

  /** Cuts every connection; new ones are accepted. */
  cut(): void {
    if (this.#process !== null) for (const pid of descendantsOf(this.#process.pid)) killQuietly(pid);
  }

  /** Makes connections hang until `resume`. */
  pause(): void {
    if (this.#process !== null)
      for (const pid of [this.#process.pid, ...descendantsOf(this.#process.pid)]) pauseProcess(pid);
  }

  resume(): void {
    if (this.#process !== null)
      for (const pid of [this.#process.pid, ...descendantsOf(this.#process.pid)]) process.kill(pid, "SIGCONT");
  }

  /** Options of a pgBackRest repository on this server, without the prefix `repoN-` and without the path. */
  repositoryOptions(keyFile = this.clientKeyFile): Record<string, string> {
    return {
      type: "sftp",
      "sftp-host": this.host,
      "sftp-host-port": String(this.port),
      "sftp-host-user": this.user.name,
      "sftp-host-key-hash-type": "sha256",
      "sftp-host-key-check-type": "fingerprint",
      // The key type that stock's library asks for first.
      "sftp-host-fingerprint": this.fingerprint(this.hostKeyTypes.includes("ecdsa") ? "ecdsa" : undefined),
      "sftp-private-key-file": keyFile,
    };
  }

  #writeConfig(): void {
    const without = this.#options.without === undefined ? "" : ` -P ${this.#options.without.join(",")}`;
    const lines = [
      `Port ${this.port}`,
      `ListenAddress ${this.host}`,
      ...this.hostKeyTypes.map((type) => `HostKey ${join(this.folder, `host_${type}`)}`),
      `AuthorizedKeysFile ${join(this.folder, "authorized_keys")}`,
      "PidFile none",
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "MaxStartups 100",
      `Subsystem sftp internal-sftp${without}`,
    ];
    writeFileSync(join(this.folder, "sshd_config"), `${lines.join("\n")}\n`, { mode: 0o644 });
  }

  /** Stops the server and removes its folder. */
  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
