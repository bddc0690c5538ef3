/**
 * A bare Debian 13 for a release's files: systemd, sshd, sudo and certificates, no Node.js, no npm, no PostgreSQL.
 * It is the tree of the hosts tier under a layer that is thrown away. A command runs in it by chroot, in its own mounts
 * and processes. The network is this machine's.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { unpackDebian, type Missing } from "../parts/debian/debian";
import { findHostTree } from "../parts/debian/debianHost";
import { findNamespaceObstacle } from "../parts/namespaces";
import { runOk } from "../parts/process";

/** Arguments: the root to be, its lower layers, a folder to see as /release, the command. */
const ENTER = `set -e
merged=$1 lower=$2 release=$3
shift 3
mount -t tmpfs tmpfs "$merged"
mkdir "$merged/upper" "$merged/work" "$merged/root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$merged/upper,workdir=$merged/work" "$merged/root"
root=$merged/root
mkdir "$root/release"
mount --bind "$release" "$root/release"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
cat /etc/hosts > "$root/etc/hosts"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
exec chroot "$root" "$@"`;

export class BareDebian {
  readonly #tree: string;
  readonly #buildah: string;
  readonly #scratch: string;
  #runs = 0;

  private constructor(tree: string, buildah: string, scratch: string) {
    this.#tree = tree;
    this.#buildah = buildah;
    this.#scratch = scratch;
  }

  /** @param scratch an empty folder on a disk */
  static async open(scratch: string): Promise<BareDebian | Missing> {
    const obstacle = await findNamespaceObstacle("a bare Debian needs");
    if (obstacle !== null) return { missing: obstacle };
    const tree = await findHostTree("trixie-bare");
    if (typeof tree !== "string") return tree;
    const wanted = { entry: "buildah-trixie", suite: "trixie", packages: ["buildah", "netavark"] };
    const buildah = await unpackDebian({ ...wanted, programs: [] });
    return "missing" in buildah ? buildah : new BareDebian(tree, buildah.folder, scratch);
  }

  get tree(): string {
    return this.#tree;
  }

  /**
   * Runs a shell script in `/release`, the given folder.
   * @param env all of its environment
   */
  run(release: string, script: string, env: Readonly<Record<string, string>>, withBuildah = false): Promise<string> {
    const merged = join(this.#scratch, `root${(this.#runs += 1)}`);
    mkdirSync(merged);
    const lower = withBuildah ? `${this.#buildah}:${this.#tree}` : this.#tree;
    const variables = Object.entries({ PATH: "/usr/local/bin:/usr/bin:/usr/sbin", ...env }).map((pair) =>
      pair.join("="),
    );
    const namespaces = ["--mount", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"];
    const entering = ["sh", "-c", ENTER, "sh", merged, lower, release];
    const command = ["env", "-i", ...variables, "sh", "-ec", `cd /release\n${script}`];
    return runOk("unshare", [...namespaces, ...entering, ...command]);
  }
}
