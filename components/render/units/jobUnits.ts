/** A piece of work at certain times: a oneshot service and its timer. */
import type { HostPlan } from "../../plan/model/plan";
import { loadCron, type RunTime, toOnCalendar } from "../../plan/schedule/schedule";
import { credentialLines } from "../host/systemdCredentials";
import { onFailureLines } from "./failedUnits";
import { hardening } from "./hardening";
import { toldLines } from "./eventUnits";
import { type Unit, UNIT_HEAD, unitName, unitText } from "./unit";

interface Job {
  /** Of `ExecStart=`. */
  readonly command: string;
  /** `full backup`. */
  readonly title: string;
  readonly time: RunTime;
  readonly writesData?: boolean;
  /** Written besides the repositories. */
  readonly writes?: readonly string[];
  /** True where a run that finds a backup at work is none to worry about: the next one does what it would have done. */
  readonly mayYield?: boolean;
  /** True where nobody wants to be told of every run that went well. */
  readonly isQuiet?: boolean;
  /** True for a fire drill, whose result is told. */
  readonly isDrill?: boolean;
  /** Units that are started when it has ended, whatever came of it. */
  readonly afterwards?: readonly string[];
  /** More lines of `[Service]`. */
  readonly lines?: readonly string[];
}

/** Exit code of a verb that finds the lock taken. */
const LOCK_TAKEN = 50;

/** Both units. @throws Error for a time that rules refuse */
export function jobUnits(plan: HostPlan, job: Job): Unit[] {
  const name = unitName(plan.stanza, job.time.name);
  return [
    { name: `${name}.service`, text: renderService(plan, job), late: true, enabled: false, restarted: false },
    { name: `${name}.timer`, text: renderTimer(plan, job), late: false, enabled: true, restarted: false },
  ];
}

function renderService(plan: HostPlan, job: Job): string {
  const {
    afterwards = [],
    command,
    isDrill = false,
    isQuiet = false,
    lines = [],
    mayYield = false,
    time,
    title,
    writes = [],
    writesData = false,
  } = job;
  return unitText([
    UNIT_HEAD,
    "[Unit]",
    `Description=pgbackstop ${title} of stanza ${plan.stanza}`,
    // Runs that are made up for after a boot wait for network mounts. Not RequiresMountsFor=: while a NAS is away it would keep the backup
    // from the other repositories too. Its own repository fails by itself, because its info files are not in the bare mount point.
    "After=network-online.target remote-fs.target postgresql.service",
    "Wants=network-online.target",
    ...onFailureLines(plan),
    ...(isQuiet ? [] : toldLines(plan, `${unitName(plan.stanza, time.name)}.service`, isDrill)),
    // Lists of systemd add up. What a unit does at its own end has no credentials any more (systemd 252).
    ...afterwards.flatMap((name) => [`OnSuccess=${name}`, `OnFailure=${name}`]),
    "",
    "[Service]",
    "Type=oneshot",
    `User=${plan.user}`,
    `ExecStart=${command}`,
    ...credentialLines(plan),
    `TimeoutStartSec=${time.deadlineSeconds}`,
    ...(mayYield ? [`SuccessExitStatus=${LOCK_TAKEN}`] : []),
    "Nice=10",
    "IOSchedulingClass=idle",
    ...lines,
    ...hardening(plan, { writesData, writes }),
  ]);
}

/** The timer: each line of the schedule with its zone, the same delay every time, missed runs made up for. */
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
