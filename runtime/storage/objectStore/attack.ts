/**
 * Attacks every file of one prefix of a bucket as a thief with this key would, has the service bring back what it can,
 * and reads the prefix as it was before. Only the prefix changes: every object is below it, and calls about the bucket
 * ask about rights or send an invalid body.
 */
import type { Clock } from "../../base/clock";
import { assert, isError } from "../../base/errors";
import { type Measure, measure } from "../../base/hash";
import { joinPath } from "../paths";
import { asked, type Verdict } from "../space";
import type { Attacked, Storage, StorageFact } from "../storage";
import { secondOf } from "./objectVersions";
import { DENIED, judgeRefusal, NEVER_WRITTEN } from "./probeFacts";
import { headerOf, readText, type StoreAnswer, type StoreHttp, type StoreRequest } from "./storeHttp";
import type { RequestFacts } from "./transportFailure";

export interface AttackTarget {
  /** Key prefix without a slash at the end; nothing else lives there. */
  readonly prefix: string;
  /** The prefix as it is now. */
  readonly storage: Pick<Storage, "list" | "name" | "read">;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The prefix as it was. `returned`: paths and ids of versions that came back, which count as of then. */
  past(targetTimeMs: number, returned: ReadonlyMap<string, string>): Storage;
}

export interface Stolen {
  /** Below the prefix. */
  readonly path: string;
  readonly key: string;
  readonly content: Measure;
  readonly versionId: string;
  /** End of the version's lock; absent if it shows none. */
  readonly lockedUntilMs?: number;
}

/** What the service says about an object. */
export interface Looked extends Pick<Stolen, "versionId" | "lockedUntilMs"> {
  readonly answer: Pick<StoreAnswer, "headers">;
}

/** Outcome of an attack on a file. */
export interface Attempt extends Verdict {
  /** The service refused to destroy the good version. */
  readonly isKept?: true;
}

/** How a thief attacks one kind of service. */
export interface StoreAttacks {
  look(file: Pick<Stolen, "key">): Promise<Looked>;
  /** Asks for the deletion of a version; the status of the answer. */
  destroy(version: Pick<Stolen, "key" | "versionId">): Promise<number>;
  /** Why nothing comes back from a bucket that shows no versions. */
  readonly withoutVersions: string;
  /** One round after the other; in each, every file is attacked in one way. */
  readonly rounds: readonly (readonly (readonly [name: string, attack: (file: Stolen) => Promise<Attempt>])[])[];
  /** Attacks on the bucket. */
  readonly settings: readonly (readonly [name: string, attack: (files: readonly Stolen[]) => Promise<Verdict>])[];
  /** Has the service bring a version back; its id then, or null if the service has it no more. @throws access */
  undelete?(file: Stolen): Promise<string | null>;
  /** What to do if files are lost, or if this key may not bring them back. */
  readonly advice?: { readonly lost: string; readonly unreturned: string };
}

/** Times of versions have whole seconds: the second of the last look and the one after it belong to the past. */
const PAUSE_MS = 2500;
/** Answers that are no failures of an attack. */
const ANSWERS = [...DENIED, 400, 404, 405, 409, 411, 412, 501];
/** Refused while it is read: no service carries it out. */
export const NO_XML = "<Attack";
/** Nothing was refused: an earlier attack has removed the version. */
const NOT_FOUND = 404;
/** The worst first. */
const VERDICTS: readonly Verdict["verdict"][] = ["fail", "warn", "ok", "skip"];
const NAMES_MAX = 3;
const UNREADABLE =
  "this key may not read old versions, so nothing shows that they can be restored: drill with the reader's key on another host";

/** Attacks and compares; the caller removes the prefix afterwards. */
export async function attackStore(target: AttackTarget, attacks: StoreAttacks): Promise<Attacked> {
  return new Attack(target, attacks).run();
}

/** Sends one request of an attack. The answer comes with its body as text. */
export async function sendAttack<F extends RequestFacts>(
  http: StoreHttp<F>,
  { prefix, storage }: Pick<AttackTarget, "prefix" | "storage">,
  request: Omit<StoreRequest, "doing" | "path">,
): Promise<StoreAnswer & { readonly text: string }> {
  const { key } = request;
  assert(key === undefined || key.startsWith(`${prefix}/`), `'${key}' is outside of the attacked prefix`);
  const path = key === undefined ? {} : { path: key.slice(prefix.length + 1) };
  const doing = `attack '${joinPath(storage.name, path.path ?? "")}'`;
  const expected = [...ANSWERS, ...(request.expected ?? [])];
  return http.exchange({ ...request, ...path, doing, expected }, async (answer) => ({
    ...answer,
    text: await readText(answer),
  }));
}

/** An attack that a backup's own rights allow: versions must undo it. */
export function undoable(status: number, what: string): Verdict {
  return status < 300
    ? { verdict: "ok", text: `the key ${what}, as backups need it` }
    : { verdict: "ok", text: `the service refuses it: [${status}]` };
}

/** An attack that nothing undoes. */
export function judged(status: number, what: string): Attempt {
  if (status < 300) return { verdict: "fail", text: `this key ${what}` };
  const text = DENIED.includes(status) ? "the service refuses it" : `the service refuses it: [${status}]`;
  return { verdict: "ok", text, ...(status === NOT_FOUND ? {} : { isKept: true }) };
}

class Attack {
  readonly #facts: StorageFact[] = [];
  readonly #target: AttackTarget;
  readonly #attacks: StoreAttacks;
  #files: readonly Stolen[] = [];
  #seenAtMs = 0;
  /** Files whose good version the service refused to destroy. */
  readonly #kept: Stolen[] = [];
  /** What a restore would get; null if this key gets nothing. */
  #past: Storage | null = null;

  constructor(target: AttackTarget, attacks: StoreAttacks) {
    assert(target.prefix.split("/").length > 1, "an attack needs a prefix of its own");
    this.#target = target;
    this.#attacks = attacks;
  }

  async run(): Promise<Attacked> {
    await this.#look();
    const { rounds, settings, withoutVersions } = this.#attacks;
    if (this.#files.some(({ versionId }) => versionId === ""))
      return { facts: [{ name: "versions", verdict: "fail", text: withoutVersions }], past: null };
    await this.#target.clock.sleep(PAUSE_MS, this.#target.signal);
    for (const round of rounds) await this.#onFiles(round);
    for (const [name, attack] of settings) await this.#try(name, () => attack(this.#files));
    if (this.#kept.length > 0) await this.#try("protection", () => this.#protection());
    await this.#try("past", () => this.#compare());
    return { past: this.#past, facts: this.#facts };
  }

  /** Gives the files in turn to these attacks; the worst result of each counts. */
  async #onFiles(attacks: StoreAttacks["rounds"][number]): Promise<void> {
    for (const [index, [name, attack]] of attacks.entries()) {
      await this.#try(name, async () => {
        const results: Verdict[] = [];
        for (const [position, file] of this.#files.entries()) {
          if (position % attacks.length !== index) continue;
          const { isKept, ...result } = await attack(file);
          if (isKept === true) this.#kept.push(file);
          results.push(result);
        }
        const worst = VERDICTS.flatMap((verdict) => results.filter((result) => result.verdict === verdict))[0];
        assert(worst !== undefined, "an attack needs more files");
        return worst;
      });
    }
  }

  #protection(): Promise<Verdict> {
    const [first] = this.#kept;
    assert(first !== undefined, "no version was kept");
    const missing = { key: joinPath(this.#target.prefix, NEVER_WRITTEN), versionId: first.versionId };
    return judgeRefusal({
      destroyMissing: () => this.#attacks.destroy(missing),
      locks: this.#kept.map(({ lockedUntilMs }) => lockedUntilMs),
      nowMs: this.#seenAtMs,
    });
  }

  async #try(name: string, work: () => Promise<Verdict>): Promise<void> {
    this.#facts.push(await asked(name, work));
  }

  async #look(): Promise<void> {
    const { prefix, storage } = this.#target;
    const files: Stolen[] = [];
    for await (const { modifiedAtMs, path } of storage.list("", { recursive: true })) {
      const key = joinPath(prefix, path);
      const { answer, ...version } = await this.#attacks.look({ key });
      // The service's clock decides what was before.
      this.#seenAtMs = Math.max(this.#seenAtMs, modifiedAtMs, Date.parse(headerOf(answer, "date") ?? "") || 0);
      files.push({ path, key, content: await measure(await storage.read(path)), ...version });
    }
    this.#files = files.sort((left, right) => (left.path < right.path ? -1 : 1));
  }

  get #beforeMs(): number {
    return (secondOf({ modifiedAtMs: this.#seenAtMs }) + 1) * 1000;
  }

  /** Reads the past, and if files are missing there, once more after the service has brought back what it can. */
  async #compare(): Promise<Verdict> {
    const direct = this.#target.past(this.#beforeMs, new Map());
    const missing = await this.#lostIn(direct);
    if (missing === null) return { verdict: "warn", text: UNREADABLE };
    this.#past = direct;
    if (missing.length === 0) return this.#verdictOf([], 0);
    const returned = await this.#undelete(missing);
    if (returned === null) {
      this.#past = null;
      return { verdict: "warn", text: this.#attacks.advice?.unreturned ?? UNREADABLE };
    }
    const whole = this.#target.past(this.#beforeMs, returned);
    this.#past = whole;
    return this.#verdictOf((await this.#lostIn(whole)) ?? missing, returned.size);
  }

  #verdictOf(lost: readonly Stolen[], returnedCount: number): Verdict {
    if (lost.length === 0) {
      const text = `all ${this.#files.length} files are readable as they were before`;
      return { verdict: "ok", text: returnedCount === 0 ? text : `${text}, ${returnedCount} of them by soft delete` };
    }
    const paths = lost.slice(0, NAMES_MAX).map(({ path }) => path);
    const names = `${paths.join(", ")}${lost.length > NAMES_MAX ? ", …" : ""}`;
    const { advice } = this.#attacks;
    const rest = advice === undefined ? "" : `; ${advice.lost}`;
    return { verdict: "fail", text: `${lost.length} files are not as they were before: ${names}${rest}` };
  }

  /** The versions that came back, with their paths; null if this key may bring nothing back. */
  async #undelete(lost: readonly Stolen[]): Promise<Map<string, string> | null> {
    const returned = new Map<string, string>();
    for (const file of lost) {
      try {
        const versionId = await this.#attacks.undelete?.(file);
        if (versionId !== undefined && versionId !== null) returned.set(file.path, versionId);
      } catch (error) {
        if (!isError(error, "access")) throw error;
        return null;
      }
    }
    return returned;
  }

  /** Files that are not as they were; null if this key may not read the past. */
  async #lostIn(past: Pick<Storage, "read">): Promise<Stolen[] | null> {
    const lost: Stolen[] = [];
    for (const file of this.#files) {
      try {
        const then = await measure(await past.read(file.path));
        if (then.sha1 !== file.content.sha1) lost.push(file);
      } catch (error) {
        if (isError(error, "access")) return null;
        if (!isError(error, "fileMissing", "service")) throw error;
        lost.push(file);
      }
    }
    return lost;
  }
}
