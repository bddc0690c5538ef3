/**
 * Makes the stanza in repositories that have none, before the first WAL goes there: a cluster of CloudNativePG is made by a manifest, and nobody
 * runs `stanza-create` for it.
 *
 * Only whoever archives does this, which is the primary. A repository that cannot be reached is tried again beside the archiving, which goes on
 * in the others; one that belongs to another cluster is told and left as it is: WAL is refused there.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import type { CommandHost } from "../../commands/host";
import type { PgControl } from "../../format/page/pgControl";
import { repoErrorLine } from "../../operations/shared/results";
import { checkStanzas, stanzaCreate } from "../../operations/stanza/stanzaCreate";
import type { Repository } from "../../repository/repository";

/** How long the first archived file waits for repositories that do not answer. */
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

  /** Resolves when each repository has been asked once, or does not answer soon. Never throws: what is missing shows when WAL goes there. */
  async prepare(): Promise<void> {
    const open = this.#host.repositories().filter((repo) => !this.#ready.has(repo.key));
    if (open.length === 0) return;
    const nowMs = this.#ctx.clock.monotonicMs();
    const due = open.filter((repo) => !this.#running.has(repo.key) && nowMs - (this.#triedAtMs.get(repo.key) ?? -PAUSE_MS) >= PAUSE_MS);
    const firsts = due.map((repo) => {
      const first = this.#try(repo).finally(() => this.#running.delete(repo.key));
      this.#running.set(repo.key, first);
      this.#triedAtMs.set(repo.key, nowMs);
      return first;
    });
    if (firsts.length === 0) return;
    const done = new AbortController();
    await Promise.race([Promise.all(firsts), this.#ctx.clock.sleep(FIRST_WAIT_MS, AbortSignal.any([this.#ctx.signal, done.signal])).catch(() => {})]);
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
      this.#ctx.log.warn(`the stanza cannot be prepared: ${repoErrorLine(repo.key, toBackupError(error))}`);
    }
  }

  /** No lock file: no other program works beside this one, and its own archiving waits for this. Two pods may both take themselves for the primary. */
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
