/**
 * What `status` shows of a database's backups. For each repository: its newest backups, the span that it can recover,
 * and its missing WAL. Also the files that wait in `pg_wal`, running work, and what needs attention.
 */
import { timeText } from "../../base/clock";
import { type BackupError, nullOn } from "../../base/errors";
import { WAL_SEGMENT_SIZE_BYTES } from "../../base/limits";
import { perRepo } from "../../base/parallel";
import { durationText } from "../../base/units";
import { type ArchiveHistoryEntry, archiveIdOf, currentHistory } from "../../format/repository/archiveInfo";
import type { BackupInfo } from "../../format/repository/backupInfo";
import type { MissingWalStore } from "../../local/missingWal";
import type { RepoVerdict } from "../../local/runRecords";
import type { SeenWal } from "../../local/seenWal";
import type { SlotReport } from "../../local/slotState";
import { isRead } from "../slot/slotReport";
import type { StreamState, SynchronousReport } from "../../local/streamState";
import { segmentSizeOf } from "../../format/wal/walSegment";
import type { NextRun } from "../../local/stanzaUnits";
import type { NewestWal, RepoFacts } from "../../recoverability/facts";
import { branchTroubles, type ServerHistory } from "../../recoverability/followedTimeline";
import { loadHistory } from "../../recoverability/loadHistory";
import { asTrouble, type Trouble, troubleOf } from "../../recoverability/troubles";
import { withWrittenTimes } from "../../recoverability/writtenTimes";
import type { Repository } from "../../repository/repository";
import { conflictError } from "../archivePush/conflicts";
import { openGapIn } from "../archivePush/dropWal";
import { type DumpSurvey, surveyDumps } from "../dump/surveyDumps";
import { trimmedLabels } from "../expire/archivePlan";
import { type Hold, holdOf } from "../expire/hold";
import { type OpenedBackup, openedOf } from "../open/openLocation";
import type { HostReport } from "./hostTroubles";
import { productionTroubles } from "./opened";
import { infoTrouble, judgeArchive, type LocalServer } from "./judgeArchive";
import { loadSpaceLeft, spaceErrors } from "./spaceLeft";
import { behindAfterS, type ReportedStreams } from "../stream/streamReport";
import { loadNewestAttack, loadNewestDrills } from "../drill/history";
import type { DrillRecord } from "../drill/record";
import { currentBackupsOf, type FullExpectation, fullError, newestFullOf, type StoredFull } from "./destinations";

export const BEHIND_S = 300;

export interface StatusInput {
  readonly stanza: string;
  readonly repos: readonly RepoFacts[];
  /** Names of WAL files recorded as missing in the repository. */
  missingWal(repoIndex: number): readonly string[];
  /** Names of WAL files that the repository's archive has with other content than this server. */
  conflicts(repoIndex: number): readonly string[];
  /** Names of WAL files that were deliberately dropped for every repository. */
  readonly dropped: MissingWalStore["listDropped"];
  expectFull(repoIndex: number): FullExpectation | undefined;
  /** Ready files in `pg_wal`, with the time of the oldest one; null without a pg_wal here. */
  readonly waiting: { readonly count: number; readonly oldestAtS: number | null } | null;
  /** The slot that archives; null where `archive_command` does. */
  readonly slot: SlotReport | null;
  /** The promised maximum loss; undefined without a promise. */
  readonly rpoS: number | undefined;
  /** The server here; null where none is. */
  readonly server: LocalServer | null;
  /** What this host has stored in a repository, or read there, before it was listed. */
  seen(repoIndex: number): SeenWal;
  /** Why commands that write are refused; null if they are allowed. */
  readonly stop: BackupError | null;
  /** The last verdict of `verify` on this host about a repository. */
  verified(repoIndex: number): RepoVerdict | null;
  /** The history of the server here, asked for only if the archive has several timelines; null without a server. */
  history(): Promise<ServerHistory | null>;
  /** True on a standby: files that wait there are left over, and its primary archives. */
  readonly isStandby: boolean;
  /** How far this host's agent has streamed; null when it does not stream. */
  readonly streams: ReportedStreams | null;
  /** The host itself, with systemd's next runs; these are null without systemd. */
  readonly host: HostReport & { readonly next: readonly NextRun[] | null };
  /** This host's drills, oldest first; repositories add those of other hosts. */
  readonly drills: readonly DrillRecord[];
  readonly running: readonly { readonly what: "backup" | "restore"; readonly percent: number | null }[];
  /** Backups that are open on this host. */
  readonly opened: readonly OpenedBackup[];
  readonly nowS: number;
}

export interface StatusReport
  extends Pick<StatusInput, "stanza" | "waiting" | "slot" | "running" | "opened" | "host" | "nowS"> {
  readonly repos: readonly RepoStatus[];
  /** What needs attention on this host, in no single repository. */
  readonly troubles: readonly Trouble[];
  /** The newest successful drill of these repositories; null if no drill has passed. */
  readonly proof: DrillRecord | null;
  /** Null unless commits shall wait for repositories. */
  readonly synchronous: SynchronousReport | null;
}

export interface RepoStatus {
  readonly key: number;
  /** `s3://bucket/prefix`, `/mnt/nas/backups` */
  readonly location: string;
  readonly backupCount: number;
  readonly newest: (StoredFull & { readonly type: string }) | null;
  readonly newestFull: StoredFull | null;
  /** When the oldest backup of the current cluster ended that keeps its WAL. */
  readonly recoverableFromS: number | null;
  /** Backups of the current cluster. */
  readonly currentCount: number;
  /** What clusters before a major upgrade left, the oldest first. */
  readonly earlier: readonly EarlierSpan[];
  /** The segment from which on this report would have seen a gap; null without WAL. */
  readonly lookedFrom: string | null;
  readonly verified: RepoVerdict | null;
  readonly newestWal: NewestWal | null;
  /** Backups that no retention removes, with the reason and the end. */
  readonly held: readonly HeldBackup[];
  readonly missingWalCount: number;
  readonly conflicts: readonly string[];
  readonly droppedCount: number;
  /** Null when nothing should be streamed, or nothing has arrived yet. */
  readonly stream: StreamState | null;
  /** Bytes behind the repository with the most streamed WAL. */
  readonly streamBehindBytes: number;
  /** Null for an unreadable repository. */
  readonly dumps: DumpSurvey | null;
  /** This repository's newest drill, wherever it ran. */
  readonly drill: DrillRecord | null;
  /** The newest of them with an RPO. */
  readonly rpoDrill: DrillRecord | null;
  /** The newest drill that attacked it. */
  readonly attack: DrillRecord | null;
  /** What needs attention, the worst first; empty when all is well. */
  readonly troubles: readonly Trouble[];
}

/** Recovery of a cluster before a major upgrade ends before the next cluster. Its WAL is not looked at. */
interface EarlierSpan {
  readonly version: string;
  readonly fromS: number;
  /** When its newest backup ended. */
  readonly toS: number;
  readonly backupCount: number;
}

export interface HeldBackup {
  readonly label: string;
  readonly hold: Hold;
}

const NOTHING = {
  held: [],
  backupCount: 0,
  currentCount: 0,
  earlier: [],
  newest: null,
  newestFull: null,
  recoverableFromS: null,
  lookedFrom: null,
} as const;

/** Every repository has its own result; an unreadable one counts as a trouble. Never throws for a repository. */
export async function collectStatus(input: StatusInput): Promise<StatusReport> {
  const results = await perRepo(input.repos, (facts) => gather(facts, input));
  const drills = joinDrills([...input.drills, ...results.flatMap((result) => (result.ok ? result.value.drills : []))]);
  const newestWal = results.reduce<NewestWal | null>((newest, result) => {
    const own = result.ok ? result.value.newestWal : null;
    return own !== null && (newest === null || own.name > newest.name) ? own : newest;
  }, null);
  const repos = results.map((result, index): RepoStatus => {
    const key = result.repoIndex;
    const dropped = result.ok ? openGapIn(key, result.value.info, input.dropped) : input.dropped(key);
    const [missingWalCount, droppedCount] = [input.missingWal(key).length, dropped.length];
    const conflicts = input.conflicts(key);
    const states = input.streams?.states ?? [];
    const stream = states.find((each) => each.key === key) ?? null;
    const streamBehindBytes =
      stream === null ? 0 : Math.max(...states.map(({ positionBytes }) => positionBytes)) - stream.positionBytes;
    const own = drills.filter(({ repo }) => repo === key);
    const [drill, rpoDrill] = [own.at(-1) ?? null, own.findLast(({ rpo }) => rpo !== null) ?? null];
    const common = {
      key,
      location: input.repos[index]?.repo.storage.name ?? "",
      missingWalCount,
      conflicts,
      droppedCount,
      stream,
      streamBehindBytes,
      drill,
      rpoDrill,
      verified: input.verified(key),
      attack: result.ok ? result.value.attack : null,
      dumps: result.ok ? result.value.dumps : null,
    };
    if (!result.ok) {
      const troubles = [asTrouble("unreadable", result.error), ...damageTroubles(common), ...conflictTroubles(common)];
      return { ...common, ...NOTHING, newestWal: null, troubles };
    }
    const { archive, earlier, info, newestWal: ownWal, space, trimmed } = result.value;
    const { hasInfo, lookedFrom } = archive;
    const status = { ...common, ...backupsOf(info, trimmed), earlier, lookedFrom, newestWal: ownWal };
    const ofWal = troublesOf(status, input, hasInfo ? newestWal : null);
    const ofLock = lockTroubles(status, info, input.nowS);
    return { ...status, troubles: [...archive.troubles, ...damageTroubles(common), ...ofWal, ...ofLock, ...space] };
  });
  const { host, nowS, running, slot, stanza, waiting } = input;
  const infos = results.flatMap((each) => (each.ok ? [{ key: each.repoIndex, info: each.value.info }] : []));
  const opened = openedOf(
    infos.flatMap(({ info }) => info.history),
    input.opened,
  );
  return {
    stanza,
    repos,
    troubles: await commonTroubles(input, infos, opened),
    proof: drills.findLast(({ ok, repo }) => ok && repos.some(({ key }) => key === repo)) ?? null,
    waiting,
    slot,
    running,
    opened,
    host,
    nowS,
    synchronous: input.streams?.synchronous ?? null,
  };
}

/** What needs attention in no single repository. */
async function commonTroubles(
  input: StatusInput,
  infos: readonly ReadInfo[],
  opened: readonly OpenedBackup[],
): Promise<Trouble[]> {
  return [
    ...(input.stop === null ? [] : [asTrouble("stopped", input.stop)]),
    ...input.host.troubles.map((error) => asTrouble("host", error)),
    ...foreignTroubles(input.server, infos),
    ...(await historyTroubles(input, infos)),
    ...productionTroubles(opened),
    ...slotTroubles(input),
    ...waitTroubles(input),
  ];
}

interface ReadInfo {
  readonly key: number;
  readonly info: BackupInfo;
}

/** What the report needs of one repository. @throws what makes it unreadable */
async function gather(facts: RepoFacts, input: StatusInput) {
  const { key, repo } = facts;
  const [info, newestWal] = [await loadInfo(facts), await facts.newestWal()];
  const known = [...input.missingWal(key), ...openGapIn(key, info, input.dropped)];
  const trimmed = trimmedIn(info, info.currentId, repo, input.nowS);
  const left = await loadSpaceLeft(repo, info, newestWal, input.nowS);
  return {
    info,
    newestWal,
    trimmed,
    earlier: earlierSpans(info, repo, input.nowS),
    archive: await judgeArchive(facts, info, { ...input, known, trimmed }),
    space: spaceErrors(repo, info, left, input.nowS).map((error) => asTrouble("space", error)),
    drills: await loadNewestDrills(facts.remembered),
    attack: await loadNewestAttack(facts.remembered),
    dumps: await surveyDumps(facts.remembered),
  };
}

/** Repositories that cannot be read have their own troubles. */
async function historyTroubles(
  { history: findServer, nowS, repos }: StatusInput,
  infos: readonly ReadInfo[],
): Promise<Trouble[]> {
  const archives = infos.flatMap(({ info, key }) => {
    const facts = repos.find((each) => each.key === key);
    return facts === undefined ? [] : [{ facts, archiveId: archiveIdOf(currentHistory<ArchiveHistoryEntry>(info)) }];
  });
  const sizeBytes = segmentSizeOf(infos.flatMap(({ info }) => currentBackupsOf(info))) ?? WAL_SEGMENT_SIZE_BYTES;
  const ignore = (): void => {};
  const history = await loadHistory(archives, sizeBytes, ignore);
  if (history.stored.length < 2) return [];
  const server = await findServer();
  const own = infos.some(({ info }) => currentHistory(info).systemId === server?.systemId) ? server : null;
  const troubles = branchTroubles(history, own, nowS * 1000);
  if (troubles.length === 0) return [];
  return branchTroubles(await withWrittenTimes(history, archives, ignore), own, nowS * 1000);
}

/** True when nothing needs attention. */
export function isWell({ repos, troubles }: StatusReport): boolean {
  return troubles.length === 0 && repos.every((repo) => repo.troubles.length === 0);
}

/** Sorted by time, without duplicates. */
function joinDrills(drills: readonly DrillRecord[]): DrillRecord[] {
  return [...new Map(drills.map((drill) => [drill.id, drill])).values()].sort(
    (left, right) => left.endedAtS - right.endedAtS,
  );
}

/** @throws infoFile if only backup.info is missing */
async function loadInfo(facts: RepoFacts): Promise<BackupInfo> {
  const info = await nullOn(facts.backupInfo(), "fileMissing");
  if (info !== null) return info;
  // Without either of the files there is no stanza.
  if ((await nullOn(facts.archiveInfo(), "fileMissing")) !== null) throw infoTrouble(facts, "backup");
  return facts.backupInfo();
}

function trimmedIn(
  { backups }: BackupInfo,
  historyId: number,
  repo: Repository | undefined,
  nowS: number,
): ReadonlySet<string> {
  return trimmedLabels(backups, historyId, repo?.retention, nowS * 1000);
}

/** No WAL leads from one cluster to the next: each has a span of its own. */
function earlierSpans(info: BackupInfo, repo: Repository | undefined, nowS: number): EarlierSpan[] {
  return info.history.flatMap(({ id, pgVersion }): EarlierSpan[] => {
    if (id === info.currentId) return [];
    const trimmed = trimmedIn(info, id, repo, nowS);
    const ends = info.backups.flatMap(({ dbId, label, stoppedAtS }) =>
      dbId === id && !trimmed.has(label) ? [stoppedAtS] : [],
    );
    if (ends.length === 0) return [];
    const [fromS, toS] = [Math.min(...ends), Math.max(...ends)];
    return [{ version: pgVersion, fromS, toS, backupCount: ends.length }];
  });
}

function backupsOf(
  info: BackupInfo,
  trimmed: ReadonlySet<string>,
): Pick<RepoStatus, "backupCount" | "currentCount" | "held" | "newest" | "newestFull" | "recoverableFromS"> {
  const { backups } = info;
  const current = currentBackupsOf(info);
  const byEnd = backups.toSorted((left, right) => left.stoppedAtS - right.stoppedAtS);
  const last = byEnd.at(-1);
  return {
    backupCount: backups.length,
    currentCount: current.length,
    held: backups.flatMap((entry): HeldBackup[] => {
      const hold = holdOf(entry);
      return hold === null ? [] : [{ label: entry.label, hold }];
    }),
    newest: last === undefined ? null : { label: last.label, type: last.type, stoppedAtS: last.stoppedAtS },
    newestFull: newestFullOf(current),
    recoverableFromS:
      byEnd.find(({ dbId, label }) => dbId === info.currentId && !trimmed.has(label))?.stoppedAtS ?? null,
  };
}

function troublesOf(repo: Omit<RepoStatus, "troubles">, input: StatusInput, newestWal: NewestWal | null): Trouble[] {
  const { key, newestFull, missingWalCount, droppedCount } = repo;
  const full = fullError(key, newestFull, input.expectFull(key) ?? "ever", input.nowS);
  const troubles = [...conflictTroubles(repo), ...(full === null ? [] : [asTrouble("full", full)])];
  if (droppedCount > 0) {
    const fact = `${droppedCount} WAL file(s) were dropped: no recovery is possible between them and the next backup`;
    const hint = `Take a new backup: pgbackstop backup --type=full --repo=${key}`;
    troubles.push(troubleOf("dropped", fact, { repoIndex: key, hint }));
  }
  if (missingWalCount > 0) {
    const fact = `${missingWalCount} acknowledged WAL file(s) are missing here`;
    const hint = "They are copied automatically. To copy them now: pgbackstop heal";
    troubles.push(troubleOf("missing", fact, { repoIndex: key, hint }));
  }
  if (missingWalCount === 0 && newestWal !== null && isBehind(repo.newestWal, newestWal)) {
    const fact = `behind: the newest WAL here is ${repo.newestWal?.name ?? "none"}; another repository has had ${newestWal.name} since ${timeText(newestWal.storedAtS)}`;
    troubles.push(troubleOf("behind", fact, { repoIndex: key, hint: "Check the log of the archiver." }));
  }
  troubles.push(...streamTroubles(repo, input), ...dumpTroubles(repo));
  if (repo.drill?.ok === false) {
    const fact = `the newest fire drill (${repo.drill.id}) failed: ${repo.drill.failures[0]?.message ?? "see its record"}`;
    troubles.push(troubleOf("drill", fact, { repoIndex: key, hint: `pgbackstop drill --repo=${key} runs a new one.` }));
  }
  if (repo.attack?.ok === false) {
    const fact = `the newest attack drill (${repo.attack.id}) failed: ${repo.attack.failures[0]?.message ?? "see its record"}`;
    const hint = `pgbackstop drill --pick=attack --repo=${key} runs a new one.`;
    troubles.push(troubleOf("attack", fact, { repoIndex: key, hint }));
  }
  return troubles;
}

/** A cluster in the data directory that these repositories do not back up. */
function foreignTroubles(server: LocalServer | null, infos: readonly ReadInfo[]): Trouble[] {
  if (server === null) return [];
  const { dataDirectory, systemId } = server;
  const others = infos.filter(({ info }) => currentHistory(info).systemId !== systemId);
  const [first] = others;
  if (first === undefined) return [];
  const names = others.map(({ key }) => `repo${key}`).join(", ");
  const fact = `the cluster in '${dataDirectory}' has system identifier ${systemId}, and that of ${names} is ${currentHistory(first.info).systemId}`;
  const hint = [
    `Does pg1-path=${dataDirectory} name the right directory? After pg_upgrade, run pgbackstop stanza-upgrade.`,
    "Were the data removed, and made again? Stop the server, empty the data directory, and run pgbackstop recover.",
  ];
  return [troubleOf("foreign", fact, { hint })];
}

/** Backups that outlived the only thing that kept an attack drill from deleting them. */
function lockTroubles(
  { attack, key }: Pick<RepoStatus, "attack" | "key">,
  { backups }: BackupInfo,
  nowS: number,
): Trouble[] {
  const lockedForS = attack?.lockedForS;
  if (lockedForS === undefined) return [];
  const unlocked = backups.filter(({ startedAtS }) => startedAtS + lockedForS <= nowS);
  if (unlocked.length === 0) return [];
  const fact = `files are locked for ${durationText(lockedForS)}, and ${unlocked.length} of ${backups.length} backups are older: this repository's key can delete them`;
  const hint =
    "Lock for as long as a backup is kept, or use a key that cannot delete versions (docs/drills-attack.md).";
  return [troubleOf("lock", fact, { repoIndex: key, hint })];
}

/** Damage stays in the report until `verify` finds none. */
function damageTroubles({ key, verified }: Pick<RepoStatus, "key" | "verified">): Trouble[] {
  if (verified === null || verified.ok) return [];
  const fact = `verify found damage or missing files on ${timeText(verified.endedAtS)}`;
  const hint = `pgbackstop verify --repo=${key} lists it again; pgbackstop heal and pgbackstop sync copy what another repository has.`;
  return [troubleOf("damage", fact, { repoIndex: key, hint })];
}

function conflictTroubles({ conflicts, key }: Pick<RepoStatus, "conflicts" | "key">): Trouble[] {
  const error = conflictError(key, conflicts);
  return error === null ? [] : [asTrouble("conflict", error)];
}

/**
 * WAL that no repository may have yet. Streaming ships it before its segment is full, so the promise then says nothing
 * about whole segments.
 */
function waitTroubles({ isStandby, nowS, rpoS, streams, waiting }: StatusInput): Trouble[] {
  if (isStandby || waiting === null || waiting.oldestAtS === null) return [];
  const limitS = streams === null ? (rpoS ?? BEHIND_S) : Math.max(rpoS ?? BEHIND_S, BEHIND_S);
  const waitedS = nowS - waiting.oldestAtS;
  if (waitedS <= limitS) return [];
  const promised = rpoS === limitS ? "the objective is" : "expected is";
  const fact = `WAL has waited in pg_wal for ${durationText(waitedS)}; ${promised} ${durationText(limitS)} at most`;
  const hint =
    "pgbackstop check reports the repository or setting. After the repair, pgbackstop heal sends the WAL immediately.";
  return [troubleOf("waiting", fact, { hint })];
}

function streamTroubles(
  { key, stream }: Pick<RepoStatus, "key" | "stream">,
  { nowS, streams }: StatusInput,
): Trouble[] {
  if (streams === null) return [];
  const hint = "Check the log of the agent and run pgbackstop check. Complete segments are still archived.";
  const { synchronous } = streams;
  const waits =
    synchronous?.isWaiting === false
      ? [
          troubleOf(
            "stream",
            `commits do not wait for a repository: ${synchronous.trouble ?? "the stream is starting"}`,
            { repoIndex: key, hint },
          ),
        ]
      : [];
  if (stream === null) return [troubleOf("stream", "no WAL was streamed here yet", { repoIndex: key, hint }), ...waits];
  if (nowS - stream.atS <= behindAfterS(streams.intervalSeconds)) return waits;
  return [
    ...waits,
    troubleOf("stream", `WAL was last streamed ${durationText(nowS - stream.atS)} ago`, { repoIndex: key, hint }),
  ];
}

function dumpTroubles({ dumps, key }: Pick<RepoStatus, "dumps" | "key">): Trouble[] {
  return (dumps?.faulty ?? []).map(({ fault, label }) =>
    troubleOf("dump", `dump ${label} cannot be used: ${fault}`, {
      repoIndex: key,
      hint: "Run pgbackstop sync if another repository has it. Otherwise remove its directory from the repository.",
    }),
  );
}

/** Repositories always differ slightly: WAL that one has had for minutes should be in the others too. */
function isBehind(own: NewestWal | null, newest: NewestWal): boolean {
  return own === null || (own.name < newest.name && own.storedAtS < newest.storedAtS - BEHIND_S);
}

function slotTroubles({ isStandby, nowS, slot }: StatusInput): Trouble[] {
  if (slot === null || isStandby || isRead(slot, nowS)) return [];
  const since = slot.activeAtS === null ? "yet" : `for ${durationText(nowS - slot.activeAtS)}`;
  const reason = slot.trouble === null ? "" : `: ${slot.trouble.split("\n")[0] ?? ""}`;
  const hint =
    "Check the agent's unit and log. The server keeps the WAL until max_slot_wal_keep_size or its disk ends.";
  return [troubleOf("slot", `nobody has read the replication slot ${slot.slot} ${since}${reason}`, { hint })];
}
