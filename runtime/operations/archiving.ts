/** Does the server archive, and will stock accept how it does? One answer for `backup` and `check` ("pgbackrest-format" 15, step 2). */
import { fail } from "../base/errors";
import type { ServerFacts } from "../postgres/session";

/**
 * `refuseAlways` is stock's `archive-mode-check` of a backup.
 * @throws archiveDisabled (87), featureNotSupported (67) for archive_mode=always, archiveCommandInvalid (68)
 */
export function requireArchiving(facts: Pick<ServerFacts, "archiveMode" | "archiveCommand">, refuseAlways: boolean): void {
  if (facts.archiveMode === "off") {
    throw fail("archiveDisabled", "archive_mode must be enabled", { hint: "set archive_mode = on in postgresql.conf and restart PostgreSQL." });
  }
  if (facts.archiveMode === "always" && refuseAlways) {
    throw fail("featureNotSupported", "archive_mode=always not supported", { hint: "set archive_mode = on." });
  }
  if (!facts.archiveCommand.includes("pgbackrest")) {
    throw fail("archiveCommandInvalid", `archive_command '${facts.archiveCommand}' must contain pgbackrest`, {
      hint: "keep the word somewhere in the command (a path or a comment), so that stock pgBackRest accepts the cluster too.",
    });
  }
}
