/**
 * WAL for a drill's server in a container, where no program of ours can run. Its restore_command needs only a shell: it
 * asks by a file in a directory that both sides see, and waits until this process has removed that file.
 *
 * ```
 * <drill>/wal/ask/<WAL file>     made by the server's account, removed when the answer is there
 * <drill>/wal/given/<WAL file>   the WAL, complete; or with the suffix .absent
 * ```
 * Only `ask` belongs to the server's account, so a link that it makes leads root nowhere.
 */
import type { AccountIds } from "../../local/actAs";
import { chmod, chown, mkdir, readdir, rm, writeFile } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { ABSENT_MARK, RECOVERY_ABORTED } from "../../base/recoveryExit";
import { parseWalName } from "../../format/wal/walSegment";
import { shellQuote } from "../restore/recovery";

export interface WalOffer {
  readonly restoreCommand: string;
  stop(): Promise<void>;
}

const POLL_MS = 20;
/** A server whose drill was killed ends after this time. */
const WAIT_SECONDS_MAX = 7200;
const SLEEP_SECONDS = 0.05;

/**
 * @param path the drill's directory
 * @param get fetches a WAL file; false if it is in no repository
 */
export async function offerWal(
  path: string,
  account: AccountIds,
  get: (walName: string, destination: string) => Promise<boolean>,
  ctx: Context,
): Promise<WalOffer> {
  const directory = `${path}/wal`;
  const [ask, given] = [`${directory}/ask`, `${directory}/given`];
  await mkdir(ask, { recursive: true });
  await mkdir(given);
  for (const made of [directory, ask, given]) await chmod(made, 0o755);
  await chown(ask, account.uid, account.gid);
  const answer = async (walName: string): Promise<void> => {
    const destination = `${given}/${walName}`;
    if (await get(walName, destination)) await chmod(destination, 0o644);
    else await writeFile(`${destination}${ABSENT_MARK}`, "");
  };
  const stopping = new AbortController();
  const serving = serve(ask, given, answer, { ...ctx, signal: AbortSignal.any([ctx.signal, stopping.signal]) });
  return {
    restoreCommand: askingCommand(directory),
    stop: () => {
      stopping.abort();
      return serving;
    },
  };
}

async function serve(
  ask: string,
  given: string,
  answer: (walName: string) => Promise<void>,
  ctx: Context,
): Promise<void> {
  while (!ctx.signal.aborted) {
    for (const name of await readdir(ask).catch(() => [] as string[])) {
      if (parseWalName(name) === null) continue;
      // The server asks for one file after the other, so it has taken the earlier ones.
      for (const taken of await readdir(given)) await rm(`${given}/${taken}`, { force: true });
      await answer(name).catch((error: unknown) => ctx.log.warn(toBackupError(error).message));
      await rm(`${ask}/${name}`, { force: true });
    }
    await ctx.clock.sleep(POLL_MS, ctx.signal).catch(() => {});
  }
}

/** Only an answer counts: without one recovery is aborted, as by `archive-get`. */
function askingCommand(directory: string): string {
  return [
    `d=${shellQuote(directory)}`,
    `: > "$d/ask/%f" || exit ${RECOVERY_ABORTED}`,
    "i=0",
    `while [ -e "$d/ask/%f" ] && [ $i -lt ${WAIT_SECONDS_MAX / SLEEP_SECONDS} ]; do sleep ${SLEEP_SECONDS}; i=$((i+1)); done`,
    `[ -e "$d/given/%f${ABSENT_MARK}" ] && exit 1`,
    `cp "$d/given/%f" "%p" || exit ${RECOVERY_ABORTED}`,
  ].join("; ");
}
