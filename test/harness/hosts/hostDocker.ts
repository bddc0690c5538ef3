/** Docker on a booted Debian, with the tests' image of PostgreSQL. Its containers get no network. */
import { basename } from "node:path";
import { findDocker } from "../../../tools/parts/containers/engine";
import { findImage, IMAGE, IMAGE_CHANGES, IMAGE_FILE } from "../../../tools/parts/containers/postgresImage";
import { loud } from "../real/interopParts";
import type { DebianHost } from "./debianHost";

/** Where the host sees the image's file. */
const IMAGES = "/opt/images";
const IMPORT_MS = 600_000;

export interface EngineParts {
  /** The folder of the engine's programs, the same on this machine and on the host. */
  readonly tree: string;
  /** For `startDebianHost`. */
  readonly shown: Readonly<Record<string, string>>;
}

/** What a host needs for Docker; null, and a loud line, if this machine lacks it. */
export async function dockerParts(title: string): Promise<EngineParts | null> {
  return engineParts(title, await findDocker());
}

/** What a host needs for an engine in a folder; null, and a loud line, if this machine lacks it or the image. */
export async function engineParts(
  title: string,
  tree: string | { readonly missing: string },
): Promise<EngineParts | null> {
  if (typeof tree !== "string") return loud(title, tree.missing);
  const images = await findImage();
  if (typeof images !== "string") return loud(title, images.missing);
  return { tree, shown: { [tree]: tree, [IMAGES]: images } };
}

/** Installs Docker as a unit of each boot, and imports the image. @param host with `runsContainers` and `shown` */
export async function installDocker(host: DebianHost, { tree }: EngineParts): Promise<void> {
  const unit = [
    "[Unit]",
    "Description=Docker",
    "[Service]",
    "Type=notify",
    `Environment=PATH=${tree}/usr/sbin:${tree}/usr/bin:/usr/sbin:/usr/bin`,
    `ExecStart=${tree}/usr/sbin/dockerd --bridge=none --iptables=false --ip6tables=false --ip-forward=false --log-level=warn`,
    "Delegate=yes",
    "KillMode=process",
    "TimeoutStartSec=300",
    "[Install]",
    "WantedBy=multi-user.target",
  ];
  const program = `${tree}/usr/bin/docker`;
  await host.runOk(["ln", "-s", program, `/usr/local/bin/${basename(program)}`]);
  await host.runOk(["sh", "-c", 'printf "%s\\n" "$@" > /etc/systemd/system/docker.service', "sh", ...unit]);
  await host.runOk(["systemctl", "enable", "--now", "docker.service"], { timeoutMs: IMPORT_MS });
  await importImage(host, "docker");
}

export async function importImage(host: DebianHost, engine: "docker" | "podman"): Promise<void> {
  const changes = IMAGE_CHANGES.flatMap((change) => ["--change", change]);
  await host.runOk([engine, "import", ...changes, `${IMAGES}/${IMAGE_FILE}`, IMAGE], { timeoutMs: IMPORT_MS });
}
