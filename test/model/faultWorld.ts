/**
 * A cluster, its archiver and three repositories, with checks that must hold under every fault.
 *
 * The world runs the runtime's real operations over real drivers: a directory, an object store in memory or a real S3
 * server. Each operation runs in a {@link Mortal} process and reaches each repository through its {@link Weather}. The
 * checks bypass the faults.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import type { Clock } from "../../runtime/base/clock";
import { type BackupError, fail, isError, toBackupError } from "../../runtime/base/errors";
import { sha1Hex } from "../../runtime/base/hash";
import type { RepoResult } from "../../runtime/base/parallel";
import { BLOCK_DEFAULTS } from "../../runtime/format/repository/blockSize";
import type { BackupType } from "../../runtime/format/repository/label";
import { openMissingWal } from "../../runtime/local/missingWal";
import { isSatisfied } from "../../runtime/operations/archivePush/acknowledge";
import type { AcknowledgePolicy } from "../../runtime/config/types";
import { archiveGet } from "../../runtime/operations/archiveGet/archiveGet";
import { archivePush } from "../../runtime/operations/archivePush/archivePush";
import { backup } from "../../runtime/operations/backup/backup";
import type { BackupDone } from "../../runtime/operations/backup/run";
import { expireRepository } from "../../runtime/operations/expire/expire";
import { heal } from "../../runtime/operations/heal/heal";
import { inlinePool, type JobPool, type JobResult } from "../../runtime/operations/shared/jobs";
import { openLocalWal } from "../../runtime/operations/shared/localWal";
import { restore } from "../../runtime/operations/restore/restore";
import { stanzaCreate } from "../../runtime/operations/stanza/stanzaCreate";
import type { SyncScope } from "../../runtime/operations/sync/syncPlan";
import { sync } from "../../runtime/operations/sync/sync";
import { type Verdict, verify } from "../../runtime/operations/verify/verify";
import { listReady } from "../../runtime/postgres/archiveStatus";
import { loadArchiveInfo, loadBackupInfo } from "../../runtime/repository/infoStore";
import type { Repository } from "../../runtime/repository/repository";
import { listWal, openWal } from "../../runtime/repository/walStore";
import { PosixStorage } from "../../runtime/storage/posix";
import type { Storage } from "../../runtime/storage/storage";
import { HeldClock, pause, testContext } from "../harness/context";
import { testLease } from "../harness/leases";
import { MemoryStorage } from "../harness/doubles/storages";
import { OPTIONS } from "../runtime/operations/backup/support";
import { CLUSTER, CONTROL, repository, WAL_SIZE_BYTES } from "../runtime/repository/support";
import { type DamagedPart, findOfAttempt, findVictim, listFiles, spoil } from "./faultFiles";
import { ModelCluster, type Snapshot, snapshotOf } from "./modelCluster";
import { type Death, Mortal } from "./mortal";
import type { S3Bucket } from "./s3Bucket";
import { type Damage, Weather } from "./weather";

export const KEYS = [1, 2, 3] as const;
export type Key = (typeof KEYS)[number];
const ARCHIVE_ID = "15-1";
const TURNS_MAX = 100_000;
/** Turns for which a busy driver holds the clock. Not forever: it may depend on a task that waits for the clock. */
const TURNS_HELD = 50;
const REPLAY_SEGMENTS_MAX = 12;
/** Small, so that a killed backup leaves something to resume. */
const SAVE_STEP_BYTES = 32_768;
/** Worlds created so far. Each one has its own path on the S3 server. */
let worlds = 0;
/** At least one status, and every status is ok. */
const ALL_OK = /^(?!.*"status":"(?!ok")).*"status":"ok"/s;
const USERS = { userName: () => "postgres", groupName: () => "postgres", findUid: () => null, findGid: () => null };

/** Tests can step the wall time. Sleeps follow the held clock. */
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

export interface WorldOptions {
  readonly policy: AcknowledgePolicy;
  /** Holds repo2; null keeps repo2 in memory. */
  readonly s3: S3Bucket | null;
}

export class FaultWorld {
  readonly folder = mkdtempSync(join(tmpdir(), "pgb-faults-"));
  readonly clock = new SteppedClock();
  readonly ctx = testContext({ clock: this.clock });
  readonly cluster = new ModelCluster(this.folder, this.clock);
  readonly policy: AcknowledgePolicy;
  readonly #s3: { readonly bucket: S3Bucket; readonly faced: Storage } | null;
  readonly #missingWal = openMissingWal(join(this.folder, "spool"), "demo");
  /** The repositories without faults. */
  readonly #bare = new Map<Key, Repository>();
  readonly #weather = new Map<Key, Weather>();
  /** Repositories that may fail now. */
  readonly troubled = new Set<Key>();
  /** True once the clock was set back: labels and times are no longer in order. */
  wentBack = false;
  readonly acknowledged = new Set<string>();
  readonly tally = new Map<string, number>();
  /** One snapshot per backup ever stored, by `<key>:<label>`. */
  readonly #snapshots = new Map<string, Snapshot>();
  /** WAL files whose stored content was checked, by repository and stored name. */
  readonly #seen = new Set<string>();
  /** Results of verify for intact files. */
  readonly #whole = new Map<string, Promise<unknown>>();
  #restoreCount = 0;

  constructor({ policy, s3 }: WorldOptions) {
    this.policy = policy;
    const root = join(this.folder, "repo1");
    mkdirSync(root);
    const posix = new PosixStorage({ root, syncDirectories: false, symlinks: true, signal: this.ctx.signal });
    const memory = (): Storage => new MemoryStorage({ nowMs: () => this.clock.nowMs() });
    const inBucket = s3?.storages(`/world${++worlds}`, this.ctx.signal);
    this.#s3 = s3 === null || inBucket === undefined ? null : { bucket: s3, faced: inBucket.faced };
    const second = memory();
    const plans: [Key, { bare: Storage; faced: Storage }, Parameters<typeof repository>[1]][] = [
      [1, { bare: posix, faced: posix }, { compress: { type: "none", level: 0 }, latestLink: true }],
      [
        2,
        inBucket ?? { bare: second, faced: second },
        {
          compress: { type: "zst", level: 1 },
          bundle: { sizeBytes: 65_536, limitBytes: 16_384 },
          block: BLOCK_DEFAULTS,
        },
      ],
    ];
    const third = memory();
    plans.push([3, { bare: third, faced: third }, { compress: { type: "gz", level: 1 }, pass: "third" }]);
    for (const [key, { bare, faced }, options] of plans) {
      this.#bare.set(key, repository(key, { ...options, storage: bare }));
      this.#weather.set(key, new Weather(faced, this.clock));
    }
  }

  async start(): Promise<void> {
    await this.#until(stanzaCreate(this.bare(), CONTROL, this.ctx));
  }

  async remove(): Promise<void> {
    await this.#s3?.bucket.calm();
    await this.#s3?.faced.close();
    for (const repo of this.bare()) await repo.storage.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Repositories without faults, for the checks. */
  bare(): Repository[] {
    return KEYS.map((key) => required(this.#bare.get(key)));
  }

  weather(key: Key): Weather {
    return required(this.#weather.get(key));
  }

  /** Ends every fault of the repository. */
  async calm(key: Key): Promise<void> {
    this.weather(key).calm();
    if (key === 2) await this.#s3?.bucket.calm();
    this.troubled.delete(key);
  }

  count(name: string, times = 1): void {
    this.tally.set(name, (this.tally.get(name) ?? 0) + times);
  }

  // The cluster

  checkpoint(): void {
    this.cluster.checkpoint(this.acknowledged);
  }

  /**
   * Archives like PostgreSQL: oldest file first, each one until it is acknowledged. Gives up after three failures.
   * Returns true when no file is left.
   */
  async archive(death: Death | null = null): Promise<boolean> {
    return this.#until(this.#archive(death));
  }

  async #archive(death: Death | null): Promise<boolean> {
    let failures = 0;
    let next = death;
    while (failures < 3) {
      const [walFile] = await listReady(this.cluster.walDirectory, 1);
      if (walFile === undefined) return true;
      const accepted = await this.#push(walFile, next);
      next = null;
      if (!accepted) failures++;
    }
    return false;
  }

  async #push(walFile: string, death: Death | null): Promise<boolean> {
    const mortal = new Mortal(death);
    const options = {
      walDirectory: this.cluster.walDirectory,
      walName: walFile,
      cluster: CLUSTER,
      headerCheck: true,
      acknowledge: this.policy,
      // The held clock may outrun a busy disk. Healthy repositories get enough time to answer.
      graceMs: this.troubled.size === 0 ? 600_000 : 5000,
      timeoutMs: 600_000,
    };
    try {
      const outcome = await archivePush(this.#repos(mortal), mortal.missingWal(this.#missingWal), options, this.ctx);
      if (mortal.dead || !outcome.accepted) return false;
      const holding = new Set(outcome.results.filter((result) => result.ok).map((result) => result.repoIndex));
      expect(isSatisfied(this.policy, KEYS, holding)).toBe(true);
    } catch (error) {
      this.#requireExcuse(error, mortal, "archive-push");
      return false;
    } finally {
      await mortal.end();
    }
    this.count("WAL files acknowledged");
    this.acknowledged.add(walFile);
    rmSync(join(this.cluster.walDirectory, "archive_status", `${walFile}.ready`));
    return true;
  }

  // The operator

  /** Runs one backup into the repositories of `keys`. */
  async backup(
    type: BackupType,
    death: Death | null,
    keys: readonly Key[] = KEYS,
  ): Promise<readonly RepoResult<BackupDone>[]> {
    const mortal = new Mortal(death);
    const repos = this.#repos(mortal).filter((repo) => keys.includes(repo.key as Key));
    const snapshot = this.cluster.snapshot();
    const deps = {
      lease: async () => testLease(),
      servers: [
        {
          key: 1,
          dataDirectory: this.cluster.dataDirectory,
          connect: async () => this.cluster.session(() => this.#archive(null), this.ctx),
        },
      ],
      pool: inlinePool(new Map(repos.map((repo) => [repo.key, repo])), this.ctx, 2),
      users: USERS,
      onProgress: () => {},
    };
    const options = {
      ...OPTIONS,
      type,
      archiveCheck: true,
      archiveTimeoutMs: 5000,
      checksumPage: false,
      manifestSaveThresholdBytes: SAVE_STEP_BYTES,
    };
    let results: readonly RepoResult<BackupDone>[] = [];
    try {
      results = (await this.#until(backup(repos, deps, options, this.ctx))).results;
      for (const result of results)
        if (!result.ok) this.#requireExcuse(result.error, mortal, "backup", result.repoIndex);
    } catch (error) {
      this.#requireExcuse(error, mortal, "backup");
    } finally {
      await mortal.end();
    }
    await this.#attribute(() => snapshot);
    if (mortal.dead) this.count("backups killed");
    else
      for (const result of results)
        this.count(result.ok ? `${result.value.manifest.type} backups` : "backups failed in a repository");
    return mortal.dead ? [] : results;
  }

  /** A backup with a manifest is complete even if it is not listed: the next operation may list it. */
  async #attribute(snapshotOfLabel: (label: string) => Snapshot): Promise<void> {
    for (const repo of this.bare()) {
      for await (const entry of repo.storage.list("backup/demo", { recursive: true })) {
        const label = /^backup\/demo\/([^/]+)\/backup\.manifest$/.exec(entry.path)?.[1];
        if (label === undefined || this.#snapshots.has(`${repo.key}:${label}`)) continue;
        this.#snapshots.set(`${repo.key}:${label}`, snapshotOfLabel(label));
      }
    }
  }

  /** Copies missing backups from `from` to `to`. Without faults `to` then has all of them. */
  async sync(from: Key, to: Key, scope: SyncScope, death: Death | null): Promise<void> {
    const mortal = new Mortal(death);
    const repos = this.#repos(mortal);
    const [source, target] = [from, to].map((key) => required(repos.find((repo) => repo.key === key))) as [
      Repository,
      Repository,
    ];
    const isCalm = !this.troubled.has(from) && !this.troubled.has(to);
    const wanted = await this.labels(required(this.#bare.get(from)));
    const held = new Set(await this.labels(required(this.#bare.get(to))));
    const pool = inlinePool(new Map([source, target].map((repo) => [repo.key, repo])), this.ctx, 2);
    try {
      const { labels, problems } = await this.#until(
        sync(source, target, pool, { scope, dryRun: false, headerCheck: true, lease: testLease() }, this.ctx),
      );
      this.count(mortal.dead ? "syncs killed" : "syncs");
      if (labels.length > 0) this.count("backups copied by sync", labels.length);
      if (isCalm && !mortal.dead) {
        expect(problems).toEqual([]);
        const listed = await this.labels(required(this.#bare.get(to)));
        expect(listed).toEqual(expect.arrayContaining(scope.kind === "all" ? wanted : wanted.slice(-1)));
      }
    } catch (error) {
      if (mortal.dead) this.count("syncs killed");
      else this.#requireExcuse(error, mortal, "sync", isCalm ? from : this.troubled.has(from) ? from : to);
    } finally {
      await mortal.end();
    }
    await this.#attribute((label) => required(this.#snapshots.get(`${from}:${label}`)));
    // Checksums only show that the stored bytes are intact. A restore shows that they are the right ones.
    const receiver = required(this.#bare.get(to));
    for (const label of await this.labels(receiver))
      if (!held.has(label)) expect(await this.restore([receiver], label)).toBe(label);
  }

  async expire(keys: readonly Key[], fullCount: number, death: Death | null): Promise<void> {
    const mortal = new Mortal(death);
    for (const repo of this.#repos(mortal).filter(({ key }) => keys.includes(key as Key))) {
      try {
        const retention = { full: fullCount, fullType: "count" as const, archiveType: "full" as const };
        await this.#until(
          expireRepository(
            repo,
            retention,
            { oldest: false, refusePageErrors: true, dryRun: false },
            testLease(),
            this.ctx,
          ),
        );
      } catch (error) {
        this.#requireExcuse(error, mortal, "expire", repo.key);
      }
    }
    await mortal.end();
    this.count(mortal.dead ? "expires killed" : "expires");
  }

  async heal(death: Death | null): Promise<void> {
    const mortal = new Mortal(death);
    const local = openLocalWal(this.cluster.walDirectory, CLUSTER, true);
    try {
      const results = await this.#until(
        heal(
          this.#repos(mortal),
          { missingWal: mortal.missingWal(this.#missingWal), cluster: CLUSTER, local },
          this.ctx,
        ),
      );
      this.count(mortal.dead ? "heals killed" : "heals");
      if (mortal.dead || this.troubled.size > 0) return;
      this.count("heals without trouble");
      for (const result of results) {
        if (!result.ok) throw result.error;
        // WAL that no repository holds stays missing: the others' retention removed it while this repository was away
        // or had no backup yet.
        for (const line of result.value.unhealed)
          expect(await this.#isGivenUpElsewhere(line.split(":")[0] ?? "", result.repoIndex), line).toBe(true);
      }
      await this.checkAgreement();
    } catch (error) {
      this.#requireExcuse(error, mortal, "heal");
    } finally {
      await mortal.end();
    }
  }

  /** Restores from `repos` and compares with the cluster at the time of that backup. @throws when it fails */
  async restore(repos: readonly Repository[], set?: string): Promise<string> {
    const target = this.#newTarget();
    try {
      return (await this.#restoreInto(target, repos, { set, delta: false })).label;
    } finally {
      rmSync(target, { recursive: true, force: true });
    }
  }

  /**
   * Restores a backup and fetches WAL from its start to some segment, like point-in-time recovery. The process may die
   * at a read. PostgreSQL must not be able to start on a partial restore, and `--delta` must complete it exactly.
   */
  async restoreToPoint(pick: number, readsLeft: number | null): Promise<void> {
    const mortal = readsLeft === null ? new Mortal() : Mortal.reading(readsLeft);
    const repos = this.#repos(mortal);
    const choice = await this.#chooseBackup(pick);
    if (choice === null) return;
    const target = this.#newTarget();
    let hasEnded = false;
    try {
      try {
        const { repoIndex, label } = await this.#restoreInto(target, repos, { ...choice, delta: false });
        hasEnded = true;
        await this.#checkChoice(choice.targetTimeS, repoIndex, label);
        await this.#replay(repos, repoIndex, label, pick);
      } catch (error) {
        if (!isError(error)) throw error;
        this.#requireExcuse(error, mortal, "restore");
        if (hasEnded) return this.count("recoveries stopped");
        this.count(mortal.dead ? "restores killed" : "restores refused");
        // Without pg_control PostgreSQL cannot start on a partial restore.
        expect(existsSync(join(target, "global", "pg_control")), "pg_control of a restore that did not end").toBe(
          false,
        );
        await this.#restoreInto(target, this.bare(), { ...choice, delta: true });
        this.count("restores over what a failed one left");
      }
    } finally {
      await mortal.end();
      rmSync(target, { recursive: true, force: true });
    }
  }

  #newTarget(): string {
    const target = join(this.folder, "restored", String(++this.#restoreCount));
    mkdirSync(target, { recursive: true, mode: 0o700 });
    return target;
  }

  /** A label of some repository, or a time between two of its backups; null when it has no backups. */
  async #chooseBackup(pick: number): Promise<{ set?: string; targetTimeS?: number } | null> {
    const repo = required(this.#bare.get(KEYS[pick % KEYS.length] ?? 1));
    const { backups } = await loadBackupInfo(repo);
    const entry = backups[Math.floor(pick / KEYS.length) % Math.max(1, backups.length)];
    if (entry === undefined) return null;
    return pick % 2 === 0 || this.wentBack ? { set: entry.label } : { targetTimeS: entry.stoppedAtS + (pick % 500) };
  }

  /** Restore must choose the newest backup of the repository that ended before the target. */
  async #checkChoice(targetTimeS: number | undefined, repoIndex: number, label: string): Promise<void> {
    if (targetTimeS === undefined) return;
    const { backups } = await loadBackupInfo(required(this.#bare.get(repoIndex as Key)));
    const fitting = backups.filter((entry) => entry.stoppedAtS < targetTimeS).map((entry) => entry.label);
    expect(label, `backup for ${targetTimeS} in repo${repoIndex}`).toBe(fitting.sort().at(-1));
    this.count("restores to a time");
  }

  /** Fetches every segment from the backup's start to the picked one, and checks the content. */
  async #replay(repos: readonly Repository[], repoIndex: number, label: string, pick: number): Promise<void> {
    const { backups } = await loadBackupInfo(required(this.#bare.get(repoIndex as Key)));
    const archiveStart = required(backups.find((entry) => entry.label === label)?.archiveStart);
    const names = this.cluster.segmentsFrom(archiveStart).filter((name) => this.acknowledged.has(name));
    for (const name of names.slice(0, 1 + (pick % REPLAY_SEGMENTS_MAX))) {
      const answer = await this.fetch(name, repos);
      if (answer === "found") this.count("segments replayed");
      else if (answer === "absent")
        expect(await this.#isGivenUpElsewhere(name, repoIndex), `recovery from ${label} does not find ${name}`).toBe(
          true,
        );
      else throw answer;
    }
  }

  /** Restores, and expects exactly the cluster at the time of the backup. */
  async #restoreInto(
    dataDirectory: string,
    repos: readonly Repository[],
    {
      set,
      targetTimeS,
      delta,
    }: { readonly set?: string | undefined; readonly targetTimeS?: number; readonly delta: boolean },
  ): Promise<{ repoIndex: number; label: string }> {
    const target =
      targetTimeS === undefined
        ? undefined
        : new Date(targetTimeS * 1000).toISOString().replace("T", " ").replace(".000", "");
    const options = {
      dataDirectory,
      tablespaceMap: {},
      tablespaceMapAll: undefined,
      linkMap: {},
      linkAll: false,
      set,
      server: null,
      delta,
      force: false,
      databaseInclude: [],
      databaseExclude: [],
      checksumPageError: true,
      recovery: {
        type: target === undefined ? ("default" as const) : ("time" as const),
        target,
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
    const { repoIndex, label } = await this.#until(restore(repos, { pool, users: USERS }, options, this.ctx));
    const expected = required(this.#snapshots.get(`${repoIndex}:${label}`));
    expect(Object.fromEntries(snapshotOf(dataDirectory)), `restore of ${label} from repo${repoIndex}`).toEqual(
      Object.fromEntries(expected),
    );
    expect(existsSync(join(dataDirectory, "global", "pg_control"))).toBe(true);
    this.count("restores");
    return { repoIndex, label };
  }

  /** The result of archive-get: the right content ("found"), "absent", or the error that leaves it open. */
  async fetch(
    walFile: string,
    repos: readonly Repository[] = this.#repos(new Mortal()),
  ): Promise<"found" | "absent" | BackupError> {
    const destination = join(this.folder, "fetched");
    try {
      const isFetched = await this.#until(
        archiveGet(repos, { walName: walFile, destination, cluster: CLUSTER }, this.ctx),
      );
      if (!isFetched) return "absent";
      expect(sha1Hex(readFileSync(destination)), `content of ${walFile}`).toBe(
        sha1Hex(required(this.cluster.wal.get(walFile))()),
      );
      return "found";
    } catch (error) {
      if (!isError(error)) throw error;
      return error;
    }
  }

  /** Reuses the results of intact files that have not been written since, unless `afresh`. */
  verify(repo: Repository, afresh = false): Promise<Verdict> {
    const pool = inlinePool(new Map([[repo.key, repo]]), this.ctx, 2);
    if (afresh) return this.#until(verify(repo, pool, WAL_SIZE_BYTES, this.ctx));
    const remembering: JobPool = {
      ...pool,
      run: async (job) => {
        if (job.kind !== "verifyFile" && job.kind !== "verifyBundle") return pool.run(job);
        const file = await repo.storage.stat(job.path);
        const id = `${JSON.stringify(job)} ${file?.sizeBytes} ${file?.modifiedAtMs}`;
        const known = this.#whole.get(id) as Promise<JobResult<typeof job>> | undefined;
        if (known !== undefined) return known;
        const result = await pool.run(job);
        if (ALL_OK.test(JSON.stringify(result))) this.#whole.set(id, Promise.resolve(result));
        return result;
      },
    };
    return this.#until(verify(repo, remembering, WAL_SIZE_BYTES, this.ctx));
  }

  // The checks

  /**
   * Acknowledged WAL that retention keeps is in as many repositories as the policy asks for. Every other repository
   * records it as missing WAL.
   */
  async checkWal(afresh = false): Promise<void> {
    if (afresh) this.#seen.clear();
    const holding = new Map<string, Set<number>>();
    for (const repo of this.bare()) {
      const neededFrom = await this.neededFrom(repo);
      const held = await this.#heldBy(repo);
      const missing = new Set(this.#missingWal.list(repo.key));
      for (const name of this.acknowledged) {
        const isIn = held.has(name);
        // Older than the oldest backup: retention removes it.
        const isGivenUp = neededFrom !== null && name < neededFrom;
        if (isIn || isGivenUp) holding.set(name, (holding.get(name) ?? new Set()).add(repo.key));
        else
          expect(
            missing.has(name) || (await this.#isLetGo(name, repo)),
            `${repo.name} lacks ${name} and does not owe it`,
          ).toBe(true);
      }
    }
    for (const name of this.acknowledged) {
      const keys = holding.get(name) ?? new Set<number>();
      expect(isSatisfied(this.policy, KEYS, keys), `${name} is only in repositories ${[...keys].join(",")}`).toBe(true);
    }
  }

  /** Every listed backup is complete. Every acknowledged segment in a gap is recorded as missing WAL or let go. */
  async checkRepositories(afresh = false): Promise<void> {
    for (const repo of this.bare()) {
      const verdict = await this.verify(repo, afresh);
      for (const one of verdict.backups)
        expect(one.status, `${repo.name} ${one.label}: ${verdict.problems.join("; ")}`).toBe("valid");
      const missing = new Set(this.#missingWal.list(repo.key));
      const held = await this.#heldBy(repo);
      for (const { label, archiveStart, archiveStop } of (await loadBackupInfo(repo)).backups) {
        for (const name of this.cluster.wal.keys()) {
          const isNeeded = /^[0-9A-F]{24}$/.test(name) && name >= (archiveStart ?? "") && name <= (archiveStop ?? "");
          if (isNeeded)
            expect(held.has(name), `${label} in ${repo.name} cannot become consistent without ${name}`).toBe(true);
        }
      }
      for (const archive of verdict.archives) {
        expect(archive.counts.valid, `${repo.name}: ${verdict.problems.join("; ")}`).toBe(archive.counts.total);
        for (const [first, last] of archive.gaps) {
          const lacking = [...this.acknowledged].filter((name) => name >= first && name <= last && !missing.has(name));
          for (const name of lacking)
            expect(await this.#isLetGo(name, repo), `${repo.name}: gap from ${first} to ${last}`).toBe(true);
        }
      }
    }
  }

  /** From now on every reader gets damaged bytes of a stored file. Picks a file with a checksum that detects it. */
  async damage(key: Key, damage: Damage, part: DamagedPart): Promise<void> {
    const path = await findVictim(this.#storageOf(key), part, damage.pick);
    if (path !== null) this.weather(key).damage(path, damage);
  }

  /** Damages a file of an unfinished backup for good. */
  async spoil(key: Key, damage: Damage): Promise<void> {
    const storage = this.#storageOf(key);
    const path = await findOfAttempt(storage, damage.pick);
    if (path === null) return;
    await spoil(storage, path, damage);
    this.count("files of an attempt spoiled");
  }

  /** Damages a stored file, and repairs it after `look`. */
  async withDamage(key: Key, damage: Damage, look: (path: string) => Promise<void>): Promise<void> {
    const storage = this.#storageOf(key);
    const files = await listFiles(storage);
    const path = files[damage.pick % files.length];
    if (path === undefined) return;
    const bytes = await spoil(storage, path, damage);
    try {
      await look(path);
    } finally {
      await storage.put(path, bytes);
    }
  }

  #storageOf(key: Key): Storage {
    return required(this.#bare.get(key)).storage;
  }

  /** Ends all faults, archives and heals. All repositories must agree, and each one alone must restore the cluster. */
  async end(): Promise<void> {
    for (const key of KEYS) await this.calm(key);
    // Labels follow the time. Move past any label that a stepped clock put into the future.
    this.clock.skewMs += 2 * 86_400_000;
    await this.clock.held.advance(1000);
    expect(await this.archive()).toBe(true);
    await this.heal(null);
    for (const result of await this.backup("incr", null)) if (!result.ok) throw result.error;
    for (const result of await this.backup("full", null)) if (!result.ok) throw result.error;
    expect(await this.archive()).toBe(true);
    await this.heal(null);
    const missing = new Map(KEYS.map((key) => [key as number, new Set(this.#missingWal.list(key))]));
    for (const [key, names] of missing)
      for (const name of names)
        expect(await this.#isGivenUpElsewhere(name, key), `repo${key} lacks ${name}`).toBe(true);
    await this.checkWal(true);
    await this.checkAgreement(true);
    const now = Object.fromEntries(this.cluster.snapshot());
    for (const repo of this.bare()) {
      const label = await this.restore([repo]);
      expect(Object.fromEntries(required(this.#snapshots.get(`${repo.key}:${label}`)))).toEqual(now);
      // One repository restores each backup. For the other repositories verify has read the bytes.
      const labels = (await this.labels(repo)).filter((_, index) => index % KEYS.length === repo.key % KEYS.length);
      for (const each of labels) expect(await this.restore([repo], each)).toBe(each);
    }
  }

  /**
   * After heal, each repository holds all acknowledged WAL from its oldest backup on, and verify reports no problem.
   */
  async checkAgreement(afresh = false): Promise<void> {
    await this.checkRepositories(afresh);
    const isArchived = (await listReady(this.cluster.walDirectory, 1)).length === 0;
    for (const repo of this.bare()) {
      const missing = this.#missingWal.list(repo.key);
      const from = await this.neededFrom(repo);
      const held = await this.#heldBy(repo);
      const lacking = from === null ? [] : [...this.acknowledged].filter((name) => name >= from && !held.has(name));
      for (const name of lacking)
        expect(await this.#isGivenUpElsewhere(name, repo.key), `${repo.name} lacks ${name} after heal`).toBe(true);
      if (lacking.length === 0 && missing.length === 0 && isArchived)
        expect((await this.verify(repo)).problems).toEqual([]);
    }
  }

  /** The oldest segment that a backup in the repository needs; null without backups. */
  async neededFrom(repo: Repository): Promise<string | null> {
    const { backups } = await loadBackupInfo(repo);
    return backups.flatMap((entry) => (entry.archiveStart === null ? [] : [entry.archiveStart])).sort()[0] ?? null;
  }

  /**
   * Retention in other repositories may remove WAL before heal copies it. Heal stops tracking such WAL once a newer
   * backup does not need it.
   */
  async #isLetGo(name: string, repo: Repository): Promise<boolean> {
    const { backups } = await loadBackupInfo(repo);
    if (!backups.some(({ archiveStart }) => archiveStart !== null && archiveStart > name)) return false;
    this.count("records let go");
    for (const other of this.bare()) if ((await this.#heldBy(other)).has(name)) return false;
    return true;
  }

  async #isGivenUpElsewhere(name: string, repoIndex: number): Promise<boolean> {
    this.count("records that retention kept from ending");
    const others = this.bare().filter((repo) => repo.key !== repoIndex);
    const from = await Promise.all(others.map((repo) => this.neededFrom(repo)));
    return from.every((oldest) => oldest !== null && name < oldest);
  }

  async labels(repo: Repository): Promise<string[]> {
    return (await loadBackupInfo(repo)).backups.map((entry) => entry.label);
  }

  /** True when every repository has a backup and the WAL file is older than the oldest one. */
  async isGivenUp(name: string): Promise<boolean> {
    const from = await Promise.all(this.bare().map((repo) => this.neededFrom(repo)));
    return from.every((oldest) => oldest !== null && name < oldest);
  }

  /** Names of the stored WAL files. @throws when the content of one is wrong */
  async #heldBy(repo: Repository): Promise<Set<string>> {
    const pass = (await loadArchiveInfo(repo)).cipherPass ?? null;
    const names = new Set<string>();
    for await (const stored of listWal(repo, ARCHIVE_ID)) {
      const id = `${repo.key}/${stored.fileName}`;
      if (!this.#seen.has(id)) {
        const hash = createHash("sha1");
        for await (const chunk of await openWal(repo, ARCHIVE_ID, stored, pass)) hash.update(chunk);
        expect(hash.digest("hex"), `content of ${id}`).toBe(sha1Hex(required(this.cluster.wal.get(stored.name))()));
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

  /** Advances the clock until `work` ends, in steps that grow after 20 turns. A busy driver slows the clock. */
  async #until<T>(work: Promise<T>): Promise<T> {
    let ended = false;
    const done = work.finally(() => {
      ended = true;
    });
    done.catch(() => {});
    for (let turn = 0; !ended; turn++) {
      if (turn > TURNS_MAX) throw new Error(`not ended after ${turn} turns`);
      const isBusy = [...this.#weather.values()].some((weather) => weather.inFlight > 0);
      if (!isBusy || turn % TURNS_HELD === 0) await this.clock.held.advance(turn < 20 ? 20 : 200);
      await pause(1);
    }
    return done;
  }

  /** Allows a failure only for a reason: the process died, a repository is in trouble, or the clock went back. */
  #requireExcuse(thrown: unknown, mortal: Mortal, what: string, repoIndex?: number): void {
    const error = toBackupError(thrown);
    if (mortal.dead) return;
    if (repoIndex === undefined ? this.troubled.size > 0 : this.troubled.has(repoIndex as Key)) return;
    if (this.clock.skewMs < 0 && what === "backup") return;
    // PostgreSQL continued when the policy was satisfied. The segment is recorded as this repository's missing WAL.
    if (
      what === "backup" &&
      isError(error, "archiveTimeout") &&
      this.#missingWal.list(repoIndex ?? 0).some((name) => error.message.includes(name))
    )
      return;
    // Under policy all, trouble in another repository stops the archiver, so this one never gets its segments.
    if (what === "backup" && isError(error, "archiveTimeout") && this.troubled.size > 0) return;
    throw fail(
      "unhandled",
      `${what} failed without a reason${repoIndex === undefined ? "" : ` in repo${repoIndex}`}: ${error.stack ?? error.message}`,
      {
        cause: thrown,
      },
    );
  }
}

function required<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error("the model expected a value here");
  return value;
}
