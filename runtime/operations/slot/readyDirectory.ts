/** Where a host's finished WAL is listed: by PostgreSQL, or by the agent that follows a replication slot. */
import type { Config } from "../../config/types";
import { slotDirectory } from "../../local/slotState";
import { slotName } from "./slot";

type Settings = Pick<Config, "settings" | "spoolPath" | "stanza">;

export interface SlotArchiving {
  readonly name: string;
  readonly readyDirectory: string;
  /** The agent follows a standby too, because nobody archives at its primary. */
  readonly onStandby: boolean;
}

/** Null where PostgreSQL archives by itself. */
export function slotArchivingOf({ settings, spoolPath, stanza = "" }: Settings): SlotArchiving | null {
  const { archive } = settings;
  if (archive === undefined) return null;
  const readyDirectory = slotDirectory(spoolPath, stanza);
  return { name: slotName(stanza), readyDirectory, onStandby: archive === "standby" };
}

/** Its `archive_status` has a `.ready` file for each WAL file that waits for the archive. */
export function readyDirectoryOf(settings: Settings, dataDirectory: string): string {
  return slotArchivingOf(settings)?.readyDirectory ?? `${dataDirectory}/pg_wal`;
}
