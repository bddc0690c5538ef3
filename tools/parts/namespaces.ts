/** Whether this process may create namespaces with networks, mounts and processes, as test pods and hosts need them. */
import { findOnPath, run } from "./process";

const TOOLS = ["unshare", "nsenter", "setpriv", "ip", "mount", "chroot", "bash"];

/** Why not, or null. @param what subject and verb of the reason: `pods need` */
export async function findNamespaceObstacle(what: string): Promise<string | null> {
  if (process.platform !== "linux" || process.arch !== "x64")
    return `${what} Linux on x64, not ${process.platform} on ${process.arch}`;
  if (process.getuid?.() !== 0) return `${what} root (namespaces, mounts)`;
  for (const tool of TOOLS) if ((await findOnPath(tool)) === null) return `${what} ${tool}, which is not on PATH`;
  const script = [
    "set -e",
    'folder="$(mktemp -d)"',
    // The namespace's end removes mounts, but not the folder.
    'trap \'umount -R "$folder"; rmdir "$folder"\' EXIT',
    'mount -t tmpfs tmpfs "$folder"',
    'mkdir "$folder/upper" "$folder/work" "$folder/root"',
    'mount -t overlay overlay -o "lowerdir=/usr,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"',
    "ip link add pgbtest type bridge",
    "chroot --userspec=26:26 --groups=26 / true",
  ].join("\n");
  const result = await run("unshare", ["--net", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script]);
  return result.exitCode === 0
    ? null
    : `this machine does not allow namespaces and mounts: ${result.stderr.trim().split("\n")[0] ?? ""}`;
}
