import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { renderCommands } from "../../../tools/docs/commandsPage";
import { projectFolder } from "../../../tools/parts/cache";

test("the guide of the command line names every verb that users type", () => {
  const guide = readFileSync(join(projectFolder(), "docs", "commands.md"), "utf8");
  const verbs = [...renderCommands().matchAll(/^## ([a-z-]+)$/gm)].map(([, verb = ""]) => verb);
  expect(verbs.length).toBeGreaterThan(25);
  expect(verbs.filter((verb) => !guide.includes(`\`${verb}`))).toEqual([]);
});
