/**
 * The life of a real server with two repositories, and a ledger of its commits: backups, outages, crashes, recoveries
 * into the past and their undo, failovers, copies that archive beside it, and losses. What a recovery must give follows
 * from the ledger alone.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../context";
import { bringBack, takeAway } from "../network/outage";
import { dropTemplates } from "./sampleData";
import { pgCtl, pgCtlCommand, TestBed } from "./testBed";
import { runOk, type RunResult, sleep, waitFor } from "../../../tools/parts/process";
import type { PostgresBinaries } from "../../../tools/parts/postgres/postgres";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { giveTo, makeUserFolder } from "../../../tools/parts/users";

const KEYS = [1, 2] as const;
const RECOVERY_MS = 120_000;
const HURT_MS = 15_000;
const STEP_S = 600;
/** Of a moment before the first backup. */
const NO_BACKUP = 75;
const SERVER_DOWN = 38;
const STATUS_TROUBLE = 104;
/** Ids of production's rows in their order; a copy's are negative. */
export const ROWS = "SELECT coalesce(string_agg(id::text, ',' ORDER BY abs(id)), '') FROM kept";

/** A commit, and a moment right after it. */
interface Commit {
  readonly id: number;
  readonly time: string;
}

export class RealLife {
  readonly bed: TestBed;
  readonly draw: (count: number) => number;
  /** What production has, in its order. */
  commits: readonly Commit[] = [];
  /** So many of them are in WAL that a repository has. */
  storedCount = 0;
  /** Something was lost that no server replaces. */
  isHurt = false;
  /** Nothing recovers the server any more. */
  isOver = false;
  hasCopies = false;
  /** What happened, for a finding. */
  readonly steps: string[] = [];
  readonly elsewhere: string;
  /** A host that takes production's place, with nothing but the repositories. */
  readonly #successor: string;
  /** Commands that start the server, which nobody knows once its directory is empty. */
  readonly #managed: string;
  readonly #out = new Set<number>();
  readonly #binaries: PostgresBinaries;
  #copy: TestCluster | null = null;
  /** Production has archived nothing since the copy began: nobody elsewhere can tell them apart. */
  #isSilent = false;
  #before: readonly Commit[] | null = null;
  #nextId = 1;
  readonly #sideFolder = makeUserFolder("pgb-side-");
  #sideCount = 0;

  private constructor(bed: TestBed, binaries: PostgresBinaries, seed: number) {
    this.bed = bed;
    this.#binaries = binaries;
    const random = seededRandom(seed);
    this.draw = (count) => {
      const [high = 0, low = 0] = random.bytes(2);
      return (high * 256 + low) % count;
    };
    const global = { "lock-path": join(bed.folder, "lock2"), "spool-path": join(bed.folder, "spool2") };
    const stanza = { "pg1-path": join(bed.folder, "nowhere"), "pg1-socket-path": bed.folder };
    this.elsewhere = bed.variant("elsewhere", { global, stanza });
    this.#successor = bed.variant("successor", { global });
    const [stop, start] = [pgCtlCommand(bed, ["stop", "-m", "fast"]), pgCtlCommand(bed, ["start"])];
    this.#managed = bed.variant("managed", { settings: { postgres: { stop, start } } });
  }

  static async begin(binaries: PostgresBinaries, seed: number): Promise<RealLife> {
    const bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "lz4" }, { compressType: "zst", encrypted: true, options: { bundle: "y", block: "y" } }],
      acknowledge: "any",
      walSegmentSizeMb: 1,
      settings: { wal_keep_size: 0, min_wal_size: "2MB", max_wal_size: "32MB" },
      global: { "archive-timeout": "20", "repo1-retention-full": "3", "repo2-retention-full": "5" },
    });
    const life = new RealLife(bed, binaries, seed);
    await pgCtl(bed, ["start"]);
    await bed.oursOk(["stanza-create"]);
    await dropTemplates(bed);
    await bed.cluster.sql("CREATE TABLE kept (id int PRIMARY KEY)");
    await life.write();
    await bed.oursOk(["backup", "--type=full"]);
    await life.archive();
    return life;
  }

  async end(): Promise<void> {
    await this.stopCopy();
    await pgCtl(this.bed, ["stop", "-m", "immediate"]).catch(() => undefined);
    await this.bed.remove();
    rmSync(this.#sideFolder, { recursive: true, force: true });
  }

  /** All repositories answer. */
  get isCalm(): boolean {
    return this.#out.size === 0;
  }

  /** The archive shows two histories, and production's is not the one that was written last. */
  get isMistakable(): boolean {
    return this.hasCopies && this.#isSilent;
  }

  get total(): number {
    return this.commits.length;
  }

  /** What the rows of a server are if it has the first `count` commits, and nothing else. */
  rowsOf(count: number): string {
    return this.commits
      .slice(0, count)
      .map(({ id }) => id)
      .join(",");
  }

  /** How many of production's commits these rows are; null if they are something else. */
  countOf(rows: string): number | null {
    const count = rows === "" ? 0 : rows.split(",").length;
    return this.rowsOf(count) === rows && count <= this.total ? count : null;
  }

  rows(cluster: TestCluster = this.bed.cluster): Promise<string> {
    return cluster.value(ROWS);
  }

  async write(): Promise<void> {
    const client = await this.bed.cluster.connect();
    try {
      for (let left = 1 + this.draw(6); left > 0; left--) {
        const id = this.#nextId++;
        await client.query(`INSERT INTO kept VALUES (${id})`);
        const { rows } = await client.query<{ time: string }>("SELECT clock_timestamp()::text AS time");
        this.commits = [...this.commits, { id, time: rows[0]?.time ?? "" }];
        // The next commit is another moment.
        await sleep(3);
      }
    } finally {
      await client.end();
    }
  }

  /** Does nothing while no repository answers. */
  async archive(): Promise<void> {
    if (this.#out.size === KEYS.length) return;
    const { bed, total } = this;
    await bed.cluster.sql("SELECT pg_create_restore_point('archive all')");
    const name = await bed.cluster.switchWal();
    // What was lost may be what archiving needs.
    const isArchived = await this.#archived(bed.cluster, bed.walFile(""), name);
    if (!isArchived) return;
    this.storedCount = total;
    this.#isSilent = false;
  }

  async backup(): Promise<void> {
    const type = ["full", "diff", "incr"][this.draw(3)] ?? "full";
    const { exitCode, stderr, stdout } = await this.bed.ours(["backup", `--type=${type}`]);
    this.steps.push(`${type}: ${exitCode}`);
    if (exitCode !== 0 && this.isCalm && !this.isHurt) throw new Error(`backup: ${exitCode} ${stdout}${stderr}`);
    if (exitCode === 0) [this.storedCount, this.#isSilent] = [this.total, false];
  }

  async crash(): Promise<void> {
    await pgCtl(this.bed, ["stop", "-m", "immediate"]);
    await pgCtl(this.bed, ["start"]);
  }

  /** A repository stops answering, or answers again and gets what it lacks. */
  async toggle(): Promise<void> {
    const key = 1 + this.draw(2);
    const path = this.bed.repoPath(key);
    if (this.#out.delete(key)) {
      bringBack(path);
      await this.archive();
      const { exitCode } = await this.bed.ours(["heal"]);
      return void this.steps.push(`repo${key} is back, heal ${exitCode}`);
    }
    takeAway(path, this.draw(2) === 0 ? "blocked" : "unmounted", this.bed.cluster.user);
    this.#out.add(key);
    this.steps.push(`repo${key} is away`);
  }

  /** To a moment whose commits are stored; the data before it are kept for an undo. */
  async goBack(): Promise<void> {
    if (this.#out.size === KEYS.length || this.storedCount < 2) return;
    await this.archive();
    const before = this.commits;
    const count = Math.max(1, this.storedCount - 1 - this.draw(8));
    const target = before[count - 1]?.time ?? "";
    const more = ["--type=time", `--target=${target}`, "--target-action=promote"];
    if (!(await this.#recover(more))) return;
    this.commits = before.slice(0, count);
    this.#before = before;
    await this.#settle(`back to ${count}`);
  }

  async undo(): Promise<void> {
    if (this.#before === null || this.#out.size === KEYS.length) return;
    if (!(await this.#recover(["--undo"]))) return;
    this.commits = this.#before;
    this.#before = null;
    await this.#settle("undone");
  }

  async recoverToEnd(): Promise<void> {
    if (this.#out.size === KEYS.length) return;
    if (!(await this.#recover([]))) return;
    this.#before = this.commits;
    await this.#settle("to the end");
  }

  /** The server dies with what it has not archived, and a restored one takes its place. */
  async failOver(): Promise<void> {
    if (!this.isCalm || this.hasCopies) return;
    const { cluster } = this.bed;
    const wasWell = (await this.bed.ours(["status"], { config: this.elsewhere })).exitCode === 0;
    await pgCtl(this.bed, ["stop", "-m", "immediate"]);
    const dead = `${cluster.dataPath}.dead`;
    renameSync(cluster.dataPath, dead);
    mkdirSync(cluster.dataPath, { mode: 0o700 });
    giveTo(cluster.dataPath, cluster.user);
    const { exitCode } = await this.bed.ours(["restore"], { config: this.#successor });
    const [lost, left] = exitCode === 0 ? [dead, null] : [cluster.dataPath, dead];
    rmSync(lost, { recursive: true });
    if (left !== null) renameSync(left, cluster.dataPath);
    this.steps.push(`failover: ${exitCode}`);
    if (exitCode !== 0 && (!this.isHurt || wasWell)) throw new Error(`no failover: ${exitCode}`);
    if (!(await this.#started(wasWell)) || exitCode !== 0) return;
    await cluster.waitForRecovery();
    const count = this.countOf(await this.rows());
    if (count === null || (count < this.storedCount && !this.isHurt))
      throw new Error(`failover: ${await this.rows()}, stored are ${this.storedCount} of ${this.rowsOf(this.total)}`);
    this.commits = this.commits.slice(0, count);
    this.#before = null;
    await this.archive();
  }

  /** Somebody restores the archive elsewhere, and lets the copy archive here. */
  async copy(): Promise<void> {
    if (!this.isCalm || this.isHurt || this.#copy !== null) return;
    const { dataPath, exitCode } = await this.#restoreElsewhere();
    this.steps.push(`copy: ${exitCode}`);
    if (exitCode !== 0) return;
    const command = this.bed.oursCommand([`--pg1-path=${dataPath}`, "archive-push", "%p"]);
    const copy = TestCluster.adopt({ binaries: this.#binaries, dataPath });
    this.#copy = copy;
    const program = [this.bed.runtime.node, ...command, "# pgbackrest"].join(" ");
    await copy.start({ archive_mode: "on", archive_command: program }, { timeoutMs: RECOVERY_MS });
    await copy.waitForRecovery();
    await this.writeCopy();
  }

  async writeCopy(): Promise<void> {
    if (this.#copy === null || !this.isCalm) return;
    await this.#copy.sql("INSERT INTO kept SELECT coalesce(min(id), 0) - 1000 FROM kept WHERE id < 0");
    const name = await this.#copy.switchWal();
    await this.#archived(this.#copy, join(this.#copy.dataPath, "pg_wal"), name);
    this.hasCopies = true;
    this.#isSilent = true;
  }

  async stopCopy(): Promise<void> {
    await this.#copy?.remove();
    this.#copy = null;
  }

  /** Something removes stored WAL. */
  loseWal(): void {
    const key = 1 + this.draw(2);
    const archive = join(this.bed.repoPath(key), "archive", this.bed.stanza);
    if (this.#out.has(key)) return;
    const stored = readdirSync(archive, { recursive: true, encoding: "utf8" }).filter((path) =>
      /[0-9A-F]{24}-[0-9a-f]{40}/.test(path),
    );
    const path = stored[this.draw(Math.max(1, stored.length))];
    if (path === undefined) return;
    rmSync(join(archive, path));
    this.isHurt = true;
    this.steps.push(`repo${key} loses ${path}`);
  }

  loseInfo(): void {
    const key = 1 + this.draw(2);
    if (this.#out.has(key)) return;
    const kind = this.draw(2) === 0 ? "archive" : "backup";
    for (const end of ["", ".copy"])
      rmSync(join(this.bed.repoPath(key), kind, this.bed.stanza, `${kind}.info${end}`), { force: true });
    this.isHurt = true;
    this.steps.push(`repo${key} loses ${kind}.info`);
  }

  /** Somebody keeps a copy of a repository, and puts it back at the next call. */
  async putBack(): Promise<void> {
    const key = 1 + this.draw(2);
    const [path, kept] = [this.bed.repoPath(key), `${this.bed.repoPath(key)}.kept`];
    if (this.#out.has(key)) return;
    if (!existsSync(kept)) return void (await runOk("cp", ["-a", path, kept]));
    rmSync(path, { recursive: true });
    renameSync(kept, path);
    this.isHurt = true;
    this.steps.push(`repo${key} is put back`);
  }

  /** A byte of a stored backup changes, and `verify` runs here and elsewhere. */
  async damage(): Promise<void> {
    const key = 1 + this.draw(2);
    const root = join(this.bed.repoPath(key), "backup", this.bed.stanza);
    if (this.#out.has(key) || !this.isCalm) return;
    const stored = readdirSync(root, { recursive: true, encoding: "utf8" }).filter(
      (path) => /\/(pg_data|bundle)\//.test(path) && statSync(join(root, path)).isFile(),
    );
    const path = stored[this.draw(Math.max(1, stored.length))];
    if (path === undefined) return;
    const bytes = readFileSync(join(root, path));
    const at = this.draw(Math.max(1, bytes.length));
    bytes[at] = (bytes[at] ?? 0) ^ 0x55;
    writeFileSync(join(root, path), bytes);
    this.isHurt = true;
    const exits = [];
    for (const config of [{}, { config: this.elsewhere }])
      exits.push((await this.bed.ours(["verify"], config)).exitCode);
    this.steps.push(`repo${key} has damage in ${path}: verify ${exits.join()}`);
  }

  /** The data directory is emptied, and `recover` brings back what is stored. */
  async die(): Promise<void> {
    if (this.#out.size === KEYS.length || this.hasCopies) return;
    const { cluster } = this.bed;
    await pgCtl(this.bed, ["stop", "-m", "immediate"]);
    for (const name of readdirSync(cluster.dataPath)) rmSync(join(cluster.dataPath, name), { recursive: true });
    await this.#requireTrouble("an empty data directory");
    this.#before = null;
    if (!(await this.#recover([], { config: this.#managed, hasServer: false }))) {
      this.isOver = true;
      return;
    }
    const count = this.countOf(await this.rows());
    if (count === null || (count < this.storedCount && !this.isHurt))
      throw new Error(
        `after a death: ${await this.rows()}, stored are ${this.storedCount} of ${this.rowsOf(this.total)}`,
      );
    this.commits = this.commits.slice(0, count);
    await this.#settle("alive again");
  }

  /** Somebody lets PostgreSQL throw its WAL away for a while. */
  async bypass(): Promise<void> {
    const { cluster } = this.bed;
    const command = await cluster.value("SHOW archive_command");
    const reload = async (value: string): Promise<void> => {
      await cluster.alterSystem({ archive_command: value });
      await waitFor("the archiver's new settings", RECOVERY_MS, async () =>
        (await cluster.value("SHOW archive_command")) === value ? true : null,
      );
    };
    await reload("/bin/true");
    await this.write();
    await cluster.switchWal();
    await this.#requireTrouble("an archive_command that archives nothing");
    await reload(command);
    this.isHurt = true;
  }

  /** Somebody stops writing commands, and starts them again. */
  async halt(): Promise<void> {
    await this.bed.oursOk(["stop"]);
    await this.#requireTrouble("a stop file");
    await this.bed.oursOk(["start"]);
  }

  async #requireTrouble(fact: string): Promise<void> {
    const { exitCode, stdout } = await this.bed.ours(["status"]);
    if (exitCode !== STATUS_TROUBLE) throw new Error(`status with ${fact}: ${exitCode} ${stdout}`);
  }

  async expire(): Promise<void> {
    const { exitCode } = await this.bed.ours(["expire"]);
    this.steps.push(`expire: ${exitCode}`);
  }

  /** Time passes for what is stored: segments that were sent at once may arrive in any order for five minutes. */
  age(): void {
    for (const key of KEYS.filter((each) => !this.#out.has(each))) {
      const archive = join(this.bed.repoPath(key), "archive", this.bed.stanza);
      for (const path of readdirSync(archive, { recursive: true, encoding: "utf8" })) {
        const agedS = statSync(join(archive, path)).mtimeMs / 1000 - STEP_S;
        utimesSync(join(archive, path), agedS, agedS);
      }
    }
  }

  /** What a restore on another machine gives: rows, or how it ended. */
  async restored(args: readonly string[]): Promise<{ readonly exitCode: number; readonly text: string }> {
    const { dataPath, ...result } = await this.#restoreElsewhere("--archive-mode=off", ...args);
    try {
      if (result.exitCode !== 0) return { exitCode: result.exitCode, text: tailOf(result) };
      const cluster = TestCluster.adopt({ binaries: this.#binaries, dataPath });
      try {
        await cluster.start({}, { timeoutMs: RECOVERY_MS });
        await cluster.waitForRecovery();
        return { exitCode: 0, text: await this.rows(cluster) };
      } catch (error) {
        return { exitCode: 1, text: `${String(error)}\n${cluster.logTail()}` };
      } finally {
        await cluster.remove();
      }
    } finally {
      rmSync(dataPath, { recursive: true, force: true });
    }
  }

  /** Does something to a copy of the whole world, and puts the world back. */
  async inCopy<T>(work: () => Promise<T>): Promise<T> {
    const { folder } = this.bed;
    const world = `${folder}.world`;
    await pgCtl(this.bed, ["stop", "-m", "immediate"]);
    await runOk("cp", ["-a", folder, world]);
    try {
      await pgCtl(this.bed, ["start"]);
      return await work();
    } finally {
      await pgCtl(this.bed, ["stop", "-m", "immediate"]).catch(() => undefined);
      rmSync(folder, { recursive: true });
      renameSync(world, folder);
      await pgCtl(this.bed, ["start"]);
    }
  }

  async #recover(
    args: readonly string[],
    { config = this.bed.configPath, hasServer = true }: { readonly config?: string; readonly hasServer?: boolean } = {},
  ): Promise<boolean> {
    const result = await this.bed.ours(["recover", "--yes", ...args], { config });
    this.steps.push(`recover ${args.join(" ")}: ${result.exitCode}`);
    if (isOpen(result)) return true;
    // A refusal changes nothing. A failure after the stop leaves a server that is down.
    if (!this.isHurt && this.isCalm && result.exitCode !== NO_BACKUP) throw new Error(`recover: ${tailOf(result)}`);
    if (result.exitCode === SERVER_DOWN && !this.isHurt) throw new Error(`recover: ${tailOf(result)}`);
    if (hasServer) await this.#started(false);
    return false;
  }

  /** False for a server that does not start in a world that status has called damaged: this life is over. */
  async #started(wasWell: boolean): Promise<boolean> {
    const { exitCode, stdout } = await pgCtl(this.bed, ["status"]).catch(() => ({ exitCode: 3, stdout: "" }));
    try {
      if (exitCode !== 0) await pgCtl(this.bed, ["start"]);
      // A recovery may end its server after the start.
      await this.bed.cluster.waitForRecovery();
      return true;
    } catch (error) {
      if (!this.isHurt || wasWell)
        throw new Error(`${String(error)} ${stdout}${this.#serverLogTail()}`, { cause: error });
      this.steps.push("the server does not start");
      this.isOver = true;
      return false;
    }
  }

  #serverLogTail(): string {
    const path = join(this.bed.folder, "server.log");
    return existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(-15).join("\n") : "";
  }

  async #settle(what: string): Promise<void> {
    const rows = await this.rows();
    if (rows !== this.rowsOf(this.total)) throw new Error(`${what}: ${rows} instead of ${this.rowsOf(this.total)}`);
    this.storedCount = 0;
    await this.archive();
  }

  async #archived(cluster: TestCluster, folder: string, name: string): Promise<boolean> {
    const isThere = (file: string): boolean => existsSync(join(folder, file));
    const archived = waitFor(`archiving of ${name}`, this.isHurt ? HURT_MS : RECOVERY_MS, async () => {
      if (isThere(`archive_status/${name}.done`)) return true;
      if (!isThere(`archive_status/${name}.ready`) && !isThere(name)) return true;
      // PostgreSQL's archiver waits a minute after three failures, unless it is called.
      await cluster.sql("SELECT pg_reload_conf()");
      return null;
    });
    return this.isHurt ? archived.catch(() => false) : archived;
  }

  async #restoreElsewhere(...args: readonly string[]): Promise<RunResult & { readonly dataPath: string }> {
    const dataPath = this.#sidePath();
    const result = await this.bed.ours(["restore", `--pg1-path=${dataPath}`, ...args], { config: this.elsewhere });
    return { ...result, dataPath };
  }

  /** Outside of the bed's folder, so that a copy of the world leaves a running copy alone. */
  #sidePath(): string {
    const dataPath = join(this.#sideFolder, String(++this.#sideCount));
    mkdirSync(dataPath, { mode: 0o700 });
    giveTo(dataPath, this.bed.cluster.user);
    return dataPath;
  }
}

/** `check` at its end may still say that a repository does not answer. */
export function isOpen({ stdout }: RunResult): boolean {
  return /^The server of .* is open\b/m.test(stdout);
}

function tailOf({ exitCode, stderr, stdout }: RunResult): string {
  return `[${exitCode}] ${`${stdout}\n${stderr}`.trim().split("\n").slice(-12).join("\n")}`;
}
