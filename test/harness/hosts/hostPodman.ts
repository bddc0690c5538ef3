/** Podman on a booted Debian, with the tests' image of PostgreSQL. Its containers get no network. */
import { findPodman } from "../../../tools/parts/containers/engine";
import type { DebianHost } from "./debianHost";
import { type EngineParts, engineParts, importImage } from "./hostDocker";

/** What a host needs for Podman; null, and a loud line, if this machine lacks it. */
export async function podmanParts(title: string): Promise<EngineParts | null> {
  return engineParts(title, await findPodman());
}

/** Installs Podman until the next boot, and imports the image. @param host with `runsContainers` and `shown` */
export async function installPodman(host: DebianHost, { tree }: EngineParts): Promise<void> {
  const program = [
    "#!/bin/sh",
    `export PATH=${tree}/usr/sbin:${tree}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    // The control groups of the machine that runs the host are not its systemd's alone: no limit can be set there.
    'for arg; do shift; case "$arg" in --cpu-shares=*) ;; *) set -- "$@" "$arg" ;; esac; done',
    `exec ${tree}/usr/bin/podman --conmon=${tree}/usr/bin/conmon --runtime=${tree}/usr/sbin/runc --cgroup-manager=cgroupfs "$@"`,
  ];
  const script = `
    mkdir -p /var/lib/containers /etc/containers
    mount --bind /var/lib/docker /var/lib/containers
    cp ${tree}/etc/containers/policy.json /etc/containers/
    printf '[engine]\\nevents_logger = "file"\\nhelper_binaries_dir = ["${tree}/usr/lib/podman"]\\n[containers]\\npids_limit = 0\\ndefault_ulimits = ["nofile=20000:20000", "nproc=4000:4000"]\\n' > /etc/containers/containers.conf
    printf '%s\\n' "$@" > /usr/local/bin/podman
    chmod 755 /usr/local/bin/podman`;
  await host.runOk(["sh", "-ec", script, "sh", ...program]);
  await importImage(host, "podman");
}
