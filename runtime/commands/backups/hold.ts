/**
 * `hold` and `release`: whether retention, `expire` and `stanza-delete` may remove the backup `--set`, in every
 * repository that holds it.
 */
import { type BackupError, fail } from "../../base/errors";
import type { Context } from "../../base/context";
import { parseTargetTime } from "../../operations/restore/select";
import { type Hold, holdText } from "../../operations/expire/hold";
import { setHold } from "../../operations/expire/holdRecord";
import type { Command, CommandProcess } from "../../process/commandProcess";
import { annotateAll, requiredSet } from "./annotate";

const REASON_LENGTH_MAX = 500;
const DAY = /^\d{4}-\d{2}-\d{2}$/;

export const holdCommand: Command = async (proc) => {
  const { reason = "", until } = proc.config.hold;
  if (reason.trim() === "" || reason.length > REASON_LENGTH_MAX || /\p{Cc}/u.test(reason)) {
    throw fail("optionInvalidValue", `'${reason}' is not valid for 'reason' option`, {
      hint: `say on one line, in up to ${REASON_LENGTH_MAX} characters, why the backup must stay.`,
    });
  }
  return changeHold(proc, { reason, untilS: until === undefined ? null : endOf(until, proc.ctx) });
};

export const releaseCommand: Command = (proc) => changeHold(proc, null);

/** A day ends in UTC. @throws optionInvalidValue */
function endOf(until: string, { clock }: Context): number {
  const wrong = (hint: string): BackupError =>
    fail("optionInvalidValue", `'${until}' is not valid for 'until' option`, { hint });
  let untilS: number;
  try {
    untilS = Math.floor(parseTargetTime(DAY.test(until) ? `${until} 23:59:59+00` : until));
  } catch {
    throw wrong("write a day as YYYY-MM-DD, or a time as YYYY-MM-DD HH:MM:SS+00.");
  }
  if (untilS * 1000 <= clock.nowMs()) throw wrong("it is over: name an end in the future, or omit it.");
  return untilS;
}

async function changeHold(proc: CommandProcess, hold: Hold | null): Promise<number> {
  const { config, ctx } = proc;
  const set = requiredSet(proc);
  const { annotated, errors } = await annotateAll(proc, (repo, lease) => setHold(repo, set, hold, lease, ctx));
  const what = hold === null ? "released" : holdText(hold);
  if (annotated.length > 0) ctx.log.info(`backup ${set} of ${annotated.map(({ name }) => name).join(", ")}: ${what}`);
  if (errors.length > 0)
    throw fail("command", `${config.command} failed in ${errors.length} of ${proc.repositories().length} repositories`);
  if (annotated.length > 0) return 0;
  throw fail("backupSetInvalid", `no repository has backup ${set}`, { hint: "Run info to list the backups." });
}
