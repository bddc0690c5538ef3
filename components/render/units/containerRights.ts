/**
 * What a unit may do besides other units' rights, if PostgreSQL runs in a container. Tested on a booted Debian with
 * Docker (test/hosts/containerHost.test.ts): without either capability the agent and backups fail.
 */
import type { HostPlan } from "../../plan/model/plan";

/** Reads the files of the container's accounts. */
const READS = "CAP_DAC_READ_SEARCH";
/** Enters `/proc/PID/root`; also shows all processes. */
const ENTERS = "CAP_SYS_PTRACE";
/** A drill gives restored files to the container's account, writes settings among them, and removes them. */
const RESTORES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"];
/** Without it Podman looks for containers of a rootless account. */
const PODMAN = "CAP_SYS_ADMIN";
/** Podman has no daemon: each look takes its locks. */
const PODMAN_PATHS = ["/run/containers", "/run/libpod", "/run/lock", "/var/lib/containers"];

/** Value of `CapabilityBoundingSet=`; empty for a server of the host itself. */
export function capabilities({ container }: HostPlan, restores: boolean): string {
  return container === undefined ? "" : unitCapabilities(container.engine, restores).join(" ");
}

export function unitCapabilities(engine: string, restores = false): readonly string[] {
  return [...(restores ? RESTORES : [READS]), ENTERS, ...(engine === "podman" ? [PODMAN] : [])];
}

/** Paths that the engine's program writes. */
export function engineWrites({ container }: HostPlan): readonly string[] {
  return container?.engine === "podman" ? PODMAN_PATHS : [];
}

/** Podman mounts its store at each look, and asks what seccomp can do: without either it fails. */
export function systemCalls({ container }: HostPlan): string {
  return container?.engine === "podman" ? "@system-service @mount seccomp" : "@system-service";
}

/**
 * True if a unit itself makes a container, or a process in one: Docker's daemon does it elsewhere, Podman needs what a
 * container's start takes (namespaces, mounts, devices, control groups), and restricts the container itself.
 */
export function startsContainers({ container }: HostPlan): boolean {
  return container?.engine === "podman";
}

/** The unit of the server, or of what starts its container. */
export function serverUnit({ container }: HostPlan): string {
  return container === undefined
    ? "postgresql.service"
    : container.engine === "podman"
      ? "podman-restart.service"
      : "docker.service";
}
