/** A command and its threads and processes come from one file. An update may replace it while the command runs. */
import { fail } from "./errors";

/** @param asked version of the command; @param own version of the thread or process that it started @throws runtime */
export function requireOneBundle(asked: string, own: string): void {
  if (asked === own) return;
  throw fail("runtime", `the runtime was replaced by ${own} while ${asked} ran`, {
    hint: "Restart the service that still runs the old one, or run the command again.",
  });
}
