/**
 * A cluster that goes back in time without a restore (its old directory is put back, its file system rolled back) would write WAL under names that
 * the archive holds with other content: every push would be refused (45) for ever. It has to go on on a timeline that nobody has used.
 *
 * PostgreSQL takes one itself when it ends an archive recovery: the first behind the newest one that has a history file in the archive
 * ("xlog.c", findNewestTimeLine). So it is started in recovery with a restore_command that gives histories and no segment: it replays its own
 * pg_wal as after a crash (which it does first where it has no backup_label) and nothing of what came after, and is promoted at its end.
 */
import { chown, readFile, rm, stat } from "node:fs/promises";
import { fail } from "../../base/errors";
import { atomicWrite, syncDirectory } from "../../local/atomicWrite";
import { isMissing } from "../../local/systemError";
import type { Owner } from "./hostFacts";

const BEGIN = "# pgbackstop: a new timeline, begin";
const END = "# pgbackstop: a new timeline, end";
const FILE_NAME = "postgresql.auto.conf";

/** Targets of an earlier recovery may stand in the file above: the last line of a name decides. */
const NO_TARGETS = ["recovery_target", "recovery_target_lsn", "recovery_target_name", "recovery_target_time", "recovery_target_xid"];

/** Lines for postgresql.auto.conf. `archiveGet` is a command line for the shell that ends in `archive-get %f "%p"`. Pure. */
export function newTimelineSettings(archiveGet: string): string {
  const restoreCommand = `case "%f" in *.history) ${archiveGet};; *) exit 1;; esac`;
  const settings = [
    ...NO_TARGETS.map((name) => [name, ""]),
    ["recovery_target_action", "promote"],
    ["recovery_target_timeline", "current"],
    ["restore_command", restoreCommand],
  ];
  return [BEGIN, ...settings.map(([name, value = ""]) => `${name} = '${value.replaceAll("'", "''")}'`), END, ""].join("\n");
}

/** The text without the lines of {@link newTimelineSettings}. Pure. */
export function withoutNewTimeline(text: string): string {
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  return begin === -1 || end < begin ? text : text.slice(0, begin) + text.slice(end + END.length + 1);
}

/** Before the server is started. Done again it changes nothing. @throws fileExists (93) for a standby, which follows its primary */
export async function askForNewTimeline(dataDirectory: string, archiveGet: string, account: Owner): Promise<void> {
  if ((await stat(`${dataDirectory}/standby.signal`).catch(() => null)) !== null) {
    throw fail("fileExists", `'${dataDirectory}' is a standby's: it follows its primary's timeline`, {
      hint: "go back on the primary, and build the standby anew.",
    });
  }
  await writeSettings(dataDirectory, (text) => `${text}${text === "" || text.endsWith("\n") ? "" : "\n"}${newTimelineSettings(archiveGet)}`, account);
  const signal = `${dataDirectory}/recovery.signal`;
  await atomicWrite(signal, new Uint8Array(), { mode: 0o600 });
  await chown(signal, account.uid, account.gid);
  await syncDirectory(dataDirectory);
}

/** When it is open: its next recovery is to get segments again. */
export async function forgetNewTimeline(dataDirectory: string, account: Owner): Promise<void> {
  await rm(`${dataDirectory}/recovery.signal`, { force: true });
  await writeSettings(dataDirectory, (text) => text, account);
}

async function writeSettings(dataDirectory: string, change: (text: string) => string, account: Owner): Promise<void> {
  const path = `${dataDirectory}/${FILE_NAME}`;
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (isMissing(error)) return "";
    throw error;
  });
  const changed = change(withoutNewTimeline(text));
  if (changed === text) return;
  await atomicWrite(path, Buffer.from(changed), { mode: 0o600 });
  await chown(path, account.uid, account.gid);
}
