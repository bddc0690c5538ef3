/** Which of our settings shows how WAL leaves a server. */

type Settings = Readonly<Record<string, unknown>>;

export const BY_COMMAND = "archive_command";
export const BY_SLOT = "max_slot_wal_keep_size";

/** The one among a host's settings; undefined if it archives nothing. */
export function archivedBy(settings: Settings): string | undefined {
  return [BY_COMMAND, BY_SLOT].find((name) => name in settings);
}

/**
 * A change would leave the former way behind: a slot without a reader, or a command without a program. Either fills the
 * disk.
 * @param former settings of ours that the host has @throws Error
 */
export function refuseOtherArchiving(next: Settings, former: Settings): void {
  const [by, before] = [archivedBy(next), archivedBy(former)];
  if (by === undefined || before === undefined || by === before) return;
  throw new Error(
    "argument archive cannot change on a host: remove the component from the program, run an update, and add it again. Its repositories stay.",
  );
}

/** @throws Error */
export function requireWalLevel(level: string | undefined, settings: Settings): void {
  if (level !== "minimal") return;
  const why =
    BY_SLOT in settings
      ? "a replication slot would get incomplete WAL"
      : "PostgreSQL would refuse to start with archive_mode on";
  throw new Error(`wal_level is minimal: ${why}; set it to replica and restart PostgreSQL first`);
}
