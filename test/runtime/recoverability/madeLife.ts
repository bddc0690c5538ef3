/**
 * A cluster's life on two repositories in memory, with a ledger of what its server wrote, on which timeline, and where
 * it is stored: by names, as every judgement about what can be recovered. Recovery here is PostgreSQL's rule in a few
 * lines of its own, after the choice that the runtime makes.
 */
import { BackupError } from "../../../runtime/base/errors";
import { backupInfoPath, archiveInfoPath } from "../../../runtime/format/repository/repoPath";
import { formatLsn, historyName, segmentOfLsn } from "../../../runtime/format/wal/walSegment";
import { loadTimelines } from "../../../runtime/operations/restore/timelines";
import { selectBackup } from "../../../runtime/operations/restore/select";
import { collectStatus, type StatusReport } from "../../../runtime/operations/info/status";
import { factsOf } from "../../../runtime/recoverability/facts";
import type { ServerHistory } from "../../../runtime/recoverability/followedTimeline";
import { loadBackupInfo, saveBackupInfo } from "../../../runtime/repository/infoStore";
import type { Repository } from "../../../runtime/repository/repository";
import { testContext } from "../../harness/context";
import { MemoryStorage } from "../../harness/doubles/storages";
import { entryOf, makeStanza, SYSTEM_ID } from "../../harness/madeRepository";
import { statusInput } from "../operations/info/statusInput";
import { repository } from "../repository/support";

const SIZE = 16 * 1024 * 1024;
const ARCHIVE = "archive/demo/18-1";
const SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
const BEGAN_S = Date.UTC(2026, 10, 1) / 1000;
const ENTRY = entryOf({ label: "20261101-000000F", wal: ["000000010000000000000001", "000000010000000000000001"] });
const KEYS = [1, 2] as const;
/** All in one directory of each timeline, so that `status` looks at everything. */
const SEGMENTS_MAX = 200;

interface Branch {
  readonly parent: number;
  /** First segment of the timeline; those before are the parent's. */
  readonly fork: number;
}

export interface Recovered {
  /** True if every row that production has archived is there, and no other. */
  readonly isExact: boolean;
  /** True if every row is there whose WAL some repository has, and no other. */
  readonly hasAllStored: boolean;
  readonly text: string;
}

export class Life {
  nowS = BEGAN_S;
  timeline = 1;
  /** Production's next segment. */
  next = 1;
  readonly repos: readonly Repository[];
  /** Something was lost that no server replaces. */
  isHurt = false;
  hasCopies = false;
  readonly #storages: readonly MemoryStorage[];
  readonly #branches = new Map<number, Branch>([[1, { parent: 0, fork: 1 }]]);
  readonly #copies: { timeline: number; next: number }[] = [];
  readonly #out = new Set<number>();
  /** WAL files that a repository lacks, and this host has recorded. */
  readonly #missing = new Map<number, string[]>(KEYS.map((key) => [key, []]));
  readonly #snapshots = new Map<number, MemoryStorage["files"]>();
  /** In production's pg_wal only. */
  #waiting: string[] = [];
  #archived = "";
  #archivedAtS = 0;
  #copiedAtS = 0;
  #before: { readonly timeline: number; readonly next: number } | null = null;

  private constructor() {
    this.#storages = KEYS.map((key) => new MemoryStorage({ name: `memory${key}`, nowMs: () => this.nowS * 1000 }));
    this.repos = KEYS.map((key, index) => repository(key, { storage: this.#storages[index] as MemoryStorage }));
  }

  static async begin(): Promise<Life> {
    const life = new Life();
    for (const repo of life.repos) await makeStanza(repo, { versions: ["18"], backups: [], wal: {} });
    await life.write(1);
    await life.backup();
    return life;
  }

  get canWrite(): boolean {
    return this.next < SEGMENTS_MAX;
  }

  async write(count: number): Promise<void> {
    const names = Array.from({ length: count }, () => nameOf(this.timeline, this.next++));
    await this.#archive(names);
  }

  /** Into the repositories that answer, after the WAL before it. */
  async backup(): Promise<void> {
    if (this.#out.size === KEYS.length || this.#waiting.length > 0) return;
    const name = nameOf(this.timeline, this.next);
    const lsn = BigInt(this.next) * BigInt(SIZE);
    await this.write(1);
    const label = `${new Date(this.nowS * 1000).toISOString().replace(/[-:]/g, "").replace("T", "-").slice(0, 15)}F`;
    const entry = {
      ...ENTRY,
      label,
      archiveStart: name,
      archiveStop: name,
      lsnStart: formatLsn(lsn + 40n),
      lsnStop: formatLsn(lsn + 400n),
      startedAtS: this.nowS - 30,
      stoppedAtS: this.nowS,
    };
    for (const repo of this.repos.filter(({ key }) => !this.#out.has(key))) {
      const info = await loadBackupInfo(repo).catch(() => null);
      if (info !== null) await saveBackupInfo(repo, { ...info, backups: [...info.backups, entry] }, testContext());
    }
  }

  /** A standby that has all WAL goes on; what the old primary has not archived is in no repository. */
  async failOver(): Promise<void> {
    if (this.#out.size === KEYS.length) return;
    this.isHurt ||= this.#waiting.length > 0;
    this.#waiting = [];
    await this.#branchOff(this.next);
  }

  /** A recovery to an earlier segment of this timeline. */
  async goBack(count: number): Promise<void> {
    const { fork } = this.#branchOf(this.timeline);
    if (this.#out.size === KEYS.length || this.next - count <= fork + 1 || this.isHurt) return;
    this.#before = { timeline: this.timeline, next: this.next };
    this.#waiting = [];
    await this.#branchOff(this.next - count);
  }

  /** The undo of the last recovery: the data before it go on. */
  async undo(): Promise<void> {
    if (this.#before === null || this.#out.size === KEYS.length) return;
    ({ timeline: this.timeline, next: this.next } = this.#before);
    this.#waiting = [];
    await this.#branchOff(this.next);
  }

  /** Somebody restores the archive elsewhere, and lets the copy archive here. */
  async copy(back: number): Promise<void> {
    const first = this.#branchOf(this.timeline).fork + 1;
    const fork = Math.max(first, this.next - this.#waiting.length - back);
    if (this.#out.size > 0 || fork > this.next) return;
    const timeline = this.#newTimeline(this.timeline, fork);
    this.#copies.push({ timeline, next: fork });
    this.hasCopies = true;
    this.#copiedAtS = this.nowS;
    for (const storage of this.#storages) await putHistory(storage, timeline, this.#historyOf(timeline));
    await this.writeCopy(this.#copies.length - 1);
  }

  async writeCopy(index: number): Promise<void> {
    const copy = this.#copies[index % Math.max(1, this.#copies.length)];
    if (copy === undefined || this.#out.size > 0) return;
    const name = nameOf(copy.timeline, copy.next++);
    for (const storage of this.#storages) await put(storage, name);
  }

  stopCopies(): void {
    this.#copies.length = 0;
  }

  /** A repository does not answer, or answers again and gets what it lacks. */
  async toggle(key: number): Promise<void> {
    if (!this.#out.delete(key)) return void this.#out.add(key);
    for (const name of this.#missing.get(key)?.splice(0) ?? []) await this.#putMissing(key, name);
    const waiting = this.#waiting;
    this.#waiting = [];
    await this.#archive(waiting);
  }

  /** Something removes a stored segment. */
  async lose(key: number, index: number): Promise<void> {
    const storage = this.#storage(key);
    const stored = storage.paths().filter((path) => path.startsWith(`${ARCHIVE}/`) && path.endsWith(SHA1));
    const path = stored[index % Math.max(1, stored.length)];
    if (path === undefined) return;
    this.isHurt = true;
    await storage.remove(path);
  }

  async loseInfo(key: number, which: "archive" | "backup"): Promise<void> {
    const path = which === "archive" ? archiveInfoPath("demo") : backupInfoPath("demo");
    this.isHurt = true;
    for (const each of [path, `${path}.copy`]) await this.#storage(key).remove(each);
  }

  /** Somebody puts a repository back to what it was at the last call. */
  putBack(key: number): void {
    const { files } = this.#storage(key);
    const before = this.#snapshots.get(key);
    if (before === undefined || this.#out.size > 0) return void this.#snapshots.set(key, new Map(files));
    this.isHurt = true;
    files.clear();
    for (const [path, file] of before) files.set(path, file);
  }

  /** True where nobody can tell a copy from production: production has been silent since the copy began. */
  get isMistakable(): boolean {
    return this.hasCopies && this.#copiedAtS >= this.#archivedAtS;
  }

  /** All repositories answer, and have everything. */
  get isCalm(): boolean {
    return this.#out.size === 0 && this.#waiting.length === 0;
  }

  /** On production's host, or on a machine without it. */
  status(isOnHost: boolean): Promise<StatusReport> {
    return collectStatus(
      statusInput(factsOf(this.repos), this.nowS, {
        missingWal: (key) => this.#missing.get(key) ?? [],
        waiting: { count: this.#waiting.length, oldestAtS: this.#waiting.length === 0 ? null : this.nowS - 3600 },
        ...(isOnHost ? { server: { dataDirectory: "/data", systemId: SYSTEM_ID, archived: this.#archived } } : {}),
        history: async () => (isOnHost ? this.#server() : null),
      }),
    );
  }

  /** What a default recovery from these repositories gives. */
  async recover(keys: readonly number[], isOnHost: boolean): Promise<Recovered> {
    const repos = this.repos.filter(({ key }) => keys.includes(key));
    const candidates = await Promise.all(
      repos.map(async (repo) => {
        const info = await loadBackupInfo(repo).catch((error: unknown) => error as BackupError);
        return info instanceof BackupError
          ? { repo, repoIndex: repo.key, info: null, error: info }
          : { repo, repoIndex: repo.key, info, error: null };
      }),
    );
    const open = candidates.flatMap(({ info, repo }) => (info === null ? [] : [{ info, repo }]));
    const server = isOnHost ? this.#server() : null;
    const asked = { type: "default", targetTimeline: undefined, set: undefined, server } as const;
    try {
      const timelines = await loadTimelines(open, asked, testContext());
      const { entry, timeline } = selectBackup(candidates, {
        set: undefined,
        type: "default",
        target: undefined,
        targetTimeS: null,
        timelines,
      });
      return this.#replay(keys, entry.archiveStart ?? "", entry.archiveStop ?? "", timeline?.option);
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      return { isExact: false, hasAllStored: false, text: `[${error.exitCode}] ${error.message}` };
    }
  }

  /** PostgreSQL ends at the first segment that it does not find, and needs the WAL of its backup. */
  #replay(keys: readonly number[], start: string, stop: string, option: string | undefined): Recovered {
    const storages = keys.map((key) => this.#storage(key));
    const has = (path: string): boolean => storages.some(({ files }) => files.has(path));
    // Without archive.info, archive-get finds nothing.
    const readable = storages.filter(({ files }) => files.has(archiveInfoPath("demo")));
    const isStored = (name: string): boolean => readable.some(({ files }) => files.has(pathOf(name)));
    let goal = Number.parseInt(start.slice(0, 8), 16);
    if (option !== undefined && option !== "latest") goal = Number(option);
    else if (option === "latest") while (has(`${ARCHIVE}/${historyName(goal + 1)}`)) goal++;
    let position = Number.parseInt(start.slice(16), 16);
    while (isStored(nameOf(this.#timelineAt(goal, position), position))) position++;
    const isConsistent = position > Number.parseInt(stop.slice(16), 16);
    const end = this.next - this.#waiting.length;
    const isSame = (at: number): boolean => this.#timelineAt(goal, at) === this.#timelineAt(this.timeline, at);
    const isOwn = isConsistent && position <= this.next && range(1, position).every(isSame);
    const isAnywhere = (at: number): boolean => {
      const path = pathOf(nameOf(this.#timelineAt(this.timeline, at), at));
      return this.#storages.some(({ files }) => files.has(path));
    };
    return {
      isExact: isOwn && position >= end,
      hasAllStored: isOwn && !range(position, this.next).some(isAnywhere),
      text: `timeline ${goal} up to ${position - 1} of ${end - 1}${isConsistent ? "" : ", inconsistent"}`,
    };
  }

  #server(): ServerHistory {
    const lsn = BigInt(this.next) * BigInt(SIZE);
    const ancestors = this.#ancestorsOf(this.timeline);
    return { systemId: SYSTEM_ID, timeline: this.timeline, lsn, isRunning: true, ancestors };
  }

  async #branchOff(fork: number): Promise<void> {
    this.timeline = this.#newTimeline(this.timeline, fork);
    this.next = fork;
    await this.#archive([historyName(this.timeline)]);
    await this.write(1);
  }

  #newTimeline(parent: number, fork: number): number {
    const timeline = Math.max(...this.#branches.keys()) + 1;
    this.#branches.set(timeline, { parent, fork });
    return timeline;
  }

  /** With the policy `any`: stored where a repository answers, recorded as missing where one does not. */
  async #archive(names: readonly string[]): Promise<void> {
    for (const name of names) {
      if (this.#out.size === KEYS.length) {
        this.#waiting.push(name);
        continue;
      }
      for (const key of KEYS)
        if (this.#out.has(key)) this.#missing.get(key)?.push(name);
        else await this.#putMissing(key, name);
      this.#archivedAtS = this.nowS;
      if (!name.endsWith(".history")) this.#archived = name;
    }
  }

  async #putMissing(key: number, name: string): Promise<void> {
    const storage = this.#storage(key);
    if (name.endsWith(".history")) {
      const timeline = Number.parseInt(name, 16);
      await putHistory(storage, timeline, this.#historyOf(timeline));
    } else await put(storage, name);
  }

  #branchOf(timeline: number): Branch {
    return this.#branches.get(timeline) as Branch;
  }

  #timelineAt(timeline: number, position: number): number {
    const { fork, parent } = this.#branchOf(timeline);
    return parent === 0 || position >= fork ? timeline : this.#timelineAt(parent, position);
  }

  #ancestorsOf(timeline: number): { timeline: number; lsn: bigint; reason: string }[] {
    const { fork, parent } = this.#branchOf(timeline);
    if (parent === 0) return [];
    return [
      ...this.#ancestorsOf(parent),
      { timeline: parent, lsn: BigInt(fork) * BigInt(SIZE), reason: "no recovery target specified" },
    ];
  }

  #historyOf(timeline: number): string {
    return this.#ancestorsOf(timeline)
      .map(({ lsn, reason, timeline: own }) => `${own}\t${formatLsn(lsn)}\t${reason}\n`)
      .join("");
  }

  #storage(key: number): MemoryStorage {
    return this.#storages[key - 1] as MemoryStorage;
  }
}

function nameOf(timeline: number, position: number): string {
  return segmentOfLsn(timeline, BigInt(position) * BigInt(SIZE), SIZE);
}

function pathOf(name: string): string {
  return `${ARCHIVE}/${name.slice(0, 16)}/${name}-${SHA1}`;
}

function put(storage: MemoryStorage, name: string): Promise<void> {
  return storage.put(pathOf(name), new Uint8Array(64));
}

function putHistory(storage: MemoryStorage, timeline: number, text: string): Promise<void> {
  return storage.put(`${ARCHIVE}/${historyName(timeline)}`, Buffer.from(text));
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
}
