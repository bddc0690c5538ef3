/**
 * Arguments, environment and working directory of this process as texts that lose no byte, and its program.
 *
 * Node gives U+FFFD for every byte of them that is no UTF-8; the kernel still has the bytes. Without `/proc` they stay
 * as Node gives them.
 */
import { textOf } from "../base/bytes";
import { readFileSync, readlinkSync, realpathSync } from "./nodeFiles";

const LOST = "\ufffd";

type Environment = Readonly<Record<string, string | undefined>>;

/** `args` are the last ones of the command line. */
export function exactArguments(args: readonly string[]): readonly string[] {
  if (!args.some((arg) => arg.includes(LOST))) return args;
  return ofKernel("cmdline")?.slice(-args.length) ?? args;
}

export function exactEnvironment(environment: Environment): Environment {
  if (!Object.values(environment).some((value) => value?.includes(LOST))) return environment;
  const exact = new Map(
    ofKernel("environ")?.map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [
      name,
      value?.includes(LOST) === true ? (exact.get(name) ?? value) : value,
    ]),
  );
}

export function exactDirectory(path: string): string {
  if (!path.includes(LOST)) return path;
  try {
    return readlinkSync("/proc/self/cwd");
  } catch {
    return path;
  }
}

/**
 * Node.js by the path that it was started with: a link may lead to another release tomorrow, and this one be removed.
 * @param execPath with links resolved
 */
export function nodeAsCalled(argv0: string, execPath: string): string {
  try {
    return argv0.startsWith("/") && realpathSync(argv0) === execPath ? argv0 : execPath;
  } catch {
    return execPath;
  }
}

/** The texts of a file of `/proc`, each ended by a zero byte. */
function ofKernel(name: "cmdline" | "environ"): readonly string[] | null {
  try {
    return textOf(readFileSync(`/proc/self/${name}`))
      .split("\0")
      .slice(0, -1);
  } catch {
    return null;
  }
}

/** Sizes from which glibc's allocator maps memory on its own, and returns free memory at the end of the heap. */
const ALLOCATOR_THRESHOLDS = ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"];
/** Compressed and encrypted pieces of a backup are longer: between other memory they would stay with the process. */
const CHILD_THRESHOLD_BYTES = 128 * 1024;

/** The environment of a child. A program whose allocator has limits, as a sidecar, gives it lower ones. */
export function childEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string | undefined>> {
  const limited = ALLOCATOR_THRESHOLDS.filter((name) => Number(environment[name]) > CHILD_THRESHOLD_BYTES);
  return { ...environment, ...Object.fromEntries(limited.map((name) => [name, String(CHILD_THRESHOLD_BYTES)])) };
}
