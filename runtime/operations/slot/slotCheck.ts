/** Checks that an agent reads the server's slot: for `backup` and `check`. */
import type { Context } from "../../base/context";
import { type BackupError, fail } from "../../base/errors";
import type { Session } from "../../postgres/session";
import { loadSlotTrouble } from "../../local/slotState";
import type { SlotArchiving } from "./readyDirectory";
import { findSlot, type Slot } from "./slot";

/** An agent connects again within this time, after a restart of itself or the server. */
const WAIT_MS = 15_000;
const LOOK_MS = 500;

/** @throws archiveDisabled (87) while nobody reads the slot, featureNotSupported (67) for `wal_level` */
export async function requireReader(
  session: Pick<Session, "query">,
  archiving: SlotArchiving,
  ctx: Context,
): Promise<Slot> {
  const { name } = archiving;
  const endMs = ctx.clock.monotonicMs() + WAIT_MS;
  for (;;) {
    const slot = await findSlot(session, name);
    if (slot !== null && slot.activePid !== null && slot.restartLsn !== null) return slot;
    if (ctx.clock.monotonicMs() >= endMs) throw await readerError(session, archiving, slot);
    await ctx.clock.sleep(LOOK_MS, ctx.signal);
  }
}

/** What `check` warns about; null when the slot cannot fill the server's disk. */
export function boundWarning(slot: Slot, name: string): string | null {
  if (slot.safeBytes !== null) return null;
  return (
    `max_slot_wal_keep_size is -1: while WAL cannot be archived, the replication slot ${name} keeps it until the server's disk is full. ` +
    "Set it to the WAL that the disk can hold and reload PostgreSQL; beyond it the server drops WAL, and a new backup is due."
  );
}

async function readerError(
  session: Pick<Session, "query">,
  { name, readyDirectory }: SlotArchiving,
  slot: Slot | null,
): Promise<BackupError> {
  const { rows } = await session.query("select current_setting('wal_level') as level");
  const [row] = rows as readonly { readonly level: string }[];
  if (row?.level === "minimal")
    return fail("featureNotSupported", "WAL cannot be received: wal_level is minimal", {
      hint: "set wal_level = replica in postgresql.conf and restart PostgreSQL.",
    });
  const trouble = await loadSlotTrouble(readyDirectory);
  const hint =
    trouble === null
      ? "Is the agent of this stanza running? Its log says why it does not read the slot."
      : `The agent of this stanza reports: ${trouble}`;
  if (slot === null) return fail("archiveDisabled", `the server has no replication slot ${name}`, { hint });
  const what = slot.restartLsn === null ? "has lost its WAL" : "is not read";
  return fail("archiveDisabled", `the replication slot ${name} ${what}`, { hint });
}
