/** One service and one timer for each schedule of backups. */
import type { HostPlan } from "../../plan/plan";
import { loadCron, type Schedule, toOnCalendar } from "../../plan/schedule";
import { runtimeArgv, systemdWord } from "../commandLine";
import { hardening } from "./hardening";
import { type Unit, UNIT_HEAD, unitName, unitText } from "./unit";

/**
 * The units of every schedule, in the plan's order.
 * @param command program and arguments that take the backup; the runtime's where nothing is said
 * @throws Error for a schedule that rules refuse
 */
export function backupUnits(
  plan: HostPlan,
  command: (schedule: Schedule) => readonly string[] = (schedule) => runtimeCommand(plan, schedule),
): Unit[] {
  return plan.schedules.flatMap((schedule) => {
    const name = unitName(plan.stanza, schedule.name);
    return [
      { name: `${name}.service`, text: renderService(plan, schedule, command(schedule)), late: true, enabled: false, restarted: false },
      { name: `${name}.timer`, text: renderTimer(plan, schedule), late: false, enabled: true, restarted: false },
    ];
  });
}

/** A oneshot service that takes one backup into all repositories. */
function renderService(plan: HostPlan, schedule: Schedule, command: readonly string[]): string {
  return unitText([
    UNIT_HEAD,
    "[Unit]",
    `Description=pgbackstop ${schedule.type} backup of stanza ${plan.stanza}`,
    // Runs that are made up for after a boot wait for network mounts. Not RequiresMountsFor=: while a NAS is away it would keep the backup
    // from the other repositories too. Its own repository fails by itself, because its info files are not in the bare mount point.
    "After=network-online.target remote-fs.target postgresql.service",
    "Wants=network-online.target",
    "",
    "[Service]",
    "Type=oneshot",
    `User=${plan.user}`,
    `ExecStart=${command.map(systemdWord).join(" ")}`,
    `TimeoutStartSec=${schedule.deadlineSeconds}`,
    "Nice=10",
    "IOSchedulingClass=idle",
    ...hardening(plan),
  ]);
}

/** One repository is named, all of them are the default; rules/schedules.ts refuses what lies between. */
function runtimeCommand(plan: HostPlan, { repoKeys, type }: Schedule): string[] {
  const named = repoKeys.length < plan.repositories.length ? repoKeys.map((key) => `--repo=${key}`) : [];
  return [...runtimeArgv(plan), "backup", `--type=${type}`, ...named];
}

/** The timer: each line of the schedule with its zone, the same delay every time, missed runs made up for. */
function renderTimer(plan: HostPlan, schedule: Schedule): string {
  return unitText([
    UNIT_HEAD,
    "[Unit]",
    `Description=pgbackstop ${schedule.type} backup of stanza ${plan.stanza}: ${schedule.cron} ${schedule.timeZone}`.replaceAll("%", "%%"),
    "",
    "[Timer]",
    ...toOnCalendar(loadCron(schedule), schedule.timeZone).map((calendar) => `OnCalendar=${calendar}`),
    `RandomizedDelaySec=${schedule.jitterSeconds}`,
    "FixedRandomDelay=yes",
    "AccuracySec=1s",
    "Persistent=yes",
    "",
    "[Install]",
    "WantedBy=timers.target",
  ]);
}
