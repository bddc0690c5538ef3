/**
 * Storage processes that were killed and cannot end, because a thread of them waits in the kernel.
 *
 * Each holds its memory until the file system answers, and each run of a command would leave one more. They carry their
 * directory's name, so that the kernel's own list of processes shows them to every later run.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "../../local/nodeFiles";
import type { Mount } from "./mounts";

/** The kernel keeps 15 bytes. */
const NAME_LENGTH = 15;
const PREFIX = "pgbs-";

/** The name of the processes that serve `root` as it is mounted now. */
export function processNameOf(root: string, mount: Mount): string {
  const digest = createHash("sha256").update(`${mount.id}\n${root}`).digest("hex");
  return `${PREFIX}${digest}`.slice(0, NAME_LENGTH);
}

export function findStuck(name: string, proc = "/proc"): number[] {
  return readdirSync(proc).flatMap((pid) =>
    /^\d+$/.test(pid) && isStuck(`${proc}/${pid}/stat`, name) ? [Number(pid)] : [],
  );
}

/**
 * A zombie that still has a thread besides its main one, which counts until its parent asks; or a main thread in an
 * uninterruptible wait (proc_pid_stat(5)).
 */
function isStuck(file: string, name: string): boolean {
  let line: string;
  try {
    line = readFileSync(file, "latin1");
  } catch {
    return false;
  }
  const end = line.lastIndexOf(")");
  if (line.slice(line.indexOf("(") + 1, end) !== name) return false;
  const fields = line.slice(end + 2).split(" ");
  const [state] = fields;
  const threads = Number(fields[17]);
  return state === "D" || (state === "Z" && threads > 1);
}
