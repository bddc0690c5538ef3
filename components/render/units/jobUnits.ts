/** A scheduled job: a oneshot service and its timer. */
import { DEFAULTS } from "../../plan/model/defaults";
import type { HostPlan, PriorityPlan } from "../../plan/model/plan";
import { loadCron, type RunTime, toOnCalendar } from "../../plan/schedule/schedule";
import { credentialLines } from "../host/systemdCredentials";
import { onFailureLines } from "./failedUnits";
import { serverUnit } from "./containerRights";
import { hardening } from "./hardening";
import { eventLines } from "./eventUnits";
import { ALLOCATOR_LINES, madeUnit, type Unit, UNIT_HEAD, unitName, unitText } from "./unit";

interface Job {
  /** `full backup`. */
  readonly title: string;
  readonly time: RunTime;
  /** Settings of its service. */
  readonly settings: () => JobSettings;
}

export interface JobSettings {
  /** Value of `ExecStart=`. */
  readonly command: string;
  /** Written paths besides the repositories. */
  readonly writes?: readonly string[];
  /** True if a run may skip its work during a backup: the next one does it. */
  readonly mayYield?: boolean;
  /** True if successful runs are not reported. */
  readonly isQuiet?: boolean;
  /** True for a fire drill, whose result is reported. */
  readonly isDrill?: boolean;
  /** True if it runs programs in PostgreSQL's container, if there is one. */
  readonly entersContainer?: boolean;
  /** True if it mounts a backup, as root. */
  readonly mounts?: boolean;
  /** Default: that of all jobs. */
  readonly priority?: PriorityPlan;
  /** Units to start after it ended, whatever its result. */
  readonly afterwards?: readonly string[];
  /** Additional `[Service]` lines. */
  readonly lines?: readonly string[];
}

/** Exit code of a verb if the lock is taken. */
const LOCK_TAKEN = 50;

/** Both units. @throws Error for a time that rules refuse */
export function jobUnits(plan: HostPlan, job: Job): Unit[] {
  const name = unitName(plan.stanza, job.time.name);
  return [
    madeUnit(`${name}.service`, () => renderService(plan, job)),
    madeUnit(`${name}.timer`, () => renderTimer(plan, job), { enabled: true }),
  ];
}

function renderService(plan: HostPlan, { settings, time, title }: Job): string {
  const {
    afterwards = [],
    command,
    entersContainer = false,
    isDrill = false,
    isQuiet = false,
    lines = [],
    mayYield = false,
    mounts = false,
    priority = DEFAULTS.priority,
    writes = [],
  } = settings();
  return unitText([
    UNIT_HEAD,
    "[Unit]",
    `Description=pgbackstop ${title} of stanza ${plan.stanza}`,
    // Catch-up runs after a boot wait for network mounts. Not RequiresMountsFor=: a missing NAS would also block the
    // backup of the other repositories. The NAS's own repository fails anyway, because its info files are missing from
    // the bare mount point.
    `After=network-online.target remote-fs.target ${serverUnit(plan)}`,
    "Wants=network-online.target",
    ...onFailureLines(plan),
    ...(isQuiet ? [] : eventLines(plan, `${unitName(plan.stanza, time.name)}.service`, isDrill)),
    // systemd's lists add up. Commands at a unit's own end no longer have credentials (systemd 252).
    ...afterwards.flatMap((name) => [`OnSuccess=${name}`, `OnFailure=${name}`]),
    "",
    "[Service]",
    "Type=oneshot",
    `User=${mounts ? "root" : plan.user}`,
    ...ALLOCATOR_LINES,
    `ExecStart=${command}`,
    ...credentialLines(plan),
    `TimeoutStartSec=${time.deadlineSeconds}`,
    ...(mayYield ? [`SuccessExitStatus=${LOCK_TAKEN}`] : []),
    ...priorityLines(priority),
    ...lines,
    ...hardening(plan, { entersContainer, mounts, writes, restores: isDrill && !mounts }),
  ]);
}

function priorityLines({ cpuNice, ioClass, ioLevel }: PriorityPlan): string[] {
  return [
    `Nice=${cpuNice}`,
    `IOSchedulingClass=${ioClass}`,
    ...(ioLevel === undefined ? [] : [`IOSchedulingPriority=${ioLevel}`]),
  ];
}

/** The timer: each line of the schedule with its zone, a fixed delay, catch-up of missed runs. */
function renderTimer(plan: HostPlan, { time, title }: Job): string {
  return unitText([
    UNIT_HEAD,
    "[Unit]",
    `Description=pgbackstop ${title} of stanza ${plan.stanza}: ${time.cron} ${time.timeZone}`.replaceAll("%", "%%"),
    "",
    "[Timer]",
    ...toOnCalendar(loadCron(time), time.timeZone).map((calendar) => `OnCalendar=${calendar}`),
    `RandomizedDelaySec=${time.jitterSeconds}`,
    "FixedRandomDelay=yes",
    "AccuracySec=1s",
    "Persistent=yes",
    "",
    "[Install]",
    "WantedBy=timers.target",
  ]);
}
