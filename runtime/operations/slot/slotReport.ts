/** What the agent has reported about its slot, for status and metrics, which run in other processes. */
import type { Config } from "../../config/types";
import { loadSlotReport, type SlotReport } from "../../local/slotState";
import { waitingWal } from "../../postgres/archiveStatus";
import { readyDirectoryOf, slotArchivingOf } from "./readyDirectory";

type Settings = Pick<Config, "settings" | "spoolPath" | "stanza">;
type Waiting = Awaited<ReturnType<typeof waitingWal>>;

/** The agent reports every five seconds; its connections may take longer. */
const FRESH_S = 60;

/** Null where `archive_command` archives. */
export async function loadSlot(settings: Settings): Promise<SlotReport | null> {
  const slot = slotArchivingOf(settings);
  if (slot === null) return null;
  const unknown = { atS: 0, activeAtS: null, isActive: false, walStatus: null, retainedBytes: 0, safeBytes: null };
  const never = { ...unknown, slot: slot.name, lossCount: 0, trouble: "no agent has read it yet" };
  return (await loadSlotReport(settings.spoolPath, settings.stanza ?? "")) ?? never;
}

/** True while an agent reads the slot, also a moment after it had to connect again. */
export function isRead({ activeAtS }: SlotReport, nowS: number): boolean {
  return activeAtS !== null && nowS - activeAtS <= FRESH_S;
}

/**
 * The files that wait for the archive. While nobody reads the slot nobody lists them: then the oldest one may be as old
 * as the last look.
 */
export async function waitingFor(
  settings: Settings,
  dataDirectory: string,
  slot: SlotReport | null,
  nowS: number,
): Promise<Waiting> {
  const waiting = await waitingWal(readyDirectoryOf(settings, dataDirectory));
  if (slot === null || slot.activeAtS === null || isRead(slot, nowS)) return waiting;
  const oldestAtS = Math.min(waiting?.oldestAtS ?? slot.activeAtS, slot.activeAtS);
  return { count: waiting?.count ?? 0, oldestAtS };
}
