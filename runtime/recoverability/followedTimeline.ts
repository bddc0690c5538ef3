/**
 * Which branch of a cluster's history a recovery follows without an option. A server follows its own history. Where no
 * server says which one that is, the only living branch is followed. Two living branches are a question for the user:
 * either choice would lose the rows of the other. Pure.
 */
import { timeText } from "../base/clock";
import { type BackupError, fail } from "../base/errors";
import { formatLsn } from "../format/wal/walSegment";
import {
  AT_WORK_MS,
  type Branch,
  firstStoredAtMs,
  forkOf,
  hasBeyond,
  type History,
  type HistoryPoint,
  passes,
  type StoredTimeline,
} from "./branches";
import { type Trouble, troubleOf } from "./troubles";

/** A server's own history, from its data directory. */
export interface ServerHistory extends HistoryPoint {
  readonly systemId: bigint;
  /** A server that runs goes on. A stopped one may have been replaced by another one that has all of its data. */
  readonly isRunning: boolean;
  /** Ancestors of its timeline in its `pg_wal`, oldest first; null without the file. */
  readonly ancestors: Branch["ancestors"];
}

export interface Followed {
  readonly timeline: number;
  readonly why: string;
  /** Living branches that are not followed. */
  readonly others: readonly Branch[];
}

export interface FollowRequest {
  /** This cluster's server on this machine; null if the machine has no such server. */
  readonly server: ServerHistory | null;
  /** Only branches that pass it count, as those of a backup that the user names. */
  readonly point?: HistoryPoint | null;
  /** The option that names a timeline. */
  readonly option: string;
}

/** Null without any WAL. @throws dbMismatch (58) when several branches could be followed */
export function follow(history: History, request: FollowRequest): Followed | null {
  const { point = null, server } = request;
  const living = history.branches.filter(({ isLiving }) => isLiving);
  if (living.length === 0) return null;
  const own = server === null ? null : ownTimeline(history, living, server, request);
  const passing = point === null ? living : living.filter((branch) => passes(branch, point));
  const { timeline, why } = own ?? onlyOne(passing.length === 0 ? living : passing, history, request);
  return { timeline, why, others: living.filter((branch) => branch.timeline !== timeline) };
}

type Choice = Pick<Followed, "timeline" | "why">;

/** @throws dbMismatch (58) */
function onlyOne(candidates: readonly Branch[], { branches }: History, { option }: FollowRequest): Choice {
  const [only, second] = candidates;
  if (only === undefined || second !== undefined) throw question(candidates, option);
  return { timeline: only.timeline, why: branches.length === 1 ? "the only one" : "the only living one" };
}

/**
 * Null if the archive has nothing of this server's timeline nor of its parent. A stopped server without archived WAL of
 * its own may be a copy that shall be restored once more, so it decides nothing.
 * @throws dbMismatch (58)
 */
function ownTimeline(
  history: History,
  living: readonly Branch[],
  server: ServerHistory,
  { option }: FollowRequest,
): Choice | null {
  const own = { timeline: server.timeline, why: "this server's" };
  if (!isArchived(history, server)) return server.isRunning ? parentOf(history, server, option) : null;
  if (server.isRunning) return own;
  const heirs = living.filter((branch) => passes(branch, server));
  if (heirs.length > 1) throw question(heirs, option);
  const [heir] = heirs;
  if (heir === undefined || heir.timeline === server.timeline) return own;
  return { timeline: heir.timeline, why: `it continues all data of this server, which ended on ${server.timeline}` };
}

export function isArchived({ stored }: History, server: ServerHistory): boolean {
  return stored.some(({ timeline }) => timeline === server.timeline);
}

/**
 * Nothing of the server's timeline is archived yet: what is ends on its parent. Null without the parent.
 * @throws dbMismatch (58) if the parent has WAL that is not this server's
 */
function parentOf(
  { branches, segmentSizeBytes, stored }: History,
  { ancestors, timeline }: ServerHistory,
  option: string,
): Choice | null {
  const fork = ancestors?.at(-1);
  const parent = stored.find((each) => each.timeline === fork?.timeline);
  if (fork === undefined || parent === undefined) return null;
  if (!hasBeyond(parent, fork.lsn, segmentSizeBytes))
    return { timeline: parent.timeline, why: `the parent of this server's timeline ${timeline}` };
  throw fail("dbMismatch", `this server is on timeline ${timeline}, and no repository has WAL of it`, {
    hint: [
      "Wait until its WAL is archived: pgbackstop check shows whether it is.",
      ...branches.map((branch) => optionText(branch, option)),
    ],
  });
}

/** Names each branch, and the option for it. */
function question(branches: readonly Branch[], option: string): BackupError {
  return fail("dbMismatch", `the archive has ${branches.length} histories that may be the wanted one`, {
    hint: [
      ...branches.map((branch) => optionText(branch, option)),
      "A server that was recovered from here and archives to here makes a second history: give it a stanza of its own, or archive_mode=off.",
    ],
  });
}

function optionText(branch: Branch, option: string): string {
  return `--${option}=${branch.timeline} recovers along ${branchText(branch)}`;
}

/** `timeline 2, from 0/5000000 of timeline 1: newest WAL 00000002…09 of 2026-11-20T07:03:10Z` */
export function branchText(branch: StoredTimeline): string {
  const fork = forkOf(branch);
  const from = fork === null ? "" : `, from ${formatLsn(fork.lsn)} of timeline ${fork.timeline}`;
  const atMs = firstStoredAtMs(branch);
  const when = atMs === null ? "" : ` of ${timeText(Math.floor(atMs / 1000))}`;
  return `timeline ${branch.timeline}${from}: newest WAL ${branch.newest ?? "none"}${when}`;
}

/**
 * What `status` says about histories beside this server's: one that grows is another server's. Without a server, those
 * that a restore would ask about.
 */
export function branchTroubles(
  { branches, stored }: History,
  server: Pick<ServerHistory, "timeline"> | null,
  nowMs: number,
): Trouble[] {
  const living = branches.filter(({ isLiving }) => isLiving);
  const own = stored.find(({ timeline }) => timeline === server?.timeline);
  if (own === undefined) {
    if (living.length < 2) return [];
    const hint = living.map((branch) => optionText(branch, "target-timeline"));
    return [
      troubleOf("branches", `the archive has ${living.length} living histories: no restore chooses one`, { hint }),
    ];
  }
  return living.flatMap((branch) => {
    if (branch.timeline === own.timeline || nowMs - (firstStoredAtMs(branch) ?? 0) > AT_WORK_MS) return [];
    const fact = `another server archives here: ${branchText(branch)}; this one is on timeline ${own.timeline}`;
    const hint = [
      "Give it a stanza of its own, or archive_mode=off.",
      `Restores on this host follow timeline ${own.timeline}; elsewhere they ask: --target-timeline=${own.timeline}`,
    ];
    return [troubleOf("branches", fact, { hint })];
  });
}
