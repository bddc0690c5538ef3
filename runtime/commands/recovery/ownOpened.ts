/** Past moments that a command opens for itself, mounted instead of restored, and closes at its end. */
import { isError } from "../../base/errors";
import { actAs } from "../../local/actAs";
import { acquireLock, type LockFile } from "../../local/lockFile";
import { existsSync } from "../../local/nodeFiles";
import { prepareRoot } from "../../operations/drill/scratch";
import { openedDataTimeMs, requireFuse, requireOpened } from "../../operations/open/openBackup";
import { loadProgress, loadState, type OpenLocation, openLocation } from "../../operations/open/openLocation";
import type { Account } from "../../operations/open/tree";
import { Session } from "../../postgres/session";
import { SessionGroup } from "../../postgres/sessionGroup";
import type { CommandProcess } from "../../process/commandProcess";
import { drillPathOf } from "./besideProduction";
import { accountOf, discardOpened, openArgs, type OpenedMoment } from "./open";

/** Only names the sockets. */
export const OWN_PORT = 54330;
/** A server may sort a whole table before its first row. */
const QUERY_TIMEOUT_MS = 86_400_000;
/** The `open` of a killed command goes on until its files are served. */
const OPENING_MS = 60_000;
const POLL_MS = 200;

/** Mounts of a killed command are removed by the next one of its stanza, which has its lock. */
export class OwnOpened {
  readonly account: Account;
  readonly user: string;
  readonly #proc: CommandProcess;
  readonly #prefix: string;
  readonly #lock: LockFile;
  readonly #sessions = new SessionGroup();
  readonly #locations: OpenLocation[];

  private constructor(proc: CommandProcess, account: Account, prefix: string, names: readonly string[]) {
    const { config, users } = proc;
    const [pg] = config.pgs;
    this.#proc = proc;
    this.account = account;
    this.user = pg?.user ?? users.userName(account.uid) ?? "postgres";
    this.#prefix = prefix;
    this.#locations = names.map((name) => openLocation(`${prefix}-${name}`));
    const [lockPath, stanza] = [prefix.replace(/\/[^/]*$/, ""), prefix.replace(/^.*\//, "")];
    this.#lock = acquireLock({ lockPath, stanza, kind: "opening", owners: [account.uid], ...proc.process });
  }

  /**
   * @param names of the moments, in the names of their directories
   * @param asked says where
   * @throws access, lockAcquire (50) while another one runs
   */
  static async begin(
    proc: CommandProcess,
    names: readonly string[],
    asked: Parameters<typeof drillPathOf>[1] = {},
  ): Promise<OwnOpened> {
    const { config } = proc;
    requireFuse(proc.self.uid === 0);
    const account = await accountOf(proc);
    const folder = drillPathOf(proc, asked);
    await actAs(account, () => prepareRoot(folder));
    const own = new OwnOpened(proc, account, `${folder}/${config.stanza ?? ""}-${config.command}`, names);
    try {
      await own.#closeAll();
      return own;
    } catch (error) {
      own.#lock.release();
      throw error;
    }
  }

  /** @throws execute with what `open` says */
  async open(name: string, moment: OpenedMoment, signal = this.#proc.ctx.signal): Promise<OpenLocation> {
    const location = openLocation(`${this.#prefix}-${name}`);
    const args = openArgs(this.#proc, { at: location.at, port: OWN_PORT }, moment);
    requireOpened(await this.#proc.program([...args, "--closed-by-caller"], { signal, isOwn: true }));
    return location;
  }

  /** Closed by {@link end}, and when `signal` aborts. */
  connect({ folder }: OpenLocation, database: string, signal = this.#proc.ctx.signal): Promise<Session> {
    const session = Session.open({
      host: folder,
      port: OWN_PORT,
      user: this.user,
      database,
      queryTimeoutMs: QUERY_TIMEOUT_MS,
      applicationName: `pgbackstop ${this.#proc.config.command}`,
    });
    return this.#sessions.add(session, signal);
  }

  /** The server knows its account, not root. Closed by {@link end}. */
  async production(database?: string): Promise<Session> {
    // Connected first, even after an abort: this process has the account's rights until then, and root's work follows.
    const session = await actAs(this.account, () => this.#proc.newSession(database));
    return this.#sessions.add(Promise.resolve(session), this.#proc.ctx.signal);
  }

  /** `backup 20261120-020000F of repo1, at 2026-11-20T06:39:58.412Z`. */
  async describe(location: OpenLocation, session: Session): Promise<string> {
    const { backup } = (await loadState(location)) ?? {};
    const time = new Date(await openedDataTimeMs(location, session)).toISOString();
    return `backup ${backup?.label} of ${backup?.repo}, at ${time}`;
  }

  /** How much of the backup was fetched; nothing of nothing if that is unknown. */
  async fetched(location: OpenLocation): Promise<{ readonly fetchedBytes: number; readonly totalBytes: number }> {
    const { missingBytes, totalBytes } = (await loadProgress(location)) ?? { missingBytes: 0, totalBytes: 0 };
    return { fetchedBytes: totalBytes - missingBytes, totalBytes };
  }

  /** Also after an abort. */
  async end(): Promise<void> {
    try {
      await this.close();
    } finally {
      this.#lock.release();
    }
  }

  /** Also after an abort; another moment may be opened then. */
  async close(): Promise<void> {
    await this.#sessions.close();
    await this.#closeAll();
  }

  async #closeAll(): Promise<void> {
    for (const location of this.#locations) await this.#close(location);
  }

  async #close({ at, folder }: OpenLocation): Promise<void> {
    if (!existsSync(folder)) return;
    const { clock } = this.#proc.ctx;
    const endMs = clock.monotonicMs() + OPENING_MS;
    for (;;) {
      try {
        await discardOpened(this.#proc, { at, account: this.account });
        return;
      } catch (error) {
        if (!isError(error, "lockAcquire") || clock.monotonicMs() > endMs) throw error;
        await clock.sleep(POLL_MS, new AbortController().signal);
      }
    }
  }
}
