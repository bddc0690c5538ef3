/**
 * The image of the package's own Dockerfile for this processor, built and run here: by docker or podman if one answers
 * and gets the Dockerfile's base, else by Debian's buildah in a {@link BareDebian}. That one has no registry for the
 * base: a stand-in replaces it, so its digest is not the published one.
 */
import { cpSync, mkdirSync, mkdtempSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Missing } from "../parts/debian/debian";
import { findOnPath, run, runOk } from "../parts/process";
import type { BareDebian } from "./bareDebian";

export interface ReleaseImage {
  /** An OCI archive. */
  readonly file: string;
  /** Digest of its manifest. */
  readonly digest: string;
  /** `docker`, or the stand-in for the Dockerfile's base. */
  readonly how: string;
  /** What the runtime printed in it. */
  readonly answer: string;
}

const START = "gunzip -c /pgbackstop/bundle/runtime.cjs.gz > /tmp/runtime.cjs && node /tmp/runtime.cjs version";
const STAND_IN = "localhost/stand-in-for-the-base:debian-13";
const BUILDAH = `
buildah() { command buildah --root /release/storage --runroot /release/run --storage-driver vfs "$@"; }
mkdir -p /etc/containers
echo '{ "default": [{ "type": "insecureAcceptAnything" }] }' > /etc/containers/policy.json
# Not more than this process may: raising a limit needs a capability that root in a container lacks.
limits="--isolation chroot --ulimit nofile=$(ulimit -n):$(ulimit -n) --ulimit nproc=$(ulimit -p):$(ulimit -p)"
`;

/**
 * @param scratch a folder on a disk; the file is in it
 * @param debian for a machine where neither docker nor podman builds it
 */
export async function buildImage(
  tarball: string,
  version: string,
  scratch: string,
  debian: BareDebian | Missing,
): Promise<ReleaseImage | Missing> {
  const folder = mkdtempSync(join(scratch, "image-"));
  await runOk("tar", ["-xzf", tarball, "-C", folder]);
  const name = `localhost/pgbackstop:${version}`;
  const reasons: string[] = [];
  for (const tool of ["docker", "podman"] as const) {
    const path = await findOnPath(tool);
    const info = path === null ? null : await run(path, ["info"], { timeoutMs: 30_000 });
    if (info === null) {
      reasons.push(`no ${tool} on PATH`);
      continue;
    }
    const built = info.exitCode === 0 ? await run(tool, ["build", "--tag", name, join(folder, "package")]) : info;
    if (built.exitCode === 0) return takeFrom(tool, name, folder);
    reasons.push(`${tool}: ${built.stderr.trim().split("\n").at(-1) ?? ""}`);
  }
  if ("missing" in debian) return { missing: [...reasons, debian.missing].join("; ") };
  return buildInDebian(debian, name, folder);
}

async function takeFrom(tool: "docker" | "podman", name: string, folder: string): Promise<ReleaseImage> {
  const file = join(folder, "image.tar");
  // Docker writes OCI archives by itself, from version 25 on.
  await runOk(tool, ["save", ...(tool === "podman" ? ["--format=oci-archive"] : []), "--output", file, name]);
  const answer = (await runOk(tool, ["run", "--rm", "--network=none", name, "sh", "-c", START])).trim();
  return { file, digest: await digestOf(file), how: tool, answer };
}

async function buildInDebian(debian: BareDebian, name: string, folder: string): Promise<ReleaseImage> {
  const base = join(folder, "base");
  mkdirSync(base);
  await runOk("tar", ["-C", debian.tree, "-cf", join(base, "debian.tar"), "."]);
  cpSync(process.execPath, join(base, "node"));
  writeFileSync(join(base, "Dockerfile"), "FROM scratch\nADD debian.tar /\nCOPY node /usr/local/bin/node\n");
  const script = `${BUILDAH}
buildah build --quiet $limits --tag ${STAND_IN} base >&2
buildah build --quiet $limits --from ${STAND_IN} --tag ${name} package >&2
buildah push --quiet ${name} oci-archive:/release/image.tar >&2
buildah run --isolation chroot "$(buildah from $limits ${name})" -- sh -c '${START}'`;
  const answer = (await debian.run(folder, script, {}, true)).trim();
  const file = join(folder, "image.tar");
  const how = `buildah; a stand-in for the base: Debian 13 from its packages, Node.js ${process.versions.node}`;
  return { file, digest: await digestOf(file), how, answer };
}

async function digestOf(archive: string): Promise<string> {
  return manifestDigest(await runOk("tar", ["-xOf", archive, "index.json"]));
}

/** @param index text of an OCI archive's index.json */
export function manifestDigest(index: string): string {
  const { manifests = [] } = JSON.parse(index) as { readonly manifests?: readonly { readonly digest?: string }[] };
  const [manifest] = manifests;
  if (manifests.length !== 1 || !/^sha256:[0-9a-f]{64}$/.test(manifest?.digest ?? ""))
    throw new Error(`an image of one processor has one manifest, not ${JSON.stringify(manifests)}`);
  return manifest?.digest ?? "";
}

/** The image's part of a dry run's notes. The workflow writes the one of a release. */
export function imageNotes(version: string, { digest, how }: ReleaseImage): string {
  return `## Image\n\nOf this dry run, for ${process.arch === "x64" ? "amd64" : process.arch} alone: \`pgbackstop:${version}@${digest}\` (${how}).\n`;
}

/** Moves the image next to the release's other files. */
export function keepImage(image: ReleaseImage, folder: string, version: string): void {
  const target = join(folder, `pgbackstop-${version}-dry-run.oci.tar`);
  try {
    renameSync(image.file, target);
  } catch {
    cpSync(image.file, target);
  }
}
