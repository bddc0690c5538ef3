/**
 * Restrictions of all our services. Works from systemd 247 (Debian 11) on.
 *
 * The hardening was tested on a booted Debian with a unit that reads the data directory, connects to PostgreSQL's
 * socket and runs Node.js (no MemoryDenyWriteExecute: its compiler needs such pages). PrivateTmp stays off, because
 * PostgreSQL's socket may be in /tmp, as are stock's default locks. RemoveIPC stays off, because it would remove
 * PostgreSQL's shared memory.
 */
import type { HostPlan } from "../../plan/model/plan";
import { storeOf } from "../../plan/repositories/repositoryTypes";
import { systemdArgument } from "../host/commandLine";
import { capabilities, engineWrites, startsContainers, systemCalls } from "./containerRights";

/** Directories that ProtectHome makes read-only. */
const HOME_DIRECTORIES = ["/home", "/root", "/run/user"];
/** Directories that `ProtectSystem=full` makes read-only. */
const SYSTEM_DIRECTORIES = ["/boot", "/efi", "/etc", "/usr"];

const HARDENING = [
  "LockPersonality=yes",
  "PrivateDevices=yes",
  "PrivateMounts=yes",
  "ProtectClock=yes",
  "ProtectControlGroups=yes",
  "ProtectHostname=yes",
  "ProtectKernelLogs=yes",
  "ProtectKernelModules=yes",
  "ProtectKernelTunables=yes",
  "ProtectProc=invisible",
  "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
  "RestrictNamespaces=yes",
  "RestrictRealtime=yes",
  "RestrictSUIDSGID=yes",
  "SystemCallArchitectures=native",
];

/** For a unit that mounts a backup. */
const HARDENING_OF_MOUNTS = [
  "DevicePolicy=closed",
  "DeviceAllow=/dev/fuse rw",
  ...HARDENING.filter((line) => line !== "PrivateDevices=yes"),
];
/**
 * Mounts a backup, works and starts a server as PostgreSQL's account, ends that server, and removes the account's
 * files. CAP_SYS_PTRACE shows the account's processes.
 */
const MOUNTS = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SYS_ADMIN",
  "CAP_SYS_PTRACE",
].join(" ");

/** What no runtime of containers needs. */
const HARDENING_OF_ENGINE = [
  "LockPersonality=yes",
  "ProtectKernelLogs=yes",
  "ProtectKernelModules=yes",
  "RestrictRealtime=yes",
  "SystemCallArchitectures=native",
];

interface Needs {
  /** Mounts a backup of its own, as root. */
  readonly mounts?: boolean;
  /** Restores a cluster into a directory of its own. */
  readonly restores?: boolean;
  /** Runs programs in PostgreSQL's container. */
  readonly entersContainer?: boolean;
  /** Additional paths that it writes. */
  readonly writes?: readonly string[];
  /** Runs as long as the host. */
  readonly staysUp?: boolean;
}

/** `[Service]` lines for a program that reads the cluster and writes into the repositories. */
export function hardening(plan: HostPlan, needs: Needs = {}): string[] {
  const { entersContainer = false, mounts = false, restores = false, staysUp = false, writes = [] } = needs;
  // Never hidden: only the server knows where its tablespaces and links lead, also those that it gets later.
  const home = usesHome(plan, writes) ? [] : ["ProtectHome=read-only"];
  if ((restores || entersContainer) && startsContainers(plan))
    return [...HARDENING_OF_ENGINE, "UMask=0027", "ProtectSystem=full", ...home];
  const own = [
    "NoNewPrivileges=yes",
    `CapabilityBoundingSet=${mounts ? MOUNTS : capabilities(plan, restores)}`,
    ...(mounts ? HARDENING_OF_MOUNTS : HARDENING),
    `SystemCallFilter=${mounts ? "@system-service @mount" : systemCalls(plan)}`,
    "UMask=0027",
  ];
  // An agent writes into pg_wal, which may be a link to a home directory.
  if (staysUp) return [...own, ...systemProtection(plan)];
  const paths = [...writablePaths(plan), ...engineWrites(plan), ...writes].map((path) => systemdArgument(`-${path}`));
  return [...own, "ProtectSystem=strict", ...home, `ReadWritePaths=${paths.join(" ")}`];
}

/**
 * Each path of `ReadWritePaths=` is a mount in the unit, which holds the directory and the file system that were there
 * at the start. A permanent unit would write to an unmounted NAS or to a data directory that `recover` has renamed, and
 * could not write to the directory that took its place. So only the system's own directories are read-only for it,
 * which nobody replaces: all others are as the host has them, also those that are mounted later.
 */
function systemProtection(plan: HostPlan): string[] {
  const data = plan.container === undefined ? [plan.dataDirectory] : [];
  return isBelow([...writablePaths(plan), ...data], SYSTEM_DIRECTORIES) ? [] : ["ProtectSystem=full"];
}

/** Paths that the unit writes to. The parent of the lock directory, because boots remove one in /tmp or /run. */
function writablePaths(plan: HostPlan): string[] {
  const { lock, log, spool } = plan.directories;
  const repositories = plan.repositories
    .filter((repository) => repository.kind === "posix")
    .map((repository) => repository.path);
  return [...new Set([parentOf(lock), log, spool, ...repositories])];
}

/** True if the service may write to a path below a home directory. */
function usesHome(plan: HostPlan, writes: readonly string[]): boolean {
  const { directories } = plan;
  const paths = [
    ...(plan.container === undefined ? [plan.dataDirectory, plan.socketDirectory ?? "/"] : []),
    plan.nodePath,
    directories.config,
    directories.lib,
    ...writablePaths(plan),
    ...writes,
  ];
  return isBelow([...paths, ...plan.repositories.map((each) => storeOf(each)?.caFile ?? "/")], HOME_DIRECTORIES);
}

/** True if any path is one of the directories, or below one. */
function isBelow(paths: readonly string[], directories: readonly string[]): boolean {
  return paths.some((path) => directories.some((directory) => `${path}/`.startsWith(`${directory}/`)));
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}
