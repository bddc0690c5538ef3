/** Asks the user before a step that changes or replaces data. */
import { fail } from "../../base/errors";
import type { Invocation, Terminal } from "../../process/commandProcess";

/** `--yes` answers it. */
export async function agreed(proc: Invocation & Terminal, question: string): Promise<boolean> {
  if (proc.config.recover.yes) return true;
  const answer = await proc.ask(`${question} [yes/no] `);
  return answer !== null && /^y(es)?$/i.test(answer.trim());
}

/** The exit code of a refusal. @throws optionRequired (37) without a terminal */
export function refused(proc: Terminal, verb: string): number {
  if (proc.isInteractive) {
    proc.print("Nothing was changed.\n");
    return 0;
  }
  throw fail(
    "optionRequired",
    `${verb} changes the data directory and needs confirmation, but there is no terminal: nothing was changed`,
    {
      hint: "Read the plan above. --yes confirms it, --dry-run only shows it.",
    },
  );
}
