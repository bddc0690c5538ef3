/**
 * One service and one timer of systemd for each schedule. Works from systemd 247 (Debian 11) on.
 *
 * The hardening is what passed on a booted Debian with a unit that reads the data directory, talks to PostgreSQL's socket and runs
 * Node.js (no MemoryDenyWriteExecute: its compiler needs such pages). PrivateTmp stays off, because the locks in /tmp/pgbackrest must be
 * the same as stock's and PostgreSQL's socket may lie in /tmp.
 */
import type { HostPlan } from "../plan/plan";
import { loadCron, type Schedule, toOnCalendar } from "../plan/schedule";
import { runtimeArgv, systemdWord } from "./commandLine";
import type { RenderedFile } from "./renderedFile";

const HEAD = "# Written by pgbackstop: changes made here by hand are undone by the next update.";
/** Directories that ProtectHome hides. */
const HOME_DIRECTORIES = ["/home", "/root", "/run/user"];

const HARDENING = [
  "NoNewPrivileges=yes",
  "CapabilityBoundingSet=",
  "LockPersonality=yes",
  "PrivateDevices=yes",
  "ProtectClock=yes",
  "ProtectControlGroups=yes",
  "ProtectHostname=yes",
  "ProtectKernelLogs=yes",
  "ProtectKernelModules=yes",
  "ProtectKernelTunables=yes",
  "ProtectSystem=strict",
  "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
  "RestrictNamespaces=yes",
  "RestrictRealtime=yes",
  "RestrictSUIDSGID=yes",
  "SystemCallArchitectures=native",
  "SystemCallFilter=@system-service",
  "UMask=0027",
];

/** `pgbackstop-main-full`: the name of the units of one schedule, without the ending. */
function unitName(stanza: string, schedule: { readonly name: string }): string {
  return `pgbackstop-${stanza}-${schedule.name}`;
}

/** Timer units of a plan, in its order. */
export function timerNames(plan: HostPlan): string[] {
  return plan.schedules.map((schedule) => `${unitName(plan.stanza, schedule)}.timer`);
}

/** The service of every schedule. */
export function renderServices(plan: HostPlan): RenderedFile[] {
  return plan.schedules.map((schedule) => unitFile(plan, schedule, "service", renderService(plan, schedule)));
}

/** The timer of every schedule. @throws Error for a schedule that rules.ts refuses */
export function renderTimers(plan: HostPlan): RenderedFile[] {
  return plan.schedules.map((schedule) => unitFile(plan, schedule, "timer", renderTimer(plan, schedule)));
}

function unitFile(plan: HostPlan, schedule: Schedule, kind: string, text: string): RenderedFile {
  return { path: `${plan.directories.units}/${unitName(plan.stanza, schedule)}.${kind}`, mode: "0644", owner: "admin", text };
}

/** A oneshot service that takes one backup into all repositories. */
function renderService(plan: HostPlan, schedule: Schedule): string {
  const command = [...runtimeArgv(plan), "backup", `--type=${schedule.type}`, ...repoWords(plan, schedule)];
  return lines([
    HEAD,
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
    ...HARDENING,
    ...(usesHome(plan) ? [] : ["ProtectHome=yes"]),
    `ReadWritePaths=${writablePaths(plan)
      .map((path) => `-${path}`)
      .map(systemdWord)
      .join(" ")}`,
  ]);
}

/** One repository is named, all of them are the default; rules/schedules.ts refuses what lies between. */
function repoWords(plan: HostPlan, { repoKeys }: Schedule): string[] {
  return repoKeys.length < plan.repositories.length ? repoKeys.map((key) => `--repo=${key}`) : [];
}

/** The timer: each line of the schedule with its zone, the same delay every time, missed runs made up for. */
function renderTimer(plan: HostPlan, schedule: Schedule): string {
  return lines([
    HEAD,
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

/** What the unit writes to. The parent of the lock directory, because that directory itself is gone after each boot. */
function writablePaths(plan: HostPlan): string[] {
  const { lock, log, spool } = plan.directories;
  const repositories = plan.repositories.filter((repository) => repository.kind === "posix").map((repository) => repository.path);
  return [...new Set([parentOf(lock), log, spool, ...repositories])];
}

/** True when the service must see something below a home directory. */
function usesHome(plan: HostPlan): boolean {
  const { directories } = plan;
  const paths = [plan.dataDirectory, plan.socketDirectory ?? "/", plan.nodePath, directories.config, directories.lib, ...writablePaths(plan)];
  return [...paths, ...plan.repositories.map((repository) => repository.s3?.caFile ?? "/")].some((path) =>
    HOME_DIRECTORIES.some((home) => path === home || path.startsWith(`${home}/`)),
  );
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

function lines(texts: readonly string[]): string {
  return `${texts.join("\n")}\n`;
}
