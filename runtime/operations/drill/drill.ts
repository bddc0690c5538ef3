/**
 * `drill`: a fire drill. One repository and one backup are restored beside production into a directory of our own, a neutral server recovers
 * them, what comes back is checked and timed, and all of it is removed again. Production is asked a few questions and never touched.
 *
 * Only the drilled repository gives files and WAL: nothing of another one may hide what it lacks. Errors of the drill itself end in its
 * record; only what keeps a drill from being made (another one runs, no rights) is thrown.
 */
import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import { formatSize } from "../../base/units";
import { currentHistory } from "../../format/archiveInfo";
import type { BackupInfo } from "../../format/backupInfo";
import { lsnOfSegment } from "../../format/walSegment";
import { isMissing, systemError } from "../../local/systemError";
import type { UserNames } from "../../local/users";
import type { Session } from "../../postgres/session";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { findNewestWal } from "../destinations";
import type { JobPool } from "../jobs";
import type { Owner } from "../restore/owners";
import type { RecoveryRequest } from "../restore/recovery";
import { restore } from "../restore/restore";
import { type CheckScene, checkRunning, checkStopped, type DrillAssertion, type DrillLevel } from "./checks";
import { listTurns } from "./history";
import { DrillJournal } from "./journal";
import { askReplayed, type Heartbeat, measureRpo } from "./measure";
import { boundedRestoreCommand } from "./neutral";
import { type Picked, pickBackup, planTurn, segmentSizeOf } from "./plan";
import { askProduction, type ProductionFacts } from "./production";
import type { DrillObjectives, DrillPick, DrillRecord } from "./record";
import { makeScratch, removeScratch, type Scratch } from "./scratch";
import { type PreparedServer, prepareServer } from "./server";

export interface DrillOptions {
  readonly stanza: string;
  /** Directory for drills of this machine. */
  readonly path: string;
  readonly binPath: string | undefined;
  readonly repoKey: number | undefined;
  /** Those that come in their turn; undefined is all. */
  readonly repoKeys: readonly number[] | undefined;
  readonly pick: DrillPick | undefined;
  readonly set: string | undefined;
  readonly level: DrillLevel;
  /** For the repository that is drilled. */
  objectivesOf(repoKey: number): DrillObjectives;
  readonly heartbeat: Heartbeat | undefined;
  readonly assertions: readonly DrillAssertion[];
  /** The drill fails when it takes longer. */
  readonly maxMinutes: number;
  /** It is not begun when more would be restored or fetched. */
  readonly maxBytes: number | undefined;
  /** Role and database to connect as. */
  readonly user: string;
  readonly database: string;
  /** {@link Context.clock}'s monotonic time when the program was started. */
  readonly beganMs: number;
}

export interface DrillDeps {
  readonly repos: readonly Repository[];
  readonly pool: JobPool;
  readonly users: UserNames;
  readonly self: Owner;
  /** For a repository and a data directory. */
  restoreCommand(repoKey: number, dataDirectory: string): string;
  /** A session with production that the caller closes. */
  openProduction(database?: string): Promise<Session>;
}

/** Room for WAL, beside the files: what a small drill needs, whatever its backup's size. */
const WAL_ROOM_BYTES = 512 * 1024 * 1024;
const MINUTE_MS = 60_000;

export async function drill(deps: DrillDeps, options: DrillOptions, ctx: Context): Promise<DrillRecord> {
  const run = new Drill(deps, options, ctx);
  await withTimeTo(options.maxMinutes * MINUTE_MS, ctx.clock, (enough) => run.make(enough));
  return run.record();
}

interface Chosen {
  readonly repo: Repository;
  readonly info: BackupInfo;
  readonly picked: Picked;
  /** That recovery may use; null without one, or where it is not of the backup's cluster. */
  readonly newestWal: string | null;
}

class Drill {
  readonly #deps: DrillDeps;
  readonly #options: DrillOptions;
  readonly #ctx: Context;
  readonly #journal: DrillJournal;

  constructor(deps: DrillDeps, options: DrillOptions, ctx: Context) {
    this.#deps = deps;
    this.#options = options;
    this.#ctx = ctx;
    this.#journal = new DrillJournal(options, ctx);
  }

  /** Never throws: what goes wrong is in the record. */
  async make(enough: AbortSignal): Promise<void> {
    const ctx = { ...this.#ctx, signal: AbortSignal.any([this.#ctx.signal, enough]) };
    let scratch: Scratch | null = null;
    let server: PreparedServer | null = null;
    try {
      const chosen = await this.#choose(ctx);
      // Beside the restore: a real one would not wait for it.
      const asked = this.#askProduction(chosen, ctx).catch(() => null);
      scratch = await makeScratch(this.#options.path, this.#options.stanza, this.#journal.id, PORT);
      this.#journal.next("restore");
      await this.#restore(chosen, scratch, ctx);
      const production = await asked;
      this.#journal.next("recovery");
      server = await this.#prepare(chosen, scratch, production, ctx);
      const session = await server.server.connectFirst(ctx);
      this.#journal.connected();
      this.#journal.next("checks");
      try {
        await this.#check(chosen, server, session, production, ctx);
      } finally {
        await session.close();
      }
    } catch (error) {
      this.#journal.fail(this.#journal.phase, enough.aborted && !this.#ctx.signal.aborted ? this.#tooLong() : toBackupError(error));
    }
    this.#journal.next("delete");
    await this.#remove(scratch, server);
    this.#journal.next("end");
    this.#journal.judge();
  }

  record(): DrillRecord {
    return this.#journal.record();
  }

  async #choose(ctx: Context): Promise<Chosen> {
    const { pick, repoKey, repoKeys, set } = this.#options;
    const { repos } = this.#deps;
    const history = repoKey !== undefined && pick !== undefined ? [] : await listTurns(repos, ctx);
    this.#journal.turn = planTurn({ repoKeys: repoKeys ?? repos.map(({ key }) => key), history, repoKey, pick });
    const repo = repos.find(({ key }) => key === this.#journal.turn.repo);
    if (repo === undefined) throw fail("optionInvalidValue", `'${this.#journal.turn.repo}' is not allowed for 'repo' option: it is not configured`);
    ctx.log.info(`drill ${this.#journal.id}: ${repo.name}, ${set ?? `${this.#journal.turn.pick} backup`}`);
    const info = await loadBackupInfo(repo);
    const ended = info.backups.map(({ stoppedAtS }) => stoppedAtS);
    this.#journal.newestAgeS = ended.length === 0 ? null : Math.max(0, this.#journal.beganAtMs / 1000 - Math.max(...ended));
    const newest = (await findNewestWal(repo))?.name ?? null;
    const size = segmentSizeOf(info.backups) ?? SEGMENT_SIZE_BYTES;
    const random = [this.#draw(), this.#draw()] as const;
    const request = {
      repoKey: repo.key,
      pick: this.#journal.turn.pick,
      backups: info.backups,
      newestWal: newest,
      walSegmentSizeBytes: size,
      set,
      random,
    };
    const picked = pickBackup(request);
    this.#journal.picked = picked;
    if (picked.note !== undefined) ctx.log.info(`drill: ${picked.note}`);
    const isCurrent = picked.backup.dbId === currentHistory(info).id;
    const chosen = { repo, info, picked, newestWal: isCurrent ? newest : null };
    await guardCost(chosen, size, this.#options);
    return chosen;
  }

  /** From 0 to below 1. */
  #draw(): number {
    return Buffer.from(this.#ctx.random.bytes(4)).readUInt32LE() / 2 ** 32;
  }

  /** Only a cluster of the same identity is what was backed up. */
  async #askProduction({ info, picked }: Chosen, ctx: Context): Promise<ProductionFacts | null> {
    const found = await askProduction((database) => this.#deps.openProduction(database), ctx);
    const own = info.history.find(({ id }) => id === picked.backup.dbId);
    return found !== null && found.systemId === own?.systemId ? found : null;
  }

  async #restore({ picked, repo }: Chosen, scratch: Scratch, ctx: Context): Promise<void> {
    const { pool, self, users } = this.#deps;
    const outcome = await restore(
      [repo],
      { pool, users },
      {
        dataDirectory: scratch.dataDirectory,
        tablespaceMap: {},
        tablespaceMapAll: scratch.tablespaces,
        linkMap: {},
        linkAll: false,
        set: picked.backup.label,
        delta: false,
        force: false,
        databaseInclude: [],
        databaseExclude: [],
        checksumPageError: true,
        typeIsDefault: picked.type === "default",
        spoolPath: scratch.spool,
        self,
        recovery: recoveryOf(picked, ""),
      },
      ctx,
    );
    this.#journal.restoredBytes = outcome.sizeBytes;
  }

  #prepare(chosen: Chosen, scratch: Scratch, production: ProductionFacts | null, ctx: Context): Promise<PreparedServer> {
    const { binPath, database, user } = this.#options;
    const { info, newestWal, picked, repo } = chosen;
    const command = boundedRestoreCommand(this.#deps.restoreCommand(repo.key, scratch.dataDirectory), newestWal);
    const version = info.history.find(({ id }) => id === picked.backup.dbId)?.pgVersion ?? "";
    const recovery = recoveryOf(picked, command);
    return prepareServer({ scratch, version, binPath, user, database, recovery, preload: production?.preload, port: PORT }, ctx);
  }

  async #check(chosen: Chosen, prepared: PreparedServer, session: Session, production: ProductionFacts | null, ctx: Context): Promise<void> {
    const { newestWal, picked } = chosen;
    const { assertions, heartbeat, level, user } = this.#options;
    const { server } = prepared;
    if (picked.type === "default") {
      const connect = (database?: string): Promise<Session> => server.connect(database);
      const rpo = { faultAtS: this.#journal.beganAtMs / 1000, backupStoppedAtS: picked.backup.stoppedAtS, production, heartbeat, connect };
      try {
        this.#journal.rpo = await measureRpo({ ...rpo, replayed: await askReplayed(session) });
      } catch (error) {
        // The heartbeat's statement: the other checks are worth making all the same.
        if (ctx.signal.aborted) throw error;
        this.#journal.fail("rpo", toBackupError(error));
      }
    }
    const scene: CheckScene = {
      server,
      session,
      programs: prepared.programs,
      dataDirectory: prepared.dataDirectory,
      host: prepared.socketDirectory,
      port: PORT,
      user,
      level,
      assertions,
      picked,
      control: prepared.control,
      newestWal,
      production: picked.type === "default" ? (production?.counts ?? null) : null,
      lostWalBytes: this.#journal.rpo?.lostWalBytes ?? null,
    };
    this.#journal.keep(await checkRunning(scene, ctx));
    await session.close();
    await server.stop(ctx);
    this.#journal.keep(await checkStopped(scene, ctx));
  }

  /** Whatever happened before, and although the command may have been told to end. */
  async #remove(scratch: Scratch | null, prepared: PreparedServer | null): Promise<void> {
    try {
      await prepared?.server.end(this.#ctx);
      if (scratch !== null) await removeScratch(scratch.path);
    } catch (error) {
      this.#journal.fail("delete", toBackupError(error, "pathRemove"));
    }
  }

  #tooLong(): BackupError {
    return fail("runtime", `the drill took longer than ${this.#options.maxMinutes} minutes`, { hint: "give it more with --max-minutes." });
  }
}

/** In a directory that nobody else can enter any port will do; this one looks like no production's. */
const PORT = 54329;
const SEGMENT_SIZE_BYTES = 16 * 1024 * 1024;

function recoveryOf(picked: Picked, restoreCommand: string): RecoveryRequest {
  return {
    type: picked.type,
    target: picked.target,
    targetAction: "promote",
    targetExclusive: false,
    targetTimeline: undefined,
    archiveMode: "off",
    restoreCommand,
    options: {},
  };
}

/** Bytes and room, before anything is fetched. @throws runtime */
async function guardCost({ newestWal, picked }: Chosen, segmentSizeBytes: number, { maxBytes, path }: DrillOptions): Promise<void> {
  const { sizeBytes } = picked.backup;
  const fetched = fetchedBytes(picked, newestWal, segmentSizeBytes);
  if (maxBytes !== undefined && Math.max(fetched, sizeBytes) > maxBytes) {
    const what = `the drill would restore ${formatSize(sizeBytes)} and fetch up to ${formatSize(fetched)}, allowed are ${formatSize(maxBytes)}`;
    throw fail("runtime", what, { hint: "allow more with --max-bytes, or name a smaller backup with --set." });
  }
  const needed = Math.ceil(sizeBytes * ROOM_FACTOR) + WAL_ROOM_BYTES;
  const free = await freeBytes(path);
  if (free >= needed) return;
  throw fail("runtime", `'${path}' has room for ${formatSize(free)}, the drill needs ${formatSize(needed)}`, {
    hint: "name another directory with --drill-path.",
  });
}

const ROOM_FACTOR = 1.1;

/** What a drill may fetch: the backup as it is stored, and its WAL as if it were not compressed. */
export function fetchedBytes({ backup, type }: Picked, newestWal: string | null, segmentSizeBytes: number): number {
  const { archiveStart, archiveStop, repoSizeBytes } = backup;
  const segments = archiveStart === null ? 0 : countSegments(archiveStart, type === "immediate" ? archiveStop : newestWal, segmentSizeBytes);
  return repoSizeBytes + segments * segmentSizeBytes;
}

function countSegments(first: string, last: string | null, sizeBytes: number): number {
  if (last === null) return 0;
  const count = (lsnOfSegment(last, sizeBytes) - lsnOfSegment(first, sizeBytes)) / BigInt(sizeBytes) + 1n;
  return count > 0n ? Number(count) : 0;
}

/** Of the nearest directory that is there. */
async function freeBytes(path: string): Promise<number> {
  for (let at = path; ; at = dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return bavail * bsize;
    } catch (error) {
      if (!isMissing(error) || at === dirname(at)) throw systemError("fileInfo", `get free space of '${at}'`, at, error);
    }
  }
}
