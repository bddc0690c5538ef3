/**
 * Moves a cluster to a new timeline after it goes back in time without a restore (its old directory is put back, its
 * file system rolled back). Otherwise it would write WAL under names that the archive holds with other content, and
 * every push would be refused (45) forever.
 *
 * PostgreSQL chooses the timeline when it ends an archive recovery: the first after the newest one with a history file
 * in the archive ("xlog.c", findNewestTimeLine). So the server starts in recovery with a restore_command that returns
 * histories and no segments. It replays its own pg_wal as after a crash (without backup_label it does that first) and
 * nothing later, and is promoted at the end.
 */
import { chown, rm, stat } from "../../local/nodeFiles";
import { fail } from "../../base/errors";
import { atomicWrite, syncDirectory } from "../../local/atomicWrite";
import { nullIfMissing } from "../../local/systemError";
import { NEUTRAL } from "../restore/recoveryGuards";
import { changeAutoConf } from "../restore/recoverySettings";
import { withBlock, withoutBlock } from "../shared/settingsText";
import type { Owner } from "./hostFacts";

const BLOCK = "a new timeline";

/**
 * Text of postgresql.auto.conf. Pure.
 * @param archiveGets shell commands that end in `archive-get %f "%p"`: each asks other repositories
 */
export function withNewTimeline(text: string, archiveGets: readonly string[]): string {
  // Only a file that one command does not find is asked of the next.
  const first = archiveGets.slice(0, -1).map((each) => `(${each}); c=$?; [ $c -eq 1 ] || exit $c`);
  const archiveGet = [...first, ...archiveGets.slice(-1)].join("; ");
  return withBlock(text, BLOCK, {
    ...NEUTRAL,
    recovery_target_action: "promote",
    recovery_target_timeline: "current",
    restore_command: `case "%f" in *.history) ${archiveGet};; *) exit 1;; esac`,
  });
}

/** The text without the lines of {@link withNewTimeline}. Pure. */
export function withoutNewTimeline(text: string): string {
  return withoutBlock(text, BLOCK);
}

/**
 * Runs before the server is started; repeating it changes nothing.
 * @throws fileExists (93) for a standby, which follows its primary
 */
export async function askForNewTimeline(
  dataDirectory: string,
  archiveGets: readonly string[],
  account: Owner,
): Promise<void> {
  if ((await nullIfMissing(stat(`${dataDirectory}/standby.signal`))) !== null) {
    throw fail("fileExists", `'${dataDirectory}' belongs to a standby, which follows its primary's timeline`, {
      hint: "Roll back the primary, and rebuild the standby.",
    });
  }
  await changeAutoConf(dataDirectory, (text) => withNewTimeline(text, archiveGets), account);
  const signal = `${dataDirectory}/recovery.signal`;
  await atomicWrite(signal, new Uint8Array(), { mode: 0o600 });
  await chown(signal, account.uid, account.gid);
  await syncDirectory(dataDirectory);
}

/** Runs when the server is open: its next recovery must fetch segments again. */
export async function forgetNewTimeline(dataDirectory: string, account: Owner): Promise<void> {
  await rm(`${dataDirectory}/recovery.signal`, { force: true });
  await changeAutoConf(dataDirectory, withoutNewTimeline, account);
}
