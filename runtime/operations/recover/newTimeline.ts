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
import { chown, readFile, rm, stat } from "../../local/nodeFiles";
import { utf8 } from "../../base/bytes";
import { fail } from "../../base/errors";
import { atomicWrite, syncDirectory } from "../../local/atomicWrite";
import { nullIfMissing } from "../../local/systemError";
import type { Owner } from "./hostFacts";

const BEGIN = "# pgbackstop: a new timeline, begin";
const END = "# pgbackstop: a new timeline, end";
const FILE_NAME = "postgresql.auto.conf";

/** Targets of an earlier recovery may stand higher up in the file: the last line of a name wins. */
const NO_TARGETS = [
  "recovery_target",
  "recovery_target_lsn",
  "recovery_target_name",
  "recovery_target_time",
  "recovery_target_xid",
];

/** Lines for postgresql.auto.conf. `archiveGet` is a shell command that ends in `archive-get %f "%p"`. Pure. */
export function newTimelineSettings(archiveGet: string): string {
  const restoreCommand = `case "%f" in *.history) ${archiveGet};; *) exit 1;; esac`;
  const settings = [
    ...NO_TARGETS.map((name) => [name, ""]),
    ["recovery_target_action", "promote"],
    ["recovery_target_timeline", "current"],
    ["restore_command", restoreCommand],
  ];
  return [BEGIN, ...settings.map(([name, value = ""]) => `${name} = '${value.replaceAll("'", "''")}'`), END, ""].join(
    "\n",
  );
}

/** The text without the lines of {@link newTimelineSettings}. Pure. */
export function withoutNewTimeline(text: string): string {
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  return begin === -1 || end < begin ? text : text.slice(0, begin) + text.slice(end + END.length + 1);
}

/**
 * Runs before the server is started; repeating it changes nothing.
 * @throws fileExists (93) for a standby, which follows its primary
 */
export async function askForNewTimeline(dataDirectory: string, archiveGet: string, account: Owner): Promise<void> {
  if ((await nullIfMissing(stat(`${dataDirectory}/standby.signal`))) !== null) {
    throw fail("fileExists", `'${dataDirectory}' belongs to a standby, which follows its primary's timeline`, {
      hint: "Roll back the primary, and rebuild the standby.",
    });
  }
  await writeSettings(
    dataDirectory,
    (text) => `${text}${text === "" || text.endsWith("\n") ? "" : "\n"}${newTimelineSettings(archiveGet)}`,
    account,
  );
  const signal = `${dataDirectory}/recovery.signal`;
  await atomicWrite(signal, new Uint8Array(), { mode: 0o600 });
  await chown(signal, account.uid, account.gid);
  await syncDirectory(dataDirectory);
}

/** Runs when the server is open: its next recovery must fetch segments again. */
export async function forgetNewTimeline(dataDirectory: string, account: Owner): Promise<void> {
  await rm(`${dataDirectory}/recovery.signal`, { force: true });
  await writeSettings(dataDirectory, (text) => text, account);
}

async function writeSettings(dataDirectory: string, change: (text: string) => string, account: Owner): Promise<void> {
  const path = `${dataDirectory}/${FILE_NAME}`;
  const text = (await nullIfMissing(readFile(path, "utf8"))) ?? "";
  const changed = change(withoutNewTimeline(text));
  if (changed === text) return;
  await atomicWrite(path, utf8(changed), { mode: 0o600 });
  await chown(path, account.uid, account.gid);
}
