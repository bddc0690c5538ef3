/**
 * A cluster, its archiver and three repositories, of which the model knows what must be true whatever happens to them.
 *
 * The cluster is a directory: relations that are written, WAL segments that are finished and archived by our archive-push, `pg_wal` that is
 * recycled. Operations are the runtime's own, over real drivers (a directory, an object store in memory), each in a {@link Mortal} process.
 * What must be true is looked up below all faults.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import type { Clock } from "../../runtime/base/clock";
import { type BackupError, fail, isError, toBackupError } from "../../runtime/base/errors";
import { sha1Hex } from "../../runtime/base/hash";
import type { RepoResult } from "../../runtime/base/parallel";
import { BLOCK_DEFAULTS } from "../../runtime/format/blockSize";
import type { BackupType } from "../../runtime/format/label";
import { formatLsn } from "../../runtime/format/walSegment";
import { openDebt } from "../../runtime/local/debt";
import { type AcknowledgePolicy, isSatisfied } from "../../runtime/operations/acknowledge";
import { archiveGet } from "../../runtime/operations/archiveGet";
import { archivePush } from "../../runtime/operations/archivePush";
import { backup, type BackupDone } from "../../runtime/operations/backup/backup";
import { expireRepository } from "../../runtime/operations/expire/expire";
import { heal } from "../../runtime/operations/heal";
import { inlinePool } from "../../runtime/operations/jobs";
import { openLocalWal } from "../../runtime/operations/localWal";
import { restore } from "../../runtime/operations/restore/restore";
import { stanzaCreate } from "../../runtime/operations/stanzaCreate";
import { type Verdict, verify } from "../../runtime/operations/verify";
import { listReady } from "../../runtime/postgres/archiveStatus";
import type { Session } from "../../runtime/postgres/session";
import { loadArchiveInfo, loadBackupInfo } from "../../runtime/repository/infoStore";
import type { Repository } from "../../runtime/repository/repository";
import { listWal, openWal } from "../../runtime/repository/walStore";
import { PosixStorage } from "../../runtime/storage/posix";
import type { Storage } from "../../runtime/storage/storage";
import { HeldClock, pause, testContext } from "../harness/context";
import { FaultyStorage } from "../harness/faults";
import { MemoryStorage } from "../harness/storages";
import { OPTIONS, server } from "../runtime/operations/backup/support";
import { addWal, CLUSTER, CONTROL, makeDataDirectory, repository, WAL_SIZE_BYTES, walBytes, walName } from "../runtime/repository/support";
import { Mortal } from "./mortal";

export const KEYS = [1, 2, 3] as const;
export type Key = (typeof KEYS)[number];
const ARCHIVE_ID = "15-1";
const PAGE_BYTES = 8192;
const TURNS_MAX = 100_000;
const USERS = { userName: () => "postgres", groupName: () => "postgres", findUid: () => null, findGid: () => null };

/** Wall time can be stepped; waiting goes by the held clock. */
export class SteppedClock implements Clock {
  readonly held = new HeldClock();
  skewMs = 0;

  nowMs(): number {
    return this.held.nowMs() + this.skewMs;
  }

  monotonicMs(): number {
    return this.held.monotonicMs();
  }

  sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    return this.held.sleep(durationMs, signal);
  }
}

/** Name → SHA-1 of the files whose content a restore must bring back as it was when the backup was taken. */
type Snapshot = ReadonlyMap<string, string>;

export class FaultWorld {
  readonly folder = mkdtempSync(join(tmpdir(), "pgb-faults-"));
  readonly dataDirectory = makeDataDirectory(this.folder);
  readonly walDirectory = join(this.dataDirectory, "pg_wal");
  readonly clock = new SteppedClock();
  readonly ctx = testContext({ clock: this.clock });
  readonly policy: AcknowledgePolicy;
  readonly #debt = openDebt(join(this.folder, "spool"), "demo");
  /** Below all faults. */
  readonly #bare = new Map<Key, Repository>();
  readonly #weather = new Map<Key, FaultyStorage>();
  /** Repositories that may fail at the moment. */
  readonly troubled = new Set<Key>();
  /** The segment that is being written. */
  #currentNo = 1;
  #timeline = 1;
  /** Lines of the newest timeline history. */
  readonly #histories: string[] = [];
  /** WAL files that PostgreSQL has finished: name → content. */
  readonly #wal = new Map<string, () => Uint8Array>();
  readonly acknowledged = new Set<string>();
  readonly tally = new Map<string, number>();
  /** Of each backup that was ever listed, `<key>:<label>`. */
  readonly #snapshots = new Map<string, Snapshot>();
  /** WAL files whose stored content was looked at, by repository and stored name. */
  readonly #seen = new Set<string>();
  #restoreCount = 0;

  constructor(policy: AcknowledgePolicy) {
    this.policy = policy;
    const root = join(this.folder, "repo1");
    mkdirSync(root);
    const posix = new PosixStorage({ root, syncDirectories: false, symlinks: true, signal: this.ctx.signal });
    const plans: [Key, Storage, Parameters<typeof repository>[1]][] = [
      [1, posix, { compress: { type: "none", level: 0 }, latestLink: true }],
      [
        2,
        new MemoryStorage({ nowMs: () => this.clock.nowMs() }),
        { compress: { type: "zst", level: 1 }, bundle: { sizeBytes: 65_536, limitBytes: 16_384 }, block: BLOCK_DEFAULTS },
      ],
      [3, new MemoryStorage({ nowMs: () => this.clock.nowMs() }), { compress: { type: "gz", level: 1 }, pass: "third" }],
    ];
    for (const [key, storage, options] of plans) {
      this.#bare.set(key, repository(key, { ...options, storage }));
      this.#weather.set(key, new FaultyStorage(storage, this.clock));
    }
  }

  async start(): Promise<void> {
    await this.#until(stanzaCreate(this.bare(), CONTROL, this.ctx));
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Repositories without faults, for looking at the truth. */
  bare(): Repository[] {
    return KEYS.map((key) => required(this.#bare.get(key)));
  }

  weather(key: Key): FaultyStorage {
    return required(this.#weather.get(key));
  }

  /** Everything works again. */
  calm(key: Key): void {
    this.weather(key).repair();
    this.troubled.delete(key);
  }

  count(name: string): void {
    this.tally.set(name, (this.tally.get(name) ?? 0) + 1);
  }

  // What the cluster does

  /** Writes, grows, shrinks or removes a relation, or changes one page of it. */
  write(seed: number): void {
    const path = join(this.dataDirectory, "base", "5", String(16_384 + (seed % 7)));
    const nowS = Math.floor(this.clock.nowMs() / 1000);
    if (seed % 11 === 0) return rmSync(path, { force: true });
    const isThere = existsSync(path);
    const pages = isThere && seed % 2 === 0 ? readFileSync(path) : Buffer.alloc(PAGE_BYTES * (1 + (seed % 24)));
    const first = isThere && seed % 2 === 0 ? PAGE_BYTES * (seed % Math.max(1, pages.length / PAGE_BYTES)) : 0;
    const end = isThere && seed % 2 === 0 ? first + PAGE_BYTES : pages.length;
    for (let offset = first; offset < Math.min(end, pages.length); offset += 4)
      pages.writeUInt32LE((seed * 2_654_435_761 + offset * 31) >>> 0, offset);
    writeFileSync(path, pages, { mode: 0o600 });
    utimesSync(path, nowS, nowS);
  }

  finishSegment(): void {
    const no = this.#currentNo++;
    this.#addWal(walName(no, this.#timeline), () => walBytes(no));
  }

  /** A promotion: the segment goes on in a new timeline, what was written of it stays in the old one. */
  promote(): void {
    const no = this.#currentNo;
    this.#addWal(`${walName(no, this.#timeline)}.partial`, () => walBytes(no));
    this.#histories.push(`${this.#timeline}\t${this.#lsn(0n)}\tno recovery target specified\n`);
    this.#timeline++;
    const text = Buffer.from(this.#histories.join(""));
    this.#addWal(`${walName(0, this.#timeline).slice(0, 8)}.history`, () => text);
  }

  #lsn(offset: bigint): string {
    return formatLsn(BigInt(this.#currentNo) * BigInt(WAL_SIZE_BYTES) + offset);
  }

  /** PostgreSQL removes what was acknowledged: from then on only the repositories have it. */
  checkpoint(): void {
    for (const name of readdirSync(this.walDirectory)) if (this.acknowledged.has(name)) rmSync(join(this.walDirectory, name));
  }

  /** The archiver: oldest first, each file until it is acknowledged; it gives up after three failures. True when nothing is left. */
  async archive(crashAfter: number | null = null): Promise<boolean> {
    return this.#until(this.#archive(crashAfter));
  }

  async #archive(crashAfter: number | null): Promise<boolean> {
    let failures = 0;
    let writesLeft = crashAfter;
    while (failures < 3) {
      const [walFile] = await listReady(this.walDirectory, 1);
      if (walFile === undefined) return true;
      const accepted = await this.#push(walFile, writesLeft);
      writesLeft = null;
      if (!accepted) failures++;
    }
    return false;
  }

  async #push(walFile: string, writesLeft: number | null): Promise<boolean> {
    const mortal = new Mortal(writesLeft);
    const options = {
      walDirectory: this.walDirectory,
      walName: walFile,
      cluster: CLUSTER,
      headerCheck: true,
      acknowledge: this.policy,
      // The held clock may be ahead of a busy disk: who is well is waited for.
      graceMs: this.troubled.size === 0 ? 600_000 : 5000,
      timeoutMs: 600_000,
    };
    try {
      const outcome = await archivePush(this.#repos(mortal), mortal.debt(this.#debt), options, this.ctx);
      if (mortal.dead || !outcome.accepted) return false;
      const holding = new Set(outcome.results.filter((result) => result.ok).map((result) => result.repoKey));
      expect(isSatisfied(this.policy, KEYS, holding)).toBe(true);
    } catch (error) {
      this.#requireExcuse(error, mortal, "archive-push");
      return false;
    } finally {
      await mortal.end();
    }
    this.count("WAL files acknowledged");
    this.acknowledged.add(walFile);
    rmSync(join(this.walDirectory, "archive_status", `${walFile}.ready`));
    return true;
  }

  // What the operator does

  async backup(type: BackupType, crashAfter: number | null): Promise<readonly RepoResult<BackupDone>[]> {
    const mortal = new Mortal(crashAfter);
    const repos = this.#repos(mortal);
    const snapshot = this.#snapshot();
    const deps = {
      servers: [{ key: 1, dataDirectory: this.dataDirectory, connect: async () => this.#session() }],
      pool: inlinePool(new Map(repos.map((repo) => [repo.key, repo])), this.ctx, 2),
      users: USERS,
      onProgress: () => {},
    };
    const options = { ...OPTIONS, type, archiveCheck: true, archiveTimeoutMs: 5000, checksumPage: false };
    let results: readonly RepoResult<BackupDone>[] = [];
    try {
      results = (await this.#until(backup(repos, deps, options, this.ctx))).results;
      for (const result of results) if (!result.ok) this.#requireExcuse(result.error, mortal, "backup", result.repoKey);
    } catch (error) {
      this.#requireExcuse(error, mortal, "backup");
    } finally {
      await mortal.end();
    }
    await this.#attribute(snapshot);
    if (mortal.dead) this.count("backups killed");
    else for (const result of results) this.count(result.ok ? `${result.value.manifest.type} backups` : "backups failed in a repository");
    return mortal.dead ? [] : results;
  }

  /** A backup is whole from its manifest on, listed or not: the next operation may list it. */
  async #attribute(snapshot: Snapshot): Promise<void> {
    for (const repo of this.bare()) {
      for await (const entry of repo.storage.list("backup/demo", { recursive: true })) {
        const label = /^backup\/demo\/([^/]+)\/backup\.manifest$/.exec(entry.path)?.[1];
        if (label !== undefined && !this.#snapshots.has(`${repo.key}:${label}`)) this.#snapshots.set(`${repo.key}:${label}`, snapshot);
      }
    }
  }

  async expire(fullCount: number, crashAfter: number | null): Promise<void> {
    const mortal = new Mortal(crashAfter);
    for (const repo of this.#repos(mortal)) {
      try {
        const retention = { full: fullCount, fullType: "count" as const, archiveType: "full" as const };
        await this.#until(expireRepository(repo, retention, { oldest: false, refusePageErrors: true, dryRun: false }, this.ctx));
      } catch (error) {
        this.#requireExcuse(error, mortal, "expire", repo.key);
      }
    }
    await mortal.end();
    this.count(mortal.dead ? "expires killed" : "expires");
  }

  async heal(crashAfter: number | null): Promise<void> {
    const mortal = new Mortal(crashAfter);
    const local = openLocalWal(this.walDirectory, CLUSTER, true);
    try {
      const results = await this.#until(heal(this.#repos(mortal), mortal.debt(this.#debt), CLUSTER, local, this.ctx));
      this.count(mortal.dead ? "heals killed" : "heals");
      if (mortal.dead || this.troubled.size > 0) return;
      for (const result of results) {
        if (!result.ok) throw result.error;
        // What nobody has any more stays a debt: retention gave it up in the others while this one was away, or has no backup yet.
        for (const line of result.value.unhealed) expect(await this.#isGivenUpElsewhere(line.split(":")[0] ?? "", result.repoKey), line).toBe(true);
      }
    } catch (error) {
      this.#requireExcuse(error, mortal, "heal");
    } finally {
      await mortal.end();
    }
  }

  /** Restores from `repos` and compares with what the cluster was when that backup was taken. Null when no backup could be restored. */
  async restore(repos: readonly Repository[], set?: string): Promise<string | null> {
    const target = join(this.folder, "restored", String(++this.#restoreCount));
    mkdirSync(target, { recursive: true, mode: 0o700 });
    const options = {
      dataDirectory: target,
      tablespaceMap: {},
      tablespaceMapAll: undefined,
      linkMap: {},
      linkAll: false,
      set,
      delta: false,
      force: false,
      databaseInclude: [],
      databaseExclude: [],
      checksumPageError: true,
      recovery: {
        type: "default" as const,
        target: undefined,
        targetAction: "pause" as const,
        targetExclusive: false,
        targetTimeline: undefined,
        archiveMode: "off" as const,
        restoreCommand: "false",
        options: {},
      },
      spoolPath: join(this.folder, "spool"),
      self: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    };
    const pool = inlinePool(new Map(repos.map((repo) => [repo.key, repo])), this.ctx, 2);
    try {
      const { repoKey, label } = await this.#until(restore(repos, { pool, users: USERS }, options, this.ctx));
      const expected = required(this.#snapshots.get(`${repoKey}:${label}`));
      expect(Object.fromEntries(snapshotOf(target)), `restore of ${label} from repo${repoKey}`).toEqual(Object.fromEntries(expected));
      this.count("restores");
      return label;
    } catch (error) {
      if (!isError(error)) throw error;
      this.count("restores refused");
      return null;
    } finally {
      rmSync(target, { recursive: true, force: true });
    }
  }

  restoreFromTroubled(): Promise<string | null> {
    return this.restore(this.#repos(new Mortal()));
  }

  /** What archive-get gives for a WAL file: true content, "not found", or the error that says it cannot tell. */
  async fetch(walFile: string): Promise<"found" | "absent" | BackupError> {
    const destination = join(this.folder, "fetched");
    try {
      const found = await this.#until(archiveGet(this.#repos(new Mortal()), { walName: walFile, destination, cluster: CLUSTER }, this.ctx));
      if (!found) return "absent";
      expect(sha1Hex(readFileSync(destination)), `content of ${walFile}`).toBe(sha1Hex(required(this.#wal.get(walFile))()));
      return "found";
    } catch (error) {
      if (!isError(error)) throw error;
      return error;
    }
  }

  verify(repo: Repository): Promise<Verdict> {
    return this.#until(verify(repo, inlinePool(new Map([[repo.key, repo]]), this.ctx, 2), WAL_SIZE_BYTES, this.ctx));
  }

  // What must be true

  /** Acknowledged WAL that retention does not give up is in as many repositories as the policy asks for; what one lacks is its debt. */
  async checkWal(afresh = false): Promise<void> {
    if (afresh) this.#seen.clear();
    const holding = new Map<string, Set<number>>();
    for (const repo of this.bare()) {
      const neededFrom = await this.neededFrom(repo);
      const held = await this.#heldBy(repo);
      const owed = new Set(this.#debt.list(repo.key));
      for (const name of this.acknowledged) {
        const isIn = held.has(name);
        // Older than its oldest backup: retention has let go of it, or will.
        const isGivenUp = neededFrom !== null && name < neededFrom;
        if (isIn || isGivenUp) holding.set(name, (holding.get(name) ?? new Set()).add(repo.key));
        else expect(owed.has(name), `${repo.name} lacks ${name} and does not owe it`).toBe(true);
      }
    }
    for (const name of this.acknowledged) {
      const keys = holding.get(name) ?? new Set<number>();
      expect(isSatisfied(this.policy, KEYS, keys), `${name} is only in repositories ${[...keys].join(",")}`).toBe(true);
    }
  }

  /** Every listed backup is whole, and WAL is missing only where it is owed or was never acknowledged. */
  async checkRepositories(): Promise<void> {
    for (const repo of this.bare()) {
      const verdict = await this.verify(repo);
      for (const one of verdict.backups) expect(one.status, `${repo.name} ${one.label}: ${verdict.problems.join("; ")}`).toBe("valid");
      const owed = new Set(this.#debt.list(repo.key));
      const held = await this.#heldBy(repo);
      for (const { label, archiveStart, archiveStop } of (await loadBackupInfo(repo)).backups) {
        for (const name of this.#wal.keys()) {
          const isNeeded = /^[0-9A-F]{24}$/.test(name) && name >= (archiveStart ?? "") && name <= (archiveStop ?? "");
          if (isNeeded) expect(held.has(name), `${label} in ${repo.name} cannot become consistent without ${name}`).toBe(true);
        }
      }
      for (const archive of verdict.archives) {
        expect(archive.counts.valid, `${repo.name}: ${verdict.problems.join("; ")}`).toBe(archive.counts.total);
        for (const [first, last] of archive.gaps) {
          const lacking = [...this.acknowledged].filter((name) => name >= first && name <= last && !owed.has(name));
          expect(lacking, `${repo.name}: gap from ${first} to ${last}`).toEqual([]);
        }
      }
    }
  }

  /** Flips a bit of a stored file and puts it back after `look`. */
  async withFlippedBit(key: Key, pick: number, look: (path: string) => Promise<void>): Promise<void> {
    const { storage } = required(this.#bare.get(key));
    const files: string[] = [];
    for await (const entry of storage.list("", { recursive: true })) if (entry.type === "file" && entry.sizeBytes > 0) files.push(entry.path);
    files.sort();
    const path = files[pick % files.length];
    if (path === undefined) return;
    const chunks: Uint8Array[] = [];
    for await (const chunk of await storage.read(path)) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const flipped = Buffer.from(bytes);
    const at = (pick * 7919) % flipped.length;
    flipped[at] = (flipped[at] ?? 0) ^ (1 << (pick % 8));
    await storage.put(path, flipped);
    try {
      await look(path);
    } finally {
      await storage.put(path, bytes);
    }
  }

  /** Everything calm, archived and healed: all repositories agree, and each of them alone brings the cluster back. */
  async end(): Promise<void> {
    for (const key of KEYS) this.calm(key);
    // Labels go by time: one that lies in the future of a stepped clock has to pass.
    this.clock.skewMs += 2 * 86_400_000;
    await this.clock.held.advance(1000);
    expect(await this.archive()).toBe(true);
    await this.heal(null);
    for (const result of await this.backup("incr", null)) if (!result.ok) throw result.error;
    for (const result of await this.backup("full", null)) if (!result.ok) throw result.error;
    expect(await this.archive()).toBe(true);
    await this.heal(null);
    const owed = new Map(KEYS.map((key) => [key as number, new Set(this.#debt.list(key))]));
    for (const [key, names] of owed)
      for (const name of names) expect(await this.#isGivenUpElsewhere(name, key), `repo${key} owes ${name}`).toBe(true);
    await this.checkWal(true);
    await this.checkRepositories();
    const now = Object.fromEntries(this.#snapshot());
    const held = new Map<Key, Set<string>>();
    for (const repo of this.bare()) {
      const verdict = await this.verify(repo);
      if (owed.get(repo.key)?.size === 0) expect(verdict.problems).toEqual([]);
      held.set(repo.key as Key, await this.#heldBy(repo));
      const label = required(await this.restore([repo]));
      expect(Object.fromEntries(required(this.#snapshots.get(`${repo.key}:${label}`)))).toEqual(now);
      for (const entry of (await loadBackupInfo(repo)).backups) expect(await this.restore([repo], entry.label)).toBe(entry.label);
    }
    for (const repo of this.bare()) {
      const from = required(await this.neededFrom(repo));
      const lacking = [...this.acknowledged].filter((name) => name >= from && held.get(repo.key as Key)?.has(name) !== true);
      expect(
        lacking.filter((name) => owed.get(repo.key)?.has(name) !== true),
        `${repo.name} lacks WAL`,
      ).toEqual([]);
    }
  }

  /** The oldest segment that a backup of the repository needs; null without backups. */
  async neededFrom(repo: Repository): Promise<string | null> {
    const { backups } = await loadBackupInfo(repo);
    return backups.flatMap((entry) => (entry.archiveStart === null ? [] : [entry.archiveStart])).sort()[0] ?? null;
  }

  async #isGivenUpElsewhere(name: string, repoKey: number): Promise<boolean> {
    this.count("debts that retention made unpayable");
    const others = this.bare().filter((repo) => repo.key !== repoKey);
    const from = await Promise.all(others.map((repo) => this.neededFrom(repo)));
    return from.every((oldest) => oldest !== null && name < oldest);
  }

  async labels(repo: Repository): Promise<string[]> {
    return (await loadBackupInfo(repo)).backups.map((entry) => entry.label);
  }

  /** True when the WAL file is older than all that any repository keeps. */
  async isGivenUp(name: string): Promise<boolean> {
    const from = await Promise.all(this.bare().map((repo) => this.neededFrom(repo)));
    return from.every((oldest) => oldest !== null && name < oldest);
  }

  /** Names of WAL files whose stored content is right. @throws when one is not */
  async #heldBy(repo: Repository): Promise<Set<string>> {
    const pass = (await loadArchiveInfo(repo)).cipherPass ?? null;
    const names = new Set<string>();
    for await (const stored of listWal(repo, ARCHIVE_ID)) {
      const id = `${repo.key}/${stored.fileName}`;
      if (!this.#seen.has(id)) {
        const hash = createHash("sha1");
        for await (const chunk of await openWal(repo, ARCHIVE_ID, stored, pass)) hash.update(chunk);
        expect(hash.digest("hex"), `content of ${id}`).toBe(sha1Hex(required(this.#wal.get(stored.name))()));
        this.#seen.add(id);
      }
      expect(names.has(stored.name), `${stored.name} is twice in ${repo.name}`).toBe(false);
      names.add(stored.name);
    }
    return names;
  }

  #repos(mortal: Mortal): Repository[] {
    return this.bare().map((repo) => ({ ...repo, storage: mortal.storage(this.weather(repo.key as Key)) }));
  }

  /** Time passes in steps that grow while nothing but waiting seems to go on. */
  async #until<T>(work: Promise<T>): Promise<T> {
    let ended = false;
    const done = work.finally(() => {
      ended = true;
    });
    done.catch(() => {});
    for (let turn = 0; !ended; turn++) {
      if (turn > TURNS_MAX) throw new Error(`not ended after ${turn} turns`);
      await this.clock.held.advance(turn < 20 ? 20 : 200);
      await pause(1);
    }
    return done;
  }

  #snapshot(): Snapshot {
    return snapshotOf(this.dataDirectory);
  }

  #addWal(name: string, content: () => Uint8Array): void {
    addWal(this.walDirectory, name, content());
    this.#wal.set(name, content);
  }

  /** A server whose backups begin and end with a switch, and whose archiver works meanwhile. */
  #session(): Session {
    const base = server(this.dataDirectory, this.ctx);
    const current = (): string => walName(this.#currentNo, this.#timeline);
    const switched = async (): Promise<string> => {
      const name = current();
      this.finishSegment();
      await this.#archive(null);
      return name;
    };
    let startName = "";
    const own: Partial<Record<keyof Session, unknown>> = {
      currentWalName: async () => current(),
      switchWal: switched,
      startBackup: async () => {
        await switched();
        startName = current();
        return { lsn: this.#lsn(40n), walName: startName };
      },
      stopBackup: async () => {
        const stop = { lsn: this.#lsn(80n), walName: current(), backupLabel: "START WAL LOCATION: 0/300028\n", tablespaceMap: "" };
        const history = Buffer.from(`START WAL LOCATION: ${startName}\n`);
        this.finishSegment();
        this.#addWal(`${startName}.00000028.backup`, () => history);
        await this.#archive(null);
        return stop;
      },
    };
    return { ...base, ...own } as typeof base;
  }

  /** An operation may only fail for a reason: it died, a repository is in trouble, or the clock went back. */
  #requireExcuse(thrown: unknown, mortal: Mortal, what: string, repoKey?: number): void {
    const error = toBackupError(thrown);
    if (mortal.dead) return;
    if (repoKey === undefined ? this.troubled.size > 0 : this.troubled.has(repoKey as Key)) return;
    if (this.clock.skewMs < 0 && what === "backup") return;
    // PostgreSQL went on when the policy was satisfied, before this repository had the segment: it owes it.
    if (what === "backup" && isError(error, "archiveTimeout") && this.#debt.list(repoKey ?? 0).some((name) => error.message.includes(name))) return;
    // A repository that could not get the segments fails with the archiver of another one's trouble under policy all.
    if (what === "backup" && isError(error, "archiveTimeout") && this.troubled.size > 0) return;
    throw fail("unhandled", `${what} failed without a reason${repoKey === undefined ? "" : ` in repo${repoKey}`}: ${error.stack ?? error.message}`, {
      cause: thrown,
    });
  }
}

/** Relations of the data directory; the rest is not the model's. */
function snapshotOf(directory: string): Map<string, string> {
  const root = join(directory, "base");
  const names = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = names.map((entry) => join(entry.parentPath, entry.name)).sort();
  return new Map(paths.map((path) => [path.slice(root.length + 1), sha1Hex(readFileSync(path))]));
}

function required<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error("the model expected a value here");
  return value;
}
