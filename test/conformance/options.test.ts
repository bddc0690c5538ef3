/** Each command accepts the options of the same command in stock, except those listed in docs/reference/options.md. */
// claim: README.md: every option of stock's commands is accepted, except those that `docs/reference/options.md` names
import { expect, test } from "vitest";
import { OPTIONS } from "../../runtime/config/options";
import { COMMAND_TABLE, COMMANDS } from "../../runtime/config/commands";
import { NOT_TAKEN } from "../../tools/docs/optionsPage";
import { stockOrSkip } from "../harness/real/parts";

/** These commands do no work, so their options are not compared. */
const TALK = new Set(["help", "version"]);

test("every option of stock's commands", async (context) => {
  const stock = await stockOrSkip(context, "2.60");
  const missing: string[] = [];
  for (const command of COMMANDS.filter((name) => COMMAND_TABLE[name].own !== true && !TALK.has(name))) {
    const { stdout } = await stock.run(["help", command]);
    const shown = [...stdout.matchAll(/^ {2}--([a-z0-9-]+)/gm)].map((match) => match[1] ?? "");
    expect(shown.length, command).toBeGreaterThan(10);
    for (const name of shown) {
      const isTaken = OPTIONS.some((row) => row.name === name && row.commands.includes(command));
      const isExcepted = NOT_TAKEN.some(([command_, prefix]) => command_ === command && name.startsWith(prefix));
      if (!isTaken && !isExcepted) missing.push(`${command} --${name}`);
    }
  }
  expect(missing).toEqual([]);
});
