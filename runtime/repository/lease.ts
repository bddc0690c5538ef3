/**
 * The lease of a stanza in one repository: at any time one process, of any host or pod, may write backups there
 * (docs/internals/concurrency.md). A second one, with the same rules, is for logical dumps.
 *
 * A lease is a row of numbered terms in the repository. The highest term is the holder's; only its owner writes it, and
 * no number is used twice. A process that wants the lease claims the next term. If the storage creates files
 * exclusively, one claimant gets it. Otherwise each claimant writes its own file and lists. A claimant that sees
 * another claim withdraws, so at most one stays, as long as a listing shows what was written before it.
 *
 * A holder is dead when its process is gone from the caller's machine, which the caller sees if both are of one domain,
 * or when its file has not changed for two minutes of the caller's own monotonic clock. Clocks of two machines are
 * never compared. If a holder was declared dead and wakes, it finds a higher term: its {@link Lease.check} fails, so
 * that it writes and publishes nothing more.
 */
import { basename } from "node:path";
import { collect, textOf, utf8 } from "../base/bytes";
import { elapsedMs, type Moment, momentOf } from "../base/clock";
import type { Context } from "../base/context";
import { assert, type BackupError, fail, nullOn, toBackupError } from "../base/errors";
import {
  LEASE_TERM_MAX,
  type LeaseHolder,
  type LeaseName,
  type LeaseTerm,
  leaseFloorPath,
  leaseMark,
  leaseTermOf,
  leaseTermPath,
  parseLeaseFloor,
  parseLeaseName,
  parseLeaseTerm,
  renderLeaseFloor,
  renderLeaseTerm,
} from "../format/repository/leaseFile";
import { leasePath, type LeaseWork } from "../format/repository/repoPath";
import type { Storage } from "../storage/storage";
import type { Repository } from "./repository";

/** Proves that this process may write backups into the repository. */
export interface Lease {
  readonly term: number;
  readonly token: string;
  /** Names the process in files that outlast it. */
  readonly domain: string;
  /** True when the process that wrote `domain` is this one, or is known to have ended: it writes nothing more. */
  isOver(domain: string): boolean;
  /**
   * Checks in the repository that the lease is still ours.
   * @throws lockAcquire when it is not; otherwise the storage's error
   */
  check(): Promise<void>;
  /**
   * For each write: checks only if the last check began ten seconds ago by either clock, so that a process that slept
   * notices before its next write.
   * @throws like `check`
   */
  keep(): Promise<void>;
  /** Releases the lease; never throws, and a second call does nothing. */
  release(): Promise<void>;
  /**
   * Ends the lease together with its files, for a stanza that is gone. Its own file is the last one: until then nobody
   * else takes the lease, and afterwards nothing of another holder is removed.
   * @throws like `check`
   */
  remove(): Promise<void>;
}

/** For a dry run. */
export const NO_LEASE: Lease = {
  term: 0,
  token: "",
  domain: "",
  isOver: () => false,
  check: async () => {},
  keep: async () => {},
  release: async () => {},
  remove: async () => {},
};

/** What one process of a machine knows about others (local/lockDomain.ts). */
export interface LeaseDomain {
  readonly text: string;
  stateOf(text: string): "alive" | "ended" | "unknown";
}

export interface LeaseRequest {
  /**
   * Domain of the lock files that the caller holds; null when it holds none: then a holder ends by its silence only.
   */
  readonly domain: LeaseDomain | null;
  readonly holder: LeaseHolder;
  /** What it allows; default backups. */
  readonly work?: LeaseWork;
  /** Awaited between looking and claiming, so that several repositories' leases are claimed in one order. */
  readonly turn?: Promise<unknown>;
  /**
   * A storage of the same repository that works after the context's signal has aborted, for the release; the caller
   * closes it.
   */
  readonly storageAfterAbort?: () => Storage;
}

export type LeaseRepository = Pick<Repository, "key" | "name" | "stanza" | "storage">;

/** One lease's files. */
interface LeaseFiles extends LeaseRepository {
  readonly root: string;
  readonly work: LeaseWork;
}

export const LEASE_TIMES = {
  /** Between two renewals by a holder. */
  renewMs: 20_000,
  /** After a failed renewal. */
  renewRetryMs: 5000,
  /** A holder whose file has not changed for this long is dead. */
  deadMs: 120_000,
  /** Age at which {@link Lease.keep} checks again: shorter than another process' wait before it takes over. */
  keepMs: 10_000,
  /** Between two looks at a holder that may be dead. */
  lookMs: 4000,
  /** For one release request after an abort. */
  releaseMs: 5000,
  /** For the whole release. */
  releaseMsMax: 20_000,
} as const;

/** Terms to keep. If a listing lacks the newest one, the exclusive creation of the next term shows it. */
const TERMS_KEPT = 8;
/** Older terms are removed at this number: most runs remove none. */
const TERMS_REMOVED = 8;
const FILE_SIZE_BYTES_MAX = 64 * 1024;
/** Limit for a listed file that is never there when it is read. */
const GONE_LOOKS_MAX = 4;
const GONE_PAUSE_MS = 500;
const WITHDRAWS_MAX = 12;
const WITHDRAW_PAUSE_MS = 250;
/** Ten times as often as a dead holder needs. */
const LOOKS_MAX = 400;

interface Claim {
  readonly path: string;
  readonly mark: string;
  /** Null for an unreadable file. */
  readonly content: LeaseTerm | null;
  readonly askedMs: number;
  readonly answeredMs: number;
}

interface Seen {
  /** 0 before the first term. */
  readonly highest: number;
  /** Files of the highest term; empty if only its number is known. */
  readonly claims: readonly Claim[];
  /** A listed file could not be read: it was replaced or withdrawn in the meantime. */
  readonly isVague: boolean;
}

/**
 * Takes the lease. It waits as long as it takes to tell a living holder from a dead one: 20 seconds for a living one,
 * two minutes for a dead one.
 * @throws lockAcquire (50) when another process holds it; the storage's errors
 */
export async function acquireLease(
  { key, name, stanza, storage }: LeaseRepository,
  request: LeaseRequest,
  ctx: Context,
): Promise<Lease> {
  const { work = "backups" } = request;
  return new Acquisition({ key, name, stanza, storage, work, root: leasePath(stanza, work) }, request, ctx).run();
}

class Acquisition {
  readonly #repo: LeaseFiles;
  readonly #request: LeaseRequest;
  readonly #ctx: Context;
  /** Watched files by path: a file's first seen content, and when that was seen. */
  readonly #watched = new Map<string, { readonly mark: string; readonly sinceMs: number }>();
  #turn: Promise<unknown> | undefined;
  /** A term that exists although no listing shows it. */
  #atLeast = 0;
  #withdrawCount = 0;
  #isWaitReported = false;

  constructor(repo: LeaseFiles, request: LeaseRequest, ctx: Context) {
    this.#repo = repo;
    this.#request = request;
    this.#ctx = ctx;
    this.#turn = request.turn;
  }

  async run(): Promise<Lease> {
    const { clock, signal } = this.#ctx;
    let vagueLooks = 0;
    for (let looks = 0; looks < LOOKS_MAX; looks++) {
      const seen = await this.#look();
      if (seen.isVague && ++vagueLooks < GONE_LOOKS_MAX) {
        await clock.sleep(GONE_PAUSE_MS, signal);
        continue;
      }
      vagueLooks = 0;
      const living = this.#findLiving(seen.claims);
      if (living !== null) {
        this.#reportWait(living);
        await clock.sleep(LEASE_TIMES.lookMs, signal);
        continue;
      }
      if (this.#turn !== undefined) {
        await this.#turn.catch(() => {});
        this.#turn = undefined;
        continue;
      }
      const lease = await this.#claim(seen);
      if (lease !== null) return lease;
      if (this.#withdrawCount >= WITHDRAWS_MAX) break;
    }
    throw this.#failure(
      "its holder keeps changing",
      "Several processes want it at the same time: run the command again.",
    );
  }

  /** The repository's newest term. */
  async #look(): Promise<Seen> {
    const { storage, root } = this.#repo;
    const [names, floor] = await Promise.all([listNames(this.#repo), readFloor(this.#repo)]);
    const highest = Math.max(this.#atLeast, floor, ...names.map((name) => name.term));
    if (highest === 0) return { highest, claims: [], isVague: false };
    const listed = names.filter((name) => name.term === highest);
    // Looked up by name, not by listing: this finds a term that a listing hides.
    const exclusive = { term: highest, token: null };
    const isListed = listed.some((name) => name.token === null);
    const asked = storage.create === undefined || isListed ? listed : [...listed, exclusive];
    const claims = await Promise.all(asked.map((name) => this.#read(leaseTermPath(root, name))));
    const present = claims.filter((claim) => claim !== null);
    return { highest, claims: present, isVague: present.length === 0 && highest > floor };
  }

  async #read(path: string): Promise<Claim | null> {
    const { clock } = this.#ctx;
    const askedMs = clock.monotonicMs();
    const bytes = await readIfThere(this.#repo.storage, path);
    return bytes === null
      ? null
      : {
          path,
          mark: leaseMark(bytes),
          content: parseLeaseTerm(textOf(bytes)),
          askedMs,
          answeredMs: clock.monotonicMs(),
        };
  }

  /**
   * A claim whose owner is not known to be dead; null when the next term may be claimed.
   * @throws lockAcquire when it lives
   */
  #findLiving(claims: readonly Claim[]): Claim | null {
    let living: Claim | null = null;
    for (const claim of claims) {
      const { content, mark, path } = claim;
      if (content?.state === "released") continue;
      const state = content === null ? "unknown" : this.#request.domain?.stateOf(content.domain);
      if (state === "alive") throw this.#alive(claim);
      if (state === "ended") continue;
      const watched = this.#watched.get(path);
      if (watched === undefined) this.#watched.set(path, { mark, sinceMs: claim.answeredMs });
      else if (watched.mark !== mark) throw this.#busy(claim);
      // From the end of the first answer to the start of this request: a pause of our own is not counted.
      else if (claim.askedMs - watched.sinceMs >= LEASE_TIMES.deadMs) continue;
      living = claim;
    }
    return living;
  }

  #reportWait(claim: Claim): void {
    if (this.#isWaitReported) return;
    this.#isWaitReported = true;
    const seconds = LEASE_TIMES.deadMs / 1000;
    this.#ctx.log.info(
      `${this.#repo.name}: the lease is ${holderText(claim.content)}; waiting up to ${seconds} s for a sign of life of that process`,
    );
  }

  /** Claims the term after the highest; null when another process was first. */
  async #claim(seen: Seen): Promise<Lease | null> {
    const { random, log } = this.#ctx;
    const term = seen.highest + 1;
    if (term > LEASE_TERM_MAX)
      throw this.#failure(
        `term ${term} is beyond the last one`,
        "Remove the directory of the lease while nothing runs.",
      );
    const token = Buffer.from(random.bytes(16)).toString("hex");
    const { domain, holder } = this.#request;
    const mine: LeaseTerm = { term, token, domain: domain?.text ?? token, holder, renewals: 0, state: "held" };
    const { storage, root } = this.#repo;
    const path = leaseTermPath(root, { term, token: storage.create === undefined ? token : null });
    if (!(await this.#write(path, mine))) {
      this.#atLeast = Math.max(this.#atLeast, term);
      return null;
    }
    const provenAt = momentOf(this.#ctx.clock);
    const names = await this.#listWith(path);
    const own = basename(path);
    const rivals = names.filter(
      (name) => name.term > term || (name.term === term && basename(leaseTermPath(root, name)) !== own),
    );
    if (rivals.length > 0) {
      await this.#withdraw(path, mine);
      await this.#pause();
      return null;
    }
    for (const { content } of seen.claims) {
      if (content?.state !== "held") continue;
      const seconds = LEASE_TIMES.deadMs / 1000;
      const why = domain?.stateOf(content.domain) === "ended" ? "has ended" : `gave no sign of life for ${seconds} s`;
      log.warn(`${this.#repo.name}: the lease was ${holderText(content)}, which ${why}: term ${term} takes over`);
    }
    return new HeldLease(this.#repo, { path, mine, names, provenAt }, this.#request, this.#ctx);
  }

  /** False when the term was taken. If the answer was lost, reading the file shows the result. */
  async #write(path: string, mine: LeaseTerm): Promise<boolean> {
    const { storage } = this.#repo;
    const bytes = utf8(renderLeaseTerm(mine));
    try {
      if (storage.create !== undefined) return await storage.create(path, bytes);
      await storage.put(path, bytes);
      return true;
    } catch (error) {
      if (this.#ctx.signal.aborted) throw error;
      const there = await readIfThere(storage, path).catch(() => null);
      if (there === null) throw error;
      return leaseMark(there) === leaseMark(bytes);
    }
  }

  /** The listing after a claim. If it does not show our own claim, it proves nothing about others. */
  async #listWith(path: string): Promise<readonly LeaseName[]> {
    const { storage, name } = this.#repo;
    const isShown = (names: readonly LeaseName[]): boolean =>
      names.some((other) => leaseTermPath(this.#repo.root, other) === path);
    for (let looks = 0; ; looks++) {
      const names = await listNames(this.#repo);
      if (storage.create !== undefined || isShown(names)) return names;
      if (looks < GONE_LOOKS_MAX) {
        await this.#ctx.clock.sleep(GONE_PAUSE_MS, this.#ctx.signal);
        continue;
      }
      await storage.remove(path);
      throw fail("service", `the listing of ${name} lacks a file that was just written`, {
        hint: `'${storage.name}' must list a file as soon as it is written, because a lease depends on it.`,
        repoIndex: this.#repo.key,
        path,
      });
    }
  }

  /** A term that was created exclusively stays, so that its number is never reused. */
  async #withdraw(path: string, mine: LeaseTerm): Promise<void> {
    const { storage } = this.#repo;
    if (storage.create === undefined) await storage.remove(path);
    else await storage.put(path, utf8(renderLeaseTerm({ ...mine, state: "released" })));
  }

  /** Two processes that withdrew from each other return at different times. */
  async #pause(): Promise<void> {
    const { clock, random, signal } = this.#ctx;
    this.#withdrawCount++;
    const [first = 0] = random.bytes(1);
    await clock.sleep(Math.round(WITHDRAW_PAUSE_MS * this.#withdrawCount * (0.1 + first / 128)), signal);
  }

  #busy({ content }: Claim): BackupError {
    const seconds = LEASE_TIMES.deadMs / 1000;
    return this.#failure(`${holderText(content)}, last seen 0 s ago`, [
      `Another process writes ${this.#repo.work} of this stanza into this repository: wait until it has ended, or end it there.`,
      `The lease of a process that died is taken over after ${seconds} s: run the command again.`,
    ]);
  }

  #alive({ content }: Claim): BackupError {
    return this.#failure(`${holderText(content)}, which lives on this host`, [
      `Another process writes ${this.#repo.work} of this stanza into this repository: wait until it has ended, or end it.`,
      "It may be stopped (state T in ps), and its lock files removed: it resumes its work when it continues.",
    ]);
  }

  #failure(reason: string, hint: string | readonly string[]): BackupError {
    return fail("lockAcquire", `unable to acquire ${leaseText(this.#repo)}: ${reason}`, {
      repoIndex: this.#repo.key,
      hint,
      retryable: true,
    });
  }
}

interface Claimed {
  readonly path: string;
  readonly mine: LeaseTerm;
  /** Names listed after the claim. */
  readonly names: readonly LeaseName[];
  /** When that listing began, or earlier. */
  readonly provenAt: Moment;
}

class HeldLease implements Lease {
  readonly #repo: LeaseFiles;
  readonly #claimed: Claimed;
  readonly #request: LeaseRequest;
  readonly #ctx: Context;
  readonly #ended = new AbortController();
  /** One request about our own file at a time: a check must not overlap a renewal. */
  #queue: Promise<unknown> = Promise.resolve();
  #renewals = 0;
  /** When the last successful check began. */
  #provenAt: Moment;
  #keeping: Promise<void> | null = null;
  #lost: BackupError | undefined;
  #released: Promise<void> | undefined;

  constructor(repo: LeaseFiles, claimed: Claimed, request: LeaseRequest, ctx: Context) {
    this.#repo = repo;
    this.#claimed = claimed;
    this.#request = request;
    this.#ctx = ctx;
    this.#provenAt = claimed.provenAt;
    void this.#renewForever();
  }

  get term(): number {
    return this.#claimed.mine.term;
  }

  get token(): string {
    return this.#claimed.mine.token;
  }

  get domain(): string {
    return this.#claimed.mine.domain;
  }

  isOver(domain: string): boolean {
    return domain === this.domain || this.#request.domain?.stateOf(domain) === "ended";
  }

  async keep(): Promise<void> {
    if (elapsedMs(this.#provenAt, momentOf(this.#ctx.clock)) < LEASE_TIMES.keepMs) return;
    this.#keeping ??= this.check().finally(() => {
      this.#keeping = null;
    });
    await this.#keeping;
  }

  check(): Promise<void> {
    return this.#inTurn(async () => {
      const startedAt = momentOf(this.#ctx.clock);
      assert(this.#released === undefined, `the lease of ${this.#repo.name} was released`);
      const { storage, root } = this.#repo;
      const next = leaseTermPath(root, { term: this.term + 1, token: null });
      // In order, with the listing last: answers from before a long pause must not count for the time after it.
      await this.#requireOwn(storage);
      const hidden = await readIfThere(storage, next);
      const names = await listNames(this.#repo);
      const higher = names.find((name) => name.term > this.term)?.term ?? (hidden === null ? null : this.term + 1);
      if (higher !== null) throw this.#lose(`term ${higher} has taken over from term ${this.term}`);
      this.#provenAt = startedAt;
    });
  }

  release(): Promise<void> {
    this.#ended.abort();
    this.#released ??= this.#within(
      LEASE_TIMES.releaseMsMax,
      this.#queue.then(() => this.#release()),
    );
    return this.#released;
  }

  async remove(): Promise<void> {
    await this.check();
    this.#ended.abort();
    this.#released ??= this.#queue.then(() => this.#remove());
    await this.#released;
  }

  async #remove(): Promise<void> {
    const { storage, root } = this.#repo;
    await this.#requireOwn(storage);
    const paths: string[] = [];
    for await (const { path, type } of storage.list(root)) if (type === "file") paths.push(path);
    for (const path of paths) if (path !== this.#claimed.path) await storage.remove(path);
    await storage.remove(this.#claimed.path);
  }

  /** An unreachable repository must not delay the end of a command: requests still running end with the storage. */
  async #within(durationMs: number, work: Promise<void>): Promise<void> {
    const { clock, log } = this.#ctx;
    const done = new AbortController();
    const timeout = clock.sleep(durationMs, done.signal).then(
      () => log.warn(`${this.#repo.name}: unable to release the lease in ${durationMs / 1000} s`),
      () => {},
    );
    await Promise.race([work, timeout]);
    done.abort();
  }

  async #renewForever(): Promise<void> {
    const { clock, log } = this.#ctx;
    const signal = AbortSignal.any([this.#ctx.signal, this.#ended.signal]);
    let isReported = false;
    for (let pauseMs: number = LEASE_TIMES.renewMs; ; ) {
      await clock.sleep(pauseMs, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        await this.#inTurn(() => this.#renew(signal));
        pauseMs = LEASE_TIMES.renewMs;
        isReported = false;
      } catch (error) {
        if (signal.aborted) return;
        const { message } = toBackupError(error);
        if (this.#lost !== undefined) return log.warn(`${this.#repo.name}: ${message}`);
        if (!isReported) log.warn(`${this.#repo.name}: unable to renew the lease, retrying: ${message}`);
        isReported = true;
        pauseMs = LEASE_TIMES.renewRetryMs;
      }
    }
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { storage } = this.#repo;
    if (signal.aborted) return;
    // Read first: a process that slept must not overwrite a file that is no longer its own.
    await this.#requireOwn(storage);
    await storage.put(this.#claimed.path, utf8(renderLeaseTerm({ ...this.#claimed.mine, renewals: ++this.#renewals })));
  }

  /** @throws lockAcquire when this term's file is not what its owner wrote */
  async #requireOwn(storage: Storage): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    const bytes = await readIfThere(storage, this.#claimed.path);
    const content = bytes === null ? null : parseLeaseTerm(textOf(bytes));
    if (content?.token === this.token && content.state === "held") return;
    throw this.#lose(
      bytes === null ? `the file of term ${this.term} is gone` : `term ${this.term} is another process's`,
    );
  }

  #lose(reason: string): BackupError {
    this.#lost ??= fail("lockAcquire", `${leaseText(this.#repo)} was lost: ${reason}`, {
      repoIndex: this.#repo.key,
      hint: "This process could not reach the repository for minutes, and another one took the lease. Nothing was published. Run the command again.",
    });
    return this.#lost;
  }

  async #release(): Promise<void> {
    const { log, signal } = this.#ctx;
    const { storageAfterAbort } = this.#request;
    if (this.#lost !== undefined || (signal.aborted && storageAfterAbort === undefined)) return;
    try {
      const storage = signal.aborted && storageAfterAbort !== undefined ? storageAfterAbort() : this.#repo.storage;
      await this.#requireOwn(storage);
      if (!signal.aborted) await this.#removeOld();
      await storage.put(
        this.#claimed.path,
        utf8(renderLeaseTerm({ ...this.#claimed.mine, renewals: ++this.#renewals, state: "released" })),
      );
    } catch (error) {
      const { message } = toBackupError(error);
      const seconds = LEASE_TIMES.deadMs / 1000;
      const text =
        this.#lost === undefined
          ? `unable to release the lease; other processes wait ${seconds} s for it: ${message}`
          : message;
      log.warn(`${this.#repo.name}: ${text}`);
    }
  }

  /** The floor first: from then on removed terms are known by number. The next holder removes what remains. */
  async #removeOld(): Promise<void> {
    const { storage, root } = this.#repo;
    const floor = this.term - TERMS_KEPT;
    if (this.#claimed.names.filter((name) => name.term <= floor).length < TERMS_REMOVED) return;
    try {
      if ((await readFloor(this.#repo)) < floor) await storage.put(leaseFloorPath(root), utf8(renderLeaseFloor(floor)));
      const old: string[] = [];
      for await (const { path } of storage.list(root)) {
        const term = leaseTermOf(basename(path));
        if (term !== null && term <= floor) old.push(path);
      }
      for (const path of old.sort()) await storage.remove(path);
    } catch (error) {
      if (this.#ctx.signal.aborted) throw error;
      this.#ctx.log.debug(
        `${this.#repo.name}: unable to remove old terms of the lease: ${toBackupError(error).message}`,
      );
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }
}

function leaseText({ stanza, work }: LeaseFiles): string {
  return `the lease of stanza '${stanza}'${work === "backups" ? "" : ` for ${work}`}`;
}

function holderText(content: LeaseTerm | null): string {
  if (content === null) return "held by an unreadable file";
  const { host, pid, verb } = content.holder;
  return `held by host '${host}' process ${pid} (${verb})`;
}

async function listNames({ storage, root }: LeaseFiles): Promise<LeaseName[]> {
  const names: LeaseName[] = [];
  for await (const { path, type } of storage.list(root)) {
    const name = type === "file" ? parseLeaseName(basename(path)) : null;
    if (name !== null) names.push(name);
  }
  return names;
}

async function readFloor({ storage, root }: LeaseFiles): Promise<number> {
  const bytes = await readIfThere(storage, leaseFloorPath(root));
  return bytes === null ? 0 : parseLeaseFloor(textOf(bytes));
}

function readIfThere(storage: Storage, path: string): Promise<Uint8Array | null> {
  const read = async (): Promise<Uint8Array> => collect(await storage.read(path), FILE_SIZE_BYTES_MAX);
  return nullOn(read(), "fileMissing");
}
