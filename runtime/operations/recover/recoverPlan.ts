/**
 * The plan of `recover`: the moves, the restore, and the reasons to refuse. Pure: every refusal is made here, while the
 * server still runs.
 */
import { timeText } from "../../base/clock";
import { formatSize } from "../../base/units";
import { type BackupError, fail, isError } from "../../base/errors";
import { parseLsn } from "../../format/wal/walSegment";
import { parseTargetTime } from "../restore/select";
import type { ServerControl } from "./control";
import type { HostFacts } from "./hostFacts";
import { type InstantFacts, instantSteps, requireInstant } from "./instantPlan";
import type { RecoverSource, WalGap } from "./recoverSource";

export interface RecoverRequest {
  readonly stanza: string;
  readonly type: string;
  readonly target: string | undefined;
  readonly targetAction: string;
  readonly targetExclusive: boolean;
  readonly targetTimeline: string | undefined;
  /** `--repo` and `--set` as given. */
  readonly repoIndex: number | undefined;
  readonly set: string | undefined;
  /** The user wants to recover although WAL is missing. */
  readonly force?: boolean;
  /** `--repo-target-time` as given. */
  readonly repoTargetTime?: string | undefined;
}

/** The server that answers at pg1's socket. */
export interface LiveServer {
  readonly dataDirectory: string;
  readonly inRecovery: boolean;
  /** `stream`: the agent archives through a slot. */
  readonly archiveMode: string;
  /** Position of the next record; null in recovery. */
  readonly lsn: string | null;
}

export interface PlanInput {
  readonly request: RecoverRequest;
  readonly facts: HostFacts;
  readonly source: RecoverSource;
  readonly live: LiveServer | null;
  readonly control: ServerControl;
  /** Free space at the destination of each of the source's targets, in their order. */
  readonly freeSpace: readonly { readonly device: number; readonly freeBytes: number }[];
  /** WAL that is brought before the server starts. */
  readonly broughtWalBytes: number;
  /** The user wants the server's last WAL archived. */
  readonly finishWal: boolean;
  /** Why the server may not start on the restored data (startProof.ts). */
  readonly startFault: BackupError | null;
  /** A running backup or restore of this stanza on this host. */
  readonly running: string | null;
  /** Null copies everything before the server starts. */
  readonly instant: InstantFacts | null;
  readonly nowS: number;
  /** `20261121-053000`, for the names of kept data. */
  readonly stamp: string;
}

/** A directory that is renamed within its parent. */
export interface Move {
  readonly from: string;
  readonly to: string;
}

export interface RecoverPlan {
  readonly moves: readonly Move[];
  /** Arguments of `restore`. */
  readonly restoreArgs: readonly string[];
  /** The server runs: archive its last WAL before the stop. */
  readonly finishWal: boolean;
  /** Segments to archive before the stop, which only the server's pg_wal has. */
  readonly leaving: readonly string[];
  /** The server is down and need not be stopped. */
  readonly isStopped: boolean;
  readonly warnings: readonly string[];
}

/** Free space to leave: for fetched WAL and for what the server writes at its start. */
const SPACE_FACTOR = 1.05;
const SPACE_EXTRA_BYTES = 64 * 1024 * 1024;
/** A clock that is slightly ahead does not put the target in the future. */
const CLOCK_SLACK_S = 1;

/** What a recovery needs from its stop to its end, in the order of the refusals. Each returns warnings. */
const PRECONDITIONS: readonly ((input: PlanInput) => readonly string[] | void)[] = [
  requireOwnServer,
  requireIdle,
  requireSameCluster,
  requireStart,
  requireUnused,
  ({ facts, instant, request, source }) => {
    if (instant !== null) requireInstant(instant, facts, source, request);
  },
  requireMovable,
  requireReadable,
  requireReachable,
  requireKept,
  requireSpace,
];

/** @throws every refusal of `recover`, each with a remedy */
export function planRecover(input: PlanInput): RecoverPlan {
  const { facts, live, stamp } = input;
  const warnings = PRECONDITIONS.flatMap((precondition) => precondition(input) ?? []);
  const aside = (path: string): Move => ({ from: path, to: `${path}.before-recover-${stamp}` });
  const moves = [...facts.tablespaces, ...(facts.walDirectory === null ? [] : [facts.walDirectory])].map(aside);
  // Last: while it exists, it shows which directories belong to it.
  if (facts.owner !== null) moves.push(aside(facts.dataDirectory));
  return {
    moves,
    restoreArgs: restoreArgs(input),
    finishWal: input.finishWal && live !== null && live.archiveMode !== "off",
    leaving: input.finishWal ? input.source.leaving : [],
    isStopped: facts.server === null,
    warnings,
  };
}

function restoreArgs({ facts, request, source }: PlanInput): string[] {
  return [
    // Resumes a directory that was begun.
    "--delta",
    `--set=${source.label}`,
    ...targetArgs({ ...request, targetTimeline: source.targetTimeline }),
    ...(facts.walLink === null ? [] : [`--link-map=pg_wal=${facts.walLink}`]),
    ...(source.without === "alone" ? [`--repo=${source.repoIndex}`] : []),
  ];
}

/** The request's target as options. */
export function targetArgs(request: RecoverRequest): string[] {
  const { repoTargetTime, target, targetAction, targetExclusive, targetTimeline, type } = request;
  return [
    `--type=${type}`,
    ...(target === undefined ? [] : [`--target=${target}`]),
    ...(type === "default" ? [] : [`--target-action=${targetAction}`]),
    ...(targetExclusive ? ["--target-exclusive"] : []),
    ...(targetTimeline === undefined ? [] : [`--target-timeline=${targetTimeline}`]),
    ...(repoTargetTime === undefined ? [] : [`--repo-target-time=${repoTargetTime}`]),
  ];
}

/** @throws pgRunning (38) */
function requireOwnServer({ facts, live }: PlanInput): void {
  if (live === null) {
    // The stop ends the restarts.
    if (facts.server === null || facts.server.isRestarting === true) return;
    throw fail(
      "pgRunning",
      `the server of '${facts.dataDirectory}' runs (pid ${facts.server.pid}), but accepts no connection`,
      {
        hint: "Check pg1-port, pg1-socket-path and pg1-user. If the server hangs, stop it: recover does not need it.",
      },
    );
  }
  if (facts.server === null || ![facts.dataDirectory, facts.configuredDirectory].includes(live.dataDirectory)) {
    throw fail(
      "pgRunning",
      `a server of '${live.dataDirectory}' answers where that of '${facts.configuredDirectory}' should`,
      {
        hint: "Correct pg1-path, pg1-port and pg1-socket-path, or stop that server: two servers cannot share an address.",
      },
    );
  }
  if (live.inRecovery) {
    throw fail(
      "pgRunning",
      `the server of '${facts.dataDirectory}' is a standby or still in recovery: recover would create a second primary`,
      {
        hint: [
          "Recover the primary, and rebuild this standby from it: pgbackstop restore --type=standby --delta.",
          "To make this server the primary, promote it: pg_ctl promote.",
        ],
      },
    );
  }
}

/** @throws lockAcquire (50) */
function requireIdle({ request, running }: PlanInput): void {
  if (running === null) return;
  throw fail("lockAcquire", `${running} of stanza '${request.stanza}' runs on this host`, {
    hint: "Wait for it to finish, or stop it.",
  });
}

/** A question that got no answer refuses nothing. @throws fileMissing (55) and others */
function requireStart({ startFault }: PlanInput): readonly string[] {
  if (startFault === null) return [];
  if (!isError(startFault, "execute")) throw startFault;
  return [`whether the server starts on the restored data is unknown: ${startFault.message}`];
}

/** @throws dbMismatch (58) */
function requireSameCluster({ facts: { control, dataDirectory }, source }: PlanInput): void {
  if (control === null || String(control.systemId) === source.systemId) return;
  const own = `'${dataDirectory}' belongs to system-id ${control.systemId}`;
  throw fail("dbMismatch", `${own}, backup ${source.label} to ${source.systemId}: these are different clusters`, {
    hint: "Check the stanza and pg1-path. To replace this cluster by the other one, stop its server, and empty the directory or move it away.",
  });
}

/** The links of a copied data directory lead to the directories of its origin. @throws pgRunning (38) */
function requireUnused({ facts: { dataDirectory, otherUse } }: PlanInput): void {
  if (otherUse === null) return;
  throw fail(
    "pgRunning",
    `a link in '${dataDirectory}' leads to '${otherUse.path}', which the running server of '${otherUse.dataDirectory}' uses`,
    {
      hint: `Recover into a directory of its own: move '${dataDirectory}' away, and pgbackstop restore with --tablespace-map or --link-map.`,
    },
  );
}

/** A rename needs no space, but a mount point cannot be renamed. @throws fileMove (74) */
function requireMovable({ facts: { dataDirectory, mounts, tablespaces, walDirectory } }: PlanInput): void {
  for (const path of [dataDirectory, ...(walDirectory === null ? [] : [walDirectory]), ...tablespaces]) {
    const mount = mounts.find((each) => each === path || each.startsWith(`${path}/`));
    if (mount === undefined) continue;
    throw fail("fileMove", `'${mount}' is a mount point, so '${path}' cannot be renamed to keep the old data`, {
      hint: [
        "Use a directory below the mount point as data directory (pg1-path, data_directory); or",
        "stop the server, keep a copy or a snapshot of that file system, and overwrite it: pgbackstop restore --delta, then start the server.",
      ],
    });
  }
}

/**
 * Refuses if recovery is known to end before its target; warns if that cannot be known.
 * @throws optionInvalidValue (32), backupSetInvalid (75)
 */
function requireReachable({ facts, live, nowS, request, source }: PlanInput): string[] {
  const { target, type } = request;
  const { wal, walStop } = source;
  if (wal !== null && walStop !== null && (wal.last === null || wal.last.slice(8) < walStop.slice(8))) {
    throw fail(
      "backupSetInvalid",
      `backup ${source.label} needs WAL up to ${walStop}, and no repository has ${wal.missing ?? "the WAL after it"}`,
      {
        hint: "Choose an older backup with --set, or another repository with --repo.",
      },
    );
  }
  const refused = (end: string): Error =>
    fail("optionInvalidValue", `target '${target}' is after the end of the WAL: ${end}`, {
      hint: "PostgreSQL would refuse to open there. Choose an earlier target, or recover to the end: without --type and --target.",
    });
  if (type === "time" && target !== undefined) {
    const endS =
      live === null ? Math.max(source.newestWalStoredAtS ?? 0, facts.walWrittenAtS ?? 0) : nowS + CLOCK_SLACK_S;
    if (parseTargetTime(target) > endS)
      throw refused(live === null ? `the newest WAL is from ${timeText(endS)}` : `now it is ${timeText(nowS)}`);
  }
  if (type === "lsn" && target !== undefined && live?.lsn != null && parseLsn(target) > parseLsn(live.lsn))
    throw refused(`the server is at ${live.lsn}`);
  const warnings: string[] = [];
  if (source.gap !== null && type !== "immediate") warnings.push(gapWarning(source.gap, request));
  if (type === "name" || type === "xid")
    warnings.push(`only the replay shows whether the WAL contains ${type} '${target}'`);
  if (live === null && facts.owner !== null)
    warnings.push(
      "the server is down: WAL after the newest archived segment is taken from its pg_wal as far as it is complete",
    );
  return warnings;
}

/**
 * PostgreSQL takes the first segment that it does not get for the end, and opens there: what the server wrote later
 * would be gone from production.
 * @throws backupSetInvalid (75)
 */
/** The step that archives them was refused. @throws backupSetInvalid (75) */
function requireKept({ finishWal, request: { force = false, type }, source: { leaving } }: PlanInput): void {
  const [first] = leaving;
  if (first === undefined || finishWal || force || type === "immediate") return;
  throw fail(
    "backupSetInvalid",
    `only pg_wal has WAL from segment ${first} on, and PostgreSQL may remove it at the stop`,
    {
      hint: [
        "Without --no-finish-wal, recover archives it first.",
        "To recover what is before it: pgbackstop recover --no-finish-wal --force. The old data are kept.",
      ],
    },
  );
}

function gapWarning({ lsn, missing, storedAtS }: WalGap, request: RecoverRequest): string {
  const { force = false, target = "", type } = request;
  const lack = `neither a repository nor pg_wal has WAL segment ${missing}, and there are later ones`;
  const isBehind =
    (type === "time" && storedAtS !== null && parseTargetTime(target) > storedAtS) ||
    (type === "lsn" && parseLsn(target) >= parseLsn(lsn));
  if (isBehind || (type === "default" && !force)) {
    const until = storedAtS === null ? "" : `, whose last segment is of ${timeText(storedAtS)}`;
    throw fail("backupSetInvalid", `recovery ends before its target: ${lack}`, {
      hint: [
        "pgbackstop heal looks whether another copy of it is left.",
        `To recover what is before the gap${until}: pgbackstop recover --force, without --type. The old data are kept.`,
      ],
    });
  }
  return `recovery cannot go further than this: ${lack}`;
}

/**
 * PostgreSQL asks for the next timeline and the next segment. As long as a repository may have them, it does not open.
 * @throws repoInvalid (103)
 */
function requireReadable({ instant, source }: PlanInput): string[] {
  const { repoIndex, unlisted, without } = source;
  if (unlisted.length === 0) return [];
  const those = unlisted.map((key) => `repo${key}`).join(" and ");
  if (without === "policy") return [`${those} cannot be read: whatever was acknowledged is in the others`];
  if (without === "alone" && instant === null)
    return [`${those} cannot be read: repo${repoIndex} and the old pg_wal have all WAL up to the server's end`];
  throw fail(
    "repoInvalid",
    `${those} cannot be read and may have WAL that this recovery needs: the server would not open`,
    {
      hint: [
        `Make ${those} readable, and run this again.`,
        ...(without === "alone" ? ["Without --instant it needs no other repository."] : []),
        `If ${those} is gone for good, recover from repo${repoIndex} alone with --repo=${repoIndex}.`,
      ],
    },
  );
}

/** @throws fileWrite (64) */
function requireSpace({ broughtWalBytes, freeSpace, source }: PlanInput): void {
  const needed = new Map<number, { neededBytes: number; freeBytes: number; path: string }>();
  for (const [index, target] of source.targets.entries()) {
    const at = freeSpace[index];
    if (at === undefined) continue;
    const known = needed.get(at.device) ?? {
      neededBytes: SPACE_EXTRA_BYTES,
      freeBytes: at.freeBytes,
      path: target.path,
    };
    known.neededBytes += target.sizeBytes * SPACE_FACTOR + (target.name === "pg_data" ? broughtWalBytes : 0);
    needed.set(at.device, known);
  }
  for (const { freeBytes, neededBytes, path } of needed.values()) {
    if (freeBytes >= neededBytes) continue;
    const fact = `the restored data need ${formatSize(Math.ceil(neededBytes))} beside the old ones, ${formatSize(freeBytes)} are free`;
    throw fail("fileWrite", `not enough space for '${path}': ${fact}`, {
      path,
      hint: [
        "Free or add space; old safety copies (*.before-recover-*) may use it.",
        "Or give up the old data: stop the server, and overwrite them with pgbackstop restore --delta.",
      ],
    });
  }
}

export function planText(plan: RecoverPlan, { control, facts, instant, request, source }: PlanInput): string {
  const { wal } = source;
  const sizeBytes = source.targets.reduce((sum, target) => sum + target.sizeBytes, 0);
  const replayed =
    wal === null || wal.last === null
      ? "no WAL"
      : `WAL ${wal.first} to ${wal.last}, ${wal.segmentCount} segment(s), ${formatSize(wal.sizeRepoBytes)}, and later WAL until the server stops`;
  const [leaving] = plan.leaving;
  const steps = [
    ...(leaving === undefined
      ? []
      : [
          `archive ${plan.leaving.length} segment(s) from ${leaving} on, which only pg_wal has: PostgreSQL would remove them`,
        ]),
    ...(plan.finishWal ? ["archive the server's last WAL (if that fails, the server is not stopped)"] : []),
    plan.isStopped ? "the server is already down" : `stop it: ${control.stop.join(" ")}`,
    plan.moves.length === 0
      ? "no old data to keep"
      : [
          "keep the old data under another name:",
          ...plan.moves.map(({ from, to }) => `     ${from}\n       -> ${to}`),
        ].join("\n"),
    ...(instant === null
      ? [
          `restore backup ${source.label} to ${facts.dataDirectory}: ${formatSize(sizeBytes)}, ${source.fileCount} file(s)`,
          `start it: ${control.start.join(" ")}`,
          "wait until it is open on a new timeline, and check that every repository gets its WAL",
        ]
      : instantSteps(instant, {
          what: `backup ${source.label} (${formatSize(sizeBytes)}, ${source.fileCount} file(s))`,
          dataDirectory: facts.dataDirectory,
          start: control.start.join(" "),
          stop: control.stop.join(" "),
        })),
  ];
  return [
    `Recovery of stanza ${request.stanza} in ${facts.dataDirectory}`,
    "",
    `  from     repo${source.repoIndex} ${source.location}`,
    `  backup   ${source.label} of ${timeText(source.stoppedAtS)}`,
    `  replays  ${replayed}`,
    `  until    ${untilText(request)}`,
    ...plan.warnings.map((warning) => `  !        ${warning}`),
    "",
    ...steps.map((step, index) => `  ${index + 1}. ${step}`),
    "",
    "  The old data are never removed. To restore them at any time: pgbackstop recover --undo",
    "",
  ].join("\n");
}

function untilText({ target, targetAction, targetExclusive, type }: RecoverRequest): string {
  if (type === "default") return "the end of the WAL";
  if (type === "immediate") return `the backup is consistent, then ${targetAction}`;
  return `${targetExclusive ? "just before " : ""}${type} ${target}, then ${targetAction}`;
}
