/** Opens repositories as they are configured. */
import { readFileSync } from "../local/nodeFiles";
import { type Clock, sharedClock } from "../base/clock";
import type { Context } from "../base/context";
import { type BackupError, toBackupError } from "../base/errors";
import { rateAtOf } from "../config/hours/limitRate";
import type { RepoConfig } from "../config/types";
import { BLOCK_DEFAULTS } from "../format/repository/blockSize";
import { retentionOf } from "../operations/expire/repoRetention";
import type { Repository } from "../repository/repository";
import { limitedStorage } from "../storage/limitedStorage";
import { type OpenDeps, openStorage, type StorageProcesses } from "../storage/open";
import { RateLimit } from "../storage/rateLimit";
import type { Storage } from "../storage/storage";
import { unusableStorage } from "../storage/unusable";

/** How repositories are opened. */
interface Opening {
  /** Absent: every directory is used directly. */
  readonly processes?: StorageProcesses;
  /** State of each limit by the repository's key, shared by the threads of a process; one without has no limit. */
  readonly rates?: Readonly<Record<number, SharedArrayBuffer>>;
  /** Clock of the limits, which all threads share. Default: {@link sharedClock}. */
  readonly clock?: Clock;
  /** True in a server: only some of its work is under the limit. */
  readonly serves?: boolean;
  /** True in a worker thread: the main thread has used the repositories' keys. */
  readonly isKeyProven?: boolean;
}

/**
 * Opens repositories as configured, also in worker threads. No I/O with them yet. One that cannot be opened (its
 * authorities are missing) fails its first use like a dead one: the others go on.
 */
export function openRepositories(
  stanza: string,
  repos: readonly RepoConfig[],
  ioTimeoutMs: number,
  ctx: Context,
  { clock = sharedClock, isKeyProven = false, processes, rates = {}, serves = false }: Opening = {},
): Repository[] {
  const storageOf = (config: RepoConfig): Pick<Repository, "storage" | "limitedStorage"> => {
    const storage = openOrUnusable(config, {
      clock: ctx.clock,
      random: ctx.random,
      signal: ctx.signal,
      ioTimeoutMs,
      isKeyProven,
      readFile: (path) => readFileSync(path),
      ...(processes === undefined ? {} : { processes }),
    });
    const [rate, { limitRate }] = [rates[config.key], config];
    if (rate === undefined || limitRate === undefined) return { storage };
    const limited = limitedStorage(storage, new RateLimit(rateAtOf(limitRate), rate, clock), ctx.signal);
    return serves ? { storage, limitedStorage: limited } : { storage: limited };
  };
  return repos.map((config) => ({
    key: config.key,
    name: `repo${config.key}`,
    stanza,
    ...storageOf(config),
    cipherType: config.cipherType,
    cipherPass: config.cipherPass?.reveal() ?? null,
    compress: { type: config.compressType, level: config.compressLevel },
    bundle: config.bundle ? { sizeBytes: config.bundleSizeBytes, limitBytes: config.bundleLimitBytes } : null,
    block: config.block === undefined ? null : { ...BLOCK_DEFAULTS, ...config.block },
    hardLinks: config.hardlink,
    latestLink: config.symlink,
    retention: retentionOf(config),
  }));
}

function openOrUnusable(config: RepoConfig, deps: OpenDeps): Storage {
  const unusable = (error: BackupError): Storage => unusableStorage(`repo${config.key}`, error);
  if (config.unusable !== undefined) return unusable(config.unusable);
  try {
    return openStorage(config, deps);
  } catch (error) {
    return unusable(toBackupError(error));
  }
}
