/**
 * Creates the stanza in repositories that have none, before the first WAL: a manifest creates a CloudNativePG cluster,
 * and no one runs `stanza-create` for it.
 *
 * Only the archiving instance does this, the primary. An unreachable repository is retried while the others archive.
 * One that belongs to another cluster is reported and left alone: it refuses WAL.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import type { CommandHost } from "../../commands/host";
import type { PgControl } from "../../format/page/pgControl";
import { repoErrorLine } from "../../operations/shared/results";
import { checkStanzas, stanzaCreate } from "../../operations/stanza/stanzaCreate";
import type { Repository } from "../../repository/repository";

/** How long the first archived file waits for silent repositories. */
const FIRST_WAIT_MS = 5000;
const PAUSE_MS = 10_000;

/** The sidecar's process. */
export type KeeperHost = Pick<CommandHost, "loadControl" | "repositories" | "unlockedLeases">;

export class StanzaKeeper {
  readonly #host: KeeperHost;
  readonly #ctx: Context;
  readonly #ready = new Set<number>();
  readonly #running = new Map<number, Promise<void>>();
  readonly #triedAtMs = new Map<number, number>();

  constructor(host: KeeperHost, ctx: Context) {
    this.#host = host;
    this.#ctx = ctx;
  }

  /** Resolves when each repository has answered or timed out once. Never throws: archiving reports a missing stanza. */
  async prepare(): Promise<void> {
    const open = this.#host.repositories().filter((repo) => !this.#ready.has(repo.key));
    if (open.length === 0) return;
    const nowMs = this.#ctx.clock.monotonicMs();
    const due = open.filter(
      (repo) => !this.#running.has(repo.key) && nowMs - (this.#triedAtMs.get(repo.key) ?? -PAUSE_MS) >= PAUSE_MS,
    );
    const firsts = due.map((repo) => {
      const first = this.#try(repo).finally(() => this.#running.delete(repo.key));
      this.#running.set(repo.key, first);
      this.#triedAtMs.set(repo.key, nowMs);
      return first;
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
      const control = await this.#host.loadControl();
      const [checked] = await checkStanzas([repo], control, this.#ctx);
      if (checked?.ok === true && !checked.value) {
        await this.#create(repo, control);
      } else if (checked?.ok === false) throw checked.error;
      this.#ready.add(repo.key);
    } catch (error) {
      this.#ctx.log.warn(`unable to prepare the stanza: ${repoErrorLine(repo.key, toBackupError(error))}`);
    }
  }

  /**
   * No lock file: no other program works in this pod, and its archiving waits for this. Two pods may both believe that
   * they are the primary.
   */
  async #create(repo: Repository, control: PgControl): Promise<void> {
    const leases = this.#host.unlockedLeases(this.#ctx);
    try {
      await leases.take(repo, async () => {});
      const [created] = await stanzaCreate([repo], control, this.#ctx);
      if (created?.ok === false) throw created.error;
    } finally {
      await leases.releaseAll();
    }
  }
}
