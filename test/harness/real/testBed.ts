/**
 * A host for tests: one PostgreSQL cluster, several repositories, and one configuration that stock pgBackRest and ours
 * both read. The server's account runs both programs. Passphrases and keys are new random markers, which
 * {@link TestBed.findLeaks} searches for.
 */
import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { CompressType } from "../../../runtime/config/options";
import type { StockPgbackrest } from "../../../tools/parts/debian/pgbackrest";
import { NIGHTLY } from "../../../tools/parts/nightly";
import type { PostgresBinaries } from "../../../tools/parts/postgres/postgres";
import { endProcesses, run, type RunOptions, type RunResult, waitFor } from "../../../tools/parts/process";
import type { AzuriteServer } from "../../../tools/parts/servers/azuriteServer";
import type { GcsServer } from "../../../tools/parts/servers/gcsServer";
import type { S3Server } from "../../../tools/parts/servers/s3Server";
import type { SftpServer } from "../../../tools/parts/servers/sftpServer";
import { compareChecksums, TestCluster } from "../../../tools/parts/postgres/testCluster";
import { giveTo, makeUserFolder } from "../../../tools/parts/users";
import { findRuntime, type Options, type RuntimeProgram, writeConfig } from "./runtimeCli";
import { findSecrets, holdsSecret } from "../compare/secrets";

export interface BedRepo {
  /** Absent: the repository is a directory of this machine. */
  readonly s3?: S3Server;
  readonly azure?: AzuriteServer;
  readonly gcs?: GcsServer;
  /** If set, `repoPath` is a directory of the server. */
  readonly sftp?: SftpServer;
  readonly encrypted?: boolean;
  /** Compression of ours; stock gets it on its command line. Default gz. */
  readonly compressType?: CompressType;
  /** More options, without the prefix `repoN-`. */
  readonly options?: Readonly<Record<string, string>>;
}

export interface BedOptions {
  readonly binaries: PostgresBinaries;
  /** The repositories repo1, repo2, … */
  readonly repos: readonly BedRepo[];
  /** The program that archives; default ours. */
  readonly archiver?: "ours" | StockPgbackrest;
  readonly acknowledge?: "all" | "any" | readonly string[];
  readonly walSegmentSizeMb?: number;
  /** Settings of PostgreSQL. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** Added to `[global]`. */
  readonly global?: Options;
}

export interface Variant {
  /** Changes `[global]`. */
  readonly global?: Options;
  /** Changes `[main]`. */
  readonly stanza?: Options;
  readonly settings?: object;
}

export interface RestoreOptions {
  /** Stock, or null for ours. */
  readonly by: StockPgbackrest | null;
  readonly repo?: number;
  readonly args?: readonly string[];
  readonly config?: string;
  /** Ours of another version. */
  readonly runtime?: RuntimeProgram;
}

interface OursOptions extends RunOptions {
  readonly config?: string;
  /** Another version. */
  readonly runtime?: RuntimeProgram;
}

const STANZA = "main";

export class TestBed {
  readonly folder: string;
  readonly cluster: TestCluster;
  readonly stanza = STANZA;
  /** The folder of pgbackrest.conf. */
  readonly configPath: string;
  /** The planted markers. */
  readonly secrets: readonly string[];
  readonly repoCount: number;
  readonly runtime: RuntimeProgram;
  /** All output of the programs so far. */
  readonly printed: string[] = [];
  readonly #global: Record<string, string | null>;
  readonly #stanza: Record<string, string | null>;
  readonly #settings: object;
  #sideCount = 0;

  private constructor(
    folder: string,
    cluster: TestCluster,
    runtime: RuntimeProgram,
    options: BedOptions,
    plan: RepoPlan,
  ) {
    this.folder = folder;
    this.cluster = cluster;
    this.runtime = runtime;
    this.configPath = configPathOf(folder);
    this.secrets = plan.secrets;
    this.repoCount = options.repos.length;
    this.#global = {
      "lock-path": join(folder, "lock"),
      "log-path": join(folder, "log"),
      "spool-path": join(folder, "spool"),
      "log-level-console": "info",
      "log-level-file": "detail",
      // A thread costs a tenth of a second of processor time. Where threads matter, tests ask for them.
      "process-max": NIGHTLY ? "2" : "1",
      "start-fast": "y",
      ...plan.options,
      ...options.global,
    };
    this.#stanza = {
      "pg1-path": cluster.dataPath,
      "pg1-socket-path": cluster.socketPath,
      "pg1-port": String(cluster.port),
      "pg1-user": cluster.superuser,
    };
    this.#settings = { version: 1, acknowledge: options.acknowledge ?? "all", repos: plan.settings };
  }

  /** Creates the cluster (stopped, with archiving on), the folders and the configuration. */
  static async create(options: BedOptions): Promise<TestBed> {
    const folder = makeUserFolder("pgb-");
    const runtime = await findRuntime();
    const archiver = options.archiver ?? "ours";
    const program = archiver === "ours" ? `${runtime.node} ${runtime.file}` : archiver.path;
    const cluster = await TestCluster.create({
      binaries: options.binaries,
      folder: join(folder, "pg"),
      initdbArgs: options.walSegmentSizeMb === undefined ? [] : [`--wal-segsize=${options.walSegmentSizeMb}`],
      settings: {
        archive_mode: "on",
        // Stock checks that archive_command contains its name. The comment provides it.
        archive_command: `${program} --config-path=${configPathOf(folder)} --stanza=${STANZA} archive-push %p # pgbackrest`,
        ...options.settings,
      },
    });
    mkdirSync(dirname(configPathOf(folder)));
    for (const name of ["lock", "log", "spool", "side", "tablespace"]) {
      mkdirSync(join(folder, name));
      giveTo(join(folder, name), cluster.user);
    }
    const bed = new TestBed(folder, cluster, runtime, options, planRepos(folder, options.repos, cluster));
    bed.writeVariant(bed.configPath, {});
    return bed;
  }

  /** The directory of a repository on this machine. */
  repoPath(key: number): string {
    return join(this.folder, `repo${key}`);
  }

  /** Writes the bed's configuration into `folder`, with the changes of `variant`. */
  writeVariant(folder: string, variant: Variant): void {
    const settings = { ...this.#settings, ...variant.settings };
    const content = {
      global: { ...this.#global, ...variant.global },
      stanza: { ...this.#stanza, ...variant.stanza },
      settings,
    };
    writeConfig(folder, this.stanza, content, this.cluster.user);
  }

  /** Adds a second configuration beside the bed's. Returns the path for a run's `config`. */
  variant(name: string, variant: Variant): string {
    const folder = join(dirname(this.configPath), name);
    this.writeVariant(folder, variant);
    return folder;
  }

  /** Runs ours. The caller checks the exit code. */
  async ours(
    args: readonly string[],
    { config, runtime = this.runtime, ...options }: OursOptions = {},
  ): Promise<RunResult> {
    const command = this.oursCommand(args, config, runtime);
    return this.#keep(
      await run(runtime.node, command, {
        user: this.cluster.user,
        cwd: this.folder,
        timeoutMs: 300_000,
        ...options,
      }),
    );
  }

  /** Arguments that make Node run ours. */
  oursCommand(args: readonly string[], config = this.configPath, runtime = this.runtime): string[] {
    return [runtime.file, `--config-path=${config}`, `--stanza=${this.stanza}`, ...args];
  }

  /** Like {@link ours}. @throws Error with the output if the exit code is not 0 */
  async oursOk(args: readonly string[], options: OursOptions = {}): Promise<RunResult> {
    return requireOk(`pgbackstop ${args.join(" ")}`, await this.ours(args, options));
  }

  async stock(
    program: StockPgbackrest,
    args: readonly string[],
    options: { readonly config?: string; readonly timeoutMs?: number } = {},
  ): Promise<RunResult> {
    const { config = this.configPath, ...more } = options;
    const all = [`--config-path=${config}`, `--stanza=${this.stanza}`, ...args];
    return this.#keep(
      await program.run(all, { user: this.cluster.user, cwd: this.folder, timeoutMs: 300_000, ...more }),
    );
  }

  async stockOk(
    program: StockPgbackrest,
    args: readonly string[],
    options: { readonly config?: string } = {},
  ): Promise<RunResult> {
    return requireOk(`pgbackrest ${program.version} ${args.join(" ")}`, await this.stock(program, args, options));
  }

  /**
   * Switches WAL and waits until PostgreSQL knows that everything up to the switch is archived. Returns the last
   * segment.
   */
  async archiveAll(timeoutMs = 120_000): Promise<string> {
    await this.cluster.sql("SELECT pg_create_restore_point('archive all')");
    const name = await this.cluster.switchWal();
    const isThere = (file: string): boolean => existsSync(this.walFile(file));
    // A checkpoint may already have removed the segment and its status file.
    const isDone = (): boolean =>
      isThere(`archive_status/${name}.done`) || !(isThere(`archive_status/${name}.ready`) || isThere(name));
    await waitFor(`archiving of ${name}`, timeoutMs, async () => (isDone() ? true : null));
    return name;
  }

  /**
   * Makes `archive_command` fail. Waits until the archiver, which reloads its settings with a delay, has used the new
   * command. All earlier WAL is archived; at least one segment is waiting.
   */
  async stopArchiving(): Promise<void> {
    await this.archiveAll();
    const failures = async (): Promise<number> =>
      Number(await this.cluster.value("SELECT failed_count FROM pg_stat_archiver"));
    const before = await failures();
    await this.cluster.alterSystem({ archive_command: "false # pgbackrest" });
    const look = async (): Promise<true | null> => {
      await this.cluster.sql("SELECT pg_create_restore_point('to be refused')");
      await this.cluster.switchWal();
      return waitFor("a refusal", 2000, async () => ((await failures()) > before ? true : null)).catch(() => null);
    };
    await waitFor("an archiver that fails", 60_000, look);
  }

  /** The path of a file in pg_wal. */
  walFile(name: string): string {
    return join(this.cluster.dataPath, "pg_wal", name);
  }

  /** Restores into a new directory, with tablespaces beside it, and returns the directory. */
  async restoreAside(options: RestoreOptions): Promise<{ readonly result: RunResult; readonly dataPath: string }> {
    const directory = join(this.folder, "side", String(++this.#sideCount));
    const dataPath = join(directory, "data");
    for (const path of [directory, dataPath, join(directory, "space")]) {
      mkdirSync(path, { mode: 0o700 });
      giveTo(path, this.cluster.user);
    }
    const args = [
      "restore",
      `--pg1-path=${dataPath}`,
      // Map tablespaces by oid. The restore refuses a map without a match in the backup, and a backup of a stopped
      // server does not contain the names.
      ...this.#tablespaces().map((oid) => `--tablespace-map=${oid}=${join(directory, "space")}`),
      "--archive-mode=off",
      ...(options.repo === undefined ? [] : [`--repo=${options.repo}`]),
      ...(options.args ?? []),
    ];
    const more = options.config === undefined ? {} : { config: options.config };
    const own = options.runtime === undefined ? {} : { runtime: options.runtime };
    const result =
      options.by === null ? await this.ours(args, { ...more, ...own }) : await this.stock(options.by, args, more);
    const written = join(dataPath, "postgresql.auto.conf");
    if (existsSync(written)) this.printed.push(readFileSync(written, "utf8"));
    return { result, dataPath };
  }

  /**
   * Restores aside, starts PostgreSQL there, lets it replay all WAL, and compares every table with this cluster.
   * Returns one line per difference.
   */
  async restoreAndCompare(options: RestoreOptions): Promise<string[]> {
    const expected = await this.cluster.tableChecksums();
    const { result, dataPath } = await this.restoreAside(options);
    requireOk("restore", result);
    const restored = TestCluster.adopt({ binaries: this.cluster.binaries, dataPath });
    try {
      await restored.start({}, { timeoutMs: 180_000 });
      await restored.waitForRecovery();
      return compareChecksums(expected, await restored.tableChecksums());
    } catch (error) {
      throw new Error(`${String(error)}\n${restored.logTail()}`, { cause: error });
    } finally {
      this.printed.push(readFileSync(restored.logFile, "utf8"));
      await restored.remove();
      rmSync(join(dataPath, ".."), { recursive: true, force: true });
    }
  }

  /**
   * Searches the files of logs, locks, spools and PostgreSQL, and all output, for planted secrets. An empty result
   * means no leak.
   */
  findLeaks(): string[] {
    const folders = ["lock", "log", "spool", "pg", "side"].filter((name) => existsSync(join(this.folder, name)));
    const files = folders.flatMap((name) =>
      findSecrets(join(this.folder, name), this.secrets).map((path) => join(name, path)),
    );
    const outputs = this.printed
      .filter((text) => holdsSecret(text, this.secrets))
      .map((text) => `output: ${text.slice(0, 200)}`);
    return [...files, ...outputs];
  }

  /** The text of all log files of ours and stock. */
  logs(): string {
    return readdirSync(join(this.folder, "log"))
      .map((name) => readFileSync(join(this.folder, "log", name), "utf8"))
      .join("\n");
  }

  /** Starts PostgreSQL, and creates the stanza in every repository. */
  async startWithStanza(): Promise<void> {
    await this.cluster.start();
    await this.oursOk(["stanza-create"]);
  }

  /** Stops the server immediately, ends what still works in the background, and removes the folder. */
  async remove(): Promise<void> {
    await this.cluster.remove();
    await endProcesses(this.folder);
    for (const folder of [this.folder, dirname(this.configPath)]) rmSync(folder, { recursive: true, force: true });
  }

  /** Oids of the tablespaces; there is at most one. */
  #tablespaces(): string[] {
    return readdirSync(join(this.cluster.dataPath, "pg_tblspc"));
  }

  #keep(result: RunResult): RunResult {
    this.printed.push(result.stdout, result.stderr);
    return result;
  }
}

/** @throws Error with the end of the output if the exit code is not 0 */
export function requireOk(what: string, result: RunResult): RunResult {
  if (result.exitCode === 0) return result;
  throw new Error(
    `${what} ended with exit code ${result.exitCode}\n${`${result.stdout}\n${result.stderr}`.trim().split("\n").slice(-30).join("\n")}`,
  );
}

interface RepoPlan {
  readonly options: Record<string, string>;
  readonly settings: Record<string, object>;
  readonly secrets: string[];
}

function planRepos(folder: string, repos: readonly BedRepo[], cluster: TestCluster): RepoPlan {
  const plan: RepoPlan = { options: {}, settings: {}, secrets: [] };
  repos.forEach((repo, index) => {
    const key = index + 1;
    const own: Record<string, string> = { ...repo.options };
    if (repo.sftp !== undefined)
      Object.assign(own, repo.sftp.repositoryOptions(), { path: join(folder, `repo${key}`) }, repo.options);
    else if (repo.azure !== undefined) {
      const options = repo.azure.repositoryOptions();
      const caFile = copyCa(folder, key, repo.azure.caFile);
      Object.assign(own, { path: "/repo", ...options, "storage-ca-file": caFile, ...repo.options });
      plan.secrets.push(repo.azure.accountKey);
    } else if (repo.gcs !== undefined) {
      const options = repo.gcs.repositoryOptions();
      const caFile = copyCa(folder, key, repo.gcs.caFile);
      Object.assign(own, { path: "/repo", ...options, "storage-ca-file": caFile, ...repo.options });
      plan.secrets.push(repo.gcs.token);
    } else if (repo.s3 === undefined) {
      own["path"] = join(folder, `repo${key}`);
      mkdirSync(own["path"], { mode: 0o750 });
      giveTo(own["path"], cluster.user);
    } else {
      const caFile = copyCa(folder, key, repo.s3.caFile);
      Object.assign(own, { path: "/repo", ...repo.s3.repositoryOptions(), "storage-ca-file": caFile, ...repo.options });
      plan.secrets.push(repo.s3.secretKey, repo.s3.accessKey);
    }
    if (repo.encrypted === true) {
      own["cipher-type"] = "aes-256-cbc";
      own["cipher-pass"] = `marker${randomBytes(24).toString("hex")}`;
      plan.secrets.push(own["cipher-pass"]);
    }
    for (const [name, value] of Object.entries(own)) plan.options[`repo${key}-${name}`] = value;
    const { compressType = "gz" } = repo;
    // gzip's usual level takes three times the processor time of the lowest, in each backup and each segment.
    plan.settings[`repo${key}`] = { compressType, ...(compressType === "gz" ? { compressLevel: 1 } : {}) };
  });
  return plan;
}

/** PostgreSQL's account cannot enter the folder with the server's own copy. */
function copyCa(folder: string, key: number, caFile: string): string {
  const copy = join(folder, `repo${key}-ca.crt`);
  copyFileSync(caFile, copy);
  return copy;
}

/** Outside of the account's folder: root obeys only what root alone can change. */
function configPathOf(folder: string): string {
  return join(`${folder}-config`, "host");
}

/** `pg_ctl` with the options of the bed's server. */
export function pgCtlCommand({ cluster, folder }: TestBed, args: readonly string[]): string[] {
  const options = `-c unix_socket_directories=${cluster.socketPath} -c port=${cluster.port} -c listen_addresses=`;
  const start = args[0] === "start" ? ["-o", options, "-l", join(folder, "server.log")] : [];
  return [join(cluster.binaries.folder, "pg_ctl"), ...args, "-D", cluster.dataPath, "-w", ...start];
}

/** Starts or stops a bed's server as nobody's child: `recover` may stop it, which the harness would miss. */
export async function pgCtl(bed: TestBed, args: readonly string[]): Promise<RunResult> {
  const [program = "", ...rest] = pgCtlCommand(bed, args);
  return requireOk(`pg_ctl ${args.join(" ")}`, await run(program, rest, { user: bed.cluster.user, cwd: bed.folder }));
}
