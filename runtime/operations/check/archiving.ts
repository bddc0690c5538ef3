/**
 * Checks that the server archives, and that stock accepts its command: for `backup` and `check` ("pgbackrest-format"
 * 15, step 2).
 */
import { fail } from "../../base/errors";
import type { ServerFacts, Session } from "../../postgres/session";
import type { Context } from "../../base/context";
import type { SlotArchiving } from "../slot/readyDirectory";
import { boundWarning, requireReader } from "../slot/slotCheck";

/** CloudNativePG sets this in every instance, and users cannot change it; its plugins archive. */
const CNPG_COMMAND = /^\/controller\/manager wal-archive\b/;

export interface ArchiverOptions {
  /** Refuses archive_mode=always. */
  readonly archiveModeCheck: boolean;
  /** Must be in `archive_command`. */
  readonly archiveCommandContains: string;
  /** Null where PostgreSQL archives by itself. */
  readonly slot: SlotArchiving | null;
}

/** Checks what archives the server's WAL: PostgreSQL, or an agent through a replication slot. */
export async function requireArchiver(
  session: Pick<Session, "facts" | "query">,
  { archiveCommandContains, archiveModeCheck, slot }: ArchiverOptions,
  ctx: Context,
): Promise<void> {
  const facts = await session.facts();
  if (slot === null) return requireArchiving(facts, archiveModeCheck, archiveCommandContains);
  // The primary's agent archives.
  if (facts.inRecovery && !slot.onStandby) return;
  const warning = boundWarning(await requireReader(session, slot, ctx), slot.name);
  if (warning !== null) ctx.log.warn(warning);
}

/**
 * `refuseAlways` is stock's `archive-mode-check` of a backup. `archive_command` must contain `requiredText`. Stock
 * requires its own name, so a cluster that both tools serve needs it. If another program archives (CloudNativePG's
 * instance manager), the caller passes another text; the empty one allows any command.
 * @throws archiveDisabled (87), featureNotSupported (67) for archive_mode=always, archiveCommandInvalid (68)
 */
export function requireArchiving(
  facts: Pick<ServerFacts, "archiveMode" | "archiveCommand">,
  refuseAlways: boolean,
  requiredText: string,
): void {
  if (facts.archiveMode === "off") {
    throw fail("archiveDisabled", "archive_mode must be enabled", {
      hint: "set archive_mode = on in postgresql.conf and restart PostgreSQL.",
    });
  }
  if (facts.archiveMode === "always" && refuseAlways) {
    throw fail("featureNotSupported", "archive_mode=always not supported", { hint: "set archive_mode = on." });
  }
  if (!facts.archiveCommand.includes(requiredText) && !CNPG_COMMAND.test(facts.archiveCommand)) {
    throw fail("archiveCommandInvalid", `archive_command '${facts.archiveCommand}' must contain ${requiredText}`, {
      hint: [
        "Stock pgBackRest requires it too: keep it anywhere in the command, for example in a path or a comment.",
        "If another program archives, set archiveCommandContains in the settings file to a part of its command; an empty text allows any command.",
      ],
    });
  }
}
