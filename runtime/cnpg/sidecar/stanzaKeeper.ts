/**
 * Creates the stanza in repositories that have none, before the first WAL: a manifest creates a CloudNativePG cluster,
 * and no one runs `stanza-create` for it. After a major upgrade in place it upgrades the stanza, for the same reason.
 *
 * Only the archiving instance does this, the primary. An unreachable repository is retried while the others archive.
 * One that belongs to another cluster is reported and left alone: it refuses WAL. The previous cluster of this volume
 * is no other cluster: `pg_upgrade` in place gives the cluster a new system id and a newer version, starts its WAL
 * behind the previous cluster's, and leaves the record next to the data directory. Without all of that a new cluster of
 * the same name would take over the stanza, and retention would then remove the previous cluster's backups.
 */
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import type { RepoResult } from "../../base/parallel";
import type { CommandProcess } from "../../process/commandProcess";
import type { PgControl } from "../../format/page/pgControl";
import { currentHistory } from "../../format/repository/archiveInfo";
import { segmentOfLsn } from "../../format/wal/walSegment";
import { loadOwnClusters, saveOwnCluster, type OwnCluster } from "../../local/ownClusters";
import { findNewestWal } from "../../operations/info/destinations";
import { repoErrorLine } from "../../operations/shared/results";
import { checkStanzas, stanzaCreate } from "../../operations/stanza/stanzaCreate";
import { stanzaUpgrade } from "../../operations/stanza/stanzaUpgrade";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";

/** How long the first archived file waits for silent repositories. */
const FIRST_WAIT_MS = 5000;
const PAUSE_MS = 10_000;

/** The sidecar's process. */
export type KeeperProcess = Pick<CommandProcess, "loadControl" | "repositories" | "unlockedLeases"> & {
  readonly config: Pick<CommandProcess["config"], "spoolPath" | "stanza">;
};

export class StanzaKeeper {
  readonly #proc: KeeperProcess;
  readonly #ctx: Context;
  readonly #ready = new Set<number>();
  readonly #running = new Map<number, Promise<void>>();
  readonly #triedAtMs = new Map<number, number>();
  #remembered: Promise<void> | null = null;

  constructor(proc: KeeperProcess, ctx: Context) {
    this.#proc = proc;
    this.#ctx = ctx;
  }

  /**
   * Resolves when each repository has answered or timed out once: it waits for no later attempt, nor does a stop of the
   * server. Never throws: archiving reports a missing stanza.
   */
  async prepare(): Promise<void> {
    const open = this.#proc.repositories().filter((repo) => !this.#ready.has(repo.key));
    if (open.length === 0) return;
    const nowMs = this.#ctx.clock.monotonicMs();
    const due = open.filter(
      (repo) => !this.#running.has(repo.key) && nowMs - (this.#triedAtMs.get(repo.key) ?? -PAUSE_MS) >= PAUSE_MS,
    );
    const firsts = due.flatMap((repo) => {
      const trying = this.#try(repo).finally(() => this.#running.delete(repo.key));
      const isFirst = !this.#triedAtMs.has(repo.key);
      this.#running.set(repo.key, trying);
      this.#triedAtMs.set(repo.key, nowMs);
      return isFirst ? [trying] : [];
    });
    if (firsts.length === 0) return;
    const done = new AbortController();
    await Promise.race([
      Promise.all(firsts),
      this.#ctx.clock.sleep(FIRST_WAIT_MS, AbortSignal.any([this.#ctx.signal, done.signal])).catch(() => {}),
    ]);
    done.abort();
  }

  async #try(repo: Repository): Promise<void> {
    try {
      const control = await this.#proc.loadControl();
      const [checked] = await checkStanzas([repo], control, this.#ctx);
      if (checked?.ok === true && !checked.value) {
        await this.#leased(repo, () => stanzaCreate([repo], control, this.#ctx));
      } else if (checked?.ok === false) {
        const former = await this.#findFormer(repo, control);
        if (former === null) throw checked.error;
        await this.#upgrade(repo, control, former);
      }
      await this.#remember(control);
      this.#ready.add(repo.key);
    } catch (error) {
      this.#ctx.log.warn(`unable to prepare the stanza: ${repoErrorLine(repo.key, toBackupError(error))}`);
    }
  }

  /** The previous cluster of this volume, if the repository's archive is its, and this one may be its upgrade. */
  async #findFormer(repo: Repository, control: PgControl): Promise<OwnCluster | null> {
    const { spoolPath, stanza = "" } = this.#proc.config;
    const owned = await loadOwnClusters(spoolPath, stanza);
    const { pgVersion, systemId } = currentHistory(await loadArchiveInfo(repo));
    // An interrupted upgrade has reached archive.info alone.
    const isBegun = pgVersion === control.pgVersion && systemId === control.systemId;
    const former = owned.findLast((each) =>
      isBegun ? each.systemId !== systemId : each.version === pgVersion && each.systemId === systemId,
    );
    if (former === undefined || Number(control.pgVersion) <= Number(former.version)) return null;
    const newest = isBegun ? null : await findNewestWal(repo);
    const first = segmentOfLsn(control.timeline, control.redoLsn, control.walSegmentSizeBytes);
    const isBehind = control.redoLsn > former.lsn && (newest === null || positionOf(newest.name) < positionOf(first));
    return isBehind ? former : null;
  }

  async #upgrade(repo: Repository, control: PgControl, former: OwnCluster): Promise<void> {
    const { log } = this.#ctx;
    log.info(
      `${repo.name}: this volume's cluster was upgraded from PostgreSQL ${former.version} to ${control.pgVersion}: upgrading the stanza`,
    );
    await this.#leased(repo, async () => {
      // Read again under the lease: another host may have upgraded the stanza to its own cluster.
      if ((await this.#findFormer(repo, control)) === null)
        throw fail("dbMismatch", "the stanza has changed in the meantime", { repoIndex: repo.key, retryable: true });
      return stanzaUpgrade([repo], control, this.#ctx, former);
    });
  }

  /** Proves after the next upgrade that this volume held the stanza's cluster. Once for each process. */
  #remember({ checkpointLsn: lsn, pgVersion: version, systemId }: PgControl): Promise<void> {
    const { spoolPath, stanza = "" } = this.#proc.config;
    this.#remembered ??= saveOwnCluster(spoolPath, stanza, { version, systemId, lsn }).catch((error: unknown) =>
      this.#ctx.log.warn(
        `unable to record this cluster, so the stanza will not follow a major upgrade: ${toBackupError(error).message}`,
      ),
    );
    return this.#remembered;
  }

  /**
   * No lock file: no other program works in this pod, and its archiving waits for this. Two pods may both believe that
   * they are the primary.
   */
  async #leased(repo: Repository, write: () => Promise<readonly RepoResult<unknown>[]>): Promise<void> {
    const leases = this.#proc.unlockedLeases(this.#ctx);
    try {
      await leases.take(repo, async () => {});
      const [written] = await write();
      if (written?.ok === false) throw written.error;
    } finally {
      await leases.releaseAll();
    }
  }
}

/** A segment's name without its timeline: pg_upgrade begins a new first one. */
function positionOf(walName: string): string {
  return walName.slice(8);
}
