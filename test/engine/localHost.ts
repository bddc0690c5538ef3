/**
 * One machine for the engine tests: PostgreSQL, a bucket, a folder for everything that an update installs, and a
 * program folder for the engine.
 */
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { LocalSettings } from "../../examples/local/program";
import { ensureNode } from "../../tools/parts/nodeBinary";
import { ensurePostgres, type PostgresBinaries } from "../../tools/parts/postgres/postgres";
import type { ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { S3Server } from "../../tools/parts/servers/s3Server";
import { TestCluster } from "../../tools/parts/postgres/testCluster";
import { makeUserFolder, reachable } from "../../tools/parts/users";

export class LocalHost {
  readonly cluster: TestCluster;
  readonly s3: S3Server;
  /** Contains the host's directories, the NAS and the logs. */
  readonly folder: string;
  readonly programFolder: ProgramFolder;
  readonly nodePath: string;
  #restarts = 0;
  readonly #timer: NodeJS.Timeout;

  private constructor(
    cluster: TestCluster,
    s3: S3Server,
    folder: string,
    programFolder: ProgramFolder,
    nodePath: string,
  ) {
    this.cluster = cluster;
    this.s3 = s3;
    this.folder = folder;
    this.programFolder = programFolder;
    this.nodePath = nodePath;
    this.#timer = setInterval(() => void this.#serveRestart(), 100);
  }

  /**
   * @param settings PostgreSQL's settings before the first update
   * @param binaries default: PostgreSQL 18, without client programs
   */
  static async create(
    settings: Readonly<Record<string, string | number | boolean>> = {},
    binaries?: PostgresBinaries,
  ): Promise<LocalHost> {
    const cluster = await TestCluster.create({ binaries: binaries ?? (await ensurePostgres()), settings });
    const s3 = await S3Server.create({ kind: "s3rver" });
    const programFolder = await makeProgramFolder();
    await cluster.start();
    return new LocalHost(
      cluster,
      s3,
      makeUserFolder("pgb-host-"),
      programFolder,
      reachable(await ensureNode(), cluster.user),
    );
  }

  get nasPath(): string {
    return join(this.folder, "nas");
  }

  get restarts(): number {
    return this.#restarts;
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  settings(host: LocalSettings["host"] = {}): LocalSettings {
    return {
      dataDirectory: this.cluster.dataPath,
      nasPath: this.nasPath,
      protect: false,
      bucket: {
        name: this.s3.bucket,
        endpoint: this.s3.host,
        port: this.s3.port,
        region: this.s3.region,
        caFile: reachable(this.s3.caFile, this.cluster.user),
        accessKeyId: this.s3.accessKey,
        secretAccessKey: this.s3.secretKey,
      },
      host: {
        user: this.cluster.user.name,
        databaseUser: this.cluster.superuser,
        port: this.cluster.port,
        socketDirectory: this.cluster.socketPath,
        nodePath: this.nodePath,
        directories: {
          config: this.path("etc"),
          lib: this.path("lib"),
          units: this.path("units"),
          lock: this.path("lock"),
          spool: this.path("spool"),
          log: this.path("log"),
        },
        allowRestart: true,
        restartCommand: [
          "/bin/sh",
          "-c",
          'touch "$1" && while [ -e "$1" ]; do sleep 0.1; done',
          "sh",
          this.path("restart-wanted"),
        ],
        ...host,
      },
    };
  }

  /** Inode, modification and change times, mode and size of every file that an update may write. */
  fingerprint(): Record<string, string> {
    const result: Record<string, string> = {};
    for (const directory of ["etc", "lib", "units"]) {
      if (existsSync(this.path(directory))) this.#fingerprintBelow(this.path(directory), result);
    }
    return result;
  }

  async remove(): Promise<void> {
    clearInterval(this.#timer);
    await this.cluster.remove();
    await this.s3.remove();
    rmSync(this.folder, { recursive: true, force: true });
    removeProgramFolder(this.programFolder);
  }

  #fingerprintBelow(directory: string, result: Record<string, string>): void {
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      const info = lstatSync(path, { bigint: true });
      if (info.isDirectory()) this.#fingerprintBelow(path, result);
      else
        result[path.slice(this.folder.length + 1)] =
          `${info.ino} ${info.mtimeNs} ${info.ctimeNs} ${info.mode.toString(8)} ${readFileSync(path).length}`;
    }
  }

  /** PostgreSQL is a child of this process. To restart it, a command creates a file and waits until it is gone. */
  async #serveRestart(): Promise<void> {
    const wanted = this.path("restart-wanted");
    if (!existsSync(wanted) || this.#busy) return;
    this.#busy = true;
    await this.cluster.restart();
    this.#restarts++;
    rmSync(wanted);
    this.#busy = false;
  }

  #busy = false;
}
