/**
 * The attack drill: with the real key it writes a stanza of its own into the same bucket, does to it what a thief would
 * do to a repository, restores it as it was before and compares. Errors are its result.
 *
 * No lease makes it safe, because nothing is shared: each run has a directory of its own with a random name, below one
 * that no other command reads, and its stanza's passphrase lives in memory only. Two runs at the same time do not meet.
 * A run that dies leaves its directory, hidden or not; the next one removes it when the service says that it is older
 * than any run can be.
 */
import { withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import { fail, isError, toBackupError } from "../../base/errors";
import { silentLog } from "../../base/log";
import { attacksPath } from "../../format/repository/repoPath";
import { newSubPass, type Repository } from "../../repository/repository";
import type { StorageFact } from "../../storage/storage";
import {
  type AttackStanza,
  type AttackStanzaDeps,
  makeAttackStanza,
  restoreAttackStanza,
  writeAttackStanza,
} from "./attackStanza";
import type { CheckResult } from "./checks";
import { oldestLock } from "../shared/oldestLock";
import { DrillJournal, type JournalStart } from "./drillJournal";
import type { AskedDrill } from "./askedDrill";
import { repoInTurn } from "./drillPlan";
import { listTurns } from "./history";
import { ATTACK, type DrillRecord } from "./record";
import { makeScratch, removeScratch } from "./scratch";

/** `repoIndexes` take turns; undefined means all. */
export interface AttackOptions
  extends Pick<AskedDrill, "level" | "maxMinutes" | "repoIndexes">,
    Pick<JournalStart, "beganMs" | "invocationId"> {
  readonly stanza: string;
  readonly repoIndex: number | undefined;
  /** Existing directory for the stanza's few files and for what is restored; the caller holds the drill lock. */
  readonly path: string;
}

const MINUTE_MS = 60_000;
/** Longer than `max-minutes` allows: an attack of another host is over by then. */
const LEFT_MS = 8 * 24 * 60 * MINUTE_MS;
/** For the path of a socket that this drill does not have. */
const PORT = 5432;
const VERDICTS = { ok: "ok", warn: "warning", fail: "failed", skip: "skipped" } as const;

export async function attackDrill(
  repos: readonly Repository[],
  deps: AttackStanzaDeps,
  options: AttackOptions,
  ctx: Context,
): Promise<DrillRecord> {
  const journal = new DrillJournal({ ...options, objectivesOf: () => ({}) }, ctx);
  let repo: Repository | undefined;
  const scratch = `${attacksPath(options.stanza)}/${journal.id}`;
  try {
    repo = await choose(repos, options, journal, ctx);
    const chosen = repo;
    ctx.log.info(`drill ${journal.id}: attacks '${chosen.storage.name}/${scratch}'`);
    await withTimeTo(options.maxMinutes * MINUTE_MS, ctx.clock, async (enough) => {
      const signal = AbortSignal.any([ctx.signal, enough]);
      const attack = attackOne(chosen, scratch, journal, deps, options, { ...ctx, log: silentLog, signal });
      await Promise.race([attack, aborted(enough, options.maxMinutes)]);
    });
  } catch (error) {
    journal.fail(journal.phase, toBackupError(error));
  }
  journal.next("delete");
  if (repo?.storage.openAttacked !== undefined) await cleanUp(repo, scratch, journal, ctx);
  journal.next("end");
  return journal.record();
}

async function attackOne(
  repo: Repository,
  scratch: string,
  journal: DrillJournal,
  deps: AttackStanzaDeps,
  options: AttackOptions,
  ctx: Context,
): Promise<void> {
  const storage = repo.storage.openAttacked?.(scratch);
  if (storage === undefined) {
    throw fail("featureNotSupported", `${repo.name} is no bucket or container, whose old versions undo an attack`, {
      repoIndex: repo.key,
    });
  }
  const local = await makeScratch(options.path, options.stanza, { account: null, id: journal.id, port: PORT });
  try {
    const own: Repository = { ...repo, storage, cipherPass: repo.cipherPass === null ? null : newSubPass(ctx) };
    journal.next("write");
    const stanza = await makeAttackStanza(local.path, ctx);
    await writeAttackStanza(own, stanza, deps, ctx);
    journal.next("attack");
    const { facts, past } = await storage.attack();
    journal.keep(facts.map((fact) => resultOf(fact, repo.key)));
    const lockedForMs = facts.find((fact) => fact.lockedForMs !== undefined)?.lockedForMs;
    if (lockedForMs !== undefined) {
      journal.lockedForS = Math.floor(lockedForMs / 1000);
      const oldest = await oldestLock(repo, ctx.clock.nowMs());
      if (oldest !== null) journal.keep([resultOf(oldest, repo.key)]);
    }
    if (past === null) return;
    journal.next("restore");
    const restored = await restoreBefore({ ...own, storage: past }, stanza, `${local.path}/spool`, journal, deps, ctx);
    journal.keep([resultOf(restored, repo.key)]);
  } finally {
    await storage.close();
    await removeScratch(local.path);
  }
}

async function restoreBefore(
  repo: Repository,
  stanza: AttackStanza,
  folder: string,
  journal: DrillJournal,
  deps: AttackStanzaDeps,
  ctx: Context,
): Promise<StorageFact> {
  try {
    const { fileCount, sizeBytes, walCount } = await restoreAttackStanza(repo, stanza, folder, deps, ctx);
    journal.restoredBytes = sizeBytes;
    const text = `the stanza of before was restored: ${fileCount} files and ${walCount} WAL segments are as they were`;
    return { name: "restore", verdict: "ok", text };
  } catch (error) {
    if (isError(error, "term")) throw error;
    const { message } = toBackupError(error);
    return { name: "restore", verdict: "fail", text: `the stanza of before was not restored: ${message}` };
  }
}

async function choose(
  repos: readonly Repository[],
  { repoIndex, repoIndexes }: AttackOptions,
  journal: DrillJournal,
  ctx: Context,
): Promise<Repository> {
  const able = repos.filter(({ storage }) => storage.openAttacked !== undefined);
  const all = repoIndexes ?? (able.length === 0 ? repos : able).map(({ key }) => key);
  const key = repoIndex ?? repoInTurn(all, all.length === 1 ? [] : await listTurns(repos, ctx, [ATTACK]));
  journal.turn = { repo: key, pick: ATTACK };
  const repo = repos.find((each) => each.key === key);
  if (repo !== undefined) return repo;
  throw fail("optionInvalidValue", `'${key}' is not allowed for 'repo' option: it is not configured`);
}

function resultOf({ name, text, verdict }: StorageFact, repoIndex: number): CheckResult {
  const check = { name: `attack:${name}`, verdict: VERDICTS[verdict], elapsedMs: 0, text };
  return { check, error: verdict === "fail" ? fail("access", text, { repoIndex }) : null };
}

/** What a key can remove; locked versions go when their lock ends. */
async function cleanUp(
  { storage, stanza }: Repository,
  scratch: string,
  journal: DrillJournal,
  ctx: Context,
): Promise<void> {
  try {
    const root = attacksPath(stanza);
    const newest = new Map<string, number>();
    for await (const { modifiedAtMs, path } of storage.list(root, { recursive: true })) {
      const directory = path
        .split("/")
        .slice(0, root.split("/").length + 1)
        .join("/");
      newest.set(directory, Math.max(newest.get(directory) ?? 0, modifiedAtMs));
    }
    // Both times are the service's.
    const ownMs = newest.get(scratch) ?? 0;
    for (const [directory, atMs] of newest) {
      if (directory === scratch || atMs < ownMs - LEFT_MS) await storage.removePath(directory);
    }
  } catch (error) {
    const { message } = toBackupError(error);
    journal.fail("delete", toBackupError(error));
    ctx.log.warn(`drill: '${storage.name}/${scratch}' could not be removed: ${message}`);
  }
}

function aborted(enough: AbortSignal, maxMinutes: number): Promise<never> {
  return new Promise((_, reject) => {
    enough.addEventListener(
      "abort",
      () => reject(fail("runtime", `the drill took longer than ${maxMinutes} minutes`)),
      {
        once: true,
      },
    );
  });
}
