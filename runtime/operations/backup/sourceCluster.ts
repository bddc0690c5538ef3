/**
 * What a backup needs from the cluster besides its files: start, stop, and the time there.
 *
 * Online that is a running server ({@link OnlineCluster}). With `--no-online` the server is down and its files are at
 * rest. All of pg_wal then belongs to the backup, and starting it needs no archived WAL ("pgbackrest-format" 15, last
 * paragraph).
 */
import { access } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import type { Manifest } from "../../format/repository/manifest";
import type { PgControl } from "../../format/page/pgControl";
import { parseWalName } from "../../format/wal/walSegment";
import type { UserNames } from "../../local/users";
import { nullIfMissing, systemError } from "../../local/systemError";
import { loadControlFile } from "../../postgres/controlFile";
import type { ServerView } from "../../postgres/container/serverPaths";
import type { BackupStart, BackupStop, Session } from "../../postgres/session";
import { type ArchiverOptions, requireArchiver } from "../check/archiving";
import { keepServerFiles, type KeepTarget } from "../shared/serverFiles";
import { waitForWal } from "../shared/waitWal";
import type { DeltaInput } from "./fileChoices";
import type { BackupRun } from "./run";
import {
  checkVersion,
  chooseServers,
  requireSameRoles,
  type ServerCandidate,
  type Servers,
  type StandbyMode,
  waitForStandby,
} from "./chooseServers";

interface StartOptions {
  readonly startFast: boolean;
  readonly archiveCheck: boolean;
  readonly archiveTimeoutMs: number;
}

export interface Cluster {
  /** Data directory of the server that the manifest describes. */
  readonly dataDirectory: string;
  /** How a server in a container calls its paths; undefined: as this machine does. */
  readonly view: ServerView | undefined;
  /** The source of relations when a standby shares the work. */
  readonly standbyDirectory: string | null;
  readonly inRecovery: boolean;
  readonly online: boolean;
  readonly times: DeltaInput["times"];
  /** Keeps out other backups of the cluster, as far as the server can. */
  lock(): Promise<void>;
  nowMs(): Promise<number>;
  /** Null if there is nothing to start. */
  start(run: BackupRun, control: PgControl, options: StartOptions, ctx: Context): Promise<BackupStart | null>;
  /** Names by oid. */
  tablespaces(): Promise<ReadonlyMap<number, string>>;
  databases(): Promise<Manifest["databases"]>;
  /** Called after the copy. Null if there is nothing to stop. */
  stop(control: PgControl, ctx: Context): Promise<BackupStop | null>;
  /** Stores configuration files from outside the data directory with each backup. */
  keepFiles(targets: readonly KeepTarget[], users: UserNames, ctx: Context): Promise<void>;
}

interface OpenOnline extends ArchiverOptions {
  readonly standby: StandbyMode;
  readonly archiveCheck: boolean;
  /** Has the primary of a standby end its WAL segment. */
  readonly endPrimarySegment?: (session: Session) => Promise<void>;
}

/** A cluster with a running server, and its standby if that provides the files. */
export class OnlineCluster implements Cluster {
  readonly online = true;
  readonly #servers: Servers;
  readonly #options: Pick<OpenOnline, "endPrimarySegment" | "slot">;

  private constructor(servers: Servers, options: Pick<OpenOnline, "endPrimarySegment" | "slot">) {
    this.#servers = servers;
    this.#options = options;
  }

  /**
   * @throws dbConnect (56), dbMismatch (58), versionNotSupported (46), archiveDisabled (87), archiveCommandInvalid (68)
   */
  static async open(candidates: readonly ServerCandidate[], options: OpenOnline, ctx: Context): Promise<OnlineCluster> {
    const { archiveCheck, slot, standby } = options;
    const servers = await chooseServers(candidates, { mode: standby, standbyAlone: slot?.onStandby === true }, ctx);
    // A standby's own setting does not determine who archives its WAL.
    if (archiveCheck && (slot !== null || !servers.main.facts.inRecovery))
      await requireArchiver(servers.main.session, options, ctx);
    return new OnlineCluster(servers, options);
  }

  get dataDirectory(): string {
    return this.#servers.main.dataDirectory;
  }

  get view(): ServerView | undefined {
    return this.#servers.main.view;
  }

  get standbyDirectory(): string | null {
    return this.#servers.standby?.dataDirectory ?? null;
  }

  get inRecovery(): boolean {
    return this.#servers.main.facts.inRecovery;
  }

  get times(): DeltaInput["times"] {
    if (this.inRecovery) return "standby alone";
    return this.#servers.standby === null ? "primary" : "primary with standby";
  }

  lock(): Promise<void> {
    return this.#servers.main.session.takeBackupLock();
  }

  nowMs(): Promise<number> {
    return this.#servers.main.session.nowMs();
  }

  async start(run: BackupRun, control: PgControl, options: StartOptions, ctx: Context): Promise<BackupStart> {
    const { main, standby } = this.#servers;
    const { session, facts } = main;
    const fast = options.startFast ? "immediate" : "next regular";
    ctx.log.info(`execute non-exclusive backup start: backup begins after the ${fast} checkpoint completes`);
    // A standby cannot switch segments; the wait at the stop shows what is missing.
    const checkSegment = options.archiveCheck && !facts.inRecovery ? await session.currentWalName() : null;
    const begun = await session.startBackup(options.startFast, control.walSegmentSizeBytes);
    ctx.log.info(`backup start archive = ${begun.walName}, lsn = ${begun.lsn}`);
    // If the backup started in the checked segment, nothing would be archived before the stop ("pgbackrest-format" 15,
    // step 6).
    if (checkSegment === begun.walName) await session.switchWal("pgBackRest Archive Check");
    if (standby !== null)
      await waitForStandby(
        standby,
        begun.lsn,
        parseWalName(begun.walName)?.timeline ?? 0,
        options.archiveTimeoutMs,
        ctx,
      );
    if (checkSegment !== null) {
      ctx.log.info(`check archive for segment ${checkSegment}`);
      const wait = { timeoutMs: options.archiveTimeoutMs, segmentSizeBytes: control.walSegmentSizeBytes };
      await run.forEach(async (open) => {
        await waitForWal(open.archive(), checkSegment, wait, ctx);
      });
      run.requireOne();
    }
    return begun;
  }

  async tablespaces(): Promise<ReadonlyMap<number, string>> {
    return new Map((await this.#servers.main.session.listTablespaces()).map((row) => [row.id, row.name]));
  }

  databases(): Promise<Manifest["databases"]> {
    return this.#servers.main.session.listDatabases();
  }

  async stop(control: PgControl, ctx: Context): Promise<BackupStop> {
    await requireSameRoles(this.#servers);
    const stopped = await this.#servers.main.session.stopBackup(control.walSegmentSizeBytes);
    ctx.log.info(`backup stop archive = ${stopped.walName}, lsn = ${stopped.lsn}`);
    if (this.inRecovery && this.#options.slot?.onStandby === true) await this.#endSegment(ctx);
    return stopped;
  }

  /** Where nobody archives at the primary, its quiet server might end the segment only in hours. */
  async #endSegment(ctx: Context): Promise<void> {
    try {
      await this.#options.endPrimarySegment?.(this.#servers.main.session);
    } catch (error) {
      ctx.signal.throwIfAborted();
      ctx.log.info(`the primary does not end its segment for this backup: ${toBackupError(error).message}`);
    }
  }

  keepFiles(targets: readonly KeepTarget[], users: UserNames, ctx: Context): Promise<void> {
    const { session, dataDirectory } = this.#servers.main;
    return keepServerFiles(session, dataDirectory, users, targets, ctx, this.view);
  }
}

type OfflineSource = Pick<ServerCandidate, "dataDirectory" | "view">;

/** A cluster whose server is down. */
export class OfflineCluster implements Cluster {
  readonly dataDirectory: string;
  readonly view: ServerView | undefined;
  readonly standbyDirectory = null;
  readonly inRecovery = false;
  readonly online = false;
  readonly times = "primary";
  readonly #force: boolean;
  readonly #clock: Context["clock"];

  private constructor({ dataDirectory, view }: OfflineSource, force: boolean, clock: Context["clock"]) {
    this.dataDirectory = dataDirectory;
    this.view = view;
    this.#force = force;
    this.#clock = clock;
  }

  /** @throws pgRunning (38) when the server seems to run, unless `force`; versionNotSupported (46) */
  static async open(
    source: OfflineSource,
    options: { readonly standby: StandbyMode; readonly force: boolean },
    ctx: Context,
  ): Promise<OfflineCluster> {
    if (options.standby !== "n") {
      ctx.log.warn(
        "option backup-standby is enabled but backup is offline - backups will be performed from the primary",
      );
    }
    const { dataDirectory } = source;
    if (await hasPidFile(dataDirectory)) {
      if (!options.force) {
        throw fail(
          "pgRunning",
          "--no-online passed but postmaster.pid exists - looks like PostgreSQL is running. Shut down PostgreSQL and try again, or use --force.",
        );
      }
      ctx.log.warn(
        "--no-online passed and postmaster.pid exists but --force was passed so backup will continue though it looks like PostgreSQL is running and the backup will probably not be consistent",
      );
    }
    checkVersion((await loadControlFile(dataDirectory, ctx)).control.pgVersion);
    return new OfflineCluster(source, options.force, ctx.clock);
  }

  async lock(): Promise<void> {
    // There is no server to hold it; the lock files keep other backups out.
  }

  async nowMs(): Promise<number> {
    return this.#clock.nowMs();
  }

  async start(): Promise<null> {
    return null;
  }

  /** Only the server knows the names. */
  async tablespaces(): Promise<ReadonlyMap<number, string>> {
    return new Map();
  }

  async databases(): Promise<Manifest["databases"]> {
    return [];
  }

  /** @throws pgRunning (38) when the server was started during the copy: without WAL such a copy is useless */
  async stop(control: PgControl, ctx: Context): Promise<null> {
    if (this.#force) return null;
    const isStarted = await hasPidFile(this.dataDirectory);
    if (isStarted || (await loadControlFile(this.dataDirectory, ctx)).control.checkpointLsn !== control.checkpointLsn) {
      throw fail("pgRunning", "PostgreSQL was started during the --no-online backup, so the backup is inconsistent", {
        hint: "Keep PostgreSQL down until the backup has ended, or back it up online.",
      });
    }
    return null;
  }

  async keepFiles(): Promise<void> {
    // Only the server knows where these files are.
  }
}

async function hasPidFile(dataDirectory: string): Promise<boolean> {
  const path = `${dataDirectory}/postmaster.pid`;
  return (
    (await nullIfMissing(access(path), (error) => systemError("fileOpen", `look for '${path}'`, path, error))) !== null
  );
}
