/** Each command takes what the same command of stock takes, but for what docs/options.md names. */
import { expect, test } from "vitest";
import { OPTIONS } from "../../runtime/config/options";
import { COMMANDS } from "../../runtime/config/types";
import { NOT_TAKEN } from "../../tools/optionsDoc";
import { stockOrSkip } from "../harness/parts";

/** Ours alone. */
const OWN = new Set([
  "agent",
  "cnpg-drill",
  "cnpg-expire",
  "cnpg-migrate",
  "cnpg-instance",
  "cnpg-operator",
  "cnpg-restore",
  "doctor",
  "drill",
  "extract-table",
  "find",
  "heal",
  "metrics",
  "migrate",
  "notify",
  "pg-settings",
  "recover",
  "recover-step",
  "rollback",
  "status",
  "sync",
]);
/** They have no options but themselves. */
const TALK = new Set(["help", "version"]);

test("every option of stock's commands", async (context) => {
  const stock = await stockOrSkip(context, "2.60");
  const missing: string[] = [];
  for (const command of COMMANDS.filter((name) => !OWN.has(name) && !TALK.has(name))) {
    const { stdout } = await stock.run(["help", command]);
    const shown = [...stdout.matchAll(/^ {2}--([a-z0-9-]+)/gm)].map((match) => match[1] ?? "");
    expect(shown.length, command).toBeGreaterThan(10);
    for (const name of shown) {
      const isTaken = OPTIONS.some((row) => row.name === name && row.commands.includes(command));
      const isTold = NOT_TAKEN.some(([told, prefix]) => told === command && name.startsWith(prefix));
      if (!isTaken && !isTold) missing.push(`${command} --${name}`);
    }
  }
  expect(missing).toEqual([]);
});
